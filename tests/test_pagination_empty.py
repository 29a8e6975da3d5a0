"""The seek cursor and empty pages that say that more follows."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tap_genesys_search import timestamps
from tap_genesys_search.errors import ContractError
from tap_genesys_search.pagination import MAX_EMPTY_PAGES, MAX_EMPTY_PAGES_FOLLOWED, MAX_READINGS, SeekCursor
from tap_genesys_search.question import Ask, Axis, Question
from tests.support.cursors import BOTH, HOUR, cursor, read, same
from tests.support.index import NOON, Index, page

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_genesys_search.records import Answer


class TestEmptyPages:
    """Empty pages that say that more follows."""

    @BOTH
    def test_asked_again_then_for_half_down_to_an_instant_then_the_token(self, axis: Axis) -> None:
        at: SeekCursor | None = cursor(axis, low=NOON, high=NOON + 1024)
        spans = []
        while at is not None and at.by is Ask.TIME:
            question = at.question()
            spans.append(question.high - question.low)
            at = at.advance(page(more=True))[1]
        assert spans == [1024, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1]
        assert at is not None
        assert (at.by, at.token) == (Ask.TOKEN, None)
        first = axis.place(at.at)
        assert at.question().range_text == Question(first, first + 1).range_text

    def test_its_token_is_not_followed(self) -> None:
        """Following it skips what the page should have held."""
        index = Index(random.Random(1), {f"c{number}": NOON + number for number in range(50)})
        count = 0

        def empty(_: Question, answer: Answer | None) -> Answer | None:
            nonlocal count
            count += 1
            return replace(page(more=True), token="2") if count % 2 else answer

        found, asked = read(index, cursor(size=10), empty)
        same(found, index)
        assert {question.token for question in asked} == {None}

    def test_a_narrow_range_that_is_answered_is_followed_by_wider_ones(self) -> None:
        index = Index(random.Random(1), {f"c{number}": NOON + number * 60_000 for number in range(60)})
        found, asked = read(
            index,
            cursor(),
            lambda question, answer: page(more=True) if question.high - question.low > 600_000 else answer,
        )
        same(found, index)
        assert len(asked) < 60

    def test_followed_fifty_times_at_an_instant(self) -> None:
        at = cursor(low=NOON, high=NOON + 1)
        at, followed = self._follow(at, empties=MAX_EMPTY_PAGES_FOLLOWED)
        assert followed == MAX_EMPTY_PAGES_FOLLOWED
        batch, _ = at.advance(page(("a", NOON), more=False))
        assert batch.ids == ["a"]

    def test_not_followed_once_more(self) -> None:
        with pytest.raises(ContractError, match="only empty pages"):
            self._follow(cursor(low=NOON, high=NOON + 1), empties=MAX_EMPTY_PAGES_FOLLOWED + 1)

    @staticmethod
    def _follow(at: SeekCursor, empties: int) -> tuple[SeekCursor, int]:
        for _ in range(2):
            following = at.advance(page(more=True))[1]
            assert following is not None
            at = following
        assert at.by is Ask.TOKEN
        followed = 0
        for number in range(empties):
            again = at.advance(replace(page(more=True), token=f"page-{number}"))[1]
            assert again is not None
            assert again.token == at.token
            following = again.advance(replace(page(more=True), token=f"page-{number}"))[1]
            assert following is not None
            at = following
            followed += at.token is not None
        return at, followed

    def test_what_was_found_behind_empty_pages_comes_once(self) -> None:
        """The second reading of the instant finds the same again; nothing was known there when the first began."""
        at: SeekCursor | None = cursor(low=NOON, high=NOON + 1)
        found = []
        for answer in [page(more=True), page(more=True), *[page(("a", NOON), ("b", NOON), more=False)] * 2]:
            assert at is not None
            batch, at = at.advance(answer)
            found += batch.ids
        assert found == ["a", "b"]
        assert at is None

    @staticmethod
    def _hundred(answers: Callable[[SeekCursor], Answer]) -> int:
        """Return how many empty pages it took; answers are given until the reading fails or ends."""
        at: SeekCursor | None = cursor(low=NOON, high=NOON + 30 * 24 * HOUR)
        empties = 0
        for _ in range(2000):
            assert at is not None
            answer = answers(at)
            empties += answer.more and not answer.records
            at = at.advance(answer)[1]
        message = "it never ends"
        raise AssertionError(message)

    def test_an_instant_that_is_empty_each_time_it_is_read_by_token_is_an_error(self) -> None:
        """What the followed tokens lead past may be all there is."""
        count = 0

        def answer(at: SeekCursor) -> Answer:
            nonlocal count
            count += 1
            empty = at.by is Ask.TIME or at.token is None
            return replace(page(more=empty), token=f"token-{count}" if empty else None)

        with pytest.raises(ContractError, match=f"read differently {MAX_READINGS} times"):
            self._hundred(answer)
        assert count < MAX_EMPTY_PAGES

    def test_a_hundred_without_a_record_between_them_are_an_error(self) -> None:
        """The end of each instant does not start the count anew, or each millisecond of a month would be asked for."""
        with pytest.raises(ContractError, match="100 times in a row"):
            self._hundred(lambda at: page(more=at.by is Ask.TIME))

    @BOTH
    @pytest.mark.parametrize("always", [True, False])
    def test_so_they_are_in_an_open_range(self, axis: Axis, *, always: bool) -> None:
        at: SeekCursor | None = cursor(axis, low=timestamps.BEGIN, high=timestamps.END)

        def read_on() -> None:
            nonlocal at
            for number in range(1000):
                assert at is not None
                at.question().body("*")
                more = always or at.by is Ask.TIME
                at = at.advance(replace(page(more=more), token=f"token-{number}" if more else None))[1]

        with pytest.raises(ContractError, match="empty page"):
            read_on()

    @BOTH
    def test_before_the_year_1_nothing_else_is_asked_for(self, axis: Axis) -> None:
        """It has no instant that can be named, and what lies behind it does not belong to it."""
        at: SeekCursor | None = cursor(axis, low=timestamps.BEGIN, high=timestamps.FIRST)
        for _ in range(MAX_EMPTY_PAGES - 1):
            assert at is not None
            assert at.question().range_text == "[* TO 0001-01-01T00:00:00.000Z}"
            at = at.advance(page(more=True))[1]
        assert at is not None
        with pytest.raises(ContractError, match="100 times in a row"):
            at.advance(page(more=True))

    def test_wide_ranges_that_are_always_empty_are_an_error(self) -> None:
        with pytest.raises(ContractError, match="100 times in a row"):
            self._hundred(lambda at: page(more=at.question().high - at.question().low > 1000))

    def test_a_record_between_them_starts_the_count_anew(self) -> None:
        index = Index(random.Random(1), {f"c{number}": NOON + number * 60_000 for number in range(600)})
        asked_wide = 0

        def answer(question: Question, given: Answer | None) -> Answer | None:
            nonlocal asked_wide
            wide = question.high - question.low > 120_000
            asked_wide += wide
            return page(more=True) if wide else given

        found, _ = read(index, cursor(high=NOON + 600 * 60_000), answer)
        same(found, index)
        assert asked_wide > MAX_EMPTY_PAGES
