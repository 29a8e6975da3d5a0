"""What others rely on without looking: the catalog, and what the tap says of itself.

After a change that is meant: ``UPDATE_SNAPSHOTS=1 uv run pytest tests/test_snapshots.py``, and read the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.helpers import Message, Tap

SNAPSHOTS = Path(__file__).with_name("snapshots")
COMMANDS = {"catalog": ["--discover"], "about": ["--about", "--format=json"]}


def masked(document: Message) -> Message:
    """A document without what every release changes."""
    return {name: "…" if name in {"version", "sdk_version"} else value for name, value in document.items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_changes_unseen(tap: Tap, name: str) -> None:
    run = tap(None, *COMMANDS[name])
    assert run.code == 0
    text = json.dumps(masked(json.loads(run.stdout)), indent=2, ensure_ascii=False) + "\n"
    path = SNAPSHOTS / f"{name}.json"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
