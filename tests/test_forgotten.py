"""What a change easily forgets: a setting or a fault that nothing obeys, and an error that the README does not name."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from tap_genesys_search import errors
from tap_genesys_search.sandbox import Faults
from tap_genesys_search.settings import OWN, Settings
from tests.support import error_messages
from tests.support.error_messages import is_in

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tap_genesys_search"


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def read_of(name: str, *trees: ast.AST) -> set[str]:
    """The attributes that are read of what is called by a name, as in ``self._settings.query``."""
    found = set()
    for node in (each for tree in trees for each in ast.walk(tree)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            holder = ast.unparse(node.value).rpartition(".")[2]
            if holder.removeprefix("_") == name:
                found.add(node.attr)
    return found


# Settings and faults


def test_every_setting_is_obeyed_somewhere() -> None:
    modules = [
        path for path in PACKAGE.rglob("*.py") if "sandbox" not in path.parts and path != PACKAGE / "settings.py"
    ]
    read = read_of("settings", *map(tree_of, modules))
    assert [each.name for each in fields(Settings) if each.name not in read] == []


def test_every_fault_acts_somewhere() -> None:
    """Outside its own class, which only checks it."""
    trees = []
    for path in (PACKAGE / "sandbox").glob("*.py"):
        tree = tree_of(path)
        tree.body = [node for node in tree.body if not (isinstance(node, ast.ClassDef) and node.name == "Faults")]
        trees.append(tree)
    read = read_of("faults", *trees)
    assert [each.name for each in fields(Faults) if each.name not in read] == []


def test_a_field_that_is_only_written_or_of_something_else_is_not_read() -> None:
    code = "settings.one\nself._settings.two\nsettings.three = 1\nother.four\nself.settings.five.six\n"
    assert read_of("settings", ast.parse(code)) == {"one", "two", "five"}


# Errors


def kinds() -> list[type[errors.GenesysSearchError]]:
    """Every class of error, and those that derive from it."""
    found = [errors.GenesysSearchError]
    for each in found:
        found += each.__subclasses__()
    return [each for each in found[1:] if each.__module__.startswith("tap_genesys_search")]


def quotes() -> list[str]:
    """The lines that the README's table *When it stops* names."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## When it stops\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`.+?) \| ", section, re.MULTILINE)
    assert len(cells) > 10
    return [quote for cell in cells for quote in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_the_readme_names_a_line_of_each_kind_of_error(
    kind: type[errors.GenesysSearchError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of exactly this class: by the tables of answers, or where one is made."""
    name = kind.__name__
    monkeypatch.setattr(error_messages, "KINDS", {name: name})
    modules = [path for path in PACKAGE.rglob("*.py") if "sandbox" not in path.parts and path.stem != "errors"]
    texts = [text for path in modules for found, text in error_messages.raised(path) if found == name]
    for table in (errors.SEARCH, errors.TOKEN, errors.OAUTH):
        texts += [policy.sentence for policy in table.values() if policy.error is kind]
    assert texts
    assert [quote for quote in quotes() if any(is_in(text, quote) for text in texts)] != []


@pytest.mark.parametrize("quote", quotes())
def test_a_line_that_the_readme_names_is_one_that_can_be_met(quote: str) -> None:
    """A text of the code or, where that is made of parts, a row of docs/errors.md, which is compared with them.

    What is said of a setting begins with its name, which stands in neither.
    """
    first, _, rest = quote.partition(" ")
    said = f"… {rest}" if first in OWN else quote
    known = [text for _, _, text in error_messages.messages()]
    known += [row for rows in error_messages.rows().values() for row in rows]
    assert [text for text in known if is_in(text, said)] != []
