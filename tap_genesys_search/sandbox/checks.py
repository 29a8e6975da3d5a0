"""Values that cannot be are refused where they are given, in one line that names the field."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_genesys_search.sandbox.instants import iso, millis

if TYPE_CHECKING:
    from datetime import datetime

#: More than any number of seconds, conversations or requests that makes sense, and no clock or date breaks at it.
MOST = 1_000_000_000
# A world of a hundred years that ends then still begins in a year that has a number.
_EARLIEST = "1900"


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise ValueError unless a number is from `low` to `high`; infinity and NaN never are."""
    if not low <= value <= high:
        message = f"{name} must be from {low:,} to {high:,}, not {value!r}"
        raise ValueError(message)


def instant(name: str, value: str | datetime) -> int:
    """Read an instant as milliseconds since 1970; raises ValueError for what is none."""
    try:
        found = millis(value)
        if iso(found) >= _EARLIEST:
            return found
    except (ValueError, OverflowError):
        pass
    message = f"{name} must be an instant such as 2026-10-01T00:00:00Z, not {str(value)!r}"
    raise ValueError(message)
