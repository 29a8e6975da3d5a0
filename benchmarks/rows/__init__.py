"""All rows, in the order in which they are measured and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.rows import backfill, counts, latency, loader, memory, peers, rate, sandbox, scaling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.bench import Bench
    from benchmarks.report import Result, Table

    Row = Callable[[Bench], Iterator[Result | Table]]

ROWS: dict[str, Row] = {
    "backfill": backfill.backfill,
    "million": backfill.million,
    "mapped": backfill.mapped,
    "generator": backfill.generator,
    "searches": counts.searches,
    "nothing-new": counts.nothing_new,
    "rate-told": rate.told,
    "rate-untold": rate.untold,
    "rate-falling": rate.falling,
    "latency": latency.workers,
    "memory": memory.flat,
    "loader": loader.postgres,
    "first-record": latency.first_record,
    "scaling": scaling.scaling,
    "sandbox": sandbox.pages,
    "peers": peers.peers,
}

#: Environments that rows need; they are made before anything is timed.
NEEDS = {
    "backfill": ["plain"],
    "million": ["plain"],
    "mapped": ["plain", "template"],
    "generator": ["plain"],
    "loader": ["postgres"],
    "peers": ["plain", "template", "dlt", "airbyte"],
}
