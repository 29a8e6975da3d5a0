"""How a run ends that fails: a line for people, a record for machines, and an exit code."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tap_genesys_search import errors
from tap_genesys_search.reporting import one_line_errors
from tap_genesys_search.sandbox import Faults, SandboxServer, WorldConfig
from tests.support.failures import failure_of
from tests.support.helpers import CLIENT, SECRET, Run, Tap, config_for, environment
from tests.support.terminal import people

if TYPE_CHECKING:
    from pathlib import Path

WORLD = WorldConfig(conversations=500)
#: Where an error has the platform's name for the request.
TRACE = re.compile(r"contextId [0-9a-f]{32}\b")

STRUCTURED = """
version: 1
disable_existing_loggers: false
formatters: {structured: {(): singer_sdk.logging.StructuredFormatter}}
handlers: {default: {class: logging.StreamHandler, formatter: structured, stream: ext://sys.stderr}}
root: {level: ERROR, handlers: [default]}
"""


@pytest.mark.parametrize(
    ("config", "faults", "kind", "code", "fix", "is_traced"),
    [
        ({"client_secret": "another"}, {}, "configuration", 78, "check client_id and client_secret", True),
        ({"page_size": 500, "max_retries": -1}, {}, "configuration", 78, "change what the reason names", False),
        ({"query": "status:a AND"}, {}, "configuration", 78, "change the setting query", True),
        (
            {"max_retries": 0},
            {"outage": True},
            "platform",
            75,
            "try again later (status.mypurecloud.com tells of outages)",
            True,
        ),
        (
            {"max_wait_seconds": 1},
            {"p_429": 1.0, "retry_after_seconds": 30},
            "platform",
            75,
            "start again later, lower requests_per_minute or raise max_wait_seconds",
            False,
        ),
        ({}, {"ignore_sort": True}, "contract", 76, errors.ContractError.cure, True),
        ({}, {"error_body_200": True}, "contract", 76, "check base_url", True),
    ],
    ids=["secret", "settings", "query", "outage", "limit", "sort", "no results"],
)
def test_a_run_that_fails_ends_with_a_record_for_machines(
    tap: Tap,
    *,
    config: dict[str, object],
    faults: dict[str, Any],
    kind: str,
    code: int,
    fix: str,
    is_traced: bool,
) -> None:
    with SandboxServer(WORLD, Faults(**faults)) as server:
        run = tap(config_for(server) | config)
    failure = failure_of(run)
    assert (failure["kind"], failure["exit_code"], failure["fix"]) == (kind, code, fix)
    assert bool(TRACE.search(failure["reason"])) is is_traced


def test_a_run_that_does_not_fail_has_none(tap: Tap) -> None:
    with SandboxServer(WORLD) as server:
        run = tap(config_for(server))
    assert (run.code, run.failures) == (0, [])


def test_a_quiet_log_has_it_too(tap: Tap) -> None:
    run = tap({"client_id": CLIENT}, env={"LOGLEVEL": "ERROR"})
    assert failure_of(run)["kind"] == "configuration"
    assert len(run.stderr.splitlines()) == 2


def test_a_structured_log_has_it_as_fields(tap: Tap, tmp_path: Path) -> None:
    """The SDK's own formatter."""
    (tmp_path / "logging.yaml").write_text(STRUCTURED)
    run = tap({"client_id": CLIENT}, env={"SINGER_SDK_LOG_CONFIG": str(tmp_path / "logging.yaml")})
    record, last = [json.loads(line) for line in run.stderr.splitlines()]
    failure = record["extra"]["failure"]
    assert failure == json.loads(record["message"].removeprefix("FAILURE: "))
    assert (failure["kind"], failure["exit_code"]) == ("configuration", run.code)
    assert (last["level"], last["message"]) == ("critical", failure["reason"])


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("raise ZeroDivisionError('what nobody expected')", "ZeroDivisionError"),
        ("json.loads('{')", "JSONDecodeError"),
        ("simplejson.loads('{')", "JSONDecodeError"),
        (r"b'\xff'.decode()", "UnicodeDecodeError"),
    ],
)
def test_a_fault_of_the_program_is_told_apart(tmp_path: Path, statement: str, name: str) -> None:
    """Its text may hold anything, so the record does not show it; and no file is blamed that was read long before."""
    break_it = (
        "import json, simplejson\n"
        "import tap_genesys_search.records as records\n"
        f"def parse(*_): {statement}\n"
        "records.parse = parse\n"
        "from tap_genesys_search.tap import TapGenesysSearch\n"
        "TapGenesysSearch.cli()\n"
    )
    with SandboxServer(WORLD) as server:
        (tmp_path / "config.json").write_text(json.dumps(config_for(server)))
        done = subprocess.run(
            [sys.executable, "-c", break_it, "--config", "config.json"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    (failure,) = Run(done.returncode, done.stdout, done.stderr).failures
    assert failure == {
        "kind": "unexpected",
        "reason": f"a fault of the program: {name}",
        "fix": "report it, with the traceback below",
        "exit_code": 1,
    }
    assert done.returncode == 1
    assert "Traceback" in done.stderr.partition("FAILURE")[2]


def test_the_commands_for_people_keep_to_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"client_id": CLIENT, "client_secret": SECRET, "page_size": 0}))
    done = people("search", "--config", str(tmp_path / "config.json"))
    assert done.code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("CRITICAL: page_size")


# What an error says to do


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (errors.QueryError("it is broken; mend it"), "mend it"),
        (errors.QueryError("it is broken; mend it", fix="leave it"), "leave it"),
        (errors.QueryError("it is broken"), errors.ConfigurationError.cure),
        (errors.SearchTimeoutError("no answer"), errors.PlatformUnavailableError.cure),
        (errors.RateLimitError("wait 5 s more; max is 3: raise it"), errors.RateLimitError.cure),
        (errors.ContractError("no order; it does not honour sort"), errors.ContractError.cure),
        (errors.GenesysSearchError(), errors.GenesysSearchError.cure),
    ],
)
def test_what_to_do(error: errors.GenesysSearchError, fix: str) -> None:
    assert error.fix == fix


def test_an_error_about_an_answer_names_the_request() -> None:
    error = errors.traced(errors.ContractError("no results; check base_url"), "abc s3cret", ["s3cret"])
    assert type(error) is errors.ContractError
    assert str(error) == "no results; check base_url (contextId abc ***)"
    assert error.fix == "check base_url"
    assert errors.traced(error, None) is error


def test_the_exit_code_can_be_another(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        with one_line_errors(logging.getLogger("told"), 1, has_record=True):
            raise errors.QueryError

    with pytest.raises(SystemExit) as end:
        fail()
    assert end.value.code == 1
    assert vars(caplog.records[-2])["failure"]["exit_code"] == 1
