"""The tap against clocks that are off, a world that moves, dense milliseconds and faults."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

from tap_genesys_search.sandbox import Faults, Movement, SandboxServer
from tests.support.days import DENSE, HOUR, MINUTE, stir, world
from tests.support.helpers import (
    CLIENT,
    NOON,
    SECRET,
    ManualClock,
    State,
    Tap,
    accounted_for,
    bookmark_of,
    config_for,
    environment,
    table,
    truth,
)

# Clocks


@pytest.mark.parametrize("apart", [-HOUR, HOUR], ids=["behind", "ahead"])
def test_a_local_clock_that_is_off_loses_nothing(tap: Tap, clock: ManualClock, apart: float) -> None:
    """The platform's clock is ``clock``; the machine's is an hour behind or ahead."""
    with SandboxServer(world(), movement=Movement(late_max_seconds=20), clock=clock) as server:
        runs = [tap(config_for(server), now=clock.now + apart)]
        for _ in range(3):
            stir(server, clock)
            runs.append(tap(config_for(server), state=runs[-1].state, now=clock.now + apart))
        stored = bookmark_of(runs[-1].state)
        assert stored["replication_key_value"] <= stored["run_start"]
        clock.pass_by(2 * HOUR)
        runs.append(tap(config_for(server), state=runs[-1].state, now=clock.now + apart))
        assert table(runs) == truth(server)
    assert all("clock" in run.stderr for run in runs)


@pytest.mark.parametrize("offset", [-HOUR, HOUR], ids=["behind", "ahead"])
def test_a_platform_clock_that_is_off_loses_nothing(tap: Tap, offset: float) -> None:
    """On the real clock of this machine: what the two agree to be over is there."""
    with SandboxServer(world(), Faults(clock_offset_seconds=offset), clock=ManualClock()) as server:
        first = tap(config_for(server), now=NOON)
        server.world.move(arrive=50, change=50)
        server.faults.clock_offset_seconds += 2 * HOUR
        second = tap(config_for(server), state=first.state, now=NOON + 2 * HOUR)
        assert table([first, second]) == truth(server)


# Signals before there is anything to tell

STATE: State = {"bookmarks": {"conversations": {"replication_key_value": "2026-10-05T00:00:00.000Z"}}}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
@pytest.mark.parametrize(
    ("place", "name"),
    [("singer_sdk.Tap", "setup_mapper"), ("tap_genesys_search.settings", "_warn_of_unknown")],
    ids=["before the state is loaded", "after that"],
)
def test_a_run_that_is_told_to_stop_while_it_starts_writes_no_state(
    tap: Tap, place: str, name: str, number: signal.Signals
) -> None:
    """The SDK's handler would write what it has, an empty one, and leave with 0: the bookmark would be gone."""
    script = f"""
    import os, pydoc
    from tap_genesys_search.__main__ import main
    place = pydoc.locate({place!r})
    kept = place.{name}
    def told(*args):
        os.kill(os.getpid(), {int(number)})
        return kept(*args)
    place.{name} = told
    main()
    """
    config = tap.write("config", {"client_id": CLIENT, "client_secret": SECRET, "base_url": "http://127.0.0.1:9"})
    command = [sys.executable, "-c", textwrap.dedent(script), "--config", config, "--state", tap.write("state", STATE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(), timeout=60)
    assert (done.returncode, done.stdout) == (-number, "")
    assert "Traceback" not in done.stderr


def test_an_output_that_is_closed_is_one_line(tap: Tap) -> None:
    command = [sys.executable, "-m", "tap_genesys_search", "--config"]
    with SandboxServer(world(100)) as server:
        shell = ["bash", "-c", 'exec "$@" >&-', "bash", *command, tap.write("config", config_for(server))]
        done = subprocess.run(shell, stderr=subprocess.PIPE, text=True, check=False, env=environment(), timeout=60)
    assert done.returncode == 75
    assert "the output cannot be written (Bad file descriptor)" in done.stderr.splitlines()[-1]


# A world that moves under the reader


def test_what_kept_its_place_is_never_lost(tap: Tap, clock: ManualClock) -> None:
    """Every search moves one conversation and makes another appear late, anywhere in the range."""
    movement = Movement(move_every_search=1, late_every_search=1, late_in_range=True)
    with SandboxServer(world(6_000), movement=movement, clock=clock) as server:
        clock.pass_by(1)
        run = tap(config_for(server, page_size=50, slice_records=1_000), now=clock.now)
        stood = {record.id for record in server.world.truth() if server.world.stood(record)}
        assert server.stats["moved"] > 100
    assert run.code == 0
    assert 5_000 < len(stood) < 5_900
    assert stood <= run.table.keys()
    versions = [(record["id"], record["timestamp"]) for record in run.records]
    assert len(set(versions)) == len(versions)


def test_movement_at_every_search_is_caught_up_with(tap: Tap, clock: ManualClock) -> None:
    movement = Movement(move_every_search=2, late_every_search=1, arrive_every_search=1, late_max_seconds=30)
    with SandboxServer(world(4_000), movement=movement, clock=clock) as server:
        runs = [tap(config_for(server, page_size=100, slice_records=500), now=clock.now)]
        for _ in range(2):
            clock.pass_by(5)
            runs.append(tap(config_for(server), state=runs[-1].state, now=clock.now))
        server.world.quiet()
        clock.pass_by(MINUTE)
        runs.append(tap(config_for(server), state=runs[-1].state, now=clock.now))
        assert table(runs) == truth(server)


# More conversations in a millisecond than a page holds


@pytest.mark.parametrize(
    "faults",
    [Faults(), Faults(sort_by_id_off=True), Faults(id_range_ignored=True)],
    ids=["by id", "no sort by id", "no range of ids"],
)
@pytest.mark.parametrize("missing", [0.0, 0.1], ids=["", "some without conversationId"])
def test_a_dense_millisecond_is_read_whole(tap: Tap, clock: ManualClock, faults: Faults, missing: float) -> None:
    config = world(5_600, bursts=((DENSE, 5_000),), tie_orders=1, missing_ids=missing)
    with SandboxServer(config, faults, clock=clock) as server:
        run = tap(config_for(server), now=clock.now)
        assert run.table == truth(server)
        accounted_for(run)
    assert run.code == 0
    assert len(run.records) == 5_600


def test_ties_in_no_order_are_read_by_id(tap: Tap, clock: ManualClock) -> None:
    with SandboxServer(world(5_600, bursts=((DENSE, 5_000),)), clock=clock) as server:
        run = tap(config_for(server), now=clock.now)
        assert run.table == truth(server)
    assert len(run.records) == 5_600


def test_pages_of_one_conversation(tap: Tap, clock: ManualClock) -> None:
    with SandboxServer(world(120, bursts=((DENSE, 40),)), clock=clock) as server:
        run = tap(config_for(server, page_size=1), now=clock.now)
        assert run.table == truth(server)
    assert len(run.records) == 120


# Faults

FAULTS = {
    "429 in seconds": Faults(p_429=0.1),
    "429 with a date": Faults(p_429=0.1, retry_after="date"),
    "429 without a word": Faults(p_429=0.1, retry_after="none"),
    "5xx": Faults(p_5xx=0.1, token_faults=True),
    "HTML": Faults(p_html=0.1, token_faults=True),
    "dropped": Faults(p_drop=0.1, token_faults=True),
    "half bodies": Faults(p_half_body=0.1, token_faults=True),
    "hanging": Faults(p_hang=0.05),
    # They outlive a stall of this machine, and not the run.
    "short tokens": Faults(token_ttl_seconds=0.15, latency_ms=50),
    "empty pages": Faults(p_empty_with_token=0.2),
    "time-outs": Faults(timeout_above_seconds=3 * HOUR),
}
PATIENT: dict[str, object] = {"max_retries": 12, "request_timeout_seconds": 1, "max_wait_seconds": 120}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_loses_nothing(tap: Tap, clock: ManualClock, name: str) -> None:
    with SandboxServer(world(), FAULTS[name], clock=clock) as server:
        # What takes too long is asked for by halves once the retries are used up.
        patience = PATIENT | ({"max_retries": 1} if name == "time-outs" else {})
        run = tap(config_for(server, page_size=50, **patience), now=clock.now)
        assert run.table == truth(server)
        accounted_for(run)
        met = {key for key in server.stats if key.startswith("fault_") or key in {"status_401", "status_504"}}
        assert met
    assert run.code == 0
    assert len(run.records) == 2_000
