"""Settings from where they stand: JSON files, the environment, `.env`."""

from __future__ import annotations

import json
import math
import os
from copy import deepcopy
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import click

from tap_genesys_search.errors import ConfigurationError, GenesysSearchError
from tap_genesys_search.settings import CONFIG_JSONSCHEMA, ENV_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

ENVIRONMENT: Final = "ENV"

#: What each of the people's commands takes; its values are for `read_config`.
config_option: Final = click.option(
    "--config",
    "sources",
    multiple=True,
    help="A JSON file with the tap's settings, or ENV for the environment and .env (the default); several are merged.",
)


def read_config(sources: Iterable[str]) -> dict[str, Any]:
    """Merge JSON files, the later over the earlier, and with ENV among them the environment over all.

    Without any source it is the environment.

    Raises:
        ConfigurationError: A file is missing, or holds no JSON object.
    """
    names = list(sources) or [ENVIRONMENT]
    config: dict[str, Any] = {}
    for name in names:
        if name != ENVIRONMENT:
            config |= read_file(Path(name))
    if ENVIRONMENT in names:
        config |= read_environment()
    return config


def read_environment() -> dict[str, Any]:
    """Read the settings of the environment, to which `.env` is added first: this folder's, or the nearest above.

    Raises:
        ConfigurationError: A variable holds something else than its setting is, or `.env` is no text.
    """
    # The SDK's own reader, which knows all kinds of settings. It has no public name; by itself it looks for `.env`
    # above the folder where the SDK is installed, and raises whatever a wrong value leads to.
    from singer_sdk import Tap  # noqa: PLC0415 - the people's commands do without the SDK
    from singer_sdk.configuration._dict_config import parse_environment_config  # noqa: PLC0415 - the same

    here = Path.cwd()
    files = (folder / ".env" for folder in (here, *here.parents))
    dotenv = next(filter(Path.is_file, files), Path(os.devnull))
    # It lets `.env` win over what is set already; Meltano, and whoever starts a run, expect the opposite.
    before = dict(os.environ)
    try:
        parse_environment_config({}, ENV_PREFIX, dotenv)
    except UnicodeDecodeError:
        message = f"the file {dotenv} cannot be read: it is no UTF-8"
        raise ConfigurationError(message) from None
    os.environ.update(before)
    schema = deepcopy(CONFIG_JSONSCHEMA)
    Tap.append_builtin_config(schema)
    config: dict[str, Any] = {}
    for name, setting in schema["properties"].items():
        variable = f"{ENV_PREFIX}{name.upper()}"
        kind = next(each for each in setting["type"] if each != "null")
        if kind != "string" and not os.environ.get(variable, "").strip():
            continue
        try:
            config |= parse_environment_config({"properties": {name: setting}}, ENV_PREFIX, os.devnull)
        except ValueError:
            message = f"{variable} must be {'a whole number' if kind == 'integer' else 'JSON'}"
            raise ConfigurationError(message) from None
    return config


def read_file(path: Path) -> dict[str, Any]:
    """Read a JSON file of settings.

    Raises:
        ConfigurationError: It is missing, or holds no JSON object.
    """
    _, config = read_json(path, "configuration")
    if not isinstance(config, dict):
        message = f"the configuration file {path} holds no JSON object"
        raise ConfigurationError(message)
    return config


def read_json(
    file: Path | IO[str], kind: str, otherwise: type[GenesysSearchError] = ConfigurationError
) -> tuple[str, Any]:
    """Read a JSON file, whatever it holds; return its text, without a byte order mark, and the document.

    Args:
        file: Its path, or itself where it is open already; its name is for messages.
        kind: What it is, for messages.
        otherwise: What is raised if it is no JSON.

    Raises:
        GenesysSearchError: It is missing, or no JSON.
    """
    name = name_of(file)
    if file == Path():
        message = f"the name of the {kind} file is empty"
        raise ConfigurationError(message)
    try:
        text = file.read_text(encoding="utf-8") if isinstance(file, Path) else file.read()
        text = text.removeprefix("\ufeff")
        return text, json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except OSError as error:
        message = f"the {kind} file {name} cannot be read: {error.strerror}"
        raise ConfigurationError(message) from error
    except (ValueError, RecursionError) as error:
        message = f"the {kind} file {name} is no JSON"
        raise otherwise(message) from error


def name_of(file: Path | IO[str]) -> object:
    """What a file is called in messages."""
    return file if isinstance(file, Path) else getattr(file, "name", "given")


def _refuse(text: str) -> float:
    """Refuse NaN and Infinity, which Python takes for JSON, and nobody else does."""
    raise ValueError(text)


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)
