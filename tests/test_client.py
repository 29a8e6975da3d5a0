"""One question over HTTP: what is sent, what comes back, what is tried again, and what never shows."""

from __future__ import annotations

import gzip
import json
import logging
import traceback
from typing import TYPE_CHECKING

import pytest

from tap_genesys_search.client import SearchClient
from tap_genesys_search.errors import (
    ConfigurationError,
    ContractError,
    MissingPermissionError,
    PlatformUnavailableError,
    QueryError,
    SearchTimeoutError,
)
from tap_genesys_search.question import Question
from tests.support.fakes import START
from tests.support.stage import PAGE, QUESTION, SECRET, Platform, stage

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fakes import Handler


def test_a_question_is_one_request() -> None:
    with stage(Platform(headers={"Date": "Tue, 14 Nov 2023 22:13:20 GMT"}), user_agent="me/1") as on:
        answer = on.client.ask(QUESTION, "status:completed")
        path, headers, body = on.server.asked[-1]
    assert answer.ids == ["c0", "c1"]
    assert answer.served_at == START * 1000
    assert path == "/api/v2/search"
    assert json.loads(body) == QUESTION.body("status:completed")
    assert headers["Authorization"] == "Bearer t0ken-1"
    assert headers["Content-Type"] == "application/json"
    assert headers["Accept-Encoding"] == "gzip, deflate"
    assert headers["User-Agent"] == "me/1"
    assert "Cookie" not in headers


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_an_answer_without_a_usable_date_has_no_moment(date: str) -> None:
    def answer(handler: Handler) -> None:
        body = json.dumps(PAGE).encode()
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nDate: %s\r\n\r\n" % (len(body), date.encode()))
        handler.wfile.write(body)

    with stage() as on:
        on.platform.script = [answer]
        assert on.client.ask(QUESTION, "*").served_at is None


def test_cookies_and_a_netrc_are_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password other")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with stage(Platform(headers={"Set_Cookie": "a=b"})) as on:
        for _ in range(2):
            on.client.ask(QUESTION, "*")
        assert "Cookie" not in on.server.asked[-1][1]
        assert on.platform.seen == ["t0ken-1", "t0ken-1"]


def test_a_compressed_page_is_unpacked() -> None:
    with stage() as on:
        on.platform.fails(200, gzip.compress(json.dumps(PAGE).encode()), Content_Encoding="gzip")
        assert on.client.ask(QUESTION, "*").ids == ["c0", "c1"]


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 599])
def test_faults_are_tried_again(status: int) -> None:
    with stage() as on:
        on.platform.fails(status, b"<html>", times=3)
        assert on.client.ask(QUESTION, "*").ids == ["c0", "c1"]
        assert len(on.clock.sleeps) == 3
        stats = on.client.stats
        assert (stats.searches, stats.retries, stats.full_pages) == (4, 3, 1)


@pytest.mark.parametrize(("status", "kind"), [(504, SearchTimeoutError), (502, PlatformUnavailableError)])
def test_faults_beyond_the_retries_are_an_error(status: int, kind: type[Exception]) -> None:
    with stage(max_retries=1) as on:
        on.platform.fails(status, times=9)
        with pytest.raises(kind, match=f"HTTP {status} from 127.0.0.1:.*/api/v2/search"):
            on.client.ask(QUESTION, "*")
        assert len(on.platform.seen) == 2


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_fault_that_carries_a_whole_page_is_one(status: int) -> None:
    """As a cache answers that is cut off from what lies behind it: what it shows is of some other moment."""
    with stage(max_retries=0) as on:
        on.platform.fails(status, json.dumps(PAGE).encode(), Content_Type="application/json")
        with pytest.raises(PlatformUnavailableError, match=f"HTTP {status}"):
            on.client.ask(QUESTION, "*")


def test_a_page_is_as_old_as_the_try_that_brought_it() -> None:
    """From when that was sent: what it shows may have been looked up at any moment since."""

    def slow(handler: Handler) -> None:
        sent.append(on.clock.monotonic())
        on.clock.now += 40
        handler.reply(200, json.dumps(PAGE).encode())

    sent: list[float] = []
    with stage() as on:
        on.platform.fails(429, Retry_After="30")
        on.platform.script.append(slow)
        assert on.client.ask(QUESTION, "*").sent_at == sent[0] >= 30


def test_a_single_try_is_not_tried_again() -> None:
    with stage() as on:
        on.platform.fails(504)
        with pytest.raises(SearchTimeoutError):
            on.client.ask(Question(0, 1, single_try=True), "*")
        assert on.clock.sleeps == []


