"""What the DAGs do, without Airflow: settings, Meltano's log, windows, and the seam."""

from __future__ import annotations

import ast
import importlib.util
import json
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_genesys_search.bookmark import Bookmark, Stored
from tap_genesys_search.timestamps import parse, write

if TYPE_CHECKING:
    from types import ModuleType

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
        (
            '{"project": "/p", "tap": {"client_secret": "hidden"}}',
            "the file a.json holds client_secret, which belongs into an Airflow connection",
        ),
        ('{"project": "/p", "reread_days": 0}', "the file a.json: reread_days and window_days must be above 0"),
        ('{"project": "/p", "notify": [{}]}', "the file a.json: each of notify needs class, the path of a notifier"),
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


def test_secrets_that_are_missing() -> None:
    with pytest.raises(runs.Failure, match="the connection genesys_search lacks login or password"):
        runs.variables(config(), connections(genesys_search=Login("http", login="client", password=None)))


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
    assert report.read("some text\n") == "some text"


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


@pytest.mark.parametrize("text", ["soon", "", "2026-13-01"])
def test_a_start_that_is_none(text: str) -> None:
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
    stored = {"bookmarks": {"other": {"a": 1}, "conversations": dict(ONE)}, "more": 2}
    before = json.dumps(stored)
    found = runs.seam(stored, [TWO], PLAN, STARTED)
    assert (found["bookmarks"]["other"], found["more"]) == ({"a": 1}, 2)
    assert json.dumps(stored) == before


def test_two_questions_have_no_common_bookmark() -> None:
    with pytest.raises(runs.Failure, match="the windows were read with different settings"):
        joined(None, ONE, {**TWO, "source": "t"})
    with pytest.raises(runs.Failure, match="the sync's state was written for another"):
        joined({**ONE, "source": "t"}, TWO)


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
