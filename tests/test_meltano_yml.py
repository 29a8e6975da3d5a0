"""The Meltano project: the same settings as in the code, nothing secret, nothing that asks anybody."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tap_genesys_search.cli import group
from tap_genesys_search.settings import CONFIG_JSONSCHEMA, ENV_PREFIX, OWN
from tap_genesys_search.tap import TapGenesysSearch

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
PACKAGE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRACTOR = PROJECT["plugins"]["extractors"][0]
LOADERS = {loader["name"]: loader for loader in PROJECT["plugins"]["loaders"]}

BUILTIN: dict[str, dict[str, Any]] = {"properties": {}}
TapGenesysSearch.append_builtin_config(BUILTIN)
SCHEMAS: dict[str, dict[str, Any]] = {**OWN, **BUILTIN["properties"]}


def kind(schema: dict[str, Any]) -> str:
    """What Meltano calls a setting of this type."""
    if "enum" in schema:
        return "options"
    if schema.get("format") == "date-time":
        return "date_iso8601"
    return next(name for name in ("integer", "boolean", "object", "string") if name in schema["type"])


def test_settings_are_those_of_the_code() -> None:
    """By name and order, the SDK's own after them."""
    assert [setting["name"] for setting in EXTRACTOR["settings"]] == [*SCHEMAS]


@pytest.mark.parametrize("setting", EXTRACTOR["settings"], ids=lambda setting: setting["name"])
def test_a_setting_is_that_of_the_code(setting: dict[str, Any]) -> None:
    """In all that Meltano knows of it; the SDK's own have words of their own."""
    schema = SCHEMAS[setting["name"]]
    assert setting["kind"] == kind(schema)
    assert setting.get("value") == schema.get("default")
    assert setting.get("sensitive", False) == schema.get("secret", False)
    assert [option["value"] for option in setting.get("options", [])] == schema.get("enum", [])
    if setting["name"] in OWN:
        assert setting["label"] == schema["title"]
        assert setting["description"] == schema["description"]
    else:
        assert setting["label"]
        assert setting["description"].endswith(".")


def test_the_extractor() -> None:
    """What it is called, what it can do, what it needs."""
    assert EXTRACTOR["name"] == TapGenesysSearch.name == PACKAGE["name"]
    assert EXTRACTOR["executable"] in PACKAGE["scripts"]
    assert EXTRACTOR["capabilities"] == sorted(each.value for each in TapGenesysSearch.capabilities)
    assert EXTRACTOR["settings_group_validation"] == [CONFIG_JSONSCHEMA["required"]]
    assert EXTRACTOR["namespace"].upper() == ENV_PREFIX.rstrip("_")
    assert EXTRACTOR["select"] == ["conversations.*"]


def test_what_a_user_would_install() -> None:
    """The comment beside this clone's own path says what the README says."""
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("meltano.yml", "README.md")]
    comment, readme = (
        re.findall(r"^(?: +# )?(pip_url: .*tap-genesys-search.*)$", text, re.MULTILINE) for text in texts
    )
    assert comment == readme
    assert len(readme) == 1


def test_every_command_for_a_project_is_there() -> None:
    """All but the demo, which needs a clone, and the sandbox, which is no client."""
    everywhere = {*group.list_commands(None)} - {"demo", "sandbox"}  # type: ignore[arg-type]
    assert EXTRACTOR["commands"].keys() == everywhere


@pytest.mark.parametrize("name", EXTRACTOR["commands"])
def test_commands_are_commands(name: str) -> None:
    """Each leads to one of the people's command."""
    command = EXTRACTOR["commands"][name]
    assert command["executable"] in PACKAGE["scripts"]
    assert command["args"].split()[0] in group.list_commands(None)  # type: ignore[arg-type]
    assert command["description"]


def test_loaders_are_pinned() -> None:
    """So that a demo of next year loads as one of today."""
    assert LOADERS["target-postgres"]["pip_url"] == "meltanolabs-target-postgres==0.8.1"
    assert LOADERS["target-jsonl"]["pip_url"] == "target-jsonl==0.1.4"


def test_nothing_secret_stands_here() -> None:
    """Every value comes from the environment, and no sensitive setting has one of its own."""
    for plugin in (EXTRACTOR, *LOADERS.values()):
        for name, value in plugin.get("config", {}).items():
            assert value == f"${{{plugin['namespace'].upper()}_{name.upper()}}}"
        assert not any("value" in setting for setting in plugin["settings"] if setting.get("sensitive"))
        assert {setting["name"] for setting in plugin["settings"]} >= plugin.get("config", {}).keys()


def test_the_project() -> None:
    """It tells nobody, and has an environment to run in."""
    assert PROJECT["send_anonymous_usage_stats"] is False
    assert "version" not in PROJECT
    assert PROJECT["default_environment"] in [environment["name"] for environment in PROJECT["environments"]]


def test_the_example_of_an_environment() -> None:
    """It names settings that exist, the required ones among them, and holds no secret."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    given = dict(re.findall(r"^(?:# )?([A-Z0-9_]+)=(.*)$", text, re.MULTILINE))
    known = {
        f"{plugin['namespace']}_{setting['name']}".upper(): setting
        for plugin in (EXTRACTOR, *LOADERS.values())
        for setting in plugin["settings"]
    }
    assert given.keys() <= known.keys()
    assert given.keys() >= {f"{ENV_PREFIX}{name.upper()}" for name in CONFIG_JSONSCHEMA["required"]}
    assert given[f"{ENV_PREFIX}CLIENT_SECRET"] == ""
