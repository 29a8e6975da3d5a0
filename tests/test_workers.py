"""The threads that drive a reading."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest

from tap_genesys_search import timestamps
from tap_genesys_search.errors import ContractError, PlatformUnavailableError, QueryError, SearchTimeoutError
from tap_genesys_search.question import Ask, Axis
from tap_genesys_search.reading import BUFFER_BYTES, Reading
from tap_genesys_search.workers import CancelledError, Workers
from tests.fakes import FakeClock
from tests.index import NOON, Index

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_genesys_search.question import Question
    from tap_genesys_search.records import Answer
    from tap_genesys_search.slices import Page

    Sleep = Callable[[float], None]
    Asking = Callable[[Question, Sleep], Answer]

#: Longer than anything here takes; a test that waits for so long has failed.
PATIENCE = 20.0
SPAN = 1_000_000


def make(count: int = 400, *, ties: int = 0) -> Index:
    stamps = {f"c{number:05d}": NOON + number * SPAN // max(1, count) for number in range(count)}
    return Index(random.Random(1), stamps | {f"t{number:05d}": NOON + 5 for number in range(ties)})


def asking(index: Index) -> Asking:
    """An API that answers one at a time."""
    lock = threading.Lock()

    def ask(question: Question, _: Sleep) -> Answer:
        with lock:
            answer = index.answer(question)
        assert answer is not None
        return answer

    return ask


def workers(
    ask: Asking, count: int = 4, *, at_most: int = 16, clock: FakeClock | None = None, bound: int = BUFFER_BYTES
) -> Workers:
    reading = Reading(
        NOON, NOON + SPAN, page_size=10, slice_records=30, workers=lambda: count, max_age=60, buffer_bytes=bound
    )
    return Workers(reading, ask, clock or FakeClock(), at_most=at_most)


def threads(of: Workers) -> list[threading.Thread]:
    return list(of._threads)  # noqa: SLF001 - that they end is the claim


def ids(pages: list[Page]) -> list[str]:
    return [identity for page in pages for identity in page.batch.ids]


def ended(of: Workers) -> bool:
    """Whether all its threads end, waiting for them."""
    for thread in threads(of):
        thread.join(PATIENCE)
    return not any(thread.is_alive() for thread in threads(of))


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


def test_closing_does_not_wait_for_ever_for_an_answer() -> None:
    asked, release = threading.Event(), threading.Event()
    index = make()
    answer = asking(index)

    class Clock(FakeClock):
        """Each look at it is ten seconds later."""

        def monotonic(self) -> float:
            self.now += 10
            return super().monotonic()

    def ask(question: Question, sleep: Sleep) -> Answer:
        if index.searches:
            asked.set()
            assert release.wait(PATIENCE)
        return answer(question, sleep)

    run = workers(ask, clock=Clock())
    reader = threading.Thread(target=lambda: list(run.pages()), daemon=True)
    reader.start()
    assert asked.wait(PATIENCE)
    run.close()
    assert any(thread.is_alive() for thread in threads(run))
    release.set()
    assert ended(run)
    reader.join(PATIENCE)
    assert not reader.is_alive()


def test_a_failure_comes_after_what_was_read_in_front_of_it() -> None:
    index = make()
    answer = asking(index)
    broken = NOON + SPAN // 2
    error = PlatformUnavailableError("an outage")

    def ask(question: Question, sleep: Sleep) -> Answer:
        if index.searches > 5 and question.low >= broken:
            raise error
        return answer(question, sleep)

    for count in (1, 4):
        index.searches = 0
        run = workers(ask, count)
        pages: list[Page] = []
        with pytest.raises(PlatformUnavailableError) as caught:
            pages.extend(run.pages())
        assert caught.value is error
        assert ended(run)


def test_what_was_read_in_front_of_a_failure_is_a_beginning_without_a_hole() -> None:
    index = make()
    answer = asking(index)
    found: list[str] = []

    def ask(question: Question, sleep: Sleep) -> Answer:
        if index.searches == 25:
            message = "an outage"
            raise PlatformUnavailableError(message)
        return answer(question, sleep)

    def read(run: Workers) -> None:
        for page in run.pages():
            found.extend(page.batch.ids)

    with pytest.raises(PlatformUnavailableError):
        read(workers(ask))
    assert found == sorted(index.stamps)[: len(found)]

    # One worker has nothing in flight that could be lost.
    found.clear()
    index.searches = 0
    with pytest.raises(PlatformUnavailableError):
        read(workers(ask, 1))
    assert len(found) == 10 + 24 * 9


def test_a_failure_wakes_those_who_wait() -> None:
    """One fails while the others sleep for the platform."""
    index = make(2000)
    answer = asking(index)
    sleeping = threading.Semaphore(0)
    fails = threading.Lock()

    def ask(question: Question, sleep: Sleep) -> Answer:
        if index.searches < 8:
            return answer(question, sleep)
        if fails.acquire(blocking=False):
            assert sleeping.acquire(timeout=PATIENCE)
            message = "an outage"
            raise PlatformUnavailableError(message)
        sleeping.release()
        sleep(1e6)
        return answer(question, sleep)

    run = workers(ask)
    with pytest.raises(PlatformUnavailableError):
        list(run.pages())
    assert ended(run)


def test_the_first_failure_is_the_one_that_is_told() -> None:
    first = PlatformUnavailableError("the first")
    index = make(2000)
    answer = asking(index)
    both = threading.Barrier(2, timeout=PATIENCE)
    count = 0
    lock = threading.Lock()

    def ask(question: Question, sleep: Sleep) -> Answer:
        nonlocal count
        if index.searches < 8:
            return answer(question, sleep)
        with lock:
            count += 1
            mine = count
        if mine > 2:
            sleep(1e6)
        both.wait()
        if mine == 1:
            raise first
        assert run._stop.wait(PATIENCE)  # noqa: SLF001 - the first has been taken note of
        message = "the second"
        raise PlatformUnavailableError(message)

    run = workers(ask)
    with pytest.raises(PlatformUnavailableError) as caught:
        list(run.pages())
    assert caught.value is first
    assert ended(run)


@pytest.mark.parametrize("error", [KeyError("a bug"), MemoryError(), KeyboardInterrupt()])
def test_what_nobody_expects_is_raised_where_it_is_read(error: BaseException) -> None:
    def ask(_: Question, __: Sleep) -> Answer:
        raise error

    with pytest.raises(type(error)) as caught:
        list(workers(ask).pages())
    assert caught.value is error


def test_a_thread_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        list(workers(asking(make())).pages())


def test_an_answer_that_breaks_the_contract_is_raised() -> None:
    index = make()
    answer = asking(index)

    def ask(question: Question, sleep: Sleep) -> Answer:
        given = answer(question, sleep)
        if index.searches == 4:
            given.stamps.reverse()
        return given

    with pytest.raises(ContractError, match="out of order"):
        list(workers(ask).pages())


def test_a_time_out_narrows() -> None:
    index = make()
    answer = asking(index)

    def ask(question: Question, sleep: Sleep) -> Answer:
        if question.high - question.low > SPAN // 20:
            message = "too slow"
            raise SearchTimeoutError(message)
        return answer(question, sleep)

    assert ids(list(workers(ask).pages())) == sorted(index.stamps)


def test_a_time_out_that_narrowing_does_not_cure_is_raised() -> None:
    def ask(_: Question, __: Sleep) -> Answer:
        message = "too slow"
        raise SearchTimeoutError(message)

    with pytest.raises(SearchTimeoutError):
        list(workers(ask).pages())


def test_a_refused_query_is_raised_at_once() -> None:
    asked = []

    def ask(question: Question, _: Sleep) -> Answer:
        asked.append(question)
        message = "a bad query"
        raise QueryError(message)

    with pytest.raises(QueryError):
        list(workers(ask).pages())
    assert len(asked) == 1


def test_refused_ids_are_read_by_token() -> None:
    index = make(ties=450)
    index.stable_ties = True
    answer = asking(index)
    kinds: set[Ask] = set()

    def ask(question: Question, sleep: Sleep) -> Answer:
        kinds.add(question.by)
        if question.by is Ask.ID:
            message = "no such sort"
            raise QueryError(message)
        return answer(question, sleep)

    assert sorted(ids(list(workers(ask).pages()))) == sorted(index.stamps)
    assert Ask.TOKEN in kinds


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
    assert run._reading.progress.reread > 0  # noqa: SLF001


def _waiting(run: Workers) -> list[Page]:
    with run._lock:  # noqa: SLF001
        return [page for piece in run._reading._slices for page in piece.pages]  # noqa: SLF001


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
