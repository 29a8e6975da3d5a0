"""Outages of a sandbox that begin while it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from tap_genesys_search.sandbox import SandboxServer


def outage_after(number: int, server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let an outage begin while the search of this number is answered; return what was asked for, as it comes."""
    search, asked = server.world.search, list[Any]()

    def fail_later(*args: Any, **kwargs: Any) -> Any:
        asked.append(args)
        if len(asked) == number:
            server.faults.merge({"outage": True})
        return search(*args, **kwargs)

    monkeypatch.setattr(server.world, "search", fail_later)
    return asked
