"""Peak memory: the same however many conversations there are."""

from __future__ import annotations

import datetime as dt
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.process import measure
from benchmarks.report import Result, at_most
from benchmarks.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench

_LIMITS = {300: 110, 10_000: 200}


def flat(bench: Bench) -> Iterator[Result]:
    """0.3 KB and 10 KB, few and many; one day far busier than the rest."""
    busy = str((dt.datetime.now(dt.UTC) - dt.timedelta(days=15)).date())
    if bench.quick:
        worlds: dict[int, list[tuple[int, dict[str, object]]]] = {300: [(2_000, {}), (4_000, {})], 10_000: [(400, {})]}
    else:
        worlds = {
            300: [(20_000, {}), (400_000, {}), (2_000_000, {}), (400_000, {"busy_day": busy, "busy_factor": 50})],
            10_000: [(20_000, {}), (100_000, {}), (20_000, {"busy_day": busy, "busy_factor": 50})],
        }
    for size, sizes in worlds.items():
        # One run in many has a second worker for its first pages, and is some MiB larger: three, and the middle one.
        runs = 1 if bench.quick else 3
        peaks: dict[str, float] = {}
        for conversations, options in sizes:
            with Sandbox(conversations, record_bytes=size, **options) as sandbox:
                name = f"{conversations:,}{' with a busy day' if options else ''}"
                peaks[name] = median(measure(bench.contestants.tap(sandbox.url)).peak for _ in range(runs))
        told = ", ".join(f"{name}: {peak:.0f}" for name, peak in peaks.items())
        apart = max(peaks.values()) / min(peaks.values()) - 1
        kilobytes = f"{size / 1000:g} KB"
        yield at_most(
            "memory", f"peak at {kilobytes}", _LIMITS[size], max(peaks.values()), unit=" MiB", note=told, **peaks
        )
        yield Result("memory", f"peaks at {kilobytes} apart", "≤ 10 %", f"{apart:.1%}", apart <= 0.10, {"apart": apart})
