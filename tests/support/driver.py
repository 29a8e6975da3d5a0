"""Drives a reading by hand, step by step, against an index in memory."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tap_genesys_search import timestamps
from tap_genesys_search.errors import QueryError, SearchTimeoutError
from tap_genesys_search.question import Axis
from tap_genesys_search.read_ahead import BUFFER_BYTES
from tap_genesys_search.reading import Reading
from tests.support.index import NOON, Index, SortedIndex

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

    def finish(self, rounds: int = 5000) -> int:
        """Go on to the end; return how many rounds it took."""
        for number in range(rounds):
            if self.reading.done:
                return number
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


def busy_and_quiet(count: int, *, seed: int = 1) -> SortedIndex:
    """As many conversations, eleven times as dense at midday as at midnight."""
    rng = random.Random(seed)
    at, stamps = float(NOON), []
    for _ in range(count):
        hours = (at - NOON) / 3_600_000
        at += rng.expovariate(1 / 5_000) * (1.2 + math.cos(hours / 24 * math.tau))
        stamps.append(int(at))
    return SortedIndex(stamps)


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
    return sum(page.size for piece in of._slices for page in piece.pages)
