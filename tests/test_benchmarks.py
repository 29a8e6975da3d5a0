"""The benchmark's command runs; its figures are not looked at here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.helpers import environment

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def rows_of(path: Path) -> Iterable[str]:
    return dict.fromkeys(result["row"] for result in json.loads(path.read_text())["results"])


@pytest.mark.skipif("ALL_BENCHMARKS" not in os.environ, reason="takes five minutes: set ALL_BENCHMARKS=1")
def test_all_rows_run_with_one_command(tmp_path: Path) -> None:
    from benchmarks.rows import ROWS  # noqa: PLC0415 - the benchmark is no part of the package

    found = tmp_path / "found.json"
    run = benchmark("--quick", "--json", str(found))
    assert run.returncode == 0, run.stderr
    assert list(rows_of(found)) == list(ROWS)


def test_a_row_runs_alone(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    run = benchmark("nothing-new", "--quick", "--json", str(found))
    assert run.returncode == 0, run.stderr
    assert list(rows_of(found)) == ["nothing-new"]


def test_an_unknown_row_is_refused() -> None:
    run = benchmark("nothing")
    assert run.returncode == 2
    assert "no row nothing; there are backfill" in run.stderr
