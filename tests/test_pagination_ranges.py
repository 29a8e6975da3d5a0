"""The seek cursor's range: halved after time-outs, turned, cut, given back and clipped."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tap_genesys_search import timestamps
from tap_genesys_search.pagination import MAX_HALVINGS, SeekCursor
from tap_genesys_search.question import Ask, Axis
from tests.support.cursors import BOTH, HOUR, Found, cursor, same
from tests.support.index import NOON, Index, page


class TestNarrowing:
    """After time-outs."""

    @BOTH
    def test_half_the_range_at_most_six_times_one_try_each(self, axis: Axis) -> None:
        at: SeekCursor | None = cursor(axis)
        assert at is not None
        assert not at.question().single_try
        spans = []
        while (at := at.narrowed()) is not None:
            question = at.question()
            spans.append(question.high - question.low)
            assert question.single_try
            near, far = question.low == NOON, question.high == NOON + HOUR
            assert near if axis is Axis.OLDEST_FIRST else far
        assert spans == [HOUR // 2**number for number in range(1, MAX_HALVINGS + 1)]

    def test_the_width_that_worked_is_kept_and_doubled(self) -> None:
        index = Index(random.Random(1), {f"c{number}": NOON + number * 30_000 for number in range(120)})
        at: SeekCursor | None = cursor()
        widths: list[int] = []
        found: list[str] = []
        for _ in range(4):
            assert at is not None
            at = at.narrowed()
        while at is not None:
            question = at.question()
            widths.append(question.high - question.low)
            answer = index.answer(question)
            assert answer is not None
            batch, at = at.advance(answer)
            found += batch.ids
        assert widths == [HOUR // 16, HOUR // 8, HOUR // 4, HOUR // 2, HOUR // 16]
        assert len(found) == len(set(found)) == 120

    def test_the_width_is_kept_on_a_page_with_more(self) -> None:
        half = cursor(size=2).narrowed()
        assert half is not None
        _, following = half.advance(page(("a", NOON), ("b", NOON + 5), more=True))
        assert following is not None
        question = following.question()
        assert (question.low, question.high) == (NOON + 5, NOON + 5 + HOUR // 2)
        # Narrower than the whole is asked for with one try: another time-out costs no retries.
        assert question.single_try

    def test_six_more_after_one_that_worked(self) -> None:
        at: SeekCursor | None = cursor()
        for _ in range(MAX_HALVINGS):
            assert at is not None
            at = at.narrowed()
        assert at is not None
        assert at.narrowed() is None
        _, following = at.advance(page(more=False))
        assert following is not None
        assert following.narrowed() is not None

    def test_an_instant_cannot_be_halved(self) -> None:
        assert cursor(high=NOON + 1).narrowed() is None
        assert replace(cursor(), by=Ask.ID).narrowed() is None
        assert replace(cursor(), by=Ask.TOKEN).narrowed() is None

    @BOTH
    def test_an_open_range_is_halved_where_conversations_lie(self, axis: Axis) -> None:
        index = Index(random.Random(1), {f"c{number}": NOON + number * HOUR for number in range(-500, 500)})
        at: SeekCursor | None = cursor(axis, low=timestamps.BEGIN, high=timestamps.END, size=50)
        found: Found = []
        limit = 5 * 365 * 24 * HOUR
        asked = 0
        while at is not None:
            asked += 1
            question = at.question()
            low, high = max(question.low, 1_104_537_600_000), min(question.high, 4_102_444_800_000)
            if high - low > limit:
                at = at.narrowed()
                assert at is not None
                continue
            answer = index.answer(question)
            assert answer is not None
            batch, at = at.advance(answer)
            found += zip(batch.ids, batch.stamps, strict=True)
        same(found, index, axis)
        assert asked < 200

    @settings(deadline=None)
    @given(st.integers(0, 12), st.integers(2, 10_000))
    def test_it_covers_the_range_without_a_gap(self, narrow: int, span: int) -> None:
        """Every millisecond is asked for, whatever is halved when."""
        at: SeekCursor | None = cursor(high=NOON + span)
        covered = NOON
        turn = 0
        while at is not None:
            turn += 1
            if turn % 13 < narrow and (half := at.narrowed()) is not None:
                at = half
                continue
            question = at.question()
            assert question.low == covered
            covered = question.high
            at = at.advance(page(more=False))[1]
        assert covered == NOON + span


class TestGround:
    """The pieces that the reading builds on."""

    @BOTH
    @settings(deadline=None)
    @given(low=st.integers(-(10**12), 10**13), span=st.integers(1, 10**12))
    def test_an_axis_turns_ranges_and_places_there_and_back(self, axis: Axis, low: int, span: int) -> None:
        start, end = axis.span(low, low + span)
        assert axis.span(start, end) == (low, low + span)
        assert end - start == span
        assert {axis.place(low), axis.place(low + span - 1)} == {start, end - 1}
        assert axis.place(axis.place(low)) == low

    def test_microseconds_are_floored(self) -> None:
        """The instant that a page ends with is asked for from its whole millisecond on."""
        answer = page(("a", NOON), ("b", NOON + 417), more=True)
        _, following = cursor().advance(answer)
        assert following is not None
        assert following.at == timestamps.parse("2026-10-05T12:00:00.417999Z")

    def test_a_cut_by_time_leaves_all_to_the_rest(self) -> None:
        at = replace(cursor(), known=frozenset({"a"}))
        assert at.cut() == (None, at)

    def test_a_cut_inside_an_instant_ends_there(self) -> None:
        at = replace(cursor(), by=Ask.ID, known={"a"})
        mine, rest = at.cut()
        assert mine is not None
        assert rest is not None
        assert (mine.end, rest.at, rest.end) == (NOON + 1, NOON + 1, NOON + HOUR)
        assert (rest.by, rest.known) == (Ask.TIME, frozenset())

    def test_a_cut_inside_the_last_instant_has_no_rest(self) -> None:
        at = replace(cursor(high=NOON + 1), by=Ask.ID, known=set())
        assert at.cut()[1] is None

    def test_given_back_by_id_forgets_only_those(self) -> None:
        at = replace(cursor(), by=Ask.ID, known={"a", "b", "c"}, after_id="b")
        back = at.given_back({"c", "d"})
        assert (back.known, back.after_id) == ({"a", "b"}, "b")
        assert back != at

    def test_given_back_by_token_starts_the_reading_anew(self) -> None:
        at = replace(cursor(), by=Ask.ID, known={"a"}).refused()
        assert at is not None
        at = at.advance(page(("b", NOON), more=True))[1]
        assert at is not None
        back = at.given_back({"b"})
        assert (back.known, back.token) == ({"a"}, None)
        found, _ = back.advance(page(("a", NOON), ("b", NOON), more=False))
        assert found.ids == ["b"]

    def test_given_back_with_nothing_left_known_still_remembers_what_comes(self) -> None:
        """By token each reading shows everything again."""
        at = replace(cursor(high=NOON + 1), by=Ask.ID, known={"a"}).refused()
        assert at is not None
        following: SeekCursor | None = at.given_back({"a"})
        found = []
        while following is not None:
            batch, following = following.advance(page(("a", NOON), ("b", NOON), more=False))
            found += batch.ids
        assert found == ["a", "b"]

    def test_clipped_only_brings_the_end_nearer(self) -> None:
        assert cursor().clipped(NOON + 5).end == NOON + 5
        assert cursor().clipped(NOON + 2 * HOUR).end == NOON + HOUR
