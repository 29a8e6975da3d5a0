"""How a run ends where a file is to blame, or the disk that it lies on: the one is a setting, the other is not."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tap_genesys_search.reporting import one_line_errors
from tap_genesys_search.sandbox import SandboxServer, WorldConfig
from tests.support.failures import failure_of
from tests.support.helpers import CLIENT, SECRET, Run, Tap, config_for, environment, kept_of, table, truth

WORLD = WorldConfig(conversations=500)


# Files that are given


@pytest.mark.parametrize(
    "content",
    [b"{bookmarks", b"", b'{"\xff": 1}', b"[" * 100_000, b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": 1e999}'],
    ids=range(7),
)
@pytest.mark.parametrize("kind", ["configuration", "state", "catalog"])
def test_a_file_that_is_no_json_is_named(tap: Tap, kind: str, content: bytes) -> None:
    path = tap.folder / "given.json"
    path.write_bytes(content)
    config = None if kind == "configuration" else {"client_id": CLIENT, "client_secret": SECRET}
    failure = failure_of(tap(config, "--config" if config is None else f"--{kind}", str(path)))
    assert (failure["kind"], failure["exit_code"]) == ("configuration", 78)
    assert failure["reason"] == f"the {kind} file {path} is no JSON"


@pytest.mark.parametrize("kind", ["state", "catalog"])
def test_a_file_that_is_not_there_is_no_wrong_usage(tap: Tap, kind: str) -> None:
    for path, reason in (("/no/such.json", "No such file or directory"), (str(tap.folder), "Is a directory")):
        failure = failure_of(tap({"client_id": CLIENT, "client_secret": SECRET}, f"--{kind}", path))
        assert failure["reason"] == f"the {kind} file '{path}' cannot be read: {reason}"
        assert failure["exit_code"] == 78


@pytest.mark.parametrize("text", ['"somewhere"', "null"])
@pytest.mark.parametrize("kind", ["state", "catalog"])
def test_a_text_in_a_file_is_no_path_to_another_and_null_is_not_none(tap: Tap, kind: str, text: str) -> None:
    path = tap.write(kind, text)
    failure = failure_of(tap({"client_id": CLIENT, "client_secret": SECRET}, f"--{kind}", path))
    assert failure["reason"] == f"the {kind} file {path} holds no JSON object"


@pytest.mark.parametrize("state", [{"singer_state": {"bookmarks": {}}}, {"type": "STATE", "value": {}}])
def test_a_state_within_something_else_is_not_that_of_a_first_run(tap: Tap, state: dict[str, object]) -> None:
    failure = failure_of(tap({"client_id": CLIENT, "client_secret": SECRET}, "--state", tap.write("state", state)))
    assert failure["reason"].startswith("the state is none: it must be an object with bookmarks by stream")
    assert failure["exit_code"] == 78


ENTRY: dict[str, object] = {"tap_stream_id": "conversations", "schema": {"properties": {"id": {}}}, "metadata": []}


@pytest.mark.parametrize(
    "catalog",
    [
        {},
        [],
        {"streams": None},
        {"streams": {"conversations": ENTRY}},
        {"streams": [1]},
        {"streams": [{"tap_stream_id": "conversations", "schema": None}]},
        {"streams": [ENTRY | {"tap_stream_id": {}}]},
        {"streams": [ENTRY | {"schema": {"properties": {"id": 7}}}]},
        {"streams": [ENTRY | {"metadata": [{"breadcrumb": []}]}]},
    ],
    ids=range(9),
)
def test_a_catalog_that_is_none_is_said_in_one_line(tap: Tap, catalog: object) -> None:
    """The SDK's own words for it are a traceback, or a run that reads nothing and succeeds."""
    run = tap({"client_id": CLIENT, "client_secret": SECRET}, "--catalog", tap.write("catalog", catalog))
    failure = failure_of(run)
    assert failure["reason"] == "the catalog is none: it must be an object with streams, as --discover writes it"
    assert (failure["exit_code"], "Traceback" in run.stderr) == (78, False)


def test_discovery_needs_no_settings_that_are_right(tap: Tap) -> None:
    """Meltano asks for it first; what is wrong with the settings is said by the run."""
    for wrong in ({"batch_config": "x"}, {"batch_config": {"encoding": "x", "storage": {"root": 5}}}):
        run = tap({"client_id": CLIENT, "client_secret": SECRET, **wrong}, "--discover")
        assert (run.code, "Traceback" in run.stderr) == (0, False)
        assert json.loads(run.stdout)["streams"][0]["tap_stream_id"] == "conversations"


@pytest.mark.parametrize("name", ["conversations", "talks"])
def test_a_catalog_that_selects_nothing_does_not_look_like_a_run_without_news(tap: Tap, name: str) -> None:
    metadata = [{"breadcrumb": [], "metadata": {"selected": name != "conversations"}}]
    catalog = {"streams": [ENTRY | {"tap_stream_id": name, "metadata": metadata}]}
    run = tap({"client_id": CLIENT, "client_secret": SECRET}, catalog=catalog)
    assert (run.code, run.messages) == (0, [])
    assert "WARNING" in run.stderr
    assert "the catalog selects no stream, so nothing is read" in run.stderr


