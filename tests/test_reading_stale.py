"""A reading whose pages have waited too long."""

from __future__ import annotations

import random

import pytest

from tap_genesys_search import timestamps
from tap_genesys_search.errors import QueryError
from tests.support.driver import Driver, reading, spread
from tests.support.index import NOON, Index


class TestStale:
    """A page that has waited too long is asked for again, with all that rests on it."""

    def test_nothing_older_than_allowed_is_passed_on(self) -> None:
        driver = reading(spread(500), max_age=10)
        rng = random.Random(1)
        while not driver.reading.done:
            driver.now += rng.choice([0, 1, 12])
            driver.take(2)
            if driver.tickets:
                driver.answer(rng.choice(driver.tickets))
            got = driver.pop()
            assert got is None or got.again or driver.now - got.asked_at <= 10
        driver.complete()
        assert driver.reading.progress.reread > 0

    def _waiting(self, index: Index, *, slice_records: int = 1000) -> Driver:
        """A reading of which one page was collected and several wait."""
        driver = reading(index, max_age=10, slice_records=slice_records, workers=2)
        for _ in range(3):
            driver.take()
            driver.answer(driver.tickets[0])
            driver.pop()
        for _ in range(5):
            driver.take()
            for ticket in list(driver.tickets):
                driver.answer(ticket)
        return driver

    def test_the_slice_goes_on_from_that_page(self) -> None:
        index = spread(300)
        driver = self._waiting(index)
        last = driver.found[-1]
        driver.now = 11.0
        assert driver.pop() is None
        tickets = driver.take()
        assert timestamps.write(tickets[0].question.low) == last[1]
        assert tickets[0].question.attempt == 1
        driver.finish()
        driver.complete()

    def test_what_changed_meanwhile_is_passed_on_as_it_is_now(self) -> None:
        index = spread(300)
        driver = self._waiting(index)
        held = [key for piece in driver.reading._slices for got in piece.pages for key in got.batch.ids]
        assert len(held) > 20
        for key in held:
            index.stamps[key] = NOON + 5_000_000
        driver.now = 11.0
        driver.finish()
        driver.complete()

    def test_an_answer_for_what_was_thrown_away_is_ignored(self) -> None:
        index = spread(300)
        driver = self._waiting(index)
        late = driver.take()
        driver.now = 11.0
        assert driver.pop() is None
        assert driver.reading.progress.reread > 0
        for ticket in late:
            driver.answer(ticket)
        driver.finish()
        driver.complete()

    @pytest.mark.parametrize("fault", ["refuse", "too_slow"])
    def test_so_is_a_fault(self, fault: str) -> None:
        driver = self._waiting(spread(300))
        (late, *_) = driver.take()
        driver.now = 11.0
        assert driver.pop() is None
        if late.slice.ticket is late:
            pytest.skip("it was not thrown away")
        driver.tickets.remove(late)
        getattr(driver.reading, fault)(late, QueryError("no"))
        driver.finish()
        driver.complete()

    def test_a_remainder_goes_with_the_slice_that_it_was_cut_from(self) -> None:
        """It knows ids at its beginning from pages that are thrown away."""
        ties = {f"c{number:04d}": NOON + number // 6 * 1000 for number in range(600)}
        for seed in range(60):
            rng = random.Random(seed)
            driver = reading(
                Index(rng, dict(ties)), slice_records=10, page_size=8, max_age=10, workers=3, high=NOON + 200_000
            )
            while not driver.reading.done:
                driver.now += rng.choice([0, 0, 0, 0, 1, 11])
                driver.take(rng.randrange(3))
                if driver.tickets and rng.random() < 0.8:
                    driver.answer(rng.choice(driver.tickets))
                if rng.random() < 0.5:
                    driver.pop()
            driver.complete()
            assert driver.reading.progress.reread > 0

    def test_answers_that_take_longer_than_a_page_may_wait_still_end(self) -> None:
        driver = reading(spread(100), max_age=10)
        asked = 0
        while not driver.reading.done:
            asked += len(driver.take())
            driver.now += 11
            for ticket in list(driver.tickets):
                driver.answer(ticket)
            while driver.pop():
                pass
            assert asked < 200
        driver.complete()

    def test_what_was_thrown_away_of_a_dense_instant_is_not_known_any_more(self) -> None:
        """All its pages share one growing set of ids."""
        index = Index(random.Random(1), {f"t{number:05d}": NOON for number in range(1200)})
        driver = reading(index, max_age=10, workers=1)
        while len(driver.found) < 400:
            driver.take()
            driver.answer(driver.tickets[0])
            driver.pop()
        for _ in range(3):
            driver.take()
            driver.answer(driver.tickets[0])
        driver.now = 11.0
        assert driver.pop() is None
        assert driver.reading.progress.reread == 3
        driver.finish()
        driver.complete()

    def test_inside_a_dense_instant(self) -> None:
        crowd = {f"t{number:05d}": NOON + 1000 for number in range(1200)}
        for seed in range(20):
            ids = seed % 2 == 0
            rng = random.Random(seed)
            index = Index(rng, {**crowd, "a": NOON, "z": NOON + 5000}, id_ranges=ids, stable_ties=not ids)
            driver = reading(index, max_age=10, workers=2)
            steps = 0
            while not driver.reading.done:
                steps += 1
                assert steps < 1000
                driver.now += rng.choice([0, 0, 0, 0, 0, 11]) if steps < 300 else 0
                driver.take(1)
                if driver.tickets and rng.random() < 0.8:
                    driver.answer(rng.choice(driver.tickets))
                if rng.random() < 0.3:
                    driver.pop()
            driver.complete()
            assert driver.reading.progress.reread > 0
