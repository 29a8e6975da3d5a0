"""Conversations as a Python generator, without Singer."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tap_genesys_search import (
    AuthenticationError,
    ContractError,
    ConversationSearchClient,
    GenesysAuth,
    GenesysSearchError,
    Glimpse,
    MissingPermissionError,
    PlatformUnavailableError,
    QueryError,
    RateBudget,
    RateLimitError,
)
from tap_genesys_search.clock import SystemClock
from tap_genesys_search.sandbox import Client, Faults, Movement, SandboxServer, WorldConfig
from tests.support.helpers import CLIENT, FAST, SECRET, ManualClock, environment, truth

if TYPE_CHECKING:
    from collections.abc import Iterable


class ClockOf(SystemClock):
    """A clock that agrees with a sandbox's."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def time(self) -> float:  # type: ignore[override]
        """Seconds since 1970."""
        return self._clock.now


def client_of(
    server: SandboxServer,
    clock: ManualClock,
    **settings: Any,
) -> ConversationSearchClient:
    auth = GenesysAuth(CLIENT, SECRET, server.base_url, max_retries=settings.get("max_retries", 3))
    return ConversationSearchClient(
        auth, server.base_url, **{"requests_per_minute": FAST, "clock": ClockOf(clock), **settings}
    )


def day(conversations: int = 1_500, **settings: Any) -> WorldConfig:
    return WorldConfig(conversations=conversations, **{"days": 1.0, **settings})


