"""A platform that keeps a rate limit, in a test's own time, and how even the requests were that it got."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fakes import FakeClock


def headers(count: object, allowed: object, reset: object) -> dict[str, str]:
    """What an answer tells of the limit: requests in this window, those allowed, seconds until the next."""
    return {
        "inin-ratelimit-count": str(count),
        "inin-ratelimit-allowed": str(allowed),
        "inin-ratelimit-reset": str(reset),
    }


@dataclass
class Platform:
    """A fixed window, as the platform keeps it: counts everything, refuses what is too much."""

    clock: FakeClock
    allowed: int = 300
    length: float = 60.0
    offset: float = 0.0
    rounding: Callable[[float], float] = float
    tells: bool = True
    #: How many requests another client sends at the start of each window.
    others: int = 0
    counts: Counter[int] = field(default_factory=Counter)
    served: Counter[int] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)

    def hit(self) -> tuple[int, dict[str, str]]:
        """Take one request; return the status and the headers."""
        now = self.clock.monotonic() + self.offset
        window = math.floor(now / self.length)
        if window not in self.counts:
            self.counts[window] = self.others
        self.counts[window] += 1
        self.times.append(now)
        reset = self.rounding((window + 1) * self.length - now)
        told = headers(self.counts[window], self.allowed, reset) if self.tells else {}
        if self.counts[window] > self.allowed:
            self.refused[window] += 1
            return 429, {**told, "Retry-After": str(max(1, math.ceil(reset)))}
        self.served[window] += 1
        return 200, told


def most_in_a_second(times: list[float]) -> int:
    """How many of these moments, in seconds, lie within one second at most."""
    times = sorted(times)
    first = most = 0
    for last, moment in enumerate(times):
        while times[first] <= moment - 1 + 1e-6:
            first += 1
        most = max(most, last - first + 1)
    return most
