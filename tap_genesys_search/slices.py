"""What a reading is made of: slices of the range, the pages that they have brought, and the questions under way."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_genesys_search import timestamps
from tap_genesys_search.question import Ask

if TYPE_CHECKING:
    from tap_genesys_search.pagination import SeekCursor
    from tap_genesys_search.question import Question
    from tap_genesys_search.records import Answer, Batch


@dataclass(slots=True)
class Page:
    """What one answer brought, in the order of the reading.

    ``last`` is the place of its last record; everything before it is proven by this page and those before. ``again``
    is set where it was asked for again because it had waited too long: it was handed on as soon as it came.
    """

    batch: Batch
    asked_at: float
    cursor: SeekCursor
    last: int
    size: int
    again: bool = False


@dataclass(slots=True, eq=False)
class Slice:
    """A stretch of the range. It is a gap until a worker takes it.

    ``follows`` is set where it goes on from the ids that the slice before it knew: throwing away the one means throwing
    away the other. ``shared`` is set for a part of a slice that others help with.
    """

    cursor: SeekCursor | None
    start: int
    end: int
    follows: bool = False
    taken: bool = False
    shared: bool = False
    ticket: Ticket | None = None
    pages: deque[Page] = field(default_factory=deque)

    @property
    def records(self) -> int:
        """How many wait to be passed on."""
        return sum(len(page.batch) for page in self.pages)


@dataclass(slots=True, eq=False)
class Ticket:
    """A question to ask for a slice."""

    question: Question
    slice: Slice
    asked_at: float
    edge: bool = False


@dataclass(slots=True)
class Progress:
    """How far a reading is; totals are the API's estimates.

    ``most`` is after how many records whoever reads has enough; None: never.
    """

    total: int | None = None
    most: int | None = None
    records: int = 0
    pages: int = 0
    slices: int = 0
    reread: int = 0
    #: Seconds from asking for a page to passing it on: all added up, and the most.
    seconds_held: float = 0.0
    longest_held: float = 0.0

    @property
    def expected(self) -> int | None:
        """About how many records will be passed on; None if it is not known."""
        return self.total if self.total is None or self.most is None else min(self.total, self.most)


@dataclass(slots=True)
class Pace:
    """How much time lies between two records, by what pages show: widths must follow busy and quiet hours."""

    milliseconds: float | None = None

    def follow(self, question: Question, answer: Answer) -> None:
        """Take note of a page.

        A last page shows it as well, an empty one most: without them the quiet hours behind a burst would be read
        in slices as narrow as the burst's. It grows by doubling, as one gap says little of what lies behind it. Records
        of one instant, however many, say nothing.
        """
        span = 0
        if question.by is not Ask.TIME:
            return
        if answer.more:
            span = answer.span or 0
        elif question.low > timestamps.BEGIN and question.high < timestamps.END:
            span = question.high - question.low
        if span:
            # With 1 for an empty one, slices that aim for a record or two would never widen.
            seen, pace = span / (len(answer.stamps) or 0.1), self.milliseconds
            self.milliseconds = min(0.9 * pace + 0.1 * seen, 2 * pace) if pace else seen
