"""The script that shows what paging loses, at a small size."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.helpers import environment

DOCS = Path(__file__).parents[1] / "docs"
LINE = re.compile(r"(following nextPage|seeking) +(\d+) +([\d,]+) +([\d,]+) +([\d,]+)")
MARK = "<!-- output of lose_by_paging.py -->\n```\n"


def table(output: str) -> list[tuple[str, int, int, int, int]]:
    """The rows: how it was read, seed, searches, how many kept their place, how many of these were lost."""
    rows = [found for line in output.splitlines() if (found := LINE.fullmatch(line))]
    assert rows
    return [(row[1], *(int(text.replace(",", "")) for text in row.groups()[1:])) for row in rows]  # type: ignore[misc]


def head(output: str) -> list[str]:
    """What stands above the rows, without its numbers."""
    return [re.sub(r"[\d,]*\d", "#", line) for line in output.splitlines() if not LINE.fullmatch(line)]


def shown() -> str:
    """What stands in the page."""
    return (DOCS / "not-paging.md").read_text(encoding="utf-8").split(MARK)[1].split("```")[0]


def test_paging_loses_some_and_seeking_none() -> None:
    command = [sys.executable, str(DOCS / "lose_by_paging.py"), "--conversations", "1000", "--page-size", "25"]
    done = subprocess.run(
        [*command, "--seeds", "2"], env=environment(), check=True, capture_output=True, text=True, timeout=120
    )
    found = table(done.stdout)
    assert [(name, seed) for name, seed, *_ in found] == [
        ("following nextPage", 1),
        ("following nextPage", 2),
        ("seeking", 1),
        ("seeking", 2),
    ]
    for name, _, searches, stood, lost in found:
        assert searches >= 40
        assert 800 < stood < 1_000
        assert (lost > 0) == (name != "seeking")
    assert head(done.stdout) == head(shown())


def test_the_page_shows_what_it_says() -> None:
    found = table(shown())
    lost = {name: [row[-1] for row in found if row[0] == name] for name in ("following nextPage", "seeking")}
    assert min(lost["following nextPage"]) > 0
    assert max(lost["seeking"]) == 0
    stood = sum(row[-2] for row in found if row[0] != "seeking")
    assert 550 < stood / sum(lost["following nextPage"]) < 650
