"""One budget for many workers, in a real server: never above, nearly all used, by the server's clock alone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

import pytest

from tap_genesys_search.clock import SystemClock
from tap_genesys_search.errors import RateLimitError
from tap_genesys_search.shared_budget import HORIZON, LEASE, RedisBudget
from tap_genesys_search.shared_redis import _HEAD, SharedRedis
from tests.support.fakes import FakeClock, Timeline
from tests.support.helpers import environment
from tests.support.limits import Platform, headers, most_in_a_second
from tests.support.valkey import Valkey, valkey

API, CLIENT = "https://api.example.com", "id-1"
HOUR = 3600.0


class Stopped(Exception):
    """A test does not wait."""


def refuse(seconds: float) -> None:
    raise Stopped(seconds)


def budget(redis: Valkey, per_minute: int = 6000, *, base_url: str = API, client_id: str = CLIENT) -> RedisBudget:
    return RedisBudget(SharedRedis(redis.url, base_url, client_id), per_minute, FakeClock())


def wait_of(budget: RedisBudget, max_wait: float = 1e9) -> float:
    """How long it would have to wait now; 0: it has taken a slot."""
    try:
        budget.acquire(refuse, max_wait)
    except Stopped as stopped:
        return float(stopped.args[0])
    return 0.0


# In virtual time: the scripts as they are, but for the one line that asks the server for the time


class VirtualRedis(SharedRedis):
    """Its scripts see the time of a test."""

    def __init__(self, url: str, clock: FakeClock) -> None:
        self._virtual = clock
        super().__init__(url, API, CLIENT, clock)

    def _call(self, script: str, *args: str | bytes | float) -> Any:
        assert _HEAD.count("redis.call('TIME')") == 1
        text = (_HEAD + script).replace("redis.call('TIME')", "redis.call('HMGET', 'time', 's', 'us')")
        # What was let through in the last seconds goes by the server's own time otherwise.
        text = text.replace("'PEXPIRE', LOG, 2000", "'PEXPIRE', LOG, 600000")
        now = self._virtual.time()
        self._client.hset("time", mapping={"s": int(now), "us": int(now % 1 * 1_000_000)})
        if text not in self._scripts:
            self._scripts[text] = self._client.register_script(text)
        return self._scripts[text](keys=self._keys, args=args)


def work(platform: Platform, budgets: list[RedisBudget], seconds: float, workers: int = 3) -> None:
    """Let the workers of several processes ask for so many seconds of virtual time."""
    clock = platform.clock
    assert isinstance(clock, Timeline)

    def worker(budget: RedisBudget) -> None:
        while clock.monotonic() < seconds:
            budget.acquire(clock.sleep, 600)
            clock.sleep(0.05)
            status, told = platform.hit()
            assert status == 200
            clock.sleep(0.05)
            budget.observe(told)
            budget.release()

    clock.run(*[lambda budget=budget: worker(budget) for budget in budgets for _ in range(workers)])


@pytest.mark.parametrize(("per_minute", "most"), [(300, 5), (90, 2), (1200, 20)])
def test_four_processes_together_use_the_setting_and_no_second_holds_more(
    redis: Valkey, per_minute: int, most: int
) -> None:
    clock = Timeline()
    platform = Platform(clock, tells=False, allowed=10**9)
    work(platform, [RedisBudget(VirtualRedis(redis.url, clock), per_minute, clock) for _ in range(4)], seconds=60)
    assert len(platform.times) >= 0.95 * per_minute
    assert most_in_a_second(platform.times) <= most


@pytest.mark.parametrize("others", [0, 150])
def test_a_told_window_is_used_by_all_together(redis: Valkey, others: int) -> None:
    """What one worker's answers tell holds for the others: no answer is a 429."""
    clock = Timeline()
    platform = Platform(clock, offset=47.3, others=others, length=30)
    budgets = [RedisBudget(VirtualRedis(redis.url, clock), 6000, clock) for _ in range(4)]
    work(platform, budgets, seconds=120)
    used = [platform.served[window] for window in (2, 3, 4)]
    assert min(used) >= 0.95 * (300 - others)


def test_slots_are_spread_over_the_processes_evenly(redis: Valkey) -> None:
    clock = Timeline()
    platform = Platform(clock, tells=False, allowed=10**9)
    work(platform, [RedisBudget(VirtualRedis(redis.url, clock), 120, clock) for _ in range(4)], seconds=20, workers=1)
    times = sorted(platform.times)
    assert min(later - earlier for earlier, later in pairwise(times)) > 0.45


