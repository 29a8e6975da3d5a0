"""A reading whose idle workers are given a part of what all wait for."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from tap_genesys_search import timestamps
from tap_genesys_search.question import Ask, Axis
from tap_genesys_search.read_ahead import BUFFER_BYTES
from tests.support.driver import BOTH, Driver, buffered, busy_and_quiet, reading, spread
from tests.support.index import NOON, Index, page


class TestShare:
    """Workers that have nothing to do get a part of what all wait for."""

    def _begun(self, index: Index, **how: int | None) -> Driver:
        """One slice, of which two pages were collected; nobody else has anything to do."""
        driver = reading(index, slice_records=100_000, **how)  # type: ignore[arg-type]  # what is None is a limit
        for _ in range(2):
            driver.round()
        return driver

    def test_all_read_what_is_left_of_the_last_slice(self) -> None:
        driver = self._begun(spread(3000), high=NOON + 3_000_000)
        lows = [ticket.question.low for ticket in driver.take()]
        assert len(lows) == 4
        # About a quarter each.
        assert all(600_000 < after - before < 900_000 for before, after in pairwise(lows))
        driver.finish()
        driver.complete()
        assert driver.index.searches < 3000 / 9 + 3 * 5

    def test_nobody_waits_until_little_is_left(self) -> None:
        driver = self._begun(spread(3000), high=NOON + 3_000_000)
        busy: list[int] = []
        while not driver.reading.done:
            busy.append(len(driver.round()))
        assert Counter(busy).most_common(1)[0][0] == 4
        assert len(busy) < 3000 / 9 / 4 + 20
        driver.complete()

    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize(("workers", "searches"), [(8, 1.07), (16, 1.1)])
    def test_all_end_at_about_the_same_time_for_few_searches(self, workers: int, searches: float, seed: int) -> None:
        index = busy_and_quiet(12_000, seed=seed)
        high = index.stamps[-1] + 1
        driver = reading(index, high=high, workers=workers, page_size=40, slice_records=800, eager=True)
        assert driver.finish() < 1.45 * 12_000 / 40 / workers
        assert len(driver.found) == 12_000
        assert index.searches < searches * 12_000 / 40

    def test_a_part_that_is_done_sooner_is_given_another(self) -> None:
        """All lies in the last quarter: the others are done with one search, and help again."""
        index = Index(
            random.Random(1), {f"c{number:05d}": NOON + number for number in (*range(30), *range(9000, 12_000))}
        )
        driver = self._begun(index, high=NOON + 12_000)
        driver.finish()
        driver.complete()
        assert driver.reading.progress.slices > 4

    def test_a_part_is_several_pages_long(self) -> None:
        """Its last page is half empty on the average."""
        driver = self._begun(spread(70), high=NOON + 70_000)
        driver.finish()
        driver.complete()
        assert driver.reading.progress.slices == 1

    def test_a_part_is_longer_while_a_gap_is_left(self) -> None:
        """Workers have something to do as soon as the buffer has room again."""
        found = []
        for records, slice_records in ((3000, 200), (200, 10_000)):
            driver = reading(spread(records), high=NOON + records * 1000, slice_records=slice_records)
            driver.round()
            (ticket,) = driver.take(1)
            driver.reading._starved = True
            driver.answer(ticket)
            found.append(sum(each.shared for each in driver.reading._slices))
        assert found == [2, 4]

    def test_not_where_as_many_as_are_wanted_are_being_read(self) -> None:
        driver = self._begun(spread(3000), high=NOON + 3_000_000, limit=60)
        assert len(driver.take()) == 1

    def test_not_inside_an_instant(self) -> None:
        driver = self._begun(Index(random.Random(1), {f"c{number:05d}": NOON + 1 for number in range(3000)}))
        driver.round()
        driver.round()
        assert driver.reading.progress.slices == 1
        (ticket,) = driver.take()
        assert ticket.question.by is Ask.ID
        driver.finish()
        driver.complete()

    def test_no_part_is_empty(self) -> None:
        """An API that gives more than it was asked for shows many within few milliseconds."""
        index = Index(random.Random(1), {f"c{number:05d}": NOON + number // 200 for number in range(1400)})
        driver = reading(index, high=NOON + 7, page_size=1, slice_records=100_000, workers=16, buffer_bytes=10**12)
        while not driver.reading.done:
            driver.take()
            for ticket in list(driver.tickets):
                driver.tickets.remove(ticket)
                answer = index.answer(replace(ticket.question, size=250))
                assert answer is not None
                driver.reading.deliver(ticket, answer)
                assert all(piece.start < piece.end for piece in driver.reading._slices)
            while driver.pop():
                pass
        driver.complete()
        assert driver.reading.progress.slices > 1

    def test_a_range_without_a_beginning_is_not_shared(self) -> None:
        """A part of it may begin before any year that can be asked for."""
        driver = reading(spread(0), timestamps.BEGIN)
        for number in range(9, 0, -1):
            (ticket,) = driver.take()
            driver.tickets.clear()
            driver.reading.deliver(ticket, page((f"c{number}", NOON + number), more=True))
            driver.pop()

    def test_only_the_earliest_where_the_buffer_is_full(self) -> None:
        """Nobody could read a part of another."""
        driver = reading(spread(3000), workers=4, buffer_bytes=12_000, slice_records=100)
        for _ in range(400):
            if driver.reading.done:
                break
            if not driver.take() and not driver.tickets:
                driver.pop()
                continue
            later = [ticket for ticket in driver.tickets if ticket.slice is not driver.reading._slices[0]]
            ticket = (later or driver.tickets)[-1]
            full = buffered(driver.reading) >= 12_000 - 3000 * len(driver.tickets)
            before = driver.reading.progress.slices
            driver.answer(ticket)
            assert not (later and full and driver.reading.progress.slices > before)
            if not later:
                driver.pop()
        driver.finish()
        driver.complete()

    @BOTH
    @pytest.mark.parametrize("bound", [3000, 20_000, BUFFER_BYTES])
    def test_nothing_is_lost_and_nothing_comes_twice(self, axis: Axis, bound: int) -> None:
        """By any schedule, pages that have waited too long among them; parts are cut at instants that many share."""
        shared = 0
        for seed in range(12):
            rng = random.Random(seed)
            index = Index(rng, {f"c{number:05d}": NOON + number // 9 * 9 for number in range(900)})
            driver = reading(
                index, high=NOON + 900, axis=axis, page_size=5, slice_records=600, max_age=8, buffer_bytes=bound
            )
            steps = 0
            while not driver.reading.done:
                steps += 1
                driver.now += rng.choice([0, 0, 0, 0.2]) if steps < 3000 else 0
                driver.take(rng.randrange(3))
                if driver.tickets and rng.random() < 0.8:
                    driver.answer(rng.choice(driver.tickets))
                shared += any(piece.shared for piece in driver.reading._slices)
                assert buffered(driver.reading) <= bound + 4 * 300 * 200
                if rng.random() < 0.5:
                    driver.pop()
            driver.complete()
        assert shared
