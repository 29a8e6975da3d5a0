"""Write the tap's entry for Meltano's hub: ``uv run python docs/hub.py`` prints ``docs/meltano-hub.yml``.

What the tap says of itself (``--about``) is the source; ``meltano.yml`` adds labels, kinds and commands. In the hub the
file is ``_data/meltano/extractors/tap-genesys-search/VARIANT.yml``, with the owner of the repository as the variant.
"""
# ruff: noqa: INP001 - a folder of docs is no package

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
OWNER = "OWNER"
NAME = "tap-genesys-search"
REPOSITORY = f"https://github.com/{OWNER}/{NAME}"


def about() -> dict[str, Any]:
    """Ask the tap."""
    command = [sys.executable, "-m", "tap_genesys_search", "--about", "--format=json"]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603 - written here
    return found


def entry(said: dict[str, Any], plugin: dict[str, Any]) -> dict[str, Any]:
    """Return the entry, by what the tap says and by its part of ``meltano.yml``; there is no logo to name."""
    words = {setting["name"]: setting for setting in plugin["settings"]}
    schemas = said["settings"]["properties"]
    return {
        "capabilities": sorted(said["capabilities"]),
        "commands": plugin["commands"],
        "description": said["description"],
        "domain_url": "https://developer.genesys.cloud",
        "executable": plugin["executable"],
        "keywords": ["api", "meltano_sdk"],
        "label": "Genesys Cloud conversation search",
        "maintenance_status": "beta",
        "name": said["name"],
        "namespace": plugin["namespace"],
        "pip_url": f"git+{REPOSITORY}.git",
        "repo": REPOSITORY,
        "settings": [_setting(name, schema, words[name]) for name, schema in schemas.items() if name in words],
        "settings_group_validation": [said["settings"]["required"]],
        "variant": OWNER,
    }


def _setting(name: str, schema: dict[str, Any], words: dict[str, Any]) -> dict[str, Any]:
    setting = {"description": words["description"], "kind": words["kind"], "label": words["label"], "name": name}
    if "enum" in schema:
        setting["options"] = [{"label": value, "value": value} for value in schema["enum"]]
    if schema.get("secret"):
        setting["sensitive"] = True
    if "default" in schema:
        setting["value"] = schema["default"]
    return setting


def text() -> str:
    """Return the file."""
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    plugin = next(each for each in project["plugins"]["extractors"] if each["name"] == NAME)
    return yaml.safe_dump(entry(about(), plugin), allow_unicode=True)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.write(text())
