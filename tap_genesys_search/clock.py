"""The one door to time, so that a test can run a day in a millisecond."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the tap asks of time; another one than the machine's lets a test run a day in a moment."""

    def time(self) -> float:
        """Seconds since 1970, by the local clock."""

    def monotonic(self) -> float:
        """Seconds that never go back, those of a suspended machine included where it can tell."""

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""


class SystemClock:
    """The machine's own time."""

    @staticmethod
    def time() -> float:
        """Seconds since 1970."""
        return time.time()

    @staticmethod
    def sleep(seconds: float) -> None:
        """Let so many seconds pass."""
        time.sleep(seconds)

    @staticmethod
    def monotonic() -> float:
        """Seconds since the machine started; a page that was held over a suspended night is old in the morning."""
        if hasattr(time, "CLOCK_BOOTTIME"):
            return time.clock_gettime(time.CLOCK_BOOTTIME)
        return time.monotonic()
