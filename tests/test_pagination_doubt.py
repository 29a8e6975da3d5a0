"""The seek cursor where an answer is doubted: what fills a page, and what does not show what was known."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tap_genesys_search.errors import ContractError
from tap_genesys_search.pagination import MAX_DOUBTS, MAX_EMPTY_PAGES, MAX_LOOKS, SeekCursor
from tap_genesys_search.question import Ask, Axis, Question
from tests.support.cursors import BOTH, changed, crowd, cursor, read, same, step
from tests.support.index import NOON, Index, page

if TYPE_CHECKING:
    from tap_genesys_search.records import Answer


@BOTH
class TestBefore:
    """An instant that fills a page shows no order: what lies before it is read first."""

    def _until_before(self, axis: Axis) -> SeekCursor:
        batch, at = cursor(axis, size=2).advance(page(("a", step(axis, 5)), ("b", step(axis, 5)), more=True))
        assert batch.ids == []
        assert at is not None
        return at

    def test_it_is_asked_for(self, axis: Axis) -> None:
        question = self._until_before(axis).question()
        assert axis.span(question.low, question.high) == (cursor(axis).at, cursor(axis).at + 5)
        assert question.by is Ask.TIME

    def test_nothing_there_lets_the_instant_be_read_by_id(self, axis: Axis) -> None:
        batch, following = self._until_before(axis).advance(page(more=False))
        assert batch.ids == []
        assert following is not None
        question = following.question()
        assert (question.by, question.low, question.high) == (Ask.ID, step(axis, 5), step(axis, 5) + 1)

    def test_what_is_there_comes_first(self, axis: Axis) -> None:
        index = Index(random.Random(1), crowd(9, step(axis, 5)))
        late = {f"late{number}": step(axis, number) for number in range(5)}
        found, _ = read(index, cursor(axis, size=2), changed(index, 1, lambda: index.stamps.update(late)))
        same(found, index, axis)

    def test_what_fills_a_page_there_is_no_disorder(self, axis: Axis) -> None:
        """An index is late by whole crowds, too, when it was they that came at once."""
        index = Index(random.Random(1), crowd(9, step(axis, 5)))
        stamps = index.stamps

        def show(_: Question, answer: Answer | None) -> Answer | None:
            if index.searches in {1, 2}:
                stamps.update(crowd(7, step(axis, 5 - 2 * index.searches), prefix=f"late{index.searches}-"))
            return answer

        found, _ = read(index, cursor(axis, size=2), show)
        assert len(stamps) == 23
        same(found, index, axis)

    def test_always_something_nearer_is_disorder(self, axis: Axis) -> None:
        at: SeekCursor | None = cursor(axis)
        asked = 0

        def read_on() -> None:
            nonlocal at, asked
            for number in range(1000, 0, -1):
                assert at is not None
                asked += 1
                _, at = at.advance(page((f"c{number}", step(axis, number)), more=True))

        with pytest.raises(ContractError, match="does not honour sort"):
            read_on()
        assert MAX_DOUBTS <= asked <= MAX_DOUBTS + 2

    def test_a_page_that_fits_starts_the_count_anew(self, axis: Axis) -> None:
        at = replace(self._until_before(axis), doubts=MAX_DOUBTS)
        batch, following = at.advance(page(("y", step(axis, 1)), ("z", step(axis, 2)), more=True))
        assert batch.ids == ["y", "z"]
        assert following is not None
        assert (following.doubts, following.before) == (0, at.before)

    @pytest.mark.parametrize("end", [1, 5])
    def test_a_nearer_end_ends_it(self, axis: Axis, end: int) -> None:
        """As when another reads the rest: what filled the page is the other's."""
        at = self._until_before(axis)
        assert at.clipped(at.at + end).advance(page(more=False))[1] is None

    def test_an_end_behind_it_does_not(self, axis: Axis) -> None:
        at = self._until_before(axis)
        following = at.clipped(at.at + 6).advance(page(more=False))[1]
        assert following is not None
        assert following.by is Ask.ID

    def test_it_is_not_cut_there(self, axis: Axis) -> None:
        at = self._until_before(axis)
        assert at.cut() == (at, None)

    def test_a_time_out_halves_it(self, axis: Axis) -> None:
        at = self._until_before(axis).narrowed()
        assert at is not None
        assert at.until == at.at + 2
        spans = []
        while at is not None and at.by is Ask.TIME:
            spans.append(at.until - at.at)
            at = at.advance(page(more=False))[1]
        assert spans == [2, 3]
        assert at is not None
        assert axis.place(at.at) == step(axis, 5)

    @pytest.mark.parametrize("between", [1, 2, 5])
    def test_a_dense_instant_in_front_of_it_is_read_by_id(self, axis: Axis, between: int) -> None:
        """It shows late, right where the range begins."""
        index = Index(random.Random(2), crowd(9, step(axis, 5)))
        late = crowd(9, step(axis, 5 - between), prefix="late")
        begin = cursor(axis, size=3)
        found, asked = read(
            index, replace(begin, at=begin.at + 5 - between), changed(index, 1, lambda: index.stamps.update(late))
        )
        same(found, index, axis)
        assert [question.by for question in asked].count(Ask.NO_ID) == 2
        assert all(question.low < question.high for question in asked)


