"""What is wrong with settings of the SDK: their names and what they must be, never a value, which may be a secret."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

from singer_sdk.plugin_base import JSONSchemaValidator

from tap_genesys_search.errors import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LONGEST_NAME: Final = 40
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


def mended(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a schema without the choices that are no schemas, over which the validator falls: the SDK's has some."""
    if isinstance(schema, list):
        return [mended(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: [mended(choice) for choice in value if isinstance(choice, dict)] if name == "anyOf" else mended(value)
        for name, value in schema.items()
    }


def _described(error: Any) -> Iterator[str]:  # noqa: ANN401 - jsonschema's ValidationError, which has no types
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


def _choices(schema: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
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
