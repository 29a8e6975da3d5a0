"""Reading everything without latency: what the processor does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.bench import compare
from benchmarks.report import at_most
from benchmarks.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench
    from benchmarks.report import Result


def backfill(bench: Bench) -> Iterator[Result]:
    """200,000 conversations, all guarantees on."""
    with Sandbox(bench.size(200_000)) as sandbox:
        found = compare(bench, sandbox, ["plain", "tap"])
    for kind, aim in (("wall", 0.75), ("cpu", 0.80)):
        what = f"{sandbox.conversations:,} conversations, {kind} to the plain script"
        yield at_most("backfill", what, aim, found.ratio("tap", kind), note=found.told("tap", kind))


def million(bench: Bench) -> Iterator[Result]:
    """1,000,000 conversations."""
    with Sandbox(bench.size(1_000_000, 4_000)) as sandbox:
        found = compare(bench, sandbox, ["plain", "tap"])
    what = f"{sandbox.conversations:,} conversations, wall to the plain script"
    yield at_most("million", what, 0.70, found.ratio("tap", "wall"), note=found.told("tap", "wall"))


def mapped(bench: Bench) -> Iterator[Result]:
    """A stream map, a property deselected, and a template tap that does neither."""
    ways = {"mapped tap": "with a stream map", "deselected tap": "with a property deselected"}
    with Sandbox(bench.size(200_000)) as sandbox:
        found = compare(bench, sandbox, ["plain", *ways, "template"])
    template = found.ratio("template", "cpu")
    for name, way in ways.items():
        note = f"{found.told(name, 'cpu')}; a template tap without it: {template:.2f}"
        yield at_most("mapped", f"{way}, CPU to the plain script", 3.0, found.ratio(name, "cpu"), note=note)


def generator(bench: Bench) -> Iterator[Result]:
    """As a generator, without Singer."""
    names = ["plain", "quiet plain", "generator", "printing generator"]
    with Sandbox(bench.size(200_000)) as sandbox:
        found = compare(bench, sandbox, names)
    quiet = found.ratio("generator", "cpu", "quiet plain")
    printing = found.ratio("printing generator", "cpu")
    note = (
        f"{found.told('generator', 'cpu')}; to the script without its print {quiet:.2f}; both with print {printing:.2f}"
    )
    yield at_most(
        "generator", "a loop over it, CPU to the plain script", 0.65, found.ratio("generator", "cpu"), note=note
    )
