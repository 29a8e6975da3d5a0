"""The figures that the project promises, measured against the sandbox over real HTTP."""

from __future__ import annotations

import pytest

from tap_genesys_search.sandbox import Movement, SandboxServer, WorldConfig
from tests.support.helpers import FAST, ManualClock, Tap, config_for, truth

FULL = 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("concurrency", "per_minute", "most"),
    # How many it takes by itself goes by the rate, and by how busy this machine is: up to sixteen without a limit.
    [(1, FAST, 1.05), (4, FAST, 1.05), (None, 1_200, 1.05), (None, FAST, 1.1)],
    ids=["one", "four", "by itself", "without a limit"],
)
def test_a_quiet_backfill_of_60000_takes_little_more_than_a_search_a_page(
    tap: Tap, concurrency: int | None, per_minute: int, most: float
) -> None:
    clock = ManualClock()
    with SandboxServer(WorldConfig(conversations=60_000), clock=clock) as server:
        run = tap(config_for(server, concurrency=concurrency, requests_per_minute=per_minute), now=clock.now)
        assert run.table == truth(server)
        searches = server.stats["searches"]
    assert len(run.records) == 60_000
    assert searches <= most * 60_000 / FULL


@pytest.mark.slow
def test_of_20000_that_move_at_every_search_none_that_kept_its_place_is_lost(tap: Tap) -> None:
    clock = ManualClock()
    movement = Movement(move_every_search=1, late_every_search=1, late_in_range=True)
    with SandboxServer(WorldConfig(conversations=20_000), movement=movement, clock=clock) as server:
        clock.pass_by(1)
        run = tap(config_for(server, page_size=25), now=clock.now)
        stood = {record.id for record in server.world.truth() if server.world.stood(record)}
        assert server.stats["moved"] >= 800
    assert run.code == 0
    assert len(stood - run.table.keys()) == 0
