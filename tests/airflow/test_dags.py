"""The DAGs in a real Airflow, against the sandbox and PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import psutil  # type: ignore[import-untyped]
import pytest
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.models.variable import Variable
from airflow.sdk.definitions.dag import _run_task
from airflow.settings import Session
from airflow.utils.state import DagRunState, TaskInstanceState
from sqlalchemy import select

from tap_genesys_search import timestamps
from tap_genesys_search.sandbox import Movement, SandboxServer, WorldConfig
from tests.helpers import CLIENT, FAST, SECRET, bookmark_of, check_hidden, truth
from tests.meltano import PROGRAMS, STATE_ID, Meltano

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow.sdk import DAG

    from tap_genesys_search.sandbox.index import Page
    from tap_genesys_search.sandbox.query import Query
    from tests.airflow.mailbox import Mailbox
    from tests.helpers import Database

pytestmark = pytest.mark.filterwarnings("default")

DAY = 86400
PASSWORDS = {"warehouse": "warehouse-password", "meltano": "meltano-password"}
NAMES = ("sync", "reread", "backfill")


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


@dataclass
class Field:
    """Airflow's configuration for a test; it stands in the environment, which is one of Airflow's secrets backends."""

    patch: pytest.MonkeyPatch
    config: dict[str, Any]
    connections: dict[str, dict[str, Any]]
    bag: BundleDagBag = field(init=False)

    def __post_init__(self) -> None:
        """Write it down."""
        self.write()
        folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
        self.bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")

    def write(self) -> None:
        """Write it down again."""
        self.patch.setenv("AIRFLOW_VAR_GENESYS_SEARCH", json.dumps(self.config))
        for name, connection in self.connections.items():
            self.patch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))

    def dag(self, name: str, *, retries: int = 0) -> DAG:
        """Return a DAG that waits for nothing."""
        dag = self.bag.dags[f"genesys_search_{name}"]
        for task in dag.tasks:
            task.retries, task.retry_delay, task.retry_exponential_backoff = retries, timedelta(0), 0
        return dag


@pytest.fixture
def plain(airflow: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mailbox: Mailbox) -> Field:  # noqa: ARG001
    """Airflow with all that the DAGs need, though nothing is behind it."""
    nowhere = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "login": "a", "password": "b", "schema": "c"}
    return Field(
        monkeypatch,
        {
            "project": str(tmp_path),
            "meltano": str(PROGRAMS / "meltano"),
            "notify": [
                {"class": "tests.none.NoNotifier"},
                {
                    "class": "airflow.providers.smtp.notifications.smtp.SmtpNotifier",
                    "from_email": "airflow@example.org",
                    "to": ["call@example.org"],
                    "subject": "{{ ti.dag_id }} {{ ti.task_id }} {{ ti.map_index }}",
                    "html_content": "{{ exception }}",
                },
            ],
        },
        {
            "genesys_search": {"conn_type": "http", "login": CLIENT, "password": SECRET},
            "genesys_search_warehouse": nowhere,
            "genesys_search_meltano": nowhere,
            "smtp_default": {
                "conn_type": "smtp",
                "host": "127.0.0.1",
                "port": mailbox.port,
                "extra": {"disable_ssl": True, "disable_tls": True},
            },
        },
    )


def tasks_of(run: DagRun) -> dict[tuple[str, int], TaskInstance]:
    """The tasks of a run by name and map index."""
    with Session() as session:
        query = select(TaskInstance).where(TaskInstance.dag_id == run.dag_id, TaskInstance.run_id == run.run_id)
        return {(task.task_id, task.map_index): task for task in session.scalars(query)}


def clear(dag: DAG, run: DagRun, *tasks: tuple[str, int]) -> DagRun:
    """Clear tasks as a person does, and let the run go on to its end."""
    with Session() as session:
        found = [session.merge(tasks_of(run)[each]) for each in tasks]
        clear_task_instances(found, session, dag_run_state=DagRunState.RUNNING)
        session.commit()
        again = session.get(DagRun, run.id)
        assert again is not None
        again.dag = _scheduled(dag)
        while again.state == DagRunState.RUNNING:
            session.expire_all()
            ready, _ = again.update_state(session=session)
            for task in ready:
                task.try_number += 1
                task.state = TaskInstanceState.SCHEDULED
            session.commit()
            for task in ready:
                _run_task(ti=task, task=dag.task_dict[task.task_id])
        return again


def _scheduled(dag: DAG) -> object:
    from airflow.serialization.serialized_objects import DagSerialization  # noqa: PLC0415

    return DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))


def test_they_import(plain: Field) -> None:
    assert plain.bag.import_errors == {}
    assert sorted(plain.bag.dags) == sorted(f"genesys_search_{name}" for name in NAMES)
    for dag in plain.bag.dags.values():
        assert not dag.catchup
        assert dag.max_active_runs == 1
    pools = {f"{dag_id}.{task.task_id}": task.pool for dag_id, dag in plain.bag.dags.items() for task in dag.tasks}
    assert pools == {
        "genesys_search_sync.sync": "genesys_search",
        "genesys_search_reread.reread": "genesys_search",
        "genesys_search_backfill.begin": "default_pool",
        "genesys_search_backfill.window": "genesys_search_backfill",
        "genesys_search_backfill.seam": "genesys_search",
    }


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no configuration": ({"AIRFLOW_VAR_GENESYS_SEARCH": None}, "there is no configuration"),
    "broken": ({"AIRFLOW_VAR_GENESYS_SEARCH": '{"project": '}, "the Variable genesys_search holds no JSON"),
    "a file that is none": (
        {"AIRFLOW_VAR_GENESYS_SEARCH": None, "GENESYS_SEARCH_CONFIG": "/dev/null"},
        "the file /dev/null holds no JSON",
    ),
    "an extra that is none": (
        {
            "AIRFLOW_VAR_GENESYS_SEARCH": None,
            "AIRFLOW_CONN_GENESYS_SEARCH": '{"conn_type": "http", "extra": {"projekt": "/a"}}',
        },
        "the extra of the connection genesys_search has projekt, which is none of",
    ),
    "no warehouse": (
        {"AIRFLOW_CONN_GENESYS_SEARCH_WAREHOUSE": None},
        "there is no connection genesys_search_warehouse",
    ),
    "SQLite": (
        {"AIRFLOW_CONN_GENESYS_SEARCH_MELTANO": '{"conn_type": "sqlite", "host": "/tmp/a"}'},
        "the connection genesys_search_meltano (type sqlite) is not to a PostgreSQL",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_has_to_be_changed_is_said_in_one_line_and_not_retried(plain: Field, mailbox: Mailbox, fault: str) -> None:
    changes, line = FAULTS[fault]
    for name, value in changes.items():
        if value is None:
            plain.patch.delenv(name)
        else:
            plain.patch.setenv(name, value)
    dag, said = plain.dag("sync", retries=2), []
    task = dag.task_dict["sync"]
    task.on_failure_callback = [*task.on_failure_callback, lambda context: said.append(str(context["exception"]))]
    run = dag.test()
    assert run.state == DagRunState.FAILED
    assert tasks_of(run)["sync", -1].try_number == 1
    assert [text.startswith(line) for text in said] == [True]
    assert len(said[0].splitlines()) == 1
    if "VAR" not in next(iter(changes)):
        (text,) = mailbox.texts
        assert text.startswith(f"genesys_search_sync sync -1\n{line}")
        assert "Traceback" not in text


def test_a_backfill_without_a_start(plain: Field, mailbox: Mailbox) -> None:
    """It is told before anybody is asked."""
    run = plain.dag("backfill", retries=2).test()
    assert run.state == DagRunState.FAILED
    (text,) = mailbox.texts
    assert text.startswith("genesys_search_backfill begin -1\nthe backfill has no start. What to do: trigger it with")


class World:
    """A sandbox that moves, and what a test does while it is searched."""

    def __init__(self, server: SandboxServer) -> None:
        self.server = server
        self.searches: list[tuple[int, int]] = []
        self.seen: list[str] = []
        self.kill_in: tuple[int, int] | None = None
        self._search = server.world.search
        server.world.search = self._watched  # type: ignore[method-assign]

    def _watched(self, query: Query, **options: Any) -> Page:  # noqa: ANN401 - as they come
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


@pytest.fixture
def world() -> Iterator[World]:
    """A month, in which something moves and shows late at every search."""
    movement = Movement(arrive_every_search=2, move_every_search=6, late_every_search=1, late_max_seconds=5)
    with SandboxServer(WorldConfig(conversations=3000, days=30), movement=movement) as server:
        yield World(server)


@pytest.fixture
def project(tmp_path: Path, target_postgres: Path, database: Database, world: World) -> Path:
    """A Meltano project."""
    Meltano(tmp_path, target_postgres, database, world.server)
    return tmp_path


@pytest.fixture
def built(plain: Field, world: World, project: Path, database: Database, meltano_database: Database) -> Field:
    """Airflow with a Meltano project, a sandbox, a warehouse and Meltano's database behind it."""
    plain.patch.setenv("PATH", str(PROGRAMS), prepend=os.pathsep)
    plain.patch.setenv("PYTHONWARNINGS", "")
    plain.connections["genesys_search_warehouse"] = postgres_connection(database, PASSWORDS["warehouse"])
    plain.connections["genesys_search_meltano"] = postgres_connection(meltano_database, PASSWORDS["meltano"])
    plain.config["project"] = str(project)
    plain.config["tap"] = {"base_url": world.server.base_url, "requests_per_minute": FAST, "page_size": 50}
    plain.config["tap"]["start_date"] = days_ago(47)
    plain.config["target"] = {"batch_size_rows": 500}
    plain.write()
    return plain


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

        def after(context: Mapping[str, Any]) -> None:
            errors.append(str(context["exception"]))
            if "already running" in errors[-1]:
                # For five minutes Meltano takes the run for alive: let them pass.
                self.meltano_database.query(
                    "UPDATE runs SET last_heartbeat_at = last_heartbeat_at - interval '6 minutes'"
                    " WHERE state = 'RUNNING' RETURNING id"
                )

        dag.task_dict["window"].partial_kwargs["on_retry_callback"] = [after]
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
        # With what follows, it is read again from its start.
        again = clear(dag, run, ("window", 1), ("seam", -1))
        assert again.state == DagRunState.SUCCESS
        assert self.world.within(**window) > before + 1
        assert tasks_of(again)["window", 2].try_number == 3

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
        [(found,)] = self.meltano_database.query(f"SELECT completed_state FROM state WHERE state_id = '{STATE_ID}'")  # noqa: S608
        return bookmark_of(json.loads(found)["singer_state"])

    @property
    def states(self) -> dict[str, str]:
        """All that Meltano keeps, by its id."""
        found = self.meltano_database.query("SELECT state_id, concat(partial_state, completed_state) FROM state")
        return dict(found)

    def fields_of(self, identity: str) -> object:
        """What the warehouse knows of a conversation."""
        [(found,)] = self.database.query(f"SELECT fields FROM genesys_cloud.conversations WHERE id = '{identity}'")  # noqa: S608
        return found


