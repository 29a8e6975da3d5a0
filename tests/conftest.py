"""Fixtures that several modules share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.helpers import Nursery, Tap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where taps are started."""
    started = Nursery()
    yield started
    started.close()


@pytest.fixture
def tap(tmp_path: Path, nursery: Nursery) -> Tap:
    """The tap, in a folder of its own."""
    return Tap(tmp_path, nursery)
