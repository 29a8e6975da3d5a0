"""Draw the pictures of the docs: ``python docs/pictures/draw.py FOLDER``; without a folder, into that of this script.

The same script writes the same bytes everywhere: nothing is measured, and nothing comes from chance.
"""
# ruff: noqa: INP001, RUF001 - a folder of docs is no package, and what is drawn is written as people write it

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WIDTH = 760
INK, FAINT, PAPER = "#1f2328", "#59636e", "#ffffff"
GREY, BLUE, GREEN, AMBER, RED, VIOLET = "#d8dee4", "#9ec9f5", "#a5dba9", "#f3cf83", "#f2a6a0", "#cdb9ee"
DEEP_BLUE, DEEP_GREEN, DEEP_RED = "#0b5cad", "#1a6b2d", "#b3261e"


@dataclass
class Picture:
    """An SVG that grows part by part; all lengths are pixels, ``y`` downwards."""

    title: str
    height: int
    parts: list[str] = field(default_factory=list)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        colour: str = INK,
        anchor: str = "start",
        size: int = 13,
        bold: bool = False,
    ) -> None:
        """Write words whose baseline is ``y``."""
        more = ' font-weight="bold"' if bold else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" fill="{colour}" font-size="{size}" text-anchor="{anchor}"{more}>'
            f"{escape(words)}</text>"
        )

    def box(self, x: float, y: float, width: float, height: float, *, fill: str, words: str = "") -> None:
        """Draw a box with words in its middle."""
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3" fill="{fill}" stroke="{FAINT}"/>'
        )
        if words:
            self.text(x + width / 2, y + height / 2 + 4.5, words, anchor="middle")

    def line(
        self, *points: tuple[float, float], colour: str = FAINT, dashed: bool = False, arrow: bool = False
    ) -> None:
        """Draw a line through points."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        more = ' stroke-dasharray="4 4"' if dashed else ""
        more += ' marker-end="url(#tip)"' if arrow else ""
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"{more}/>')

    def brace(self, left: float, right: float, y: float, words: str, *, colour: str = INK) -> None:
        """Mark a stretch from below, and say below it what it is."""
        self.line((left, y - 5), (left, y), (right, y), (right, y - 5), colour=colour)
        self.text((left + right) / 2, y + 16, words, colour=colour, anchor="middle")

    def dot(self, x: float, y: float, fill: str) -> None:
        """Draw a conversation."""
        self.parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="5" fill="{fill}" stroke="{FAINT}"/>')

    def svg(self) -> str:
        """Return the whole; its paper is its own, so that it can be read on a dark page too."""
        size = f'width="{WIDTH}" height="{self.height}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {WIDTH} {self.height}" role="img"',
                'font-family="DejaVu Sans, Verdana, sans-serif">',
                f"<title>{escape(self.title)}</title>",
                f'<rect {size} rx="6" fill="{PAPER}"/>',
                '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"',
                f'orient="auto"><path d="M0 0L8 4L0 8z" fill="{FAINT}"/></marker></defs>',
                *self.parts,
                "</svg>",
                "",
            ]
        )


def paging() -> Picture:
    """A record leaves its place between two pages."""
    picture = Picture("A page token counts from the beginning: when b moves to the end, page 2 skips e", 404)
    left, step = 24, 44

    def row(y: float, names: str, fills: dict[str, str]) -> None:
        for place, name in enumerate(names):
            picture.box(left + place * step + 8 * (place // 4), y, step - 6, 28, fill=fills.get(name, GREY), words=name)

    def page(y: float, number: int, words: str, colour: str = INK) -> None:
        begin = left + (number - 1) * (4 * step + 8)
        picture.brace(begin, begin + 4 * step - 6, y, words, colour=colour)

    picture.text(left, 28, "1. The first page is read: a b c d. Its token says “page 2”.", bold=True)
    row(42, "abcdefghijkl", dict.fromkeys("abcd", GREEN))
    page(80, 1, "page 1, read")
    picture.text(left, 134, "2. b is updated. It gets a new timestamp, and all behind it move up by one.", bold=True)
    row(148, "acdefghijklb", {**dict.fromkeys("acd", GREEN), "e": RED, "b": AMBER})
    picture.text(left + 12 * step + 24, 167, "b now stands here", colour=FAINT)
    picture.line((left + 12 * step + 20, 162), (left + 12 * step + 12, 162))
    picture.text(left, 216, "3. Page 2 begins at the fifth place: f. No page shows e, which has not moved.", bold=True)
    row(230, "acdefghijklb", {**dict.fromkeys("acd", GREEN), "e": RED, **dict.fromkeys("fghi", BLUE)})
    page(268, 2, "page 2, by the token")
    picture.text(left, 320, "Seeking asks “from d's timestamp on” instead: d is known, and e is there.", bold=True)
    row(334, "acdefghijklb", {**dict.fromkeys("acd", GREEN), **dict.fromkeys("efg", BLUE)})
    picture.brace(left + 2 * step, left + 5 * step + 46, 372, "the next answer", colour=DEEP_BLUE)
    return picture


def seeking() -> Picture:
    """A range read by three answers."""
    picture = Picture("A range is read by asking again from the last timestamp that an answer held", 312)
    places = [40, 72, 96, 140, 168, 214, 240, 282, 318, 350, 396, 424, 470, 512, 548, 590, 640]
    left, right = 24, 690
    picture.text(left, 28, "start", colour=FAINT)
    picture.text(right, 28, "end (exclusive)", colour=FAINT, anchor="end")
    picture.line((left, 52), (right, 52))
    picture.line((left, 44), (left, 60))
    picture.line((right, 44), (right, 60))
    for place in places:
        picture.dot(place, 52, GREY)
    questions = [(0, 6, "answer 1"), (6, 12, "answer 2"), (12, 17, "answer 3")]
    for number, (first, last, name) in enumerate(questions):
        y = 104 + 58 * number
        begin = left if number == 0 else places[first]
        asked = "[start … end}" if number == 0 else f"[t{number} … end}}"
        picture.line((begin, y), (right, y), dashed=True)
        for index in range(first, min(last + 1, len(places))):
            picture.dot(places[index], y, AMBER if number and index == first else GREEN)
        picture.text(right, y - 12, f"asked: {asked}", colour=FAINT, anchor="end")
        is_last = number == len(questions) - 1
        if is_last:
            picture.text(right, y + 24, f"{name} has no nextPage: proves the rest", colour=DEEP_GREEN, anchor="end")
        else:
            picture.text(begin, y + 24, f"{name}: proves all before t{number + 1}", colour=DEEP_GREEN)
        if not is_last:
            here = places[last]
            picture.line((here, 58), (here, y - 8), colour=DEEP_BLUE, dashed=True)
            picture.line((here, y + 8), (here, y + 50), colour=DEEP_BLUE, arrow=True)
            picture.text(here + 8, y + 22, f"t{number + 1}, the last timestamp", colour=DEEP_BLUE)
    picture.dot(left + 5, 284, GREEN)
    picture.text(left + 18, 288.5, "new")
    picture.dot(left + 85, 284, AMBER)
    picture.text(left + 98, 288.5, "known from the answer before: dropped by its id")
    return picture


def slices() -> Picture:
    """Pages of slices, when they are read and when they are passed on."""
    picture = Picture("Slices are read side by side and passed on in order of time", 330)
    colours = [BLUE, GREEN, AMBER, VIOLET, RED, GREY]
    # Ticks that each page of a slice takes to read; the second slice is slow.
    costs = [[3, 3, 3, 3], [4, 5, 6, 5], [2, 3, 2, 3], [3, 2, 3], [3, 3, 2], [3, 3, 3]]
    left, tick, names = 110, 15.4, "ABC"
    picture.text(24, 28, "the range, in order of the conversations' timestamps", colour=FAINT)
    share = (WIDTH - 48) / len(costs)
    for number, colour in enumerate(colours):
        picture.box(24 + number * share, 40, share, 28, fill=colour, words=f"slice {number + 1}")
    free = dict.fromkeys(names, 0)
    read: list[list[tuple[int, int]]] = []
    owners: list[str] = []
    for pages in costs:
        worker = min(names, key=lambda name: (free[name], name))
        at, done = free[worker], []
        for cost in pages:
            done.append((at, at + cost))
            at += cost
        free[worker] = at
        owners.append(worker)
        read.append(done)
    for lane, name in enumerate(names):
        picture.text(24, 128 + lane * 36, f"worker {name}")
    for number, pages_read in enumerate(read):
        y = 108 + names.index(owners[number]) * 36
        for begin, end in pages_read:
            picture.box(left + begin * tick, y, (end - begin) * tick, 28, fill=colours[number], words=str(number + 1))
    y, now = 232, 0.0
    picture.text(24, y + 20, "passed on")
    for number, pages_read in enumerate(read):
        for _, end in pages_read:
            now = max(now, end)
            picture.box(left + now * tick, y, tick, 28, fill=colours[number], words=str(number + 1))
            now += 1
    picture.line((left, 278), (WIDTH - 24, 278), arrow=True)
    picture.text(WIDTH - 24, 296, "the run's clock", colour=FAINT, anchor="end")
    picture.text(24, 296, "A page that is read early waits, in bounded memory, until all before it are passed on.")
    picture.text(24, 316, "A STATE follows each page that is passed on, never one that is only read.")
    return picture


def state() -> Picture:
    """Two runs, and what the state between them proves."""
    picture = Picture("What a STATE proves, and where the next run begins", 412)
    since, start, bookmark, run_1, run_2 = 40, 290, 400, 510, 710
    marks = {"since": since, "bookmark": bookmark, "run_start": run_1}
    picture.text(24, 24, "the conversations' timestamps", colour=FAINT)
    picture.line((24, 64), (WIDTH - 24, 64), arrow=True)
    for name, place in marks.items():
        # Not through the words between the bars.
        for top, bottom in [(58, 78), (100, 144), (188, 230), (252, 328)][: 2 if place == since else None]:
            picture.line((place, top), (place, bottom), dashed=True)
        picture.text(place, 50, name, anchor="start" if place == since else "middle", bold=True)
    for top, bottom in [(214, 230), (252, 294)]:
        picture.line((start, top), (start, bottom), dashed=True, colour=DEEP_BLUE)

    def says(y: float, words: str) -> None:
        picture.text(24, y, words)

    says(94, "Run 1 began at run_start. It has read all that the index showed up to there.")
    picture.box(since, 106, run_1 - since, 26, fill=GREEN, words="read by run 1")
    says(162, "The bookmark is the newest timestamp that it passed on. What lies shortly before run_start")
    says(180, "the index may still show late, so the next run looks back from there.")
    picture.line((start, 209), (start, 214), (run_1, 214), (run_1, 209), colour=DEEP_BLUE)
    picture.text(start - 8, 219, "lookback_seconds", colour=DEEP_BLUE, anchor="end")
    says(246, "Run 2 begins at the earlier of bookmark and run_start − lookback_seconds.")
    picture.box(start, 258, bookmark - start, 26, fill=AMBER, words="read again")
    picture.box(bookmark, 258, run_2 - bookmark, 26, fill=GREEN, words="new")
    picture.dot(350, 308, RED)
    picture.text(340, 312.5, "shown late: run 2 brings it", anchor="end")
    picture.dot(600, 308, GREEN)
    picture.text(612, 312.5, "updated since")
    picture.line((start, 331), (start, 336), (bookmark - 3, 336), (bookmark - 3, 331))
    picture.text(bookmark - 3, 353, "STATE stays as it was", colour=FAINT, anchor="end")
    picture.line((bookmark + 3, 331), (bookmark + 3, 336), (run_2, 336), (run_2, 331))
    picture.text(bookmark + 12, 353, "bookmark and run_start advance together", colour=FAINT)
    picture.text(24, 384, "Killed in the amber stretch, run 2 leaves the STATE of run 1:")
    picture.text(24, 402, "the next run reads that stretch again.")
    return picture


def burst() -> Picture:
    """More records in a millisecond than a page holds."""
    picture = Picture("A burst at one instant is read by seeking along conversationId inside it", 384)
    heights = [8, 12, 6, 14, 9, 7, 150, 10, 13, 7, 11, 8]
    base, left, step = 200, 30, 20
    for place, height in enumerate(heights):
        picture.box(left + place * step, base - height, 14, height, fill=AMBER if height == max(heights) else GREY)
    picture.line((24, base), (left + len(heights) * step + 6, base), arrow=True)
    at = left + 6 * step + 7
    picture.text(at, base + 18, "t", anchor="middle", bold=True)
    picture.text(24, 28, "a bulk update:", colour=FAINT)
    picture.text(24, 46, "1,000 in one millisecond", colour=FAINT)
    right, width = 330, 406
    picture.text(right, 28, "the conversations of t, in order of conversationId", colour=FAINT)
    share = width / 5
    for number in range(5):
        picture.box(right + number * share, 50, share, 32, fill=AMBER, words="200")
    for number in range(1, 5):
        x = right + number * share
        picture.line((x, 86), (x, 104), colour=DEEP_BLUE, arrow=True)
        picture.text(x, 120, f"the {number * 200}th", colour=DEEP_BLUE, anchor="middle", size=12)
    picture.text(right, 150, "Each search goes on behind the last id that it was shown:")
    picture.text(right, 170, "timestamp:[t TO t+1 ms} AND conversationId:{last TO *]", colour=DEEP_BLUE)
    picture.line((at + 12, base - 130), (right - 8, 66), arrow=True)
    steps = [
        "1. What lies before t is read first, as always.",
        "2. Inside t: sorted by conversationId, 200 at a time, from the first id up, until no nextPage.",
        "3. One more search, for what has no conversationId at t, must find nothing.",
        "4. The reading goes on by time, at t + 1 ms.",
        "If the API does not sort by conversationId, t is read by its tokens until two readings agree,",
        "or the run stops and says so.",
    ]
    for number, words in enumerate(steps):
        picture.text(24, 250 + number * 24, words, colour=INK if number < 4 else FAINT)  # noqa: PLR2004 - the steps
    return picture


PICTURES: dict[str, Callable[[], Picture]] = {
    "burst": burst,
    "paging": paging,
    "seeking": seeking,
    "slices": slices,
    "state": state,
}


def draw(folder: Path, names: Iterable[str] = PICTURES) -> None:
    """Write the pictures into a folder that is there."""
    for name in names:
        (folder / f"{name}.svg").write_text(PICTURES[name]().svg(), encoding="utf-8")


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent)
