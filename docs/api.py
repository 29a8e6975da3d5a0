"""Write the reference of the Python interface from its docstrings: ``python docs/api.py`` prints ``docs/api.md``."""
# ruff: noqa: INP001 - a folder of docs is no package

from __future__ import annotations

import inspect
import json
import re
import sys
from typing import TYPE_CHECKING, Any

import tap_genesys_search
from tap_genesys_search import GenesysSearchError

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = """\
# The Python interface

What `from tap_genesys_search import …` offers. [The README](../README.md#as-a-python-generator) has an example,
[how-it-works.md](how-it-works.md) what stands behind it. This page is made from the docstrings, by `docs/api.py`.
"""
#: What belongs together, in the order in which one meets it; what is in none comes last, errors in a table.
ORDER = [
    *("ConversationSearchClient", "Glimpse", "GenesysAuth"),
    *("Token", "TokenStore", "LockingStore", "MemoryTokenStore"),
    *("SharedRedis", "RedisTokenStore", "Budget", "RateBudget", "RedisBudget", "Clock"),
]
WIDTH = 100
_SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):$")
_ENTRY = re.compile(r"^(\w+): (.*)$")
_TITLES = {"Args": "Arguments"}


def page() -> str:
    """Return the page."""
    found = {name: getattr(tap_genesys_search, name) for name in tap_genesys_search.__all__}
    errors = [kind for kind in found.values() if issubclass(kind, GenesysSearchError)]
    others = [kind for kind in found.values() if kind not in errors]
    others.sort(key=lambda kind: ORDER.index(kind.__name__) if kind.__name__ in ORDER else len(ORDER))
    names = [*(kind.__name__ for kind in others), "Errors"]
    index = "\n".join(f"- [{name}](#{name.lower()})" for name in names) + "\n"
    parts = [HEAD, index, *(part for kind in others for part in _class(kind)), *_errors(errors)]
    return "\n".join(parts)


def _class(kind: type) -> Iterator[str]:
    yield f"## `{kind.__name__}`\n"
    if not getattr(kind, "_is_protocol", False):
        yield _signature(kind.__name__, [*inspect.signature(kind).parameters.values()], None)
    yield _prose(kind)
    for name, member in _members(kind):
        yield f"### `{kind.__name__}.{name}`\n"
        if not isinstance(member, property):
            bound = getattr(kind, name)
            signature = inspect.signature(bound)
            # That of a class method has no first argument to leave out.
            parameters = [*signature.parameters.values()][0 if inspect.ismethod(bound) else 1 :]
            yield _signature(name, parameters, signature.return_annotation)
        yield _prose(member)


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties, in the order of the source, those of the package's bases after them."""
    seen: set[str] = set()
    for base in kind.__mro__:
        if not base.__module__.startswith(tap_genesys_search.__name__):
            continue
        for name, member in vars(base).items():
            is_known = inspect.isfunction(member) or isinstance(member, (property, classmethod, staticmethod))
            if is_known and not name.startswith("_") and name not in seen:
                seen.add(name)
                yield name, member if inspect.getdoc(member) else getattr(kind, name)


def _signature(name: str, parameters: list[inspect.Parameter], returns: object) -> str:
    parts = [_parameter(parameter) for parameter in parameters]
    kinds = [parameter.kind for parameter in parameters]
    if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        parts.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    arrow = "" if returns in {inspect.Signature.empty, "None", None} else f" -> {returns}"
    line = f"{name}({', '.join(parts)}){arrow}"
    if len(line) > WIDTH:
        line = f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){arrow}"
    return f"```\n{line}\n```\n"


def _parameter(parameter: inspect.Parameter) -> str:
    """Write a parameter as one would: the text of an object may hold an address."""
    stars = "*" if parameter.kind is inspect.Parameter.VAR_POSITIONAL else ""
    text, default = f"{stars}{parameter.name}: {parameter.annotation}", parameter.default
    if default is inspect.Parameter.empty:
        return text
    if isinstance(default, str):
        return f"{text} = {json.dumps(default)}"
    return (
        f"{text} = {default}"
        if isinstance(default, (int, float, type(None)))
        else f"{text} = {type(default).__name__}()"
    )


def _prose(subject: Any) -> str:
    """Return a docstring as Markdown: its sections become lists."""
    lines: list[str] = []
    is_list = False
    for line in (inspect.getdoc(subject) or "").splitlines():
        section, entry = _SECTION.match(line), _ENTRY.match(line.strip())
        if section:
            is_list = True
            lines += [f"{_TITLES.get(section[1], section[1])}:", ""]
        elif is_list and line.startswith("    ") and not line.startswith("     "):
            lines.append(f"- `{entry[1]}`: {entry[2]}" if entry else line.strip())
        elif is_list and line.startswith("     "):
            lines.append(f"  {line.strip()}")
        else:
            lines.append(line)
    text = re.sub(r":(?:class|meth|attr|func):`([^`]+)`", r"`\1`", "\n".join(lines))
    return text.replace("``", "`") + "\n"


def _errors(kinds: list[type[GenesysSearchError]]) -> Iterator[str]:
    yield "## Errors\n"
    yield "`GenesysSearchError(message, *, fix)`:\n"
    yield _prose(GenesysSearchError)
    yield f"`error.fix`: {_first_line(GenesysSearchError.fix)}\n"
    yield "| error | is a | kind | exit code | |\n|---|---|---|---|---|"
    for kind in sorted(kinds, key=lambda kind: (len(kind.__mro__), kind.exit_code, kind.__name__)):
        base = f"`{kind.__base__.__name__}`" if kind.__base__ else ""
        yield f"| `{kind.__name__}` | {base} | {kind.kind} | {kind.exit_code} | {_first_line(kind)} |"
    yield ""


def _first_line(subject: object) -> str:
    return (inspect.getdoc(subject) or "").split("\n\n")[0].replace("\n", " ").replace("``", "`")


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.write(page())
