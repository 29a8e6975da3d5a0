"""The state: what is accepted, what is written, and what a change of settings does to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tap_genesys_search import timestamps
from tap_genesys_search.bookmark import fingerprint
from tap_genesys_search.sandbox import Client, SandboxServer, WorldConfig
from tap_genesys_search.streams import ConversationsStream
from tap_genesys_search.tap import TapGenesysSearch
from tests.support.helpers import (
    CLIENT,
    SECRET,
    ManualClock,
    Run,
    State,
    Tap,
    accounted_for,
    bookmark_of,
    config_for,
    kept_of,
    table,
    truth,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR = 3_600

STATES = Path(__file__).parent / "states"
FORM = {"replication_key", "replication_key_value", "source", "since", "run_start"}


@pytest.fixture
def server(clock: ManualClock) -> Iterator[SandboxServer]:
    clients = [Client(), Client("rotated", SECRET)]
    with SandboxServer(WorldConfig(conversations=2_000, days=1), clients=clients, clock=clock) as started:
        yield started


def plain(value: str, **more: object) -> State:
    """A state as the SDK writes it by itself."""
    return {"bookmarks": {"conversations": {"replication_key": "timestamp", "replication_key_value": value, **more}}}


def inside(server: SandboxServer, low: str, high: str = "9") -> dict[str, str]:
    """What the sandbox holds from one timestamp to before another."""
    return {identity: stamp for identity, stamp in truth(server).items() if low <= stamp < high}


# What is accepted


def test_a_state_of_the_sdk_is_taken_and_completed(tap: Tap, server: SandboxServer, clock: ManualClock) -> None:
    """It has no start of its run, so the lookback goes back from its bookmark."""
    run = tap(config_for(server, lookback_seconds=HOUR), state=plain("2026-10-05T08:00:00.000Z"), now=clock.now)
    assert run.table == inside(server, "2026-10-05T07:00:00.000Z")
    final = bookmark_of(run.state)
    assert final["source"]
    assert final["since"] == "*"
    assert final["run_start"] == "2026-10-05T12:00:00.000Z"
    accounted_for(run, plain("2026-10-05T08:00:00.000Z"))


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        ("2026-10-05T10:00:00+02:00", "2026-10-05T08:00:00.000Z"),
        ("2026-10-05 08:00:00", "2026-10-05T08:00:00.000Z"),
        ("2026-10-05T08:00:00.123456789Z", "2026-10-05T08:00:00.123Z"),
        ("2026-10-05", "2026-10-05T00:00:00.000Z"),
    ],
)
def test_a_bookmark_may_be_written_in_any_way(
    tap: Tap, server: SandboxServer, clock: ManualClock, value: str, instant: str
) -> None:
    run = tap(config_for(server, lookback_seconds=0), state=plain(value), now=clock.now)
    assert run.table == inside(server, instant)


def test_marks_of_a_run_that_broke_off_do_no_harm(tap: Tap, server: SandboxServer, clock: ManualClock) -> None:
    marks = {
        "starting_replication_value": "2026-10-05T06:00:00.000Z",
        "progress_markers": {"replication_key": "timestamp", "replication_key_value": "2026-10-05T11:00:00.000Z"},
        "replication_key_signpost": "2026-10-05T11:30:00.000Z",
    }
    run = tap(config_for(server, lookback_seconds=0), state=plain("2026-10-05T08:00:00.000Z", **marks), now=clock.now)
    assert run.table == inside(server, "2026-10-05T08:00:00.000Z")
    assert set(bookmark_of(run.state)) == {"replication_key", "replication_key_value", "source", "since", "run_start"}


@pytest.mark.parametrize("state", [{}, {"bookmarks": {}}, {"bookmarks": {"conversations": {}}}], ids=str)
def test_an_empty_state_is_that_of_a_first_run(
    tap: Tap, server: SandboxServer, clock: ManualClock, state: State
) -> None:
    run = tap(config_for(server), state=state, now=clock.now)
    assert run.table == truth(server)


@pytest.mark.parametrize(
    "first", [plain("0001-01-01T00:00:00Z"), plain("2026-10-05T06:00:00Z", run_start="0001-01-01T00:00:00Z")]
)
def test_a_lookback_to_before_the_year_1_is_one_to_the_beginning(
    tap: Tap, server: SandboxServer, clock: ManualClock, first: State
) -> None:
    run = tap(config_for(server), state=first, now=clock.now)
    assert run.code == 0
    assert run.table == truth(server)


@pytest.mark.parametrize("value", ["abc", 5, True, "10000-01-01", "2026-11-24T00:00:00+99:00"])
def test_a_bookmark_that_is_none_is_named_with_a_start_date_too(tap: Tap, server: SandboxServer, value: object) -> None:
    """The SDK compares the two, and before anything is read."""
    state: State = {"bookmarks": {"conversations": {"replication_key": "timestamp", "replication_key_value": value}}}
    run = tap(config_for(server, start_date="2026-10-01"), state=state)
    (line,) = run.critical
    assert run.code == 78
    assert "the state's replication_key_value is " in line


@pytest.mark.parametrize(
    "part", [{"partitions": "x"}, {"partitions": [7]}, {"partitions": [{"a": 1}]}, {"progress_markers": "x"}]
)
def test_a_part_of_a_state_that_the_sdk_cannot_read_is_named_as_one_that_is_none(
    tap: Tap, server: SandboxServer, part: dict[str, object]
) -> None:
    run = tap(config_for(server), state={"bookmarks": {"conversations": part}})
    (line,) = run.critical
    assert run.code == 78
    assert "the state is none" in line


def test_a_bookmark_of_another_replication_key_is_none(tap: Tap, server: SandboxServer, clock: ManualClock) -> None:
    state = {"bookmarks": {"conversations": {"replication_key": "updated", "replication_key_value": "2026-10-05"}}}
    run = tap(config_for(server), state=state, now=clock.now)
    assert run.table == truth(server)
    assert bookmark_of(run.state)["replication_key"] == "timestamp"


def test_what_belongs_to_other_streams_is_kept(tap: Tap, server: SandboxServer, clock: ManualClock) -> None:
    state = plain("2026-10-05T08:00:00.000Z")
    state["bookmarks"]["users"] = {"replication_key": "id", "replication_key_value": 7}
    run = tap(config_for(server), state=state, now=clock.now)
    assert len(run.states) > 1
    assert all(value["bookmarks"]["users"] == state["bookmarks"]["users"] for value in run.states)


def test_a_bookmark_in_the_future_stays(tap: Tap, server: SandboxServer, clock: ManualClock) -> None:
    """As a clock that ran ahead may have left it: nothing is read up to it, and nothing is claimed."""
    state = plain("2026-10-05T13:00:00.000Z")
    run = tap(config_for(server, lookback_seconds=2 * HOUR), state=state, now=clock.now)
    assert run.code == 0
    assert run.table == inside(server, "2026-10-05T11:00:00.000Z")
    assert run.state == state


# Files that other versions have left, and the SDK


def left_by_another(name: str, server: SandboxServer) -> State:
    """A state from a file, as if its run had read this server."""
    state: State = json.loads((STATES / f"{name}.json").read_text(encoding="utf-8"))
    if "source" in bookmark_of(state):
        bookmark_of(state)["source"] = fingerprint(server.base_url, CLIENT, "*")
    return state


@pytest.mark.parametrize("name", [path.stem for path in sorted(STATES.glob("*.json")) if "source" in path.read_text()])
def test_the_source_of_another_version_is_the_present_one(name: str) -> None:
    """Files hold it as it was written then, for the address that the sandbox had."""
    state: State = json.loads((STATES / f"{name}.json").read_text(encoding="utf-8"))
    settings = {"client_id": CLIENT, "client_secret": SECRET, "base_url": "http://127.0.0.1:45033"}
    if (since := bookmark_of(state)["since"]) != "*":
        settings["start_date"] = since
    stream = TapGenesysSearch(config=settings, state=state).streams["conversations"]
    assert isinstance(stream, ConversationsStream)
    # One that has changed would be an error here.
    bookmark = stream._bookmark()
    assert bookmark.previous == timestamps.parse(bookmark_of(state)["replication_key_value"])


def goes_on_from(bookmark: State, lookback: int) -> str:
    """Where a run begins that understands a bookmark: at the first of all where there is none."""
    if "replication_key_value" not in bookmark:
        return ""
    value = timestamps.parse(bookmark["replication_key_value"])
    settled = timestamps.parse(bookmark.get("run_start") or bookmark["replication_key_value"]) - lookback * 1_000
    return timestamps.write(min(value, settled))


@pytest.mark.parametrize("name", sorted(path.stem for path in STATES.glob("*.json")))
def test_a_state_of_another_version_is_understood(
    tap: Tap, server: SandboxServer, clock: ManualClock, name: str
) -> None:
    """It is gone on from, nothing is lost, and what is written then has the present form."""
    state = left_by_another(name, server)
    stored = bookmark_of(state)
    since = stored.get("since", "*")
    config = config_for(server, lookback_seconds=600, **({} if since == "*" else {"start_date": since}))

    run = tap(config, state=state, now=clock.now)
    assert run.code == 0, run.stderr
    assert run.table == inside(server, goes_on_from(stored, 600))
    accounted_for(run, state if "replication_key_value" in stored else None)
    written = bookmark_of(run.state)
    assert written.keys() - stored.keys() <= FORM <= written.keys()
    assert {key: written[key] for key in written.keys() - FORM} == {key: stored[key] for key in written.keys() - FORM}
    assert not written.keys() & {"progress_markers", "replication_key_signpost", "starting_replication_value"}
    assert written["replication_key_value"] == max(truth(server).values())
    assert (written["since"], written["run_start"]) == (since, "2026-10-05T12:00:00.000Z")
    # Of other streams, whatever it is.
    assert {**run.state["bookmarks"], "conversations": 0} == {**state["bookmarks"], "conversations": 0}

    # And the next run takes it for its own.
    clock.pass_by(HOUR)
    server.world.move(arrive=20)
    clock.pass_by(1)
    following = tap(config, state=run.state, now=clock.now)
    assert following.code == 0, following.stderr
    assert table([run, following]).items() >= {k: v for k, v in truth(server).items() if v > "2026-10-05T12"}.items()
    assert len(following.records) < 100


# A change of settings

CHANGES: dict[str, dict[str, Any]] = {
    "query": {"query": "channelType:voice"},
    "client": {"client_id": "rotated"},
    "start": {"start_date": "2026-10-04T18:00:00Z"},
}


def changed(server: SandboxServer, change: str, **settings: object) -> dict[str, object]:
    """The settings after a change."""
    return config_for(server, **CHANGES[change], **settings)


@pytest.fixture
def first(tap: Tap, server: SandboxServer, clock: ManualClock) -> Run:
    """A run from a start date on."""
    return tap(config_for(server, start_date="2026-10-05T06:00:00Z"), now=clock.now)


@pytest.mark.parametrize("change", CHANGES)
def test_another_question_fails_and_says_what_can_be_done(
    tap: Tap, server: SandboxServer, clock: ManualClock, first: Run, change: str
) -> None:
    server.reset_stats()
    run = tap(changed(server, change), state=first.state, now=clock.now)
    assert run.code == 78
    (line,) = run.critical
    assert all(word in line for word in ("on_source_change", "restart", "keep"))
    assert server.stats["searches"] == 0
    assert run.records == []
    assert all(value == first.state for value in run.states)


@pytest.mark.parametrize("change", CHANGES)
def test_keep_goes_on_from_the_bookmark(
    tap: Tap, server: SandboxServer, clock: ManualClock, first: Run, change: str
) -> None:
    clock.pass_by(60)
    server.world.move(arrive=30)
    clock.pass_by(1)
    config = changed(server, change, on_source_change="keep")
    run = tap(config, state=first.state, now=clock.now)
    new = {k: v for k, v in truth(server, str(config.get("query", "*"))).items() if v > "2026-10-05T12"}
    assert new.items() <= run.table.items()
    assert len(run.table) < len(new) + 100
    stored, kept = bookmark_of(first.state), bookmark_of(run.state)
    assert kept["replication_key_value"] == max(new.values())
    assert (kept["source"] == stored["source"]) is (change == "start")
    # The next run is not asked again.
    assert tap(changed(server, change), state=run.state, now=clock.now).code == 0


@pytest.mark.parametrize("change", CHANGES)
def test_a_restart_reads_all_again_and_goes_on_after_a_kill(
    tap: Tap, server: SandboxServer, clock: ManualClock, first: Run, change: str
) -> None:
    config = changed(server, change, on_source_change="restart", page_size=20)
    killed = kept_of(tap.until(config, 3, first.state))
    # The first STATE of all is the stored one again; the first page's replaces it together.
    assert killed.bookmarks[0] == bookmark_of(first.state)
    assert bookmark_of(killed.state)["replication_key_value"] < bookmark_of(first.state)["replication_key_value"]
    assert bookmark_of(killed.state)["source"] != bookmark_of(first.state)["source"] or change == "start"
    whole = tap(config, state=killed.state, now=clock.now)
    expected = truth(server, str(config.get("query", "*")))
    begin = str(config.get("start_date", ""))[:13]
    assert table([killed, whole]) == {k: v for k, v in expected.items() if v >= begin}
    assert len(killed.records) + len(whole.records) <= len(table([killed, whole])) + 1
    assert bookmark_of(whole.state)["since"] == ("2026-10-04T18:00:00.000Z" if change == "start" else "*")


def test_a_start_after_the_bookmark_goes_on_and_names_the_hole(
    tap: Tap, server: SandboxServer, clock: ManualClock
) -> None:
    state = plain("2026-10-05T08:00:00.000Z")
    run = tap(config_for(server, start_date="2026-10-05T10:00:00Z"), state=state, now=clock.now)
    assert run.code == 0
    assert run.table == inside(server, "2026-10-05T10:00:00.000Z")
    (line,) = [line for line in run.stderr.splitlines() if "WARNING" in line and "clock" not in line]
    assert "2026-10-05T08:00:00.000Z to 2026-10-05T10:00:00.000Z" in line


def test_an_earlier_end_leaves_the_state_as_it_was(
    tap: Tap, server: SandboxServer, clock: ManualClock, first: Run
) -> None:
    """A second look at a window that has been read already."""
    window = {"start_date": "2026-10-05T06:00:00Z", "end_date": "2026-10-05T11:00:00Z", "lookback_seconds": 3 * HOUR}
    run = tap(config_for(server, **window), state=first.state, now=clock.now)
    assert run.code == 0
    assert run.table == inside(server, "2026-10-05T09:00:00.000Z", "2026-10-05T11:00:00.000Z")
    assert all(value == first.state for value in run.states)


# Ends before the first page


@pytest.mark.parametrize("how", ["fail", "keep", "restart"])
def test_no_state_tells_of_a_source_before_its_first_page(
    tap: Tap, server: SandboxServer, clock: ManualClock, first: Run, how: str
) -> None:
    """Loaders merge states deeply: a new fingerprint beside an old bookmark would hide what was never read."""
    server.faults.merge({"outage": True})
    config = changed(server, "query", on_source_change=how, max_retries=0)
    run = tap(config, state=first.state, now=clock.now)
    assert run.code == (78 if how == "fail" else 75)
    assert all(value == first.state for value in run.states)
    alone = tap(config, now=clock.now)
    assert alone.code == 75
    assert all(bookmark_of(value) == {} for value in alone.states)
