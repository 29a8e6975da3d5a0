"""A reading, driven step by step: which question is asked when, where it ends, and the order of pages."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tap_genesys_search import timestamps
from tap_genesys_search.errors import ContractError
from tap_genesys_search.question import Ask, Axis
from tests.support.driver import BOTH, SLOW, reading, spread
from tests.support.index import NOON, Index, page

if TYPE_CHECKING:
    from tap_genesys_search.records import Answer


class TestPlan:
    """Which question is asked when."""

    def test_a_small_range_takes_one_search(self) -> None:
        driver = reading(spread(7))
        driver.finish()
        assert driver.index.searches == 1
        driver.complete()

    def test_nothing_takes_one_search_and_brings_no_page(self) -> None:
        driver = reading(spread(0))
        driver.finish()
        assert (driver.index.searches, driver.pages) == (1, [])

    def test_only_one_question_before_the_first_answer(self) -> None:
        driver = reading(spread(500))
        assert len(driver.take()) == 1

    def test_never_more_questions_than_workers(self) -> None:
        driver = reading(spread(2000), workers=3)
        while not driver.reading.done:
            driver.round()
            driver.take()
            assert len(driver.tickets) <= 3

    def test_all_workers_are_used(self) -> None:
        driver = reading(spread(2000), workers=4)
        widest = 0
        while not driver.reading.done:
            widest = max(widest, len(driver.round()))
        assert widest == 4
        assert driver.reading.progress.slices > 10
        driver.complete()

    def test_with_one_worker_there_is_one_slice_and_nothing_is_asked_for_twice(self) -> None:
        driver = reading(spread(2000), workers=1)
        driver.finish()
        assert driver.reading.progress.slices == 1
        # Each page begins with the last record of the one before.
        assert driver.index.searches == -(-(2000 - 10) // 9) + 1
        driver.complete()

    def test_slices_hold_about_what_they_aim_for(self) -> None:
        driver = reading(spread(5000), slice_records=100, high=NOON + 5_000_000)
        driver.finish()
        driver.complete()
        assert 30 < driver.reading.progress.slices < 80

    @pytest.mark.parametrize("step", [1, 7, 1000])
    def test_slices_share_their_edges(self, step: int) -> None:
        """No instant between two slices, none in both: what is asked for first in each slice is where another ends."""
        driver = reading(spread(600, step), high=NOON + 600 * step, slice_records=20)
        while not driver.reading.done:
            pieces = list(driver.reading._slices)
            assert all(before.end == after.start for before, after in pairwise(pieces))
            driver.round()
        driver.complete()

    def test_one_who_leaves_early_has_not_paid_for_much(self) -> None:
        driver = reading(spread(5000), workers=8)
        for _ in range(3):
            while driver.pop() is None:
                driver.take()
                driver.answer(driver.tickets[0])
        for _ in range(100):
            driver.take()
            if not driver.tickets:
                break
            driver.answer(driver.tickets[0])
        assert driver.index.searches <= 1 + 16 * 3 + 8

    def test_one_who_takes_all_waits_for_nothing(self) -> None:
        driver = reading(spread(5000), workers=8, eager=True)
        driver.take()
        driver.answer(driver.tickets[0])
        assert len(driver.take()) == 8

    def test_until_a_second_page_is_wanted_one_is_read(self) -> None:
        driver = reading(spread(5000), workers=8)
        driver.take()
        driver.answer(driver.tickets[0])
        assert driver.take() == []
        assert driver.pop() is not None
        assert len(driver.take()) == 1

    def test_a_limit_keeps_workers_from_reading_further(self) -> None:
        searches = {}
        for limit in (100, None):
            driver = reading(spread(5000), workers=8, limit=limit)
            for _ in range(2):
                driver.round()
            for _ in range(100):
                driver.take()
                if not driver.tickets:
                    break
                driver.answer(driver.tickets[0])
            searches[limit] = driver.index.searches
        assert searches[100] <= 1.2 * 100 / 9
        assert searches[None] > 1.4 * searches[100]

    @BOTH
    def test_a_limit_is_met_by_all_workers_together(self, axis: Axis) -> None:
        """Slices are no longer than their share of it, and what lies behind it is not read."""
        rounds, searches = {}, {}
        for workers in (1, 8):
            driver = reading(spread(9000), axis=axis, workers=workers, page_size=50, slice_records=4000, limit=4000)
            rounds[workers] = 0
            while len(driver.found) < 4000:
                driver.round()
                rounds[workers] += 1
            searches[workers] = driver.index.searches
        assert searches[8] < 1.25 * searches[1]
        assert rounds[8] < rounds[1] / 4

    @pytest.mark.parametrize("workers", [1, 4])
    def test_behind_a_limit_nothing_is_read_before_the_reader_waits_for_it(self, workers: int) -> None:
        driver = reading(spread(300), workers=workers, page_size=20, limit=20)
        driver.take()
        driver.answer(driver.tickets[0])
        assert driver.take() == []
        assert driver.pop() is not None
        assert driver.take() == []
        assert driver.pop() is None
        (ticket,) = driver.take()
        # A page without records is none that the reader waited for.
        driver.tickets.clear()
        driver.reading.deliver(ticket, page(more=True))
        assert driver.pop() is None
        assert len(driver.take()) == 1

    def test_a_limit_is_only_a_hint(self) -> None:
        driver = reading(spread(300), limit=20)
        driver.finish()
        driver.complete()

    def test_the_total_is_only_a_hint(self) -> None:
        for total in (0, 1, 10**12, None):
            index = spread(700)
            driver = reading(index)
            while not driver.reading.done:
                for ticket in driver.take() or list(driver.tickets):
                    answer = index.answer(ticket.question)
                    assert answer is not None
                    driver.tickets.remove(ticket)
                    driver.reading.deliver(ticket, replace(answer, total=total))
                while driver.pop():
                    pass
            driver.complete()

    def test_a_heavy_slice_is_cut_so_that_others_can_help(self) -> None:
        """All lies in a small part of the range, where the density of the whole expects one slice."""
        stamps = {f"c{number:05d}": NOON + 5_000_000 + 100 * number for number in range(3000)}
        driver = reading(Index(random.Random(1), {"a": NOON, **stamps, "z": NOON + 9_999_999}), slice_records=40)
        busy: list[int] = []
        while not driver.reading.done:
            busy.append(len(driver.round()))
        driver.complete()
        assert Counter(busy).most_common(1)[0][0] == 4
        assert len(busy) < 3000 / 10 / 2

    @pytest.mark.parametrize("where", [0, 1000, 9_000_000])
    @pytest.mark.parametrize("burst", [1, 3, 1000])
    def test_behind_a_burst_slices_widen_again(self, where: int, burst: int) -> None:
        """Thousands of records within a moment, and quiet hours around them."""
        stamps = {f"b{number:05d}": NOON + where + number % burst for number in range(3000)}
        driver = reading(Index(random.Random(1), {**spread(50, 200_000).stamps, **stamps}), slice_records=40)
        driver.finish()
        driver.complete()
        assert driver.index.searches < 2 * 3050 / 10

    def test_they_widen_though_each_aims_for_one_record(self) -> None:
        stamps = {f"b{number:05d}": NOON + number for number in range(300)}
        index = Index(random.Random(1), {**stamps, "z": NOON + 9_000_000})
        driver = reading(index, page_size=1, buffer_bytes=0)
        driver.finish()
        driver.complete()
        assert index.searches < 2000

    def test_a_slice_with_heavy_records_is_cut(self) -> None:
        """By bytes: each page is a tenth of the buffer."""
        index = spread(2000)
        driver = reading(index, slice_records=100_000, buffer_bytes=20_000)
        while not driver.reading.done:
            driver.round()
        driver.complete()
        assert driver.reading.progress.slices > 10

    def test_what_is_cut_off_knows_what_has_been_given_at_its_beginning(self) -> None:
        """It is asked for from the last timestamp of the page before, so that page's end comes again."""
        driver = reading(spread(2000))
        driver.take()
        driver.answer(driver.tickets[0])
        first, rest = driver.reading._slices
        assert (first.cursor, rest.follows) == (None, True)
        assert rest.cursor is not None
        assert rest.cursor.known == {first.pages[0].batch.ids[-1]}

    def test_a_dense_instant_is_finished_by_its_own_slice_while_others_go_on(self) -> None:
        crowd = {f"t{number:05d}": NOON + 1000 for number in range(2000)}
        driver = reading(Index(random.Random(1), {**spread(500).stamps, **crowd}), slice_records=40)
        both = False
        while not driver.reading.done:
            asked = {ticket.question.by for ticket in driver.round()}
            both = both or {Ask.ID, Ask.TIME} <= asked
        driver.complete()
        assert both


