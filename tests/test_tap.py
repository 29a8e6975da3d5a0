"""The tap as a process of its own against the sandbox, over real HTTP: backfills, increments, kills and settings."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING

import pytest

from tap_genesys_search.sandbox import Faults, Movement, SandboxServer
from tests.support.days import HOUR, MINUTE, stir, world
from tests.support.helpers import (
    CLIENT,
    FAST,
    NOON,
    SECRET,
    ManualClock,
    Nursery,
    Run,
    Tap,
    accounted_for,
    bookmark_of,
    config_for,
    kept_of,
    table,
    truth,
)
from tests.support.singer import records_of

if TYPE_CHECKING:
    from collections.abc import Iterator


# A backfill


class Backfill:
    """One run, which several tests look at."""

    def __init__(self, server: SandboxServer, tap: Tap) -> None:
        self.run = tap(config_for(server, page_size=100), now=NOON)
        self.stats = server.stats
        self.truth = truth(server)


@pytest.fixture(scope="module")
def backfill(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Iterator[Backfill]:
    config = world(tie_share=0.05, missing_ids=0.02, missing_plain_ids=0.02)
    with SandboxServer(config, clock=ManualClock()) as server:
        yield Backfill(server, Tap(tmp_path_factory.mktemp("backfill"), nursery))


def test_a_backfill_brings_all_of_them_once_and_in_order(backfill: Backfill) -> None:
    assert backfill.run.code == 0
    stamps = [record["timestamp"] for record in backfill.run.records]
    assert stamps == sorted(stamps)
    assert len(stamps) == len(backfill.truth) == 2_000
    assert backfill.run.table == backfill.truth
    assert all(record["conversationId"] == record["id"] for record in backfill.run.records)


def test_a_state_follows_each_page_and_is_the_last_word(backfill: Backfill) -> None:
    kinds = [message["type"] for message in backfill.run.messages]
    assert kinds[0] == "SCHEMA"
    assert kinds[-1] == "STATE"
    # No page holds more than 100, and the seek shows the last of each page once more.
    pages = " ".join(kinds[1:]).split("STATE")
    assert max(page.count("RECORD") for page in pages) <= 100
    assert kinds.count("STATE") >= 2_000 / 100
    accounted_for(backfill.run)


def test_the_state_holds_what_the_next_run_needs(backfill: Backfill) -> None:
    final = bookmark_of(backfill.run.state)
    assert final["replication_key_value"] == max(backfill.truth.values())
    assert final["run_start"] == "2026-10-05T12:00:00.000Z"
    assert final["since"] == "*"
    assert re.fullmatch("[0-9a-f]{16}", final["source"])
    # The same start and source all along: a killed run leaves nothing that another could misread.
    assert {(state["run_start"], state["since"], state["source"]) for state in backfill.run.bookmarks} == {
        (final["run_start"], final["since"], final["source"])
    }
    assert set(final) == {"replication_key", "replication_key_value", "source", "since", "run_start"}


def test_a_line_before_the_first_page_says_what_is_ahead(backfill: Backfill) -> None:
    (line,) = [line for line in backfill.run.stderr.splitlines() if "Reading conversations" in line]
    found = re.search(r"from the beginning to (\S+): about ([\d,]+), in about (\d+) searches, (\d+) (?:s|min)", line)
    assert found is not None
    assert found[1] == "2026-10-05T12:00:00.000Z"
    assert 1_900 <= int(found[2].replace(",", "")) <= 2_100
    assert 19 <= int(found[3]) <= 23


def test_requests_are_measured_for_those_who_debug(backfill: Backfill, tap: Tap, clock: ManualClock) -> None:
    assert "http_request_duration" not in backfill.run.stderr
    with SandboxServer(world(100), clock=clock) as server:
        run = tap(config_for(server), now=clock.now, env={"LOGLEVEL": "DEBUG"})
    assert run.stderr.count("http_request_duration") == server.stats["searches"] == 1
    assert SECRET not in run.stdout + run.stderr


# Increments


def test_a_run_with_nothing_new_takes_one_search(tap: Tap, clock: ManualClock) -> None:
    with SandboxServer(world(), clock=clock) as server:
        first = tap(config_for(server), now=clock.now)
        server.reset_stats()
        clock.pass_by(HOUR)
        second = tap(config_for(server), state=first.state, now=clock.now)
        assert server.stats["searches"] == 1
        clock.pass_by(HOUR)
        server.world.move(arrive=3)
        clock.pass_by(1)
        third = tap(config_for(server), state=second.state, now=clock.now)
        assert table([first, third]) == truth(server)
    assert second.code == 0
    before, after = bookmark_of(first.state), bookmark_of(second.state)
    assert after == before | {"run_start": "2026-10-05T13:00:00.000Z"}
    # Those that share the instant of the bookmark come once more.
    assert len(third.table) == 4


def test_increments_bring_arrivals_changes_and_what_the_index_shows_late(tap: Tap, clock: ManualClock) -> None:
    with SandboxServer(world(), movement=Movement(late_max_seconds=30, late_changes=0.2), clock=clock) as server:
        runs = [tap(config_for(server), now=clock.now)]
        for _ in range(2):
            stir(server, clock)
            runs.append(tap(config_for(server), state=runs[-1].state, now=clock.now))
        shown = len(truth(server))
        clock.pass_by(MINUTE)
        assert len(truth(server)) > shown
        server.reset_stats()
        runs.append(tap(config_for(server), state=runs[-1].state, now=clock.now))
        assert server.stats["searches"] <= 4
        assert server.stats["late_made"] == 0
        assert table(runs) == truth(server)
    for before, run in zip([None, *runs], runs, strict=False):
        accounted_for(run, before.state if before else None)


def test_the_state_stays_as_stored_while_a_lookback_is_read_again(tap: Tap, clock: ManualClock) -> None:
    settings = {"page_size": 20, "lookback_seconds": HOUR}
    with SandboxServer(world(), clock=clock) as server:
        first = tap(config_for(server, **settings), now=clock.now)
        stir(server, clock)
        second = tap(config_for(server, **settings), state=first.state, now=clock.now)
        assert table([first, second]) == truth(server)
    stored = bookmark_of(first.state)
    reread, advanced = 0, False
    for message in second.messages:
        for record in records_of(message):
            advanced |= record["timestamp"] > stored["replication_key_value"]
            reread += record["timestamp"] <= stored["replication_key_value"]
        if message["type"] == "STATE":
            kept = bookmark_of(message["value"]) == stored
            assert kept is not advanced
    assert reread > 20
    assert bookmark_of(second.state)["run_start"] > stored["run_start"]


def test_a_lookback_that_finds_nothing_new_moves_the_start_at_its_end(tap: Tap, clock: ManualClock) -> None:
    with SandboxServer(world(), clock=clock) as server:
        settings = {"page_size": 20, "lookback_seconds": HOUR}
        first = tap(config_for(server, **settings), now=clock.now)
        clock.pass_by(MINUTE)
        second = tap(config_for(server, **settings), state=first.state, now=clock.now)
    stored = bookmark_of(first.state)
    assert second.records
    assert bookmark_of(second.state) == stored | {"run_start": "2026-10-05T12:01:00.000Z"}
    assert all(state == stored for state in second.bookmarks[:-1])


# Ends before its time


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_a_killed_run_goes_on_from_its_last_state(tap: Tap, clock: ManualClock, by: signal.Signals) -> None:
    settings: dict[str, object] = {"page_size": 20, "slice_records": 200, "concurrency": 3}
    runs: list[Run] = []
    state = None
    with SandboxServer(world(), clock=clock) as server:
        for pages in (5, 17, 29):
            killed = tap.until(config_for(server, **settings), pages, state, by=by)
            # On SIGTERM the SDK writes the state once more; its code 0 would pass for a whole run.
            assert killed.code == (-by if by == signal.SIGKILL else 128 + by)
            runs.append(kept_of(killed))
            accounted_for(runs[-1], state)
            state = runs[-1].state
        whole = tap(config_for(server, **settings), state=state, now=clock.now)
        assert table([*runs, whole]) == truth(server)
    assert whole.code == 0
    # What was kept is read again only at the instant of the bookmark.
    assert sum(len(run.records) for run in [*runs, whole]) <= 2_000 + len(runs)


def test_a_killed_increment_loses_nothing(tap: Tap, clock: ManualClock) -> None:
    """Movement before, between and after, and a kill while the lookback is read again."""
    settings: dict[str, object] = {"page_size": 10, "lookback_seconds": 600}
    with SandboxServer(world(20_000), movement=Movement(late_max_seconds=60), clock=clock) as server:
        runs = [tap(config_for(server), now=clock.now)]
        for pages in (2, 12, 40):
            stir(server, clock)
            killed = tap.until(config_for(server, **settings), pages, runs[-1].state)
            runs.append(kept_of(killed))
        clock.pass_by(MINUTE)
        runs.append(tap(config_for(server), state=runs[-1].state, now=clock.now))
        assert table(runs) == truth(server)


# What needs no network, and the test of a connection

NOWHERE = {"client_id": CLIENT, "client_secret": SECRET, "base_url": "http://127.0.0.1:9"}


@pytest.mark.parametrize("config", [None, NOWHERE, {}, {"page_size": 0}], ids=["none", "good", "empty", "wrong"])
def test_discovery_needs_neither_settings_nor_network(tap: Tap, config: dict[str, object] | None) -> None:
    run = tap(config, "--discover")
    assert run.code == 0
    (stream,) = json.loads(run.stdout)["streams"]
    assert stream["tap_stream_id"] == "conversations"


@pytest.mark.parametrize("form", [(), ("--format=json",), ("--format=markdown",)], ids=["text", "json", "markdown"])
def test_about_needs_neither_settings_nor_network(tap: Tap, form: tuple[str, ...]) -> None:
    run = tap(None, "--about", *form)
    assert (run.code, run.stderr) == (0, "")
    assert "on_source_change" in run.stdout
    assert "tap-genesys-search" in run.stdout


def test_the_test_of_a_connection_says_all_in_one_line(tap: Tap, clock: ManualClock) -> None:
    with SandboxServer(world(), clock=clock, faults=Faults(total_noise=0.0)) as server:
        run = tap(config_for(server, query="channelType:voice"), "--test", now=clock.now)
        voice = truth(server, "channelType:voice")
        assert server.stats["searches"] <= 3
    (line,) = [line for line in run.stderr.splitlines() if "Connected" in line]
    assert f"Connected to {server.base_url}: about {len(voice):,} conversations match" in line
    assert max(voice.values()) in line
    assert run.code == 0
    assert not re.search("ERROR|CRITICAL|Traceback", run.stderr)


def test_the_test_of_a_connection_fails_in_one_line(tap: Tap) -> None:
    run = tap(NOWHERE | {"max_retries": 0}, "--test")
    assert run.code == 75
    assert len(run.critical) == 1
    assert "base_url" in run.critical[0]
    assert not re.search("Traceback|Connected", run.stderr)


# Where settings come from


def test_a_later_file_wins_and_the_environment_over_all(tap: Tap, clock: ManualClock) -> None:
    with SandboxServer(world(500), clock=clock) as server:
        common = config_for(server, query="channelType:email", client_secret="not this")
        second = tap.write("second", {"client_secret": SECRET, "query": "channelType:chat", "max_results": 1})
        files = tap(common, "--config", second, now=clock.now)
        env = {"TAP_GENESYS_SEARCH_QUERY": "channelType:voice", "TAP_GENESYS_SEARCH_MAX_RESULTS": "7"}
        both = tap(common, "--config", second, "--config=ENV", now=clock.now, env=env)
        unasked = tap(common, "--config", second, now=clock.now, env=env)
    assert [record["fields"]["channelType"] for record in files.records] == ["chat"]
    assert [record["fields"]["channelType"] for record in both.records] == ["voice"] * 7
    assert unasked.records == files.records


def test_the_environment_and_a_dotenv_file_are_enough(tap: Tap, clock: ManualClock) -> None:
    with SandboxServer(world(50), clock=clock) as server:
        lines = {
            "CLIENT_ID": CLIENT,
            "CLIENT_SECRET": SECRET,
            "BASE_URL": server.base_url,
            "REQUESTS_PER_MINUTE": FAST,
            "MAX_RESULTS": "",
            "CONCURRENCY": "1",
            "PAGE_SIZE": "10",
            "STREAM_MAPS": '{"conversations": {"origin": "\'env\'"}}',
        }
        text = "\n".join(f"TAP_GENESYS_SEARCH_{name}={value}" for name, value in lines.items())
        (tap.folder / ".env").write_text(text)
        run = tap(None, "--config=ENV", now=clock.now, env={"TAP_GENESYS_SEARCH_PAGE_SIZE": "25"})
        assert run.table == truth(server)
        # The variable that was there already wins over that of the file.
        assert server.stats["searches"] == 3
    assert {record["origin"] for record in run.records} == {"env"}
