"""The lines that the code's errors say, found in its source, and the rows of a page's table for them."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tap_genesys_search import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")

#: Modules whose texts nobody meets in operation.
EXCLUDED_MODULES = {
    "demo": "runs in a clone only, and for show",
    "doctor": "its lines are findings and end no command; docs/on-call.md has them",
    "errors": "its tables are compared below, row by row",
    "timestamps": "who parses says in words of its own what is wrong",
    "workers": "passes on what others raise",
}
#: Texts that hold hardly more than another text, which has a row of its own.
WRAPPERS = {
    "query …": "what lucene.py says of a query",
    "redis_url …": "what redis_url.py says of a URL",
    "…, line …: …": "what is the matter with a line of an export",
    "… must be …": "a whole number, or JSON: what a variable of the environment has to hold",
}
#: Rows that a wrapper's texts, an exclusion's or the SDK's stand in.
ROWS_OF_WRAPPERS = ("TAP_GENESYS_SEARCH_", "… must be JSON", "…, line", "it ", "… is no timestamp", "has no ")
#: What is shorter than this may stand anywhere.
SHORTEST = 7
#: Where a ValueError is a text that goes on after a setting's name, as is what is appended to the problems.
SETTINGS_MODULES = {"settings", "lucene", "redis_url"}
#: Calls of a class that is handed in, and of methods that make an error: of which kind it is.
HANDED_IN = {
    "otherwise": "configuration",
    "too_slow": "platform",
    "_error": "configuration",
    "_unavailable": "configuration",
    "_off": "contract",
}
#: Which argument is the text, if not the first.
PLACES = {"_error": 1, "_unavailable": 1}
HEADINGS = {"configuration": "## Configuration (78)", "platform": "## Platform (75)", "contract": "## Contract (76)"}
KINDS = {
    name: value.kind
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.GenesysSearchError)
}


def fixed_part(text: str) -> str:
    """The longest part of a template without a value in it, up to the semicolon behind which it says what to do."""
    return max(text.partition("; ")[0].split("…"), key=len).strip()


def template(node: ast.expr) -> str | None:
    """A text with … for each value in it; None if this is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return None


def templates(tree: ast.Module, node: ast.expr) -> Iterator[str]:
    """The texts that an error's argument may be: itself, what its name was given, or what its property returns."""
    text = template(node)
    if text is not None:
        yield text
        return
    if isinstance(node, ast.IfExp):
        yield from templates(tree, node.body)
        yield from templates(tree, node.orelse)
        return
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
    for each in ast.walk(tree):
        if isinstance(each, ast.Assign | ast.AnnAssign) and each.value is not None:
            targets = each.targets if isinstance(each, ast.Assign) else [each.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                yield from filter(None, [template(each.value)])
        if isinstance(each, ast.FunctionDef) and each.name == name:
            returned = (part.value for part in ast.walk(each) if isinstance(part, ast.Return) and part.value)
            yield from filter(None, map(template, returned))


def raised(path: Path) -> Iterator[tuple[str, str]]:
    """The kind and the text of every error that a module makes.

    A name is looked for in the scope of its function, and in the module's if it is a constant.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (
        KINDS
        | HANDED_IN
        | (dict.fromkeys(("ValueError", "append"), "configuration") if path.stem in SETTINGS_MODULES else {})
    )
    functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)]
    for function in functions:
        for node in ast.walk(function):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func).rpartition(".")[2]
            kind, place = kinds.get(called), PLACES.get(called, 0)
            if kind is None or len(node.args) <= place:
                continue
            argument = node.args[place]
            is_local = isinstance(argument, ast.Name) and argument.id.islower() and not argument.id.startswith("_")
            scope = ast.Module(list(function.body), []) if is_local else tree
            for text in templates(scope, argument):
                yield kind, text


@cache
def messages() -> list[tuple[str, str, str]]:
    """Module, kind and text of all errors of the package, each once."""
    found: dict[tuple[str, str, str], None] = {}
    for path in sorted((ROOT / "tap_genesys_search").rglob("*.py")):
        if "sandbox" not in path.parts and path.stem not in EXCLUDED_MODULES:
            found |= dict.fromkeys((path.stem, kind, text) for kind, text in raised(path) if fixed_part(text))
    for name, table in (("errors.SEARCH", errors.SEARCH), ("errors.TOKEN", errors.TOKEN)):
        rows = [*table.values(), errors.policy_for(418, table), *errors.OAUTH.values(), errors.UNNAMED]
        found |= dict.fromkeys((name, policy.error.kind, policy.sentence) for policy in rows)
    return list(found)


def rows() -> dict[str, list[str]]:
    """The first cells of the page's tables of errors, by kind."""
    found = {}
    for kind, heading in HEADINGS.items():
        section = PAGE.split(f"{heading}\n")[1].split("\n## ")[0]
        found[kind] = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| ")]
    return found


def is_in(row: str, text: str) -> bool:
    """Whether a row holds a text: all its fixed parts in their order, up to the semicolon if enough is left then."""
    parts = text.partition("; ")[0] if len(fixed_part(text)) >= SHORTEST else text
    return re.search(".*".join(re.escape(part.strip()) for part in parts.split("…")), row) is not None
