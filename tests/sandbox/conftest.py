"""Fixtures of the sandbox's tests."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import pytest

from tap_genesys_search.sandbox import Client, Faults, Movement, SandboxServer, WorldConfig

from .api import Api

if TYPE_CHECKING:
    from collections.abc import Iterator

START, END = "2026-10-01T00:00:00.000Z", "2026-10-08T00:00:00.000Z"


class Sandbox(Protocol):
    """Starts a sandbox and gives a client of it."""

    def __call__(
        self,
        *,
        faults: Faults | None = None,
        movement: Movement | None = None,
        clients: tuple[Client, ...] = (Client(),),
        log_in: bool = True,
        conversations: int = 1_000,
        **world: object,
    ) -> tuple[SandboxServer, Api]: ...


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Start sandboxes that stop with the test."""
    with ExitStack() as stack:

        def start(
            *,
            faults: Faults | None = None,
            movement: Movement | None = None,
            clients: tuple[Client, ...] = (Client(),),
            log_in: bool = True,
            conversations: int = 1_000,
            **world: object,
        ) -> tuple[SandboxServer, Api]:
            config = WorldConfig(conversations=conversations, **{"start": START, "end": END, **world})  # type: ignore[arg-type]
            server = stack.enter_context(SandboxServer(config, faults, movement, clients))
            return server, stack.enter_context(Api(server, log_in=log_in))

        yield start
