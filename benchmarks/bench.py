"""What every row needs: how long it may take, who is measured, and rounds that alternate."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.process import Cost, measure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.contestants import Contestants
    from benchmarks.sandbox import Sandbox


@dataclass(frozen=True)
class Bench:
    """How to measure."""

    contestants: Contestants
    folder: Path
    rounds: int = 5
    quick: bool = False

    def size(self, full: int, quick: int = 2_000) -> int:
        """Return the number of conversations: that of the aim, or a small one."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Comparison:
    """The costs of some contestants, round by round."""

    costs: dict[str, list[Cost]]

    def ratio(self, name: str, kind: str, base: str = "plain") -> float:
        """Return the median of the rounds' ratios; ``kind`` is wall or cpu."""
        pairs = zip(self.costs[name], self.costs[base], strict=True)
        return median(_of(mine, kind) / _of(other, kind) for mine, other in pairs)

    def median(self, name: str, kind: str) -> float:
        """Return the median of one's costs."""
        return median(_of(cost, kind) for cost in self.costs[name])

    def told(self, name: str, kind: str, base: str = "plain") -> str:
        """Return both medians in seconds."""
        return f"{self.median(name, kind):.2f} s to {self.median(base, kind):.2f} s"


def _of(cost: Cost, kind: str) -> float:
    return float(getattr(cost, kind))


def compare(bench: Bench, sandbox: Sandbox, names: Sequence[str]) -> Comparison:
    """Measure contestants in alternating rounds, after one run of each that does not count."""
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    for number in range(-1, bench.rounds):
        # Every other round goes backwards, so that none always runs after the same one.
        for name in names if number % 2 else reversed(names):
            command = bench.contestants.command(name, sandbox.url)
            sandbox.reset()
            cost = measure(command)
            served = sandbox.stats()["records_served"]
            if served < sandbox.conversations:
                message = f"{name} read {served} of {sandbox.conversations} conversations"
                raise RuntimeError(message)
            if number >= 0:
                costs[name].append(cost)
    return Comparison(costs)