def test_a_byte_order_mark_is_no_fault(tap: Tap) -> None:
    """As some editors write it."""
    with SandboxServer(WORLD) as server:
        first = tap(config_for(server))
        paths = {
            "config": tap.write("config", "\ufeff" + json.dumps(config_for(server))),
            "state": tap.write("state", "\ufeff" + json.dumps(first.state)),
        }
        again = tap(None, *(word for name, path in paths.items() for word in (f"--{name}", path)))
    assert (first.code, again.code) == (0, 0)
    assert len(again.records) < len(first.records)


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="there is no /dev/stdin")
def test_a_configuration_may_come_through_a_pipe() -> None:
    with SandboxServer(WORLD) as server:
        done = subprocess.run(
            [sys.executable, "-m", "tap_genesys_search", "--config", "/dev/stdin"],
            input=json.dumps(config_for(server)),
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert table([Run(0, done.stdout, done.stderr)]) == truth(server)


def test_a_state_may_come_through_a_pipe(tap: Tap) -> None:
    """Which can be read once only."""
    with SandboxServer(WORLD) as server:
        first = tap(config_for(server))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tap_genesys_search", "--state", "-"),
                *("--config", tap.write("config", config_for(server))),
            ],
            input=json.dumps(first.state),
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    again = Run(done.returncode, done.stdout, done.stderr)
    assert again.code == 0, again.stderr
    # The lookback, at the most.
    assert len(again.records) < WORLD.conversations / 10
    assert len(first.records) == WORLD.conversations


def test_a_dotenv_file_that_is_no_text_is_named(tap: Tap) -> None:
    path = tap.folder / ".env"
    path.write_bytes(b"TAP_GENESYS_SEARCH_QUERY=\xe9\n")
    failure = failure_of(tap(None, "--config=ENV"))
    assert (failure["kind"], failure["exit_code"]) == ("configuration", 78)
    assert failure["reason"] == f"the file {path} cannot be read: it is no UTF-8"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="there is no /proc")
def test_a_configuration_that_cannot_be_read_is_a_setting(tap: Tap) -> None:
    """An I/O error is what the memory of a process gives where there is none."""
    run = tap(None, "--config", "/proc/self/mem")
    failure = failure_of(run)
    assert (failure["kind"], failure["exit_code"]) == ("configuration", 78)
    assert failure["reason"] == "the configuration file /proc/self/mem cannot be read: Input/output error"


# A disk is no setting

NO_FILE_ABOVE = """
import resource, sys
from tap_genesys_search.tap import TapGenesysSearch
most = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
TapGenesysSearch.cli()
"""


def run_with_room(size: int, tap: Tap, config: dict[str, object]) -> Run:
    """Run the tap with its output in a file; no file that it writes can become larger.

    Python compiles nothing for it: what it leaves cut off, no later run could import.
    """
    output = tap.folder / "output"
    with output.open("wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-c", NO_FILE_ABOVE, str(size), "--config", tap.write("config", config)],
            cwd=tap.folder,
            env=environment({"PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(tap.folder)}),
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
        config = config_for(server, batch_config=batches)
        run = run_with_room(5000, tap, config)
        assert table([tap(config)]) == truth(server)
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


AUDIT_WITH_ROOM = """
import json, resource, sys
from tap_genesys_search.audit_command import audit_command
from tap_genesys_search.errors import GenesysSearchError
most = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
try:
    audit_command(sys.argv[2:], standalone_mode=False)
except GenesysSearchError as error:
    print(json.dumps([error.kind, error.exit_code, str(error), error.fix]))
"""


@pytest.mark.parametrize(
    ("rows", "size", "kind", "reason", "fix"),
    [
        (
            60_000,
            256 * 1024,
            "platform",
            "the temporary file of the audit failed, ",
            "see to its disk, or set TMPDIR to a folder with more room",
        ),
        (500, 8 * 1024, "platform", "the file {out}: File too large", "see to its disk, then start again"),
        (1, 10**9, "configuration", "the file {out} cannot be written: ", "change what the reason names"),
    ],
    ids=["temporary file", "findings", "no folder"],
)
def test_no_more_room_for_an_audit(tmp_path: Path, *, rows: int, size: int, kind: str, reason: str, fix: str) -> None:
    """Of the same kind as in a run; what a path is to blame for is another one."""
    out = tmp_path / ("out.csv" if kind == "platform" else "nowhere/out.csv")
    with SandboxServer(WORLD) as server:
        (tmp_path / "config.json").write_text(json.dumps(config_for(server)))
        done = subprocess.run(
            [
                *(sys.executable, "-c", AUDIT_WITH_ROOM, str(size)),
                *("--config", str(tmp_path / "config.json"), "--look-ups", "0", "--out", str(out)),
            ],
            input="".join(f"{'x' * 60}{number:09},2026-10-03\n" for number in range(rows)),
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (0, "")
    kind_, code, text, cure = json.loads(done.stdout)
    assert (kind_, code, cure) == (kind, 75 if kind == "platform" else 78, fix)
    assert text.startswith(reason.format(out=out))
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


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
