"""What the platform rewrites days later: a nightly run with a lookback of days on the same state; a range again."""

from __future__ import annotations

import json
from math import ceil
from typing import TYPE_CHECKING, Any

import pytest

from tap_genesys_search import timestamps
from tap_genesys_search.sandbox import Faults, SandboxServer, WorldConfig
from tests.support.helpers import (
    NOON,
    ManualClock,
    Message,
    Run,
    Tap,
    accounted_for,
    bookmark_of,
    config_for,
    load,
    table,
    truth,
)
from tests.support.outages import outage_after

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.helpers import Database

DAY = 86_400
WEEK = 7 * DAY


@pytest.fixture
def server(clock: ManualClock) -> Iterator[SandboxServer]:
    """Two weeks of conversations, of which none moves by itself."""
    world = WorldConfig(conversations=6_000, days=14, tie_share=0.1)
    with SandboxServer(world, Faults(total_noise=0), clock=clock) as running:
        yield running


def days_before(stamps: dict[str, str], days: float, clock: ManualClock) -> str:
    """The id of a conversation that is about so old."""
    edge = written(clock.now - days * DAY)
    return max((stamp, identity) for identity, stamp in stamps.items() if stamp < edge)[1]


def written(seconds: float) -> str:
    """Write an instant the way the tap does."""
    return timestamps.write(timestamps.from_seconds(seconds))


def fields_of(run: Run, identity: str) -> list[Any]:
    """The fields that a run brought of a conversation."""
    return [record["fields"] for record in run.records if record["id"] == identity]


def source_of(server: SandboxServer, identity: str) -> Message:
    """A conversation as the source has it."""
    found: Message = next(json.loads(record.raw) for record in server.world.truth() if record.id == identity)
    return found


def test_a_nightly_run_brings_what_was_rewritten_and_leaves_the_bookmark_right(
    tap: Tap, server: SandboxServer, clock: ManualClock
) -> None:
    config = config_for(server)
    first = tap(config, now=clock.now)
    rows = truth(server)
    rewritten, older = days_before(rows, 5, clock), days_before(rows, 9, clock)
    for identity in (rewritten, older):
        server.world.rewrite(identity)
    assert truth(server) == rows
    clock.pass_by(3_600)
    server.world.move(arrive=20, change=20)
    clock.pass_by(3_600)

    # The everyday run looks back by minutes: it brings what is new, and not what was rewritten.
    everyday = tap(config, state=first.state, now=clock.now)
    assert everyday.table.items() <= truth(server).items()
    assert fields_of(everyday, rewritten) == []

    clock.pass_by(3_600)
    server.world.move(arrive=5, change=5)
    clock.pass_by(1)
    nightly = tap(config | {"lookback_seconds": WEEK}, state=everyday.state, now=clock.now)
    assert fields_of(nightly, rewritten) == [source_of(server, rewritten)["fields"]]
    assert fields_of(nightly, rewritten) != fields_of(first, rewritten)
    # What is older than the lookback stays as it was.
    assert fields_of(nightly, older) == []
    assert table([first, everyday, nightly]) == truth(server)

    # The bookmark never goes back, and ends at the newest of all, with this run's start beside it.
    accounted_for(nightly, everyday.state)
    stored = bookmark_of(everyday.state)
    assert all(each["run_start"] in {stored["run_start"], written(clock.now)} for each in nightly.bookmarks)
    assert bookmark_of(nightly.state) == stored | {
        "replication_key_value": max(truth(server).values()),
        "run_start": written(clock.now),
    }
    assert stored["replication_key_value"] < bookmark_of(nightly.state)["replication_key_value"] < written(clock.now)

    # The next everyday run goes on from there, by one search.
    clock.pass_by(600)
    server.world.move(arrive=3)
    clock.pass_by(1)
    server.reset_stats()
    following = tap(config, state=nightly.state, now=clock.now)
    assert server.stats["searches"] == 1
    assert table([first, everyday, nightly, following]) == truth(server)
    assert bookmark_of(following.state)["replication_key_value"] == max(truth(server).values())


