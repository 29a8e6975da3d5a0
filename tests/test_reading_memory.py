"""A reading's bound in bytes."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tap_genesys_search import timestamps
from tap_genesys_search.question import Axis
from tests.support.driver import buffered, busy_and_quiet, reading, spread


class TestMemory:
    """Bytes, not records."""

    @pytest.mark.parametrize("bound", [0, 1, 5_000, 40_000])
    @pytest.mark.parametrize("workers", [1, 2, 5])
    @pytest.mark.parametrize("seed", range(5))
    def test_never_above_the_bound_by_more_than_a_page_for_each_worker(
        self, bound: int, workers: int, seed: int
    ) -> None:
        """Whatever the schedule; with a bound of nothing it still ends."""
        rng = random.Random(seed)
        driver = reading(spread(900, seed=seed), workers=workers, buffer_bytes=bound, slice_records=50)
        largest = 300 * 10
        for _ in range(20_000):
            if driver.reading.done:
                break
            driver.take(rng.randrange(3))
            if driver.tickets and rng.random() < 0.7:
                driver.answer(rng.choice(driver.tickets))
            assert buffered(driver.reading) <= bound + workers * largest
            assert buffered(driver.reading) == driver.reading._ahead.buffered
            if rng.random() < 0.3:
                driver.pop()
        assert driver.reading.done
        driver.complete()

    def test_pages_that_suddenly_grow_stay_within_a_page_for_each_worker(self) -> None:
        index = spread(900)
        driver = reading(index, workers=4, buffer_bytes=20_000)
        largest = 15_000
        count = 0
        while not driver.reading.done:
            driver.take()
            for ticket in list(driver.tickets):
                driver.tickets.remove(ticket)
                answer = index.answer(ticket.question)
                assert answer is not None
                count += 1
                driver.reading.deliver(ticket, replace(answer, size=largest if count > 20 else 100))
                assert buffered(driver.reading) <= 20_000 + 5 * largest
            driver.pop()
        driver.complete()

    @pytest.mark.parametrize("seed", range(3))
    def test_workers_go_on_where_the_buffer_takes_little_more_than_their_slices(self, seed: int) -> None:
        """A slice begins where there is room for all of it: slices that fill the buffer together wait for the first."""
        index = busy_and_quiet(60_000, seed=seed)
        driver = reading(
            index,
            high=index.stamps[-1] + 1,
            workers=16,
            page_size=40,
            slice_records=800,
            eager=True,
            buffer_bytes=220 * 40 * 300,
        )
        assert driver.finish() < 1.4 * 60_000 / 40 / 16
        assert len(driver.found) == 60_000
        assert index.searches < 1.1 * 60_000 / 40

    @pytest.mark.parametrize("workers", [2, 4])
    def test_so_they_do_in_a_range_without_a_beginning(self, workers: int) -> None:
        """What lies beyond the oldest record is nothing to keep room for."""
        index = busy_and_quiet(8_000)
        driver = reading(
            index,
            timestamps.BEGIN,
            timestamps.END,
            axis=Axis.NEWEST_FIRST,
            workers=workers,
            page_size=40,
            slice_records=800,
            eager=True,
            buffer_bytes=20 * 40 * 300,
        )
        assert driver.finish() < 2 * 8_000 / 40 / workers
        assert len(driver.found) == 8_000

    def test_nobody_reads_ahead_of_a_full_buffer(self) -> None:
        driver = reading(spread(3000), workers=4, buffer_bytes=30_000)
        for _ in range(30):
            driver.round()
        for _ in range(200):
            driver.take()
            if not driver.tickets:
                break
            driver.answer(driver.tickets[0])
        assert driver.reading.take(0.0) is None
        assert 15_000 < buffered(driver.reading) <= 30_000

    def test_the_earliest_always_has_a_worker(self) -> None:
        """The later slices' pages fill the buffer while the earliest waits for its answer; then it is asked on."""
        driver = reading(spread(3000), workers=4, buffer_bytes=12_000, slice_records=100)
        for _ in range(10):
            driver.round()
        for _ in range(300):
            if driver.reading.done:
                break
            driver.take()
            later = [ticket for ticket in driver.tickets if ticket.slice is not driver.reading._slices[0]]
            if later:
                driver.answer(later[-1])
                continue
            assert driver.tickets, "nobody reads what all wait for"
            driver.answer(driver.tickets[0])
            while driver.pop():
                pass
        driver.finish()
        driver.complete()
