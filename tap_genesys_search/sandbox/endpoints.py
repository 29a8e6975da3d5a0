"""The two routes that a client uses: a token, and a search."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tap_genesys_search.sandbox.search import Searcher
from tap_genesys_search.sandbox.web import JSON_TYPE, ApiError, Dropped, Exchange, Headers, Refusal

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from tap_genesys_search.sandbox.faults import Kind
    from tap_genesys_search.sandbox.platform import Platform


class Endpoint:
    """An ASGI application that meets the faults that are switched on."""

    counted_as = ""
    status_prefix = "status"

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and count it."""
        stats = self.platform.stats
        stats.add(self.counted_as)
        stats.begin()
        exchange = Exchange(scope, receive, send)
        try:
            await self._serve(exchange)
        except Dropped:
            await exchange.drop()
        finally:
            stats.end()

    async def _serve(self, exchange: Exchange) -> None:
        platform = self.platform
        correlation = platform.correlation()
        headers: Headers = [(b"date", platform.date()), (b"inin-correlation-id", correlation.encode())]
        content_type = JSON_TYPE
        kind = None
        one_way = platform.faults.latency_ms / 2_000
        body = await exchange.body()
        await platform.pause(one_way)
        try:
            if exchange.scope["method"] != "POST":
                raise ApiError(405, "method.not.allowed", "Use POST.", [(b"allow", b"POST")])
            self.admit(exchange, headers)
            kind = self.fault()
            await platform.meet(kind)
            status, answer = 200, self.answer(exchange, body, kind)
        except Refusal as refusal:
            status, answer, content_type = refusal.status, refusal.body(correlation), refusal.content_type
            headers += refusal.headers
        await platform.pause(one_way)
        platform.stats.add(f"{self.status_prefix}_{status}")
        headers.append((b"content-type", content_type))
        await (exchange.cut if kind == "half_body" else exchange.answer)(status, answer, headers)

    def admit(self, exchange: Exchange, headers: Headers) -> None:
        """Raise what the request is answered, unless it may go on."""

    def fault(self) -> Kind | None:
        """Which fault the request meets."""
        return self.platform.dice.throw()

    def answer(self, exchange: Exchange, body: bytes, kind: Kind | None) -> bytes:
        """Give the body of a good answer."""
        raise NotImplementedError


class SearchEndpoint(Endpoint):
    """`POST /api/v2/search`."""

    counted_as = "searches"

    def __init__(self, platform: Platform) -> None:
        super().__init__(platform)
        self._searcher = Searcher(platform)

    def admit(self, exchange: Exchange, headers: Headers) -> None:
        """Outage, token, and rate limit, in this order."""
        platform = self.platform
        if platform.faults.outage:
            raise platform.failing(503)
        platform.tokens.check(exchange.header(b"authorization"))
        verdict = platform.limit.take(time.monotonic())
        headers += verdict.headers
        if verdict.wait is not None:
            raise platform.too_many(verdict.wait, "limit")

    def answer(self, exchange: Exchange, body: bytes, kind: Kind | None) -> bytes:  # noqa: ARG002 - the shape of an endpoint
        """Give a page."""
        return self._searcher.answer(body, empty=kind == "empty_with_token")


class TokenEndpoint(Endpoint):
    """`POST /oauth/token`."""

    counted_as = "token_requests"
    status_prefix = "token_status"

    def admit(self, exchange: Exchange, headers: Headers) -> None:  # noqa: ARG002 - the shape of an endpoint
        """Refuse in an outage, if faults are to hit tokens."""
        if self.platform.faults.outage and self.platform.faults.token_faults:
            raise self.platform.failing(503)

    def fault(self) -> Kind | None:
        """None, unless faults are to hit tokens."""
        return super().fault() if self.platform.faults.token_faults else None

    def answer(self, exchange: Exchange, body: bytes, kind: Kind | None) -> bytes:  # noqa: ARG002 - the shape of an endpoint
        """Give a token."""
        return self.platform.tokens.grant(body, exchange.header(b"authorization"))
