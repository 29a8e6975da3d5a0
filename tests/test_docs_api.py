"""The reference of the Python interface is what the docstrings say; UPDATE_SNAPSHOTS=1 writes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tap_genesys_search

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "api.md"


def test_the_page_is_that_of_the_docstrings() -> None:
    command = [sys.executable, str(DOCS / "api.py")]
    expected = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout.decode()
    if os.environ.get("UPDATE_SNAPSHOTS"):
        PAGE.write_text(expected, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == expected


@pytest.mark.parametrize("name", tap_genesys_search.__all__)
def test_every_public_name_has_its_place(name: str) -> None:
    """A chapter, or a row of the errors."""
    text = PAGE.read_text(encoding="utf-8")
    assert (f"\n## `{name}`\n" in text) != (f"\n| `{name}` | " in text)
