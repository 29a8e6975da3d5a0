"""The lies that an API may tell, and how a run over each has to end."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from tap_genesys_search import timestamps
from tests.support.helpers import NOON
from tests.support.liars import CONTRACT, CROWD, DAY, FAR, FINE, HOUR, PLATFORM, Asked, Lie, conversation

if TYPE_CHECKING:
    from collections.abc import Callable

    Document = Any
    Row = dict[str, Any]


def broken(says: str, **lie: Any) -> Lie:
    """A lie that has to be noticed."""
    return Lie(CONTRACT, says, **lie)


def without(page: Document, *names: str) -> Document:
    """A page that lacks something."""
    return {name: value for name, value in page.items() if name not in names}


def more(page: Document, token: object, **changes: object) -> Document:
    """A page that says that more follows, whatever does."""
    return {**page, **changes, "nextPage": token}


def body(document: object, **lie: Any) -> Lie:
    """A document instead of a page, with 200."""
    return broken("without a list of results", answers=lambda *_: document, **lie)


def no_json(content: bytes, kind: str) -> Lie:
    """Something that is no JSON, with 200."""
    return Lie(PLATFORM, "no whole JSON", answers=lambda *_: content, content_type=kind)


def result(value: object) -> Lie:
    """One result is something else."""

    def answers(_: Asked, page: Document) -> Document:
        return {**page, "results": [*page["results"], value]}

    return broken("not a conversation", answers=answers)


def turning(rows: list[Row], number: int) -> list[Row]:
    """Some order, another each time."""
    return Random(number).sample(rows, len(rows))


def by_tokens(answers: Callable[[Asked, Document], Document], says: str) -> Lie:
    """A lie about tokens: they are followed inside a crowd, where the API does not sort by id."""
    return broken(says, crowd=450, hears=lambda asked: replace(asked, by_id=False, after=""), answers=answers)


def circle(length: int) -> Lie:
    """Tokens that come again after so many: no page is the last."""

    def answers(asked: Asked, page: Document) -> Document:
        ahead = int(asked.page) % length + 1
        return more(page, str(ahead)) if is_crowd(asked) else page

    return by_tokens(answers, "same token twice|differently")


def is_crowd(asked: Asked) -> bool:
    """Whether only the instant of the crowd was asked for."""
    return asked.high - asked.low == 1


def told(stamp: Callable[[str], object], code: int = FINE, says: str = "", **lie: Any) -> Lie:
    """An API whose timestamps are right and look different."""

    def answers(_: Asked, page: Document) -> Document:
        return {**page, "results": [{**row, "timestamp": stamp(row["timestamp"])} for row in page["results"]]}

    return Lie(code, says, answers=answers, **lie)


def local(stamp: str, hours: int, suffix: str) -> str:
    """A timestamp as clocks elsewhere show it."""
    return timestamps.write(timestamps.parse(stamp) + hours * HOUR * 1_000).removesuffix("Z") + suffix


def beside(page: Document, *rows: Row) -> Document:
    """A page that holds something more at its end."""
    return {**page, "results": [*page["results"], *rows]}


def doubled(page: Document, number: int) -> Document:
    """A page whose last rows come twice, the same each time."""
    return {**page, "results": [row for each in page["results"] for row in [each] * number]}


def empties(asked: Asked, page: Document) -> Document:
    """An empty page with a token."""
    return more(page, str(asked.number), results=[])


LIES: dict[str, Lie] = {
    # The order
    "sorted in no order": broken("honour sort", finds=lambda asked, rows: turning(rows, asked.number)),
    "sorted downwards": broken("honour sort", hears=lambda asked: replace(asked, descending=True)),
    # Where workers share the range it is right all the same: a short part is followed down to its first.
    "sorted downwards, one on a page": broken(
        "honour sort|^$", hears=lambda asked: replace(asked, descending=True), pages=1, also=FINE
    ),
    "sorted downwards, many at the top": broken(
        "honour sort",
        hears=lambda asked: replace(asked, descending=True),
        rows=tuple(conversation(f"top-{n}", NOON - 60) for n in range(60)),
    ),
    "sorted by id": broken("honour sort", finds=lambda _, rows: sorted(rows, key=lambda row: row["id"][::-1])),
    "the last at the top": broken("honour sort", finds=lambda _, rows: rows[-1:] + rows[:-1]),
    # The range
    "no range": broken("honour ranges", hears=lambda asked: replace(asked, low=-FAR * 1_000, high=FAR * 1_000)),
    "no beginning": broken("honour ranges", hears=lambda asked: replace(asked, low=-FAR * 1_000)),
    "beginning left out": broken("honour ranges", hears=lambda asked: replace(asked, low=asked.low + 1), pages=7),
    "beginning left out of a crowd": broken(
        "honour ranges", hears=lambda asked: replace(asked, low=asked.low + 1), crowd=450
    ),
    # The size
    "fewer": Lie(hears=lambda asked: replace(asked, size=min(asked.size, 7))),
    "one": Lie(hears=lambda asked: replace(asked, size=1), rows=tuple(conversation(f"t-{n}", CROWD) for n in range(9))),
    "more": Lie(hears=lambda asked: replace(asked, size=asked.size * 3)),
    "always 25": Lie(hears=lambda asked: replace(asked, size=25), crowd=60),
    "always 25 to one who asks for ten": Lie(hears=lambda asked: replace(asked, size=25), pages=10),
    "none": broken("never ends", hears=lambda asked: replace(asked, size=0)),
    "fewer in a crowd that is read by tokens": broken(
        "differently", hears=lambda asked: replace(asked, by_id=False, after="", size=25), crowd=60
    ),
    # Tokens
    "circle of 1": circle(1),
    "circle of 2": circle(2),
    "circle of 3": circle(3),
    "circle of 7": circle(7),
    "always the same token": broken("same token|never ends|differently", answers=lambda _, page: more(page, "again")),
    "always another token and the same page": broken(
        "nothing new",
        hears=lambda asked: replace(asked, by_id=False, after="", page=1),
        answers=lambda asked, page: more(page, f"{asked.number}") if is_crowd(asked) else page,
        crowd=450,
    ),
    "token that is null": Lie(answers=lambda _, page: {"nextPage": None, **page}),
    "token that is a number": Lie(
        hears=lambda asked: replace(asked, by_id=False, after=""),
        answers=lambda _, page: page | ({"nextPage": int(page["nextPage"])} if "nextPage" in page else {}),
        crowd=450,
    ),
    "token that is empty": broken("nextPage", answers=lambda _, page: more(page, "")),
    "token that is true": broken("nextPage", answers=lambda _, page: {**page, "nextPage": True}),
    "token that is an object": broken("nextPage", answers=lambda _, page: more(page, {"page": 2})),
    # Bodies
    "error": body({"message": "An error", "code": "internal.error", "status": 500}),
    "errors": body({"errors": [{"message": "An error"}]}),
    "null": body(None),
    "list": body([]),
    "text": body("text"),
    "no results": broken("without a list of results", answers=lambda _, page: without(page, "results")),
    "results that are null": broken("without a list of results", answers=lambda _, page: {**page, "results": None}),
    "results that are an object": broken("without a list of results", answers=lambda _, page: {**page, "results": {}}),
    "error after some pages": broken(
        "without a list of results", answers=lambda asked, page: page if asked.number < 2 else {"errors": []}
    ),
    "HTML": no_json(b"<html><body>Log in</body></html>", "text/html"),
    "HTML that says it is JSON": no_json(b"<html></html>", "application/json"),
    "nothing": no_json(b"", "application/json"),
    "another content type": Lie(content_type="text/plain; charset=latin-1"),
    "result that is null": result(None),
    "result that is a text": result("conversation"),
    "result that is a list": result([]),
    # Rows
    "each twice": Lie(answers=lambda _, page: doubled(page, 2)),
    "older and newer version": Lie(
        rows=tuple(conversation("two", NOON - HOUR + number, version=number) for number in (1, 2))
    ),
    "newer version first": broken(
        "honour sort",
        finds=lambda _, rows: sorted(rows, key=lambda row: (row["timestamp"][:14], -row.get("version", 0))),
        rows=tuple(conversation("two", NOON - HOUR + number, version=number) for number in (1, 2)),
    ),
    # Totals
    "total below zero": Lie(answers=lambda _, page: {**page, "total": -5}),
    "huge total": Lie(answers=lambda _, page: {**page, "total": 10**15}),
    "total beyond all numbers": Lie(answers=lambda _, page: {**page, "total": 10**400}),
    "no total": Lie(answers=lambda _, page: without(page, "total")),
    "total that is a text": Lie(answers=lambda _, page: {**page, "total": "300"}),
    "total with a fraction": Lie(answers=lambda _, page: {**page, "total": page["total"] + 0.5}),
    "total of one": Lie(answers=lambda _, page: {**page, "total": 1}),
    # Timestamps
    "an hour ahead": broken("honour ranges", answers=lambda _, page: beside(page, conversation("ahead", NOON + HOUR))),
    "ten years ahead": broken(
        "honour ranges", answers=lambda _, page: beside(page, conversation("ahead", NOON + 3_653 * DAY))
    ),
    "another zone": told(lambda stamp: local(stamp, 2, "+02:00")),
    "zones that change": told(lambda stamp: local(stamp, hour := int(stamp[21]) % 3, f"+0{hour}:00")),
    "time of the east without a zone": told(lambda stamp: local(stamp, 2, ""), CONTRACT, "honour ranges", too_far=True),
    "time of the west without a zone": told(lambda stamp: local(stamp, -5, ""), CONTRACT, "honour ranges"),
    "no zone": told(lambda stamp: stamp[:-1]),
    "microseconds": told(lambda stamp: stamp[:-1] + "999Z"),
    "nanoseconds": told(lambda stamp: stamp[:-1] + "999999Z"),
    "seconds": told(lambda stamp: stamp[:19] + "Z", also=CONTRACT, shown=lambda stamp: stamp[:19] + ".000Z"),
    "numbers": told(timestamps.parse, CONTRACT, "usable timestamp"),
    "none in a full page": told(lambda _: None, CONTRACT, "usable timestamp"),
    "none in some": Lie(rows=tuple(conversation(f"timeless-{n}", None) for n in range(20))),
    # Empty pages
    "empty once": Lie(answers=empties, brief=1),
    "empty in the middle once": Lie(
        answers=lambda asked, page: empties(asked, page) if asked.number == 3 else page,
    ),
    "empty five times": Lie(answers=empties, brief=5),
    "empty for ever": broken("never ends", answers=empties),
    "empty in a crowd once": Lie(
        answers=lambda asked, page: empties(asked, page) if is_crowd(asked) and asked.number % 2 else page, crowd=450
    ),
    "empty without a token once": Lie(
        answers=lambda asked, page: without({**page, "results": []}, "nextPage") if asked.number == 2 else page
    ),
}