@BOTH
class TestDoubt:
    """An answer that does not show what was known is asked for again, and at last from the other side."""

    def _known(self, axis: Axis, by: Ask = Ask.TIME) -> SeekCursor:
        """Asked on from an instant where two are known."""
        answer = page(("a", step(axis, 1)), ("b", step(axis, 5)), ("c", step(axis, 5)), more=True)
        at = cursor(axis, size=3).advance(answer)[1]
        assert at is not None
        if by is not Ask.TIME:
            at = at.advance(page(("b", step(axis, 5)), ("c", step(axis, 5)), ("d", step(axis, 5)), more=True))[1]
            assert at is not None
        if by is Ask.TOKEN:
            at = at.refused()
            assert at is not None
        assert at.by is by
        return at

    def _until_check(self, axis: Axis, by: Ask, answer: Answer) -> SeekCursor:
        at = self._known(axis, by)
        for _ in range(MAX_LOOKS + 1):
            assert at.by is by
            before = at.question()
            batch, following = at.advance(answer)
            assert batch.ids == []
            assert following is not None
            assert following.question() != before
            at = following
        assert at.by is Ask.CHECK
        return at

    @pytest.mark.parametrize("by", [Ask.TIME, Ask.ID, Ask.TOKEN])
    def test_it_asks_for_the_newest_of_what_lies_up_to_there(self, axis: Axis, by: Ask) -> None:
        at = self._until_check(axis, by, page(more=False))
        question = at.question()
        # An instant that is read by id or by token was shown by a page that was asked for from there.
        begin = 0 if by is Ask.TIME else 5
        assert axis.span(question.low, question.high) == (cursor(axis).at + begin, cursor(axis).at + 6)
        assert (question.size, question.axis) == (1, axis.reverse)
        assert question.body("*")["sort"] == [{"field": "timestamp", "direction": axis.reverse.value}]

    @pytest.mark.parametrize("by", [Ask.TIME, Ask.ID, Ask.TOKEN])
    def test_what_has_moved_is_not_waited_for(self, axis: Axis, by: Ask) -> None:
        at = self._until_check(axis, by, page(more=False))
        batch, following = at.advance(page(more=False))
        assert batch.ids == []
        assert following is not None
        assert (following.by, following.at) == (Ask.TIME, at.at)
        batch, following = following.advance(page(("z", step(axis, 9)), more=False))
        assert (batch.ids, following) == (["z"], None)

    def test_it_may_be_another_that_the_check_finds(self, axis: Axis) -> None:
        at = self._until_check(axis, Ask.TIME, page(("z", step(axis, 9)), more=False))
        following = at.advance(page(("a", step(axis, 1)), more=True))[1]
        assert following is not None
        assert following.by is Ask.TIME

    @pytest.mark.parametrize("by", [Ask.TIME, Ask.ID, Ask.TOKEN])
    def test_what_came_there_just_now_is_read(self, axis: Axis, by: Ask) -> None:
        """It is no proof that the API had held it back."""
        at = self._until_check(axis, by, page(more=False))
        following = at.advance(page(("late", step(axis, 5)), more=False))[1]
        assert following is not None
        assert following.by is Ask.TIME
        batch, end = following.advance(page(("late", step(axis, 5)), ("z", step(axis, 9)), more=False))
        assert (batch.ids, end) == (["late", "z"], None)

    @pytest.mark.parametrize("by", [Ask.TIME, Ask.ID, Ask.TOKEN])
    @pytest.mark.parametrize("shown", ["b", "another"])
    def test_what_is_held_back_again_and_again_is_an_error(self, axis: Axis, by: Ask, shown: str) -> None:
        at: SeekCursor | None = self._known(axis, by)
        asked = 0

        def read_on() -> None:
            nonlocal at, asked
            while at is not None:
                asked += 1
                check = at.by is Ask.CHECK
                _, at = at.advance(page((shown, step(axis, 5)), more=False) if check else page(more=False))

        with pytest.raises(ContractError, match="does not honour ranges"):
            read_on()
        assert asked <= 2 * MAX_DOUBTS

    def test_an_api_that_leaves_out_the_beginning_is_found_out(self, axis: Axis) -> None:
        index = Index(random.Random(1), {f"c{number}": NOON + number // 2 for number in range(40)})

        def without(question: Question, _: Answer | None) -> Answer | None:
            up = axis is Axis.OLDEST_FIRST
            return index.answer(replace(question, low=question.low + up, high=question.high - (not up)))

        with pytest.raises(ContractError, match="does not honour ranges"):
            read(index, cursor(axis, low=NOON, high=NOON + 30, size=7), without)

    def test_one_that_is_behind_for_a_moment_is_asked_again(self, axis: Axis) -> None:
        index = Index(random.Random(1), {f"c{number}": NOON + number for number in range(40)})
        searches = 0

        def behind(_: Question, answer: Answer | None) -> Answer | None:
            nonlocal searches
            searches += 1
            return page(more=False) if searches % 3 == 2 else answer

        found, asked = read(index, cursor(axis, size=7), behind)
        same(found, index, axis)
        assert Ask.CHECK not in {question.by for question in asked}

    def test_what_moves_at_each_search_hides_no_other(self, axis: Axis) -> None:
        """Each time it is what a page ends with, so that the next is doubted."""
        index = Index(random.Random(1), {f"c{number:03d}": NOON + number for number in range(120)})

        def move(_: Question, answer: Answer | None) -> Answer | None:
            assert answer is not None
            if answer.more:
                index.stamps.pop(str(answer.ids[-1]))
            return answer

        found, asked = read(index, cursor(axis, size=7), move)
        keys = [key for key, _ in found]
        assert set(keys) >= index.stamps.keys()
        assert len(set(keys)) == len(keys)
        assert [question.by for question in asked].count(Ask.CHECK) > 5

    @pytest.mark.parametrize(("total", "asked"), [(5, 2), (0, 1), (None, 1)])
    def test_nothing_out_of_some_is_asked_for_once_more(self, axis: Axis, total: int | None, asked: int) -> None:
        at: SeekCursor | None = cursor(axis)
        searches = 0
        while at is not None:
            searches += 1
            at = at.advance(page(more=False, total=total))[1]
        assert searches == asked

    def test_nothing_out_of_some_is_no_reason_to_look_from_the_other_side(self, axis: Axis) -> None:
        """Where nothing was known there is nothing to look for, however much has been doubted before."""
        at = replace(cursor(axis), doubts=MAX_LOOKS).advance(page(more=False, total=5))[1]
        assert at is not None
        assert at.by is Ask.TIME

    def test_an_empty_page_with_more_tells_it_nothing(self, axis: Axis) -> None:
        at: SeekCursor | None = self._until_check(axis, Ask.TIME, page(more=False))
        asked = 0

        def read_on() -> None:
            nonlocal at, asked
            while at is not None:
                assert at.by is Ask.CHECK
                asked += 1
                at = at.advance(page(more=True))[1]

        with pytest.raises(ContractError, match="in a row"):
            read_on()
        assert asked == MAX_EMPTY_PAGES

    def test_it_is_neither_halved_nor_asked_in_another_way(self, axis: Axis) -> None:
        at = self._until_check(axis, Ask.TIME, page(more=False))
        assert (at.narrowed(), at.refused()) == (None, None)
