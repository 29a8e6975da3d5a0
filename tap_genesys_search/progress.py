"""What a run says of itself: before the first page, every half minute, and at the end."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from tap_genesys_search import timestamps

if TYPE_CHECKING:
    import logging

    from tap_genesys_search.client import Stats
    from tap_genesys_search.reading import Progress

#: Seconds between two progress lines.
INTERVAL: Final = 30.0


def describe_range(low: int, high: int) -> str:
    """Write a range for people."""
    begin = "the beginning" if low <= timestamps.BEGIN else timestamps.write(low)
    return f"from {begin} to {'now' if high >= timestamps.END else timestamps.write(high)}"


def describe_minutes(seconds: float) -> str:
    """Write a duration for people: seconds below two minutes, else minutes."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{math.ceil(seconds / 60):,} min"  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run was, for people and for machines.

    Attributes:
        complete: Whether it read its range to the end; one that failed, or had enough, has not.
        start: Where it began to read; None: at the beginning of time.
        end: Where it ended, exclusive; None: without an end.
        seconds: From its first search to its last page passed on.
        searches: Requests sent to the search API, each try counted.
        searches_per_full_page: Those for each page that the records would fill.
        reread_pages: Pages that had waited for too long to be passed on, and were asked for again.
        throttled: Answers with status 429.
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


class ProgressLog:
    """Writes the log lines of one run.

    Args:
        logger: Where to.
        progress: The reading's own counters.
        stats: The HTTP side's counters; what they held before this run is left out.
        page_size: Records in a full page.
        now: Monotonic seconds.
    """

    def __init__(self, logger: logging.Logger, progress: Progress, stats: Stats, page_size: int, now: float) -> None:
        """Remember where the counters stood."""
        self._logger = logger
        self._progress = progress
        self._stats = stats
        self._page_size = page_size
        self._began = self._last = self._counted = now
        self._allowed = 0.0
        self._searches_before = stats.searches
        self._throttled_before = stats.throttled_429
        self._retries_before = stats.retries
        self._waited_before = stats.told_wait_seconds

    @property
    def searches(self) -> int:
        """Searches of this run."""
        return self._stats.searches - self._searches_before

    def started(self, low: int, high: int, rate: float) -> None:
        """Say what is ahead, by the API's estimate; the rate is in searches a second."""
        total = self._progress.total
        if total is None:
            self._logger.info("Reading conversations %s; the API gives no total", describe_range(low, high))
            return
        searches = max(1, math.ceil(total / self._page_size * 1.03))
        self._logger.info(
            "Reading conversations %s: about %s, in about %s searches, %s at %.0f a minute",
            describe_range(low, high),
            f"{total:,}",
            f"{searches:,}",
            describe_minutes(searches / rate),
            rate * 60,
        )

    def page(self, last: int, now: float, rate: float) -> None:
        """Say how far the run is, if the last line is old enough; the rate is what is allowed at present."""
        self._allow(now, rate)
        if now - self._last < INTERVAL:
            return
        self._last = now
        records, total, took = self._progress.records, self._progress.total or 0, now - self._began
        share = f" of about {total:,} ({min(99, 100 * records // total)} %)" if total > records else ""
        to_go = f"; about {describe_minutes(took / records * (total - records))} to go" if total > records else ""
        self._logger.info(
            "Read %s conversations%s, up to %s; %s searches, %.1f a second%s",
            f"{records:,}",
            share,
            timestamps.write(last),
            f"{self.searches:,}",
            self.searches / took,
            to_go,
        )

    def finished(self, low: int, high: int, now: float, rate: float, *, complete: bool) -> None:
        """Say what the run was: a line for people and, at its end or as ``summary`` of a structured log, a record."""
        self._allow(now, rate)
        summary = self._summary(low, high, now, complete=complete)
        self._logger.info("%s", summary)
        fields = asdict(summary)
        self._logger.info("SUMMARY: %s", json.dumps(fields), extra={"summary": fields})

    def _allow(self, now: float, rate: float) -> None:
        """Add up what the rate limit, which may change, lets through."""
        self._allowed += rate * (now - self._counted)
        self._counted = now

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
            # The first search of a run needs no time to be allowed.
            budget_share=round(min(1.0, self.searches / max(1.0, self._allowed)), 3),
            held_seconds=round(progress.seconds_held / max(1, progress.pages), 3),
            longest_held_seconds=round(progress.longest_held, 3),
        )
