"""Instants as whole milliseconds since 1970, and as ISO 8601 text."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

SECOND = 1_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR

# Beyond every real instant, so that an open end of a range needs no case of its own.
EARLIEST = -(2**60)
LATEST = 2**60

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_SHORTEST_EPOCH_MILLIS = 11


@lru_cache(maxsize=4_096)
def _day(number: int) -> str:
    return (_EPOCH_DAY + timedelta(days=number)).isoformat()


def iso(millis: int) -> str:
    """Write milliseconds since 1970 as ISO 8601, UTC, with three decimals and `Z`."""
    day, rest = divmod(millis, DAY)
    hour, rest = divmod(rest, HOUR)
    minute, rest = divmod(rest, 60 * SECOND)
    second, milli = divmod(rest, SECOND)
    return f"{_day(day)}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"


def micros(instant: str | datetime) -> int:
    """Read an instant as microseconds since 1970; without a zone it is UTC.

    ISO 8601 (a date alone is its midnight) or milliseconds since 1970 in at least eleven digits.
    """
    if isinstance(instant, str):
        if instant.isdecimal() and len(instant) >= _SHORTEST_EPOCH_MILLIS:
            return int(instant) * 1_000
        instant = datetime.fromisoformat(instant)
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return (instant - _EPOCH) // _MICROSECOND


def millis(instant: str | datetime) -> int:
    """Read an instant as milliseconds since 1970, floored."""
    return micros(instant) // 1_000
