"""A day of conversations that ends at noon, and what moves in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_genesys_search.sandbox import SandboxServer, WorldConfig

if TYPE_CHECKING:
    from tests.support.helpers import ManualClock

MINUTE = 60
HOUR = 3_600
DENSE = "2026-10-05T09:00:00.000Z"


def world(conversations: int = 2_000, **settings: object) -> WorldConfig:
    """A day that ends at noon."""
    return WorldConfig(conversations=conversations, **{"days": 1.0, **settings})  # type: ignore[arg-type]


def stir(server: SandboxServer, clock: ManualClock, rounds: int = 20) -> None:
    """Let conversations arrive, change and come late, over some seconds."""
    for _ in range(rounds):
        clock.pass_by(0.25)
        server.world.move(arrive=2, change=4, late=1)
    clock.pass_by(1)
