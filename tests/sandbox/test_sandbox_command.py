"""The command, and the life of a server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from tap_genesys_search.sandbox import Faults, Movement, SandboxServer, WorldConfig
from tap_genesys_search.sandbox.command import sandbox
from tap_genesys_search.sandbox.server import listen

from .api import Api, until

RUN = "from tap_genesys_search.sandbox.command import sandbox; sandbox()"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    port_file = tmp_path / "port"
    options = ["--port", "0", "--port-file", str(port_file), "--conversations", "400", "--p-5xx", "0", "--warm"]
    options += ["--burst", "2026-10-03T10:00:00Z=50", "--start", "2026-10-01", "--end", "2026-10-05", "--ignore-size"]
    options += ["--days", "0.5", "--busy-factor", "2.5"]
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            until(port_file.exists, 20)
            port = int(port_file.read_text())
            url = f"http://127.0.0.1:{port}"
            assert requests.get(f"{url}/admin/health", timeout=5).json()["conversations"] == 400
            assert requests.get(f"{url}/admin/faults", timeout=5).json()["ignore_size"] is True
            process.send_signal(number)
            out, err = process.communicate(timeout=5)
        finally:
            process.kill()
    assert process.returncode == 0
    assert out.startswith(f"Sandbox on {url} ")
    assert len(out.splitlines()) == 1
    assert err == ""
    assert [each.name for each in tmp_path.iterdir()] == ["port"]


def test_every_field_has_an_option() -> None:
    names = {parameter.name for parameter in sandbox.params}
    for part, kind in (("world", WorldConfig), ("movement", Movement), ("faults", Faults)):
        assert {f"{part}__{each.name}" for each in fields(kind)} <= names
    flags = CliRunner().invoke(sandbox, ["--help"]).output
    for flag in ("--p-429", "--p-half-body", "--move-every-search", "--conversations", "--seed", "--fault-seed"):
        assert flag in flags


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--host", "0.0.0.0"], "loopback"),  # noqa: S104 - it is refused
        (["--p-drop", "2"], "p_drop must be from 0 to 1"),
        (["--burst", "then"], "INSTANT=COUNT"),
        (["--start", "yesterday"], "start must be an instant such as 2026-10-01T00:00:00Z, not 'yesterday'"),
        (["--days", "nan"], "days must be from 0 to 36,525, not nan"),
        (["--rate-window-seconds", "inf"], "rate_window_seconds must be from 0 to 1,000,000,000, not inf"),
        (["--clock-offset-seconds", "1e18"], "clock_offset_seconds must be from -1,000,000,000 to 1,000,000,000"),
        (["--burst", "2026-10-03=30000"], "bursts hold 30,000, more than all 20,000 conversations"),
        (["--move-every-search", "-1"], "move_every_search must be from 0 to 1,000,000, not -1.0"),
    ],
)
def test_a_wrong_option_is_one_clear_message(options: list[str], told: str) -> None:
    result = CliRunner().invoke(sandbox, ["--port", "0", *options])
    assert result.exit_code == 2
    assert told in result.output


def test_a_port_in_use_is_one_clear_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = CliRunner().invoke(sandbox, ["--port", str(port), "--conversations", "1"])
    assert result.exit_code == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in result.output


def test_a_port_file_that_cannot_be_written_is_one_clear_message(tmp_path: Path) -> None:
    port_file = tmp_path / "nowhere" / "port"
    result = CliRunner().invoke(sandbox, ["--port", "0", "--port-file", str(port_file), "--conversations", "1"])
    assert result.exit_code == 1
    assert result.output == f"Error: Cannot write the port file {port_file}: No such file or directory\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_standard_output_is_one_clear_message() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", RUN, "--port", "0", "--conversations", "1"],
            stdout=full,
            stderr=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
            text=True,
            timeout=30,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1,
        "Error: Cannot write to the standard output: No space left on device\n",
    )


def test_a_server_stops_quickly_and_leaves_its_port() -> None:
    with SandboxServer(WorldConfig(conversations=10)) as server, Api(server) as api:
        api.search()
        url = server.base_url
        before = time.monotonic()
        server.stop()
        # Stopping itself gives up after five seconds.
        assert time.monotonic() - before < 5
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(f"{url}/admin/health", timeout=1)


def test_small_packets_are_sent_at_once() -> None:
    with listen("localhost", 0) as bound:
        assert bound.proto == socket.IPPROTO_TCP
        assert bound.getsockname()[0] == "127.0.0.1"


def test_a_server_needs_a_start() -> None:
    server = SandboxServer(WorldConfig(conversations=10))
    with pytest.raises(RuntimeError, match="not been started"):
        _ = server.base_url
    server.stop()