@pytest.mark.parametrize("body", [b"", b"<html>Log in</html>", b'{"results": ['])
def test_a_page_that_is_no_json_is_tried_again(body: bytes) -> None:
    with stage() as on:
        on.platform.fails(200, body, Content_Type="text/html; charset=utf-8")
        assert on.client.ask(QUESTION, "*").ids == ["c0", "c1"]
        on.platform.fails(200, body, times=4, Content_Type="text/html; charset=utf-8")
        with pytest.raises(PlatformUnavailableError, match=rf"answered with {len(body)} bytes \(text/html\) that"):
            on.client.ask(QUESTION, "*")


def test_json_that_is_no_page_is_an_error_at_once() -> None:
    with stage() as on:
        on.platform.fails(200, b'{"conversations": []}')
        with pytest.raises(ContractError):
            on.client.ask(QUESTION, "*")
        assert len(on.platform.seen) == 1


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (400, b'{"message":"Cannot parse (((","code":"bad.request"}', QueryError, r"Cannot parse \(\(\("),
        (
            403,
            b'{"message":"missing search:query","code":"missing.permissions"}',
            MissingPermissionError,
            "search:query",
        ),
        (404, b"", ConfigurationError, "base_url"),
        (413, b"", QueryError, "too large"),
        (301, b"", ConfigurationError, "HTTP 301"),
        (204, b"", ConfigurationError, "HTTP 204"),
    ],
)
def test_a_refusal_is_final(status: int, body: bytes, kind: type[Exception], says: str) -> None:
    with stage() as on:
        on.platform.fails(status, body)
        with pytest.raises(kind, match=says):
            on.client.ask(QUESTION, "*")
        assert len(on.platform.seen) == 1


def test_a_query_that_is_no_text_is_refused() -> None:
    with stage() as on, pytest.raises(QueryError, match="lone surrogate"):
        on.client.ask(QUESTION, "\ud800")


def test_the_headers_reach_the_budget() -> None:
    told = {"inin_ratelimit_count": "9", "Inin_RateLimit_Allowed": "10", "inin_ratelimit_reset": "60"}
    with stage(Platform(headers=told)) as on:
        on.client.ask(QUESTION, "*")
        assert on.budget.rate == pytest.approx(1 / 60, rel=0.01)


def test_an_unreachable_host_is_one_line() -> None:
    with stage() as on:
        client = SearchClient(on.auth, "http://127.0.0.1:9", budget=on.budget, clock=on.clock)
        with pytest.raises(PlatformUnavailableError) as caught:
            client.ask(QUESTION, "*")
        client.close()
    assert str(caught.value) == "no connection to 127.0.0.1:9: check base_url and region, or the network (refused)"


def test_a_base_url_that_is_none_is_one_line_without_its_password() -> None:
    with stage() as on:
        for url in ("api.example.com", "https://me:pa55@", "ftp//x"):
            with pytest.raises(ConfigurationError, match="check base_url") as caught:
                SearchClient(on.auth, url, budget=on.budget)
            assert "pa55" not in "".join(traceback.format_exception(caught.value))


def test_a_cancelled_wait_goes_through_and_leaves_the_slot() -> None:
    def cancel(_: float) -> None:
        raise KeyboardInterrupt

    with stage() as on:
        on.platform.fails(503)
        with pytest.raises(KeyboardInterrupt):
            on.client.ask(QUESTION, "*", cancel)


def test_each_answer_is_reported() -> None:
    seen: list[tuple[float, int]] = []
    with stage(on_request=lambda seconds, status: seen.append((seconds, status))) as on:
        on.platform.fails(503)
        for _ in range(30):
            on.client.ask(QUESTION, "*")
        assert [status for _, status in seen[:3]] == [503, 200, 200]
        assert on.client.stats.least_latency == min(seconds for seconds, status in seen if status == 200)


def test_only_pages_tell_how_long_a_page_takes() -> None:
    """A refusal comes at once: by it a few workers would seem enough."""
    with stage() as on:
        on.platform.fails(400, b"{}")
        with pytest.raises(QueryError):
            on.client.ask(QUESTION, "*")
        assert on.client.stats.least_latency is None
        on.client.ask(QUESTION, "*")
        assert on.client.stats.least_latency is not None


def test_nothing_shows_a_secret_or_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with stage() as on:
        on.client.ask(QUESTION, "*")
        echo = json.dumps({"message": f"no t0ken-1 {SECRET}", "contextId": "Bearer t0ken-1"}).encode()
        on.platform.fails(500, echo, times=2)
        on.platform.fails(429, echo, Retry_After="30")
        on.platform.fails(400, echo)
        with pytest.raises(QueryError) as caught:
            on.client.ask(QUESTION, "*")
        shown = (
            "".join(traceback.format_exception(caught.value)) + caplog.text + repr(on.client) + repr(on.client.stats)
        )
    assert "/api/v2/search" in caplog.text
    assert "no *** ***; contextId Bearer ***" in shown
    assert "t0ken" not in shown
    assert SECRET not in shown
