"""How a run ends: a line for people, a record for machines, whatever ended it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tap_genesys_search.sandbox import SandboxServer, WorldConfig
from tests.support.helpers import NOON, ManualClock, Run, Tap, config_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUMMARY = "SUMMARY: "

STRUCTURED = """
version: 1
disable_existing_loggers: false
formatters: {structured: {(): singer_sdk.logging.StructuredFormatter}}
handlers: {default: {class: logging.StreamHandler, formatter: structured, stream: ext://sys.stderr}}
root: {level: INFO, handlers: [default]}
"""


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    config = WorldConfig(conversations=1_000, days=1.0)
    with SandboxServer(config, clock=ManualClock()) as server:
        yield server


def summary_of(run: Run) -> dict[str, Any]:
    """The one record."""
    (line,) = [line for line in run.stderr.splitlines() if SUMMARY in line]
    found: dict[str, Any] = json.loads(line.partition(SUMMARY)[2])
    return found


def test_a_run_that_is_complete(tap: Tap, server: SandboxServer) -> None:
    run = tap(config_for(server, page_size=100, start_date="2026-10-04T12:00:00Z"), now=NOON)
    summary = summary_of(run)
    assert summary["complete"] is True
    assert (summary["start"], summary["end"]) == ("2026-10-04T12:00:00.000Z", "2026-10-05T12:00:00.000Z")
    assert summary["records"] == len(run.records) == 1_000
    assert summary["searches"] == server.stats["searches"]
    assert summary["searches_per_full_page"] == round(server.stats["searches"] / 10, 3)
    (line,) = [line for line in run.stderr.splitlines() if "Read all 1,000 conversations" in line]
    assert f"{server.stats['searches']:,} searches" in line


def test_a_run_that_fails(tap: Tap, server: SandboxServer) -> None:
    """The reason is still the last line."""
    server.faults.p_5xx = 0.3
    run = tap(config_for(server, page_size=10, max_retries=0), now=NOON)
    assert run.code != 0
    summary = summary_of(run)
    assert summary["complete"] is False
    assert summary["records"] == len(run.records)
    assert "CRITICAL" in run.stderr.splitlines()[-1]


def test_a_run_that_had_enough(tap: Tap, server: SandboxServer) -> None:
    run = tap(config_for(server, page_size=10, max_results=15), now=NOON)
    summary = summary_of(run)
    assert summary["complete"] is False
    # The rest of the last page was read, and is not counted.
    assert summary["records"] == len(run.records) == 15


def test_a_structured_log_has_it_as_fields(tap: Tap, server: SandboxServer, tmp_path: Path) -> None:
    """The SDK's own formatter."""
    logging = tmp_path / "logging.yaml"
    logging.write_text(STRUCTURED)
    run = tap(config_for(server), now=NOON, env={"SINGER_SDK_LOG_CONFIG": str(logging)})
    lines = [json.loads(line) for line in run.stderr.splitlines()]
    (summary,) = [line["extra"]["summary"] for line in lines if "summary" in line["extra"]]
    assert summary["records"] == 1_000
