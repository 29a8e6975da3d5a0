"""The audit's comparison, without any API: a naive one finds the same."""

from __future__ import annotations

import random
import tracemalloc
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from tap_genesys_search.audit import DAY, Audit, Finding, What
from tap_genesys_search.explain import Found
from tests.audit.auditor import NEVER, audited

if TYPE_CHECKING:
    from collections.abc import Iterator

LOW, HIGH = 2, 6


def naive(identity: str, found: Found, held: int | None, due: int | None) -> Finding | None:
    """What is the matter with an id, by its places alone."""
    at = found.at if found.matches else None
    late = due is not None and at is not None and at >= due
    if at is not None and LOW <= at < HIGH:
        if held == at:
            return None
        what = What.MISSING if held is None else What.STALE if held < at else What.NEWER
        return Finding(identity, What.SINCE_LOAD if late and what is not What.NEWER else what, at, held)
    if held is None or not LOW <= held < HIGH:
        return None
    if at is None:
        return Finding(identity, What.NOT_MATCHING if found.exists else What.UNKNOWN, found.at, held)
    if at < held:
        return Finding(identity, What.NEWER, at, held)
    what = What.SINCE_LOAD if late else What.MOVED if due is None else What.STALE
    return Finding(identity, what, at, held)


PLACES = st.integers(0, 7)
FOUND = st.one_of(st.just(NEVER), st.builds(Found, st.just(value=True), st.booleans(), PLACES))


@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.tuples(FOUND, st.none() | PLACES), max_size=24),
    st.none() | PLACES,
    st.randoms(),
)
@settings(max_examples=300)
def test_it_finds_what_a_naive_comparison_finds(
    world: dict[str, tuple[Found, int | None]], due: int | None, chance: random.Random
) -> None:
    """Whatever the sides hold, and whatever the order of ties is on each."""
    places = [(at.at, key) for key, (at, _) in world.items() if at.matches and at.at is not None]
    source = [(at, key) for at, key in places if LOW <= at < HIGH]
    warehouse = [(held, key) for key, (_, held) in world.items() if held is not None]
    for side in (source, warehouse):
        chance.shuffle(side)
        side.sort(key=lambda row: row[0])
    known = {key: found for key, (found, _) in world.items()}
    findings, audit = audited(source, warehouse, known, due=due, low=LOW, high=HIGH)
    expected = [naive(key, found, held, due) for key, (found, held) in world.items()]
    assert sorted(findings, key=lambda each: each.id) == sorted(filter(None, expected), key=lambda each: each.id)
    assert audit.total.source == len(source)
    assert audit.total.warehouse + audit.outside == len(warehouse)
    assert sum(audit.total.found.values()) == len(findings)


def test_a_dense_instant_is_compared_whatever_the_order_of_its_ties() -> None:
    ids = [f"c{number}" for number in range(5_000)]
    mixed = random.Random(1).sample(ids, len(ids))
    findings, _ = audited([(7, each) for each in ids], [(7, each) for each in mixed])
    assert findings == []
    findings, _ = audited([(7, each) for each in ids], [(7, each) for each in mixed if each != "c77"])
    assert findings == [Finding("c77", What.MISSING, 7)]


def test_a_fault_counts_where_the_source_has_it_and_what_is_gone_where_the_warehouse_has_it() -> None:
    source = [(3 * DAY, "new"), (5 * DAY, "moved")]
    warehouse = [(DAY, "moved"), (2 * DAY, "gone"), (4 * DAY, "left")]
    world = {"left": Found(exists=True, matches=True, at=9 * DAY)}
    _, audit = audited(source, warehouse, world, high=8 * DAY)
    counts = {day: (each.source, each.warehouse, each.gone, dict(each.found)) for day, each in audit.days.items()}
    assert counts == {
        1: (0, 1, 0, {}),
        2: (0, 1, 1, {What.UNKNOWN: 1}),
        3: (1, 0, 0, {What.MISSING: 1}),
        4: (0, 1, 1, {What.MOVED: 1}),
        5: (1, 0, 0, {What.STALE: 1}),
    }


