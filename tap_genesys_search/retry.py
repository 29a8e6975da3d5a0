"""What happens when a request fails: what is tried again, after how long, and for how long.

A try raises a :class:`Signal` to be tried again, or any other exception to end it.
"""

from __future__ import annotations

import functools
import logging
import math
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from random import Random
from typing import TYPE_CHECKING, Final, TypeVar

import backoff

from tap_genesys_search.errors import LONGEST_TOLD_WAIT, RateLimitError

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds to wait at a 429 that does not say how long.
DEFAULT_RETRY_AFTER: Final = 2.0
LONGEST_BACKOFF: Final = 30.0

_SHORTEST_TOLD_WAIT: Final = 1.0
_LONG_WAIT: Final = 3.0
#: Longer than any wait: a number above it is a moment.
_LEAST_MOMENT: Final = 1e9
_SECONDS: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")

_Result = TypeVar("_Result")
_logger: Final = logging.getLogger("tap-genesys-search.retry")


class Signal(Exception):  # noqa: N818 - not an error yet
    """A try failed in a way that another may mend; ``error`` is what to raise when none does."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error
        #: Seconds that the failed try has waited already because the platform said so.
        self.told = 0.0


class Transient(Signal):
    """A fault that may pass: costs one of the retries."""


class Throttled(Signal):
    """The platform says how long to wait."""

    def __init__(self, seconds: float, error: Exception) -> None:
        super().__init__(error)
        self.seconds = max(seconds, _SHORTEST_TOLD_WAIT)
        #: Whether the wait has been logged already.
        self.announced = False


class Unauthorized(Signal):
    """The token was refused: the next try is told how often, and raises another error when that is final."""


class Retrier:
    """The policy for one request after another; holds nothing of a single one, so threads may share it.

    Args:
        max_retries: How many tries may follow the first when it fails.
        max_wait_seconds: What the waits that one request is told to make may add up to.
        rng: Spreads the waits of many workers.
    """

    def __init__(self, max_retries: int = 3, max_wait_seconds: float = 600, rng: Random | None = None) -> None:
        self.max_retries = max_retries
        self.max_wait_seconds = max_wait_seconds
        self._rng = rng or Random()  # noqa: S311 - spreads waits

    def call(
        self,
        attempt: Callable[[int, float], _Result],
        *,
        sleep: Callable[[float], None],
        retries: int | None = None,
    ) -> _Result:
        """Try until there is a result.

        Args:
            attempt: One try, given the number of tokens refused before and the seconds of told waits that are left.
            sleep: Lets so many seconds pass; what it raises goes through.
            retries: Instead of ``max_retries``.

        Raises:
            RateLimitError: The platform asks to wait for longer than ``max_wait_seconds``.
            Exception: The signal's own error, after the last try.
        """
        retries = self.max_retries if retries is None else retries
        # python-backoff's own sleeping could neither be injected nor interrupted, so only its waits are used.
        waits = backoff.expo(max_value=LONGEST_BACKOFF)
        next(waits)
        failed = refused = 0
        waited = 0.0
        while True:
            try:
                return attempt(refused, self.max_wait_seconds - waited)
            except Transient as signal:
                if failed >= retries:
                    raise signal.error from signal.__cause__
                failed += 1
                seconds = next(waits) * (1 + self._rng.random()) / 2
                _log_wait(logging.WARNING, seconds, f"before try {failed + 1} of {retries + 1}: {signal}")
                waited += signal.told
            except Throttled as signal:
                seconds = signal.seconds
                waited += signal.told
                if waited + seconds > self.max_wait_seconds:
                    message = (
                        f"the platform asks to wait {math.ceil(seconds)} s more; max_wait_seconds is "
                        f"{self.max_wait_seconds:g}: raise it or start again later"
                    )
                    raise RateLimitError(message) from signal.error
                waited += seconds
                if not signal.announced:
                    _log_wait(logging.INFO, seconds, f"as told: {signal}")
            except Unauthorized as signal:
                refused += 1
                waited += signal.told
                continue
            sleep(seconds)


def _log_wait(level: int, seconds: float, why: str) -> None:
    _logger.log(level if seconds > _LONG_WAIT else logging.DEBUG, "Waiting %.0f s %s", seconds, why)


def parse_retry_after(value: str | None, now: float) -> float:
    """Read a ``Retry-After``: seconds, or a date, or missing or unreadable, which means two seconds.

    Args:
        value: The header.
        now: Seconds since 1970, by the clock that wrote the date: the answer's own ``Date`` where it has one.

    Returns:
        Seconds from ``now``, 0 to a day. A number that is years from now is taken for a moment, as some write it: in
        seconds since 1970.
    """
    value = (value or "").strip()
    if _SECONDS.fullmatch(value):
        seconds = float(value)
        if seconds > _LEAST_MOMENT:
            seconds -= now
    else:
        until = http_date(value)
        seconds = DEFAULT_RETRY_AFTER if until is None else until - now
    return min(max(0.0, seconds), LONGEST_TOLD_WAIT)


@functools.lru_cache(maxsize=64)
def http_date(text: str | None) -> float | None:
    """Read an HTTP date as seconds since 1970; None where there is none, or none that can be read."""
    try:
        moment = parsedate_to_datetime(text or "")
        # A zone of -0000 leaves it open; HTTP knows UTC only.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
