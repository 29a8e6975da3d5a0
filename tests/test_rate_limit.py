"""The budget: even, within every limit, and nearly all of it used."""

from __future__ import annotations

import logging
import math
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tap_genesys_search.errors import RateLimitError
from tap_genesys_search.rate_limit import RateBudget
from tests.support.fakes import START, FakeClock, Timeline
from tests.support.limits import Platform, headers, most_in_a_second

if TYPE_CHECKING:
    from collections.abc import Callable


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


@pytest.mark.parametrize("per_minute", [300, 6000])
@pytest.mark.parametrize(
    "rounding", [float, math.ceil, math.floor, lambda reset: math.ceil(reset) + 1], ids=["exact", "up", "down", "late"]
)
def test_nearly_all_of_a_told_window_is_used(rounding: Callable[[float], float], per_minute: int) -> None:
    clock = Timeline()
    platform = Platform(clock, offset=47.3, rounding=rounding)
    work(platform, RateBudget(per_minute, clock), seconds=260)
    assert sum(platform.served[window] for window in range(1, 5)) >= 0.97 * 4 * 300
    assert max(platform.refused.values(), default=0) <= 1
    assert most_in_a_second(platform.times) <= per_minute / 60


def test_a_limit_below_the_setting_is_spread_over_its_window() -> None:
    clock = Timeline()
    platform = Platform(clock, allowed=60)
    work(platform, RateBudget(300, clock), seconds=180)
    second_window = [moment for moment in platform.times if 60 <= moment < 120]
    assert len(second_window) >= 59
    assert max(later - earlier for earlier, later in pairwise(second_window)) < 2
    assert not platform.refused


@pytest.mark.parametrize(("per_minute", "most"), [(300, 5), (90, 2), (1000, 17)])
def test_nearly_all_of_the_setting_is_used_and_no_second_holds_more(per_minute: int, most: int) -> None:
    clock = Timeline()
    platform = Platform(clock, tells=False, allowed=10**9)
    work(platform, RateBudget(per_minute, clock), seconds=120)
    assert len(platform.times) >= 0.97 * 2 * per_minute
    assert most_in_a_second(platform.times) <= most


def test_slots_are_spread_evenly() -> None:
    clock = Timeline()
    platform = Platform(clock, tells=False, allowed=10**9)
    work(platform, RateBudget(120, clock), seconds=60)
    times = sorted(platform.times)
    assert min(later - earlier for earlier, later in pairwise(times)) == pytest.approx(0.5, abs=0.01)


def test_half_a_second_of_delay_is_caught_up_and_no_more() -> None:
    clock = FakeClock()
    budget = RateBudget(590, clock)  # ten a second at most, and one each 0.1017 s
    budget.acquire(clock.sleep, 0)
    clock.now += 30
    begun = clock.now
    for _ in range(8):
        budget.acquire(clock.sleep, 0)
    assert clock.now - begun == pytest.approx(60 / 590 * 7 - 0.5, abs=0.01)


def test_another_client_of_the_same_limit_is_allowed_for() -> None:
    clock = Timeline()
    platform = Platform(clock, others=200)
    work(platform, RateBudget(300, clock), seconds=260)
    assert min(platform.served[window] for window in range(1, 4)) >= 97
    assert max(platform.refused.values(), default=0) <= 1


def test_a_limit_that_falls_is_in_force_from_the_first_answer_that_tells() -> None:
    clock = FakeClock()
    budget = RateBudget(6000, clock)
    budget.acquire(clock.sleep, 0)
    budget.observe(headers(50, 300, 40))
    budget.release()
    budget.acquire(clock.sleep, 0)
    budget.observe(headers(51, 40, 39.99))
    budget.release()
    before = clock.now
    assert budget.acquire(clock.sleep, 60) == pytest.approx(40, abs=0.1)
    assert clock.now - before == pytest.approx(40, abs=0.1)


def test_an_answer_that_was_overtaken_does_not_bring_requests_back() -> None:
    clock = FakeClock()
    budget = RateBudget(6000, clock)
    budget.observe(headers(290, 300, 20))
    newest = budget.rate
    budget.observe(headers(100, 400, 20))
    assert budget.rate == pytest.approx(newest)
    clock.now += 20.5
    budget.observe(headers(1, 300, 60))
    budget.observe(headers(295, 300, 0.2))  # from the window before, on its way for long
    assert budget.rate == pytest.approx(299 / 60, rel=0.01)


@pytest.mark.parametrize(
    "told",
    [
        {},
        headers("many", 300, 60),
        headers(-1, 300, 60),
        headers(1, 0, 60),
        headers(1, 300, -3),
        headers(1, 300, "nan"),
        headers(1, 300, 10**8),
        headers(1, 10**8, 60),
        headers(1, "3e2", 60),
        {"inin-ratelimit-count": "300", "inin-ratelimit-allowed": "300"},
    ],
)
def test_headers_that_make_no_sense_are_ignored(told: dict[str, str]) -> None:
    clock = FakeClock()
    budget = RateBudget(600, clock)
    budget.observe(told)
    assert budget.rate == pytest.approx(10)
    assert budget.acquire(clock.sleep, 0) == 0


