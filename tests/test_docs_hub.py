"""The entry for Meltano's hub is what the tap says of itself; UPDATE_SNAPSHOTS=1 writes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.helpers import environment
from tests.support.meltano import PROGRAMS

ROOT = Path(__file__).parents[1]
ENTRY = ROOT / "docs" / "meltano-hub.yml"
FOUND: dict[str, Any] = yaml.safe_load(ENTRY.read_text(encoding="utf-8"))
PLUGIN = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))["plugins"]["extractors"][0]
#: What the hub takes, by its schemas plugin_definitions/extractors and common/base_setting (github.com/meltano/hub).
KEYS = {
    "name", "pip_url", "variant", "namespace", "label", "description", "executable", "settings", "docs", "repo",
    "settings_group_validation", "commands", "capabilities", "select", "maintenance_status", "domain_url", "keywords",
    "definition", "next_steps", "settings_preamble", "usage", "prereq",
}  # fmt: skip
KINDS = {"password", "date_iso8601", "file", "email", "integer", "options", "object", "array", "boolean", "string"}
STATUSES = {"active", "beta", "development", "inactive", "unknown"}


def about() -> dict[str, Any]:
    """What the tap says of itself."""
    command = [str(PROGRAMS / "tap-genesys-search"), "--about", "--format=json"]
    done = subprocess.run(command, env=environment(), check=True, capture_output=True, text=True, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_entry_is_what_the_script_writes() -> None:
    command = [sys.executable, str(ROOT / "docs" / "hub.py")]
    expected = subprocess.run(command, env=environment(), check=True, capture_output=True, timeout=60).stdout.decode()
    if os.environ.get("UPDATE_SNAPSHOTS"):
        ENTRY.write_text(expected, encoding="utf-8")
    assert ENTRY.read_text(encoding="utf-8") == expected


def test_it_is_what_the_tap_says() -> None:
    """Name, abilities, and each setting with its default, its choices and whether it is secret."""
    said = about()
    assert FOUND["name"] == said["name"]
    assert FOUND["description"] == said["description"]
    assert FOUND["capabilities"] == sorted(said["capabilities"])
    assert FOUND["settings_group_validation"] == [said["settings"]["required"]]
    schemas = said["settings"]["properties"]
    assert [setting["name"] for setting in FOUND["settings"]] == [*schemas]
    for setting in FOUND["settings"]:
        schema = schemas[setting["name"]]
        assert setting.get("value") == schema.get("default")
        assert setting.get("sensitive", False) == schema.get("secret", False)
        assert [option["value"] for option in setting.get("options", [])] == schema.get("enum", [])


def test_it_is_that_of_the_project() -> None:
    """Who installs it from the hub gets what `meltano.yml` has."""
    assert [dict(setting) for setting in FOUND["settings"]] == [
        {key: setting[key] for key in setting} for setting in PLUGIN["settings"]
    ]
    for key in ("namespace", "executable", "capabilities", "commands", "settings_group_validation"):
        assert FOUND[key] == PLUGIN[key]


def test_the_hub_takes_it() -> None:
    assert FOUND.keys() <= KEYS
    assert FOUND["maintenance_status"] in STATUSES
    assert {setting["kind"] for setting in FOUND["settings"]} <= KINDS
    assert all(setting["label"] and setting["description"] for setting in FOUND["settings"])


@pytest.mark.slow
@pytest.mark.nightly
def test_meltano_adds_it(tmp_path: Path) -> None:
    """By `--from-ref`, as from the hub, without installing anything."""
    (tmp_path / "meltano.yml").write_text("project_id: hub\nsend_anonymous_usage_stats: false\n")
    command = [str(PROGRAMS / "meltano"), "add", FOUND["name"], "--from-ref", str(ENTRY), "--no-install"]
    subprocess.run(command, cwd=tmp_path, env=environment({"PYTHONWARNINGS": ""}), check=True, timeout=120)
    project = yaml.safe_load((tmp_path / "meltano.yml").read_text(encoding="utf-8"))
    (added,) = project["plugins"]["extractors"]
    for key in ("name", "pip_url", "executable", "namespace", "capabilities", "settings", "settings_group_validation"):
        assert added[key] == FOUND[key]