@pytest.fixture
def story(
    built: Field,
    world: World,
    database: Database,
    meltano_database: Database,
    mailbox: Mailbox,
) -> Story:
    """All that the story needs."""
    return Story(built, world, database, meltano_database, mailbox)


def test_a_backfill_that_hands_over(story: Story, caplog: pytest.LogCaptureFixture) -> None:
    """A worker dies, a window is cleared, the world moves all along: nothing is lost, nothing is stale."""
    server = story.world.server
    run = story.backfill()
    name = f"{run.dag_id}:{run.run_id}"
    plan = json.loads(Variable.get(name))
    story.check_seam(plan)

    server.world.move(arrive=50, change=300, late=20)
    story.clear(run, plan)
    assert json.loads(Variable.get(name)) == plan
    story.check_seam(plan)

    server.world.quiet()
    # The platform's clock tells whole seconds.
    time.sleep(1.1)
    assert story.field.dag("sync").test().state == DagRunState.SUCCESS
    assert story.database.table() == truth(server)
    stored = story.state
    assert stored["run_start"] > plan["started"]

    # What is corrected in its place the nightly run brings.
    identity, before = story.correct()
    assert story.field.dag("reread").test().state == DagRunState.SUCCESS
    assert story.fields_of(identity) != before
    assert story.database.table() == truth(server)
    assert story.state["replication_key_value"] == stored["replication_key_value"]

    templates, commands = rendered(), story.world.seen
    assert any(plan["windows"][0]["start"] in text for text in templates)
    assert any("--state-id" in command for command in commands)
    check_hidden([SECRET, *PASSWORDS.values()], *templates, *commands, caplog.text)


def rendered() -> list[str]:
    """All rendered templates that Airflow has kept."""
    with Session() as session:
        return [str(each.rendered_fields) for each in session.scalars(select(RenderedTaskInstanceFields))]
