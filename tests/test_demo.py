"""The demo: how it compares and draws, and, slowly, all of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]
import pytest
from click.testing import CliRunner

from tap_genesys_search import demo
from tap_genesys_search.demo import Difference, compare, demo_command, picture

if TYPE_CHECKING:
    from collections.abc import Iterator

TRUTH = {"a": "2026-10-01T00:00:00.000Z", "b": "2026-10-02T00:00:00.000Z", "c": "2026-10-03T00:00:00.000Z"}


def test_a_table_that_is_right() -> None:
    assert compare(TRUTH, dict(TRUTH)) == Difference([], [], [])
    assert not compare(TRUTH, dict(TRUTH))


def test_a_table_that_is_broken() -> None:
    rows = {"a": TRUTH["a"], "b": TRUTH["a"], "d": TRUTH["a"]}
    assert compare(TRUTH, rows) == Difference(missing=["c"], stale=["b"], unknown=["d"])


@pytest.mark.parametrize("rows", [{**TRUTH, "c": TRUTH["a"]}, {**TRUTH, "d": TRUTH["a"]}, {"a": TRUTH["a"]}, {}])
def test_one_wrong_row_is_enough(rows: dict[str, str]) -> None:
    assert compare(TRUTH, rows)


def test_the_picture() -> None:
    counts = [
        (date(2026, 10, 2), "voice", 20),
        (date(2026, 10, 1), "voice", 30),
        (date(2026, 10, 1), "message", 20),
        (date(2026, 10, 1), "fax", 6),
        (date(2026, 10, 2), "email", 8),
    ]
    assert picture(counts) == [
        f"Thu 2026-10-01  {'V' * 30}{'M' * 20}{'?' * 6}     56",
        f"Fri 2026-10-02  {'V' * 20}{'E' * 8}{' ' * 28}     28",
    ]
    assert picture([]) == []


@contextmanager
def modules_missing(*names: str) -> Iterator[None]:
    """Let modules look as if nobody had installed them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "find_spec", lambda name: None if name in names else find_spec(name))
        yield


def test_without_what_it_needs() -> None:
    with modules_missing("meltano", "psycopg"):
        result = CliRunner().invoke(demo_command)
    assert result.exit_code == 1
    assert result.output == (
        "Error: The demo needs meltano, psycopg: run it in a clone with uv run genesys-search demo.\n"
    )


def test_outside_of_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "__file__", str(tmp_path / "site-packages" / "tap_genesys_search" / "demo.py"))
    (tmp_path / "meltano.yml").write_text("plugins: {}")
    result = CliRunner().invoke(demo_command)
    assert result.exit_code == 1
    assert result.output == (
        "Error: The demo runs in a clone of the repository: there is no meltano.yml with tap-genesys-search here.\n"
    )


def left_behind(folder: Path) -> list[str]:
    """What still lies in the folder that was given for temporary files, or still runs in it."""
    running = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    return [*map(str, folder.iterdir()), *(line for line in running if str(folder) in line)]


@contextmanager
def started(folder: Path, *options: str, before: str = "pass") -> Iterator[subprocess.Popen[str]]:
    """Start the demo; what it leaves behind would lie in the folder, or run in it."""
    code = f"from tap_genesys_search import demo; {before}; demo.demo_command()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *options],
        env={**os.environ, "TMPDIR": str(folder), "TAP_GENESYS_SEARCH_QUERY": "status:none", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def run(folder: Path, *options: str, before: str = "pass") -> tuple[str, int]:
    """Run the demo to its end."""
    with started(folder, *options, before=before) as process:
        output = process.communicate(timeout=300)[0]
        return output, process.returncode


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for temporary files with a short name, as it is part of a socket's name."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as name:
        yield Path(name)


@pytest.mark.slow
def test_the_whole_way(folder: Path) -> None:
    """Two runs over an API with faults, and every row is there; the caller's own settings don't matter."""
    output, code = run(folder, "--conversations", "3000", "--seed", "7")
    assert code == 0, output
    found = re.search(r"rows ([\d,]+), missing 0, stale 0, unknown 0\n", output)
    assert found, output
    assert int(found[1].replace(",", "")) >= 3_600
    assert re.search(r"[\d.]+ seconds, \d+ searches, \d+ times 429 and \d+ other faults survived\n", output)
    assert left_behind(folder) == []


@pytest.mark.slow
def test_rows_that_are_missing(folder: Path) -> None:
    """A table that is not the source is found out."""
    lose = "demo.compare = lambda truth, rows, compare=demo.compare: compare(truth, dict(list(rows.items())[2:]))"
    output, code = run(folder, "--conversations", "500", before=lose)
    assert code == 1, output
    assert "missing 2, stale 0, unknown 0\n" in output
    assert "\nmissing: conv-" in output
    assert left_behind(folder) == []


@pytest.mark.slow
def test_a_run_that_fails(folder: Path) -> None:
    """Its own words are shown, and what it was."""
    output, code = run(folder, "--conversations", "500", before="demo._TAP['CLIENT_SECRET'] = 'wrong'")
    assert code == 1, output
    assert "check client_id and client_secret" in output
    assert output.endswith(
        "Error: The demo failed: meltano run ended with code 1; above are the last lines of its log.\n"
    )
    assert left_behind(folder) == []


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 1), (signal.SIGTERM, 143)])
def test_an_interruption(folder: Path, number: signal.Signals, code: int) -> None:
    """Whatever was started ends too."""
    with started(folder) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("PostgreSQL"):
            assert process.poll() is None
        time.sleep(2)
        os.killpg(process.pid, number)
        process.communicate(timeout=60)
        assert process.returncode == code
    assert left_behind(folder) == []


@pytest.mark.slow
def test_a_database_that_is_kept(folder: Path) -> None:
    """It goes on until it is ended as the demo says."""
    output, code = run(folder, "--conversations", "500", "--keep")
    assert code == 0, output
    found = re.search(r"look into it:\n +(\S+) '(\S+)'\n.*To end it:\n +(kill .*)$", output, re.DOTALL)
    assert found, output
    program, url, end = found.groups()
    query = "SELECT count(*) >= 500 FROM genesys_cloud.conversations"
    asked = subprocess.run([program, url, "-Atc", query], check=True, capture_output=True, text=True)
    assert asked.stdout == "t\n"
    subprocess.run(end, shell=True, check=True)  # noqa: S602 - it is what a person would copy
    assert left_behind(folder) == []
