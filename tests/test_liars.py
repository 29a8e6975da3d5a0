"""An API that lies: what the tap brings is complete and right, or it ends with one line and claims nothing too much."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tap_genesys_search import timestamps
from tests.fakes import serving
from tests.helpers import NOON, Run, State, Tap, accounted_for, bookmark_of, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fakes import Handler, Server

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


def broken(says: str, **lie: Any) -> Lie:  # noqa: ANN401
    """A lie that has to be noticed."""
    return Lie(CONTRACT, says, **lie)


def without(page: Document, *names: str) -> Document:
    """A page that lacks something."""
    return {name: value for name, value in page.items() if name not in names}


def more(page: Document, token: object, **changes: object) -> Document:
    """A page that says that more follows, whatever does."""
    return {**page, **changes, "nextPage": token}


def body(document: object, **lie: Any) -> Lie:  # noqa: ANN401
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


def told(stamp: Callable[[str], object], code: int = FINE, says: str = "", **lie: Any) -> Lie:  # noqa: ANN401
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


def conversation(identity: str, seconds: float | None, **more: object) -> Row:
    """A row."""
    return {"id": identity, "conversationId": identity, "timestamp": None if seconds is None else text(seconds), **more}


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
            handler.reply(body=b'{"access_token":"t0ken","token_type":"bearer","expires_in":3600}')
            return
        self.searches += 1
        asked = Asked.read(handler.server.asked[-1][2], self.searches)
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


@pytest.fixture
def liar(request: pytest.FixtureRequest) -> Iterator[tuple[Liar, Server]]:
    """The API that tells a lie, once it begins to."""
    api = Liar(LIES[request.param])
    with serving(api) as server:
        yield api, server


def settings(server: Server, lie: Lie) -> dict[str, object]:
    """Settings that make a short run of many searches, and claim all that they can."""
    return {
        "client_id": "me",
        "client_secret": "s3cret",
        "base_url": server.url,
        "requests_per_minute": 100_000,
        "page_size": lie.pages,
        "slice_records": 100,
        "lookback_seconds": 0,
        "max_retries": 0,
    }


def in_order(run: Run) -> bool:
    """Whether what has a time came by time, each version once."""
    versions = [(record["timestamp"], record["id"]) for record in run.records]
    stamps = [stamp for stamp, _ in versions if stamp is not None]
    return all(before <= after for before, after in pairwise(stamps)) and len(set(versions)) == len(versions)


def behind(state: State, rows: dict[str, str]) -> set[str]:
    """What a state tells of: all that lies before its bookmark."""
    bookmark = bookmark_of(state).get("replication_key_value", "")
    return {identity for identity, stamp in rows.items() if str(stamp) < bookmark}


def cases() -> list[Any]:
    """Each lie at a first run and at a later one, where that makes a difference."""
    return [
        pytest.param(name, name, again, id=f"{name}, {'later' if again else 'first'}")
        for name, lie in LIES.items()
        for again in (False, True)
        if again or not re.search("list of results|whole JSON|not a conversation", lie.says)
    ]


@pytest.mark.parametrize(("liar", "name", "again"), cases(), indirect=["liar"])
def test_a_lie_loses_nothing_or_is_said(tap: Tap, liar: tuple[Liar, Server], name: str, *, again: bool) -> None:
    """Alone, or over a state that an honest run has left."""
    api, server = liar
    lie = LIES[name]
    config = settings(server, lie)
    runs = [tap(config, now=MORNING)] if again else []
    stored = runs[-1].state if runs else None

    api.lying, api.searches = True, 0
    run = tap(config, state=stored, now=NOON, timeout=60)
    runs.append(run)
    assert run.code in {lie.code, lie.also}, run.stderr
    assert len(run.critical) == (run.code != FINE)
    assert re.search(lie.says, "".join(run.critical)), run.critical
    assert "Traceback" not in run.stderr
    assert in_order(run)
    if run.code == FINE:
        assert table(runs).keys() == api.truth.keys()
        assert all(run.table[key] in {api.truth[key], lie.shown(str(api.truth[key]))} for key in run.table)
        assert run.states
    else:
        # What programs read of it may stand beside it.
        assert all("FAILURE:" in line for line in run.stderr.splitlines() if "ERROR" in line)
    accounted_for(replaced(run), stored)
    if lie.too_far:
        return
    state = run.states[-1] if run.states else stored or {}
    assert behind(state, api.truth) <= table(runs).keys()

    # Once the lie is over, nothing of it is left.
    api.lying = False
    last = tap(config, state=state, now=NOON)
    assert last.code == FINE, last.stderr
    held = table([*runs, last])
    assert held.keys() == api.truth.keys()
    assert all(held[key] in {stamp, lie.shown(str(stamp))} for key, stamp in api.truth.items())


def replaced(run: Run) -> Run:
    """A run without what has no time."""
    lines = [line for line in run.lines if '"timestamp":null' not in line]
    return Run(run.code, "".join(f"{line}\n" for line in lines), run.stderr)
