"""What a run says of itself: before the first page, every half minute, and at the end."""

from __future__ import annotations

import math
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
        self._began = self._last = now
        self._searches_before = stats.searches
        self._throttled_before = stats.throttled_429
        self._retries_before = stats.retries

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

    def page(self, last: int, now: float) -> None:
        """Say how far the run is, if the last line is old enough."""
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

    def finished(self, now: float) -> None:
        """Say what the run was."""
        self._logger.info(
            "Read %s conversations in %s searches and %s: %s slices, %s times told to wait, %s retries,"
            " %s pages read again",
            f"{self._progress.records:,}",
            f"{self.searches:,}",
            describe_minutes(now - self._began),
            f"{self._progress.slices:,}",
            f"{self._stats.throttled_429 - self._throttled_before:,}",
            f"{self._stats.retries - self._retries_before:,}",
            f"{self._progress.reread:,}",
        )
