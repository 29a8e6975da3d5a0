"""The page for who runs the tap: its commands are run, its figures recomputed, and its table of errors is complete."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tap_genesys_search.sandbox import SandboxServer, WorldConfig
from tests.support.helpers import SECRET, bookmark_of, check_hidden, config_for, environment, truth
from tests.support.meltano import PROGRAMS, STATE_ID, Meltano

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.helpers import Database, Tap

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- run: ([\w-]+) -->\n```\w+\n(.*?)```", re.DOTALL)
BLOCKS = dict(BLOCK.findall(PAGE))


# The figures


def section(mark: str) -> Iterator[list[str]]:
    """The rows of the table behind a mark, without its head."""
    lines = PAGE.split(f"<!-- {mark} -->\n")[1].splitlines()
    for line in lines[2:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def test_the_costs_are_what_the_formula_says() -> None:
    a_day, days, lookback = 20_000, 30, 10
    minutes = {"every 5 minutes": 5, "every 15 minutes": 15, "every 60 minutes": 60, "daily": 1_440}
    schedules = {
        name: (days * 1_440 // each, a_day * days * (each + lookback) / each) for name, each in minutes.items()
    }
    schedules["nightly, 7 days again, on top"] = days, days * 7 * a_day
    assert list(section("costs")) == [
        [name, f"{runs:,}", f"{read:,.0f}", f"{math.ceil(2 * runs + 1.04 * read / 200):,}"]
        for name, (runs, read) in schedules.items()
    ]
    once = {"backfill of a year": 365, "audit of a year, without look-ups": 365, "audit of 7 days, without look-ups": 7}
    assert list(section("once")) == [
        [name, f"{number * a_day:,}", f"{math.ceil(2 + 1.04 * number * a_day / 200):,}"]
        for name, number in once.items()
    ]


# The commands


class Project(Meltano):
    """A Meltano project in which the page's lines are typed; it begins in 2026 unless a call says otherwise."""

    def __init__(self, folder: Path, target: Path, database: Database, server: SandboxServer) -> None:
        super().__init__(folder, target, database, server)
        self._settings["TAP_GENESYS_SEARCH_START_DATE"] = "2026-01-01"

    def leftovers(self) -> list[Path]:
        """Files of Meltano's own that hold the secret."""
        files = filter(Path.is_file, (self._folder / ".meltano").rglob("*"))
        return [path for path in files if SECRET.encode() in path.read_bytes()]

    def type(self, name: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run one of the page's blocks in a shell."""
        env = self._environment(settings)
        return subprocess.run(
            ["bash", "-c", BLOCKS[name]],  # noqa: S607 - whichever bash there is
            cwd=self._folder,
            env=env | {"PATH": f"{PROGRAMS}{os.pathsep}{env['PATH']}"},
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def typed(self, name: str, **settings: str) -> str:
        """Run one that ends well, and return what it printed."""
        done = self.type(name, **settings)
        assert done.returncode == 0, done.stdout + done.stderr
        check_hidden([SECRET], done.stdout, done.stderr)
        return done.stdout


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    """Conversations of two years and more, up to now, of which none moves by itself: the page has dates of its own."""
    with SandboxServer(WorldConfig(conversations=3_000, start="2024-10-01")) as running:
        yield running


def since(server: SandboxServer, moment: str, query: str | None = None) -> dict[str, str]:
    """What the source holds from a moment on."""
    return {identity: stamp for identity, stamp in truth(server, query).items() if stamp >= moment}


def test_the_stream_map_takes_what_is_named_and_hashes_some_of_it(tap: Tap, server: SandboxServer) -> None:
    maps = json.loads(BLOCKS["maps"].replace("'ani', 'dnis'", "'agentName', 'dnis'"))
    plain = tap(config_for(server))
    run = tap(config_for(server, **maps))
    assert run.code == 0, run.stderr
    assert run.table == truth(server)
    salt = maps["stream_map_config"]["salt"]
    for before, after in zip(plain.records, run.records, strict=True):
        kept = {name: before["fields"][name] for name in ("channelType", "status", "durationSeconds")}
        hashed = hashlib.md5((salt + before["fields"]["agentName"]).encode()).hexdigest()  # noqa: S324 - what the page says
        assert after["fields"] == kept | {"agentName": hashed}
    assert "queueName" in plain.records[0]["fields"]


def test_no_log_holds_contents_of_a_conversation(tap: Tap, server: SandboxServer) -> None:
    """At the most talkative level."""
    run = tap(config_for(server), env={"LOGLEVEL": "DEBUG"})
    assert run.code == 0
    assert "DEBUG" in run.stderr
    held = {text for each in run.records for text in (each["id"], each["fields"].get("agentName")) if text}
    assert len(held) > 3_000
    assert [text for text in held if text in run.stderr] == []


def lose(database: Database, moment: str) -> None:
    """Delete the rows from a moment on, to see what is loaded again."""
    database.query(f"DELETE FROM genesys_cloud.conversations WHERE timestamp >= '{moment}' RETURNING id")


@pytest.mark.slow
@pytest.mark.nightly
def test_set_up_and_a_bookmark_that_is_moved(
    tmp_path: Path, target_postgres: Path, database: Database, server: SandboxServer
) -> None:
    project = Project(tmp_path, target_postgres, database, server)
    assert "NOT OK" not in project.typed("doctor")
    assert "conversations match * from 2026-06-01" in project.typed("plan")
    project.typed("load")
    assert database.table() == since(server, "2026-01-01")
    assert project.leftovers() == []
    assert re.fullmatch(r"\d+ minutes since the last run began\n", project.typed("age"))

    rules = yaml.safe_load(BLOCKS["select"])["select"]
    lines = project("invoke", "tap-genesys-search", _select=json.dumps(rules)).stdout.splitlines()
    (record, *_) = [json.loads(line)["record"] for line in lines if line.startswith('{"type":"RECORD"')]
    assert record.keys() == {"id", "conversationId", "type", "timestamp"}

    # The state as the page shows it.
    project.typed("get")
    stored = bookmark_of(json.loads((tmp_path / "state.json").read_text())["singer_state"])
    shown = json.loads('{"singer_state"' + PAGE.split('```json\n{"singer_state"')[1].split("```")[0])
    assert stored.keys() == bookmark_of(shown["singer_state"]).keys()
    assert stored["since"] == "2026-01-01T00:00:00.000Z"

    # Back: it is read from there on, less the lookback, and no further back. The bookmark ends where it was.
    project.typed("move")
    assert project.type("age").returncode == 1
    lose(database, "2026-09-01")
    project.typed("load")
    kept = {identity: stamp for identity, stamp in since(server, "2026-01-01").items() if stamp < "2026-09-01"}
    assert database.table() == kept | since(server, "2026-10-02T23:50")

    # A copy for another environment; and nothing in the first.
    project.typed("copy")
    project.typed("clear")
    prod = STATE_ID.replace("dev:", "prod:")
    assert project.typed("list").split() == [prod]
    copied = bookmark_of(json.loads(project("state", "get", prod).stdout)["singer_state"])
    assert copied["run_start"] > stored["run_start"]
    assert copied == stored | {"run_start": copied["run_start"]}


@pytest.mark.slow
@pytest.mark.nightly
def test_another_question_older_years_and_what_the_watchers_say(
    tmp_path: Path, target_postgres: Path, database: Database, server: SandboxServer
) -> None:
    project = Project(tmp_path, target_postgres, database, server)
    assert "SUMMARY: " in project.typed("sync")
    first = bookmark_of(project.state())

    # Older years on a state of their own; then the everyday state accepts the earlier start.
    project.typed("older")
    assert database.table() == since(server, "2025-01-01")
    asked = server.stats["searches"]
    project.typed("accept")
    assert server.stats["searches"] == asked + 1
    accepted = bookmark_of(project.state())
    assert accepted["run_start"] > first["run_start"]
    assert accepted == first | {"since": "2025-01-01T00:00:00.000Z", "run_start": accepted["run_start"]}

    # Another query: to page for, and the two ways out. What no longer matches stays.
    refused = project.type("sync", query="channelType:voice", start_date="2025-01-01")
    assert refused.returncode == 1
    assert refused.stderr.startswith("page: the state was written for another API host, client_id or query")
    assert server.stats["searches"] == asked + 1
    project.typed("keep", query="channelType:voice", start_date="2025-01-01")
    lose(database, "2026-06-01")
    project.typed("restart", start_date="2024-01-01")
    assert database.table() == truth(server)

    # To wait for.
    server.faults.merge({"outage": True})
    outage = project.type("sync", start_date="2024-01-01")
    assert outage.returncode == 75
    assert outage.stderr.startswith("retry: the platform has a fault")


@pytest.mark.parametrize(
    ("log", "code", "line"),
    [
        ("Another 'a' pipeline is already running which started at b", 75, ""),
        (
            'FAILURE: {"kind": "platform", "reason": "a fault", "fix": "wait"}',
            75,
            "retry: a fault -> wait",
        ),
        ('FAILURE: {"kind": "contract", "reason": "no order", "fix": "call"}', 1, "page: no order -> call"),
        ("Killed", 1, "page: no reason given; it was told to stop or killed, or the loader or Meltano failed"),
    ],
)
def test_what_the_script_makes_of_a_log(tmp_path: Path, log: str, code: int, line: str) -> None:
    """Of what Meltano says for certain; what it says itself is seen in the tests above."""
    meltano = tmp_path / "meltano"
    meltano.write_text(f"#!/bin/sh\ncat <<'END'\n{log}\nEND\nexit 1\n")
    meltano.chmod(0o700)
    done = subprocess.run(
        ["bash", "-c", BLOCKS["sync"]],  # noqa: S607 - whichever bash there is
        env=environment({"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (code, line)
    assert log in done.stdout


def test_every_block_is_run() -> None:
    """By a line above."""
    source = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in BLOCKS if not re.search(rf'(typed?\(|BLOCKS\[)"{name}"', source)] == []
