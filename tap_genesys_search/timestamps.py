"""Instants: whole milliseconds since 1970 (UTC) inside, one fixed-width ISO 8601 form outside.

Everything is floored to the millisecond before it is compared: that is the grain of the ranges that are asked for.
The written form (``2026-10-03T08:15:02.417Z``) sorts as text the way it sorts as time, which is how Singer compares
bookmarks.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

#: Before everything and after everything: written as ``*`` in a range.
END: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND + 1
BEGIN: Final = -END

#: The first instant that can be written: a day of the year 1 may lie before it by its zone. The last is ``END - 1``.
FIRST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND

_SHAPE: Final = b"0000-00-00T00:00:00.000Z"
_DIGITS_TO_ZERO: Final = bytes.maketrans(b"123456789", b"000000000")
_HOUR: Final = itemgetter(slice(_SHAPE.index(b":")))
_MINUTE: Final = _SHAPE.index(b":") + 1
_SECOND: Final = _SHAPE.rindex(b":") + 1
_SIXTIETHS: Final = frozenset("012345")


def parse(text: str) -> int:
    """Turn an ISO 8601 text into milliseconds since 1970, floored; a text without a zone is UTC.

    Raises:
        ValueError: It is no text, no date or date-time, or lies outside the years 1 to 9999 (UTC), so that
            :func:`write` could not write it.
    """
    try:
        moment = datetime.fromisoformat(text.strip().upper())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        instant = (moment - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError, TypeError, AttributeError) as error:  # the last two: it is no text
        message = f"{text!r} is no ISO 8601 date-time"
        raise ValueError(message) from error
    if not FIRST <= instant < END:
        message = f"{text!r} lies outside the years 1 to 9999 (UTC)"
        raise ValueError(message)
    return instant


def write(instant: int) -> str:
    """Write milliseconds since 1970 as ``YYYY-MM-DDTHH:MM:SS.mmmZ`` (UTC).

    Raises:
        OverflowError: The instant lies outside the years 1 to 9999.
    """
    return (_EPOCH + instant * _MILLISECOND).isoformat(timespec="milliseconds")[:-6] + "Z"


def not_before_all(instant: int) -> int:
    """Return the instant, or BEGIN if it lies before those that can be written."""
    return instant if instant >= FIRST else BEGIN


def all_canonical(texts: list[str]) -> bool:
    """Tell whether every text has the written form already: over a whole page at once, as it is the usual case.

    Raises:
        TypeError: One of them is no text.
    """
    joined = "".join(texts)
    return (
        joined.isascii()
        and joined.encode().translate(_DIGITS_TO_ZERO) == _SHAPE * len(texts)
        and _SIXTIETHS.issuperset(joined[_MINUTE :: len(_SHAPE)])
        and _SIXTIETHS.issuperset(joined[_SECOND :: len(_SHAPE)])
        and all(map(_hour_exists, set(map(_HOUR, texts))))
    )


@lru_cache(maxsize=1000)
def _hour_exists(hour: str) -> bool:
    try:
        datetime.fromisoformat(hour)
    except ValueError:
        return False
    return True


def from_seconds(seconds: float) -> int:
    """Turn seconds since 1970 into an instant."""
    return int(seconds * 1000)