def test_a_nightly_run_that_is_cut_off_leaves_the_state_to_the_everyday_run(
    tap: Tap, server: SandboxServer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(server, max_retries=0)
    first = tap(config, now=clock.now)
    clock.pass_by(3_600)
    server.world.move(change=10)
    clock.pass_by(1)
    outage_after(4, server, monkeypatch)
    more = {"lookback_seconds": WEEK, "page_size": 50, "concurrency": 1}
    nightly = tap(config | more, state=first.state, now=clock.now)
    assert nightly.code != 0
    assert nightly.records
    assert {json.dumps(bookmark_of(state)) for state in nightly.states} <= {json.dumps(bookmark_of(first.state))}
    server.faults.merge({"outage": False})
    everyday = tap(config, state=nightly.states[-1] if nightly.states else first.state, now=clock.now)
    assert table([first, nightly, everyday]) == truth(server)


@pytest.mark.parametrize(("page_size", "workers"), [(50, 8), (200, 1)])
def test_the_cost_is_that_of_what_lies_in_the_lookback(
    tap: Tap, server: SandboxServer, clock: ManualClock, page_size: int, workers: int
) -> None:
    """By the formula in the docs, whatever the size of the warehouse."""
    first = tap(config_for(server), now=clock.now)
    clock.pass_by(3_600)
    server.reset_stats()
    more = {"lookback_seconds": WEEK, "page_size": page_size, "concurrency": workers}
    nightly = tap(config_for(server, **more), state=first.state, now=clock.now)
    edge = written(NOON - WEEK)
    inside = {identity: stamp for identity, stamp in truth(server).items() if stamp >= edge}
    assert nightly.table == inside
    assert len(nightly.records) == len(inside) > 2_000
    pages = ceil(len(inside) / page_size)
    assert pages <= server.stats["searches"] <= ceil(pages * 1.04) + 3 + workers


def test_one_range_is_read_again_without_touching_any_bookmark(
    tap: Tap, server: SandboxServer, clock: ManualClock
) -> None:
    """By start_date, end_date and a state of its own, an empty one."""
    config = config_for(server)
    first = tap(config, now=clock.now)
    rewritten = days_before(truth(server), 5, clock)
    server.world.rewrite(rewritten)
    clock.pass_by(3_600)
    server.world.move(arrive=5, change=5)
    clock.pass_by(1)
    start, end = written(NOON - 6 * DAY), written(NOON - 4 * DAY)
    again = tap(config | {"start_date": start, "end_date": end}, now=clock.now)
    rows = truth(server)
    assert again.table == {identity: stamp for identity, stamp in rows.items() if start <= stamp < end}
    assert len(again.records) == len(again.table) > 0
    assert fields_of(again, rewritten) == [source_of(server, rewritten)["fields"]]
    # Its STATE is of the usual form, and speaks of its range only.
    assert bookmark_of(again.state) == bookmark_of(first.state) | {
        "replication_key_value": max(again.table.values()),
        "since": start,
        "run_start": written(clock.now),
    }
    # The regular state knows nothing of it and goes on as ever.
    server.reset_stats()
    everyday = tap(config, state=first.state, now=clock.now)
    assert server.stats["searches"] == 1
    assert table([first, again, everyday]) == rows


@pytest.mark.slow
def test_what_was_rewritten_reaches_the_warehouse(tap: Tap, target_postgres: Path, database: Database) -> None:
    """A row that changed five days ago and kept its timestamp."""
    select = "SELECT id, fields FROM genesys_cloud.conversations"
    with SandboxServer(WorldConfig(conversations=3_000, days=14)) as server:
        code, state = load(tap, config_for(server), target_postgres, database)
        assert code == 0
        rewritten = days_before(truth(server), 5, ManualClock(server.world.now() / 1_000))
        server.world.rewrite(rewritten)
        expected = source_of(server, rewritten)["fields"]
        code, state = load(tap, config_for(server), target_postgres, database, state=state)
        assert code == 0
        assert dict(database.query(select))[rewritten] != expected
        code, state = load(tap, config_for(server, lookback_seconds=WEEK), target_postgres, database, state=state)
        assert code == 0
        assert dict(database.query(select)) == {
            record.id: json.loads(record.raw)["fields"] for record in server.world.truth()
        }
        assert database.table() == truth(server)
        assert bookmark_of(state)["replication_key_value"] == max(truth(server).values())
