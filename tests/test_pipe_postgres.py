"""A real pipe into a real PostgreSQL: the tap, target-postgres, and the rows compared with the truth."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tap_genesys_search.sandbox import Faults, Movement, SandboxServer, WorldConfig
from tests.support.helpers import Database, ManualClock, State, Tap, bookmark_of, config_for, environment, load, truth
from tests.support.meltano import PROGRAMS
from tests.support.pages import README, the

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS: dict[str, object] = {"page_size": 100, "max_retries": 10, "max_wait_seconds": 60}


def contents(server: SandboxServer) -> dict[str, dict[str, Any]]:
    """What the sandbox holds, whole."""
    return {record.id: json.loads(record.raw) for record in server.world.truth()}


def rows(database: Database) -> dict[str, dict[str, Any]]:
    """What the database holds, whole."""
    columns = 'id, "conversationId", type, fields'
    found = database.query(f"SELECT {columns} FROM genesys_cloud.conversations")
    stamps = database.table()
    return {
        identity: {
            "id": identity,
            "conversationId": other,
            "type": kind,
            "fields": fields,
            "timestamp": stamps[identity],
        }
        for identity, other, kind, fields in found
    }


def stir(server: SandboxServer, clock: ManualClock) -> None:
    """Let conversations arrive, change and come late; then let what is late show."""
    for _ in range(10):
        clock.pass_by(0.3)
        server.world.move(arrive=10, change=20, late=5)
    clock.pass_by(1)


def test_two_runs_leave_the_table_as_the_source_is(tap: Tap, target_postgres: Path, database: Database) -> None:
    clock = ManualClock()
    faults = Faults(p_429=0.02, p_5xx=0.02, p_drop=0.02, p_half_body=0.02)
    movement = Movement(arrive_every_search=1, move_every_search=2, late_every_search=1, late_max_seconds=5)
    with SandboxServer(WorldConfig(conversations=3_000), faults, movement, clock=clock) as server:
        code, state = load(tap, config_for(server, **SETTINGS), target_postgres, database)
        assert code == 0
        first = database.table()
        assert len(first) > 2_800
        stir(server, clock)
        server.world.quiet()
        clock.pass_by(10)
        held = contents(server)
        assert database.table() != truth(server)
        server.reset_stats()
        code, newer = load(tap, config_for(server, **SETTINGS), target_postgres, database, state=state)
        assert code == 0
        assert server.stats["records_served"] < 1_500
    assert rows(database) == held
    assert bookmark_of(newer)["replication_key_value"] == max(held[key]["timestamp"] for key in held)
    assert bookmark_of(newer)["source"] == bookmark_of(state)["source"]


def test_the_database_is_the_same_on_every_machine(database: Database) -> None:
    """Whatever the locale of whoever runs the tests, even one that is not installed."""
    assert database.query("SELECT datcollate, datctype FROM pg_database WHERE datname = current_database()") == [
        ("C", "C")
    ]


@pytest.mark.slow
def test_the_pipe_of_the_readme(tmp_path: Path, target_postgres: Path, database: Database) -> None:
    """By its own lines and its own target.json, first without a state, then from it."""
    target = json.loads(the(README, holding='"sqlalchemy_url": ').text)
    assert target["sqlalchemy_url"].partition("?")[2] in database.url
    (tmp_path / "target.json").write_text(json.dumps(target | {"sqlalchemy_url": database.url}))
    lines = the(README, holding="target-postgres --config target.json").text
    variables = {"PATH": f"{PROGRAMS}:{target_postgres.parent}:{os.environ['PATH']}", "PYTHONWARNINGS": ""}
    clock = ManualClock()
    with SandboxServer(WorldConfig(conversations=500), clock=clock) as server:
        (tmp_path / "config.json").write_text(json.dumps(config_for(server)))
        for script in (lines.replace(" --state state.json", ""), lines):
            subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=environment(variables), check=True, timeout=120)  # noqa: S607 - whichever bash there is
            assert database.table() == truth(server)
            server.world.move(change=50)
            clock.pass_by(10)
            assert bookmark_of(json.loads((tmp_path / "state.json").read_text()))["run_start"]


@pytest.mark.slow
def test_a_tap_that_is_killed_leaves_a_state_from_which_nothing_is_missing(
    tap: Tap, target_postgres: Path, database: Database
) -> None:
    clock = ManualClock()
    state: State | None = None
    with SandboxServer(WorldConfig(conversations=4_000), clock=clock) as server:
        config = config_for(server, page_size=50)
        for lines in (700, 1_300):
            code, state = load(tap, config, target_postgres, database, state=state, kill_after=lines)
            assert code != 0
            stir(server, clock)
        clock.pass_by(10)
        held = truth(server)
        assert 500 < len(database.table()) < 4_000
        code, state = load(tap, config, target_postgres, database, state=state)
        assert code == 0
        assert database.table() == held


@pytest.mark.slow
def test_a_target_with_columns_loads_what_is_flattened(tap: Tap, target_postgres: Path, database: Database) -> None:
    with SandboxServer(WorldConfig(conversations=500), clock=ManualClock()) as server:
        config = config_for(server, flattening_enabled=True, flattening_max_depth=1)
        assert load(tap, config, target_postgres, database)[0] == 0
        found = dict(database.query('SELECT id, "fields__channelType" FROM genesys_cloud.conversations'))
        assert found == {key: value["fields"]["channelType"] for key, value in contents(server).items()}
