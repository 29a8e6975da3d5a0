"""What a page costs: it hardly grows with the world, however many conversations and hours that has."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any, SupportsIndex, cast

import msgspec
import pytest

from tap_genesys_search.sandbox import Faults, Movement, WorldConfig, create_app
from tap_genesys_search.sandbox.index import IdOrder
from tap_genesys_search.sandbox.instants import DAY, iso, millis
from tap_genesys_search.sandbox.lucene import document
from tap_genesys_search.sandbox.records import Record
from tap_genesys_search.sandbox.search import Searcher

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

END = "2026-10-31T00:00:00.000Z"


class World:
    """A world of some days, where every hour holds as much as in any other, and its searches."""

    def __init__(self, days: int, *, total_noise: float = 0, movement: Movement | None = None) -> None:
        config = WorldConfig(conversations=100 * days, days=days, end=END)
        app = create_app(config, Faults(total_noise=total_noise), movement, clock=lambda: millis(END) / 1_000)
        self.index = app.platform.world.index
        self.start = millis(END) - days * DAY
        self._searcher = Searcher(app.platform)

    def answer(self, query: str, field: str = "timestamp", direction: str = "asc") -> dict[str, Any]:
        """Search; `$` stands for a range from a quarter of the world to its end."""
        query = query.replace("$", f"timestamp:[{iso(self.start + (millis(END) - self.start) // 4)} TO {END}}}")
        sort = [{"field": field, "direction": direction}]
        body = {"type": "conversation", "query": query, "size": 50, "sort": sort}
        found: dict[str, Any] = msgspec.json.decode(self._searcher.answer(msgspec.json.encode(body)))
        return found


@cache
def kept(days: int, *, moving: bool) -> World:
    """A world for all who look at what a page of it costs."""
    return World(days, movement=Movement(move_every_search=1, arrive_every_search=1) if moving else None)


def steps(work: Callable[[], object]) -> int:
    """Count the lines of Python that some work takes, those of generators among them."""
    counted = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> object:
        nonlocal counted
        counted += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(cast("Any", trace))
    try:
        work()
    finally:
        sys.settrace(before)
    return counted


@pytest.mark.parametrize(
    ("query", "sort"),
    [
        ("(*) AND $", ("timestamp", "asc")),
        ("(status:completed) AND $", ("timestamp", "asc")),
        ("(status:completed) AND $", ("timestamp", "desc")),
        ("status:completed AND $", ("timestamp", "asc")),
        ("(agentName:agent-00*) AND $", ("timestamp", "asc")),
        ("$ AND conversationId:{conv-4 TO *]", ("conversationId", "asc")),
        ('conversationId:"conv-4" AND (status:completed)', ("timestamp", "desc")),
        ("(status:completed) AND $ AND conversationId:{conv-4 TO *]", ("conversationId", "desc")),
    ],
)
@pytest.mark.parametrize("moving", [False, True], ids=["still", "moving"])
def test_a_page_takes_as_many_steps_in_a_world_of_a_month_as_in_one_of_two_years(
    query: str, sort: tuple[str, str], *, moving: bool
) -> None:
    taken = []
    for days in (30, 720):
        world = kept(days, moving=moving)
        world.answer(query, *sort)
        taken.append(min(steps(lambda world=world: world.answer(query, *sort)) for _ in range(5)))  # type: ignore[misc]
    # The number of hours, 24 times as large, has 4 or 5 binary digits more than the 10 of a month.
    assert taken[1] < 2 * taken[0]


def watch_tests(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Give a list that gets each record that is looked into."""
    tested: list[bytes] = []

    def watched(raw: bytes) -> dict[str, object]:
        tested.append(raw)
        return document(raw)

    monkeypatch.setattr("tap_genesys_search.sandbox.lucene.document", watched)
    return tested


def test_the_first_page_of_a_new_query_looks_at_what_it_needs_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    tested = watch_tests(monkeypatch)
    world = World(720, total_noise=0.03)
    assert 20_000 < world.answer("(status:completed) AND $")["total"] < 50_000
    assert 50 < len(tested) < 300


class Watched(list[Record]):
    """A list that counts how much of it is copied."""

    copied = 0

    def __getitem__(self, place: SupportsIndex | slice) -> Any:
        found = super().__getitem__(place)
        self.copied += len(found) if isinstance(found, list) else 0
        return found


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_a_page_by_id_copies_no_more_than_the_page(monkeypatch: pytest.MonkeyPatch, direction: str) -> None:
    made: list[Watched] = []

    class Order(IdOrder):
        def __init__(self, records: list[Record]) -> None:
            super().__init__(records)
            self.records = Watched(self.records)
            made.append(self.records)

    monkeypatch.setattr("tap_genesys_search.sandbox.index.IdOrder", Order)
    world = World(30)
    for _ in range(3):
        assert len(world.answer("$ AND conversationId:{conv-4 TO *]", "conversationId", direction)["results"]) == 50
    assert [each.copied for each in made] == [3 * 50]


def test_a_query_is_known_again_whatever_its_range_and_wherever_that_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    tested = watch_tests(monkeypatch)
    world = World(30)
    whole = len(world.index)
    for place in range(10):
        low = f"timestamp:[{iso(world.start + place * DAY)} TO {END}}}"
        for query in (f"(status:completed) AND {low}", f"status:completed AND {low}", f"{low} AND status:completed"):
            world.answer(query)
    assert len(tested) == whole
    world.answer(f"status:abandoned AND timestamp:[{iso(world.start)} TO {END}}}")
    assert len(tested) == 2 * whole
