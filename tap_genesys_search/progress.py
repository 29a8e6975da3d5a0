"""What a run says of itself: before the first page, every half minute, and at the end."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, TextIO

from tap_genesys_search import timestamps

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_genesys_search.client import Stats
    from tap_genesys_search.clock import Clock
    from tap_genesys_search.progress_bar import ProgressBar
    from tap_genesys_search.rate_limit import Budget
    from tap_genesys_search.slices import Progress

#: Seconds between two progress lines.
INTERVAL: Final = 30.0

#: Seconds between this machine's clock and the platform's that are worth a word.
CLOCKS_APART: Final = 60.0

#: Seconds between two looks at a bar.
_TICK: Final = 0.5
#: Up to so many seconds a pause is only the pace of the searches.
_PACE: Final = 1.0
#: Seconds after which a page should have been taken, and a question answered.
_SLOW: Final = 5.0
#: Seconds for a terminal that takes no more to take the last.
_PATIENCE: Final = 1.0
#: Searches for each full page: what seeking costs beyond paging.
_SEEKING: Final = 1.03


def searches_for(records: int, page_size: int) -> int:
    """Estimate the searches that so many conversations take."""
    return max(1, math.ceil(records / page_size * _SEEKING))


def describe_range(low: int, high: int) -> str:
    """Write a range for people."""
    begin = "the beginning" if low <= timestamps.BEGIN else timestamps.write(low)
    return f"from {begin} to {'now' if high >= timestamps.END else timestamps.write(high)}"


def describe_minutes(seconds: float) -> str:
    """Write a duration for people: seconds below two minutes, else minutes."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{math.ceil(seconds / 60):,} min"  # noqa: PLR2004 - two minutes


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run was, for people and for machines.

    Attributes:
        complete: Whether it read its range to the end; one that failed, or had enough, has not.
        start: Where it began to read; None: at the beginning of time.
        end: Where it ended, exclusive; None: without an end.
        seconds: From its first search to its last page passed on.
        records: Conversations passed on.
        slices: Slices of time that were read.
        searches: Requests sent to the search API, each try counted.
        searches_per_full_page: Those for each page that the records would fill.
        reread_pages: Pages that had waited for too long to be passed on, and were asked for again.
        throttled: Answers with status 429.
        retries: Tries after the first, for whatever reason.
        waited_seconds: Waited because the platform said so, all workers added up.
        budget_share: Searches sent of those that the rate limit would have let through, 0 to 1.
        held_seconds: From asking for a page to passing it on, on the average.
        longest_held_seconds: The same, of the page that took longest.
    """

    complete: bool
    start: str | None
    end: str | None
    seconds: float
    records: int
    slices: int
    searches: int
    searches_per_full_page: float
    reread_pages: int
    throttled: int
    retries: int
    waited_seconds: float
    budget_share: float
    held_seconds: float
    longest_held_seconds: float

    def __str__(self) -> str:
        """Write it for people."""
        begin, end = self.start or "the beginning", self.end or "now"
        return (
            f"{'Read all' if self.complete else 'Stopped after'} {self.records:,} conversations from {begin} to {end}"
            f" in {describe_minutes(self.seconds)} and {self.searches:,} searches"
            f" ({self.searches_per_full_page:.2f} for each full page, {self.budget_share:.0%} of the rate limit):"
            f" {self.slices:,} slices, {self.throttled:,} times told to wait ({describe_minutes(self.waited_seconds)}),"
            f" {self.retries:,} retries, {self.reread_pages:,} pages read again;"
            f" {self.held_seconds:.1f} s from asking to passing on, {self.longest_held_seconds:.1f} s at most"
        )


def consoles(logger: logging.Logger) -> list[logging.StreamHandler[TextIO]]:
    """Return what would show a line of this logger, at INFO, on a terminal."""
    found: list[logging.StreamHandler[TextIO]] = []
    source: logging.Logger | None = logger if logger.isEnabledFor(logging.INFO) else None
    while source is not None:
        found += [
            handler
            for handler in source.handlers
            if isinstance(handler, logging.StreamHandler)
            and handler.level <= logging.INFO
            and getattr(handler.stream, "isatty", bool)()
        ]
        source = source.parent if source.propagate else None
    return found


class ProgressLog:
    """Tells of one run: on a terminal by a bar, else by a log line now and then; and what it was, at its end.

    Args:
        logger: Where to.
        progress: The reading's own counters.
        stats: The HTTP side's counters; what they held before this run is left out.
        page_size: Records in a full page.
        clock: Its monotonic time.
        budget: Says what rate is allowed, and when the limit lets go.
        has_bar: Whether there may be a bar, as nobody else writes to the terminal.
    """

    def __init__(
        self,
        logger: logging.Logger,
        progress: Progress,
        stats: Stats,
        page_size: int,
        *,
        clock: Clock,
        budget: Budget,
        has_bar: bool = False,
    ) -> None:
        """Remember where the counters stood."""
        self._logger = logger
        self._progress = progress
        self._stats = stats
        self._page_size = page_size
        self._clock = clock
        self._budget = budget
        self._has_bar = has_bar
        self._began = clock.monotonic()
        #: Searches that the rate limit has let through so far, and up to when: one tuple, as two threads read it.
        self._allowance = (0.0, self._began)
        self._last: int | None = None
        #: When a page was handed to the reader who has not come back yet.
        self._handed: float | None = None
        #: Until when each thread pauses that was told to, or before it tries again.
        self._pauses: dict[int, float] = {}
        self._is_slow = False
        self._ended = threading.Event()
        self._teller: threading.Thread | None = None
        self._bar: ProgressBar | None = None
        self._searches_before = stats.searches
        self._throttled_before = stats.throttled_429
        self._retries_before = stats.retries
        self._waited_before = stats.told_wait_seconds

    @property
    def searches(self) -> int:
        """Searches of this run."""
        return self._stats.searches - self._searches_before

    def begin(self) -> None:
        """Begin to tell, from a thread of its own, as those of the run may all be waiting."""
        if not self._logger.isEnabledFor(logging.INFO):
            return
        if self._has_bar and (handlers := consoles(self._logger)):
            # Only here, as most runs have no terminal.
            from tap_genesys_search.progress_bar import ProgressBar  # noqa: PLC0415 - as the line above says

            self._bar = ProgressBar(handlers)
        # No daemon: one that writes while the interpreter ends brings it down.
        self._teller = threading.Thread(target=self._keep_telling, name="progress", daemon=False)
        self._teller.start()

    def started(self, low: int, high: int, workers: int) -> None:
        """Say what is ahead, by the API's estimate, with so many searches at a time."""
        total, expected, rate = self._progress.total, self._progress.expected, self._budget.rate
        if total is None or expected is None:
            self._logger.info("Reading conversations %s; how many is not known", describe_range(low, high))
            return
        searches = searches_for(expected, self._page_size)
        latency = self._stats.least_latency or 0.0
        seconds, pace = searches / rate, f"{rate * 60:.0f} a minute"
        # Some seconds more are no reason for a word.
        if (answered := searches * latency / workers) > seconds + _SLOW:
            seconds, pace = answered, f"{latency:.1f} s an answer"
        self._logger.info(
            "Reading conversations %s: about %s%s, in about %s searches, %s at %s",
            describe_range(low, high),
            f"{total:,}",
            f", of which {expected:,} are wanted" if expected < total else "",
            f"{searches:,}",
            describe_minutes(seconds),
            pace,
        )

    def compare_clocks(self, apart: float) -> None:
        """Warn if this machine's clock is ahead of the platform's by many seconds, or behind it."""
        if abs(apart) > CLOCKS_APART:
            side = "ahead of" if apart > 0 else "behind"
            self._logger.warning(
                "This machine's clock is %.0f s %s the platform's; the earlier one is taken", abs(apart), side
            )

    def hand_on(self) -> None:
        """Note that a page goes to the reader."""
        self._handed = self._clock.monotonic()

    def handed_on(self, last: int) -> None:
        """Note that the reader has taken it, and where it ends."""
        self._handed = None
        self._last = last
        self._allow()

    def watched(self, sleep: Callable[[float], None]) -> Callable[[float], None]:
        """Return the same sleep, of which this log knows."""

        def pause(seconds: float) -> None:
            # What the limit makes everybody wait for is no fault, up to its last second.
            if seconds <= _PACE or self._budget.waiting() > 0:
                sleep(seconds)
                return
            thread = threading.get_ident()
            self._pauses[thread] = self._clock.monotonic() + seconds
            try:
                sleep(seconds)
            finally:
                del self._pauses[thread]

        return pause

    def tell(self) -> None:
        """Write how far the run is, and what it waits for."""
        now = self._clock.monotonic()
        records, total, took = self._progress.records, self._progress.expected or 0, max(now - self._began, _PACE)
        share = f" of about {total:,} ({min(99, 100 * records // total)} %)" if total > records else ""
        notes = [f"{self.searches:,} searches, {self._budget_share(now):.0%} of the rate limit"]
        if (left := self._left(took)) is not None:
            notes.append(f"about {describe_minutes(left)} to go")
        if waits := self._waits(now):
            notes.append(waits)
        self._logger.info(
            "Read %s conversations%s, %s a second%s; %s",
            f"{records:,}",
            share,
            f"{records / took:,.0f}",
            "" if self._last is None else f", up to {timestamps.write(self._last)}",
            "; ".join(notes),
        )

    def draw(self, bar: ProgressBar) -> None:
        """Show the same in a bar: short, and the most telling first, as a terminal may be narrow."""
        now = self._clock.monotonic()
        records, total, took = self._progress.records, self._progress.expected or 0, max(now - self._began, _PACE)
        notes = [f"{records:,} of {total:,}" if total > records else f"{records:,}"]
        if (left := self._left(took)) is not None:
            notes.append(f"{describe_minutes(left)} to go")
        if waits := self._waits(now):
            notes.insert(0, waits)
        else:
            notes += [f"{records / took:,.0f}/s", f"{self._budget_share(now):.0%} of the limit"]
        bar.draw(min(0.99, records / total) if total > records else None, ", ".join(notes))

    def leave(self) -> None:
        """Say no more of what is waited for: who is left is not waited for."""
        self._ended.set()

    def finished(self, low: int, high: int, *, complete: bool) -> None:
        """Say what the run was: a line for people and, at its end or as ``summary`` of a structured log, a record."""
        self.leave()
        if self._teller is not None:
            self._teller.join(_PATIENCE)
        if self._bar is not None:
            self._bar.close()
        self._allow()
        summary = self._summary(low, high, self._clock.monotonic(), complete=complete)
        self._logger.info("%s", summary)
        fields = asdict(summary)
        self._logger.info("SUMMARY: %s", json.dumps(fields), extra={"summary": fields})

    def _keep_telling(self) -> None:
        told = time.monotonic()
        while not self._ended.wait(_TICK) and threading.main_thread().is_alive():
            if self._bar is not None:
                self.draw(self._bar)
            elif time.monotonic() - told >= INTERVAL:
                told = time.monotonic()
                self.tell()
            else:
                self._tell_if_slow()

    def _tell_if_slow(self) -> None:
        """Say that an answer takes long, once until answers come in time again."""
        # Who pauses before asking again, or waits for the limit, has said so.
        pauses = bool(self._pauses) or self._budget.waiting() > 0
        seconds = 0.0 if pauses else self._unanswered(self._clock.monotonic())
        if seconds > _SLOW and not self._is_slow and not self._ended.is_set():
            self._logger.info(
                "No answer from the platform for %.0f s; it is waited for, up to request_timeout_seconds", seconds
            )
        self._is_slow = seconds > _SLOW

    def _allow(self) -> None:
        """Add up what the rate limit, which may change, lets through."""
        now = self._clock.monotonic()
        self._allowance = (self._allowed(now), now)

    def _allowed(self, now: float) -> float:
        allowed, until = self._allowance
        return allowed + self._budget.rate * (now - until)

    def _budget_share(self, now: float) -> float:
        # The first search of a run needs no time to be allowed.
        return min(1.0, self.searches / max(1.0, self._allowed(now)))

    def _left(self, took: float) -> float | None:
        """Guess the seconds to go, if there is anything to guess by."""
        records, total = self._progress.records, self._progress.expected or 0
        return took / records * (total - records) if total > records > 0 else None

    def _waits(self, now: float) -> str:
        """Say what holds the run up, if anything does."""
        if (seconds := self._budget.waiting()) > _PACE:
            return f"limit reached, going on in {math.ceil(seconds)} s"
        if pauses := [until - now for until in self._pauses.copy().values()]:
            return f"a fault of the platform, trying again in {max(0, math.ceil(min(pauses)))} s"
        if (seconds := self._unanswered(now)) > _SLOW:
            return f"waiting for an answer, for {seconds:.0f} s"
        handed = self._handed
        if handed is not None and now - handed > _SLOW:
            return f"waiting for whoever reads the output, for {now - handed:.0f} s"
        return ""

    def _unanswered(self, now: float) -> float:
        """Return for how many seconds the oldest open request has waited."""
        return now - min(self._stats.waiting.copy().values(), default=now)

    def _summary(self, low: int, high: int, now: float, *, complete: bool) -> Summary:
        progress = self._progress
        return Summary(
            complete=complete,
            start=None if low <= timestamps.BEGIN else timestamps.write(low),
            end=None if high >= timestamps.END else timestamps.write(high),
            seconds=round(now - self._began, 3),
            records=progress.records,
            slices=progress.slices,
            searches=self.searches,
            searches_per_full_page=round(self.searches / max(1, math.ceil(progress.records / self._page_size)), 3),
            reread_pages=progress.reread,
            throttled=self._stats.throttled_429 - self._throttled_before,
            retries=self._stats.retries - self._retries_before,
            waited_seconds=round(self._stats.told_wait_seconds - self._waited_before, 3),
            budget_share=round(self._budget_share(now), 3),
            held_seconds=round(progress.seconds_held / max(1, progress.pages), 3),
            longest_held_seconds=round(progress.longest_held, 3),
        )
