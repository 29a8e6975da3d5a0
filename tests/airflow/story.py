"""A month that moves, and what is done with it."""

from __future__ import annotations

import json
import os
import re
import signal
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import psutil  # type: ignore[import-untyped]
import psycopg
from airflow.utils.state import DagRunState, TaskInstanceState

from tap_genesys_search import timestamps
from tests.airflow.field import Field, clear, tasks_of
from tests.support.helpers import bookmark_of, truth
from tests.support.meltano import STATE_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG

    from tap_genesys_search.sandbox import SandboxServer
    from tap_genesys_search.sandbox.index import Page
    from tap_genesys_search.sandbox.query import Query
    from tests.airflow.mailbox import Mailbox
    from tests.support.helpers import Database

DAY = 86400
PASSWORDS = {"warehouse": "warehouse-password", "meltano": "meltano-password"}


def postgres_connection(database: Database, password: str) -> dict[str, Any]:
    """A database as an Airflow connection; it lets everybody in, so the password may be any."""
    parts = urlsplit(database.uri)
    return {
        "conn_type": "postgres",
        "host": parse_qs(parts.query)["host"][0],
        "login": parts.username,
        "password": password,
        "schema": parts.path.strip("/"),
    }


class World:
    """A sandbox that moves, and what a test does while it is searched."""

    def __init__(self, server: SandboxServer) -> None:
        self.server = server
        self.searches: list[tuple[int, int]] = []
        self.seen: list[str] = []
        self.kill_in: tuple[int, int] | None = None
        self._search = server.world.search
        server.world.search = self._watched  # type: ignore[method-assign]

    def _watched(self, query: Query, **options: Any) -> Page:
        self.searches.append((query.low, query.high))
        self.seen += (" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
        if self.kill_in and self.kill_in[0] < query.low < query.high <= self.kill_in[1]:
            self.kill_in = None
            self._kill()
        return self._search(query, **options)

    @staticmethod
    def _kill() -> None:
        """What is left of a worker whose machine is switched off: nothing. Only what this test has started."""
        for process in psutil.Process().children(recursive=True):
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                command = process.cmdline()
                if "el" in command and any("--state-id" in each for each in command):
                    os.killpg(process.pid, signal.SIGKILL)

    def within(self, start: str, end: str) -> int:
        """How many searches asked for no more than this range."""
        return sum(timestamps.parse(start) <= a and b <= timestamps.parse(end) for a, b in self.searches)


def days_ago(days: float) -> str:
    """A moment as people write it."""
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


@dataclass
class Story:
    """A month that is loaded while it moves: what the steps of the test have in common."""

    field: Field
    world: World
    database: Database
    meltano_database: Database
    mailbox: Mailbox

    def backfill(self) -> DagRun:
        """Load it in three windows, of which the first is empty; the worker of the last dies."""
        dag = self.field.dag("backfill", retries=3)
        errors: list[str] = []
        self.after_a_try(dag, errors)
        last = timestamps.parse(self.field.config["tap"]["start_date"]) + 32 * DAY * 1000
        self.world.kill_in = (last, last + 16 * DAY * 1000)
        run = dag.test(run_conf={"window_days": 16})
        assert run.state == DagRunState.SUCCESS
        # It was tried again by itself: once too early, and then from its own state.
        assert {key: task.try_number for key, task in tasks_of(run).items()} == {
            ("begin", -1): 1,
            ("window", 0): 1,
            ("window", 1): 1,
            ("window", 2): 3,
            ("seam", -1): 1,
        }
        assert "-9" in errors[0]
        assert "already running" in errors[1]
        assert self.mailbox.texts == []
        return run

    def after_a_try(self, dag: DAG, errors: list[str], *written: str) -> None:
        """Note why a window is tried again; after it was refused, its other run ends, and may have written a state.

        Args:
            dag: The backfill.
            errors: What is noted.
            written: The id of a state, and what is written as that state.
        """

        def after(context: Mapping[str, Any]) -> None:
            errors.append(str(context["exception"]))
            if "already running" in errors[-1]:
                # For five minutes Meltano takes the run for alive: let them pass.
                self.change(
                    "UPDATE runs SET last_heartbeat_at = last_heartbeat_at - interval '6 minutes'"
                    " WHERE state = 'RUNNING'"
                )
                if written:
                    self.write_state(*written)

        dag.task_dict["window"].partial_kwargs["on_retry_callback"] = [after]

    def change(self, statement: str, *values: str) -> None:
        """Change Meltano's tables."""
        with psycopg.connect(self.meltano_database.uri, autocommit=True) as connection:
            connection.execute(statement.encode(), values)

    def write_state(self, state_id: str, state: str) -> None:
        """Write a state as a run of Meltano does."""
        self.change("UPDATE state SET completed_state = %s WHERE state_id = %s", state, state_id)

    def check_seam(self, plan: dict[str, Any]) -> None:
        """The sync goes on from when the backfill began."""
        (first, middle, last), seeded = plan["windows"], self.state
        assert (first["end"], middle["end"]) == (middle["start"], last["start"])
        assert last["end"] <= plan["started"]
        assert seeded["since"] == first["start"]
        assert seeded["run_start"] == plan["started"]
        assert first["start"] < seeded["replication_key_value"] <= last["end"]

    def clear(self, run: DagRun, plan: dict[str, Any]) -> None:
        """Clear a window, alone and as it should be."""
        dag, window = self.field.dag("backfill", retries=3), plan["windows"][1]
        before = self.world.within(**window)
        again = clear(dag, run, ("window", 1))
        assert tasks_of(again)["window", 1].state == TaskInstanceState.FAILED
        assert self.world.within(**window) == before
        (text,) = self.mailbox.texts
        assert text.startswith("genesys_search_backfill window 1\nthis window was cleared alone")
        assert "Traceback" not in text
        self.overlap(dag)
        # With what follows, it is read again from its start, though another run of it lives on and writes its state.
        errors: list[str] = []
        [state] = [name for name in self.states if name.endswith(re.sub(r"[^\w.-]", "-", window["start"]))]
        self.after_a_try(dag, errors, state, self.states[state])
        self.change(
            "INSERT INTO runs (job_name, run_id, state, started_at, last_heartbeat_at, payload, payload_flags, trigger)"
            " SELECT job_name, run_id, 'RUNNING', now(), now(), payload, payload_flags, trigger FROM runs"
            " WHERE job_name = %s LIMIT 1",
            state,
        )
        again = clear(dag, run, ("window", 1), ("seam", -1))
        assert again.state == DagRunState.SUCCESS
        assert self.world.within(**window) > before + 1
        assert "already running" in errors[0]
        assert len(errors) == 1
        assert tasks_of(again)["window", 2].try_number == 3

    def outlive(self) -> None:
        """End a run that outlived its worker: it writes its own state over the seam's."""
        own = {"since": days_ago(1), "run_start": days_ago(0)}
        state = json.dumps({"singer_state": {"bookmarks": {"conversations": self.state | own}}})
        self.write_state(STATE_ID, state)

    def overlap(self, dag: DAG) -> None:
        """Another backfill, of which no window holds anything: it touches no state of the first, nor the sync's."""
        before = self.states
        assert dag.test(run_conf={"start": days_ago(60), "end": days_ago(40)}).state == DagRunState.SUCCESS
        assert len(before) >= 3
        assert before.items() <= self.states.items()

    def correct(self) -> tuple[str, object]:
        """Change a conversation of days ago in its place; what the warehouse knows of it."""
        moment = timestamps.write(timestamps.parse(days_ago(5)))
        identity = min((stamp, identity) for identity, stamp in truth(self.world.server).items() if stamp > moment)[1]
        before = self.fields_of(identity)
        self.world.server.world.rewrite(identity)
        return identity, before

    @property
    def state(self) -> dict[str, Any]:
        """What the sync goes on from."""
        [(found,)] = self.meltano_database.query(f"SELECT completed_state FROM state WHERE state_id = '{STATE_ID}'")
        return bookmark_of(json.loads(found)["singer_state"])

    @property
    def states(self) -> dict[str, str]:
        """All that Meltano keeps, by its id."""
        found = self.meltano_database.query("SELECT state_id, concat(partial_state, completed_state) FROM state")
        return dict(found)

    def fields_of(self, identity: str) -> object:
        """What the warehouse knows of a conversation."""
        [(found,)] = self.database.query(f"SELECT fields FROM genesys_cloud.conversations WHERE id = '{identity}'")
        return found
