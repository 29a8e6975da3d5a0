"""How the DAGs call Meltano, and what they make of its log."""

from __future__ import annotations

import json
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]
import pytest

from tests.orchestrate.dags import backfill, config, configuration, connections, meltano_calls
from tests.sandbox.api import until

if TYPE_CHECKING:
    from pathlib import Path


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
    "busy, as `meltano run` tells it": (
        [
            entry("Another 'a' pipeline is already running which started at b. To ignore this, use --force.", "error"),
            entry("Block run completed", "error"),
        ],
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
    "busy, with another advice": (
        [
            entry(
                "Another 'a' pipeline is already running. Wait until it ends, or ignore this check using '--force'.",
                "error",
            )
        ],
        "busy",
        f"Another 'a' pipeline is already running. Wait until it ends. What to do: nothing, if it ends; {AGAIN}",
        False,
    ),
    "no project": (
        ["Error: `meltano run` must be run inside a Meltano project.", "Use `meltano init <a>` to create one."],
        "configuration",
        "`meltano run` must be run inside a Meltano project. What to do: correct project in the configuration",
        True,
    ),
    **{
        line: (
            [log],
            "configuration",
            f"{line.rstrip('.')}. What to do: copy tap, target and environment of meltano.yml into the project",
            True,
        )
        for line, log in {
            "Block tap-a not found": "Error: Block tap-a not found",
            "Environment 'a' was not found.": entry("Environment 'a' was not found.", "error"),
            "Plugin 'tap-a' is not known to Meltano.": entry("Plugin 'tap-a' is not known to Meltano.", "error"),
        }.items()
    },
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
    report = meltano_calls.Report()
    for line in lines:
        report.read(line + "\n")
    failure = report.failure(-9)
    assert (failure.kind, str(failure), failure.is_final) == (kind, text, is_final)


def test_what_the_log_shows() -> None:
    report = meltano_calls.Report()
    assert report.read(entry("Read all", string_id="tap-genesys-search")) == "tap-genesys-search: Read all"
    assert report.read(entry("METRIC", string_id="tap-genesys-search")) == ""
    assert report.read(entry("Need help fixing this problem? Visit a", "error")) == ""
    assert report.read(entry("Task exception was never retrieved", "error")) == ""
    assert report.read(entry("Extractor failed", "error", name="meltano.core")) == "meltano.core: Extractor failed"
    assert report.read(entry("Extract & load complete!")) == "meltano: Extract & load complete!"
    assert report.read("some text\n") == "some text"
    assert report.read("[1]\n") == "[1]"
    assert report.read("\n") == ""


def script(folder: Path, text: str) -> Any:
    """A Meltano of which only the start matters."""
    path = folder / "meltano"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return config(project=str(folder), meltano=str(path))


def test_a_secret_that_meltano_logs_is_hidden(tmp_path: Path) -> None:
    made = script(tmp_path, 'echo "$TAP_GENESYS_SEARCH_CLIENT_SECRET $TARGET_POSTGRES_SQLALCHEMY_URL" >&2')
    said: list[str] = []
    meltano_calls.Meltano(made, configuration.variables(made, connections()), said.append).run()
    (line,) = said
    assert line.startswith("*** postgresql+psycopg://us%2Fer:***@db")


def test_airflows_own_secrets_are_not_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW_CONN_A", "TAP_GENESYS_SEARCH_QUERY"):
        monkeypatch.setenv(name, "not for others")
    made = script(tmp_path, "env >&2")
    said: list[str] = []
    meltano_calls.Meltano(made, configuration.variables(made, connections()), said.append).run(start_date="a")
    assert "TAP_GENESYS_SEARCH_START_DATE=a" in said
    assert not [line for line in said if "not for others" in line]


def test_no_meltano(tmp_path: Path) -> None:
    made = config(project=str(tmp_path), meltano=str(tmp_path / "none"))
    with pytest.raises(configuration.Failure, match=r"can't be started in .*: No such file") as caught:
        meltano_calls.Meltano(made, configuration.variables(made, connections()), print).run()
    assert caught.value.is_final


def test_stop_ends_all_that_was_started(tmp_path: Path) -> None:
    made = script(tmp_path, f"sleep 600 >/dev/null 2>&1 & echo $! > {tmp_path}/pid; echo up >&2; wait")
    meltano: Any = meltano_calls.Meltano(made, configuration.variables(made, connections()), lambda _: meltano.stop())
    with pytest.raises(configuration.Failure):
        meltano.run()
    # The signal is on its way; left alone it would sleep for ten minutes.
    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(int((tmp_path / "pid").read_text()))
        until(lambda: started.status() == psutil.STATUS_ZOMBIE)


def test_stop_ends_what_does_not_listen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meltano_calls, "_STOP_SECONDS", 0.5)
    made = script(tmp_path, "trap '' TERM; echo up >&2; while :; do sleep 0.1; done")
    meltano: Any = meltano_calls.Meltano(made, configuration.variables(made, connections()), lambda _: meltano.stop())
    meltano.stop()
    with pytest.raises(configuration.Failure, match="ended with code -9"):
        meltano.run()


