"""The rate limit: how much of it is used, and what happens when it changes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.contestants import ids
from benchmarks.process import Running
from benchmarks.report import Result
from benchmarks.rows.counts import PAGE
from benchmarks.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from benchmarks.sandbox import Observer

#: Far above what the platform allows.
_HIGH = 6_000


def told(bench: Bench) -> Iterator[Result]:
    """300 a minute, told in headers, in windows of a minute as the platform has them.

    Shorter windows would not show it: ``reset`` comes in whole seconds, so up to one is lost in each window.
    """
    window, windows = (6, 1) if bench.quick else (60, 3)
    allowed = 300 * window // 60
    conversations = allowed * (windows + 1) * PAGE
    with (
        Sandbox(conversations, requests_per_minute=300, rate_window_seconds=window) as sandbox,
        sandbox.observed() as observer,
        Running(bench.contestants.tap(sandbox.url, requests_per_minute=_HIGH)),
    ):
        first = observer.wait_for(1)
        # The next window begins with the first search after the end of the one before, so all are counted by grants.
        end = observer.wait_for(allowed * windows + 1, window * (windows + 2))
        count = observer.count_at(end)
    lost = end - first
    used = window * windows / lost
    figure = f"{used:.3f} ({windows} windows of {window} s in {lost:.1f} s, {count.refused} × 429)"
    what = f"300 a minute told in headers, setting {_HIGH:,}: used"
    reached = used >= 0.97 and count.refused <= windows
    yield Result("rate-told", what, "≥ 0.97, ≤ one 429 a window", figure, reached, {"used": used, "429": count.refused})


def untold(bench: Bench) -> Iterator[Result]:
    """A token bucket of 20 a second that no header tells of, and the setting at its rate."""
    seconds = 3 if bench.quick else 60
    faults = {"bucket_rate": 20, "bucket_burst": 20, "latency_ms": 100, "rate_headers": False}
    with (
        Sandbox(20 * (seconds + 3) * PAGE, **faults) as sandbox,
        sandbox.observed() as observer,
        Running(bench.contestants.tap(sandbox.url, requests_per_minute=1_200)) as running,
    ):
        first = observer.wait_for(1)
        last = observer.wait_for(20 * seconds)
        running.wait()
    granted, refused = observer.count_at(last).granted, observer.samples[-1].refused
    used = (granted - 1) / (20 * (last - first))
    figure = f"{used:.3f} ({granted:,} in {last - first:.1f} s, {refused} × 429)"
    what = "token bucket of 20 a second, burst 20, 100 ms, not told, setting 1,200: used"
    yield Result("rate-untold", what, "≥ 0.97, ≤ 3 × 429", figure, used >= 0.97 and refused <= 3, {"used": used})


def falling(bench: Bench) -> Iterator[Result]:
    """The limit falls to a third in mid-run, then another client eats half of that."""
    window = 10
    watched = 8.0 if bench.quick else 25.0
    steps = [
        ("the limit falls to a third", {"requests_per_minute": 400}, 400 / 60),
        ("another client takes half of it", {"another_client_share": 0.5}, 200 / 60),
    ]
    conversations = int((20 * window + (400 + 200) / 60 * watched) * PAGE * 1.3)
    with (
        Sandbox(conversations, requests_per_minute=1_200, rate_window_seconds=window) as sandbox,
        sandbox.observed() as observer,
    ):
        command = bench.contestants.tap(sandbox.url, requests_per_minute=_HIGH)
        output = command.folder / "out"
        with output.open("wb") as out, Running(command, stdout=out) as running:
            observer.wait_for(100)
            for what, change, rate in steps:
                before = observer.samples[-1].granted + observer.samples[-1].refused
                sandbox.ask("faults", change)
                tells = _next_answer(observer, before)
                time.sleep(watched)
                settled = _settled_after(observer, tells, rate, watched)
                refused = observer.samples[-1].refused
                figure = f"{settled:.1f} s ({refused} × 429 so far)"
                yield Result("rate-falling", f"{what}: new rate in force", "≤ 2 s", figure, settled <= 2.0)
            sandbox.ask("faults", {"requests_per_minute": 0.0, "another_client_share": 0.0})
            running.wait()
        lost = {line["id"] for line in sandbox.truth()}.difference(ids("tap", command, output))
    yield Result("rate-falling", f"of {conversations:,} conversations lost", "0", str(len(lost)), not lost)


def _next_answer(observer: Observer, before: int) -> float:
    """Return when the first answer after so many came."""
    while (last := observer.samples[-1]).granted + last.refused <= before:
        time.sleep(0.005)
    return next(sample.at for sample in observer.samples if sample.granted + sample.refused > before)


def _settled_after(observer: Observer, tells: float, rate: float, watched: float) -> float:
    """Return how long after an answer three seconds could still hold a quarter more than the new rate allows.

    A quarter, as the tap uses what a window allows before the window's last second and a half.
    """
    span, step, above = 3.0, 0.1, 1.25
    settled = 0.0
    for number in range(int((watched - span) / step)):
        begin = tells + number * step
        count = observer.count_at(begin + span).granted - observer.count_at(begin).granted
        if count > above * rate * span + 1:
            settled = (number + 1) * step
    return settled
