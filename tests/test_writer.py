"""What is written is whole lines, whenever the process is told to end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tap_genesys_search.sandbox import SandboxServer, WorldConfig
from tap_genesys_search.writer import PageMessage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START = """
import sys
from tap_genesys_search import writer
from tap_genesys_search.tap import TapGenesysSearch
writer.PATIENCE = float(sys.argv.pop(1))
TapGenesysSearch.cli()
"""


@pytest.fixture(scope="module")
def api() -> Iterator[SandboxServer]:
    """More than a pipe holds."""
    with SandboxServer(world=WorldConfig(seed=3, conversations=20_000, days=10)) as server:
        yield server


@pytest.fixture
def config(api: SandboxServer, tmp_path: Path) -> str:
    """A file with what a run needs."""
    path = tmp_path / "config.json"
    settings = {"client_id": "sandbox", "client_secret": "sandbox-secret", "base_url": api.base_url}
    path.write_text(json.dumps(settings | {"requests_per_minute": 100_000}))
    return str(path)


def started(config: str, patience: float = 30) -> subprocess.Popen[bytes]:
    """Start the tap with its output in a pipe."""
    command = [sys.executable, "-c", START, str(patience), "--config", config]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("read_first", [1, 5_000, 200_000, 1_000_000])
def test_a_slow_reader_gets_whole_lines(config: str, number: signal.Signals, read_first: int) -> None:
    """The pipe is full when the signal comes, mostly in the middle of a page; the last line is a STATE."""
    with started(config) as process:
        assert process.stdout
        taken = process.stdout.read(read_first)
        time.sleep(0.2)
        process.send_signal(number)
        time.sleep(0.2)
        output = taken + process.stdout.read()
        process.wait(20)
    lines = output.split(b"\n")
    assert lines.pop() == b""
    messages = [json.loads(line) for line in lines]
    records = [message["record"]["timestamp"] for message in messages if message["type"] == "RECORD"]
    states = [message for message in messages if message["type"] == "STATE"]
    assert len(records) < 20_000
    bookmarks = [state["value"]["bookmarks"]["conversations"].get("replication_key_value", "") for state in states]
    assert max(bookmarks, default="") <= records[-1]


def test_a_reader_who_takes_nothing_is_given_up(config: str) -> None:
    """After a while in which the pipe does not move the process ends all the same."""
    with started(config, patience=0.5) as process:
        assert process.stdout
        process.stdout.read(1)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM


def test_a_reader_who_is_gone_ends_the_run_in_one_line(config: str) -> None:
    """The loader's own log says why it went."""
    command = [sys.executable, "-c", START, "30", "--config", config]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(1)
        process.stdout.close()
        log = process.stderr.read().decode()
        assert process.wait(20) == 75
    assert "Traceback" not in log
    assert log.count("CRITICAL") == 1


def test_a_page_is_one_line_a_record() -> None:
    """Each a RECORD message of its own."""
    lines = PageMessage([("calls", {"id": "a", "n": 10**30}), ("calls", {"id": "b"})]).encode().splitlines()
    messages = [json.loads(line) for line in lines]
    assert [message["record"] for message in messages] == [{"id": "a", "n": 10**30}, {"id": "b"}]
    assert {(message["type"], message["stream"]) for message in messages} == {("RECORD", "calls")}
