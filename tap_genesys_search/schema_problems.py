"""What is wrong with settings of the SDK: their names and what they must be, never a value, which may be a secret."""

from __future__ import annotations

import json
from copy import deepcopy
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from fsspec import get_filesystem_class
from fsspec.utils import get_protocol
from singer_sdk.plugin_base import JSONSchemaValidator

from tap_genesys_search.errors import ConfigurationError, redacted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LONGEST_NAME: Final = 40
_OF_BATCHES: Final = {
    "": {"encoding", "storage", "batch_size"},
    "encoding": {"format", "compression"},
    "storage": {"root", "prefix", "params"},
}
_WORDS: Final = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a text",
}


def problems(config: Mapping[str, Any], schema: dict[str, Any]) -> list[str]:
    """Say of each setting that does not fit a JSON schema what it must be; each text once.

    Args:
        config: The configuration.
        schema: That of the settings, the SDK's own included.
    """
    # The validator fills in defaults.
    found = JSONSchemaValidator(schema).iter_errors(deepcopy(dict(config)))
    return [*dict.fromkeys(text for error in found for text in _described(error))]


def check_settings_of_sdk(config: Mapping[str, Any], schema: dict[str, Any] | None) -> None:
    """Check the settings that are the SDK's.

    Args:
        config: The configuration.
        schema: What it has to fit; None: it does, as the SDK has found.

    Raises:
        ConfigurationError: Something is wrong; its one line names all of it, and shows no value.
    """
    if found := (schema and problems(config, schema)) or overlooked(config):
        raise ConfigurationError("; ".join(found), fix=ConfigurationError.cure)


def overlooked(config: Mapping[str, Any]) -> list[str]:
    """Say what the SDK's schema lets pass, and what the SDK then stumbles over, or takes for nothing to do.

    Args:
        config: One that fits the schema.
    """
    found: list[str] = []
    depth = config.get("flattening_max_depth")
    if config.get("flattening_enabled") and (depth is None or depth < 0):
        found.append("flattening_max_depth must be a whole number of 0 or more where flattening_enabled is true")
    if batch := config.get("batch_config"):
        found += _of_batches(batch)
    return found


def _of_batches(batch: Mapping[str, Any]) -> Iterator[str]:
    for place, known in _OF_BATCHES.items():
        given = (batch.get(place) or {}) if place else batch
        names = (".".join(filter(None, ("batch_config", place, name))) for name in given if name not in known)
        yield from (f"{redacted(name)[:_LONGEST_NAME]} is no setting" for name in names)
    size = batch.get("batch_size")
    if size is not None and size < 1:
        yield "batch_config.batch_size must be a whole number of 1 or more"
    if not (batch.get("encoding") or {}).get("format"):
        yield 'batch_config.encoding.format must be "jsonl" or "parquet"'
    elif batch["encoding"]["format"] == "parquet" and find_spec("pyarrow") is None:
        yield "batch_config.encoding.format is parquet, which needs pyarrow beside the tap: install it, or write jsonl"
    root = (batch.get("storage") or {}).get("root")
    if not root:
        yield "batch_config.storage.root must be a text, such as file:///var/batches"
        return
    scheme = get_protocol(root)
    try:
        # Nothing is opened yet, but it knows which package a bucket needs.
        get_filesystem_class(scheme)
    except (ImportError, ValueError) as error:
        scheme = redacted(scheme)[:_LONGEST_NAME]
        reason = "needs a package" if isinstance(error, ImportError) else "is none that is known"
        yield f"batch_config.storage.root begins with {scheme}, which {reason}: install it, or name another"


def mended(schema: Any) -> Any:
    """Return a schema without the choices that are no schemas, over which the validator falls: the SDK's has some."""
    if isinstance(schema, list):
        return [mended(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: [mended(choice) for choice in value if isinstance(choice, dict)] if name == "anyOf" else mended(value)
        for name, value in schema.items()
    }


def _described(error: Any) -> Iterator[str]:
    inner = [each for each in error.context if each.relative_path]
    if inner:
        # One of the choices is an object or a list, as is the value: what is wrong inside says more.
        for each in inner:
            yield from _described(each)
        return
    name = ""
    for key in error.absolute_path:
        name += f"[{key}]" if isinstance(key, int) else f"{'.' * bool(name)}{redacted(key)[:_LONGEST_NAME]}"
    yield f"{name} must be {' or '.join(dict.fromkeys(_choices(error.schema))) or 'another value'}"


def _choices(schema: Any) -> Iterator[str]:
    """Yield what a schema takes, in words; the SDK's has choices that are no schemas, too."""
    if not isinstance(schema, dict):
        return
    if "enum" in schema or "const" in schema:
        yield from map(json.dumps, schema.get("enum") or [schema["const"]])
        return
    kinds = schema.get("type", [])
    yield from (_WORDS.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _choices(choice)
