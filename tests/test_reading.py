"""A reading, driven step by step: order, slices, bounds, and pages that have waited too long."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_genesys_search import timestamps
from tap_genesys_search.errors import ContractError, QueryError, SearchTimeoutError
from tap_genesys_search.pagination import MAX_HALVINGS, SeekCursor
from tap_genesys_search.question import Ask, Axis
from tap_genesys_search.reading import BUFFER_BYTES, Reading
from tests.index import NOON, Index, SortedIndex, page

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_genesys_search.records import Answer
    from tap_genesys_search.slices import Page, Ticket

BOTH = pytest.mark.parametrize("axis", list(Axis))
SLOW = SearchTimeoutError("too slow")
Found = list[tuple[str, str | None]]


@dataclass
class Driver:
    """Drives a reading by hand; time is a number."""

    reading: Reading
    index: Index | SortedIndex
    now: float = 0.0
    found: Found = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    tickets: list[Ticket] = field(default_factory=list)

    def take(self, at_most: int = 1000) -> list[Ticket]:
        """Take all the tickets there are."""
        taken: list[Ticket] = []
        while len(taken) < at_most and (ticket := self.reading.take(self.now)) is not None:
            taken.append(ticket)
        self.tickets += taken
        return taken

    def answer(self, ticket: Ticket) -> None:
        """Answer one."""
        self.tickets.remove(ticket)
        answer = self.index.answer(ticket.question)
        if answer is None:
            self.reading.refuse(ticket, QueryError("too deep"))
        else:
            self.reading.deliver(ticket, answer)

    def pop(self) -> Page | None:
        """Collect one page."""
        got = self.reading.pop(self.now)
        if got is not None:
            self.pages.append(got)
            self.found += zip(got.batch.ids, got.batch.stamps, strict=True)
        return got

    def round(self) -> list[Ticket]:
        """Take all the tickets there are, answer them, collect what there is."""
        self.take()
        taken = list(self.tickets)
        for ticket in taken:
            self.answer(ticket)
        while self.pop() is not None:
            pass
        return taken

    def finish(self, rounds: int = 5000) -> None:
        """Go on to the end."""
        for _ in range(rounds):
            if self.reading.done:
                return
            self.round()
        message = "it never ends"
        raise AssertionError(message)

    def complete(self) -> None:
        """Check that everything was found once, in order of time."""
        assert isinstance(self.index, Index)
        want = sorted((key, timestamps.write(stamp)) for key, stamp in self.index.stamps.items())
        assert sorted(self.found, key=str) == want
        stamps = [stamp for _, stamp in self.found if stamp]
        assert stamps == sorted(stamps, reverse=self.reading.axis is Axis.NEWEST_FIRST)


def spread(count: int, step: int = 1000, *, seed: int = 1) -> Index:
    return Index(random.Random(seed), {f"c{number:05d}": NOON + number * step for number in range(count)})


def reading(
    index: Index | SortedIndex,
    low: int = NOON,
    high: int = NOON + 10_000_000,
    *,
    workers: int = 4,
    page_size: int = 10,
    slice_records: int = 50,
    max_age: float = 1e9,
    axis: Axis = Axis.OLDEST_FIRST,
    limit: int | None = None,
    eager: bool = False,
    buffer_bytes: int = BUFFER_BYTES,
    fix_end: Callable[[Answer], int | None] = lambda _: None,
) -> Driver:
    return Driver(
        Reading(
            low,
            high,
            axis=axis,
            page_size=page_size,
            slice_records=slice_records,
            max_age=max_age,
            workers=lambda: workers,
            fix_end=fix_end,
            limit=limit,
            eager=eager,
            buffer_bytes=buffer_bytes,
        ),
        index,
    )


def buffered(of: Reading) -> int:
    """Bytes that wait to be collected, counted page by page."""
    return sum(page.size for piece in of._slices for page in piece.pages)  # noqa: SLF001 - the claim is about them


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
            pieces = list(driver.reading._slices)  # noqa: SLF001 - the claim is about them
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
        assert searches[100] <= 100 // 9 + 1
        assert searches[None] > 1.5 * searches[100]

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

    def test_a_dense_instant_is_finished_by_its_own_slice_while_others_go_on(self) -> None:
        crowd = {f"t{number:05d}": NOON + 1000 for number in range(2000)}
        driver = reading(Index(random.Random(1), {**spread(500).stamps, **crowd}), slice_records=40)
        both = False
        while not driver.reading.done:
            asked = {ticket.question.by for ticket in driver.round()}
            both = both or {Ask.ID, Ask.TIME} <= asked
        driver.complete()
        assert both


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
            driver.reading._starved = True  # noqa: SLF001 - when the buffer is full depends on much
            driver.answer(ticket)
            found.append(sum(each.shared for each in driver.reading._slices))  # noqa: SLF001
        assert found == [2, 4]

    def test_not_where_as_many_as_are_wanted_are_being_read(self) -> None:
        driver = self._begun(spread(3000), high=NOON + 3_000_000, limit=2000)
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
                assert all(piece.start < piece.end for piece in driver.reading._slices)  # noqa: SLF001 - the claim
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
            later = [ticket for ticket in driver.tickets if ticket.slice is not driver.reading._slices[0]]  # noqa: SLF001
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
                shared += any(piece.shared for piece in driver.reading._slices)  # noqa: SLF001 - it has happened
                assert buffered(driver.reading) <= bound + 4 * 300 * 200
                if rng.random() < 0.5:
                    driver.pop()
            driver.complete()
        assert shared


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


class TestOpenRanges:
    """Downwards, without a beginning: the oldest record is looked for, so that widths fit."""

    def test_the_oldest_is_looked_for_once(self) -> None:
        driver = reading(
            spread(2000), timestamps.BEGIN, timestamps.END, axis=Axis.NEWEST_FIRST, page_size=10, slice_records=50
        )
        edges = []
        while not driver.reading.done:
            edges += [ticket for ticket in driver.round() if ticket.edge]
        assert len(edges) == 1
        assert edges[0].question.axis is Axis.OLDEST_FIRST
        assert edges[0].question.size == 1
        driver.complete()

    def test_not_for_a_few(self) -> None:
        driver = reading(
            spread(2000), timestamps.BEGIN, timestamps.END, axis=Axis.NEWEST_FIRST, slice_records=50, limit=100
        )
        edges = []
        while len(driver.found) < 100:
            edges += [ticket for ticket in driver.round() if ticket.edge]
        assert edges == []

    def test_not_for_one_worker(self) -> None:
        driver = reading(spread(200), timestamps.BEGIN, timestamps.END, axis=Axis.NEWEST_FIRST, workers=1)
        while not driver.reading.done:
            assert not any(ticket.edge for ticket in driver.round())
        driver.complete()

    def _until_edge(self) -> tuple[Driver, Ticket]:
        driver = reading(spread(2000), timestamps.BEGIN, timestamps.END, axis=Axis.NEWEST_FIRST, slice_records=50)
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
        driver = reading(index, timestamps.BEGIN, timestamps.END, axis=Axis.NEWEST_FIRST, slice_records=2)
        driver.finish()
        driver.complete()


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
            assert buffered(driver.reading) == driver.reading._buffered  # noqa: SLF001 - what it believes
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
            later = [ticket for ticket in driver.tickets if ticket.slice is not driver.reading._slices[0]]  # noqa: SLF001
            if later:
                driver.answer(later[-1])
                continue
            assert driver.tickets, "nobody reads what all wait for"
            driver.answer(driver.tickets[0])
            while driver.pop():
                pass
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
        held = [
            key
            for piece in driver.reading._slices  # noqa: SLF001 - what waits
            for got in piece.pages
            for key in got.batch.ids
        ]
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


@BOTH
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.sampled_from([0, 1, 5, 50, 300]),
    width=st.sampled_from([1, 10, 1000, 100_000]),
    workers=st.integers(1, 8),
    page_size=st.sampled_from([1, 7, 50, 200]),
    slice_records=st.sampled_from([5, 10, 100, 400]),
    max_age=st.sampled_from([6.0, 20.0, 1000.0]),
    bound=st.sampled_from([0, 3000, 30_000, BUFFER_BYTES]),
)
def test_any_index_by_any_schedule_comes_once_and_in_order(
    axis: Axis,
    *,
    seed: int,
    count: int,
    width: int,
    workers: int,
    page_size: int,
    slice_records: int,
    max_age: float,
    bound: int,
) -> None:
    """G4, and that it ends."""
    rng = random.Random(seed)
    ids = rng.random() < 0.8
    index = Index(
        rng,
        {f"c{number:05d}": NOON + rng.randrange(width) for number in range(count)},
        id_ranges=ids,
        stable_ties=not ids,
    )
    driver = reading(
        index,
        timestamps.BEGIN if rng.random() < 0.3 else NOON,
        timestamps.END if rng.random() < 0.3 and axis is Axis.NEWEST_FIRST else NOON + width,
        axis=axis,
        workers=workers,
        page_size=page_size,
        slice_records=slice_records,
        max_age=max_age,
        buffer_bytes=bound,
    )
    slow = rng.choice([0.0, 0.0, 0.05])
    empty = rng.choice([0.0, 0.0, 0.05])
    steps = 0
    while not driver.reading.done:
        steps += 1
        assert steps < 100 * (count + 50), "it never ends"
        driver.now += rng.random() if steps < 10 * (count + 50) else 0.0
        chance = rng.random()
        if chance < 0.4:
            driver.take(1)
        elif chance < 0.8 and driver.tickets:
            ticket = rng.choice(driver.tickets)
            if rng.random() < slow and _can_narrow(ticket):
                driver.tickets.remove(ticket)
                driver.reading.too_slow(ticket, SLOW)
            elif ticket.question.by is Ask.TIME and rng.random() < empty:
                driver.tickets.remove(ticket)
                driver.reading.deliver(ticket, page(more=True))
            else:
                driver.answer(ticket)
        else:
            driver.pop()
        assert buffered(driver.reading) <= bound + workers * 300 * 200
    driver.complete()
    assert driver.reading.take(driver.now) is None


@BOTH
@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    width=st.sampled_from([5, 50, 1000]),
    crowd=st.sampled_from([1, 5, 20]),
    page_size=st.sampled_from([1, 2, 5, 10]),
    bound=st.sampled_from([0, 3000, BUFFER_BYTES]),
    change=st.sampled_from([0.02, 0.2, 0.6]),
)
def test_what_stays_in_its_place_comes_whatever_moves_around_it(
    axis: Axis, *, seed: int, width: int, crowd: int, page_size: int, bound: int, change: float
) -> None:
    """At any search some leave, alone or by whole instants, and others show late, some of them where it is read now."""
    rng = random.Random(seed)
    index = Index(rng)
    for number in range(100):
        shared = number % crowd and index.stamps
        index.stamps[f"c{number:03d}"] = index.stamps[f"c{number - 1:03d}"] if shared else NOON + rng.randrange(width)
    stood = set(index.stamps)
    driver = reading(
        index, high=NOON + width, axis=axis, page_size=page_size, slice_records=20, max_age=20, buffer_bytes=bound
    )
    steps = 0
    while not driver.reading.done:
        steps += 1
        assert steps < 20_000, "it never ends"
        if steps < 800 and rng.random() < change:
            where = rng.choice(sorted(index.stamps.values()) or [NOON])
            if rng.random() < 0.3:
                gone = [key for key, stamp in index.stamps.items() if stamp == where]
                for key in rng.sample(gone, rng.choice([1, len(gone)]) if gone else 0):
                    stood.discard(key)
                    del index.stamps[key]
            elif driver.tickets and rng.random() < 0.5:
                question = rng.choice(driver.tickets).question
                where = min(max(NOON, question.low) + rng.randrange(3), NOON + width - 1)
            index.stamps.update({f"late{steps:05d}-{number}": where for number in range(rng.choice([1, crowd]))})
        driver.now += rng.random() if steps < 1000 else 0
        driver.take(rng.randrange(3))
        if driver.tickets and rng.random() < 0.7:
            driver.answer(rng.choice(driver.tickets))
        if rng.random() < 0.5:
            driver.pop()
    keys = [key for key, _ in driver.found]
    assert stood <= set(keys)
    assert len(set(keys)) == len(keys)
    stamps = [stamp for _, stamp in driver.found]
    assert stamps == sorted(stamps, key=str, reverse=axis is Axis.NEWEST_FIRST)


def _can_narrow(ticket: Ticket) -> bool:
    at: SeekCursor | None = ticket.slice.cursor
    return ticket.edge or (ticket.slice.ticket is not ticket) or (at is not None and at.narrowed() is not None)


def test_full_pages_and_hardly_a_search_more() -> None:
    """Reading a backfill side by side costs little more than pages need."""
    stamps = []
    rng = random.Random(1)
    instant = NOON
    for number in range(60_000):
        instant += int(rng.expovariate(1 if number // 400 % 2 else 0.1) * 500) + 1
        stamps.append(instant)
    index = SortedIndex(stamps)
    driver = reading(index, NOON, instant + 1, page_size=200, slice_records=4000)
    driver.finish()
    assert len(driver.found) == len({key for key, _ in driver.found}) == 60_000
    assert index.searches <= 1.08 * 60_000 / 200