class TestBeginning:
    """The first answer fixes the end."""

    def test_what_lies_behind_the_end_is_dropped(self) -> None:
        driver = reading(spread(20), page_size=50, fix_end=lambda _: NOON + 5000)
        driver.finish()
        assert [key for key, _ in driver.found] == [f"c{number:05d}" for number in range(5)]
        assert driver.index.searches == 1

    def test_what_lies_in_front_of_it_is_all_read(self) -> None:
        driver = reading(spread(100), fix_end=lambda _: NOON + 50_000)
        driver.finish()
        assert len(driver.found) == 50

    def test_it_is_asked_once_with_the_first_answer(self) -> None:
        answers: list[Answer] = []
        driver = reading(spread(100), fix_end=answers.append)
        driver.finish()
        assert len(answers) == 1
        assert answers[0].ids[0] == "c00000"

    def test_a_later_end_changes_nothing(self) -> None:
        driver = reading(spread(100), high=NOON + 50_000, fix_end=lambda _: NOON + 90_000)
        driver.finish()
        assert len(driver.found) == 50

    @pytest.mark.parametrize("more", [True, False])
    def test_one_without_a_timestamp_does_not_hide_what_is_in_front_of_the_end(self, *, more: bool) -> None:
        driver = reading(spread(0), fix_end=lambda _: NOON + 10)
        (ticket,) = driver.take()
        driver.reading.deliver(
            ticket, page(("a", NOON + 1), (None, NOON + 2), ("x", None), ("b", NOON + 3), ("c", NOON + 11), more=more)
        )
        driver.pop()
        assert [key for key, _ in driver.found] == ["a", "x", "b"]
        assert driver.reading.done

    def test_the_end_hides_no_disorder(self) -> None:
        driver = reading(spread(0), fix_end=lambda _: NOON + 10)
        (ticket,) = driver.take()
        with pytest.raises(ContractError, match="out of order"):
            driver.reading.deliver(ticket, page(("a", NOON + 1), ("c", NOON + 11), ("b", NOON + 3), more=True))

    @pytest.mark.parametrize("shown", [[], [("a", NOON + 1)]])
    def test_an_end_in_front_of_the_beginning_leaves_nothing_to_ask(self, shown: list[tuple[str, int]]) -> None:
        driver = reading(spread(0), fix_end=lambda _: NOON - 5)
        (ticket,) = driver.take()
        driver.reading.deliver(ticket, page(*shown, more=True))
        assert driver.pop() is None
        assert driver.reading.done

    def test_a_first_question_that_is_too_slow_is_narrowed(self) -> None:
        driver = reading(spread(100))
        (ticket,) = driver.take()
        driver.tickets.clear()
        driver.reading.too_slow(ticket, SLOW)
        (second,) = driver.take()
        assert second.question.high - second.question.low == 5_000_000
        driver.finish()
        driver.complete()


