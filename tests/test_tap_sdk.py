"""The tap with what the SDK brings, stream maps and batches among it, and with bounds."""

from __future__ import annotations

import json
import re
import signal

import pytest

from tap_genesys_search.sandbox import SandboxServer
from tests.support.days import DENSE, HOUR, MINUTE, stir, world
from tests.support.helpers import (
    FAST,
    ManualClock,
    Run,
    Tap,
    accounted_for,
    bookmark_of,
    config_for,
    table,
    truth,
)
from tests.support.singer import selected

CHANNELS = {"voice", "chat", "email", "callback", "message"}


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


@pytest.mark.parametrize(
    ("expression", "what"),
    [("1 / 0", "ZeroDivisionError"), ("fields['no such']", "KeyError"), ("fields['status'] + 1", "TypeError")],
)
def test_an_expression_that_fails_is_one_line_and_leaves_a_good_state(
    tap: Tap, clock: ManualClock, expression: str, what: str
) -> None:
    with SandboxServer(world(500), clock=clock) as server:
        first = tap(config_for(server), now=clock.now)
        maps = {"conversations": {"value": expression}}
        run = tap(config_for(server, stream_maps=maps), state=first.state, now=clock.now)
    (line,) = run.critical
    assert re.search(rf"an expression of stream_maps fails for the conversation conv-\w+: {what}$", line)
    assert (run.code, "Traceback" in run.stderr) == (78, False)
    assert run.states in ([], [first.state])


@pytest.mark.parametrize(
    ("settings", "without"),
    [
        ({"stream_maps": {"conversations": {"id": "md5(id)"}}}, []),
        ({"flattening_enabled": True, "flattening_max_depth": 1}, []),
        ({}, ["fields"]),
    ],
    ids=["maps", "flattening", "deselected"],
)
def test_batches_do_not_hold_what_should_not_leave(tap: Tap, settings: dict[str, object], without: list[str]) -> None:
    """The SDK writes them as the records came: what a map hashes would lie there in the clear."""
    catalog = selected(json.loads(tap(None, "--discover").stdout), without=without)
    batches = {"encoding": {"format": "jsonl"}, "storage": {"root": (tap.folder / "batches").as_uri()}}
    with SandboxServer(world(100)) as server:
        run = tap(config_for(server, batch_config=batches, **settings), catalog=catalog)
        assert server.stats["searches"] == 0
    (line,) = run.critical
    assert run.code == 78
    assert "batch_config does not go together with stream_maps, flattening or deselected properties" in line
    assert not (tap.folder / "batches").exists()


def test_batches_of_a_catalog_that_an_earlier_version_wrote(tap: Tap) -> None:
    """Another description, or a column that there was not yet, takes nothing away."""
    catalog = selected(json.loads(tap(None, "--discover").stdout))
    properties = catalog["streams"][0]["schema"]["properties"]
    properties["type"]["description"] = "As it was once."
    del properties["conversationId"]
    batches = {"encoding": {"format": "jsonl"}, "storage": {"root": (tap.folder / "batches").as_uri()}}
    with SandboxServer(world(100)) as server:
        run = tap(config_for(server, batch_config=batches), catalog=catalog)
    assert run.code == 0
    assert "BATCH" in {message["type"] for message in run.messages}


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
    with SandboxServer(world(4_000), clock=clock) as server:
        # In the middle of the second batch, which the limit holds up for three seconds.
        config = config_for(server, batch_config=batches, concurrency=1, requests_per_minute=300, page_size=100)
        killed = tap.until(
            config,
            1,
            by=signal.SIGTERM,
            kind="BATCH",
            ready=lambda: server.stats["searches"] >= 18,
        )
        accounted_for(killed)
        whole = tap(config | {"requests_per_minute": FAST}, state=killed.state, now=clock.now)
        assert table([killed, whole]) == truth(server)
    assert killed.code == 128 + signal.SIGTERM
    assert len(killed.records) == 1_500


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
