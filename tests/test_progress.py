"""What a run says of itself."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass, field

import pytest

from tap_genesys_search import progress as module
from tap_genesys_search import timestamps
from tap_genesys_search.client import Stats
from tap_genesys_search.progress import ProgressLog, describe_minutes, describe_range, searches_for
from tap_genesys_search.rate_limit import RateBudget
from tap_genesys_search.slices import Progress
from tests.sandbox.api import until
from tests.support.fakes import FakeClock
from tests.support.index import NOON

#: Requests a minute of the budget: five a second.
RATE = 300


@dataclass
class Told:
    """A log whose client has been used before, and what it looks at."""

    clock: FakeClock = field(default_factory=FakeClock)
    progress: Progress = field(default_factory=Progress)
    stats: Stats = field(default_factory=lambda: Stats(searches=100, throttled_429=7, retries=3))

    def __post_init__(self) -> None:
        self.budget = RateBudget(RATE, self.clock)
        self.log = ProgressLog(
            logging.getLogger("told"), self.progress, self.stats, 200, clock=self.clock, budget=self.budget
        )


@pytest.fixture
def told() -> Told:
    return Told()


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


@pytest.mark.parametrize(("records", "searches"), [(0, 1), (200, 2), (1_000_000, 5_150)])
def test_what_so_many_take(records: int, searches: int) -> None:
    assert searches_for(records, 200) == searches


def test_what_is_ahead(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    told.progress.total = 1_000_000
    with caplog.at_level(logging.INFO):
        told.log.started(timestamps.BEGIN, NOON, 4)
    (line,) = caplog.messages
    assert line == (
        "Reading conversations from the beginning to 2026-10-05T12:00:00.000Z: about 1,000,000, in about 5,150 "
        "searches, 18 min at 300 a minute"
    )


def test_what_is_ahead_without_a_total(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        told.log.started(timestamps.BEGIN, timestamps.END, 4)
    assert "how many is not known" in caplog.text


@pytest.mark.parametrize(
    ("seconds", "workers", "text"),
    [
        (0.6, 1, "60 searches, 36 s at 0.6 s an answer"),
        (0.6, 8, "60 searches, 12 s at 300 a minute"),
        (0.25, 1, "60 searches, 12 s at 300 a minute"),
        (None, 1, "60 searches, 12 s at 300 a minute"),
    ],
)
def test_what_answers_allow_if_that_is_less(
    told: Told, caplog: pytest.LogCaptureFixture, seconds: float | None, workers: int, text: str
) -> None:
    told.progress.total, told.stats.least_latency = 11_600, seconds
    with caplog.at_level(logging.INFO):
        told.log.started(timestamps.BEGIN, NOON, workers)
    assert caplog.messages[0].endswith(f": about 11,600, in about {text}")


def test_what_is_wanted_of_it(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    told.progress.total, told.progress.most = 29_110, 3_000
    with caplog.at_level(logging.INFO):
        told.log.started(timestamps.BEGIN, NOON, 4)
    assert caplog.messages[0].endswith(
        ": about 29,110, of which 3,000 are wanted, in about 16 searches, 3 s at 300 a minute"
    )
    told.progress.records = 1_500
    told.clock.sleep(30)
    told.log.handed_on(NOON)
    assert "1,500 conversations of about 3,000 (50 %)" in (text := line(told, caplog))
    assert text.endswith("about 30 s to go")
    assert bar(told)[0] == 0.5
    # More than there is are not waited for.
    told.progress.most = 30_000
    assert "of about 29,110" in line(told, caplog)


# On the way


def line(told: Told, caplog: pytest.LogCaptureFixture) -> str:
    """What it tells now."""
    caplog.clear()
    with caplog.at_level(logging.INFO):
        told.log.tell()
    (message,) = caplog.messages
    return message


class Bar:
    """A bar that keeps what it is told."""

    def draw(self, share: float | None, text: str) -> None:
        self.share, self.text = share, text


def bar(told: Told) -> tuple[float | None, str]:
    """What the bar would show now."""
    shown = Bar()
    told.log.draw(shown)  # type: ignore[arg-type]
    return shown.share, shown.text


def test_how_far_it_is(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    told.progress.total, told.progress.records, told.stats.searches = 10_000, 2500, 115
    told.clock.sleep(30)
    told.log.handed_on(NOON)
    assert line(told, caplog) == (
        "Read 2,500 conversations of about 10,000 (25 %), 83 a second, up to 2026-10-05T12:00:00.000Z; "
        "15 searches, 10% of the rate limit; about 90 s to go"
    )
    assert bar(told) == (0.25, "2,500 of 10,000, 90 s to go, 83/s, 10% of the limit")


@pytest.mark.parametrize("total", [None, 0, 2500])
def test_no_share_of_a_total_that_is_reached(told: Told, caplog: pytest.LogCaptureFixture, total: int | None) -> None:
    told.progress.total, told.progress.records = total, 2500
    told.clock.sleep(30)
    text = line(told, caplog)
    assert "(" not in text
    assert "to go" not in text
    assert bar(told) == (None, "2,500, 83/s, 0% of the limit")


def test_before_the_first_page(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    assert line(told, caplog) == "Read 0 conversations, 0 a second; 0 searches, 0% of the rate limit"
    assert bar(told) == (None, "0, 0/s, 0% of the limit")
    told.progress.total = 10
    assert "Read 0 conversations of about 10 (0 %)" in line(told, caplog)


def test_one_that_is_not_done_is_never_at_the_end(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    told.progress.total, told.progress.records = 100_000, 99_999
    told.clock.sleep(30)
    assert "(99 %)" in line(told, caplog)
    assert bar(told)[0] == 0.99


def test_it_waits_for_the_limit(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    told.progress.total, told.progress.records = 10_000, 2500
    told.clock.sleep(30)
    told.budget.pause(41.2, "429")
    assert line(told, caplog).endswith("; limit reached, going on in 42 s")
    assert bar(told)[1] == "limit reached, going on in 42 s, 2,500 of 10,000, 90 s to go"
    told.clock.sleep(40)
    assert "going on in 2 s" in bar(told)[1]
    told.clock.sleep(2)
    assert "limit reached" not in bar(told)[1] + line(told, caplog)


def test_it_waits_before_it_tries_again(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    """And the pace of the searches is no such wait."""
    seen = []

    def sleep(seconds: float) -> None:
        seen.append(line(told, caplog))
        told.clock.sleep(seconds)

    told.log.watched(sleep)(17.5)
    told.log.watched(sleep)(0.9)
    assert seen[0].endswith("; a fault of the platform, trying again in 18 s")
    assert "trying again" not in seen[1]


def test_the_limit_is_no_fault_in_its_last_second_either(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    seen = []

    def sleep(seconds: float) -> None:
        told.clock.sleep(seconds - 0.5)
        seen.append(line(told, caplog))

    told.budget.pause(12, "429")
    told.log.watched(sleep)(12)
    assert "trying again" not in seen[0]


def test_a_wait_that_is_cut_short_is_over(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    def sleep(_: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        told.log.watched(sleep)(17.5)
    assert "trying again" not in line(told, caplog)


def test_it_waits_for_the_reader(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    told.log.hand_on()
    told.clock.sleep(4)
    assert "reads the output" not in line(told, caplog)
    told.clock.sleep(36)
    assert line(told, caplog).endswith("; waiting for whoever reads the output, for 40 s")
    told.log.handed_on(NOON)
    assert "reads the output" not in line(told, caplog)


def test_it_waits_for_an_answer(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    """One that comes in time is nothing to tell of."""
    with told.stats.answer_due(told.clock.monotonic()):
        told.clock.now += 5
        assert "waiting" not in line(told, caplog)
        told.clock.now += 7
        assert line(told, caplog).endswith("; waiting for an answer, for 12 s")
        assert bar(told)[1].startswith("waiting for an answer, for 12 s")
    assert "waiting" not in line(told, caplog)


def test_an_answer_that_takes_long_is_told_at_once_and_once(
    told: Told, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only in half a minute; and again when answers had come in time meanwhile."""
    monkeypatch.setattr(module, "_TICK", 0.005)
    passed = threading.Event()
    with caplog.at_level(logging.INFO):
        told.log.begin()
        for _ in range(2):
            with told.stats.answer_due(told.clock.monotonic()):
                told.clock.now += 6
                until(lambda: told.log._is_slow, 20)
                passed.wait(0.05)
            until(lambda: not told.log._is_slow, 20)
        told.log.finished(0, NOON, complete=False)
    slow_ones = [text for text in caplog.messages if text.startswith("No answer from ")]
    assert slow_ones == ["No answer from the platform for 6 s; it is waited for, up to request_timeout_seconds"] * 2


