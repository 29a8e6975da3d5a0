"""What a backfill will be: about how many conversations lie in each day, week or month, and what they take to read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal

from tap_genesys_search import timestamps
from tap_genesys_search.empty_pages import oldest
from tap_genesys_search.errors import ConfigurationError, ContractError
from tap_genesys_search.progress import describe_minutes, searches_for
from tap_genesys_search.question import Axis, Question

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_genesys_search.records import Answer

Unit = Literal["day", "week", "month"]
UNITS: Final[tuple[Unit, ...]] = ("day", "week", "month")

#: One search for each, so there must not be too many.
MOST_BARS: Final = 60
_NEARLY: Final = 0.95
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of the range, instants in milliseconds since 1970, and the API's estimate of what lies in it."""

    low: int
    high: int
    conversations: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A range in bars.

    Attributes:
        query: Lucene.
        low: First instant.
        high: End, exclusive.
        unit: What a bar stands for.
        step: How many of these.
        bars: In order of time, without gaps.
        page_size: Conversations in an answer.
        rate: Searches that the limit allows, by the second.
        asked: Searches that the plan itself took.
    """

    query: str
    low: int
    high: int
    unit: Unit
    step: int
    bars: list[Bar]
    page_size: int
    rate: float
    asked: int

    @property
    def conversations(self) -> int:
        """All bars added up."""
        return sum(bar.conversations for bar in self.bars)

    @property
    def searches(self) -> int:
        """What reading them takes."""
        return searches_for(self.conversations, self.page_size)

    @property
    def seconds(self) -> float:
        """How long that takes at the limit."""
        return self.searches / self.rate

    def document(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "query": self.query,
            "start": timestamps.write(self.low),
            "end": timestamps.write(self.high),
            "conversations": self.conversations,
            "searches": self.searches,
            "minutes_at_the_limit": round(self.seconds / 60, 1),
            "requests_per_minute": round(self.rate * 60, 1),
            "is_estimate": True,
            "by": self.unit,
            "step": self.step,
            "bars": [
                {
                    "start": timestamps.write(bar.low),
                    "end": timestamps.write(bar.high),
                    "conversations": bar.conversations,
                    "searches": searches_for(bar.conversations, self.page_size),
                }
                for bar in self.bars
            ],
            "asked": self.asked,
        }

    def picture(self, columns: int, *, ascii_only: bool = False) -> Iterator[str]:
        """Yield it as lines of so many columns."""
        days = f"{_day(self.low)} to {_day(self.high)}"
        yield f"About {self.conversations:,} conversations match {self.query} from {days}."
        yield (
            f"Reading them takes about {self.searches:,} searches, {describe_minutes(self.seconds)}"
            f" at the limit of {self.rate * 60:,.0f} a minute."
        )
        yield ""
        per = self.unit if self.step == 1 else f"{self.step} {self.unit}s"
        counts = [f"{bar.conversations:,}" for bar in self.bars]
        searches = [f"{searches_for(bar.conversations, self.page_size):,}" for bar in self.bars]
        labels = [_day(bar.low)[:7] if self.unit == "month" else _day(bar.low) for bar in self.bars]
        titles = (f"{per} (UTC)", "conversations", "searches")
        widths = [
            max(map(len, column)) for column in zip(titles, *zip(labels, counts, searches, strict=True), strict=True)
        ]
        room = max(10, columns - sum(widths) - 7)
        most = max(bar.conversations for bar in self.bars) or 1
        for *row, share in [
            (*titles, 0.0),
            *zip(labels, counts, searches, (bar.conversations / most for bar in self.bars), strict=True),
        ]:
            label, count, asked = (str(each) for each in row)
            cells = f"{label:<{widths[0]}}  {count:>{widths[1]}}  {asked:>{widths[2]}}  "
            yield (cells + drawn(float(share), room, ascii_only=ascii_only)).rstrip()
        yield ""
        yield f"All of these are estimates: the API's own, asked for by {self.asked} searches."


def drawn(share: float, room: int, *, ascii_only: bool = False) -> str:
    """Draw a bar; what is not nothing is seen."""
    if ascii_only:
        return "#" * math.ceil(share * room)
    eighths = math.ceil(share * room * 8)
    return _EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def plan(
    ask: Callable[[Question, str], Answer],
    query: str,
    low: int,
    high: int,
    *,
    unit: Unit | None,
    page_size: int,
    limit: float,
    rate: Callable[[], float],
) -> Plan:
    """Ask for the estimates: one search for the oldest conversation, and one for each bar.

    Args:
        ask: Asks one question.
        query: Lucene.
        low: First instant; what lies before the oldest conversation is left out.
        high: End, exclusive.
        unit: What a bar stands for; None: the smallest with which they are not too many.
        page_size: Conversations in an answer.
        limit: Searches a second by the settings.
        rate: What the platform allows of these, looked up once it has told.

    Raises:
        ConfigurationError: There would be too many bars, or nothing lies in the range.
        ContractError: The API gives no totals, or only empty pages that have a nextPage.
    """
    first = oldest(ask, query, low, high)
    if first is None:
        message = f"nothing to plan: no conversation matches {query} from {_day(low)} to {_day(high)}"
        raise ConfigurationError(message)
    low, allowed = first, rate()
    if allowed > _NEARLY * limit:
        # The first search is missing from the window; nobody wants to read of 299 a minute.
        allowed = limit
    unit, step = _fitting(low, high, unit)
    edges = list(_edges(low, high, unit, step))
    bars = [Bar(start, end, _count(ask, query, start, end)) for start, end in pairwise(edges)]
    return Plan(query, low, high, unit, step, bars, page_size, allowed, 1 + len(bars))


def _count(ask: Callable[[Question, str], Answer], query: str, low: int, high: int) -> int:
    total = ask(Question(low, high, Axis.OLDEST_FIRST, size=1), query).total
    if total is None:
        message = "the API gives no totals, so there is nothing to plan by; a run works all the same"
        raise ContractError(message)
    return total


def _fitting(low: int, high: int, unit: Unit | None) -> tuple[Unit, int]:
    for each in (unit,) if unit else UNITS:
        number = sum(1 for _ in pairwise(_edges(low, high, each)))
        if number <= MOST_BARS:
            return each, 1
    if unit:
        message = (
            f"--by {unit} would be {number} bars, and {MOST_BARS} are the most, as each costs a search; "
            "narrow it with --start and --end, or leave --by to the command"
        )
        raise ConfigurationError(message)
    return "month", math.ceil(number / MOST_BARS)


def _edges(low: int, high: int, unit: Unit, step: int = 1) -> Iterator[int]:
    """Yield where bars begin and end, in UTC; the first and the last are the range's own."""
    yield low
    day = _beginning(low, unit)
    while True:
        day = _next(day, unit, step)
        edge = timestamps.parse(day.isoformat())
        if edge >= high:
            break
        yield edge
    yield high


def _beginning(instant: int, unit: Unit) -> date:
    day = date.fromisoformat(timestamps.write(instant)[:10])
    if unit == "month":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if unit == "week" else day


def _next(day: date, unit: Unit, step: int) -> date:
    if unit == "month":
        months = day.month - 1 + step
        return day.replace(year=day.year + months // 12, month=months % 12 + 1)
    return day + timedelta(days=step * (7 if unit == "week" else 1))


def _day(instant: int) -> str:
    if instant <= timestamps.BEGIN:
        return "the beginning"
    return timestamps.write(instant)[:10]
