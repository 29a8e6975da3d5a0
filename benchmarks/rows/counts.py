"""Requests that bring nothing: they are counted and billed."""

from __future__ import annotations

import json
from math import ceil
from typing import TYPE_CHECKING

from benchmarks.process import measure
from benchmarks.report import Result, at_most
from benchmarks.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.bench import Bench

PAGE = 200


def searches(bench: Bench) -> Iterator[Result]:
    """Searches for each full page of a quiet backfill."""
    with Sandbox(bench.size(200_000, 20_000)) as sandbox:
        measure(bench.contestants.tap(sandbox.url))
        stats = sandbox.stats()
    least = ceil(sandbox.conversations / PAGE)
    note = f"{stats['searches']:,} for {least:,}, {stats['token_requests']} token"
    what = f"searches for each full page, {sandbox.conversations:,} conversations"
    yield at_most("searches", what, 1.04, stats["searches"] / least, note=note)


def nothing_new(bench: Bench) -> Iterator[Result]:
    """A run right after another one."""
    with Sandbox(bench.size(20_000)) as sandbox:
        first = bench.contestants.tap(sandbox.url)
        output = first.folder / "out"
        measure(first, output)
        sandbox.reset()
        measure(bench.contestants.tap(sandbox.url, state=last_state(output)))
        stats = sandbox.stats()
    asked = (stats["searches"], stats["token_requests"])
    figure = f"{asked[0]} search, {asked[1]} token"
    yield Result("nothing-new", "a run with nothing new", "1 search, 1 token", figure, asked == (1, 1))


def last_state(output: Path) -> object:
    """Return the value of the last STATE message."""
    state: object = None
    with output.open("rb") as lines:
        for line in lines:
            if line.startswith(b'{"type":"STATE"'):
                state = json.loads(line)["value"]
    return state
