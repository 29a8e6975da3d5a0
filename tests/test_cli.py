"""The command for people, as they call it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tap_genesys_search.sandbox import Client, Faults, Movement, SandboxServer, WorldConfig
from tests.support.helpers import CLIENT, FAST, SECRET, ManualClock, environment, truth

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LINE = re.compile(r"\[(\d+)\] ID: (conv-[0-9a-f]{16}) \| Time: (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)")
LAST = re.compile(r"Stream complete\. Processed (\d+) unique conversations\.")
COMMAND = [sys.executable, "-W", "error", "-m", "tap_genesys_search.cli"]


def variables(server: SandboxServer, **more: str) -> dict[str, str]:
    """Settings for a sandbox, as the environment has them."""
    settings = {
        "client_id": CLIENT,
        "client_secret": SECRET,
        "base_url": server.base_url,
        "requests_per_minute": str(FAST),
        **more,
    }
    return {f"TAP_GENESYS_SEARCH_{name.upper()}": value for name, value in settings.items()}


def run(
    folder: Path, *args: str, env: Mapping[str, str] | None = None, command: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*(command or COMMAND), *args],
        cwd=folder,
        env=environment(env),
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


def lines_of(done: subprocess.CompletedProcess[str]) -> list[tuple[str, str]]:
    """Check the form of the output, and return ids and timestamps."""
    *lines, last = done.stdout.splitlines()
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found), lines[:3]
    listed = [match.groups() for match in found if match]
    assert [int(number) for number, _, _ in listed] == list(range(len(listed)))
    end = LAST.fullmatch(last)
    assert end is not None
    assert int(end[1]) == len({identity for _, identity, _ in listed})
    return [(identity, stamp) for _, identity, stamp in listed]


def refused(done: subprocess.CompletedProcess[str], names: str) -> None:
    """Check that an error is one line, with code 1 and nothing secret."""
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.search(names, line), line
    assert SECRET not in done.stdout + done.stderr


def test_a_search_prints_a_line_for_each_conversation_the_newest_first(tmp_path: Path) -> None:
    query = "status:completed AND channelType:voice"
    with SandboxServer(WorldConfig(conversations=900)) as server:
        done = run(tmp_path, "search", query, "--max-results", "120", env=variables(server))
        matching = truth(server, query)
    assert (done.returncode, done.stderr) == (0, "")
    newest = sorted(((stamp, identity) for identity, stamp in matching.items()), reverse=True)[:120]
    assert lines_of(done) == [(identity, stamp) for stamp, identity in newest]
    assert done.stdout.endswith("\nStream complete. Processed 120 unique conversations.\n")
    assert done.stdout.startswith(f"[0] ID: {newest[0][1]} | Time: {newest[0][0]}\n")


def test_options_bound_and_turn_round_what_is_printed(tmp_path: Path) -> None:
    (tmp_path / "bounds.json").write_text('{"page_size": 10, "region": "eu-west-1"}')
    with SandboxServer(WorldConfig(conversations=900, days=1), clock=ManualClock()) as server:
        options = ("--oldest-first", "--start", "2026-10-05T08:00:00Z", "--end", "2026-10-05T09:00:00Z")
        done = run(tmp_path, "search", *options, "--config", "bounds.json", "--config=ENV", env=variables(server))
        held = truth(server)
        assert server.stats["records_served"] / server.stats["pages_served"] <= 10
    inside = sorted(
        (stamp, identity)
        for identity, stamp in held.items()
        if "2026-10-05T08:00:00.000Z" <= stamp < "2026-10-05T09:00:00.000Z"
    )
    assert len(inside) > 20
    assert lines_of(done) == [(identity, stamp) for stamp, identity in inside]


def test_one_that_moves_is_printed_twice_and_counted_once(tmp_path: Path) -> None:
    with SandboxServer(WorldConfig(conversations=600), movement=Movement(move_every_search=20)) as server:
        done = run(tmp_path, "search", env=variables(server, page_size="50", concurrency="1"))
    assert done.returncode == 0
    listed = lines_of(done)
    assert len({identity for identity, _ in listed}) <= 600 < len(listed)


def test_nothing_found_is_no_error(tmp_path: Path) -> None:
    with SandboxServer(WorldConfig(conversations=10)) as server:
        done = run(tmp_path, "search", "status:nowhere", env=variables(server))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Stream complete. Processed 0 unique conversations.\n"


@pytest.mark.parametrize(
    ("arguments", "settings", "faults", "names"),
    [
        (["*"], {"client_secret": "another"}, Faults(), "client_secret"),
        (["status:completed AND"], {}, Faults(), "setting query"),
        (["NOT status:completed"], {}, Faults(), "only negations"),
        (["*", "--start", "yesterday"], {}, Faults(), "yesterday"),
        (["*"], {"max_retries": "0"}, Faults(outage=True), "try again later"),
        (["*"], {"base_url": "http://127.0.0.1:9", "max_retries": "0"}, Faults(), "base_url"),
        (["*"], {"page_size": "500"}, Faults(), "page_size"),
        (["*", "--config", "nowhere.json"], {}, Faults(), r"nowhere\.json"),
    ],
    ids=["secret", "query", "negations", "start", "outage", "nobody listens", "page size", "no file"],
)
def test_an_error_is_one_line_and_code_1(
    tmp_path: Path, arguments: list[str], settings: dict[str, str], faults: Faults, names: str
) -> None:
    with SandboxServer(WorldConfig(conversations=10), faults) as server:
        refused(run(tmp_path, "search", *arguments, env=variables(server, **settings)), names)


def test_a_client_without_permission_is_told_which(tmp_path: Path) -> None:
    with SandboxServer(WorldConfig(conversations=10), clients=[Client(may_search=False)]) as server:
        refused(run(tmp_path, "search", env=variables(server)), "conversation:search:view")


def test_no_settings_at_all_are_named_with_their_variables(tmp_path: Path) -> None:
    refused(run(tmp_path, "search"), "TAP_GENESYS_SEARCH_CLIENT_ID.*TAP_GENESYS_SEARCH_CLIENT_SECRET")


def test_an_error_on_the_way_keeps_what_was_printed(tmp_path: Path) -> None:
    """And says nothing of completeness."""
    with SandboxServer(WorldConfig(conversations=5_000), Faults(p_5xx=0.4, seed=3)) as server:
        done = run(tmp_path, "search", env=variables(server, max_retries="0", page_size="10", concurrency="1"))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "Stream complete" not in done.stdout
    assert all(LINE.fullmatch(line) for line in done.stdout.splitlines())


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    with (
        SandboxServer(WorldConfig(conversations=5_000)) as server,
        subprocess.Popen(
            [*COMMAND, "search"],
            cwd=tmp_path,
            env=environment(variables(server)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        assert LINE.fullmatch(process.stdout.readline().strip())
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 1
    assert len(errors.splitlines()) <= 1
    assert "Traceback" not in errors


def test_an_interrupt_is_no_traceback(tmp_path: Path) -> None:
    with (
        SandboxServer(WorldConfig(conversations=5_000)) as server,
        subprocess.Popen(
            [*COMMAND, "search"],
            cwd=tmp_path,
            env=environment(variables(server, requests_per_minute="2") | {"PYTHONUNBUFFERED": "1"}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(200):
            assert LINE.fullmatch(process.stdout.readline().strip())
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
    assert process.returncode != 0
    assert "Traceback" not in errors


# Where something is missing

_WITHOUT = """
import sys
sys.modules[{name!r}] = None
from tap_genesys_search.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "luqum", "httptools"])
def test_without_the_extra_the_sandbox_names_it_in_one_line(tmp_path: Path, missing: str) -> None:
    without = [sys.executable, "-W", "error", "-c", _WITHOUT.format(name=missing)]
    refused(run(tmp_path, "sandbox", "--port", "0", command=without), r"tap-genesys-search\[sandbox\]")


def test_without_the_extra_the_rest_works(tmp_path: Path) -> None:
    without = [sys.executable, "-W", "error", "-c", _WITHOUT.format(name="starlette")]
    helped = run(tmp_path, "--help", command=without)
    assert helped.returncode == 0
    assert "search" in helped.stdout
    assert "not installed" in helped.stdout
    with SandboxServer(WorldConfig(conversations=10)) as server:
        assert len(lines_of(run(tmp_path, "search", env=variables(server), command=without))) == 10


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    done = run(tmp_path, "--version")
    assert done.returncode == 0
    assert re.search(r"\d+\.\d+\.\d+", done.stdout)
