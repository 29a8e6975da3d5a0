"""What is written is whole lines, whenever the process is told to end."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Any

import pytest

from tap_genesys_search import writer
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


def read(process: subprocess.Popen[bytes], size: int, at_a_time: int = 65_536, pause: float = 0) -> bytes:
    """Take so much of the output, or what there is, and not more; slowly, if told to."""
    assert process.stdout
    taken = b""
    while len(taken) < size and (part := os.read(process.stdout.fileno(), min(at_a_time, size - len(taken)))):
        taken += part
        time.sleep(pause)
    return taken


def fill(process: subprocess.Popen[bytes]) -> None:
    """Take nothing until the pipe is full, or as good as that."""
    assert process.stdout
    waiting, before = -1, -2
    while waiting < 4096 or waiting > before:
        time.sleep(0.2)
        before, waiting = waiting, waiting_in(process.stdout.fileno())


def waiting_in(fd: int) -> int:
    """How many bytes a pipe holds."""
    return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0])


def accounted(lines: list[bytes]) -> list[dict[str, Any]]:
    """Check that lines are messages, and that no STATE tells of a record that did not come before it."""
    messages: list[dict[str, Any]] = [json.loads(line) for line in lines]
    newest = ""
    for message in messages:
        if message["type"] == "RECORD":
            newest = max(newest, message["record"]["timestamp"])
        if message["type"] == "STATE":
            assert message["value"]["bookmarks"]["conversations"].get("replication_key_value", "") <= newest
    return messages


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("read_first", [1, 5_000, 200_000, 1_000_000])
def test_a_slow_reader_gets_whole_lines(config: str, number: signal.Signals, read_first: int) -> None:
    """The pipe is full when the signal comes, mostly in the middle of a page."""
    with started(config) as process:
        output = read(process, read_first)
        fill(process)
        process.send_signal(number)
        time.sleep(0.2)
        output += read(process, sys.maxsize)
        assert process.wait(20) == 128 + number
    lines = output.split(b"\n")
    assert lines.pop() == b""
    records = [message for message in accounted(lines) if message["type"] == "RECORD"]
    assert 0 < len(records) < 20_000


@pytest.mark.slow
def test_a_reader_who_takes_a_little_is_not_given_up(config: str) -> None:
    """Patience begins anew whenever the pipe moves."""
    with started(config, patience=1.5) as process:
        # What fills the pipe is then the end of the first page and the beginning of the second: much is left of that.
        output = read(process, 25_000)
        fill(process)
        process.send_signal(signal.SIGTERM)
        output += read(process, 80_000, at_a_time=4096, pause=0.2)
        output += read(process, sys.maxsize)
        assert process.wait(20) == 128 + signal.SIGTERM
    lines = output.split(b"\n")
    assert lines.pop() == b""
    accounted(lines)


@pytest.mark.parametrize("read_first", [1, 200_000])
def test_a_reader_who_takes_nothing_is_given_up(config: str, read_first: int) -> None:
    """After a while in which the pipe does not move the process ends all the same: at worst the last line is torn."""
    with started(config, patience=0.5) as process:
        output = read(process, read_first)
        fill(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
        output += read(process, sys.maxsize)
    *lines, _ = output.split(b"\n")
    assert "RECORD" in {message["type"] for message in accounted(lines)}


def test_a_reader_has_half_a_minute() -> None:
    """The tests before this one have less patience."""
    assert writer.PATIENCE == 30


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
    lines = PageMessage(["calls", "calls"], [{"id": "a", "n": 10**30}, {"id": "b"}]).encode().splitlines()
    messages = [json.loads(line) for line in lines]
    assert [message["record"] for message in messages] == [{"id": "a", "n": 10**30}, {"id": "b"}]
    assert {(message["type"], message["stream"]) for message in messages} == {("RECORD", "calls")}
