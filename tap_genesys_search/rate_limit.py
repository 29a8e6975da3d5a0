"""How many requests may be sent: paced by a setting and by the headers of the answers, whichever is lower.

The headers (``inin-ratelimit-count``, ``-allowed``, ``-reset``) describe a fixed window. Source: the official
JavaScript client's README and the Python logging sample of the same publisher.
"""

from __future__ import annotations

import logging
import math
import re
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, Self

from tap_genesys_search.clock import Clock, SystemClock
from tap_genesys_search.errors import LONGEST_TOLD_WAIT, RateLimitError, check_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Seconds of the even spacing that may be caught up after a delay.
CATCH_UP: Final = 0.5
#: The part of a window's time that the spreading leaves free at its end, for what the answers show late.
RESERVE: Final = 0.05
#: Seconds after a window's end before the next one is trusted to have begun.
MARGIN: Final = 0.05
#: Seconds over which 429s count as lately.
LATELY: Final = 60.0

_MINUTE: Final = 60.0
_LONG_WAIT: Final = 5.0
_SHORTEST_SLEEP: Final = 0.0005
_LOOK_AGAIN: Final = 0.05
_LONGEST_PACED_SLEEP: Final = 1.0
_LARGEST_COUNT: Final = 10_000_000
_ROUNDING: Final = 1.0
_REMEMBERED: Final = 1000
_NUMBER: Final = re.compile(r"[0-9]{1,9}(\.[0-9]*)?")

_logger: Final = logging.getLogger("tap-genesys-search.rate_limit")


class Budget(Protocol):
    """A rate limit that many workers share, and ask from several threads at once."""

    @property
    def rate(self) -> float:
        """Requests per second that are allowed at present, more than 0."""

    def acquire(self, sleep: Callable[[float], None], max_wait: float) -> float:
        """Wait until a request may be sent; each return wants a :meth:`release`.

        Args:
            sleep: Lets so many seconds pass; what it raises goes through, with nothing acquired.
            max_wait: The most seconds that the platform may tell to wait; keeping the pace does not count.

        Returns:
            The seconds waited because the platform said so.

        Raises:
            RateLimitError: The platform asks to wait for longer than that.
        """

    def release(self) -> None:
        """Tell that an acquired request has its answer, or will get none."""

    def observe(self, headers: Mapping[str, str]) -> None:
        """Read what an answer's headers say about the limit; called before its release.

        Args:
            headers: By lower-case name, or by any case.
        """

    def pause(self, seconds: float, reason: str) -> None:
        """Let nobody send for so many seconds, for a reason in words."""

    def throttled_lately(self, now: float) -> int:
        """Return the number of pauses that began within the 60 s before ``now`` (monotonic)."""

    def waiting(self) -> float:
        """Return the seconds until the platform lets anybody send again; 0: now."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Why not now: how long, in words, until when these words are no news, and whether the platform said so."""

    seconds: float
    reason: str
    until: float
    told: bool = False
    #: Whether the pace is that of a window of the platform's that is hours long, so that it is a wait like any other.
    by_window: bool = False
    #: The moment that is kept for this request, where requests stand in a queue.
    turn: float | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What the headers of one answer say of the platform's window."""

    count: int
    allowed: int
    #: Seconds.
    reset: float

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> Self | None:
        """Read headers, by lower-case name or by any case; None for what makes no sense."""
        count, allowed, reset = (
            _number(headers.get(f"inin-ratelimit-{name}")) for name in ("count", "allowed", "reset")
        )
        if count is None or allowed is None or reset is None:
            return None
        if not 1 <= allowed <= _LARGEST_COUNT or count > _LARGEST_COUNT or reset > LONGEST_TOLD_WAIT:
            return None
        return cls(int(count), int(allowed), reset)


