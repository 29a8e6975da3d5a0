"""One reading of a range: its slices, its workers, its progress, and when it began by the platform's clock."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from tap_genesys_search import timestamps
from tap_genesys_search.progress import ProgressLog
from tap_genesys_search.question import Axis, Question
from tap_genesys_search.reading import Reading
from tap_genesys_search.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_genesys_search.records import Answer
    from tap_genesys_search.search import ConversationSearchClient
    from tap_genesys_search.slices import Page


#: Workers by themselves are never more than this: four threads already keep one processor busy with decoding.
MAX_WORKERS: Final = 16

_logger: Final = logging.getLogger("tap-genesys-search.search")


class SearchRun:
    """One reading of a range, and when it began by the platform's clock.

    Args:
        client: Whose settings and connections are used.
        query: Lucene.
        low: First instant, milliseconds since 1970.
        high: End, exclusive; None: the run's own start, for a reading that goes upwards.
        axis: Direction.
        limit: About how many records will be taken.
        eager: Whether all pages will be taken.
        workers: How many searches at a time; None: as the client sees fit.
        logger: Where the run's progress is told.
        has_bar: Whether that may be a bar, where the logger shows its lines on a terminal.

    Attributes:
        began: The local clock when the run was made.
        run_start: The earlier of that and the ``Date`` of the first answer. A clock that is ahead would else claim what
            has not been seen yet.
    """

    def __init__(
        self,
        client: ConversationSearchClient,
        query: str,
        low: int,
        high: int | None,
        *,
        axis: Axis = Axis.OLDEST_FIRST,
        limit: int | None = None,
        eager: bool = False,
        workers: int | None = None,
        logger: logging.Logger = _logger,
        has_bar: bool = False,
    ) -> None:
        """Take the local time; nothing is sent yet."""
        self._client = client
        self._query = query
        self.low = low
        self.began = self.run_start = timestamps.from_seconds(client.clock.time())
        self._bounded = axis is Axis.OLDEST_FIRST and high != timestamps.END
        end = timestamps.END if high is None else high
        self.high = min(end, self.began) if self._bounded else end
        self._axis = axis
        self._at_most = workers or client.concurrency or MAX_WORKERS
        self._workers = client.workers if workers is None else lambda: workers
        self._reading = Reading(
            low,
            self.high,
            axis=axis,
            page_size=client.page_size,
            slice_records=client.slice_records,
            max_age=client.max_age,
            workers=self._workers,
            fix_end=self._fix_end,
            limit=limit,
            eager=eager,
        )
        # Records without an id that answers held: one number each, as several threads append.
        self._nameless: list[int] = []
        self._notes: set[str] = set()
        self._logger = logger
        self._log = ProgressLog(
            logger,
            self._reading.progress,
            client.http.stats,
            client.page_size,
            clock=client.clock,
            budget=client.budget,
            has_bar=has_bar,
        )

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to ask for."""
        return self.low >= self.high

    def leave_out(self, records: int) -> None:
        """Note that so many of the page that was last yielded are not passed on."""
        self._reading.progress.records -= records

    def enough_after(self, records: int) -> None:
        """Note that no more than so many will be taken."""
        self._reading.progress.most = self._reading.progress.records + records

    def pages(self) -> Iterator[Page]:
        """Yield the pages in order; leaving the iterator ends the threads.

        Raises:
            GenesysSearchError: What stopped the run; everything read in order before it has been yielded.
        """
        if self.is_empty:
            return
        workers = Workers(self._reading, self._ask, self._client.clock, at_most=self._at_most)
        told = complete = False
        timeless = 0
        self._log.begin()
        try:
            for page in workers.pages():
                timeless += page.batch.stamps.count(None)
                if not told:
                    told = True
                    self._log.started(self.low, self.high, self._workers())
                self._log.hand_on()
                yield page
                self._log.handed_on(self._axis.place(page.last))
            complete = True
        finally:
            self._log.leave()
            workers.close()
            self._log.finished(self.low, self.high, complete=complete)
            self._warn(timeless)

    def _warn(self, timeless: int) -> None:
        for note in sorted(self._notes):
            self._logger.warning("%s", note)
        if timeless:
            self._logger.warning("%d conversations have no usable timestamp: they come once, with null", timeless)
        if self._nameless:
            self._logger.warning(
                "Skipped %d records that have neither id nor conversationId (in all answers)", sum(self._nameless)
            )

    def _ask(self, question: Question, sleep: Callable[[float], None]) -> Answer:
        answer = self._client.http.ask(question, self._query, self._log.watched(sleep))
        if nameless := answer.ids.count(None):
            self._nameless.append(nameless)
        self._notes.update(answer.notes)
        return answer

    def _fix_end(self, answer: Answer) -> int | None:
        """End the run where it began, by the earlier clock; what changes from then on belongs to the next run."""
        if answer.served_at is not None:
            self.run_start = min(self.began, answer.served_at)
            self._log.compare_clocks((self.began - answer.served_at) / 1000)
        if not self._bounded:
            return None
        self.high = min(self.high, self.run_start)
        return self.high
