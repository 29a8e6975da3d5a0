"""The demo: how it compares and draws, and, slowly, all of it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
import psutil  # type: ignore[import-untyped]
import pytest
from click.testing import CliRunner

from tap_genesys_search import demo
from tap_genesys_search.demo import Difference, compare, demo_command, picture
from tap_genesys_search.demo_processes import alone, ending_on_signals, signals_held

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


def test_one_demo_at_a_time(tmp_path: Path) -> None:
    with (
        alone(tmp_path),
        pytest.raises(click.ClickException, match="Another demo runs in this clone"),
        alone(tmp_path),
    ):
        pytest.fail("two at once")
    with alone(tmp_path):
        pass


def test_a_signal_that_is_ignored_stays_so() -> None:
    """As nohup has it, so that the demo outlives its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_on_signals(), signals_held() as came:
            signal.raise_signal(signal.SIGHUP)
            assert list(came) == []
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


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


def test_the_backfill_is_no_toy() -> None:
    (option,) = (option for option in demo_command.params if option.name == "conversations")
    assert isinstance(option.default, int)
    assert option.default >= 20_000


def left_behind(folder: Path) -> list[str]:
    """What still lies in the folders for temporary files and for the user's own, or still runs in them."""
    running = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    files = [*(folder / "tmp").iterdir(), *(folder / "home").iterdir()]
    return [*map(str, files), *(line for line in running if str(folder) in line)]


def surroundings(folder: Path) -> dict[str, str]:
    """The environment of somebody who has settings for the tap, and comes by ssh from a machine with another locale.

    What uv keeps and how it is set up is that of whoever runs the tests.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "XDG_"))}
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return {
        **inherited,
        "TMPDIR": str(folder / "tmp"),
        "HOME": str(folder / "home"),
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or str(cache / "uv"),
        "XDG_CONFIG_HOME": os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config"),
        "LANG": "xx_XX.UTF-8",
        "TAP_GENESYS_SEARCH_QUERY": "status:none",
        "COLUMNS": "200",
    }


@contextmanager
def started(folder: Path, *options: str, before: str = "pass", **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Start the demo; what it leaves behind would lie in the folder, or run in it."""
    # Whoever runs the tests may ignore it, as nohup does.
    heard = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)"
    code = f"{heard}; from tap_genesys_search import demo; {before}; demo.demo_command()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *options],
        env={**surroundings(folder), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def run(folder: Path, *options: str, before: str = "pass", **variables: str) -> tuple[str, int]:
    """Run the demo to its end."""
    with started(folder, *options, before=before, **variables) as process:
        output = process.communicate(timeout=300)[0]
        return output, process.returncode


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with one for temporary files and one for the user's own; its name is short, as part of a socket's."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as name:
        for each in ("tmp", "home"):
            (Path(name) / each).mkdir()
        yield Path(name)


@pytest.mark.slow
def test_the_whole_way(folder: Path) -> None:
    """Two runs over an API with faults, and every row is there; the caller's own settings don't matter."""
    programs = folder / "a folder's"
    programs.symlink_to(Path(sys.executable).parent)
    output, code = run(
        folder, "--conversations", "3000", "--seed", "7", before=f"demo._PROGRAMS = demo.Path({str(programs)!r})"
    )
    assert code == 0, output
    found = re.search(r"rows ([\d,]+), missing 0, stale 0, unknown 0\n", output)
    assert found, output
    assert int(found[1].replace(",", "")) >= 3_600
    assert re.search(r"[\d.]+ seconds, \d+ searches, \d+ times 429 and \d+ other faults survived\n", output)
    assert re.search(r"\nBackfill   runs .+; its log: (.+)/meltano\.log\nBackfill   meltano run", output)
    (command,) = re.findall(r"To have the API for yourself: +(.+)", output)
    assert subprocess.run(command, shell=True, check=True, capture_output=True).stdout.startswith(b"Usage:")  # noqa: S602 - it is what a person would copy
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
@pytest.mark.parametrize("name", ["a b", "long" * 20])
def test_a_folder_that_postgresql_cannot_lie_in(folder: Path, name: str) -> None:
    """One line says what to do."""
    place = folder / "tmp" / name
    place.mkdir()
    output, code = run(folder, "--conversations", "500", TMPDIR=str(place))
    assert code == 1
    sandbox, error = output.splitlines()
    assert sandbox.startswith("Sandbox ")
    assert re.fullmatch(
        rf"Error: PostgreSQL did not start: it cannot lie in {place}/genesys-search-demo-\w+/postgres; "
        "set TMPDIR to a short path without blanks.",
        error,
    )
    place.rmdir()
    assert left_behind(folder) == []


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 1), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_just_when_something_was_started(folder: Path, number: str, code: int) -> None:
    """It comes before anybody has been told of the process."""
    before = (
        "import os, signal, subprocess; start = subprocess.Popen.__init__; subprocess.Popen.__init__ = "
        f"lambda *args, **options: (start(*args, **options), os.kill(os.getpid(), signal.{number}))[0]"
    )
    output, ended = run(folder, "--conversations", "500", before=before)
    assert ended == code, output
    assert "Traceback" not in output
    assert left_behind(folder) == []


@pytest.mark.slow
def test_a_signal_just_when_the_database_was_started(folder: Path) -> None:
    """It comes when the server runs, and before its own package has noted that."""
    before = (
        "import os, signal, subprocess; run = subprocess.run; subprocess.run = "
        "lambda *args, **more: (run(*args, **more), 'start' in args[0] and os.kill(os.getpid(), signal.SIGINT))[0]"
    )
    output, ended = run(folder, "--conversations", "500", before=before)
    assert ended == 1, output
    assert output.endswith("\nAborted!\n")
    assert left_behind(folder) == []


@pytest.mark.slow
def test_a_database_that_is_kept(folder: Path) -> None:
    """It goes on until it is ended as the demo says; for root, what had to be opened is closed then."""
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    output, code = run(folder, "--conversations", "500", "--keep")
    assert code == 0, output
    found = re.search(r"look into it:\n +(.+)\n.*To end it:\n +(kill .*)$", output, re.DOTALL)
    assert found, output
    look, end = found.groups()
    query = "SELECT count(*) >= 500 FROM genesys_cloud.conversations"
    asked = subprocess.run([*shlex.split(look), "-Atc", query], check=True, capture_output=True, text=True)
    assert asked.stdout == "t\n"
    opened = stat.S_IMODE(folder.stat().st_mode) != 0o700
    assert opened is (os.geteuid() == 0)
    assert bool(re.search(rf"all users may enter .*{folder}\b.* until it ends", output)) is opened
    subprocess.run(end, shell=True, check=True)  # noqa: S602 - it is what a person would copy
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert left_behind(folder) == []
