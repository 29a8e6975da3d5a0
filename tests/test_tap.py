"""The tap as a process of its own against the sandbox, over real HTTP."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING

import pytest

from tap_genesys_search.sandbox import Faults, Movement, SandboxServer, WorldConfig
from tests.helpers import (
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
    records_of,
    selected,
    table,
    truth,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MINUTE = 60
HOUR = 3_600
DENSE = "2026-10-05T09:00:00.000Z"
CHANNELS = {"voice", "chat", "email", "callback", "message"}


def world(conversations: int = 2_000, **settings: object) -> WorldConfig:
    """A day that ends at noon."""
    return WorldConfig(conversations=conversations, **{"days": 1.0, **settings})  # type: ignore[arg-type]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def stir(server: SandboxServer, clock: ManualClock, rounds: int = 20) -> None:
    """Let conversations arrive, change and come late, over some seconds."""
    for _ in range(rounds):
        clock.pass_by(0.25)
        server.world.move(arrive=2, change=4, late=1)
    clock.pass_by(1)


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
            killed = tap.until(config_for(server, **settings), pages, state, by)
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


# What the SDK brings


def test_a_stream_map_changes_what_is_written_and_the_state_stays_right(tap: Tap, clock: ManualClock) -> None:
    maps = {
        "conversations": {
            "__alias__": "talks",
            "channel": "fields['channelType']",
            "fields": "__NULL__",
            "__filter__": "fields['channelType'] != 'voice'",
        }
    }
    with SandboxServer(world(500), clock=clock) as server:
        run = tap(config_for(server, stream_maps=maps), now=clock.now)
        held = truth(server)
        others = truth(server, "*:* AND NOT channelType:voice")
    assert run.code == 0
    assert run.table == others
    assert {record["channel"] for record in run.records} == CHANNELS - {"voice"}
    assert all("fields" not in record for record in run.records)
    assert {message["stream"] for message in run.messages if message["type"] != "STATE"} == {"talks"}
    assert bookmark_of(run.state)["replication_key_value"] == max(held.values())


def test_a_deselected_property_is_left_out(tap: Tap, clock: ManualClock) -> None:
    catalog = selected(json.loads(tap(None, "--discover").stdout), without=["fields", "type"])
    with SandboxServer(world(300), clock=clock) as server:
        run = tap(config_for(server), catalog=catalog, now=clock.now)
        assert run.table == truth(server)
    assert {name for record in run.records for name in record} == {"id", "conversationId", "timestamp"}


def test_flattening_makes_columns_of_what_the_schema_names(tap: Tap, clock: ManualClock) -> None:
    with SandboxServer(world(300), clock=clock) as server:
        run = tap(config_for(server, flattening_enabled=True, flattening_max_depth=1), now=clock.now)
        assert run.table == truth(server)
    assert {record["fields__channelType"] for record in run.records} == CHANNELS
    assert all("fields" not in record for record in run.records)
    schema = run.messages[0]["schema"]["properties"]
    assert "fields__status" in schema


@pytest.mark.parametrize("size", [130, 100_000], ids=["small", "one"])
def test_batches_hold_everything_and_come_before_their_state(tap: Tap, clock: ManualClock, size: int) -> None:
    batches: dict[str, object] = {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": (tap.folder / "batches").as_uri()},
        "batch_size": size,
    }
    (tap.folder / "batches").mkdir()
    with SandboxServer(world(), clock=clock) as server:
        first = tap(config_for(server, batch_config=batches, page_size=50), now=clock.now)
        assert first.table == truth(server)
        stir(server, clock)
        second = tap(config_for(server, batch_config=batches, page_size=50), state=first.state, now=clock.now)
        assert table([first, second]) == truth(server)
    kinds = [message["type"] for message in first.messages]
    assert "RECORD" not in kinds
    assert (kinds.count("BATCH") > 10) is (size == 130)
    assert kinds[-1] == "STATE"
    accounted_for(first)
    accounted_for(second, first.state)


def test_a_batch_that_is_not_written_yet_is_in_no_state(tap: Tap, clock: ManualClock) -> None:
    """SIGTERM lets the SDK write the state once more."""
    (tap.folder / "batches").mkdir()
    batches: dict[str, object] = {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": (tap.folder / "batches").as_uri()},
        "batch_size": 1_500,
    }
    with SandboxServer(world(10_000), clock=clock) as server:
        # The limit holds the tap up in the middle of the second batch.
        config = config_for(server, batch_config=batches, concurrency=1, requests_per_minute=1_200, page_size=100)
        killed = tap.until(config, 1, by=signal.SIGTERM)
        accounted_for(killed)
        whole = tap(config | {"requests_per_minute": FAST}, state=killed.state, now=clock.now)
        assert table([killed, whole]) == truth(server)
    assert len(killed.records) < 10_000


def test_a_full_table_reads_everything_and_leaves_the_bookmark_alone(tap: Tap, clock: ManualClock) -> None:
    catalog = selected(json.loads(tap(None, "--discover").stdout), method="FULL_TABLE")
    del catalog["streams"][0]["replication_method"]
    with SandboxServer(world(500), clock=clock) as server:
        first = tap(config_for(server), now=clock.now)
        clock.pass_by(MINUTE)
        whole = tap(config_for(server), state=first.state, catalog=catalog, now=clock.now)
        assert whole.table == truth(server)
        alone = tap(config_for(server), catalog=catalog, now=clock.now)
        assert alone.table == truth(server)
    assert whole.code == alone.code == 0
    assert bookmark_of(whole.state) == bookmark_of(first.state)
    assert all("replication_key_value" not in state for state in alone.bookmarks)


# Bounds


def test_max_results_stops_with_a_state_from_which_the_next_run_goes_on(tap: Tap, clock: ManualClock) -> None:
    """Conversations that share the instant of the bookmark come again, and don't count."""
    runs: list[Run] = []
    config = world(1_000, bursts=((DENSE, 450),))
    with SandboxServer(config, clock=clock) as server:
        settings = config_for(server, max_results=300, page_size=200)
        state = None
        while table(runs) != truth(server):
            runs.append(tap(settings, state=state, now=clock.now))
            accounted_for(runs[-1], state)
            state = runs[-1].state
            assert len(runs) < 8
    assert len(runs[0].records) == 300
    before = ""
    for run in runs:
        assert sum(record["timestamp"] > before for record in run.records) <= 300
        before = bookmark_of(run.state)["replication_key_value"]


