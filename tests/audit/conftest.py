"""Fixtures of the audit's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tap_genesys_search.sandbox import Faults, SandboxServer, WorldConfig
from tests.audit.auditor import Auditor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def still() -> Iterator[SandboxServer]:
    """A sandbox where nothing moves, and whose totals are right."""
    world = WorldConfig(
        conversations=3_000,
        start="2026-10-01",
        end="2026-11-20",
        tie_share=0.2,
        bursts=(("2026-10-20T10:00:00Z", 900),),
    )
    with SandboxServer(world, Faults(total_noise=0)) as server:
        yield server


@pytest.fixture
def audit(still: SandboxServer, tmp_path: Path) -> Auditor:
    """The command against it."""
    return Auditor(tmp_path, still)
