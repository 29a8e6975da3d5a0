"""The threads that drive a reading: all of it once and in order, side by side, and left early."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tap_genesys_search import timestamps
from tap_genesys_search.question import Axis
from tap_genesys_search.read_ahead import BUFFER_BYTES
from tap_genesys_search.reading import Reading
from tap_genesys_search.workers import CancelledError, Workers
from tests.support.crew import PATIENCE, asking, ended, ids, make, threads, workers
from tests.support.fakes import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from tap_genesys_search.question import Question
    from tap_genesys_search.records import Answer
    from tap_genesys_search.slices import Page, Ticket

    Sleep = Callable[[float], None]


@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("bound", [0, 9000, BUFFER_BYTES])
def test_all_of_it_once_and_in_order(count: int, bound: int) -> None:
    index = make(ties=450)
    run = workers(asking(index), count, bound=bound)
    pages = list(run.pages())
    stamps = [stamp for page in pages for stamp in page.batch.stamps]
    assert sorted(ids(pages)) == sorted(index.stamps)
    assert stamps == sorted(stamps, key=str)
    assert ended(run)


def test_nothing_to_read_ends_at_once() -> None:
    assert list(workers(asking(make(0))).pages()) == []


def test_nothing_is_asked_before_the_first_page_is_wanted() -> None:
    index = make()
    run = workers(asking(index))
    run.pages()
    assert (index.searches, threads(run)) == (0, [])


def test_questions_are_asked_side_by_side() -> None:
    """After the first pages each of four waits until three others ask too."""
    index = make(2000)
    answer = asking(index)
    together = threading.Barrier(4, timeout=PATIENCE)
    met = threading.Event()

    def ask(question: Question, sleep: Sleep) -> Answer:
        if index.searches > 8 and not met.is_set():
            together.wait()
            met.set()
        return answer(question, sleep)

    pages = list(workers(ask).pages())
    assert met.is_set()
    assert sorted(ids(pages)) == sorted(index.stamps)


def test_a_slow_first_slice_is_waited_for() -> None:
    """Others come back long before it."""
    index = make(2000)
    answer = asking(index)
    others = threading.Semaphore(0)
    held = threading.Lock()

    def ask(question: Question, sleep: Sleep) -> Answer:
        if index.searches > 8 and held.acquire(blocking=False):
            for _ in range(3):
                assert others.acquire(timeout=PATIENCE)
            return answer(question, sleep)
        given = answer(question, sleep)
        if index.searches > 8:
            others.release()
        return given

    assert ids(list(workers(ask).pages())) == sorted(index.stamps)


@pytest.mark.parametrize(("count", "at_most", "most"), [(1, 16, 1), (3, 16, 3), (8, 2, 2)])
def test_never_more_at_a_time_than_wanted(count: int, at_most: int, most: int) -> None:
    answer = asking(make(2000))
    lock = threading.Lock()
    under_way = widest = 0

    def ask(question: Question, sleep: Sleep) -> Answer:
        nonlocal under_way, widest
        with lock:
            under_way += 1
            widest = max(widest, under_way)
        given = answer(question, sleep)
        with lock:
            under_way -= 1
        return given

    run = workers(ask, count, at_most=at_most)
    list(run.pages())
    assert 1 <= widest <= most
    assert len(threads(run)) <= at_most


def test_leaving_early_ends_threads_that_wait() -> None:
    index = make()
    answer = asking(index)
    waiting = threading.Event()
    cancelled: list[BaseException] = []

    def ask(question: Question, sleep: Sleep) -> Answer:
        if index.searches >= 2:
            waiting.set()
            try:
                sleep(1e6)
            except CancelledError as error:
                cancelled.append(error)
                raise
        return answer(question, sleep)

    run = workers(ask)
    pages = run.pages()
    assert len(next(pages).batch) == 10
    next(pages)
    assert waiting.wait(PATIENCE)
    pages.close()  # type: ignore[attr-defined] # it is a generator
    assert ended(run)
    assert cancelled


def test_leaving_early_ends_threads_that_have_nothing_to_do() -> None:
    run = workers(asking(make(2000)))
    pages = run.pages()
    for _ in range(5):
        next(pages)
    run.close()
    assert ended(run)


def test_a_signal_comes_through_wherever_the_reader_waits() -> None:
    """Among others where a worker has just woken it, and holds the lock."""
    run = workers(asking(make(500)), 2)
    take, reader = run._reading.take, threading.get_ident()
    sent = threading.Event()

    def slow(now: float) -> Ticket | None:
        if not sent.is_set():
            sent.set()
            time.sleep(0.02)
            signal.pthread_kill(reader, signal.SIGUSR1)
            time.sleep(0.02)
        return take(now)

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    run._reading.take = slow  # type: ignore[method-assign]
    before = signal.signal(signal.SIGUSR1, leave)
    try:
        with pytest.raises(SystemExit):
            list(run.pages())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert ended(run)
    assert run._failure is None


def test_closing_does_not_wait_for_ever_for_an_answer() -> None:
    asked, release = threading.Event(), threading.Event()
    closer = threading.current_thread()
    index = make()
    answer = asking(index)

    class Clock(FakeClock):
        """Each look at it is ten seconds later; the looks of whoever closes are counted."""

        looks = 0

        def monotonic(self) -> float:
            self.now += 10
            if threading.current_thread() is closer:
                self.looks += 1
            return super().monotonic()

    def ask(question: Question, sleep: Sleep) -> Answer:
        if index.searches:
            asked.set()
            assert release.wait(PATIENCE)
        return answer(question, sleep)

    clock = Clock()
    run = workers(ask, clock=clock)
    reader = threading.Thread(target=lambda: list(run.pages()), daemon=True)
    reader.start()
    assert asked.wait(PATIENCE)
    run.close()
    assert any(thread.is_alive() for thread in threads(run))
    # Whoever closes once more gets no new patience, which would take a look at the clock: one for each thread is all.
    # Only this thread's looks count, as the reader closes at the same time.
    looks = clock.looks
    run.close()
    assert clock.looks - looks <= len(threads(run))
    release.set()
    assert ended(run)
    reader.join(PATIENCE)
    assert not reader.is_alive()


def test_pages_that_waited_too_long_are_asked_for_again() -> None:
    """The reader takes its time over a page, as a loader may, while others change."""
    index = make(2000)
    clock = FakeClock()
    run = workers(asking(index), clock=clock)
    pages = run.pages()
    found = [next(pages) for _ in range(12)]
    while not any(page.asked_at < clock.monotonic() for page in _waiting(run)):
        # What waits was asked for before this moment.
        clock.now += 61
    found += pages
    assert ids(found) == sorted(index.stamps)
    assert run._reading.progress.reread > 0


def _waiting(run: Workers) -> list[Page]:
    with run._lock:
        return [page for piece in run._reading._slices for page in piece.pages]


def test_downwards() -> None:
    index = make(600)
    reading = Reading(
        timestamps.BEGIN,
        timestamps.END,
        axis=Axis.NEWEST_FIRST,
        page_size=10,
        slice_records=30,
        workers=lambda: 3,
    )
    run = Workers(reading, asking(index), FakeClock(), at_most=3)
    assert ids(list(run.pages())) == sorted(index.stamps, reverse=True)
