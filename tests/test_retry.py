"""Tries: which follow, after how long; and one request over real sockets, whatever the other side does."""

from __future__ import annotations

import gzip
import logging
import socket
import time
import traceback
from random import Random
from typing import TYPE_CHECKING

import pytest
import requests

from tap_genesys_search.errors import (
    SEARCH,
    AuthenticationError,
    ConfigurationError,
    PlatformUnavailableError,
    RateLimitError,
    SearchTimeoutError,
)
from tap_genesys_search.retry import Retrier, Signal, Throttled, Transient, Unauthorized, parse_retry_after
from tap_genesys_search.shared_budget import RedisBudget
from tap_genesys_search.shared_redis import SharedRedis
from tap_genesys_search.transport import Reply, new_session, refusal, send, settings_for
from tests.support.fakes import START, FakeClock, Handler, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.valkey import Valkey


class Script:
    """An attempt that raises what it is given, one after another, and then returns."""

    def __init__(self, *signals: Signal) -> None:
        self.signals = list(signals)
        self.calls: list[tuple[int, float]] = []

    def __call__(self, refused: int, wait_left: float) -> str:
        self.calls.append((refused, wait_left))
        if self.signals:
            raise self.signals.pop(0)
        return "done"


def fault() -> Transient:
    return Transient(PlatformUnavailableError("down"))


def throttle(seconds: float) -> Throttled:
    return Throttled(seconds, RateLimitError("too many"))


def test_faults_are_tried_again_with_growing_waits_of_which_half_is_chance() -> None:
    for seed in range(20):
        clock, script = FakeClock(), Script(*[fault() for _ in range(7)])
        assert Retrier(7, rng=Random(seed)).call(script, sleep=clock.sleep) == "done"
        bounds = [(0.5, 1), (1, 2), (2, 4), (4, 8), (8, 16), (15, 30), (15, 30)]
        assert all(low <= wait <= high for wait, (low, high) in zip(clock.sleeps, bounds, strict=True))


def test_chance_spreads_the_waits() -> None:
    clock = FakeClock()
    for seed in range(20):
        Retrier(rng=Random(seed)).call(Script(fault()), sleep=clock.sleep)
    assert len(set(clock.sleeps)) == 20


def test_after_the_last_retry_its_error_is_raised_with_the_cause() -> None:
    clock, script = FakeClock(), Script(*[fault() for _ in range(9)])
    cause = OSError("behind")
    script.signals[3].__cause__ = cause
    with pytest.raises(PlatformUnavailableError, match="down") as caught:
        Retrier(3).call(script, sleep=clock.sleep)
    assert len(script.calls) == 4
    assert caught.value.__cause__ is cause


def test_a_call_can_have_its_own_number_of_retries() -> None:
    clock, script = FakeClock(), Script(fault())
    with pytest.raises(PlatformUnavailableError):
        Retrier(3).call(script, sleep=clock.sleep, retries=0)
    assert clock.sleeps == []


def test_told_waits_are_kept_cost_no_retry_and_add_up() -> None:
    clock, script = FakeClock(), Script(throttle(7), throttle(0), throttle(3))
    assert Retrier(0, max_wait_seconds=11).call(script, sleep=clock.sleep) == "done"
    assert clock.sleeps == [7, 1, 3]
    assert [left for _, left in script.calls] == [11, 4, 3, 0]


def test_told_waits_beyond_the_limit_are_not_begun() -> None:
    clock, script = FakeClock(), Script(throttle(7), throttle(43199.2))
    message = "the platform asks to wait 43200 s more; max_wait_seconds is 600: raise it or start again later"
    with pytest.raises(RateLimitError, match=message):
        Retrier(max_wait_seconds=600).call(script, sleep=clock.sleep)
    assert clock.sleeps == [7]


def test_waits_that_a_try_was_told_itself_count_too() -> None:
    signals = [throttle(5), fault(), Unauthorized(AuthenticationError("no"))]
    for signal in signals:
        signal.told = 10
    script = Script(*signals)
    Retrier(max_wait_seconds=100).call(script, sleep=FakeClock().sleep)
    assert [left for _, left in script.calls] == [100, 85, 75, 65]


def test_refusals_are_counted_for_the_next_try_and_cost_no_wait() -> None:
    clock, script = FakeClock(), Script(*[Unauthorized(AuthenticationError("no")) for _ in range(2)])
    Retrier(0).call(script, sleep=clock.sleep)
    assert [refused for refused, _ in script.calls] == [0, 1, 2]
    assert clock.sleeps == []


def test_any_other_error_ends_the_tries() -> None:
    def attempt(refused: int, wait_left: float) -> None:
        message = f"{refused} {wait_left}"
        raise AuthenticationError(message)

    with pytest.raises(AuthenticationError, match="0 600"):
        Retrier().call(attempt, sleep=FakeClock().sleep)


