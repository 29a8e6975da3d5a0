"""A reading of a range without bounds: the oldest record is looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tap_genesys_search import timestamps
from tap_genesys_search.errors import QueryError
from tap_genesys_search.question import Axis
from tap_genesys_search.timestamps import END, FIRST
from tests.support.driver import SLOW, Driver, reading, spread
from tests.support.index import page

if TYPE_CHECKING:
    from tap_genesys_search.records import Answer
    from tap_genesys_search.slices import Ticket


class TestOpenRanges:
    """Downwards, without a beginning: the oldest record is looked for, so that widths fit."""

    def test_the_oldest_is_looked_for_once(self) -> None:
        driver = reading(spread(2000), timestamps.BEGIN, END, axis=Axis.NEWEST_FIRST, page_size=10, slice_records=50)
        edges = []
        while not driver.reading.done:
            edges += [ticket for ticket in driver.round() if ticket.edge]
        assert len(edges) == 1
        assert edges[0].question.axis is Axis.OLDEST_FIRST
        assert edges[0].question.size == 1
        driver.complete()

    def test_not_for_a_few(self) -> None:
        driver = reading(spread(2000), timestamps.BEGIN, END, axis=Axis.NEWEST_FIRST, slice_records=50, limit=100)
        edges = []
        while len(driver.found) < 100:
            edges += [ticket for ticket in driver.round() if ticket.edge]
        assert edges == []

    @pytest.mark.parametrize("error", [-1.0, 0.0, 1.0, 1000.0])
    @pytest.mark.parametrize("step", [1000, 10**10, 10**12], ids=["seconds apart", "months apart", "decades apart"])
    @pytest.mark.parametrize("workers", [2, 8])
    def test_fewer_than_a_limit_end_as_soon(self, workers: int, step: int, error: float) -> None:
        """Slices that widen over the emptiness before the oldest neither go on and on, nor leave the calendar."""
        index = spread(60, step)
        index.total_error = error
        driver = reading(index, timestamps.BEGIN, END, axis=Axis.NEWEST_FIRST, workers=workers, limit=100)
        driver.finish()
        driver.complete()
        # Alone it takes 7; the oldest is one more, and so is what lies beyond it.
        told = index.searches if 60 * (1 + error) < 100 else index.searches - workers
        assert told <= 7 + 2

    @pytest.mark.parametrize("limit", [None, 100, 10_000])
    @pytest.mark.parametrize(
        "far", [FIRST, FIRST + 1, FIRST + 2, timestamps.parse("2099-01-01"), timestamps.parse("7999-01-01"), END - 1]
    )
    def test_one_far_from_the_rest(self, far: int, limit: int | None) -> None:
        """It may be an empty date's value: the reading comes to it, and all workers help with the rest."""
        index = spread(2000)
        index.stamps["far"] = far
        driver = reading(index, timestamps.BEGIN, END, axis=Axis.NEWEST_FIRST, slice_records=100, limit=limit)
        rounds = driver.finish()
        driver.complete()
        assert index.searches < 1.2 * 2000 / 9
        if limit != 100:
            assert rounds < 0.4 * 2000 / 9

    def test_one_who_was_alone_at_first_gets_help(self) -> None:
        driver = reading(spread(2000), timestamps.BEGIN, END, axis=Axis.NEWEST_FIRST, slice_records=100)
        driver.reading._ahead._workers = lambda: 4 if len(driver.found) > 20 else 1
        rounds = driver.finish()
        driver.complete()
        assert rounds < 0.4 * 2000 / 9

    def test_not_for_one_worker(self) -> None:
        driver = reading(spread(200), timestamps.BEGIN, END, axis=Axis.NEWEST_FIRST, workers=1)
        while not driver.reading.done:
            assert not any(ticket.edge for ticket in driver.round())
        driver.complete()

    def _until_edge(self) -> tuple[Driver, Ticket]:
        driver = reading(spread(2000), timestamps.BEGIN, END, axis=Axis.NEWEST_FIRST, slice_records=50)
        for _ in range(100):
            for ticket in driver.take():
                if ticket.edge:
                    driver.tickets.remove(ticket)
                    return driver, ticket
            for ticket in list(driver.tickets):
                driver.answer(ticket)
            driver.pop()
        message = "the oldest was never looked for"
        raise AssertionError(message)

    @pytest.mark.parametrize("answer", [page(more=True), page(("x", None), more=False), page(more=False)])
    def test_without_an_oldest_the_rest_is_read_all_the_same(self, answer: Answer) -> None:
        driver, ticket = self._until_edge()
        driver.reading.deliver(ticket, answer)
        driver.finish()
        driver.complete()

    def test_too_slow_a_look_for_the_oldest_does_not_end_the_reading(self) -> None:
        driver, ticket = self._until_edge()
        driver.reading.too_slow(ticket, SLOW)
        driver.finish()
        driver.complete()

    def test_a_refused_look_for_the_oldest_is_an_error(self) -> None:
        driver, ticket = self._until_edge()
        with pytest.raises(QueryError):
            driver.reading.refuse(ticket, QueryError("no"))

    def test_nothing_older_ends_the_reading_there(self) -> None:
        index = spread(12)
        driver = reading(index, timestamps.BEGIN, END, axis=Axis.NEWEST_FIRST, slice_records=2)
        driver.finish()
        driver.complete()
