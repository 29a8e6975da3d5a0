"""One question over HTTP: within the rate, with a valid token, tried again where that may help, or one clear error."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec
import requests

from tap_genesys_search import errors, records
from tap_genesys_search.clock import Clock, SystemClock
from tap_genesys_search.errors import (
    ConfigurationError,
    ContractError,
    PlatformUnavailableError,
    QueryError,
    SearchTimeoutError,
    place_of,
)
from tap_genesys_search.retry import Retrier, Signal, Throttled, Transient, Unauthorized
from tap_genesys_search.transport import Reply, new_session, refusal, send, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from tap_genesys_search.auth import GenesysAuth
    from tap_genesys_search.question import Question
    from tap_genesys_search.rate_limit import Budget

PATH: Final = "/api/v2/search"

#: Seconds of the processor that a page takes, and each of its bytes, at the least.
SECONDS_A_PAGE: Final = 0.0015
SECONDS_A_BYTE: Final = 2e-9

_LATENCIES: Final = 100
_OK: Final = 200
#: Tries of one question whose token is refused: as it was, renewed, fetched for that very try.
_LAST_REFUSAL: Final = 2


@dataclass(slots=True)
class Stats:
    """What a client has done so far."""

    #: Search requests sent, each try counted.
    searches: int = 0
    #: Answers that held as many records as were asked for.
    full_pages: int = 0
    throttled_429: int = 0
    #: Tries after the first, for whatever reason.
    retries: int = 0
    #: Seconds waited because the platform said so, those of all threads added up.
    told_wait_seconds: float = 0.0
    #: The fewest seconds that one of the latest pages took, from sending to its last byte; None before the first.
    least_latency: float | None = None
    #: How many pages the processor could handle while one of them is waited for, the fewest of the latest.
    pages_in_latency: float = 100.0
    #: Since when (monotonic) each thread has waited for an answer, of the login host or of the API.
    waiting: dict[int, float] = field(default_factory=dict, repr=False, compare=False)
    _latest: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_LATENCIES), repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def note_page(self, seconds: float, size: int) -> None:
        """Note how long a page took, and how many bytes it has."""
        with self._lock:
            self._latest.append((seconds, seconds / (SECONDS_A_PAGE + SECONDS_A_BYTE * size)))
            self.least_latency, self.pages_in_latency = map(min, zip(*self._latest, strict=True))

    @contextmanager
    def answer_due(self, now: float) -> Iterator[None]:
        """Note that this thread waits for an answer from now on."""
        thread = threading.get_ident()
        self.waiting[thread] = now
        try:
            yield
        finally:
            del self.waiting[thread]

    def add(self, **amounts: float) -> None:
        """Add to the counters of these names."""
        with self._lock:
            for name, amount in amounts.items():
                setattr(self, name, getattr(self, name) + amount)


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What one search for a single conversation tells.

    Attributes:
        total: The API's estimate of how many match; None: it gives none.
        newest: The newest timestamp, as ``2026-10-03T08:15:02.417Z``; None: there is no conversation, or it has none.
    """

    total: int | None
    newest: str | None


@dataclass(slots=True)
class _Asking:
    """One question on its way through its tries."""

    body: bytes
    size: int
    single_try: bool = False
    tries: int = 0
    token: str = field(default="", repr=False)
    sent_at: float = 0.0
    refused_token: str = field(default="", repr=False)


