"""Meltano keeps the state: what a run that ends before its first page leaves of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tap_genesys_search.sandbox import SandboxServer, WorldConfig
from tests.support.helpers import SECRET, ManualClock, bookmark_of, truth
from tests.support.meltano import Meltano

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.helpers import Database


@pytest.mark.slow
def test_a_run_that_ends_before_its_first_page_leaves_the_state_as_it_was(
    tmp_path: Path, target_postgres: Path, database: Database
) -> None:
    clock = ManualClock()
    with SandboxServer(WorldConfig(conversations=1_000), clock=clock) as server:
        meltano = Meltano(tmp_path, target_postgres, database, server)
        first = meltano.run()
        assert first.returncode == 0, first.stderr
        assert database.table() == truth(server)
        stored = meltano.state()
        assert bookmark_of(stored)["replication_key_value"] == max(truth(server).values())
        assert {"source", "since", "run_start"} <= bookmark_of(stored).keys()

        clock.pass_by(60)
        server.world.move(arrive=30, change=30)
        clock.pass_by(1)
        server.faults.merge({"outage": True})
        # Another question, by both ways to take it: neither gets to a page.
        for how in ("keep", "restart"):
            ended = meltano.run(query="channelType:voice", on_source_change=how)
            assert ended.returncode != 0
            assert SECRET not in ended.stdout + ended.stderr
        assert meltano.state() == stored

        server.faults.merge({"outage": False})
        last = meltano.run()
        assert last.returncode == 0, last.stderr
        assert database.table() == truth(server)
        newer = bookmark_of(meltano.state())
        assert newer["run_start"] > bookmark_of(stored)["run_start"]
        assert newer["source"] == bookmark_of(stored)["source"]


@pytest.mark.slow
def test_a_first_run_that_ends_before_its_first_page_leaves_no_source(
    tmp_path: Path, target_postgres: Path, database: Database
) -> None:
    with SandboxServer(WorldConfig(conversations=300), clock=ManualClock()) as server:
        meltano = Meltano(tmp_path, target_postgres, database, server)
        server.faults.merge({"outage": True})
        assert meltano.run(query="channelType:voice").returncode != 0
        assert bookmark_of(meltano.state()) == {}
        server.faults.merge({"outage": False})
        # All of it, though the first question was another.
        assert meltano.run().returncode == 0
        assert database.table() == truth(server)


@pytest.mark.slow
def test_a_restart_replaces_the_whole_state_at_its_first_page(
    tmp_path: Path, target_postgres: Path, database: Database
) -> None:
    with SandboxServer(WorldConfig(conversations=1_000), clock=ManualClock()) as server:
        meltano = Meltano(tmp_path, target_postgres, database, server)
        assert meltano.run(query="channelType:voice").returncode == 0
        assert database.table() == truth(server, "channelType:voice")
        stored = bookmark_of(meltano.state())
        assert meltano.run().returncode != 0
        assert bookmark_of(meltano.state()) == stored
        assert meltano.run(on_source_change="restart").returncode == 0
        assert database.table() == truth(server)
        assert bookmark_of(meltano.state())["source"] != stored["source"]
        assert meltano.run().returncode == 0
