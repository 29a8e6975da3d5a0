"""A reading through time-outs, refusals and broken answers."""

from __future__ import annotations

import random

import pytest

from tap_genesys_search.errors import ContractError, QueryError, SearchTimeoutError
from tap_genesys_search.pagination import MAX_HALVINGS
from tap_genesys_search.question import Ask, Axis
from tests.support.driver import SLOW, reading, spread
from tests.support.index import NOON, Index, page


class TestFaults:
    """Time-outs and refusals."""

    def test_time_outs_narrow_at_most_six_times_and_then_raise(self) -> None:
        driver = reading(spread(100))
        for _ in range(MAX_HALVINGS):
            (ticket,) = driver.take()
            driver.reading.too_slow(ticket, SLOW)
        (ticket,) = driver.take()
        assert ticket.question.single_try
        with pytest.raises(SearchTimeoutError) as caught:
            driver.reading.too_slow(ticket, SLOW)
        assert caught.value is SLOW

    def test_wide_ranges_that_time_out_are_read_all_the_same(self) -> None:
        for axis in Axis:
            driver = reading(spread(800), axis=axis, workers=3)
            while not driver.reading.done:
                driver.take()
                for ticket in list(driver.tickets):
                    if ticket.question.high - ticket.question.low > 300_000:
                        driver.tickets.remove(ticket)
                        driver.reading.too_slow(ticket, SLOW)
                    else:
                        driver.answer(ticket)
                while driver.pop():
                    pass
            driver.complete()

    def test_a_refused_query_is_raised(self) -> None:
        driver = reading(spread(100))
        (ticket,) = driver.take()
        error = QueryError("the query is wrong")
        with pytest.raises(QueryError) as caught:
            driver.reading.refuse(ticket, error)
        assert caught.value is error

    def test_refused_ids_are_read_by_token(self) -> None:
        index = Index(random.Random(1), {f"t{number:04d}": NOON for number in range(500)}, stable_ties=True)
        driver = reading(index)
        while not driver.reading.done:
            driver.take()
            for ticket in list(driver.tickets):
                if ticket.question.by is Ask.ID:
                    driver.tickets.remove(ticket)
                    driver.reading.refuse(ticket, QueryError("no"))
                else:
                    driver.answer(ticket)
            while driver.pop():
                pass
        driver.complete()

    def test_a_depth_cap_inside_an_instant_is_told(self) -> None:
        index = Index(
            random.Random(1),
            {f"t{number:04d}": NOON for number in range(1500)},
            id_ranges=False,
            stable_ties=True,
            depth=600,
        )
        driver = reading(index)
        with pytest.raises(ContractError, match="600 conversations"):
            driver.finish()
        while driver.pop():
            pass
        assert len(driver.found) == 600

    def test_a_broken_answer_is_raised_and_leaves_what_was_read(self) -> None:
        driver = reading(spread(100))
        driver.take()
        driver.answer(driver.tickets[0])
        driver.pop()
        (ticket, *_) = driver.take()
        with pytest.raises(ContractError):
            driver.reading.deliver(ticket, page(("x", NOON - 1), more=False))
        assert len(driver.found) == 10