def test_no_word_of_an_answer_once_nobody_waits_for_it(
    told: Told, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was told to stop gives answers under way a moment, not request_timeout_seconds."""
    monkeypatch.setattr(module, "_TICK", 0.005)
    with caplog.at_level(logging.INFO), told.stats.answer_due(told.clock.monotonic()):
        told.log.begin()
        told.log.leave()
        told.clock.now += 6
        threading.Event().wait(0.05)
        told.log._tell_if_slow()
        assert caplog.messages == []
        told.log.finished(0, NOON, complete=False)


def test_a_pause_is_no_answer_that_takes_long(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    """It has been told, with its reason."""

    def sleep(_: float) -> None:
        told.clock.now += 6
        told.log._tell_if_slow()

    with caplog.at_level(logging.INFO), told.stats.answer_due(told.clock.monotonic()):
        told.log.watched(sleep)(14)
        assert caplog.messages == []
        told.log._tell_if_slow()
    assert [text[:24] for text in caplog.messages] == ["No answer from the platf"]


def test_a_line_every_half_minute(
    told: Told, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the run does meanwhile, until its end."""
    monkeypatch.setattr(module, "INTERVAL", 0.01)
    monkeypatch.setattr(module, "_TICK", 0.01)
    come = threading.Semaphore(0)
    monkeypatch.setattr(told.log, "tell", come.release)
    with caplog.at_level(logging.INFO):
        told.log.begin()
        assert all(come.acquire(timeout=20) for _ in range(3))
        told.log.finished(timestamps.BEGIN, NOON, complete=False)
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_nobody_is_told_who_does_not_listen(told: Told) -> None:
    logging.getLogger("told").setLevel(logging.WARNING)
    try:
        told.log.begin()
        assert not [thread for thread in threading.enumerate() if thread.name == "progress"]
    finally:
        logging.getLogger("told").setLevel(logging.NOTSET)


# At the end


def test_what_it_was(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    """A line for people, and the same as a record for machines."""
    progress, stats = told.progress, told.stats
    progress.records, progress.slices, progress.reread, progress.pages = 10_001, 4, 2, 52
    progress.seconds_held, progress.longest_held = 104.0, 7.25
    stats.searches, stats.throttled_429, stats.retries, stats.told_wait_seconds = 154, 8, 5, 12.5
    told.clock.sleep(10)
    told.log.handed_on(NOON)
    told.budget.observe({"inin-ratelimit-count": "0", "inin-ratelimit-allowed": "60", "inin-ratelimit-reset": "59.95"})
    told.clock.sleep(10)
    with caplog.at_level(logging.INFO):
        told.log.finished(timestamps.BEGIN, NOON, complete=True)
    text, record = caplog.messages
    assert text == (
        "Read all 10,001 conversations from the beginning to 2026-10-05T12:00:00.000Z in 20 s and 54 searches (1.06 for"
        " each full page, 87% of the rate limit): 4 slices, 1 times told to wait (12 s), 2 retries, 2 pages read again;"
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
        # Fifty in ten seconds at five a second, then ten seconds at the sixty that are left of fifty.
        "budget_share": round(54 / (50 + 10 * 60 / 50), 3),
        "held_seconds": 2.0,
        "longest_held_seconds": 7.25,
    }
    assert json.loads(record.removeprefix("SUMMARY: ")) == summary
    assert vars(caplog.records[-1])["summary"] == summary


def test_what_a_run_was_that_got_no_answer(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    told.stats.searches = 104
    with caplog.at_level(logging.INFO):
        told.log.finished(NOON, timestamps.END, complete=False)
    assert caplog.messages[0].startswith(
        "Stopped after 0 conversations from 2026-10-05T12:00:00.000Z to now in 0 s and 4 searches (4.00 for each full"
    )
    assert vars(caplog.records[-1])["summary"]["budget_share"] == 1.0
