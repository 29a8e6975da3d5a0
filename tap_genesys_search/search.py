"""A query and a range to conversations: the door for those without Singer, and what the stream reads through."""

from __future__ import annotations

import math
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Final, Self

from tap_genesys_search import timestamps
from tap_genesys_search.arguments import check_numbers, check_query
from tap_genesys_search.auth import GenesysAuth
from tap_genesys_search.client import Glimpse, SearchClient
from tap_genesys_search.clock import SystemClock
from tap_genesys_search.errors import ConfigurationError, check_whole
from tap_genesys_search.question import Axis, Question, instant_of
from tap_genesys_search.rate_limit import RateBudget
from tap_genesys_search.search_run import MAX_WORKERS, SearchRun
from tap_genesys_search.shared_budget import RedisBudget

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Generator
    from datetime import datetime

    from tap_genesys_search.clock import Clock
    from tap_genesys_search.rate_limit import Budget
    from tap_genesys_search.records import Record
    from tap_genesys_search.settings import Settings

    _Records = Generator[Record, None, None]

#: Seconds that a page may be held before it is asked for again, at least.
MIN_AGE: Final = 60.0

#: Milliseconds before its start that a generator's last look goes back to, for what shows late.
LAST_LOOK: Final = 600_000


class ConversationSearchClient:
    """Reads conversations from the search API, completely and at its rate limit.

    A ``with`` closes it. Threads may share it, and read several of its streams at once, within its one rate limit.

    Args:
        auth: Where tokens come from.
        base_url: The API without ``/api/v2``, ``https://api.mypurecloud.com`` for example.
        page_size: Conversations asked for at a time, 1 to 200.
        concurrency: Slices of time read at once, 1 to 64; None: as many as rate and latency ask for, 16 at most.
        requests_per_minute: The rate limit to stay within, 1 to 100,000; a ``budget`` that is given has its own.
        slice_records: Conversations that a slice aims for, 1 to 1,000,000.
        lookback_seconds: How late the index may show a conversation. A page that has waited for half of that, and 60 s
            at least, to be passed on is asked for again. 0 to 31,622,400.
        max_retries: Tries after the first, for faults that pass, 0 to 20.
        max_wait_seconds: What the waits that one search is told to make may add up to, in seconds, 1 to 604,800.
        request_timeout_seconds: For the connection, and again for the answer, in seconds, 1 to 3,600.
        user_agent: How the client names itself.
        on_request: Called after each answer, in a worker's thread, with its latency in seconds and its HTTP status.
        budget: The rate limit, where it is shared with other clients: a :class:`RateBudget` with those of this process,
            a :class:`RedisBudget` with those of others; None: one of its own.
        clock: Time, and the waits between tries; None: this machine's.
        rng: Chance, which spreads the waits of many workers; None: one of its own.

    Raises:
        ConfigurationError: ``base_url`` is no URL, or a number is none or out of its bounds.
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
        check_numbers(
            page_size=page_size,
            requests_per_minute=requests_per_minute,
            slice_records=slice_records,
            lookback_seconds=lookback_seconds,
            max_retries=max_retries,
            max_wait_seconds=max_wait_seconds,
            request_timeout_seconds=request_timeout_seconds,
        )
        if concurrency is not None:
            check_numbers(concurrency=concurrency)
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
        """Return a client with a tap's settings; its budget is shared where ``auth`` shares its token.

        Args:
            settings: What ``Settings.from_config`` of ``tap_genesys_search.settings`` makes of a tap's configuration.
            auth: Where tokens come from; None: what the settings describe.
            on_request: As above.

        Raises:
            ConfigurationError: A URL is none, or Redis cannot be used as it is described.
            PlatformUnavailableError: There is no connection to Redis.
        """
        auth = auth or GenesysAuth.from_settings(settings)
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
            budget=RedisBudget(auth.shared, settings.requests_per_minute) if auth.shared else None,
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
        """Yield conversations one by one, in order of time; memory stays flat, however many they are.

        Nothing is asked for before the first is taken. Leaving early (``close()``, or dropping the generator) ends its
        threads; searches under way are waited for, up to 2 s. An error comes after all that was read before it.

        With no ``end``, and ``max_results`` not reached, a last look brings what moved meanwhile, the oldest first: an
        id comes twice only if it moved.

        Args:
            query: Lucene, such as ``status:completed AND channelType:voice``.
            start: First moment, inclusive; a text is ISO 8601, UTC if it has no zone. None: from the beginning.
            end: End, exclusive, given like ``start``. None: all that there is.
            max_results: Stop after so many, 0 or more. None: all.
            newest_first: From the newest down, else from the oldest up.

        Yields:
            dict: As the API sent it, but for these keys.
            id: A text, and the same as ``conversationId``. What has neither is left out, with a warning.
            timestamp: A text such as ``2026-10-03T08:15:02.417Z``, UTC; None where the API gave none that can be read.
            fields: A dict of what the organisation indexes. Numbers with a decimal point are ``decimal.Decimal``. A
                value of another type than the stream's schema says is None, and stands in ``fields["_rescued"]``.

        Raises:
            ConfigurationError: An argument is wrong: at once. The API rejects the query or the client, as the error's
                own class says: while it is read, as are the rest.
            PlatformUnavailableError: There was no answer, or only errors, within the retries.
            RateLimitError: The platform asks to wait for too long.
            ContractError: The API does not do what completeness rests on.
        """
        if max_results is not None:
            check_whole("max_results", max_results, 0)
        check_query(query)
        low = instant_of(start, "start", timestamps.BEGIN)
        high = instant_of(end, "end", None)
        if high is not None and high <= low:
            message = "end must be after start"
            raise ConfigurationError(message)
        return self._stream(query, low, high, max_results, Axis.NEWEST_FIRST if newest_first else Axis.OLDEST_FIRST)

    def _stream(self, query: str, low: int, high: int | None, limit: int | None, axis: Axis) -> _Records:
        if limit != 0:
            with closing(self._all(query, low, high, limit, axis)) as conversations:
                yield from islice(conversations, limit)

    def _all(self, query: str, low: int, high: int | None, limit: int | None, axis: Axis) -> _Records:
        run = SearchRun(self, query, low, high, axis=axis, limit=limit)
        recent: set[tuple[str, str | None]] = set()
        for page in run.pages():
            batch = page.batch
            edge = timestamps.write(run.run_start - LAST_LOOK)
            # One without a timestamp may stand anywhere, and come again.
            if high is None and (None in batch.stamps or max(map(str, (batch.stamps[0], batch.stamps[-1]))) >= edge):
                recent.update(zip(batch.ids, batch.stamps, strict=True))
            yield from batch.records
        if high is None:
            look = SearchRun(self, query, max(low, run.run_start - LAST_LOOK), timestamps.END, workers=1)
            for page in look.pages():
                keys = zip(page.batch.ids, page.batch.stamps, strict=True)
                yield from (record for record, key in zip(page.batch.records, keys, strict=True) if key not in recent)

    def glimpse(self, query: str = "*") -> Glimpse:
        """Look once, by one search: about how many conversations match, and the newest timestamp.

        Raises:
            GenesysSearchError: As :meth:`stream_conversations`.
        """
        check_query(query)
        question = Question(timestamps.BEGIN, timestamps.END, Axis.NEWEST_FIRST, size=1)
        answer = self.http.ask(question, query)
        return Glimpse(answer.total, answer.stamps[0] if answer.stamps else None)

    def workers(self) -> int:
        """Return how many searches should be under way at present, 1 or more.

        ``concurrency``, or what rate and latency ask for; the half after two 429s within a minute, down to an eighth.
        """
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
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
