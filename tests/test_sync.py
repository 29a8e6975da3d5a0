"""A sync: its bookmark tells of nothing that has not been passed on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tap_genesys_search import ConversationSearchClient, GenesysAuth
from tap_genesys_search.bookmark import Bookmark, Stored
from tap_genesys_search.sandbox import SandboxServer
from tap_genesys_search.search_run import SearchRun
from tap_genesys_search.sync import sync
from tests.support.days import world
from tests.support.helpers import CLIENT, FAST, SECRET, ManualClock

if TYPE_CHECKING:
    from tap_genesys_search.records import Batch


@pytest.mark.parametrize("max_results", [None, 430])
def test_the_bookmark_advances_once_a_page_has_been_passed_on(clock: ManualClock, max_results: int | None) -> None:
    """Not before: one that is killed while it writes a page would go on behind it."""
    told: list[str] = []

    def advance(bookmark: Bookmark) -> None:
        told.append(bookmark.state()["replication_key_value"])

    mark = Bookmark(Stored(), source="here", start_date=None, lookback=0, on_source_change="fail")
    passed_on: list[Batch] = []
    with SandboxServer(world(1_000), clock=clock) as server:
        auth = GenesysAuth(CLIENT, SECRET, server.base_url)
        with ConversationSearchClient(auth, server.base_url, page_size=100, requests_per_minute=FAST) as client:
            run = SearchRun(client, "*", mark.start, None)
            for batch in sync(run, mark, advance, max_results=max_results):
                assert told == [before.stamps[-1] for before in passed_on]
                passed_on.append(batch)
                # What is told of the run's length and share is of what is wanted.
                expected = run._reading.progress.expected
                assert expected == (max_results or run._reading.progress.total)
    stamps = [str(stamp) for batch in passed_on for stamp in batch.stamps]
    assert len(passed_on) > 3
    assert len(stamps) == (max_results or 1_000)
    assert told[-1] == stamps[-1]
