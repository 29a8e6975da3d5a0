"""Routes for whoever runs the sandbox: what is true, what was counted, and all switches."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tap_genesys_search.sandbox.instants import iso
from tap_genesys_search.sandbox.movement import KINDS, Movement
from tap_genesys_search.sandbox.query import read

if TYPE_CHECKING:
    from starlette.requests import Request

    from tap_genesys_search.sandbox.platform import Platform

_TOO_MANY = 1_000_000


class Admin:
    """The routes below `/admin`; they need no token."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.routes = [
            Route("/admin/health", self.health),
            Route("/admin/truth", self.truth),
            Route("/admin/stats", self.stats),
            Route("/admin/stats/reset", self.reset, methods=["POST"]),
            Route("/admin/faults", self.faults, methods=["GET", "POST"]),
            Route("/admin/movement", self.movement, methods=["GET", "POST"]),
            Route("/admin/move", self.move, methods=["POST"]),
            Route("/admin/quiet", self.quiet, methods=["POST"]),
            Route("/admin/tokens/expire", self.expire, methods=["POST"]),
        ]

    async def health(self, _: Request) -> Response:
        """Whether it is up."""
        world = self._platform.world
        return JSONResponse(
            {"status": "ok", "now": iso(world.now()), "start": iso(world.start), "conversations": len(world.index)}
        )

    async def truth(self, request: Request) -> Response:
        """Tell what is visible now, a line a record; `?all=1`: also what is not yet; `?query=`: a selection."""
        world = self._platform.world
        asked = request.query_params.get("query")
        records = world.truth(read(asked) if asked else None, everything=request.query_params.get("all") == "1")
        lines = [
            {
                "id": record.id,
                "timestamp": iso(record.timestamp),
                "version": record.version,
                "visible_at": iso(record.visible_at),
                "changed_at": iso(record.changed_at),
                "stood": world.stood(record),
            }
            for record in records
        ]
        return Response(msgspec.json.Encoder().encode_lines(lines), media_type="application/x-ndjson")

    async def stats(self, _: Request) -> Response:
        """All counters."""
        return JSONResponse(self._platform.stats.snapshot())

    async def reset(self, _: Request) -> Response:
        """Count from zero."""
        self._platform.stats.reset()
        return JSONResponse(self._platform.stats.snapshot())

    async def faults(self, request: Request) -> Response:
        """All faults; a POST changes those it names."""
        if request.method == "POST":
            self._platform.faults.merge(await _object(request))
        return JSONResponse(asdict(self._platform.faults))

    async def movement(self, request: Request) -> Response:
        """All movement; a POST changes what it names."""
        movement = self._platform.world.movement
        if request.method == "POST":
            changes = await _object(request)
            new = msgspec.convert({**asdict(movement), **changes}, Movement)
            known = {each.name for each in fields(Movement)}
            if unknown := sorted(set(changes) - known):
                message = f"unknown movement '{unknown[0]}'; known are {', '.join(sorted(known))}"
                raise ValueError(message)
            with self._platform.world.lock:
                self._platform.world.tick()
                for name in known:
                    setattr(movement, name, getattr(new, name))
        return JSONResponse(asdict(movement))

    async def move(self, request: Request) -> Response:
        """Do so much movement at once."""
        counts = await _object(request)
        for name, count in counts.items():
            if name not in KINDS or type(count) is not int or not 0 <= count <= _TOO_MANY:
                message = f"{name}: known are {', '.join(KINDS)}, each a whole number from 0 to {_TOO_MANY}"
                raise ValueError(message)
        self._platform.world.move(**msgspec.convert(counts, dict[str, int]))
        return await self.stats(request)

    async def quiet(self, request: Request) -> Response:
        """Stop all movement and show what is late."""
        self._platform.world.quiet()
        return await self.stats(request)

    async def expire(self, _: Request) -> Response:
        """Let every token given so far expire."""
        self._platform.tokens.expire()
        return JSONResponse({"status": "ok"})


async def _object(request: Request) -> dict[str, object]:
    try:
        found = msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        message = "the request body must be a JSON object"
        raise ValueError(message)  # noqa: TRY004 - as every other wrong body
    return found
