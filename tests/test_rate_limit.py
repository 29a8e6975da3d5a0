"""The budget: even, within every limit, and nearly all of it used."""

from __future__ import annotations

import logging
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tap_genesys_search.errors import RateLimitError
from tap_genesys_search.rate_limit import RateBudget
from tests.fakes import START, FakeClock, Timeline

if TYPE_CHECKING:
    from collections.abc import Callable


def headers(count: object, allowed: object, reset: object) -> dict[str, str]:
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
            return 429, {**told, "Retry-After": str(math.ceil(reset))}
        self.served[window] += 1
        return 200, told


def work(platform: Platform, budget: RateBudget, seconds: float, workers: int = 8, latency: float = 0.1) -> None:
    """Let workers ask for so many seconds of virtual time."""
    clock = platform.clock
    assert isinstance(clock, Timeline)

    def worker() -> None:
        while clock.monotonic() < seconds:
            budget.acquire(clock.sleep, 600)
            clock.sleep(latency / 2)
            status, told = platform.hit()
            clock.sleep(latency / 2)
            if status == 429:
                budget.pause(float(told["Retry-After"]), "429")
            budget.observe(told)
            budget.release()

    clock.run(*[worker] * workers)


def most_in_a_second(times: list[float]) -> int:
    times = sorted(times)
    first = most = 0
    for last, moment in enumerate(times):
        while times[first] <= moment - 1 + 1e-6:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize("rounding", [float, math.ceil, math.floor, lambda reset: math.ceil(reset) + 1])
@pytest.mark.parametrize("per_minute", [300, 330, 6000])
@pytest.mark.parametrize("offset", [0.0, 47.3])
def test_nearly_all_of_a_told_window_is_used(
    rounding: Callable[[float], float], per_minute: int, offset: float
) -> None:
    clock = Timeline()
    platform = Platform(clock, offset=offset, rounding=rounding)
    work(platform, RateBudget(per_minute, clock), seconds=420)
    whole = range(1, 6)
    assert min(platform.served[window] for window in whole) >= 0.97 * 300
    assert max(platform.refused.values(), default=0) <= 1


def test_debug() -> None:
    for rounding in [float, math.ceil, math.floor, lambda r: math.ceil(r)+1]:
        for rpm in [300,330,6000]:
            for length, allowed in [(60,300),(60,180),(10,50),(3,15)]:
              for lat in (.1, 1.5):
                clock = Timeline()
                platform = Platform(clock, offset=17.3, rounding=rounding, length=length, allowed=allowed)
                work(platform, RateBudget(rpm, clock), seconds=300, latency=lat)
                ws = sorted(platform.served)[1:-2]
                use=[platform.served[w] for w in ws]
                print(getattr(rounding,'__name__','?'), rpm, length, allowed, lat, "min/mean use %.3f %.3f" % (min(use)/allowed, sum(use)/len(use)/allowed), "refused", sum(platform.refused.values()), max(platform.refused.values(), default=0), "persec", most_in_a_second(platform.times))