def test_a_cancelled_wait_goes_through() -> None:
    def cancel(_: float) -> None:
        raise KeyboardInterrupt

    script = Script(fault())
    with pytest.raises(KeyboardInterrupt):
        Retrier().call(script, sleep=cancel)
    assert len(script.calls) == 1


def test_long_waits_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    script = Script(fault(), fault(), fault(), fault(), throttle(12), throttle(2))
    Retrier(4, rng=Random(1)).call(script, sleep=FakeClock().sleep)
    assert [(record.levelname, record.getMessage()[:35]) for record in caplog.records] == [
        ("WARNING", "Waiting 4 s before try 4 of 5: down"),
        ("WARNING", "Waiting 5 s before try 5 of 5: down"),
        ("INFO", "Waiting 12 s as told: too many"),
    ]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("42", 42),
        (" 1.5 ", 1.5),
        ("0", 0),
        ("-3", 0),
        (None, 2),
        ("", 2),
        ("soon", 2),
        ("nan", 2),
        ("inf", 2),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30),
        ("Tue, 14 Nov 2023 22:13:50 -0000", 30),
        ("Tue, 14 Nov 2023 20:00:00 GMT", 0),
        ("Tue, 99 Nov 2023 20:00:00 GMT", 2),
        # No longer than a day: what tells of more is seconds since 1970, or a slip.
        ("86400", 86_400),
        ("1795000000", 86_400),
        (str(START + 42), 42),
        (str(START - 42), 0),
        ("9" * 22, 86_400),
        ("9" * 999, 86_400),
        ("Fri, 14 Nov 2053 22:13:50 GMT", 86_400),
    ],
)
def test_retry_after(value: str | None, seconds: float) -> None:
    assert parse_retry_after(value, START) == pytest.approx(seconds)


@pytest.mark.parametrize("told", ["1795000000", "9" * 22])
def test_a_wait_without_sense_stops_other_workers_for_a_day_at_most(
    redis: Valkey, caplog: pytest.LogCaptureFixture, told: str
) -> None:
    signal = refusal(Reply(429, {"Retry-After": told}, b""), "api.example.com", SEARCH, now=START)
    assert isinstance(signal, Throttled)
    url = "https://api.example.com"
    RedisBudget(SharedRedis(redis.url, url, "me"), 300).pause(signal.seconds, "too many")
    assert 86_000_000 < redis.left("pause") <= 86_400_000
    with pytest.raises(RateLimitError, match=r"asks to wait 86\d{3} s more \(too many\)"):
        RedisBudget(SharedRedis(redis.url, url, "me"), 300).acquire(FakeClock().sleep, 600)
    assert "is gone" not in caplog.text


def test_a_date_to_retry_after_is_relative_to_the_answers_own() -> None:
    told = {"Date": "Tue, 14 Nov 2023 22:13:20 GMT", "Retry-After": "Tue, 14 Nov 2023 22:13:50 GMT"}
    signal = refusal(Reply(429, told, b""), "api.example.com", SEARCH, now=START - 5000)
    assert isinstance(signal, Throttled)
    assert signal.seconds == pytest.approx(30)


def test_a_date_without_a_zone_is_utc_wherever_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert parse_retry_after("Tue, 14 Nov 2023 22:14:20 -0000", START) == 60
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with new_session() as session:
        yield session


def ask(session: requests.Session, url: str, timeout: float = 5, **headers: str) -> Reply:
    request = requests.Request("POST", f"{url}/api/v2/search", data=b"{}", headers=headers).prepare()
    return send(session, request, settings_for(session, url), timeout, SearchTimeoutError)


def failed(session: requests.Session, answer: Callable[[Handler], None], timeout: float = 5) -> Exception:
    with serving(answer) as server, pytest.raises(Transient) as caught:
        ask(session, server.url, timeout)
    return caught.value.error


def test_an_answer_is_read_whole_and_the_connection_used_again(session: requests.Session) -> None:
    ports = []

    def answer(handler: Handler) -> None:
        ports.append(handler.client_address[1])
        handler.reply(200, b"x" * 60_000, Date="Tue, 14 Nov 2023 22:13:20 GMT")

    with serving(answer) as server:
        for _ in range(3):
            reply = ask(session, server.url)
    assert (reply.status, reply.body) == (200, b"x" * 60_000)
    assert len(set(ports)) == 1


def test_a_compressed_answer_is_unpacked(session: requests.Session) -> None:
    with serving(lambda handler: handler.reply(200, gzip.compress(b"{}" * 999), Content_Encoding="gzip")) as server:
        assert ask(session, server.url).body == b"{}" * 999


def chunked(*chunks: bytes) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for chunk in chunks:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        handler.close_connection = True

    return answer


def test_a_chunked_answer_is_put_together(session: requests.Session) -> None:
    with serving(chunked(b"a" * 9000, b"b", b"")) as server:
        assert ask(session, server.url).body == b"a" * 9000 + b"b"


