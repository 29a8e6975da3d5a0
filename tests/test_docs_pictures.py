"""The pictures are what their script draws, on paper of their own and within the width of a page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
NAMES = sorted(path.name for path in PICTURES.glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"
#: How wide a letter is, in parts of its size: more than those of DejaVu Sans, a wide font, are on the average.
LETTER, BOLD_LETTER = 0.56, 0.64


def test_the_script_draws_what_is_there(tmp_path: Path) -> None:
    """After a change that is meant: `python docs/pictures/draw.py`, and look at them."""
    subprocess.run([sys.executable, str(PICTURES / "draw.py"), str(tmp_path)], check=True, timeout=60)
    drawn = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert drawn == {name: (PICTURES / name).read_bytes() for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_read_anywhere(name: str) -> None:
    root = ET.fromstring((PICTURES / name).read_text(encoding="utf-8"))  # noqa: S314 - drawn here
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert width <= 800
    title, paper = root.find(f"{SVG}title"), root.find(f"{SVG}rect")
    assert title is not None
    assert title.text
    assert paper is not None
    assert (paper.attrib["width"], paper.attrib["height"]) == (root.attrib["width"], root.attrib["height"])
    for text in root.iter(f"{SVG}text"):
        assert text.text
        letter = BOLD_LETTER if "font-weight" in text.attrib else LETTER
        long = len(text.text) * float(text.attrib["font-size"]) * letter
        x, y = float(text.attrib["x"]), float(text.attrib["y"])
        left = x - long * {"start": 0, "middle": 0.5, "end": 1}[text.attrib["text-anchor"]]
        assert left >= 0, text.text
        assert left + long <= width, text.text
        assert 10 <= y <= height, text.text


@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_it(name: str) -> None:
    """With its title in words for who cannot see it."""
    pages = "".join(page.read_text(encoding="utf-8") for page in PICTURES.parent.glob("*.md"))
    assert re.search(rf"!\[[^\]]{{20,}}\]\(pictures/{re.escape(name)}\)", pages)