class SearchClient:
    """Asks the search API; threads may share it.

    Args:
        auth: Gives the tokens.
        base_url: Of the API, without ``/api/v2/search``.
        budget: The rate limit that all who use it share.
        user_agent: Names the program.
        request_timeout_seconds: For the connection, and again for the answer.
        max_retries: How many tries may follow the first when one fails.
        max_wait_seconds: What the waits that one question is told to make may add up to.
        clock: Time.
        rng: Spreads the waits of many workers.
        on_request: Called after each answer with the seconds that it took and its status.

    Raises:
        ConfigurationError: ``base_url`` is no URL.
    """

    def __init__(
        self,
        auth: GenesysAuth,
        base_url: str,
        *,
        budget: Budget,
        user_agent: str = "tap-genesys-search",
        request_timeout_seconds: float = 60,
        max_retries: int = 3,
        max_wait_seconds: float = 600,
        clock: Clock | None = None,
        rng: Random | None = None,
        on_request: Callable[[float, int], None] | None = None,
    ) -> None:
        self._auth = auth
        self._budget = budget
        url = base_url.rstrip("/") + PATH
        self._place = place_of(url)
        self._prepared = _prepared(url, user_agent)
        self._session = new_session()
        self._settings = settings_for(self._session, url)
        self._timeout = request_timeout_seconds
        self._retrier = Retrier(max_retries, max_wait_seconds, rng)
        self._clock = clock or SystemClock()
        self._on_request = on_request
        self.stats = Stats()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._place!r})"

    def close(self) -> None:
        """Close the connections; new ones are opened when it is used again."""
        self._session.close()

    def ask(self, question: Question, query: str, sleep: Callable[[float], None] | None = None) -> records.Answer:
        """Ask one question.

        Args:
            question: Its ``body(query)`` is the request's JSON; a ``single_try`` is not tried again after a time-out.
            query: The user's Lucene.
            sleep: Lets so many seconds pass; what it raises (a cancellation) goes through.

        Returns:
            The page, with the answer's ``Date`` in milliseconds as ``served_at``.

        Raises:
            QueryError: The API rejects the query.
            AuthenticationError: The client, or a token fresh from the login host, is rejected.
            MissingPermissionError: The client may not search.
            SearchTimeoutError: The answer took too long, here or at the platform's gateway, at each try.
            PlatformUnavailableError: There was no answer, or only errors, within the retries.
            RateLimitError: The platform asks to wait for too long.
            ContractError: The answer is not that of a search.
            ConfigurationError: There is no search API at this address.
        """
        pause = sleep or self._clock.sleep
        body = question.body(query)
        try:
            asking = _Asking(msgspec.json.encode(body), question.size, question.single_try)
        except UnicodeEncodeError as error:
            message = "the query holds half a character (a lone surrogate); change the setting query"
            raise QueryError(message) from error
        return self._retrier.call(lambda refused, wait_left: self._try(asking, refused, wait_left, pause), sleep=pause)

    def _try(self, asking: _Asking, refused: int, wait_left: float, sleep: Callable[[float], None]) -> records.Answer:
        told = self._turn(asking, refused, wait_left, sleep)
        try:
            self.stats.add(searches=1, retries=asking.tries > 0, told_wait_seconds=told)
            asking.tries += 1
            reply = self._send(asking)
            self._budget.observe(reply.headers)
            return self._read(reply, asking, refused)
        except Signal as signal:
            if asking.single_try and isinstance(signal.error, SearchTimeoutError):
                raise signal.error from signal.__cause__  # the same would take as long; less is asked for next
            signal.told = told
            if isinstance(signal, Throttled) and signal.seconds <= wait_left - told:
                self.stats.add(told_wait_seconds=signal.seconds)
            raise
        finally:
            self._budget.release()

    def _turn(self, asking: _Asking, refused: int, wait_left: float, sleep: Callable[[float], None]) -> float:
        """Take a token, then a turn; return for how long the platform has asked to wait meanwhile."""
        told, is_last = 0.0, False
        while True:
            # Those who wait for a token with their turns taken would leave all at once.
            asking.token = self._token(asking.refused_token, refused, sleep)
            told += self._budget.acquire(sleep, wait_left - told)
            # The wait for the rate may have outlived it: once, as a token may live for less than any wait.
            held = self._auth.held()
            if held and held != asking.refused_token:
                asking.token = held
                return told
            if is_last:
                return told
            self._budget.release()
            is_last = True

    def _token(self, refused_token: str, refused: int, sleep: Callable[[float], None]) -> str:
        with self.stats.answer_due(self._clock.monotonic()):
            if refused == 0:
                return self._auth.get_token(sleep)
            if refused < _LAST_REFUSAL:
                return self._auth.renew(refused_token, sleep)
            return self._auth.fetch(sleep)

    def _send(self, asking: _Asking) -> Reply:
        request = self._prepared.copy()
        request.body = asking.body
        request.headers["Content-Length"] = str(len(asking.body))
        request.headers["Authorization"] = f"Bearer {asking.token}"
        asking.sent_at = begun = self._clock.monotonic()
        with self.stats.answer_due(begun):
            reply = send(self._session, request, self._settings, self._timeout, SearchTimeoutError)
        seconds = self._clock.monotonic() - begun
        # A refusal comes sooner than a page, and says nothing of how long one takes.
        if reply.status == _OK:
            self.stats.note_page(seconds, len(reply.body))
        if self._on_request:
            self._on_request(seconds, reply.status)
        return reply

    def _read(self, reply: Reply, asking: _Asking, refused: int) -> records.Answer:
        trace = reply.headers.get(errors.TRACE_HEADER)
        hidden = (*self._auth.hidden(), asking.token)
        if reply.status == _OK:
            served_at = reply.served_at
            try:
                answer = records.parse(reply.body, None if served_at is None else int(served_at * 1000))
            except records.CutBodyError:
                kind = reply.headers.get("Content-Type", "no type").partition(";")[0]
                message = (
                    f"{self._place} answered with {len(reply.body)} bytes ({errors.redacted(kind)[:50]}) "
                    f"that are no whole JSON; try again later, and check base_url and any proxy"
                )
                raise Transient(errors.traced(PlatformUnavailableError(message), trace, hidden)) from None
            except ContractError as error:
                raise errors.traced(error, trace, hidden) from None
            answer.sent_at = asking.sent_at
            answer.trace = errors.redacted(trace, hidden) if trace else None
            if asking.size and len(answer.records) >= asking.size:
                self.stats.add(full_pages=1)
            return answer
        failure = refusal(reply, self._place, errors.SEARCH, self._clock.time(), hidden)
        if isinstance(failure, Throttled):
            self._budget.pause(failure.seconds, "the platform answered 429, too many requests")
            failure.announced = True
            self.stats.add(throttled_429=1)
        elif isinstance(failure, Unauthorized):
            asking.refused_token = asking.token
            if refused >= _LAST_REFUSAL:
                raise failure.error
        raise failure


def _prepared(url: str, user_agent: str) -> requests.PreparedRequest:
    """Prepare all of the request that stays the same: without a session, so neither a netrc nor cookies get in."""
    headers: dict[str, Any] = {
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "Content-Type": "application/json",
        "User-Agent": user_agent,
    }
    try:
        return requests.Request("POST", url, headers=headers).prepare()
    except (requests.RequestException, ValueError):
        message = f"{place_of(url) or 'base_url'} is no address of a search API; check base_url"
    # Out of the handler: the error would else be the context, and may quote a password.
    raise ConfigurationError(message)