def test_a_chunked_answer_without_its_end_is_cut(session: requests.Session) -> None:
    assert "only a part of an answer came from 127.0.0.1" in str(failed(session, chunked(b"a" * 9000)))


def test_a_body_shorter_than_announced_is_cut(session: requests.Session) -> None:
    def answer(handler: Handler) -> None:
        handler.reply(200, b"{", Content_Length="100")
        handler.close_connection = True

    error = failed(session, answer)
    assert isinstance(error, PlatformUnavailableError)
    assert "the body is shorter than announced" in str(error)


def test_broken_compression_is_a_fault(session: requests.Session) -> None:
    error = failed(session, lambda handler: handler.reply(200, b"no gzip", Content_Encoding="gzip"))
    assert "its compression is broken" in str(error)


def test_a_dropped_connection_is_a_fault(session: requests.Session) -> None:
    def answer(handler: Handler) -> None:
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True

    error = failed(session, answer)
    assert isinstance(error, PlatformUnavailableError)
    assert str(error).startswith("no connection to 127.0.0.1:")
    assert str(error).endswith(": check base_url and region, or the network (closed without an answer)")


def dripping(head: bytes) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.wfile.write(head)
        for _ in range(1200):
            time.sleep(0.05)
            handler.wfile.write(b"x")

    return answer


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX-Long: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08",
    ],
    ids=["headers", "body", "chunk", "gzip"],
)
def test_a_server_that_drips_does_not_hold_a_request_for_ever(session: requests.Session, head: bytes) -> None:
    begun = time.monotonic()
    error = failed(session, dripping(head), timeout=0.3)
    assert time.monotonic() - begun < 30
    assert isinstance(error, SearchTimeoutError)
    assert "/api/v2/search within 0.3 s; try again later, or raise request_timeout_seconds" in str(error)


def test_a_silent_server_is_a_time_out_and_the_next_request_has_its_full_time(session: requests.Session) -> None:
    quiet = [2.2, 0.0, 1.0]

    def answer(handler: Handler) -> None:
        time.sleep(quiet.pop(0))
        handler.reply(200, b"{}")

    with serving(answer) as server:
        with pytest.raises(Transient):
            ask(session, server.url, timeout=1.8)
        assert ask(session, server.url, timeout=1.8).status == 200
        assert ask(session, server.url, timeout=1.8).status == 200


def test_a_redirect_is_an_answer_like_any_other(session: requests.Session) -> None:
    with serving(lambda handler: handler.reply(302, b"gone", Location="http://[bad")) as server:
        reply = ask(session, server.url)
        assert (reply.status, reply.body, len(server.asked)) == (302, b"gone", 1)


def test_a_port_where_nobody_listens(session: requests.Session) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Transient) as caught:
            ask(session, f"http://{host}")
    assert str(caught.value) == f"no connection to {host}: check base_url and region, or the network (refused)"


def test_a_name_that_nobody_knows(session: requests.Session) -> None:
    with pytest.raises(Transient, match=r"no connection to api\.invalid: .*\(name not known\)"):
        ask(session, "http://api.invalid")


def test_a_server_without_tls(session: requests.Session) -> None:
    with serving(lambda handler: handler.reply()) as server, pytest.raises(Transient, match="TLS: "):
        ask(session, server.url.replace("http:", "https:"))


def test_the_password_of_a_proxy_is_not_shown(session: requests.Session, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for proxy in (
        "http://me:pa55word@127.0.0.1:9",
        "http://me:pa55word@:9",
        "http://me:pa55word@127.0.0.1:99999",
        "nothing://me:pa55word@127.0.0.1:9",
    ):
        session.proxies = {"http": proxy}
        session.trust_env = False
        with pytest.raises((Transient, ConfigurationError)) as caught:
            ask(session, "http://api.example.com")
        shown = "".join(traceback.format_exception(caught.value)) + caplog.text
        assert "pa55word" not in shown
        assert "prox" in str(caught.value)


def test_a_proxy_that_wants_a_password_is_named(session: requests.Session) -> None:
    class Proxy(Handler):
        def do_CONNECT(self) -> None:  # noqa: N802 - so the server calls it
            self.reply(407)

    with serving(lambda handler: handler.reply()) as server:
        server.RequestHandlerClass = Proxy
        session.proxies = {"https": server.url}
        session.trust_env = False
        with pytest.raises(Transient, match=r"\(the proxy: Tunnel connection failed: 407 .*\)"):
            ask(session, "https://api.example.com")


def test_a_proxy_is_used_and_its_answer_bounded_too(session: requests.Session) -> None:
    with serving(dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")) as server:
        session.proxies = {"http": server.url}
        session.trust_env = False
        with pytest.raises(Transient, match=r"no answer from api\.example\.com"):
            ask(session, "http://api.example.com", timeout=0.3)