def test_max_results_counts_only_what_is_newer_than_the_bookmark(tap: Tap, clock: ManualClock) -> None:
    settings = {"max_results": 5, "lookback_seconds": HOUR}
    with SandboxServer(world(5_000), clock=clock) as server:
        runs = [tap(config_for(server), now=clock.now)]
        stir(server, clock)
        while table(runs) != truth(server):
            runs.append(tap(config_for(server, **settings), state=runs[-1].state, now=clock.now))
            assert len(runs) < 40
            assert runs[-1].table.keys() & truth(server).keys()
            if len(runs) == 4:
                settings["max_results"] = 500
    assert len(runs) > 3


def test_a_range_that_is_not_over_yet_asks_nothing(tap: Tap, clock: ManualClock) -> None:
    with SandboxServer(world(500), clock=clock) as server:
        first = tap(config_for(server), now=clock.now)
        server.reset_stats()
        early = tap(config_for(server, end_date="2026-10-05T06:00:00Z"), state=first.state, now=clock.now)
        future = tap(config_for(server, start_date="2027-01-01"), now=clock.now)
        assert (server.stats["searches"], server.stats["token_requests"]) == (0, 0)
    for run in (early, future):
        assert (run.code, run.records) == (0, [])
        assert len([line for line in run.stderr.splitlines() if "Nothing to read" in line]) == 1
    assert early.state == first.state
    assert all("replication_key_value" not in state for state in future.bookmarks)


def test_start_and_end_bound_what_is_read(tap: Tap, clock: ManualClock) -> None:
    bounds = {"start_date": "2026-10-05T08:00:00+02:00", "end_date": "2026-10-05T09:00:00.000Z"}
    with SandboxServer(world(), clock=clock) as server:
        run = tap(config_for(server, **bounds), now=clock.now)
        inside = {
            identity: stamp
            for identity, stamp in truth(server).items()
            if "2026-10-05T06:00:00.000Z" <= stamp < "2026-10-05T09:00:00.000Z"
        }
    assert run.table == inside
    assert len(run.records) == len(inside) > 100
    assert bookmark_of(run.state)["since"] == "2026-10-05T06:00:00.000Z"


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
    "short tokens": Faults(token_ttl_seconds=0.05),
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