class _Window:
    """The fixed window that the headers describe, as far as the answers tell.

    ``reset`` may be rounded either way and answers arrive late, so that each answer gives another end: up to a second
    before the true one, or after it. The latest is safe, but for an answer that took long to arrive, so it counts for
    at most a second (the rounding) after the earliest.
    """

    def __init__(self) -> None:
        self.allowed: int | None = None
        self.count = 0
        #: When another window begins, monotonic.
        self.until = math.inf
        #: Whether the present window is only supposed: the last told one is over.
        self.supposed = False
        self.length = 0.0
        self._told_count = 0
        self._earliest = self._latest = -math.inf

    @property
    def reserve(self) -> float:
        """Seconds before the end by which all of it should be used: its end is known to a second or so."""
        return max(RESERVE * self.length, min(_ROUNDING * 1.5, self.length / 3))

    def tell(self, count: int, allowed: int, reset: float, now: float) -> None:
        """Take what an answer says."""
        end = now + reset
        tolerance = max(self.length / 2, _ROUNDING)
        self.length = max(self.length, reset)
        if end < self._earliest - tolerance:
            return  # a late answer from a window that is over
        if end <= self._earliest + tolerance:
            self._earliest = min(self._earliest, end)
            self._latest = max(self._latest, end)
            # Answers overtake each other, so the highest count and the lowest limit of a window are the newest.
            self._told_count = max(self._told_count, count)
            self.allowed = min(self.allowed or allowed, allowed)
        else:
            self._earliest = self._latest = end
            self._told_count = count
            self.allowed = allowed
        until = min(self._latest, self._earliest + _ROUNDING) + MARGIN
        if until > now:
            self.until = until
            self.count = self._told_count
            self.supposed = False

    def roll(self, now: float) -> None:
        """Suppose a fresh window of the usual length when the present one is over."""
        if now >= self.until:
            length = max(self.length, _ROUNDING)
            self.until += length * (1 + (now - self.until) // length)
            self.count = 0
            self.supposed = True


class RateBudget:
    """A budget in memory, for the threads of one process.

    Args:
        requests_per_minute: The most that the setting allows, 1 or more, spread evenly: a late one may catch up half a
            second, but no second holds more than a sixtieth, rounded up.
        clock: Its monotonic time paces; None: this machine's.

    Raises:
        ConfigurationError: ``requests_per_minute`` is less than 1.
    """

    def __init__(self, requests_per_minute: int, clock: Clock | None = None) -> None:
        check_whole("requests_per_minute", requests_per_minute, 1)
        self._clock = clock or SystemClock()
        self._interval = 60 / requests_per_minute
        self._lock = threading.Lock()
        self._slot = -math.inf
        self._granted: deque[float] = deque(maxlen=math.ceil(requests_per_minute / 60))
        self._in_flight = 0
        self._window = _Window()
        self._paused_until = -math.inf
        self._pause_reason = ""
        self._pauses: deque[float] = deque(maxlen=_REMEMBERED)
        self._announced: deque[tuple[str, float]] = deque(maxlen=_REMEMBERED)

    @property
    def rate(self) -> float:
        """Requests per second that are allowed at present.

        While nothing may be sent it is that of the next window: a rate to plan by, never 0.
        """
        with self._lock:
            now = self._clock.monotonic()
            self._window.roll(now)
            window = self._window
            if window.allowed is None:
                return 1 / self._interval
            if window.count < window.allowed:
                return min(1 / self._interval, (window.allowed - window.count) / max(window.until - now, MARGIN))
            return min(1 / self._interval, window.allowed / max(window.length, _ROUNDING))

    def acquire(self, sleep: Callable[[float], None], max_wait: float) -> float:
        """Wait until a request may be sent; each return wants a :meth:`release`.

        Args:
            sleep: Lets so many seconds pass; what it raises (a cancellation) goes through, with nothing acquired.
            max_wait: The most seconds that the platform may tell to wait; keeping the pace does not count.

        Returns:
            The seconds waited because the platform said so: a 429's pause, or a used-up window.

        Raises:
            RateLimitError: The platform asks to wait for longer than that.
        """
        told, wait = 0.0, None
        while True:
            now = self._clock.monotonic()
            wait = self._take(wait)
            if wait is None:
                return told
            with self._lock:
                announce = wait.seconds > _LONG_WAIT and self._is_news(wait.reason, wait.until)
            if (wait.told or wait.by_window) and told + wait.seconds > max_wait:
                message = (
                    f"the platform asks to wait {math.ceil(wait.seconds)} s more ({wait.reason}), and of "
                    f"max_wait_seconds {max(0, math.floor(max_wait - told))} s are left: raise it or start again later"
                )
                raise RateLimitError(message)
            if announce:
                _logger.info("Waiting %.0f s: %s", wait.seconds, wait.reason)
            sleep(max(wait.seconds if wait.told else min(wait.seconds, _LONGEST_PACED_SLEEP), _SHORTEST_SLEEP))
            if wait.told:
                told += self._clock.monotonic() - now

    def release(self) -> None:
        """Tell that an acquired request has its answer, or will get none."""
        with self._lock:
            self._in_flight -= 1
            if self._window.supposed:
                self._window.count += 1

    def observe(self, headers: Mapping[str, str]) -> None:
        """Read what an answer's headers say about the limit; values that make no sense are ignored.

        Args:
            headers: By lower-case name, or by any case.
        """
        told = Told.read(headers)
        if told is not None:
            self._note(told)

    def _note(self, told: Told) -> None:
        with self._lock:
            self._window.tell(told.count, told.allowed, told.reset, self._clock.monotonic())

    def pause(self, seconds: float, reason: str) -> None:
        """Let nobody send for so many seconds, or until the end of a longer pause.

        Several workers are told of the same 429 at the same time: a pause during a pause prolongs it and counts as one.

        Args:
            seconds: From now.
            reason: In words, for the log and for the error of whoever cannot wait so long.
        """
        with self._lock:
            now = self._clock.monotonic()
            if now >= self._paused_until:
                self._pauses.append(now)
            until = max(self._paused_until, now + seconds)
            announce = until > self._paused_until and seconds > _LONG_WAIT and self._is_news(reason, until)
            self._paused_until, self._pause_reason = until, reason
        if announce:
            _logger.info("Waiting %.0f s: %s", seconds, reason)

    def throttled_lately(self, now: float) -> int:
        """Return the number of pauses that began within the 60 s before ``now`` (monotonic)."""
        with self._lock:
            return sum(begun > now - LATELY for begun in self._pauses)

    def waiting(self) -> float:
        """Return the seconds until the platform lets anybody send again, after a 429 or at a used-up limit; 0: now."""
        with self._lock:
            now = self._clock.monotonic()
            window = self._window
            window.roll(now)
            is_used_up = window.allowed is not None and window.count >= window.allowed
            return max(0.0, self._paused_until - now, window.until - now if is_used_up else 0.0)

    def _take(self, _before: Wait | None) -> Wait | None:
        """Take a slot, or say what stands against it now; ``_before`` is what was said last."""
        with self._lock:
            now = self._clock.monotonic()
            wait = self._wait(now)
            if wait is None:
                self._grant(now)
            return wait

    def _grant(self, now: float) -> None:
        self._in_flight += 1
        self._granted.append(now)

    def _wait(self, now: float) -> Wait | None:
        """Say what stands against a request now; None takes the slot. Under the lock."""
        if now < self._paused_until:
            return Wait(self._paused_until - now, self._pause_reason, self._paused_until, told=True)
        window = self._window
        window.roll(now)
        interval, window_left = self._interval, math.inf
        reason, until = "the pace of requests_per_minute", math.inf
        if window.allowed is not None:
            window_left = window.until - now
            if window.count >= window.allowed:
                reason = f"the platform's limit of {window.allowed} requests is used up until it is reset"
                return Wait(window_left, reason, window.until, told=True)
            left = window.allowed - window.count - self._in_flight
            if left <= 0:
                # The answers under way tell whether the platform has counted them already.
                return Wait(min(_LOOK_AGAIN, window_left), "answers under way", window.until)
            spread = (window_left - window.reserve) / left
            if spread > interval:
                interval = spread
                reason, until = f"the pace of the platform's limit of {window.allowed} requests", window.until
        # The first slot is now: nothing has been missed that could be caught up.
        slot = max(self._slot + interval, now - CATCH_UP) if self._granted else now
        free = self._granted[0] + 1 if len(self._granted) == self._granted.maxlen else now
        seconds = min(max(slot, free) - now, window_left)
        if seconds > 0:
            return Wait(seconds, reason, until, by_window=until < math.inf and seconds > _MINUTE)
        self._slot = slot
        return None

    def _is_news(self, reason: str, until: float) -> bool:
        """Tell whether this wait has not been logged yet: each worker meets it, and one line is enough."""
        if any(reason == known and (until == end or abs(until - end) < _LONG_WAIT) for known, end in self._announced):
            return False
        self._announced.append((reason, until))
        return True


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _NUMBER.fullmatch(text.strip()) else None
