"""Cursors over the index in memory: how one is read to its end, and what that has to bring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tap_genesys_search import timestamps
from tap_genesys_search.pagination import SeekCursor
from tap_genesys_search.question import Axis, Question
from tests.support.index import NOON, Index

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
