"""An API that answers honestly but for its lie, while it lies."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from tap_genesys_search import timestamps
from tests.support.helpers import NOON
from tests.support.searches import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fakes import Handler

    Document = Any
    Row = dict[str, Any]

FINE, PLATFORM, CONTRACT = 0, 75, 76

HOUR = 3_600
DAY = 24 * HOUR
MORNING = NOON - 6 * HOUR
FAR = 400 * 365 * DAY

#: The instant that many share, where there is one: after the morning, so that no stored state has it behind it.
CROWD = NOON - 2 * HOUR

_RANGE = re.compile(r"timestamp:\[(\S+) TO ([^\]}]+)[\]}]")
_AFTER = re.compile(r"conversationId:\{\"?(.*?)\"? TO \*\]")


def text(seconds: float) -> str:
    """A timestamp as the contract has it."""
    return timestamps.write(timestamps.from_seconds(seconds))


@dataclass(frozen=True)
class Asked:
    """A search as the API understands it; instants in milliseconds, pages counted from 1."""

    low: int
    high: int
    size: int
    page: Any = 1
    after: str = ""
    nameless: bool = False
    by_id: bool = False
    descending: bool = False
    number: int = 0

    @classmethod
    def read(cls, body: bytes, number: int) -> Asked:
        """Understand a search."""
        asked = json.loads(body)
        bounds = _RANGE.search(asked["query"])
        assert bounds is not None
        low, high = (-FAR * 1_000 if bound == "*" else timestamps.parse(bound) for bound in bounds.groups())
        (sort,) = asked["sort"]
        after = _AFTER.search(asked["query"])
        return cls(
            low=low,
            high=FAR * 1_000 if bounds[2] == "*" else high,
            size=asked["size"],
            page=asked.get("page", 1),
            after=after[1] if after else "",
            nameless="NOT conversationId" in asked["query"],
            by_id=sort["field"] == "conversationId",
            descending=sort["direction"] == "desc",
            number=number,
        )


@dataclass(frozen=True)
class Lie:
    """What an API does that it should not.

    Attributes:
        code: How the run ends.
        also: How it may end as well.
        says: What its line has to say, a regular expression.
        hears: What it makes of a question.
        finds: What it makes of the rows that match, in their order.
        answers: What it makes of an answer: an object, or the bytes of a body.
        content_type: Of its answers.
        crowd: How many conversations share one instant.
        rows: What the index holds beside the usual, all of which is true.
        stamps: How the usual timestamps look, and what they mean.
        pages: ``page_size``.
        shown: What a true timestamp comes out as.
        brief: Only the first so many answers are lies; None: all.
        too_far: A single page cannot show it, so what the state tells of the first one is wrong.
    """

    code: int = FINE
    says: str = ""
    also: int | None = None
    hears: Callable[[Asked], Asked] = lambda asked: asked
    finds: Callable[[Asked, list[Row]], list[Row]] = lambda _, rows: rows
    answers: Callable[[Asked, Document], Document] = lambda _, page: page
    content_type: str = "application/json"
    crowd: int = 0
    rows: tuple[Row, ...] = ()
    pages: int = 50
    shown: Callable[[str], str] = lambda stamp: stamp
    brief: int | None = None
    too_far: bool = False


def conversation(identity: str, seconds: float | None, **more: object) -> Row:
    """A row."""
    return {"id": identity, "conversationId": identity, "timestamp": None if seconds is None else text(seconds), **more}


@dataclass
class Liar:
    """A small index, which answers honestly but for its lie, while it lies."""

    lie: Lie
    lying: bool = False
    searches: int = 0
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Spread some conversations over a day, and put others into one instant."""
        chance = Random(7)
        stamps = sorted(NOON - DAY + chance.randrange(DAY * 100) / 100 for _ in range(300))
        # Some share an instant with their neighbour.
        usual = [conversation(f"c-{chance.randrange(10**9):09d}", stamps[n - n % 5 % 2]) for n in range(len(stamps))]
        crowd = [conversation(f"crowd-{number:04d}", CROWD) for number in range(self.lie.crowd)]
        self.rows = sorted([*usual, *crowd, *self.lie.rows], key=lambda row: str(row["timestamp"]))

    @property
    def truth(self) -> dict[str, str]:
        """The newest timestamp by id."""
        return {row["id"]: row["timestamp"] for row in self.rows}

    def __call__(self, handler: Handler) -> None:
        """Answer a request."""
        if handler.path == "/oauth/token":
            handler.reply(body=TOKEN)
            return
        self.searches += 1
        asked = Asked.read(handler.body, self.searches)
        lying = self.lying and (self.lie.brief is None or self.searches <= self.lie.brief)
        page = self._page(asked, self.lie if lying else Lie())
        content = page if isinstance(page, bytes) else json.dumps(page).encode()
        handler.reply(body=content, Content_Type=self.lie.content_type if lying else "application/json")

    def _page(self, asked: Asked, lie: Lie) -> Document:
        heard = lie.hears(asked)
        low, high = timestamps_of(heard)
        rows = [
            row
            for row in self.rows
            if (row["timestamp"] is None or low <= row["timestamp"] < high) and row["id"] > heard.after
        ]
        if heard.nameless:
            rows = []
        if heard.by_id:
            rows.sort(key=lambda row: row["id"])
        rows = lie.finds(heard, rows[::-1] if heard.descending else rows)
        number = int(heard.page) if str(heard.page).isdigit() else 1
        shown = rows[(number - 1) * heard.size : number * heard.size]
        page = {"page": number, "pageSize": heard.size, "total": len(rows), "results": [dict(row) for row in shown]}
        if len(rows) > number * heard.size:
            page["nextPage"] = str(number + 1)
        return lie.answers(heard, page)


def timestamps_of(asked: Asked) -> tuple[str, str]:
    """The range as texts that compare like times."""
    low, high = (max(timestamps.parse("0001-01-01"), min(n, FAR * 1_000)) for n in (asked.low, asked.high))
    return timestamps.write(low), timestamps.write(high)