def test_a_used_up_window_is_a_told_wait_until_its_reset(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Timeline()
    budget = RateBudget(6000, clock)
    budget.observe(headers(300, 300, 12))
    told: list[float] = []
    clock.run(*[lambda: told.append(budget.acquire(clock.sleep, 60))] * 5)
    assert told == pytest.approx([12.05] * 5, abs=0.1)
    assert [record.getMessage() for record in caplog.records] == [
        "Waiting 12 s: the platform's limit of 300 requests is used up until it is reset"
    ]


def test_after_the_reset_the_last_limit_holds_until_the_platform_tells_again() -> None:
    clock = FakeClock()
    budget = RateBudget(6000, clock)
    budget.observe(headers(1, 30, 60))
    clock.now += 61
    begun = clock.now
    for _ in range(30):
        budget.acquire(clock.sleep, 0)
        budget.release()
    assert 50 <= clock.now - begun < 60
    assert budget.acquire(clock.sleep, 60) > 0  # the supposed window is used up too


def test_requests_under_way_count_until_their_answers_are_there() -> None:
    clock = FakeClock()
    budget = RateBudget(6000, clock)
    for _ in range(2):
        budget.acquire(clock.sleep, 0)
    budget.observe(headers(8, 10, 60))

    under_way = [1, 2]

    def answer_arrives(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.monotonic() > 5 and under_way:
            under_way.pop()
            budget.release()

    assert budget.acquire(answer_arrives, 0) == 0
    assert clock.monotonic() > 5


def test_a_pause_holds_for_everyone_and_the_longest_counts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Timeline()
    budget = RateBudget(6000, clock)
    budget.pause(30, "429")
    budget.pause(10, "429")
    told: list[float] = []
    clock.run(*[lambda: told.append(budget.acquire(clock.sleep, 60))] * 5)
    assert told == pytest.approx([30] * 5, abs=0.1)
    assert [record.getMessage() for record in caplog.records] == ["Waiting 30 s: 429"]


def test_pauses_of_the_last_minute_are_counted_and_one_told_to_many_workers_is_one() -> None:
    clock = FakeClock()
    budget = RateBudget(300, clock)
    for _ in range(8):
        budget.pause(5, "429")
    clock.now += 10
    budget.pause(5, "429")
    assert budget.throttled_lately(clock.monotonic()) == 2
    assert budget.throttled_lately(clock.monotonic() + 55) == 1
    assert budget.throttled_lately(clock.monotonic() + 61) == 0


def test_a_told_wait_that_is_too_long_is_not_begun() -> None:
    clock = FakeClock()
    budget = RateBudget(300, clock)
    budget.pause(3600, "429")
    with pytest.raises(
        RateLimitError, match=r"asks to wait 3600 s more \(429\), and of max_wait_seconds 600 s are left"
    ):
        budget.acquire(clock.sleep, 600)
    assert clock.sleeps == []


def test_told_waits_add_up() -> None:
    clock = FakeClock()
    budget = RateBudget(300, clock)
    budget.pause(40, "429")

    def again(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.monotonic() < 1000:
            budget.pause(40, "429")

    with pytest.raises(RateLimitError, match="20 s are left"):
        budget.acquire(again, 100)


def test_keeping_the_pace_is_no_told_wait_and_is_announced_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    budget = RateBudget(6, clock)
    assert [budget.acquire(clock.sleep, 0) for _ in range(4)] == [0] * 4
    assert clock.now - START == pytest.approx(30, abs=0.1)
    assert [record.getMessage() for record in caplog.records] == ["Waiting 10 s: the pace of requests_per_minute"]


def test_a_cancelled_wait_holds_nothing() -> None:
    clock = FakeClock()
    budget = RateBudget(6000, clock)
    budget.observe(headers(9, 10, 60))
    budget.pause(5, "429")

    def cancel(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        budget.acquire(cancel, 60)
    assert budget.acquire(clock.sleep, 60) == pytest.approx(5, abs=0.1)
    assert clock.monotonic() < 6


def test_the_rate_to_plan_by_is_the_lower_of_both_and_never_zero() -> None:
    clock = FakeClock()
    budget = RateBudget(300, clock)
    assert budget.rate == pytest.approx(5)
    budget.observe(headers(180, 300, 60))
    assert budget.rate == pytest.approx(2, rel=0.01)
    budget.observe(headers(300, 300, 60))
    assert budget.rate == pytest.approx(5)
    budget.observe(headers(100, 100, 60))
    assert budget.rate == pytest.approx(100 / 60)