def test_a_request_is_a_few_round_trips_however_many_wait(redis: Valkey) -> None:
    clock = Timeline()
    platform = Platform(clock, tells=False, allowed=10**9)
    budgets = [RedisBudget(VirtualRedis(redis.url, clock), 1200, clock) for _ in range(8)]
    before = redis.calls()
    work(platform, budgets, seconds=10, workers=8)
    assert (redis.calls() - before) / len(platform.times) < 6


def test_after_a_rest_no_second_holds_more_either(redis: Valkey) -> None:
    """What is caught up counts, too."""
    clock = FakeClock()
    budgets = [RedisBudget(VirtualRedis(redis.url, clock), 1200, clock) for _ in range(2)]
    times = []
    for number in range(60):
        clock.now += 30 * (number == 1)
        budgets[number % 2].acquire(clock.sleep, 0)
        times.append(clock.monotonic())
    assert most_in_a_second(times) == 20
    assert times[-1] - times[1] < 58 / 20


def test_a_limit_that_falls_is_in_force_for_all(redis: Valkey) -> None:
    clock = FakeClock()
    shared = VirtualRedis(redis.url, clock)
    one, other = (RedisBudget(shared, 6000, clock) for _ in range(2))
    for told in (headers(50, 300, 40), headers(51, 40, 39.99), headers(20, 300, 40)):
        one.observe(told)
        one.release()
    assert 39 < wait_of(other) < 41


def test_a_worker_that_is_killed_leaves_one_request_under_way_and_for_a_minute_only(redis: Valkey) -> None:
    clock = FakeClock()
    shared = VirtualRedis(redis.url, clock)
    first, other = (RedisBudget(shared, 60, clock) for _ in range(2))
    assert wait_of(first) == 0  # and never answered
    other.observe(headers(299, 300, 600))
    other.release()
    assert wait_of(other) <= 0.05  # looks again soon whether the answer has come
    clock.now += LEASE + 1
    assert wait_of(other) > 0.5  # the one that is left has its place at the end of the window


def test_a_worker_that_is_killed_before_its_turn_leaves_one_turn(redis: Valkey) -> None:
    clock = FakeClock()
    shared = VirtualRedis(redis.url, clock)
    first, other = (RedisBudget(shared, 300, clock) for _ in range(2))
    assert wait_of(first) == 0
    alone = wait_of(first)  # never asks again
    assert wait_of(other) == pytest.approx(2 * alone, abs=0.01)
    clock.now += 2 * HORIZON
    assert wait_of(other) == 0


def test_a_server_whose_clock_is_set_back_keeps_nobody_waiting(redis: Valkey) -> None:
    clock = FakeClock()
    shared = VirtualRedis(redis.url, clock)
    one = RedisBudget(shared, 60, clock)
    one.acquire(clock.sleep, 0)
    one.observe(headers(300, 300, 60))
    one.release()
    clock.now -= HOUR
    assert wait_of(RedisBudget(shared, 60, clock)) == 0


# By the server's own time


def test_a_pause_is_that_of_all(redis: Valkey) -> None:
    one, other = budget(redis), budget(redis)
    one.pause(30, "the platform answered 429, too many requests")
    for each in (one, other):
        assert 25 < wait_of(each) <= 30
        assert each.throttled_lately(0) == 1
        assert wait_of(each)
        assert each.throttled_lately(0) == 1
    assert 25_000 < redis.left("pause") <= 30_000
    other.pause(1, "a shorter one")
    assert wait_of(one) > 25
    with pytest.raises(RateLimitError, match=r"(2[5-9]|30) s more \(the platform answered 429, too many requests\)"):
        budget(redis).acquire(refuse, 5)


def test_a_used_up_window_is_that_of_all(redis: Valkey) -> None:
    one, other = budget(redis), budget(redis)
    wait_of(one)
    one.observe(headers(300, 300, 40))
    one.release()
    assert 35 < wait_of(other) <= 41
    assert 35 < other.waiting() <= 41


def test_another_client_or_api_has_a_budget_of_its_own(redis: Valkey) -> None:
    budget(redis).pause(30, "429")
    assert wait_of(budget(redis, client_id="id-2")) == 0
    assert wait_of(budget(redis, base_url="https://api.example.org")) == 0
    assert wait_of(budget(redis, base_url="https://API.example.com/")) > 25


