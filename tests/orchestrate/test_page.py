"""The page about Airflow: each line that the DAGs stop with has a row."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.orchestrate.dags import DAGS

PAGE = (Path(__file__).parents[2] / "docs" / "airflow.md").read_text(encoding="utf-8")


def texts(node: ast.expr) -> list[str]:
    """What a text, or one with fields, says for certain."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def reasons() -> list[str]:
    """Of each line that a task is refused with, the longest part that is always the same."""
    found = []
    for path in DAGS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            reason: ast.expr | None = None
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "refuse":
                reason = node.args[0]
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "reason":
                reason = node.value
            if reason is not None and not isinstance(reason, ast.Name) and texts(reason):
                found.append(max(texts(reason), key=len))
    return found


def test_there_are_reasons() -> None:
    assert len(reasons()) > 20


@pytest.mark.parametrize("reason", reasons())
def test_each_line_has_a_row(reason: str) -> None:
    rows = "\n".join(re.findall(r"^\| (.*?) \|", PAGE, re.MULTILINE))
    words = re.findall(r"\w[\w'-]*", reason)
    # A row may shorten it at its end.
    assert " ".join(words[:5]) in re.sub(r"[^\w'-]+", " ", rows)
