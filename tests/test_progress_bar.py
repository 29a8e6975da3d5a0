"""The bar on a terminal, and the log above it."""

from __future__ import annotations

import io
import logging
import re
import sys
from typing import TYPE_CHECKING

import pytest

from tap_genesys_search.progress import consoles
from tap_genesys_search.sandbox import Faults, SandboxServer, WorldConfig
from tests.support.helpers import Tap, config_for
from tests.support.terminal import Shown, on_terminal

if TYPE_CHECKING:
    from pathlib import Path

TAP = [sys.executable, "-W", "error", "-m", "tap_genesys_search"]
COMMAND = [sys.executable, "-W", "error", "-m", "tap_genesys_search.cli"]

BAR = re.compile(r" *(\d+) % \|(.{20})\| (.+)")
#: A line of the SDK's console format, whole.
LOGGED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \| [A-Z]+ +\| .+")


def bars(shown: Shown) -> list[re.Match[str]]:
    """The bars that have been drawn."""
    return [found for frame in shown.frames if (found := BAR.fullmatch(frame))]


@pytest.mark.slow
def test_a_run_on_a_terminal(tap: Tap, tmp_path: Path) -> None:
    """It shows a bar that grows and says what it waits for; the log stays whole, and of the bar nothing is left."""
    faults = Faults(p_429=0.15, retry_after_seconds=3, latency_ms=100)
    with SandboxServer(WorldConfig(conversations=1_000), faults) as server:
        config = tap.write("config", config_for(server, page_size=50))
        # With a line for each request, as a log that is written now and then might just not meet the bar.
        shown = on_terminal([*TAP, "--config", config], tmp_path, env={"LOGLEVEL": "DEBUG"})
    assert shown.code == 0
    drawn = bars(shown)
    shares = [int(found[1]) for found in drawn]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1] <= 99
    for found in drawn:
        filled = len(found[2].rstrip(" "))
        assert abs(filled - int(found[1]) / 5) <= 1
    waits = [found[3] for found in drawn if re.match(r"limit reached, going on in \d s, [\d,]+ of ", found[3])]
    assert waits
    goes = [
        found[3]
        for found in drawn
        if re.fullmatch(r"[\d,]+ of [\d,]+, \d+ s to go, [\d,]+/s, \d+% of the limit", found[3])
    ]
    assert goes
    assert all(LOGGED.fullmatch(line) for line in shown.screen), shown.screen
    assert [line for line in shown.screen if "Read all 1,000 conversations" in line]
    assert not [line for line in shown.screen if "Read 1" in line or "a second" in line]


def test_a_run_that_fails_on_a_terminal(tap: Tap, tmp_path: Path) -> None:
    """Warnings on the way stand above the bar, which counts down; the reason comes last."""
    with SandboxServer(WorldConfig(conversations=100), Faults(outage=True)) as server:
        config = tap.write("config", config_for(server, max_retries=2))
        shown = on_terminal([*TAP, "--config", config], tmp_path)
    assert shown.code == 75
    assert all(LOGGED.fullmatch(line) for line in shown.screen), shown.screen
    assert "CRITICAL" in shown.screen[-1]
    assert "FAILURE" in shown.screen[-2]


def test_a_narrow_terminal_is_not_broken(tap: Tap, tmp_path: Path) -> None:
    with SandboxServer(WorldConfig(conversations=500), Faults(latency_ms=150)) as server:
        config = tap.write("config", config_for(server, page_size=50, concurrency=1))
        shown = on_terminal([*TAP, "--config", config], tmp_path, columns=50)
    assert bars(shown)
    assert all(len(found[0]) < 50 for found in bars(shown))


def test_messages_on_the_same_terminal_have_it_for_themselves(tap: Tap, tmp_path: Path) -> None:
    with SandboxServer(WorldConfig(conversations=500), Faults(latency_ms=100)) as server:
        config = tap.write("config", config_for(server, page_size=50, concurrency=1))
        shown = on_terminal([*TAP, "--config", config], tmp_path, stdout_too=True)
    assert '"type":"RECORD"' in shown.written
    assert not bars(shown)


def test_an_audit_on_a_terminal(tap: Tap, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,timestamp\n")
    with SandboxServer(WorldConfig(conversations=500), Faults(latency_ms=100)) as server:
        config = tap.write("config", config_for(server, page_size=50, concurrency=1))
        shown = on_terminal(
            [*COMMAND, "audit", "rows.csv", "--look-ups", "0", "--config", config], tmp_path, stdout_too=True
        )
    assert shown.code == 1
    assert bars(shown)
    assert not [line for line in shown.screen if BAR.search(line)]


def test_a_pipe_gets_no_bar(tap: Tap) -> None:
    with SandboxServer(WorldConfig(conversations=500), Faults(latency_ms=100)) as server:
        run = tap(config_for(server, page_size=50, concurrency=1))
    assert run.code == 0
    assert all(LOGGED.fullmatch(line) for line in run.stderr.split("\n") if line)


# Which handlers


class Stream(io.StringIO):
    """A stream that is a terminal, or not."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize(
    ("is_terminal", "level", "logger_level", "shows"),
    [
        (True, logging.NOTSET, logging.INFO, 1),
        (True, logging.INFO, logging.DEBUG, 1),
        (True, logging.WARNING, logging.INFO, 0),
        (True, logging.NOTSET, logging.WARNING, 0),
        (False, logging.NOTSET, logging.INFO, 0),
    ],
)
def test_what_shows_lines_on_a_terminal(*, is_terminal: bool, level: int, logger_level: int, shows: int) -> None:
    parent, child = logging.getLogger("bar-test"), logging.getLogger("bar-test.child")
    parent.propagate = False
    parent.setLevel(logger_level)
    handler = logging.StreamHandler(Stream(is_terminal=is_terminal))
    handler.setLevel(level)
    parent.handlers = [handler, logging.NullHandler()]
    child.propagate = True
    assert len(consoles(child)) == shows
    child.propagate = False
    assert consoles(child) == []
