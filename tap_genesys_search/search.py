"""A query and a range to conversations: the door for those without Singer, and what the stream reads through."""

from __future__ import annotations

import logging
import math
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final, Self

from tap_genesys_search import timestamps
from tap_genesys_search.auth import GenesysAuth
from tap_genesys_search.client import SearchClient
from tap_genesys_search.clock import SystemClock
from tap_genesys_search.errors import ConfigurationError, QueryError
from tap_genesys_search.lucene import checked
from tap_genesys_search.progress import ProgressLog
from tap_genesys_search.question import Axis, Question
from tap_genesys_search.rate_limit import RateBudget
from tap_genesys_search.reading import Reading
from tap_genesys_search.shared_budget import RedisBudget
from tap_genesys_search.workers import Workers

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Generator, Iterator
    from types import TracebackType

    from tap_genesys_search.clock import Clock
    from tap_genesys_search.rate_limit import Budget
    from tap_genesys_search.records import Answer, Record
    from tap_genesys_search.settings import Settings
    from tap_genesys_search.slices import Page, Progress

#: Seconds that a page may be held before it is asked for again, at least.
MIN_AGE: Final = 60.0

#: Milliseconds before its start that a generator's last look goes back to, for what shows late.
LAST_LOOK: Final = 600_000

#: Workers by themselves are never more than this: four threads already keep one processor busy with decoding.
MAX_WORKERS: Final = 16

#: Seconds between this machine's clock and the platform's that are worth a warning.
CLOCKS_APART: Final = 60.0

_logger: Final = logging.getLogger("tap-genesys-search.search")


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What one search for a single record tells: the API's estimate of how many match, and the newest timestamp."""

    total: int | None
    newest: str | None


