"""What a run costs, counted: searches, turns of the SDK's loop, tokens, prepared requests. No time is measured here."""

from __future__ import annotations

import io
import json
import signal
import sys
from collections import Counter
from contextlib import redirect_stdout
from math import ceil
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tap_genesys_search import ConversationSearchClient, GenesysAuth
from tap_genesys_search.reading import Reading
from tap_genesys_search.sandbox import SandboxServer, WorldConfig
from tap_genesys_search.streams import ConversationsStream
from tap_genesys_search.tap import TapGenesysSearch
from tests.support.helpers import CLIENT, FAST, SECRET, config_for

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = 50
CONVERSATIONS = 3_000
PAGES = ceil(CONVERSATIONS / PAGE)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(WorldConfig(conversations=CONVERSATIONS), warm=True) as server:
        yield server


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Put back what the tap sets: it runs in this process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def counts(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts calls, by a name; those of the sandbox start from zero."""
    sandbox.reset_stats()
    counter: Counter[str] = Counter()

    def count(owner: Any, method: str, name: str) -> None:
        plain = getattr(owner, method)

        def counted(*args: Any, **kwargs: Any) -> Any:
            counter[name] += 1
            return plain(*args, **kwargs)

        monkeypatch.setattr(owner, method, counted)

    count(ConversationsStream, "_write_record_message", "turns")
    count(requests.PreparedRequest, "prepare", "prepared")
    count(requests.Session, "__init__", "sessions")
    count(Reading, "take", "looks")
    return counter


def run(sandbox: SandboxServer, state: dict[str, Any] | None = None, **settings: object) -> list[dict[str, Any]]:
    """Run the tap in this process and return its messages."""
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    config = config_for(sandbox, page_size=PAGE, **settings)
    with redirect_stdout(output):
        TapGenesysSearch(config=config, state=state).sync_all()
        sys.stdout.flush()
    assert isinstance(output.buffer, io.BytesIO)
    return [json.loads(line) for line in output.buffer.getvalue().splitlines()]


def of_kind(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == kind]


def test_a_backfill_takes_a_search_a_page_and_a_slice(sandbox: SandboxServer, counts: Counter[str]) -> None:
    slices = 3
    messages = run(sandbox, concurrency=2, slice_records=CONVERSATIONS // slices)
    assert len(of_kind(messages, "RECORD")) == CONVERSATIONS
    assert PAGES <= sandbox.stats["searches"] <= PAGES + 2 * slices
    assert sandbox.stats["token_requests"] == 1
    # The search's, the token's, and the one that the SDK makes for each REST stream.
    assert counts["sessions"] <= 3


def test_one_worker_takes_a_search_a_page_and_one_more(sandbox: SandboxServer) -> None:
    sandbox.reset_stats()
    run(sandbox, concurrency=1)
    # Seeking asks again from the last instant, so pages bring a few records less than they hold.
    assert PAGES <= sandbox.stats["searches"] <= PAGES * 1.02 + 1


def test_nobody_looks_for_work_that_a_busy_worker_does(
    sandbox: SandboxServer, counts: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that is woken for nothing costs as much as a page's headers: here two, once one is enough."""
    monkeypatch.setattr(
        ConversationSearchClient, "workers", lambda client: 3 if client.http.stats.searches < PAGES // 4 else 1
    )
    run(sandbox)
    assert counts["looks"] <= sandbox.stats["searches"] * 1.3 + 3


def test_the_sdk_turns_once_a_page(sandbox: SandboxServer, counts: Counter[str]) -> None:
    messages = run(sandbox)
    searches = sandbox.stats["searches"]
    assert len(of_kind(messages, "RECORD")) == CONVERSATIONS
    assert PAGES <= counts["turns"] <= searches
    # The first one, and the last one of the SDK.
    assert len(of_kind(messages, "STATE")) <= searches + 2
    assert len(of_kind(messages, "SCHEMA")) == 1


def test_a_stream_map_turns_once_a_page_too(sandbox: SandboxServer, counts: Counter[str]) -> None:
    messages = run(sandbox, stream_maps={"conversations": {"origin": "'genesys'"}})
    assert len(of_kind(messages, "RECORD")) == CONVERSATIONS
    assert PAGES <= counts["turns"] <= sandbox.stats["searches"]


def test_requests_are_prepared_once(sandbox: SandboxServer, counts: Counter[str]) -> None:
    run(sandbox)
    assert sandbox.stats["searches"] >= PAGES
    # The search, and the token.
    assert counts["prepared"] <= 2


def test_a_run_with_nothing_new_takes_one_search_and_one_token(sandbox: SandboxServer, counts: Counter[str]) -> None:
    messages = run(sandbox)
    sandbox.reset_stats()
    counts.clear()
    run(sandbox, state=of_kind(messages, "STATE")[-1]["value"])
    assert sandbox.stats["searches"] == 1
    assert sandbox.stats["token_requests"] == 1
    assert counts["turns"] <= 1


def test_a_generator_that_is_left_early_has_not_read_on(sandbox: SandboxServer) -> None:
    sandbox.reset_stats()
    auth = GenesysAuth(CLIENT, SECRET, sandbox.base_url)
    with ConversationSearchClient(auth, sandbox.base_url, page_size=PAGE, requests_per_minute=FAST) as client:
        conversations = client.stream_conversations(max_results=PAGE)
        assert len(list(conversations)) == PAGE
    assert sandbox.stats["searches"] == 1
    assert sandbox.stats["token_requests"] == 1
