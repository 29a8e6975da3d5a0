"""How a run ends that fails: a line for people, a record for machines, and an exit code."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tap_genesys_search import errors
from tap_genesys_search.reporting import one_line_errors
from tap_genesys_search.sandbox import Faults, SandboxServer, WorldConfig
from tests.helpers import CLIENT, SECRET, Run, Tap, config_for, environment, kept_of, table, truth
from tests.terminal import people

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


def failure_of(run: Run) -> dict[str, Any]:
    """The one record, and whether line and exit code say the same."""
    (failure,) = run.failures
    *_, record, last = run.stderr.splitlines()
    assert "FAILURE: " in record
    (line,) = run.critical
    assert line == last
    assert last.endswith(failure["reason"])
    assert failure["exit_code"] == run.code
    assert list(failure) == ["kind", "reason", "fix", "exit_code"]
    return failure


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


def test_a_fault_of_the_program_is_told_apart(tmp_path: Path) -> None:
    """Its text may hold anything, so the record does not show it."""
    break_it = (
        "import tap_genesys_search.records as records\n"
        "def parse(*_): raise ZeroDivisionError('what nobody expected')\n"
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
        "reason": "a fault of the program: ZeroDivisionError",
        "fix": "report it, with the traceback below",
        "exit_code": done.returncode,
    }
    assert "Traceback" in done.stderr.partition("FAILURE")[2]


# A disk is no setting

NO_FILE_ABOVE = """
import resource, sys
from tap_genesys_search.tap import TapGenesysSearch
most = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
TapGenesysSearch.cli()
"""


def run_with_room(size: int, tap: Tap, config: dict[str, object]) -> Run:
    """Run the tap with its output in a file; no file that it writes can become larger."""
    output = tap.folder / "output"
    with output.open("wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-c", NO_FILE_ABOVE, str(size), "--config", tap.write("config", config)],
            cwd=tap.folder,
            env=environment(),
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    return Run(done.returncode, output.read_text(encoding="utf-8"), done.stderr)


def test_no_more_room_in_mid_run_is_for_the_next_run(tap: Tap) -> None:
    """It goes on from the last STATE that has got into the file."""
    with SandboxServer(WORLD) as server:
        config = config_for(server, page_size=20)
        run = run_with_room(60_000, tap, config)
        failure = failure_of(run)
        kept = kept_of(run)
        assert 0 < len(kept.records) < WORLD.conversations
        rest = tap(config, state=kept.state)
        assert rest.code == 0
        assert table([kept, rest]) == truth(server)
    assert (failure["kind"], failure["exit_code"]) == ("platform", 75)
    assert failure["reason"].startswith("the output cannot be written (File too large); ")
    assert failure["fix"] == "see to its disk, then start again"
    assert "Traceback" not in run.stderr


def test_no_more_room_for_the_files_of_batches(tap: Tap) -> None:
    batches = {
        "encoding": {"format": "jsonl", "compression": "none"},
        "storage": {"root": (tap.folder / "batches").as_uri()},
    }
    (tap.folder / "batches").mkdir()
    with SandboxServer(WORLD) as server:
        run = run_with_room(5000, tap, config_for(server, batch_config=batches))
    failure = failure_of(run)
    assert (failure["kind"], failure["exit_code"]) == ("platform", 75)
    assert failure["reason"] == "the output, or a file beside it: File too large; see to its disk, then start again"
    assert run.records == []


def test_an_output_that_breaks_is_for_the_next_run(tap: Tap) -> None:
    """A terminal that is gone, which a write finds as EIO."""
    with SandboxServer(WORLD) as server:
        ours, theirs = os.openpty()
        with subprocess.Popen(
            [sys.executable, "-m", "tap_genesys_search", "--config", tap.write("config", config_for(server))],
            env=environment(),
            stdout=theirs,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            os.close(theirs)
            os.read(ours, 1)
            os.close(ours)
            _, log = process.communicate(timeout=60)
    failure = failure_of(Run(process.returncode, "", log))
    assert (failure["kind"], failure["exit_code"]) == ("platform", 75)
    assert failure["reason"].startswith("the output cannot be written (Input/output error); ")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/a"),
            75,
            "/a: No space left on device; see to its disk, then start again",
        ),
        (
            OSError(errno.EIO, "Input/output error"),
            75,
            "the output, or a file beside it: Input/output error; see to its disk, then start again",
        ),
        (OSError(errno.EROFS, "Read-only", "/a"), 75, "/a: Read-only; see to its disk, then start again"),
        (OSError(errno.EMFILE, "Too many", "/a"), 75, "/a: Too many; see to this machine, then start again"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "/a"), 78, "/a: Is a directory"),
        (PermissionError(errno.EACCES, "Permission denied", "/a"), 78, "/a: Permission denied"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/a"), 78, "there is no file /a"),
    ],
)
def test_a_disk_is_no_setting(caplog: pytest.LogCaptureFixture, error: OSError, code: int, line: str) -> None:
    def fail() -> None:
        with one_line_errors(logging.getLogger("told"), has_record=True):
            raise error

    with pytest.raises(SystemExit) as end:
        fail()
    assert (end.value.code, caplog.records[-1].getMessage()) == (code, line)


def test_a_configuration_that_cannot_be_read_is_a_setting(tap: Tap) -> None:
    """An I/O error is what the memory of a process gives where there is none."""
    run = tap(None, "--config", "/proc/self/mem")
    failure = failure_of(run)
    assert (failure["kind"], failure["exit_code"]) == ("configuration", 78)
    assert failure["reason"] == "the configuration file /proc/self/mem cannot be read: Input/output error"


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