def pairs(conversations: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    """Ids and timestamps, in order."""
    return [(conversation["id"], conversation["timestamp"]) for conversation in conversations]


def workers() -> list[threading.Thread]:
    """The threads that search."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("search-")]


def test_nothing_is_asked_before_the_first_and_little_for_it(clock: ManualClock) -> None:
    with SandboxServer(day(), clock=clock) as server, client_of(server, clock) as client:
        conversations = client.stream_conversations()
        assert (server.stats["searches"], server.stats["token_requests"], workers()) == (0, 0, [])
        first = next(conversations)
        conversations.close()
        assert first["timestamp"] == max(truth(server).values())
        assert 1 <= server.stats["searches"] <= 2
        assert server.stats["token_requests"] == 1


@pytest.mark.parametrize("newest_first", [True, False], ids=["newest first", "oldest first"])
@pytest.mark.parametrize("concurrency", [1, 5, None])
def test_all_come_once_in_order(clock: ManualClock, *, newest_first: bool, concurrency: int | None) -> None:
    config = day(tie_share=0.05, bursts=(("2026-10-05T09:00:00Z", 450),))
    with SandboxServer(config, clock=clock) as server:
        client = client_of(server, clock, concurrency=concurrency, page_size=50, slice_records=300)
        with client:
            found = pairs(client.stream_conversations(newest_first=newest_first))
        stamps = [stamp for _, stamp in found]
        assert stamps == sorted(stamps, reverse=newest_first)
        assert len(found) == 1_500
        assert dict(found) == truth(server)
    assert workers() == []


def test_as_many_as_asked_for_are_the_newest(clock: ManualClock) -> None:
    with SandboxServer(day(), clock=clock) as server, client_of(server, clock) as client:
        found = pairs(client.stream_conversations("channelType:voice", max_results=230))
        stamps = sorted(truth(server, "channelType:voice").values(), reverse=True)
        assert [stamp for _, stamp in found] == stamps[:230]
        # 230 of them are two pages; a worker may be one ahead.
        assert server.stats["searches"] <= 4
        server.reset_stats()
        assert pairs(client.stream_conversations(max_results=0)) == []
        assert server.stats["searches"] == 0


def test_fewer_may_match_than_are_asked_for(clock: ManualClock) -> None:
    """All of them come, and the emptiness before the oldest is not searched bit by bit."""
    with SandboxServer(day(), clock=clock) as server, client_of(server, clock, concurrency=4) as client:
        assert dict(pairs(client.stream_conversations(max_results=2_000))) == truth(server)
        # Eight pages; the oldest, and what lies beyond it; a last look; three may be of a slice that is hardly full.
        assert server.stats["searches"] <= 8 + 2 + 1 + 3


def test_start_and_end_are_instants_in_any_form(clock: ManualClock) -> None:
    low, high = "2026-10-05T06:00:00.000Z", "2026-10-05T09:00:00.000Z"
    with SandboxServer(day(), clock=clock) as server, client_of(server, clock) as client:
        expected = {identity: stamp for identity, stamp in truth(server).items() if low <= stamp < high}
        for start, end in (
            (low, high),
            ("2026-10-05T08:00:00+02:00", "2026-10-05 09:00"),
            (datetime(2026, 10, 5, 6, tzinfo=UTC), datetime(2026, 10, 5, 9)),  # noqa: DTZ001 - one without a zone is UTC
        ):
            for newest_first in (True, False):
                found = client.stream_conversations(start=start, end=end, newest_first=newest_first)
                assert dict(pairs(found)) == expected
    assert len(expected) > 100


@pytest.mark.parametrize("newest_first", [True, False], ids=["newest first", "oldest first"])
def test_a_last_look_brings_what_moved_meanwhile(clock: ManualClock, *, newest_first: bool) -> None:
    with SandboxServer(day(), clock=clock) as server, client_of(server, clock, page_size=100) as client:
        conversations = client.stream_conversations(newest_first=newest_first)
        found = [next(conversations)]
        for _ in range(5):
            clock.pass_by(1)
            server.world.move(arrive=10, change=20)
        found += conversations
        assert dict(pairs(found)) == truth(server)
    assert len(found) >= 1_500 + 50
    again: dict[str, str] = {}
    for identity, stamp in pairs(found):
        assert again.get(identity, "") < stamp
        again[identity] = stamp


def test_a_last_look_brings_what_showed_late(clock: ManualClock) -> None:
    """It goes back to before its start: their timestamps are older than that."""
    late = Movement(late_max_seconds=120)
    with SandboxServer(day(), movement=late, clock=clock) as server, client_of(server, clock, page_size=100) as client:
        server.world.move(late=20)
        clock.pass_by(30)
        conversations = client.stream_conversations()
        found = [next(conversations)]
        hidden = 1_500 + 20 - len(truth(server))
        clock.pass_by(120)
        found += conversations
        assert hidden > 10
        assert dict(pairs(found)) == truth(server)


def test_what_did_not_move_comes_once_though_it_is_new(clock: ManualClock) -> None:
    """The last look goes back ten minutes: what lies in them has been given already."""
    with SandboxServer(day(days=0.01), clock=clock) as server, client_of(server, clock, page_size=100) as client:
        found = pairs(client.stream_conversations())
        assert len(found) == len(set(found)) == 1_500
        assert dict(found) == truth(server)


@pytest.mark.parametrize("asked", [{"end": "2026-10-05T12:00:00Z"}, {"max_results": 1_500}], ids=["end", "max_results"])
def test_there_is_no_last_look_where_all_that_was_asked_for_is_there(clock: ManualClock, asked: dict[str, Any]) -> None:
    with SandboxServer(day(), clock=clock) as server, client_of(server, clock) as client:
        before = truth(server)
        conversations = client.stream_conversations(**asked)
        found = [next(conversations)]
        clock.pass_by(1)
        server.world.move(arrive=10)
        found += conversations
        assert dict(pairs(found)) == before


def test_nothing_that_kept_its_place_is_lost_on_the_way_down(clock: ManualClock) -> None:
    movement = Movement(move_every_search=1, late_every_search=1, late_in_range=True)
    with SandboxServer(day(3_000), movement=movement, clock=clock) as server:
        clock.pass_by(1)
        with client_of(server, clock, page_size=40, slice_records=500) as client:
            found = pairs(client.stream_conversations())
        stood = {record.id for record in server.world.truth() if server.world.stood(record)}
    assert 2_500 < len(stood) < 2_950
    assert stood <= dict(found).keys()
    assert len(set(found)) == len(found)


# Workers by themselves


@pytest.mark.parametrize(
    ("seconds", "size", "per_minute", "wanted"),
    [
        (0.2, 60_000, 300, 3),
        (0.2, 60_000, 1200, 6),
        (0.2, 60_000, 100_000, 16),
        # No more than fit into the time in which one waits: the others would wait for the processor.
        (0.0008, 60_000, 100_000, 1),
        (0.004, 60_000, 100_000, 3),
        (0.004, 2_000_000, 100_000, 1),
    ],
)
def test_as_many_as_rate_and_latency_ask_for(seconds: float, size: int, per_minute: int, wanted: int) -> None:
    auth = GenesysAuth(CLIENT, SECRET, "http://127.0.0.1:1")
    with ConversationSearchClient(auth, "http://127.0.0.1:1", requests_per_minute=per_minute) as client:
        client.http.stats.note_page(seconds, size)
        # One that was slow tells of the processor, not of the platform.
        client.http.stats.note_page(2 * seconds, size)
        assert client.workers() == wanted


def test_a_quick_small_page_says_nothing_of_heavy_ones() -> None:
    auth = GenesysAuth(CLIENT, SECRET, "http://127.0.0.1:1")
    with ConversationSearchClient(auth, "http://127.0.0.1:1", requests_per_minute=100_000) as client:
        for seconds, size in [(0.4, 20_000_000)] * 20 + [(0.03, 200)]:
            client.http.stats.note_page(seconds, size)
        assert client.workers() == 10


@pytest.mark.parametrize(("lookback", "seconds"), [(0, 60), (100, 60), (600, 300), (7_200, 3_600)])
def test_a_page_may_wait_for_half_the_lookback(lookback: int, seconds: float) -> None:
    """And for a minute, however short that is."""
    auth = GenesysAuth(CLIENT, SECRET, "http://127.0.0.1:1")
    with ConversationSearchClient(auth, "http://127.0.0.1:1", lookback_seconds=lookback) as client:
        assert client.max_age == seconds


# Leaving


@pytest.mark.parametrize("way", ["close", "forget", "throw"])
def test_leaving_early_ends_the_threads(clock: ManualClock, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    # However long an answer under way takes on a busy machine.
    monkeypatch.setattr("tap_genesys_search.workers._PATIENCE", 30)
    with SandboxServer(day(20_000), Faults(latency_ms=5), clock=clock) as server:
        client = client_of(server, clock, concurrency=6, page_size=50, slice_records=200)
        conversations = client.stream_conversations()
        for _ in range(2_000):
            next(conversations)
        assert len(workers()) > 1
        if way == "close":
            conversations.close()
        elif way == "throw":
            with pytest.raises(KeyError):
                conversations.throw(KeyError("mine"))
        else:
            del conversations
            gc.collect()
        assert workers() == []
        assert server.stats["searches"] < 20_000 / 50
        client.close()


def test_a_slow_reader_is_not_read_ahead_of_for_long(clock: ManualClock) -> None:
    """The first page is paid for; how far others are read ahead grows with what is taken."""
    with SandboxServer(day(20_000), clock=clock) as server:
        client = client_of(server, clock, concurrency=8, page_size=50, slice_records=200)
        conversations = client.stream_conversations()
        for _ in range(10):
            next(conversations)
        assert server.stats["searches"] <= 4
        conversations.close()
        client.close()


def test_a_client_may_be_used_again_and_by_several_at_a_time(clock: ManualClock) -> None:
    with SandboxServer(day(300), clock=clock) as server, client_of(server, clock) as client:
        one, two = client.stream_conversations(), client.stream_conversations("channelType:voice")
        mixed = [(next(one)["id"], next(two)["id"]) for _ in range(5)]
        assert len({identity for identity, _ in mixed}) == 5
        assert len(pairs(one)) == 295
        assert len(pairs(two)) == len(truth(server, "channelType:voice")) - 5
        client.close()
        assert len(pairs(client.stream_conversations())) == 300
        assert server.stats["token_requests"] == 1


# Errors

WRONG: dict[str, tuple[type[GenesysSearchError], dict[str, Any], Client]] = {
    "outage": (PlatformUnavailableError, {"outage": True}, Client()),
    "sort ignored": (ContractError, {"ignore_sort": True}, Client()),
    "range ignored": (ContractError, {"ignore_range": True}, Client()),
    "long wait": (RateLimitError, {"p_429": 1.0, "retry_after_seconds": 900.0}, Client()),
    "no permission": (MissingPermissionError, {}, Client(may_search=False)),
    "no scope": (MissingPermissionError, {}, Client(scopes=("users",))),
    "wrong secret": (AuthenticationError, {}, Client(client_secret="another")),
    "unknown client": (AuthenticationError, {}, Client(client_id="another")),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_have_types(clock: ManualClock, name: str) -> None:
    kind, faults, known = WRONG[name]
    with SandboxServer(day(5_000), Faults(**faults), clients=[known], clock=clock) as server:
        with client_of(server, clock, max_retries=0) as client, pytest.raises(kind) as caught:
            list(client.stream_conversations(newest_first=False))
        assert SECRET not in str(caught.value)
        assert "\n" not in str(caught.value)
    assert workers() == []


def test_a_bad_query_is_an_error_of_its_own(clock: ManualClock) -> None:
    with (
        SandboxServer(day(10), clock=clock) as server,
        client_of(server, clock) as client,
        pytest.raises(QueryError, match="query"),
    ):
        next(client.stream_conversations("status:completed AND"))


def test_what_was_read_before_an_error_is_given(clock: ManualClock) -> None:
    with SandboxServer(day(), clock=clock) as server, client_of(server, clock, page_size=50, max_retries=0) as client:
        conversations = client.stream_conversations()
        found = [next(conversations) for _ in range(60)]
        server.faults.merge({"outage": True})
        with pytest.raises(PlatformUnavailableError):
            found.extend(conversations)
        stamps = [stamp for _, stamp in pairs(found)]
        assert stamps == sorted(truth(server).values(), reverse=True)[: len(stamps)]


# Memory

_READ = """
import resource, sys
from tap_genesys_search import ConversationSearchClient, GenesysAuth
auth = GenesysAuth("sandbox", "sandbox-secret", sys.argv[1])
with ConversationSearchClient(auth, sys.argv[1], requests_per_minute=100_000) as client:
    print(sum(1 for _ in client.stream_conversations(max_results=int(sys.argv[2]))))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_what_is_read() -> None:
    def peak(server: SandboxServer, count: int) -> int:
        command = [sys.executable, "-c", _READ, server.base_url, str(count)]
        done = subprocess.run(command, env=environment(), check=True, capture_output=True, text=True, timeout=120)
        read, kilobytes = map(int, done.stdout.split())
        assert read == count
        return kilobytes

    with SandboxServer(WorldConfig(conversations=160_000)) as server:
        few = peak(server, 20_000)
        # Eight times as much; what varies is how far the workers were ahead at some moment.
        assert peak(server, 160_000) < few + 20_000


def test_waiting_for_the_rate_limit_can_be_left(clock: ManualClock) -> None:
    with SandboxServer(day(5_000), clock=clock) as server:
        client = client_of(server, clock, requests_per_minute=2)
        conversations = client.stream_conversations()
        next(conversations)
        conversations.close()
        # The next search would be due in half a minute; a thread that waited for it would still be here.
        assert workers() == []
        client.close()


def test_clients_may_share_a_rate_limit() -> None:
    """By themselves they would keep a pace each; the clock of both is the machine's."""
    with SandboxServer(day(10)) as server:
        budget = RateBudget(600)
        auth = GenesysAuth(CLIENT, SECRET, server.base_url)
        clients = [ConversationSearchClient(auth, server.base_url, budget=budget) for _ in range(2)]
        assert clients[0].budget is clients[1].budget
        begun = time.monotonic()
        for client in clients * 4:
            glimpse = client.glimpse()
        took = time.monotonic() - begun
        assert server.stats["searches"] == 8
        newest = max(truth(server).values())
    # A tenth of a second between each two.
    assert took > 0.6
    assert glimpse == Glimpse(glimpse.total, newest)
    for client in clients:
        client.close()
