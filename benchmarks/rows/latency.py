"""Waiting for answers: how well workers hide it, and how soon the first record is out."""

from __future__ import annotations

import subprocess
import time
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.process import Running, measure
from benchmarks.report import Result, at_most
from benchmarks.rows.counts import PAGE
from benchmarks.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench

_LATENCY = 0.2
_WORKERS = 8


def workers(bench: Bench) -> Iterator[Result]:
    """60,000 conversations, 200 ms, 8 workers; then as many workers as the tap takes by itself."""
    start_up = _start_up(bench)
    with Sandbox(bench.size(60_000, 4_000), latency_ms=_LATENCY * 1000) as sandbox:
        least = sandbox.conversations / PAGE * _LATENCY / _WORKERS
        wall = median(
            measure(bench.contestants.tap(sandbox.url, concurrency=_WORKERS)).wall
            for _ in range(1 if bench.quick else 3)
        )
        note = f"{wall:.2f} s; start-up {start_up:.2f} s, then {least:.2f} s at the least"
        what = f"{sandbox.conversations:,} conversations at 200 ms with 8 workers, to pages × latency ÷ workers"
        yield at_most("latency", what, 1.25, (wall - start_up) / least, note=note)
        sandbox.reset()
        wall = measure(bench.contestants.tap(sandbox.url, requests_per_minute=1_200)).wall
        most = sandbox.stats()["max_in_flight"]
        needed = sandbox.conversations / PAGE / 20
        figure = f"{most} at most, {wall:.1f} s ({needed:.1f} s at the least; rate × latency is 4)"
        yield Result("latency", "workers by themselves at 20 a second and 200 ms", "–", figure, None, {"wall": wall})


def _start_up(bench: Bench) -> float:
    """A whole run that finds one conversation."""
    with Sandbox(1) as sandbox:
        return median(measure(bench.contestants.tap(sandbox.url)).wall for _ in range(1 if bench.quick else 4))


def first_record(bench: Bench) -> Iterator[Result]:
    """When the first RECORD is on stdout: the token's answer and the first page's."""
    rounds = 1 if bench.quick else 5
    with Sandbox(bench.size(20_000)) as sandbox:
        at_once = median(_seconds_to_record(bench, sandbox) for _ in range(rounds + 1))
        sandbox.ask("faults", {"latency_ms": _LATENCY * 1000})
        late = median(_seconds_to_record(bench, sandbox) for _ in range(rounds))
    answers = (late - at_once) / _LATENCY
    note = f"after {late:.2f} s at 200 ms, {at_once:.2f} s without latency"
    what = "answers waited for before the first record"
    text = f"{answers:.2f} ({note})"
    # A quarter of an answer (50 ms) is the noise of two start-ups.
    yield Result("first-record", what, "start-up + 2", text, answers <= 2.25, {"figure": answers})


def _seconds_to_record(bench: Bench, sandbox: Sandbox) -> float:
    with Running(bench.contestants.tap(sandbox.url), stdout=subprocess.PIPE) as running:
        out = running.process.stdout
        for line in out or ():
            if line.startswith(b'{"type":"RECORD"'):
                break
        return time.perf_counter() - running.began
