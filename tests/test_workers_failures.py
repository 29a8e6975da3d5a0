"""The threads that drive a reading, where a question fails, is refused or takes too long."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tap_genesys_search.errors import ContractError, PlatformUnavailableError, QueryError, SearchTimeoutError
from tap_genesys_search.question import Ask
from tests.support.crew import PATIENCE, SPAN, asking, ended, ids, make, workers
from tests.support.index import NOON

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_genesys_search.question import Question
    from tap_genesys_search.records import Answer
    from tap_genesys_search.slices import Page
    from tap_genesys_search.workers import Workers

    Sleep = Callable[[float], None]


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
        assert run._stop.wait(PATIENCE)
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
