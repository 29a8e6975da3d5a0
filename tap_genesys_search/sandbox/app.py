"""The sandbox as an ASGI application."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from tap_genesys_search.sandbox.admin import Admin
from tap_genesys_search.sandbox.endpoints import SearchEndpoint, TokenEndpoint
from tap_genesys_search.sandbox.platform import Platform
from tap_genesys_search.sandbox.tokens import Client
from tap_genesys_search.sandbox.web import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from tap_genesys_search.sandbox.faults import Faults
    from tap_genesys_search.sandbox.movement import Movement
    from tap_genesys_search.sandbox.world import WorldConfig

SEARCH_PATH = "/api/v2/search"
TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path


class SandboxApp(Starlette):
    """A whole platform; faults that break connections need `SandboxServer` around it."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._search = SearchEndpoint(platform)
        super().__init__(
            routes=[Route(TOKEN_PATH, TokenEndpoint(platform)), *Admin(platform).routes],
            exception_handlers={HTTPException: self._refuse, ValueError: self._refuse},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        # Searches skip routing and middleware: they are what is measured.
        if scope.get("path") == SEARCH_PATH:
            await self._search(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _refuse(self, _: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            refusal = ApiError(error.status_code, error.detail.lower().replace(" ", "."), error.detail)
        else:
            refusal = ApiError(400, "bad.request", str(error))
        correlation = self.platform.correlation()
        headers = {"ININ-Correlation-Id": correlation}
        return Response(refusal.body(correlation), refusal.status, headers, "application/json")


def create_app(
    world: WorldConfig | None = None,
    faults: Faults | None = None,
    movement: Movement | None = None,
    clients: Iterable[Client] = (Client(),),
    clock: Callable[[], float] = time.time,
) -> SandboxApp:
    """Make a sandbox; `clock` gives seconds since 1970."""
    return SandboxApp(Platform(world, faults, movement, clients, clock))
