"""The sandbox itself: whatever is measured against it, it must not be what is measured."""

from __future__ import annotations

import http.client
import json
import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from benchmarks.report import Result, at_most
from benchmarks.rows.counts import PAGE
from benchmarks.sandbox import CLIENT, SECRET, Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.bench import Bench

_STAMP = b'"timestamp":"'
_STAMP_LENGTH = len("2026-10-01T00:00:00.000Z")


def pages(bench: Bench) -> Iterator[Result]:
    """What a page of 200 takes the sandbox, in a world of a year."""
    # As dense, and so as many hours to a page, whatever the size.
    with Sandbox(bench.size(200_000, 4_000), days=bench.size(365, 7), total_noise=0.0) as sandbox:
        connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=60)
        form = {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": SECRET}
        connection.request("POST", "/oauth/token", urlencode(form))
        headers = {"Authorization": f"Bearer {json.load(connection.getresponse())['access_token']}"}
        for query in ("*", "status:completed"):
            # What a query matches is found when it is asked for the first time.
            _seek(connection, headers, query)
            before, own = time.perf_counter(), time.process_time()
            count = _seek(connection, headers, query)
            # One of both works at a time: what this process did not work, it waited for the sandbox.
            seconds = time.perf_counter() - before - (time.process_time() - own)
            microseconds = seconds * 1e6 / count
            what = f"what the sandbox takes for a page of {PAGE}, query {query}"
            yield at_most("sandbox", what, 667, microseconds, unit=" µs", note=f"{1e6 / microseconds:,.0f} a second")
        connection.close()


def _seek(connection: http.client.HTTPConnection, headers: dict[str, str], query: str) -> int:
    """Read all that matches; return the number of pages."""
    sort = [{"field": "timestamp", "direction": "asc"}]
    last, count = "2000-01-01T00:00:00.000Z", 0
    while True:
        asked = f"({query}) AND timestamp:[{last} TO *]"
        body = {"type": "conversation", "query": asked, "size": PAGE, "sort": sort}
        connection.request("POST", "/api/v2/search", json.dumps(body), headers)
        page = connection.getresponse().read()
        count += 1
        # Reading the JSON would take longer than the answer did.
        if b'"nextPage":' not in page[:200]:
            return count
        place = page.rindex(_STAMP) + len(_STAMP)
        last = page[place : place + _STAMP_LENGTH].decode()
