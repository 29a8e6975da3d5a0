"""One question to the search API: a range of instants, and how to ask for it. Pure: no I/O, no clock."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final, TypeVar

from tap_genesys_search import timestamps
from tap_genesys_search.errors import ConfigurationError

#: The largest page that the API gives.
MAX_PAGE_SIZE: Final = 200

_Default = TypeVar("_Default", bound=int | None)
_PLAIN_TERM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


class Axis(Enum):
    """The direction of a reading. A place on the axis is a whole number that grows as the reading goes on."""

    OLDEST_FIRST = "asc"
    NEWEST_FIRST = "desc"

    @property
    def reverse(self) -> Axis:
        """The other direction."""
        return Axis.OLDEST_FIRST if self is Axis.NEWEST_FIRST else Axis.NEWEST_FIRST

    def place(self, instant: int) -> int:
        """Turn an instant into its place; the same function turns a place back."""
        return instant if self is Axis.OLDEST_FIRST else -instant - 1

    def span(self, low: int, high: int) -> tuple[int, int]:
        """Turn a half-open range of instants into one of places, and back."""
        return (low, high) if self is Axis.OLDEST_FIRST else (-high, -low)

    def nameable(self, edge: int) -> int:
        """Return an edge; the open end for one before the year 1, which no range can name."""
        named = self is Axis.OLDEST_FIRST or timestamps.not_before_all(-edge) == -edge
        return edge if named else timestamps.END


class Ask(Enum):
    """What a question seeks by."""

    TIME = "timestamp"
    CHECK = "timestamp, backwards"
    ID = "conversationId"
    NO_ID = "no conversationId"
    TOKEN = "token"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class Question:
    """One search: a half-open range of instants (milliseconds since 1970) and how to ask for it.

    ``attempt`` tells a repeated question from its first asking: the SDK's paginator takes two equal values for a loop.
    """

    low: int
    high: int
    axis: Axis = Axis.OLDEST_FIRST
    size: int = MAX_PAGE_SIZE
    by: Ask = Ask.TIME
    after_id: str | None = None
    token: str | int | None = None
    attempt: int = 0
    single_try: bool = False

    def body(self, query: str) -> dict[str, Any]:
        """Return the request body for a Lucene query."""
        parts = [f"({query})", f"timestamp:{self.range_text}"]
        if self.by is Ask.ID and self.after_id is not None:
            parts.append(f"conversationId:{{{quoted(self.after_id)} TO *]")
        if self.by is Ask.NO_ID:
            parts.append("NOT conversationId:[* TO *]")
        field_name, direction = ("conversationId", "asc") if self.by is Ask.ID else ("timestamp", self.axis.value)
        body: dict[str, Any] = {
            "query": " AND ".join(parts),
            "type": "conversation",
            "size": self.size,
            "sort": [{"field": field_name, "direction": direction}],
        }
        if self.token is not None:
            body["page"] = self.token
        return body

    @property
    def range_text(self) -> str:
        """The range as Lucene writes it; what is open is ``*``."""
        low = "*" if self.low <= timestamps.BEGIN else timestamps.write(self.low)
        return f"[{low} TO *]" if self.high >= timestamps.END else f"[{low} TO {timestamps.write(self.high)}}}"


def instant_of(value: datetime | str | None, name: str, default: _Default) -> int | _Default:
    """Read an edge of a range as it was given: UTC if it has no zone.

    Args:
        value: Text: ISO 8601.
        name: What it was given as, for the message.
        default: For none.

    Raises:
        ConfigurationError: The text is no date-time.
    """
    if value is None:
        return default
    if isinstance(value, datetime):
        value = value.isoformat()
    try:
        return timestamps.parse(value)
    except ValueError as error:
        message = f"{name} is {value!r}; it must be an ISO 8601 date-time such as 2026-10-01T00:00:00Z"
        raise ConfigurationError(message) from error


def quoted(text: str) -> str:
    """Write a term so that nothing in it means anything to Lucene."""
    if _PLAIN_TERM.fullmatch(text) and text not in {"AND", "OR", "NOT", "TO"}:
        return text
    return '"' + text.replace("\\", r"\\").replace('"', r"\"") + '"'
