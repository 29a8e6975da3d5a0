"""What all parts of the sandbox share."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from math import ceil
from random import Random
from typing import TYPE_CHECKING

from tap_genesys_search.sandbox.faults import SERVER_ERRORS, Dice, Faults
from tap_genesys_search.sandbox.limits import RateLimit
from tap_genesys_search.sandbox.movement import Movement
from tap_genesys_search.sandbox.stats import Stats
from tap_genesys_search.sandbox.tokens import Client, Tokens
from tap_genesys_search.sandbox.web import ApiError, Dropped, ProxyPage
from tap_genesys_search.sandbox.world import World, WorldConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tap_genesys_search.sandbox.faults import Kind
    from tap_genesys_search.sandbox.web import Headers

_FAILURES = {
    500: ("internal.server.error", "An unexpected error occurred."),
    502: ("service.unavailable", "Bad gateway."),
    503: ("service.unavailable", "The service is unavailable."),
    504: ("request.timeout", "The request timed out."),
}


class Platform:
    """World, faults, clients and counters of one sandbox; `clock` gives seconds since 1970."""

    def __init__(
        self,
        world: WorldConfig | None = None,
        faults: Faults | None = None,
        movement: Movement | None = None,
        clients: Iterable[Client] = (Client(),),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.faults = faults or Faults()
        self.world = World(
            world or WorldConfig(),
            movement or Movement(),
            lambda: int(clock() * 1_000),
            lambda: round(self.faults.clock_offset_seconds * 1_000),
        )
        self.now = self.world.now
        self.stats = Stats(self.world.counts)
        self.dice = Dice(self.faults)
        self.limit = RateLimit(self.faults)
        self.tokens = Tokens(clients, self.faults, time.monotonic)
        self.stopping = asyncio.Event()
        self._correlations = Random(f"{self.faults.seed}:correlations")
        self._date = (0, b"")

    def correlation(self) -> str:
        """Give the name of one request."""
        return f"{self._correlations.getrandbits(128):032x}"

    def date(self) -> bytes:
        """Give the Date header."""
        second = self.now() // 1_000
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True).encode())
        return self._date[1]

    async def pause(self, seconds: float) -> None:
        """Wait; a sandbox that stops drops the request instead."""
        if seconds <= 0:
            return
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            return
        raise Dropped

    async def meet(self, kind: Kind | None) -> None:
        """Let a fault happen, as far as it happens before the answer."""
        if kind is None:
            return
        self.stats.add(f"fault_{kind}")
        if kind == "429":
            raise self.too_many(self.faults.retry_after_seconds, "429")
        if kind == "5xx":
            raise self.failing(self.dice.pick("5xx", *SERVER_ERRORS))
        if kind == "html":
            raise ProxyPage(self.dice.pick("html", 502, 200), "proxy")
        if kind == "drop":
            raise Dropped
        if kind == "hang":
            await self.pause(self.faults.hang_seconds)

    @staticmethod
    def failing(status: int) -> ApiError:
        """Give a 5xx."""
        return ApiError(status, *_FAILURES[status])

    def too_many(self, wait: float, lot: str) -> ApiError:
        """Give a 429 that says to wait so many seconds, in the style that is switched on or that a lot decides."""
        seconds = max(1, ceil(wait))
        style = self.faults.retry_after
        if style == "mixed":
            style = self.dice.pick(lot, "seconds", "date", "none")
        self.stats.add(f"retry_after_{style}")
        message = "Rate limit exceeded the maximum."
        if style == "none":
            return ApiError(429, "too.many.requests", message)
        told = str(seconds) if style == "seconds" else formatdate(ceil(self.now() / 1_000 + seconds), usegmt=True)
        headers: Headers = [(b"retry-after", told.encode())]
        message = f"{message} Retry the request in [{seconds}] seconds"
        return ApiError(429, "too.many.requests.retry.after", message, headers)