def test_what_others_wrote_there_counts_as_nothing(redis: Valkey) -> None:
    one = budget(redis)
    keys = one._shared._keys
    for number, key in enumerate(keys):
        if number % 2:
            redis.client.hset(key, "slot", "9e15")
        else:
            redis.client.set(key, "nonsense")
    assert wait_of(one) == 0
    one.release()
    nonsense: dict[Any, Any] = {
        "slot": "9e15",
        "allowed": "nan",
        "ends": "inf",
        "count": "x",
        "length": "-5",
        "supposed": "",
    }
    redis.client.flushall()
    redis.client.hset(keys[0], mapping=nonsense)
    redis.client.rpush(keys[1], *["9e15", "x"] * 100)
    redis.client.zadd(keys[2], {"x": 9e15})
    redis.client.set(keys[3], b"\xff\x00\x1b[31m")
    assert wait_of(one) == 0


def test_nothing_stays_for_ever(redis: Valkey) -> None:
    one = budget(redis)
    wait_of(one)
    assert redis.left("flight") > 0
    one.observe(headers(1, 300, 60))
    one.release()
    one.pause(60, "429")
    for part in ("budget", "pause"):
        assert redis.left(part) > 0
    # What lives for two seconds only may be gone already.
    for key in redis.keys():  # noqa: SIM118 - it is no dictionary
        assert redis.client.pttl(key) != -1


# In processes of their own

WORKER = """
import json, sys, threading, time
ahead = float(sys.argv[2])
real = time.time
time.time = lambda: real() + ahead
from tap_genesys_search import RedisBudget, SharedRedis
from tap_genesys_search.clock import SystemClock

budget = RedisBudget(SharedRedis(sys.argv[1], "https://api.example.com", "id-1"), 1200, SystemClock())
print("ready", flush=True)
end = time.monotonic() + float(sys.stdin.readline())
grants = []

def work():
    while time.monotonic() < end:
        asked = [time.monotonic()]
        def sleep(seconds):
            time.sleep(seconds)
            asked[0] = time.monotonic()
        budget.acquire(sleep, 60)
        grants.append((asked[0], time.monotonic()))
        time.sleep(0.1)
        budget.release()

threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(grants))
"""


@pytest.mark.slow
def test_four_processes_one_with_its_clock_an_hour_ahead(redis: Valkey) -> None:
    """A grant lies between its last asking and its answer: what is above for certain is a fault, whatever the load."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, redis.url, str(ahead)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for ahead in (0.0, 0.0, 0.0, HOUR)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("12\n")
        process.stdin.flush()
    found = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert min(map(len, found)) > 0
    grants = sorted((granted, asked) for each in found for asked, granted in each)
    for (_, asked), (granted, _) in zip(grants, grants[20:], strict=False):
        assert granted - asked >= 1
    # A busy machine may stand still, twice.
    still = sorted(later - earlier for (earlier, _), (later, _) in pairwise(grants))[-2:]
    length = grants[-1][0] - grants[0][0] - sum(seconds for seconds in still if seconds > 1)
    assert len(grants) >= 0.95 * 20 * length


def test_without_the_server_it_goes_on_by_what_the_answers_told_it() -> None:
    clock = FakeClock()
    with valkey() as redis:
        one = RedisBudget(SharedRedis(redis.url, API, CLIENT, clock), 6000, clock)
        assert one.acquire(refuse, 0) == 0
        one.observe(headers(297, 300, 40))
        one.release()
        redis.stop()
        assert 0 < wait_of(one) <= 1  # three are left, spread over what is left of the window
        clock.now += 20
        assert one.acquire(refuse, 0) == 0
        one.observe(headers(300, 300, 20))
        one.release()
        assert one.acquire(clock.sleep, 60) == pytest.approx(20, abs=2)


def test_the_shared_pace_goes_on_from_the_monotonic_clock_of_nobody(redis: Valkey) -> None:
    """A client's clocks, both an hour ahead, change nothing."""
    one = RedisBudget(SharedRedis(redis.url, API, CLIENT), 1, SystemClock())
    other = RedisBudget(SharedRedis(redis.url, API, CLIENT), 1, FakeClock(time.time() + HOUR))
    assert wait_of(one) == 0
    assert 0 < wait_of(other) <= 1.02
