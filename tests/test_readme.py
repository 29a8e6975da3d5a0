"""The README's table of settings is what the code has; UPDATE_SNAPSHOTS=1 writes it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from tap_genesys_search.settings import CONFIG_JSONSCHEMA, OWN

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- settings -->\n", "<!-- /settings -->"


def test_the_settings_table_is_that_of_the_code() -> None:
    """Names, defaults, bounds and descriptions."""
    before, rest = README.read_text().split(BEGIN)
    shown, after = rest.split(END)
    expected = settings_table()
    if os.environ.get("UPDATE_SNAPSHOTS"):
        README.write_text(before + BEGIN + expected + END + after)
        return
    assert shown == expected


def test_a_json_file_becomes_the_environment(tmp_path: Path) -> None:
    """By the README's own lines; values with quotes and backslashes arrive as they are."""
    config = {
        "client_secret": 'it\'s "$HOME" \\ #1',
        "query": '"foo bar" AND status:completed',
        "page_size": 100,
        "stream_maps": {"conversations": {"note": "'x'"}},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    block = README.read_text().split("```sh\npython3 - config.json", 1)[1].split("```", 1)[0]
    subprocess.run(["bash", "-c", "python3 - config.json" + block], cwd=tmp_path, check=True)  # noqa: S607 - whichever bash there is
    read = dotenv_values(tmp_path / ".env", interpolate=False)
    texts = {f"TAP_GENESYS_SEARCH_{name.upper()}": value for name, value in config.items()}
    assert read == {key: value if isinstance(value, str) else json.dumps(value) for key, value in texts.items()}


def settings_table() -> str:
    """Write the table."""
    rows = ["| name | default | |", "|---|---|---|", *(_row(name, schema) for name, schema in OWN.items())]
    return "\n".join(rows) + "\n"


def _row(name: str, schema: dict[str, Any]) -> str:
    default = f"`{schema['default']}`" if "default" in schema else ""
    notes = [schema["description"]]
    if "minimum" in schema:
        notes.append(f"{schema['minimum']:,} to {schema['maximum']:,}." if "maximum" in schema else "1 or more.")
    if schema.get("secret"):
        notes.append("Secret.")
    required = "required" if name in CONFIG_JSONSCHEMA["required"] else default
    return f"| `{name}` | {required} | {' '.join(notes)} |"
