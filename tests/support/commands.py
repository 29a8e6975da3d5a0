"""The commands for people, with settings in a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.terminal import Done, people

if TYPE_CHECKING:
    from pathlib import Path


def with_config(name: str, folder: Path, config: object, *args: str) -> Done:
    """Write the settings as JSON, or a text as it is, and run a command to its end."""
    path = folder / "config.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return people(name, "--config", str(path), *args)
