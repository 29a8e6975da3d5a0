"""What was found: rows with an aim and a figure, as text, as JSON, and in the documentation."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_MARK = "<!-- {} of {}: written by the benchmark -->"


@dataclass(frozen=True)
class Result:
    """One line of the table; ``reached`` is None where there is nothing to reach."""

    row: str
    what: str
    aim: str
    figure: str
    reached: bool | None
    values: dict[str, float] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Whether the aim is reached, in a word."""
        return {True: "reached", False: "NOT reached", None: "–"}[self.reached]


@dataclass(frozen=True)
class Table:
    """Something to look at beside the results."""

    name: str
    head: Sequence[str]
    lines: Sequence[Sequence[str]]


def at_most(
    row: str, what: str, aim: float, figure: float, *, unit: str = "", note: str = "", **values: float
) -> Result:
    """Return a result that is reached at or below its aim."""
    text = f"{figure:.2f}{unit}{f' ({note})' if note else ''}"
    return Result(row, what, f"≤ {aim:g}{unit}", text, figure <= aim, {"figure": figure, **values})


def lines(result: Result | Table) -> Iterable[str]:
    """Return what is printed as soon as it is known."""
    if isinstance(result, Result):
        return [f"{result.row:<14} {result.what}: {result.figure}; aim {result.aim}: {result.verdict}"]
    widths = [max(len(line[i]) for line in (result.head, *result.lines)) for i in range(len(result.head))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (result.head, *result.lines)
    ]


def write_json(path: Path, found: Iterable[Result | Table], machine: dict[str, str]) -> None:
    """Write everything that was found."""
    found = list(found)
    content = {
        "machine": machine,
        "results": [asdict(each) for each in found if isinstance(each, Result)],
        "tables": [asdict(each) for each in found if isinstance(each, Table)],
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_docs(path: Path, found: Iterable[Result | Table], machine: dict[str, str]) -> None:
    """Replace those parts of the page that were measured, and leave the others as they are."""
    found = list(found)
    text = path.read_text(encoding="utf-8")
    results = [each for each in found if isinstance(each, Result)]
    kept = [line for line in _part(text, "results").splitlines()[2:] if line.split(" | ")[0] not in _rows(results)]
    # A row that was not measured this time keeps its last figures.
    new = [_cells([f"| {each.row}", each.what, each.aim, each.figure, f"{each.verdict} |"]) for each in results]
    if results:
        body = ["| row | what | aim | figure | |", "|---|---|---|---|---|", *_in_order([*kept, *new])]
        text = _replaced(text, "results", "\n".join(body))
        text = _replaced(text, "machine", ", ".join(f"{name} {value}" for name, value in machine.items()) + ".")
    for each in found:
        if isinstance(each, Table) and _MARK.format("begin", each.name) in text:
            body = [f"| {_cells(each.head)} |", "|" + "---|" * len(each.head)]
            body += [f"| {_cells(line)} |" for line in each.lines]
            text = _replaced(text, each.name, "\n".join(body))
    path.write_text(text, encoding="utf-8")


def _rows(results: Iterable[Result]) -> set[str]:
    return {f"| {each.row}" for each in results}


def _in_order(table: list[str]) -> list[str]:
    from benchmarks.rows import ROWS  # noqa: PLC0415 - the rows need this module

    names = list(ROWS)
    return sorted(table, key=lambda line: names.index(line.split(" | ")[0].removeprefix("| ")))


def _cells(cells: Sequence[str]) -> str:
    return " | ".join(cells)


def _part(text: str, name: str) -> str:
    begin, end = _MARK.format("begin", name), _MARK.format("end", name)
    return text.partition(begin)[2].partition(end)[0].strip("\n")


def _replaced(text: str, name: str, body: str) -> str:
    begin, end = _MARK.format("begin", name), _MARK.format("end", name)
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{body}\n{end}{rest.partition(end)[2]}"