def test_rows_that_stand_twice_are_no_fault_but_told() -> None:
    warehouse = [(1, "a"), (2, "a"), (3, "a"), (3, "a"), (4, "b"), (4, "b")]
    world = {"a": Found(exists=True, matches=True, at=3)}
    findings, audit = audited([(3, "a"), (4, "b")], warehouse, world)
    assert {each.what for each in findings} == {What.DOUBLE}
    assert sorted((each.id, each.warehouse) for each in findings) == [("a", 1), ("a", 2), ("a", 3), ("b", 4)]
    assert audit.total.warehouse == 6


def test_a_conversation_that_moves_while_it_is_read_is_not_missing() -> None:
    """It was seen at both its places, and the warehouse has the newer."""
    world = {"a": Found(exists=True, matches=True, at=5)}
    findings, _ = audited([(2, "a"), (5, "a")], [(5, "a")], world)
    assert findings == [Finding("a", What.SINCE_LOAD, 2)]
    # One that stands where it was read is missing, and so is one that look-ups do not show.
    assert [each.what for each in audited([(5, "a")], [], world)[0]] == [What.MISSING]
    assert [each.what for each in audited([(5, "a")], [])[0]] == [What.MISSING]


def test_the_next_run_begins_with_the_very_instant_where_it_looks_back_to() -> None:
    source, warehouse = [(4, "a"), (5, "b"), (5, "c")], [(1, "c")]
    findings, _ = audited(source, warehouse, due=5)
    assert [(each.id, each.what) for each in findings] == [
        ("a", What.MISSING),
        ("b", What.SINCE_LOAD),
        ("c", What.SINCE_LOAD),
    ]


def test_no_run_reads_what_lies_behind_the_end_of_all() -> None:
    """What an end_date cuts off is missing, however late; and what has moved behind it has left for good."""
    world = {"w": Found(exists=True, matches=True, at=8)}
    findings, _ = audited([(5, "a"), (7, "b"), (7, "c")], [(1, "c"), (2, "w")], world, due=5, until=7, high=8)
    assert [(each.id, each.what) for each in findings] == [
        ("a", What.SINCE_LOAD),
        ("b", What.MISSING),
        ("c", What.STALE),
        ("w", What.MOVED),
    ]


def test_look_ups_are_bounded_and_the_rest_is_counted() -> None:
    asked: list[str] = []

    def look_up(identity: str) -> Found:
        asked.append(identity)
        return NEVER

    with Audit(0, 1_000) as audit:
        audit.merge([(1, "m1"), (2, "m2")], [(at, f"g{at}") for at in range(10, 20)])
        list(audit.findings(look_up, 5))
    assert asked == ["m1", "m2", "g19", "g18", "g17"]
    assert audit.total.found == {What.MISSING: 2, What.UNKNOWN: 3, What.NOT_LOOKED_UP: 7}
    assert audit.total.gone == 10


def test_a_table_of_another_time_zone_is_recognised() -> None:
    hour = 3_600_000
    source = [(number * 1_001 + 10 * hour, f"c{number}") for number in range(9)]
    assert audited(source, [(at - 5 * hour, key) for at, key in source])[1].shifted
    assert not audited(source, [(at - 5 * hour - 1, key) for at, key in source])[1].shifted
    assert not audited(source, source)[1].shifted


def test_memory_is_flat_even_where_every_row_differs() -> None:
    count = 10_000

    def rows(prefix: str) -> Iterator[tuple[int, str]]:
        return ((number, f"{prefix}-{number:09}") for number in range(count))

    tracemalloc.start()
    with Audit(0, count) as audit:
        audit.merge(rows("s"), rows("w"))
        for _ in audit.findings(lambda _: NEVER, 10):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert audit.total.found[What.MISSING] == audit.total.gone == count
    assert peak < 1_000_000
