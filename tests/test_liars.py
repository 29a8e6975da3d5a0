"""An API that lies: what the tap brings is complete and right, or it ends with one line and claims nothing too much."""

from __future__ import annotations

import logging
import re
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tap_genesys_search import ConversationSearchClient, GenesysAuth, GenesysSearchError
from tap_genesys_search.clock import SystemClock
from tests.support.fakes import serving
from tests.support.helpers import (
    FAST,
    NOON,
    Run,
    State,
    Tap,
    accounted_for,
    bookmark_of,
    check_hidden,
    secrets_of,
    table,
)
from tests.support.liars import FINE, MORNING, Liar, Lie
from tests.support.lies import LIES
from tests.support.searches import settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fakes import Server


@pytest.fixture
def liar(request: pytest.FixtureRequest) -> Iterator[tuple[Liar, Server]]:
    """The API that tells a lie, once it begins to."""
    api = Liar(LIES[request.param])
    with serving(api) as server:
        yield api, server


def settings(server: Server, lie: Lie) -> dict[str, object]:
    """Settings that make a short run of many searches, and claim all that they can."""
    return {
        **settings_for(server),
        "requests_per_minute": 100_000,
        "page_size": lie.pages,
        "slice_records": 100,
        "lookback_seconds": 0,
        "max_retries": 0,
    }


def in_order(run: Run) -> bool:
    """Whether what has a time came by time, each version once."""
    versions = [(record["timestamp"], record["id"]) for record in run.records]
    stamps = [stamp for stamp, _ in versions if stamp is not None]
    return all(before <= after for before, after in pairwise(stamps)) and len(set(versions)) == len(versions)


def behind(state: State, rows: dict[str, str]) -> set[str]:
    """What a state tells of: all that lies before its bookmark."""
    bookmark = bookmark_of(state).get("replication_key_value", "")
    return {identity for identity, stamp in rows.items() if str(stamp) < bookmark}


def cases() -> list[Any]:
    """Each lie at a first run and at a later one, where that makes a difference."""
    return [
        pytest.param(name, name, again, id=f"{name}, {'later' if again else 'first'}")
        for name, lie in LIES.items()
        for again in (False, True)
        if again or not re.search("list of results|whole JSON|not a conversation", lie.says)
    ]


@pytest.mark.parametrize(("liar", "name", "again"), cases(), indirect=["liar"])
def test_a_lie_loses_nothing_or_is_said(tap: Tap, liar: tuple[Liar, Server], name: str, *, again: bool) -> None:
    """Alone, or over a state that an honest run has left."""
    api, server = liar
    lie = LIES[name]
    config = settings(server, lie)
    runs = [tap(config, now=MORNING)] if again else []
    stored = runs[-1].state if runs else None

    api.lying, api.searches = True, 0
    run = tap(config, state=stored, now=NOON, timeout=60)
    runs.append(run)
    assert run.code in {lie.code, lie.also}, run.stderr
    assert len(run.critical) == (run.code != FINE)
    assert re.search(lie.says, "".join(run.critical)), run.critical
    assert "Traceback" not in run.stderr
    assert in_order(run)
    if run.code == FINE:
        assert table(runs).keys() == api.truth.keys()
        assert all(run.table[key] in {api.truth[key], lie.shown(str(api.truth[key]))} for key in run.table)
        assert run.states
    else:
        # What programs read of it may stand beside it.
        assert all("FAILURE:" in line for line in run.stderr.splitlines() if "ERROR" in line)
    accounted_for(replaced(run), stored)
    if lie.too_far:
        return
    state = run.states[-1] if run.states else stored or {}
    assert behind(state, api.truth) <= table(runs).keys()

    # Once the lie is over, nothing of it is left.
    api.lying = False
    last = tap(config, state=state, now=NOON)
    assert last.code == FINE, last.stderr
    held = table([*runs, last])
    assert held.keys() == api.truth.keys()
    assert all(held[key] in {stamp, lie.shown(str(stamp))} for key, stamp in api.truth.items())


def replaced(run: Run) -> Run:
    """A run without what has no time."""
    lines = [line for line in run.lines if '"timestamp":null' not in line]
    return Run(run.code, "".join(f"{line}\n" for line in lines), run.stderr)


# Without Singer


class NoonClock(SystemClock):
    """A clock that began at noon."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def time(self) -> float:  # type: ignore[override]
        """Seconds since 1970."""
        return NOON + time.monotonic() - self._begun


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("newest_first", [False, True], ids=["oldest first", "newest first"])
@pytest.mark.parametrize(("liar", "name"), [(name, name) for name in LIES], ids=list(LIES), indirect=["liar"])
def test_a_lie_to_the_generator_loses_nothing_or_is_an_error(
    liar: tuple[Liar, Server], name: str, caplog: pytest.LogCaptureFixture, *, newest_first: bool, workers: int
) -> None:
    """In both directions, with the last look, alone and shared."""
    api, server = liar
    lie = LIES[name]
    api.lying = True
    caplog.set_level(logging.DEBUG)

    def count(*_: object) -> None:
        assert api.searches < 2_000, "it never ends"

    settings: dict[str, Any] = {"page_size": lie.pages, "slice_records": 100, "concurrency": workers, "max_retries": 0}
    auth = GenesysAuth("me", "s3cret", server.url, max_retries=0)
    found: list[tuple[str, str]] = []
    failure: GenesysSearchError | None = None
    with ConversationSearchClient(
        auth, server.url, requests_per_minute=FAST, clock=NoonClock(), on_request=count, **settings
    ) as client:
        try:
            found.extend(
                (each["id"], each["timestamp"]) for each in client.stream_conversations(newest_first=newest_first)
            )
        except GenesysSearchError as error:
            failure = error
    assert len(set(found)) == len(found)
    if failure is None:
        assert FINE in {lie.code, lie.also} or newest_first
        rows = {
            (row["id"], stamp) for row in api.rows for stamp in (row["timestamp"], lie.shown(str(row["timestamp"])))
        }
        assert rows.issuperset(found)
        assert dict(found).keys() == api.truth.keys()
    else:
        assert failure.exit_code in {lie.code, lie.also}
        # Seen from the other side it may be another one.
        assert newest_first or re.search(lie.says, str(failure)), failure
    check_hidden(["t0ken", *secrets_of({"client_id": "me", "client_secret": "s3cret"})], caplog.text, repr(failure))
    assert "urllib3.connectionpool" in caplog.text
