"""How many searches are allowed."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tap_genesys_search.sandbox.faults import Faults
    from tap_genesys_search.sandbox.web import Headers


class Verdict(NamedTuple):
    """How long to wait in seconds (None: the request is allowed), and what the headers tell."""

    wait: float | None
    headers: Headers


_FREE = Verdict(None, [])


class RateLimit:
    """A fixed window, a token bucket, or both; `now` is in seconds of a clock that never goes back."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._window_end = 0.0
        self._count = 0
        self._filled_at: float | None = None
        self._level = 0.0

    def take(self, now: float) -> Verdict:
        """Count one request."""
        faults = self._faults
        window = self._window(now) if faults.requests_per_minute else _FREE
        if window.wait is not None or not faults.bucket_rate:
            return window
        bucket = self._bucket(now)
        return bucket if bucket.wait is not None or window is _FREE else window

    def _window(self, now: float) -> Verdict:
        faults = self._faults
        if now >= self._window_end:
            self._window_end = now + faults.rate_window_seconds
            self._count = 0
        allowed = faults.allowed()
        used = self._count + int(allowed * faults.another_client_share)
        left = self._window_end - now
        if used >= allowed:
            return Verdict(left, self._headers(used, allowed, left))
        self._count += 1
        return Verdict(None, self._headers(used + 1, allowed, left))

    def _bucket(self, now: float) -> Verdict:
        faults = self._faults
        if self._filled_at is None:
            self._level = faults.bucket_burst
        else:
            self._level = min(faults.bucket_burst, self._level + (now - self._filled_at) * faults.bucket_rate)
        self._filled_at = now
        wait = None if self._level >= 1 else (1 - self._level) / faults.bucket_rate
        self._level -= wait is None
        used = faults.bucket_burst - self._level
        return Verdict(wait, self._headers(ceil(used), int(faults.bucket_burst), used / faults.bucket_rate))

    def _headers(self, count: int, allowed: int, reset: float) -> Headers:
        if not self._faults.rate_headers:
            return []
        told = {"count": count, "allowed": allowed, "reset": ceil(reset)}
        return [(f"inin-ratelimit-{name}".encode(), str(value).encode()) for name, value in told.items()]
