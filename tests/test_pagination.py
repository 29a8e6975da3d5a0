"""The seek cursor on every shape of answer that the design lists."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tap_genesys_search import timestamps
from tap_genesys_search.errors import ContractError
from tap_genesys_search.pagination import (
    MAX_DOUBTS,
    MAX_EMPTY_PAGES,
    MAX_EMPTY_PAGES_FOLLOWED,
    MAX_HALVINGS,
    MAX_LOOKS,
    MAX_READINGS,
    SeekCursor,
)
from tap_genesys_search.question import MAX_PAGE_SIZE, Ask, Axis, Question, quoted
from tests.index import NOON, Index, page

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_genesys_search.records import Answer

HOUR = 3_600_000
BOTH = pytest.mark.parametrize("axis", list(Axis))
Found = list[tuple[str, str | None]]


def cursor(axis: Axis = Axis.OLDEST_FIRST, *, low: int = NOON, high: int = NOON + HOUR, size: int = 200) -> SeekCursor:
    return SeekCursor(*axis.span(low, high), axis, size)


def read(
    index: Index,
    start: SeekCursor,
    fault: Callable[[Question, Answer | None], Answer | None] = lambda _, answer: answer,
    at_most: int = 2000,
) -> tuple[Found, list[Question]]:
    """Read to the end; None from the index, or from the fault, is a refusal."""
    found: Found = []
    asked: list[Question] = []
    at: SeekCursor | None = start
    while at is not None:
        question = at.question()
        asked.append(question)
        assert len(asked) <= at_most, "it never ends"
        answer = fault(question, index.answer(question))
        if answer is None:
            at = at.refused()
            assert at is not None, "the query itself was refused"
            continue
        before = at
        batch, at = at.advance(answer)
        assert at != before, "the SDK takes two equal values for a loop"
        found += zip(batch.ids, batch.stamps, strict=True)
    return found, asked


def whole(index: Index, axis: Axis = Axis.OLDEST_FIRST) -> Found:
    """What a reading has to bring, in order of time only."""
    order = sorted(index.stamps.items(), key=lambda item: item[1], reverse=axis is Axis.NEWEST_FIRST)
    return [(key, timestamps.write(stamp)) for key, stamp in order]


def same(found: Found, index: Index, axis: Axis = Axis.OLDEST_FIRST) -> None:
    assert sorted(found) == sorted(whole(index))
    assert [stamp for _, stamp in found] == [stamp for _, stamp in whole(index, axis)]


def crowd(count: int, instant: int = NOON + 1000, *, prefix: str = "t") -> dict[str, int]:
    return {f"{prefix}{number:05d}": instant for number in range(count)}


class TestQuestion:
    """What is sent."""

    def test_its_body_is_what_the_contract_asks_for(self) -> None:
        question = Question(NOON, NOON + 1, size=7)
        assert question.body("status:a OR b") == {
            "query": "(status:a OR b) AND timestamp:[2026-10-05T12:00:00.000Z TO 2026-10-05T12:00:00.001Z}",
            "type": "conversation",
            "size": 7,
            "sort": [{"field": "timestamp", "direction": "asc"}],
        }

    def test_a_token_goes_back_as_it_came(self) -> None:
        assert Question(0, 1, by=Ask.TOKEN, token="a=b +/").body("*")["page"] == "a=b +/"
        assert "page" not in Question(0, 1).body("*")

    def test_newest_first_turns_the_sort_and_not_the_range(self) -> None:
        body = cursor(Axis.NEWEST_FIRST).question().body("*")
        assert body["sort"] == [{"field": "timestamp", "direction": "desc"}]
        assert "[2026-10-05T12:00:00.000Z TO 2026-10-05T13:00:00.000Z}" in body["query"]

    @pytest.mark.parametrize(
        ("low", "high", "text"),
        [
            (timestamps.BEGIN, timestamps.END, "[* TO *]"),
            (NOON, timestamps.END, "[2026-10-05T12:00:00.000Z TO *]"),
            (timestamps.BEGIN, NOON, "[* TO 2026-10-05T12:00:00.000Z}"),
        ],
    )
    def test_what_is_open_is_a_star(self, low: int, high: int, text: str) -> None:
        assert Question(low, high).range_text == text

    def test_by_id_it_sorts_and_seeks_by_id_and_is_a_full_page(self) -> None:
        at = replace(cursor(size=3), by=Ask.ID, after_id="a:b")
        body = at.question().body("*")
        assert body["query"].endswith('000Z TO 2026-10-05T12:00:00.001Z} AND conversationId:{"a:b" TO *]')
        assert body["sort"] == [{"field": "conversationId", "direction": "asc"}]
        assert body["size"] == MAX_PAGE_SIZE

    def test_what_has_no_id_is_asked_for_inside_the_instant(self) -> None:
        body = replace(cursor(), by=Ask.NO_ID).question().body("*")
        assert body["query"].endswith("001Z} AND NOT conversationId:[* TO *]")

    @settings(deadline=None)
    @given(st.text(min_size=1))
    @example("TO")
    @example('a"b\\')
    def test_no_sign_of_an_id_means_anything(self, identity: str) -> None:
        text = quoted(identity)
        if text == identity:
            assert set(identity) <= {"-"} | {sign for sign in identity if sign.isalnum()}
            assert identity != "TO"
        else:
            inside = text[1:-1].replace("\\\\", "").replace('\\"', "")
            assert text[0] == text[-1] == '"'
            assert '"' not in inside
            assert "\\" not in inside
            assert text[1:-1].replace('\\"', '"').replace("\\\\", "\\") == identity


@BOTH
class TestSeek:
    """Pages that span more than one instant, and the end."""

    def test_without_next_page_the_range_is_done(self, axis: Axis) -> None:
        index = Index(random.Random(1), {f"c{number}": NOON + number for number in range(10)})
        found, asked = read(index, cursor(axis))
        same(found, index, axis)
        assert len(asked) == 1

    def test_a_full_page_without_next_page_is_the_end(self, axis: Axis) -> None:
        index = Index(random.Random(1), {f"c{number}": NOON + number for number in range(20)})
        _, asked = read(index, cursor(axis, size=20))
        assert len(asked) == 1

    def test_nothing_is_an_answer(self, axis: Axis) -> None:
        assert read(Index(random.Random(1)), cursor(axis)) == ([], [cursor(axis).question()])

    def test_it_seeks_from_the_last_timestamp_and_drops_what_it_knows_there(self, axis: Axis) -> None:
        index = Index(random.Random(1), {f"c{number}": NOON + number // 3 for number in range(100)})
        found, asked = read(index, cursor(axis, size=10))
        same(found, index, axis)
        assert {question.by for question in asked} == {Ask.TIME}
        second = asked[1]
        last = timestamps.parse(str(found[9][1]))
        assert (second.low if axis is Axis.OLDEST_FIRST else second.high - 1) == last

    def test_a_short_page_with_next_page_is_not_the_end(self, axis: Axis) -> None:
        index = Index(random.Random(1), {f"c{number}": NOON + number for number in range(40)})

        def short(question: Question, answer: Answer | None) -> Answer | None:
            return None if answer is None else index.answer(replace(question, size=min(question.size, 3)))

        found, _ = read(index, cursor(axis, size=10), short)
        same(found, index, axis)

    @pytest.mark.parametrize("total", [0, None, 10**9])
    def test_the_total_decides_nothing(self, axis: Axis, total: int | None) -> None:
        index = Index(random.Random(1), {f"c{number}": NOON + number for number in range(40)})
        found, asked = read(
            index, cursor(axis, size=10), lambda _, answer: None if answer is None else replace(answer, total=total)
        )
        same(found, index, axis)
        assert len(asked) == 5

    @pytest.mark.parametrize("spread", [1, 3, 50])
    def test_pages_of_one_record(self, axis: Axis, spread: int) -> None:
        rng = random.Random(spread)
        index = Index(rng, {f"c{number}": NOON + rng.randrange(spread) for number in range(40)})
        found, _ = read(index, cursor(axis, size=1))
        same(found, index, axis)

    def test_open_ranges(self, axis: Axis) -> None:
        index = Index(random.Random(1), {f"c{number}": NOON + number * HOUR for number in range(-40, 40)})
        found, asked = read(index, cursor(axis, low=timestamps.BEGIN, high=timestamps.END, size=9))
        same(found, index, axis)
        assert asked[0].range_text == "[* TO *]"

    def test_what_lies_at_the_edges(self, axis: Axis) -> None:
        index = Index(random.Random(1), {"in": NOON, "last": NOON + HOUR - 1, "out": NOON + HOUR, "before": NOON - 1})
        found, _ = read(index, cursor(axis, size=1))
        assert {key for key, _ in found} == {"in", "last"}

    def test_one_that_leaves_its_place_hides_no_other(self, axis: Axis) -> None:
        """What following pages does not survive: at each request the first record of the page leaves."""
        index = Index(random.Random(1), {f"c{number:03d}": NOON + number for number in range(60)})
        stayed = dict(index.stamps)

        def move(_: Question, answer: Answer | None) -> Answer | None:
            if answer is not None and answer.ids:
                left = str(answer.ids[0])
                index.stamps.pop(left, None)
            return answer

        found, _ = read(index, cursor(axis, size=7), move)
        assert {key for key, _ in found} >= {key for key in stayed if key in index.stamps}
        assert len(found) == len(set(found))

    def test_the_same_record_twice_on_a_page_is_given_once(self, axis: Axis) -> None:
        answer = page(("a", NOON + 1), ("a", NOON + 1), ("b", NOON + 1), more=False)
        batch, _ = cursor(axis).advance(answer)
        assert batch.ids == ["a", "b"]
        assert [record["id"] for record in batch.records] == ["a", "b"]

    def test_the_same_id_with_another_timestamp_is_another_version(self, axis: Axis) -> None:
        versions = [("a", NOON + 1), ("a", NOON + 2)]
        batch, _ = cursor(axis).advance(page(*versions[:: 1 if axis is Axis.OLDEST_FIRST else -1], more=False))
        assert batch.ids == ["a", "a"]

    def test_a_record_without_an_id_is_left_out(self, axis: Axis) -> None:
        batch, _ = cursor(axis).advance(page((None, NOON + 1), ("b", NOON + 1), more=False))
        assert batch.ids == ["b"]

    def test_one_without_a_timestamp_is_given(self, axis: Axis) -> None:
        batch, following = cursor(axis).advance(page(("a", None), ("b", NOON + 1), more=False))
        assert (batch.ids, batch.stamps[0]) == (["a", "b"], None)
        assert following is None

    def test_one_without_a_timestamp_at_the_end_of_a_page_is_no_place_to_go_on_from(self, axis: Axis) -> None:
        answer = page(("b", NOON + 1), ("c", NOON + 2), ("a", None), more=True)
        if axis is Axis.NEWEST_FIRST:
            answer = page(("c", NOON + 2), ("b", NOON + 1), ("a", None), more=True)
        _, following = cursor(axis).advance(answer)
        assert following is not None
        assert axis.place(following.at) == (NOON + 2 if axis is Axis.OLDEST_FIRST else NOON + 1)


def step(axis: Axis, number: int) -> int:
    """The instant that lies so many milliseconds from where `cursor` begins."""
    return axis.place(cursor(axis).at + number)


def changed(index: Index, at_search: int, change: Callable[[], object]) -> Callable[[Question, Answer | None], Answer]:
    """A fault that is none: after that search the index changes."""

    def fault(_: Question, answer: Answer | None) -> Answer:
        assert answer is not None
        if index.searches == at_search:
            change()
        return answer

    return fault


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


class TestBroken:
    """What breaks the proof ends the reading, and says which."""

    def test_a_page_with_next_page_and_no_timestamp(self) -> None:
        with pytest.raises(ContractError, match="no usable timestamp"):
            cursor().advance(page(("a", None), ("b", None), more=True))

    def test_the_same_page_without_next_page_is_the_end(self) -> None:
        batch, following = cursor().advance(page(("a", None), more=False))
        assert (batch.ids, following) == (["a"], None)

    @BOTH
    def test_a_page_out_of_order(self, axis: Axis) -> None:
        steps = [("a", NOON + 1), ("b", NOON + 3), ("c", NOON + 2)]
        with pytest.raises(ContractError, match="out of order"):
            cursor(axis).advance(page(*steps, more=False))

    @BOTH
    def test_the_order_of_the_other_direction(self, axis: Axis) -> None:
        steps = [("a", NOON + 1), ("b", NOON + 2)][:: -1 if axis is Axis.OLDEST_FIRST else 1]
        with pytest.raises(ContractError, match="out of order"):
            cursor(axis).advance(page(*steps, more=False))

    @BOTH
    @pytest.mark.parametrize("instant", [NOON - 1, NOON + HOUR])
    @pytest.mark.parametrize("more", [True, False])
    def test_a_record_outside_the_range(self, axis: Axis, instant: int, *, more: bool) -> None:
        with pytest.raises(ContractError, match="outside the range"):
            cursor(axis).advance(page(("a", instant), more=more))

    @BOTH
    def test_a_record_outside_what_was_asked_for_though_inside_the_range(self, axis: Axis) -> None:
        half = cursor(axis).narrowed()
        assert half is not None
        far = axis.place(half.until)
        with pytest.raises(ContractError, match="outside the range"):
            half.advance(page(("a", far), more=False))


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


@BOTH
@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(0, 120),
    spread=st.sampled_from([1, 2, 10, 100, 10_000]),
    size=st.sampled_from([1, 2, 7, 50, 200]),
    trouble=st.floats(0, 0.4),
)
def test_any_index_is_read_once_and_in_order(
    axis: Axis, *, seed: int, count: int, spread: int, size: int, trouble: float
) -> None:
    """With changing ties, short and empty pages, time-outs, and refused ids where ties are stable."""
    rng = random.Random(seed)
    ids = rng.random() < 0.7
    index = Index(rng, {f"c{number:04d}": NOON + rng.randrange(spread) for number in range(count)}, stable_ties=not ids)
    index.id_ranges = ids
    at: SeekCursor | None = cursor(axis, high=NOON + spread, size=size)
    found: Found = []
    while at is not None:
        if rng.random() < trouble:
            half = at.narrowed()
            at = half or at
        if at.by is Ask.TIME and rng.random() < trouble / 4:
            at = at.advance(page(more=True))[1]
            continue
        question = at.question()
        if question.by is Ask.TIME and rng.random() < trouble:
            question = replace(question, size=rng.randrange(question.size) + 1)
        answer = index.answer(question)
        assert answer is not None
        batch, at = at.advance(answer)
        found += zip(batch.ids, batch.stamps, strict=True)
    same(found, index, axis)
