"""Settings from where the tap has them, for the people's commands: JSON files, the environment, `.env`."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tap_genesys_search.errors import ConfigurationError
from tap_genesys_search.settings import CONFIG_JSONSCHEMA, ENV_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

_ENVIRONMENT: Final = "ENV"



def read_config(sources: Iterable[str]) -> dict[str, Any]:
    """Merge JSON files, the later over the earlier, and with ENV among them the environment over all.

    Without any source it is the environment.

    Raises:
        ConfigurationError: A file is missing, or holds no JSON object.
    """
    names = list(sources) or [_ENVIRONMENT]
    config: dict[str, Any] = {}
    for name in names:
        if name != _ENVIRONMENT:
            config |= _read_file(Path(name))
    if _ENVIRONMENT in names:
        # The SDK's own reader, so that a variable means here what it means to the tap. It has no public name.
        from singer_sdk.configuration._dict_config import parse_environment_config  # noqa: PLC0415

        config |= parse_environment_config(deepcopy(CONFIG_JSONSCHEMA), ENV_PREFIX)
    return config


def _read_file(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"the configuration file {path} cannot be read: {error.strerror}"
        raise ConfigurationError(message) from error
    except ValueError as error:
        message = f"the configuration file {path} is no JSON"
        raise ConfigurationError(message) from error
    if not isinstance(config, dict):
        message = f"the configuration file {path} holds no JSON object"
        raise ConfigurationError(message)
    return config