class TestOrder:
    """Pages come in order of time, whatever comes back first."""

    @BOTH
    def test_the_last_answer_first(self, axis: Axis) -> None:
        driver = reading(spread(1000), axis=axis)
        while not driver.reading.done:
            driver.take()
            if driver.tickets:
                driver.answer(driver.tickets[-1])
            driver.pop()
        driver.complete()

    def test_a_page_tells_where_it_ends(self) -> None:
        driver = reading(spread(100))
        driver.finish()
        for got in driver.pages:
            assert timestamps.write(got.last) == got.batch.stamps[-1]

    def test_no_page_is_empty(self) -> None:
        driver = reading(Index(random.Random(1), {f"c{number:03d}": NOON for number in range(300)}))
        driver.finish()
        assert all(len(got.batch) for got in driver.pages)
        driver.complete()

    def test_one_without_a_timestamp_comes_once(self) -> None:
        driver = reading(spread(0), high=NOON + 100, workers=1)
        answers = [
            page(("a", NOON + 1), ("x", None), ("b", NOON + 2), more=True),
            page(("b", NOON + 2), ("x", None), ("y", None), more=False),
        ]
        for answer in answers:
            (ticket,) = driver.take()
            driver.reading.deliver(ticket, answer)
            while driver.pop():
                pass
        assert [key for key, _ in driver.found] == ["a", "x", "b", "y"]
        assert driver.reading.done

    def test_progress_counts_what_was_collected(self) -> None:
        driver = reading(spread(500))
        driver.finish()
        progress = driver.reading.progress
        assert (progress.records, progress.pages, progress.reread) == (500, driver.index.searches, 0)
        assert progress.total == 500
