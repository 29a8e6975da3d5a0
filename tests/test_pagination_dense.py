"""The seek cursor inside an instant that holds more than a page: by id, and by token where it must."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tap_genesys_search.errors import ContractError
from tap_genesys_search.pagination import MAX_READINGS, SeekCursor
from tap_genesys_search.question import MAX_PAGE_SIZE, Ask, Axis, Question
from tests.support.cursors import BOTH, HOUR, crowd, cursor, read, same
from tests.support.index import NOON, Index, page

if TYPE_CHECKING:
    from tap_genesys_search.records import Answer


class TestDense:
    """More records in one instant than a page holds."""

    @BOTH
    @pytest.mark.parametrize("count", [199, 200, 201, 400, 1001])
    @pytest.mark.parametrize("size", [1, 50, 200])
    def test_it_is_read_by_id(self, axis: Axis, count: int, size: int) -> None:
        index = Index(random.Random(count), {**crowd(count), "a": NOON, "z": NOON + 2000})
        found, asked = read(index, cursor(axis, size=size))
        same(found, index, axis)
        assert Ask.TOKEN not in {question.by for question in asked}
        assert {question.size for question in asked if question.by is Ask.ID} <= {MAX_PAGE_SIZE}

    def test_it_begins_without_the_id_clause_and_ends_with_a_look_for_what_has_none(self) -> None:
        index = Index(random.Random(1), crowd(500))
        _, asked = read(index, cursor())
        steps = [(question.by, question.after_id) for question in asked]
        assert steps == [
            (Ask.TIME, None),
            (Ask.TIME, None),
            (Ask.ID, None),
            (Ask.ID, "t00199"),
            (Ask.ID, "t00399"),
            (Ask.NO_ID, None),
            (Ask.TIME, None),
        ]
        # That it is the first of the range is seen by what lies before it.
        assert asked[1].range_text == "[2026-10-05T12:00:00.000Z TO 2026-10-05T12:00:01.000Z}"
        assert {question.range_text for question in asked[2:6]} == {
            "[2026-10-05T12:00:01.000Z TO 2026-10-05T12:00:01.001Z}"
        }
        assert asked[6].low == NOON + 1001

    def test_a_page_that_the_instant_does_not_fill_alone_is_sought_by_time(self) -> None:
        at = replace(cursor(size=3), at=NOON, known=frozenset({"x"}))
        _, following = at.advance(page(("x", NOON), ("a", NOON + 1), ("b", NOON + 1), more=True))
        assert following is not None
        assert following.by is Ask.TIME
        assert following.known == {"a", "b"}

    def test_the_last_instant_of_the_range_ends_it(self) -> None:
        index = Index(random.Random(1), crowd(500, NOON + HOUR - 1))
        _, asked = read(index, cursor())
        assert asked[-1].by is Ask.NO_ID

    def test_ids_known_from_the_page_before_come_once(self) -> None:
        """The instant begins at the end of one page and fills the next."""
        index = Index(random.Random(3), {**crowd(30), **{f"a{number}": NOON + number for number in range(5)}})
        found, _ = read(index, cursor(size=10))
        same(found, index)

    @pytest.mark.parametrize("axis", list(Axis))
    def test_by_tokens_where_sorting_by_id_is_refused(self, axis: Axis) -> None:
        index = Index(random.Random(1), {**crowd(500), "z": NOON + 2000}, stable_ties=True)
        found, asked = read(index, cursor(axis), lambda question, answer: None if question.by is Ask.ID else answer)
        same(found, index, axis)
        tokens = [question.token for question in asked if question.by is Ask.TOKEN]
        assert tokens == [None, "2", "3", None, "2", "3"]
        assert {question.size for question in asked if question.by is Ask.TOKEN} == {MAX_PAGE_SIZE}

    @pytest.mark.parametrize("axis", list(Axis))
    def test_by_tokens_where_ids_are_not_honoured(self, axis: Axis) -> None:
        index = Index(random.Random(1), {**crowd(500), "z": NOON + 2000}, id_ranges=False, stable_ties=True)
        found, asked = read(index, cursor(axis))
        same(found, index, axis)
        assert Ask.TOKEN in {question.by for question in asked}

    def test_sorted_by_id_without_honouring_the_range_of_ids_is_not_honoured(self) -> None:
        index = Index(random.Random(1), crowd(500), stable_ties=True)

        def first_page_again(question: Question, answer: Answer | None) -> Answer | None:
            return index.answer(replace(question, after_id=None)) if question.by is Ask.ID else answer

        found, asked = read(index, cursor(), first_page_again)
        same(found, index)
        assert [question.by for question in asked].count(Ask.ID) == 2

    def test_an_answer_by_id_from_another_instant_is_not_honoured(self) -> None:
        at = replace(cursor(), by=Ask.ID, known={"a"})
        batch, following = at.advance(page(("b", NOON + 1), more=False))
        assert len(batch) == 0
        assert following is not None
        assert following.by is Ask.TOKEN

    def test_an_answer_by_id_that_holds_one_without_an_id_is_not_honoured(self) -> None:
        batch, following = replace(cursor(), by=Ask.ID, known=set()).advance(page((None, NOON), more=False))
        assert len(batch) == 0
        assert following is not None
        assert following.by is Ask.TOKEN

    def test_by_tokens_where_some_have_no_id(self) -> None:
        """What the API finds without an id shows that reading by id does not bring everything."""
        index = Index(random.Random(1), crowd(300), stable_ties=True)
        found, asked = read(
            index,
            cursor(),
            lambda question, answer: page((None, NOON + 1000), more=False) if question.by is Ask.NO_ID else answer,
        )
        same(found, index)
        assert Ask.TOKEN in {question.by for question in asked}

    def test_by_tokens_where_looking_for_no_id_is_refused(self) -> None:
        index = Index(random.Random(1), crowd(300), stable_ties=True)
        found, asked = read(index, cursor(), lambda question, answer: None if question.by is Ask.NO_ID else answer)
        same(found, index)
        assert asked[-1].by is Ask.TIME

    @pytest.mark.parametrize("by", [Ask.ID, Ask.NO_ID])
    def test_an_empty_page_by_id_is_asked_for_once_more(self, by: Ask) -> None:
        at: SeekCursor | None = replace(cursor(), by=by, known={"a"}, after_id="a" if by is Ask.ID else None)
        steps = []
        while at is not None and at.by is not Ask.TOKEN:
            steps.append(at.question())
            _, at = at.advance(page(more=True))
        assert at is not None
        assert [step.by for step in steps] == [by, by]
        assert steps[0] != steps[1]

    def test_ids_given_by_id_are_not_given_again_by_token(self) -> None:
        index = Index(random.Random(1), crowd(700), stable_ties=True)
        pages = 0

        def refuse_third(question: Question, answer: Answer | None) -> Answer | None:
            nonlocal pages
            pages += question.by is Ask.ID
            return None if question.by is Ask.ID and pages >= 3 else answer

        found, _ = read(index, cursor(), refuse_third)
        same(found, index)

    def test_two_readings_in_a_row_have_to_agree(self) -> None:
        """The first misses one, as when a tie changed its place between two pages."""
        index = Index(random.Random(1), crowd(350), id_ranges=False, stable_ties=True)
        first = True

        def hide(question: Question, answer: Answer | None) -> Answer | None:
            nonlocal first
            if question.by is not Ask.TOKEN or answer is None:
                return answer
            if first and question.token == "2":
                first = False
                return page(*((f"t{number:05d}", NOON + 1000) for number in range(201, 350)), more=False)
            return answer

        found, asked = read(index, cursor(), hide)
        same(found, index)
        tokens = [question.token for question in asked if question.by is Ask.TOKEN]
        assert tokens == [None, "2"] * 3

    def test_a_reading_with_an_id_twice_does_not_count(self) -> None:
        index = Index(random.Random(1), crowd(350), id_ranges=False, stable_ties=True)
        readings = 0

        def repeat(question: Question, answer: Answer | None) -> Answer | None:
            nonlocal readings
            if question.by is not Ask.TOKEN or question.token != "2":
                return answer
            readings += 1
            shown = range(199, 349) if readings <= 2 else range(200, 350)
            return page(*((f"t{number:05d}", NOON + 1000) for number in shown), more=False)

        found, asked = read(index, cursor(), repeat)
        same(found, index)
        assert [question.token for question in asked if question.by is Ask.TOKEN] == [None, "2"] * 4

    def test_a_reading_with_a_short_page_before_the_last_does_not_count(self) -> None:
        index = Index(random.Random(1), crowd(201))
        rounds = 0

        def short(question: Question, answer: Answer | None) -> Answer | None:
            nonlocal rounds
            if question.by is Ask.ID:
                return None
            if question.by is Ask.TIME:
                return answer
            rounds += question.token is None
            shown = "a" if question.token is None else "b"
            return page((shown, NOON + 1000), more=question.token is None)

        with pytest.raises(ContractError, match=f"read differently {MAX_READINGS} times"):
            read(index, cursor(), short)
        assert rounds == MAX_READINGS

    def test_a_reading_with_an_empty_page_between_does_not_count(self) -> None:
        """The same page is empty in the first two readings, and its token leads on behind it."""
        index = Index(random.Random(1), crowd(700), stable_ties=True)
        readings = 0

        def empty(question: Question, answer: Answer | None) -> Answer | None:
            nonlocal readings
            if question.by is not Ask.TOKEN:
                return None if question.by is Ask.ID else answer
            readings += question.token is None
            return replace(page(more=True), token="3") if question.token == "2" and readings <= 2 else answer

        found, asked = read(index, cursor(), empty)
        same(found, index)
        tokens = [question.token for question in asked if question.by is Ask.TOKEN]
        assert tokens == [*[None, "2", "2", "3", "4"] * 2, *[None, "2", "3", "4"] * 2]

    def test_ties_in_changing_order_fail_loudly(self) -> None:
        index = Index(random.Random(1), crowd(1000), id_ranges=False, stable_ties=False)
        with pytest.raises(ContractError, match="read differently") as caught:
            read(index, cursor())
        assert "2026-10-05T12:00:01.000Z" in str(caught.value)
        assert "conversationId" in str(caught.value)

    def test_a_depth_cap_fails_loudly(self) -> None:
        index = Index(random.Random(1), crowd(1500), id_ranges=False, stable_ties=True, depth=1000)
        with pytest.raises(ContractError, match="deeper than 1000 conversations") as caught:
            read(index, cursor())
        assert "2026-10-05T12:00:01.000Z" in str(caught.value)

    def test_below_a_depth_cap_by_id_is_read_all_the_same(self) -> None:
        index = Index(random.Random(1), crowd(1500), depth=1000)
        found, _ = read(index, cursor())
        same(found, index)

    def test_a_token_seen_before_is_a_loop(self) -> None:
        first = replace(cursor(), by=Ask.ID, known=set()).refused()
        assert first is not None
        _, second = first.advance(page(("a", NOON), more=True))
        assert second is not None
        with pytest.raises(ContractError, match="same token twice"):
            second.advance(page(("b", NOON), more=True))

    def test_a_record_from_elsewhere_while_tokens_are_followed(self) -> None:
        at = replace(cursor(), by=Ask.ID, known=set()).refused()
        assert at is not None
        with pytest.raises(ContractError, match="outside the range"):
            at.advance(page(("a", NOON + 1), more=False))

    def test_a_refused_question_of_time_has_no_other_way(self) -> None:
        assert cursor().refused() is None
