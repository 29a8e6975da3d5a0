"""Fixtures that several modules share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.helpers import Tap

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tap(tmp_path: Path) -> Tap:
    """The tap, in a folder of its own."""
    return Tap(tmp_path)
