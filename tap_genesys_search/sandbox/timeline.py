"""When conversations happen: how many in each stretch of time, so that an exact number comes out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING

from tap_genesys_search.sandbox.instants import DAY, HOUR

if TYPE_CHECKING:
    from collections.abc import Iterator

_RECORDS_A_CELL = 1_500
_PARTS_OF_AN_HOUR = (1, 2, 3, 4, 6, 12, 30, 60, 120, 240, 720, 3_600)
_SATURDAY = 5
_WEEKEND = 0.35
_BY_HOUR = (3, 2, 2, 2, 3, 5, 12, 30, 70, 95, 100, 96, 80, 88, 97, 95, 88, 75, 55, 38, 25, 15, 8, 5)


@dataclass(frozen=True)
class Cell:
    """A stretch of time `[low, high)` in milliseconds: how many records, and the number of its first."""

    low: int
    high: int
    first: int
    count: int
    bursts: tuple[tuple[int, int], ...] = ()

    @property
    def size(self) -> int:
        """How many records, those of bursts among them."""
        return self.count + sum(count for _, count in self.bursts)


@dataclass(frozen=True)
class Plan:
    """What is spread over `[low, high)`; the bursts come on top of `count`. All instants are in milliseconds."""

    seed: int
    low: int
    high: int
    count: int
    bursts: dict[int, int]
    busy_day: int | None
    busy_factor: float


def cells(plan: Plan) -> Iterator[Cell]:
    """Spread the records: busy and quiet hours, weekends lower."""
    low, high, count = plan.low, plan.high, plan.count
    hours = max(1.0, (high - low) / HOUR)
    width = HOUR // next(
        (parts for parts in _PARTS_OF_AN_HOUR if count / hours / parts <= _RECORDS_A_CELL), _PARTS_OF_AN_HOUR[-1]
    )
    edges = range(low - low % width, high, width)
    weights = list(_weights(plan, edges))
    whole = sum(weights)
    pending = sorted(plan.bursts.items())
    given = first = 0
    passed = 0.0
    for number, (edge, weight) in enumerate(zip(edges, weights, strict=True)):
        passed += weight
        # Rounding the running total, not each cell, is what makes the number come out exactly.
        until = count if number == len(weights) - 1 else round(count * passed / whole)
        inside: list[tuple[int, int]] = []
        while pending and pending[0][0] < edge + width:
            inside.append(pending.pop(0))
        cell = Cell(max(edge, low), min(edge + width, high), first, until - given, tuple(inside))
        yield cell
        first += cell.size
        given = until


def _weights(plan: Plan, edges: range) -> Iterator[float]:
    rng = Random(f"{plan.seed}:weights")
    busy_day = plan.busy_day
    for edge in edges:
        weight = float(_BY_HOUR[edge % DAY // HOUR])
        if datetime.fromtimestamp(edge // 1_000, UTC).weekday() >= _SATURDAY:
            weight *= _WEEKEND
        if busy_day is not None and busy_day <= edge < busy_day + DAY:
            weight *= plan.busy_factor
        inside = (min(edge + edges.step, plan.high) - max(edge, plan.low)) / edges.step
        yield weight * inside * rng.uniform(0.8, 1.2)
