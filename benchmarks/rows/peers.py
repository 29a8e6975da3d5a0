"""Others that do the same work, each its recommended way: what it costs, and what it loses while data moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.bench import compare
from benchmarks.contestants import TITLES, ids
from benchmarks.process import measure
from benchmarks.report import Result, Table
from benchmarks.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench

_PEERS = ["plain", "tap", "template", "dlt", "airbyte"]

#: At every search: so many change, leave, and show late within what is read.
_MOVEMENT = {"move_every_search": 1, "leave_every_search": 0.5, "late_every_search": 1, "late_in_range": True}


def peers(bench: Bench) -> Iterator[Result | Table]:
    """Wall, CPU and memory on what is quiet; records lost that kept their place on what moves."""
    with Sandbox(bench.size(200_000)) as sandbox:
        found = compare(bench, sandbox, _PEERS)
    seeds = (1,) if bench.quick else (1, 2, 3)
    losses = {name: [_lost(bench, name, seed) for seed in seeds] for name in _PEERS}
    stood = sum(stood for _, stood in losses["tap"])
    head = ["", "wall", "CPU", "to the plain script", "peak", f"lost of {stood:,} that kept their place"]
    lines = []
    for name in _PEERS:
        lost = sum(lost for lost, _ in losses[name])
        lines.append(
            [
                TITLES[name],
                f"{found.median(name, 'wall'):.2f} s",
                f"{found.median(name, 'cpu'):.2f} s",
                f"wall {found.ratio(name, 'wall'):.2f}, CPU {found.ratio(name, 'cpu'):.2f}",
                f"{found.median(name, 'peak'):.0f} MiB",
                f"{lost:,}",
            ]
        )
    yield Table("peers", head, lines)
    lost = sum(lost for lost, _ in losses["tap"])
    yield Result("peers", f"of {stood:,} that kept their place while data moved, lost", "0", str(lost), lost == 0)


def _lost(bench: Bench, name: str, seed: int) -> tuple[int, int]:
    """Return how many that kept their place a contestant lost, and how many there were."""
    with Sandbox(bench.size(20_000, 4_000), seed=seed, **_MOVEMENT) as sandbox:
        command = bench.contestants.command(name, sandbox.url)
        output = command.folder / "out"
        measure(command, output)
        sandbox.ask("quiet", {})
        stood = {line["id"] for line in sandbox.truth() if line["stood"]}
    count = len(stood)
    stood.difference_update(ids(name, command, output))
    return len(stood), count
