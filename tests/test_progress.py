"""What a run says of itself."""

from __future__ import annotations

import json
import logging

import pytest

from tap_genesys_search import timestamps
from tap_genesys_search.client import Stats
from tap_genesys_search.progress import INTERVAL, ProgressLog, describe_minutes, describe_range
from tap_genesys_search.reading import Progress
from tests.index import NOON


@pytest.fixture
def log() -> tuple[ProgressLog, Progress, Stats]:
    """A log whose client has been used before."""
    progress = Progress()
    stats = Stats(searches=100, throttled_429=7, retries=3)
    return ProgressLog(logging.getLogger("told"), progress, stats, 200, now=1000.0), progress, stats


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (timestamps.BEGIN, timestamps.END, "from the beginning to now"),
        (NOON, NOON + 1, "from 2026-10-05T12:00:00.000Z to 2026-10-05T12:00:00.001Z"),
    ],
)
def test_a_range(low: int, high: int, text: str) -> None:
    assert describe_range(low, high) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119.4, "119 s"), (120, "2 min"), (121, "3 min"), (360_000, "6,000 min")]
)
def test_a_duration(seconds: float, text: str) -> None:
    assert describe_minutes(seconds) == text


def test_what_is_ahead(log: tuple[ProgressLog, Progress, Stats], caplog: pytest.LogCaptureFixture) -> None:
    told, progress, _ = log
    progress.total = 1_000_000
    with caplog.at_level(logging.INFO):
        told.started(timestamps.BEGIN, NOON, rate=5.0)
    (line,) = caplog.messages
    assert line == (
        "Reading conversations from the beginning to 2026-10-05T12:00:00.000Z: about 1,000,000, in about 5,150 "
        "searches, 18 min at 300 a minute"
    )


def test_what_is_ahead_without_a_total(
    log: tuple[ProgressLog, Progress, Stats], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        log[0].started(timestamps.BEGIN, timestamps.END, rate=5.0)
    assert "no total" in caplog.text


def test_a_line_every_half_minute(log: tuple[ProgressLog, Progress, Stats], caplog: pytest.LogCaptureFixture) -> None:
    told, progress, stats = log
    progress.total, progress.records, stats.searches = 10_000, 2500, 115
    with caplog.at_level(logging.INFO):
        for second in range(100):
            told.page(NOON, 1000.0 + second, rate=5.0)
    assert len(caplog.messages) == int(99 // INTERVAL)
    assert caplog.messages[0] == (
        "Read 2,500 conversations of about 10,000 (25 %), up to 2026-10-05T12:00:00.000Z; 15 searches, 0.5 a second; "
        "about 90 s to go"
    )


@pytest.mark.parametrize("total", [None, 0, 2500])
def test_no_share_of_a_total_that_is_reached(
    log: tuple[ProgressLog, Progress, Stats], caplog: pytest.LogCaptureFixture, total: int | None
) -> None:
    told, progress, _ = log
    progress.total, progress.records = total, 2500
    with caplog.at_level(logging.INFO):
        told.page(NOON, 1030.0, rate=5.0)
    assert "%" not in caplog.text
    assert "to go" not in caplog.text


def test_nothing_read_after_half_a_minute(
    log: tuple[ProgressLog, Progress, Stats], caplog: pytest.LogCaptureFixture
) -> None:
    told, progress, _ = log
    progress.total, progress.records = 10, 1
    with caplog.at_level(logging.INFO):
        told.page(NOON, 1030.0, rate=5.0)
    assert "Read 1 conversations of about 10 (10 %)" in caplog.text


def test_what_it_was(log: tuple[ProgressLog, Progress, Stats], caplog: pytest.LogCaptureFixture) -> None:
    """A line for people, and the same as a record for machines."""
    told, progress, stats = log
    progress.records, progress.slices, progress.reread, progress.pages = 10_001, 4, 2, 52
    progress.seconds_held, progress.longest_held = 104.0, 7.25
    stats.searches, stats.throttled_429, stats.retries, stats.told_wait_seconds = 154, 8, 5, 12.5
    with caplog.at_level(logging.INFO):
        told.page(NOON, 1010.0, rate=5.0)
        told.finished(timestamps.BEGIN, NOON, 1020.0, rate=1.0, complete=True)
    line, record = caplog.messages
    assert line == (
        "Read all 10,001 conversations from the beginning to 2026-10-05T12:00:00.000Z in 20 s and 54 searches (1.06 for"
        " each full page, 90% of the rate limit): 4 slices, 1 times told to wait (12 s), 2 retries, 2 pages read again;"
        " 2.0 s from asking to passing on, 7.2 s at most"
    )
    summary = {
        "complete": True,
        "start": None,
        "end": "2026-10-05T12:00:00.000Z",
        "seconds": 20.0,
        "records": 10_001,
        "slices": 4,
        "searches": 54,
        "searches_per_full_page": 1.059,
        "reread_pages": 2,
        "throttled": 1,
        "retries": 2,
        "waited_seconds": 12.5,
        "budget_share": 0.9,
        "held_seconds": 2.0,
        "longest_held_seconds": 7.25,
    }
    assert json.loads(record.removeprefix("SUMMARY: ")) == summary
    assert vars(caplog.records[-1])["summary"] == summary


def test_what_a_run_was_that_got_no_answer(
    log: tuple[ProgressLog, Progress, Stats], caplog: pytest.LogCaptureFixture
) -> None:
    told, _, stats = log
    stats.searches = 104
    with caplog.at_level(logging.INFO):
        told.finished(NOON, timestamps.END, 1000.0, rate=5.0, complete=False)
    assert caplog.messages[0].startswith(
        "Stopped after 0 conversations from 2026-10-05T12:00:00.000Z to now in 0 s and 4 searches (4.00 for each full"
    )
    assert vars(caplog.records[-1])["summary"]["budget_share"] == 1.0
