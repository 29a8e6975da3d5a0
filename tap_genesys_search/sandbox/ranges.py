"""Bounds of ranges, and the error of a query that cannot be understood."""

from __future__ import annotations

import re
from functools import lru_cache

from tap_genesys_search.sandbox.instants import EARLIEST, LATEST, micros

OPEN = "*"
_MILLISECOND = 1_000
_NEAR = 24


class QueryError(ValueError):
    """A query that cannot be understood; the message names the place."""

    @classmethod
    def at(cls, text: str, position: int, what: str) -> QueryError:
        """Give an error at a position of the query (counted from 0)."""
        near = text[max(0, position - _NEAR // 2) : position + _NEAR].strip()
        return cls(f"{what} at position {position}, near '{near}'")


def plain(text: str) -> str:
    """Give a bound or term without its quotes and escapes."""
    if text.startswith('"'):
        text = text[1:-1]
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL) if "\\" in text else text


@lru_cache(maxsize=4_096)
def _micros(bound: str) -> int:
    try:
        return micros(plain(bound))
    except ValueError:
        message = f"'{bound}' is no instant: failed to parse timestamp near '{bound}'"
        raise QueryError(message) from None


def time_bounds(with_low: bool, low: str, high: str, with_high: bool) -> tuple[int, int]:  # noqa: FBT001 - brackets, by place
    """Give the half-open range of whole milliseconds that a range of time holds; dates are not rounded up."""
    start, end = EARLIEST, LATEST
    if low != OPEN:
        at = _micros(low)
        start = -(-at // _MILLISECOND) if with_low else at // _MILLISECOND + 1
    if high != OPEN:
        at = _micros(high)
        end = at // _MILLISECOND + 1 if with_high else -(-at // _MILLISECOND)
    return start, end


def number(text: str) -> float | None:
    """Give a term as a number, if it is one."""
    try:
        return float(text)
    except ValueError:
        return None
