"""From ten thousand to two million: time, searches, memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.plot import Panel, svg
from benchmarks.process import measure
from benchmarks.report import Result, Table
from benchmarks.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench

PLOT = Path(__file__).parents[2] / "docs" / "scaling.svg"

_SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 2_000_000)


def scaling(bench: Bench) -> Iterator[Result | Table]:
    """One run each; a straight line is one whose last step costs no more for a conversation than the one before."""
    sizes = (500, 1_000, 2_000) if bench.quick else _SIZES
    found = []
    for size in sizes:
        with Sandbox(size) as sandbox:
            cost = measure(bench.contestants.tap(sandbox.url))
            found.append((size, cost.wall, sandbox.stats()["searches"], cost.peak))
    panels = [
        Panel("Wall time", "s", [(size, wall) for size, wall, _, _ in found], "#1f77b4"),
        Panel("Searches", "", [(size, searches) for size, _, searches, _ in found], "#2ca02c"),
        Panel("Peak memory", "MiB", [(size, peak) for size, _, _, peak in found], "#d62728"),
    ]
    if not bench.quick:
        PLOT.parent.mkdir(exist_ok=True)
        PLOT.write_text(svg(panels), encoding="utf-8")
    else:
        svg(panels)
    lines = [[f"{n:,}", f"{wall:.2f} s", f"{asked:,}", f"{peak:.0f} MiB"] for n, wall, asked, peak in found]
    yield Table("scaling", ["conversations", "wall", "searches", "peak memory"], lines)
    # Start-up is the same for all, so the slope is taken from the differences.
    (n0, t0, s0, _), (n1, t1, s1, _), (n2, t2, s2, _) = (found[i] for i in (0, len(found) // 2, -1))
    time_grows = ((t2 - t1) / (n2 - n1)) / ((t1 - t0) / (n1 - n0))
    searches_grow = ((s2 - s1) / (n2 - n1)) / ((s1 - s0) / (n1 - n0))
    figure = f"time × {time_grows:.2f}, searches × {searches_grow:.2f}"
    what = f"cost of one more conversation, {n1:,} to {n2:,} against {n0:,} to {n1:,}"
    reached = time_grows <= 1.15 and searches_grow <= 1.05
    yield Result("scaling", what, "straight: ≤ 1.15, ≤ 1.05", figure, reached)
    yield Table("paper", ["limit", "10 million", "100 million"], list(_on_paper(s2 / n2)))


def _on_paper(searches_a_conversation: float) -> Iterator[list[str]]:
    for limit in (300, 600, 1_200, 3_000):
        hours = [count * searches_a_conversation / limit / 60 for count in (10_000_000, 100_000_000)]
        yield [f"{limit:,} a minute", *(f"{h:.1f} h" if h < 48 else f"{h / 24:.1f} days" for h in hours)]
