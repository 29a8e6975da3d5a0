"""The command: all rows, or those that are named."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bench import Bench
from benchmarks.contestants import Contestants
from benchmarks.environments import Environments
from benchmarks.report import Result, lines, write_docs, write_json
from benchmarks.rows import NEEDS, ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.report import Table
    from benchmarks.rows import Row

DOCS = Path(__file__).parents[1] / "docs" / "performance.md"


def main() -> int:
    """Measure; the exit code is 1 where an aim is not reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one of {', '.join(ROWS)}; none: all")
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds of the wall and CPU rows (5)")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: shows that it works, no figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found to a file")
    parser.add_argument("--write-docs", action="store_true", help=f"write what was found into docs/{DOCS.name}")
    options = parser.parse_args()
    if unknown := [name for name in options.rows if name not in ROWS]:
        parser.error(f"no row {unknown[0]}; there are {', '.join(ROWS)}")
    rounds = 1 if options.quick else max(1, options.rounds)
    machine = _machine()
    _say(", ".join(f"{name} {value}" for name, value in machine.items()))
    found = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder, Environments() as environments:
        bench = Bench(Contestants(environments, Path(folder)), Path(folder), rounds, options.quick)
        names = options.rows or list(ROWS)
        for name in names:
            environments.prepare(NEEDS.get(name, ()))
        for name in names:
            began = time.monotonic()
            for each in _apart(ROWS[name], bench):
                found.append(each)
                for line in lines(each):
                    _say(line)
            _say(f"{'':<14} took {time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.1f}")
    if options.json:
        write_json(options.json, found, machine)
    if options.write_docs and not options.quick:
        write_docs(DOCS, found, machine)
    results = [each for each in found if isinstance(each, Result)]
    missed = [each for each in results if each.reached is False]
    _say(f"{sum(each.reached is True for each in results)} reached, {len(missed)} not")
    return 1 if missed and not options.quick else 0


def _apart(row: Row, bench: Bench) -> Iterator[Result | Table]:
    """Measure a row in a fork, so that what it remembers makes no other row's processes look larger."""
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def run() -> None:
        for each in row(bench):
            sender.send(each)
        sender.send(None)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    sender.close()
    try:
        while (each := receiver.recv()) is not None:
            yield each
    except EOFError:
        sys.exit(f"the row failed: {row.__doc__}")
    finally:
        process.join()


def _machine() -> dict[str, str]:
    names = ("singer-sdk", "msgspec", "requests")
    return {
        "Python": platform.python_version(),
        "cores": str(os.cpu_count()),
        **{name: version(name) for name in names},
        "on": f"{platform.system()} {platform.machine()}",
    }


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
