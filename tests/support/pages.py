"""The blocks of the README and the docs, and which of them `test_docs*.py` cover."""

from __future__ import annotations

import ast

import yaml

from tests.support.blocks import DOCS, PAGES, ROOT, Block, blocks

#: What a reader of the repository may open.
OPEN = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md")), ROOT / ".github" / "pull_request_template.md"]

README = "/README.md"
BLOCKS = [block for page in PAGES for block in blocks(page)]
#: Pages whose blocks other tests cover.
ELSEWHERE = {"api.md": "test_docs_api.py writes the page anew", "operations.md": "test_operations.py runs what it says"}
HERE = [block for block in BLOCKS if block.page not in ELSEWHERE]

_PROJECT = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
#: What meltano.yml says of each plugin.
PLUGINS = {plugin["name"]: plugin for kind in _PROJECT["plugins"].values() for plugin in kind}


def of(language: str) -> list[Block]:
    """The blocks in a language that are covered here."""
    return [block for block in HERE if block.language == language]


def the(page: str, *, holding: str) -> Block:
    """The one block of a page that holds a text."""
    (found,) = (block for block in BLOCKS if block.page == page and holding in block.text)
    return found


def airflow_command() -> str:
    """What the step for Airflow in the page on the audit runs, as Python reads it."""
    (command,) = (
        keyword.value.value
        for node in ast.walk(ast.parse(the("audit.md", holding="BashOperator(").text))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "bash_command" and isinstance(keyword.value, ast.Constant)
    )
    assert isinstance(command, str)
    return command