class ConversationSearchClient:
    """Reads conversations from the search API, completely and at its rate limit.

    Args:
        auth: Where tokens come from.
        base_url: The API, ``https://api.mypurecloud.com`` for example.
        page_size: Records asked for at a time, 1 to 200.
        concurrency: Slices read at a time; None: as many as rate and latency ask for.
        requests_per_minute: Budget shared by all workers.
        slice_records: Records that a slice aims for.
        lookback_seconds: How late the index may show a record; a page held for more than half of it is asked for again.
        max_retries: Tries after the first, for faults that pass.
        max_wait_seconds: The longest that one search waits on the platform's word, in seconds.
        request_timeout_seconds: The longest that one request takes, in seconds.
        user_agent: How the client names itself.
        on_request: Called after each answer with its latency in seconds and its status.
    """

    def __init__(
        self,
        auth: GenesysAuth,
        base_url: str,
        *,
        page_size: int = 200,
        concurrency: int | None = None,
        requests_per_minute: int = 300,
        slice_records: int = 4000,
        lookback_seconds: int = 600,
        max_retries: int = 3,
        max_wait_seconds: float = 600,
        request_timeout_seconds: float = 60,
        user_agent: str = "tap-genesys-search",
        on_request: Callable[[float, int], None] | None = None,
        budget: Budget | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """Prepare; nothing is sent before the first conversation is asked for."""
        self.auth = auth
        self.clock = clock or SystemClock()
        self.budget = budget or RateBudget(requests_per_minute, self.clock)
        self.page_size = page_size
        self.slice_records = slice_records
        self.concurrency = concurrency
        self.max_age = max(MIN_AGE, lookback_seconds / 2)
        self.http = SearchClient(
            auth,
            base_url,
            budget=self.budget,
            user_agent=user_agent,
            request_timeout_seconds=request_timeout_seconds,
            max_retries=max_retries,
            max_wait_seconds=max_wait_seconds,
            clock=self.clock,
            rng=rng,
            on_request=on_request,
        )

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        *,
        auth: GenesysAuth | None = None,
        on_request: Callable[[float, int], None] | None = None,
    ) -> Self:
        """Return a client with a tap's settings; its budget is shared where ``auth`` shares its token."""
        auth, clock = auth or GenesysAuth.from_settings(settings), SystemClock()
        return cls(
            auth,
            settings.base_url,
            page_size=settings.page_size,
            concurrency=settings.concurrency,
            requests_per_minute=settings.requests_per_minute,
            slice_records=settings.slice_records,
            lookback_seconds=settings.lookback_seconds,
            max_retries=settings.max_retries,
            max_wait_seconds=settings.max_wait_seconds,
            request_timeout_seconds=settings.request_timeout_seconds,
            user_agent=settings.user_agent,
            on_request=on_request,
            budget=RedisBudget(auth.shared, settings.requests_per_minute, clock) if auth.shared else None,
            clock=clock,
        )

    def stream_conversations(
        self,
        query: str = "*",
        *,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        max_results: int | None = None,
        newest_first: bool = True,
    ) -> Generator[Record, None, None]:
        """Yield conversations one by one; nothing is kept, and leaving early (``close()``) ends the threads.

        With no ``end``, and ``max_results`` not reached, a last look brings what moved meanwhile: an id comes twice
        only if it moved.

        Args:
            query: Lucene.
            start: First moment, inclusive; a text is ISO 8601, UTC if it has no zone.
            end: End, exclusive.
            max_results: Stop after so many.
            newest_first: From the newest down, else from the oldest up.

        Raises:
            GenesysSearchError: At once for a wrong argument; while it is read for all else.
        """
        if max_results is not None and max_results < 0:
            message = f"max_results is {max_results}; it must be 0 or more"
            raise ConfigurationError(message)
        try:
            checked(query)
        except ValueError as error:
            message = f"query {error}"
            raise QueryError(message) from error
        low = _instant(start, "start", timestamps.BEGIN)
        high = None if end is None else _instant(end, "end", timestamps.END)
        if high is not None and high <= low:
            message = "end must be after start"
            raise ConfigurationError(message)
        return self._stream(query, low, high, max_results, Axis.NEWEST_FIRST if newest_first else Axis.OLDEST_FIRST)

    def _stream(
        self, query: str, low: int, high: int | None, limit: int | None, axis: Axis
    ) -> Generator[Record, None, None]:
        if limit != 0:
            with closing(self._all(query, low, high, limit, axis)) as conversations:
                yield from islice(conversations, limit)

    def _all(
        self, query: str, low: int, high: int | None, limit: int | None, axis: Axis
    ) -> Generator[Record, None, None]:
        run = SearchRun(self, query, low, high, axis=axis, limit=limit)
        recent: set[tuple[str, str | None]] = set()
        for page in run.pages():
            batch = page.batch
            edge = timestamps.write(run.run_start - LAST_LOOK)
            if high is None and max(batch.stamps[0] or "", batch.stamps[-1] or "") >= edge:
                recent.update(zip(batch.ids, batch.stamps, strict=True))
            yield from batch.records
        if high is None:
            look = SearchRun(self, query, max(low, run.run_start - LAST_LOOK), timestamps.END, workers=1)
            for page in look.pages():
                keys = zip(page.batch.ids, page.batch.stamps, strict=True)
                yield from (record for record, key in zip(page.batch.records, keys, strict=True) if key not in recent)

    def glimpse(self, query: str = "*") -> Glimpse:
        """Look once: about how many conversations match, and the newest timestamp."""
        question = Question(timestamps.BEGIN, timestamps.END, Axis.NEWEST_FIRST, size=1)
        answer = self.http.ask(question, query)
        return Glimpse(answer.total, answer.stamps[0] if answer.stamps else None)

    def workers(self) -> int:
        """How many searches should be under way: rate times latency and one to spare, fewer after repeated 429s."""
        stats = self.http.stats
        wanted = self.concurrency
        if wanted is None:
            # The least: others waited for the processor as well, and more workers would make that longer.
            latency = 0.1 if stats.least_latency is None else stats.least_latency
            # More than fit into it would wait for the processor.
            useful = 1 + int(stats.pages_in_latency)
            wanted = min(MAX_WORKERS, math.ceil(self.budget.rate * latency * 1.25) + 1, useful)
        throttled = self.budget.throttled_lately(self.clock.monotonic())
        return max(1, wanted >> min(3, max(0, throttled - 1)))

    def close(self) -> None:
        """Close the connections, those of ``auth`` included; it opens new ones when it is used again."""
        self.http.close()
        self.auth.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()


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
        self._reading = Reading(
            low,
            self.high,
            axis=axis,
            page_size=client.page_size,
            slice_records=client.slice_records,
            max_age=client.max_age,
            workers=client.workers if workers is None else lambda: workers,
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

    @property
    def progress(self) -> Progress:
        """How far the run is."""
        return self._reading.progress

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
                    self._log.started(self.low, self.high)
                self._log.hand_on()
                yield page
                self._log.handed_on(self._axis.place(page.last))
            complete = True
        finally:
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
            apart = (self.began - answer.served_at) / 1000
            if abs(apart) > CLOCKS_APART:
                self._logger.warning(
                    "This machine's clock is %.0f s %s the platform's; the earlier one is taken",
                    abs(apart),
                    "ahead of" if apart > 0 else "behind",
                )
        if not self._bounded:
            return None
        self.high = min(self.high, self.run_start)
        return self.high


def _instant(value: datetime | str | None, name: str, default: int) -> int:
    if value is None:
        return default
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    try:
        return timestamps.parse(value)
    except ValueError as error:
        message = f"{name} is {value!r}; it must be an ISO 8601 date-time such as 2026-10-01T00:00:00Z"
        raise ConfigurationError(message) from error
