"""The seek cursor: it seeks from the last timestamp, ends where the range does, and stops at what breaks the proof."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_genesys_search import timestamps
from tap_genesys_search.errors import ContractError
from tap_genesys_search.question import Ask, Axis, Question
from tests.support.cursors import BOTH, HOUR, Found, cursor, read, same
from tests.support.index import NOON, Index, page

if TYPE_CHECKING:
    from tap_genesys_search.pagination import SeekCursor
    from tap_genesys_search.records import Answer


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
