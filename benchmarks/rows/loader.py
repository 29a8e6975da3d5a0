"""Through a real loader: whether the tap keeps it waiting."""

from __future__ import annotations

import subprocess
import time
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.database import database
from benchmarks.process import Running, measure
from benchmarks.report import at_most
from benchmarks.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.bench import Bench
    from benchmarks.process import Command
    from benchmarks.report import Result


def postgres(bench: Bench) -> Iterator[Result]:
    """``tap | target-postgres`` and ``target-postgres < file``, each into a schema of its own."""
    piped, fed = [], []
    with database(bench.contestants.folder()) as uri, Sandbox(bench.size(100_000)) as sandbox:
        tap = bench.contestants.tap(sandbox.url)
        file = tap.folder / "out"
        measure(tap, file)
        for number in range(-1, bench.rounds):
            targets = [_target(bench, uri, f"{way}_{number + 1}") for way in ("piped", "fed")]
            if number % 2:
                results = [_piped(tap, targets[0]), _fed(file, targets[1])]
            else:
                results = [_fed(file, targets[1]), _piped(tap, targets[0])][::-1]
            if number >= 0:
                piped.append(results[0])
                fed.append(results[1])
    ratio = median(mine / other for mine, other in zip(piped, fed, strict=True))
    rate = sandbox.conversations / median(piped)
    note = f"{median(piped):.1f} s to {median(fed):.1f} s, {rate:,.0f} conversations a second"
    what = f"{sandbox.conversations:,} piped into target-postgres, wall to the loader fed from a file"
    yield at_most("loader", what, 1.10, ratio, note=note)


def _target(bench: Bench, uri: str, schema: str) -> Command:
    # As the project's meltano.yml sets it.
    return bench.contestants.target({"sqlalchemy_url": uri, "default_target_schema": schema, "use_copy": True})


def _piped(tap: Command, target: Command) -> float:
    with Running(tap, stdout=subprocess.PIPE) as source, Running(target, stdin=source.process.stdout) as sink:
        if source.process.stdout is not None:
            source.process.stdout.close()
        sink.wait()
        wall = time.perf_counter() - source.began
        source.wait()
    return wall


def _fed(file: Path, target: Command) -> float:
    with file.open("rb") as lines, Running(target, stdin=lines) as sink:
        return sink.wait().wall