def test_stop_after_the_end_finds_nothing(tmp_path: Path) -> None:
    made = script(tmp_path, "exit 3")
    meltano = meltano_calls.Meltano(made, configuration.variables(made, connections()), print)
    with pytest.raises(configuration.Failure, match="ended with code 3"):
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
        el*) echo "[info] SUMMARY: {\\"records\\": 1, \\"complete\\": true}" >&2 ;;
        esac
        """,
    )
    said: list[str] = []
    meltano = meltano_calls.Meltano(made, configuration.variables(made, connections()), said.append)
    assert meltano.clock() == "2026-11-01T00:00:00.000Z"
    assert [meltano.state(name) for name in ("none", "empty")] == [{}, {}]
    assert backfill.bookmark_of({}) == {}
    assert backfill.bookmark_of(meltano.state("a")) == {"a": 1}
    meltano.set_state("a", {"b": 2})
    meltano.drop_state("a")
    meltano.run()
    meltano.window("a", start_date="b")
    asked = [line.partition("--input-file=")[0] if "set" in line else line for line in said]
    assert asked == [
        "invoke --no-install tap-genesys-search:clock --config=ENV START=",
        "state get none START=",
        "state get empty START=",
        "state get a START=",
        "state set --force ",
        '{"singer_state": {"b": 2}}',
        "state clear --force a START=",
        "run --no-install tap-genesys-search target-postgres START=",
        "el --no-install --state-id=a tap-genesys-search target-postgres START=b",
        '[info] SUMMARY: {"records": 1, "complete": true}',
    ]
    assert said[4].endswith(" a START=")


@pytest.mark.parametrize(
    "log",
    [
        'SUMMARY: {"complete": false}',
        'SUMMARY: {"complete": "true"}',
        "SUMMARY: {}",
        'SUMMARY: {"complete": true',
        "SUMMARY: []",
        "another log",
    ],
)
def test_a_window_that_was_not_read_to_its_end(tmp_path: Path, log: str) -> None:
    """By ``max_results`` in the project's own files, say; a sync may be cut short, as the next one goes on."""
    made = script(tmp_path, f"echo '{log}' >&2")
    meltano = meltano_calls.Meltano(made, configuration.variables(made, connections()), print)
    meltano.run()
    with pytest.raises(configuration.Failure, match="the tap does not say that it has read the window to its end"):
        meltano.window("a")


def test_a_window_asks_for_the_log_that_tells_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MELTANO_CLI_LOG_LEVEL", "error")
    made = script(tmp_path, '[ "$MELTANO_CLI_LOG_LEVEL" = info ]')
    meltano_calls.Meltano(made, configuration.variables(made, connections()), print).run()


@pytest.mark.parametrize("answer", ["", "echo", "echo; echo"])
def test_a_project_whose_tap_does_not_tell_the_time(tmp_path: Path, answer: str) -> None:
    made = script(tmp_path, answer)
    with pytest.raises(configuration.Failure, match="clock tells no time") as caught:
        meltano_calls.Meltano(made, configuration.variables(made, connections()), print).clock()
    assert caught.value.is_final


@pytest.mark.parametrize("answer", ["no state", "{", "[]"])
def test_a_state_that_is_none(tmp_path: Path, answer: str) -> None:
    made = script(tmp_path, f"echo '{answer}'")
    with pytest.raises(configuration.Failure, match=r"meltano state get a answers .*, which is no state"):
        meltano_calls.Meltano(made, configuration.variables(made, connections()), print).state("a")


def test_what_meltano_writes_is_for_its_user_alone(tmp_path: Path) -> None:
    """It writes a plugin's settings into a file, which stays where the machine is switched off."""
    made = script(tmp_path, f"echo secret > {tmp_path}/written")
    meltano_calls.Meltano(made, configuration.variables(made, connections()), print).run()
    assert stat.S_IMODE((tmp_path / "written").stat().st_mode) == 0o600


class Interrupted(BaseException):
    """What Airflow's time-out is: no ordinary exception."""


def test_a_time_out_ends_what_hangs(tmp_path: Path) -> None:
    made = script(tmp_path, f"echo $$ > {tmp_path}/pid; echo up >&2; exec sleep 600")

    def say(_: str) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        meltano_calls.Meltano(made, configuration.variables(made, connections()), say).run()
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
