"""One token for many workers, in a real server: encrypted, renewed once; and no lock outlives its owner for long."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tap_genesys_search import GenesysAuth, MemoryTokenStore, RedisTokenStore, SharedRedis, Token, TokenStore
from tap_genesys_search.errors import PlatformUnavailableError
from tap_genesys_search.shared_tokens import LOCKED_AT_MOST
from tests.support.fakes import FakeClock, Server, serving
from tests.support.helpers import environment
from tests.support.login import LoginHost, together
from tests.support.valkey import Valkey, valkey

if TYPE_CHECKING:
    from collections.abc import Iterator

API, CLIENT, SECRET = "https://api.example.com", "id-4711", "s3cret of id-4711"
HOUR = 3600.0
DOCS = Path(__file__).parent.parent / "docs" / "shared-redis.md"


@pytest.fixture
def host() -> Iterator[tuple[LoginHost, Server]]:
    login = LoginHost()
    with serving(login) as server:
        yield login, server


def store(redis: Valkey, secret: str = SECRET, client: str = CLIENT, clock: FakeClock | None = None) -> RedisTokenStore:
    return RedisTokenStore(SharedRedis(redis.url, API, client), secret, clock)


def auth(redis: Valkey, server: Server, clock: FakeClock | None = None) -> GenesysAuth:
    clock = clock or FakeClock()
    return GenesysAuth(CLIENT, SECRET, server.url, token_store=store(redis, clock=clock), clock=clock, max_retries=0)


def token(value: str = "t0ken", lifetime: float = 600, clock: FakeClock | None = None) -> Token:
    return Token(value, (clock.time() if clock else time.time()) + lifetime, lifetime)


# The store


def test_a_token_comes_back_with_its_time_to_live_by_the_server_s_clock(redis: Valkey) -> None:
    """A worker whose clock is an hour ahead sees the same time left."""
    here, ahead = FakeClock(), FakeClock()
    ahead.now += HOUR
    store(redis, clock=here).save(token(clock=here))
    found = store(redis, clock=ahead).load()
    assert found is not None
    assert (found.value, found.lifetime) == ("t0ken", 600)
    assert found.expires_at - ahead.time() == pytest.approx(600, abs=30)
    assert 570_000 < redis.left("token") <= 600_000


def test_what_is_kept_shows_neither_token_nor_client_nor_secret(redis: Valkey) -> None:
    kept = store(redis)
    kept.save(token())
    with kept.locked(time.sleep):
        text = redis.text()
    assert b":token" in text
    for hidden in ("t0ken", CLIENT, "4711", SECRET, "s3cret", "example"):
        assert hidden.encode() not in text


def test_another_client_or_another_secret_finds_nothing(redis: Valkey) -> None:
    store(redis).save(token())
    assert store(redis, client="id-2").load() is None
    assert store(redis, secret="another").load() is None
    assert store(redis).load() is not None


@pytest.mark.parametrize(
    "value", [b"", b"t0ken", b"\xff\xfe", b"gAAAAAB" + b"x" * 100, "cut", "list", "no life", "bad"]
)
def test_a_foreign_or_broken_value_is_ignored_and_written_over(redis: Valkey, value: bytes | str) -> None:
    kept = store(redis)
    kept.save(token())
    (key,) = redis.keys()
    if value == "cut":
        whole = redis.client.get(key)
        assert isinstance(whole, bytes)
        redis.client.set(key, whole[:-5], px=60_000)
    elif value == "list":
        redis.client.delete(key)
        redis.client.rpush(key, "x")
    elif value == "no life":
        redis.client.persist(key)
    elif value == "bad":
        kept.save(token("t0ken\n"))
    else:
        redis.client.set(key, value, px=60_000)
    assert kept.load() is None
    kept.save(token("another"))
    found = kept.load()
    assert found is not None
    assert found.value == "another"


def test_a_refused_token_goes_only_if_it_is_still_the_one_kept(redis: Valkey) -> None:
    one, other = store(redis), store(redis)
    one.save(token("old"))
    one.load()
    other.save(token("new"))
    one.save(None)
    found = other.load()
    assert found is not None
    assert found.value == "new"
    other.save(None)
    assert other.load() is None


def test_a_token_that_is_over_is_not_kept(redis: Valkey) -> None:
    store(redis).save(Token("t0ken", time.time() - 1, 600))
    assert redis.keys() == []


# The lock


def test_the_lock_is_released_by_its_owner_only(redis: Valkey) -> None:
    """One that has expired meanwhile, and is another's, stays."""
    one, other = store(redis), store(redis)
    with one.locked(time.sleep):
        assert 0 < redis.left("lock") <= LOCKED_AT_MOST * 1000
        (key,) = redis.keys()
        redis.client.delete(key)
        inner = other.locked(time.sleep)
        inner.__enter__()
        owner = redis.client.get(key)
    assert redis.client.get(key) == owner is not None
    inner.__exit__(None, None, None)
    assert redis.keys() == []


def test_a_lock_whose_answer_was_lost_is_held(redis: Valkey) -> None:
    """The client of Redis sends the script once more then."""
    kept = store(redis)
    run = kept._shared.run

    def twice(script: str, *args: str | bytes | float) -> Any:
        run(script, *args)
        return run(script, *args)

    kept._shared.run = twice  # type: ignore[method-assign]
    clock = FakeClock()
    with kept.locked(clock.sleep):
        assert clock.sleeps == []
        assert 0 < redis.left("lock") <= LOCKED_AT_MOST * 1000
    assert redis.keys() == []


def test_the_lock_is_not_waited_for_for_ever(redis: Valkey) -> None:
    """Whoever keeps it alive: a worker has its own patience, here in virtual time."""
    clock = FakeClock()
    with store(redis).locked(time.sleep):
        (key,) = redis.keys()
        redis.client.persist(key)
        with store(redis, clock=clock).locked(clock.sleep):
            assert sum(clock.sleeps) == pytest.approx(30, abs=1)
        assert redis.client.exists(key)


def test_a_failure_releases_the_lock(redis: Valkey, host: tuple[LoginHost, Server]) -> None:
    login, server = host
    login.fails(503)
    with pytest.raises(PlatformUnavailableError):
        auth(redis, server).get_token()
    assert redis.keys() == []


# Through GenesysAuth


def test_many_workers_ask_once(redis: Valkey, host: tuple[LoginHost, Server]) -> None:
    login, server = host
    login.delay = 0.3
    workers = [auth(redis, server, FakeRealClock()) for _ in range(6)]
    assert together(*[worker.get_token for worker in workers]) == ["t0ken-1"] * 6
    assert login.given == 1


def test_a_token_is_renewed_once_and_only_if_it_is_the_one_refused(
    redis: Valkey, host: tuple[LoginHost, Server]
) -> None:
    login, server = host
    login.delay = 0.3
    workers = [auth(redis, server, FakeRealClock()) for _ in range(6)]
    for worker in workers:
        worker.get_token()
    assert together(*[lambda worker=worker: worker.renew("t0ken-1") for worker in workers]) == ["t0ken-2"] * 6
    # The last of them hears late that the first one had been refused.
    assert auth(redis, server).renew("t0ken-1") == "t0ken-2"
    assert login.given == 2


def test_workers_renew_in_time_and_once(redis: Valkey, host: tuple[LoginHost, Server]) -> None:
    login, server = host
    clock = FakeClock()
    one, other = auth(redis, server, clock), auth(redis, server, clock)
    assert one.get_token() == other.get_token() == "t0ken-1"
    clock.now += 3545
    assert one.get_token() == "t0ken-2"
    assert other.get_token() == "t0ken-2"
    assert login.given == 2


def test_without_the_server_a_worker_has_its_own(host: tuple[LoginHost, Server]) -> None:
    login, server = host
    with valkey() as redis:
        worker = auth(redis, server)
        worker.get_token()
        redis.stop()
        assert worker.get_token() == "t0ken-1"
        assert worker.renew("t0ken-1") == "t0ken-2"
        assert worker.get_token() == "t0ken-2"
    assert login.given == 2


class FakeRealClock(FakeClock):
    """The machine's time, for threads that wait for each other."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


HOLDER = """
import sys, time
from tap_genesys_search import RedisTokenStore, SharedRedis
store = RedisTokenStore(SharedRedis(*sys.argv[1:4]), sys.argv[4])
with store.locked(time.sleep):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_worker_killed_with_the_lock_keeps_the_others_for_seconds_only(
    redis: Valkey, host: tuple[LoginHost, Server]
) -> None:
    login, server = host
    worker = auth(redis, server, FakeRealClock())
    # Names of keys are those of the store's own API.
    command = [sys.executable, "-c", HOLDER, redis.url, API, CLIENT, SECRET]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.kill()
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        time.sleep(seconds)

    assert worker.get_token(sleep) == "t0ken-1"
    assert 0 < sum(waits) <= LOCKED_AT_MOST + 1
    assert login.given == 1


# A store of one's own


class SecretsManager:
    """What the documentation's example asks of a client."""

    def __init__(self) -> None:
        self.text = "null"

    def get_secret_value(self, **names: str) -> dict[str, str]:
        assert names == {"SecretId": "genesys"}
        return {"SecretString": self.text}

    def put_secret_value(self, **fields: str) -> None:
        assert fields.pop("SecretId") == "genesys"
        self.text = fields["SecretString"]


def documented_store() -> TokenStore:
    """The one of the documentation."""
    text = DOCS.read_text(encoding="utf-8").split("<!-- store: run by a test -->\n```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(compile(text, str(DOCS), "exec"), names)  # noqa: S102 - our own
    made: TokenStore = names["SecretsManagerStore"](SecretsManager(), "genesys")
    return made


@pytest.mark.parametrize("kind", ["memory", "documented"])
def test_any_two_methods_are_a_store(host: tuple[LoginHost, Server], kind: str) -> None:
    login, server = host
    clock = FakeClock()
    own: TokenStore = MemoryTokenStore() if kind == "memory" else documented_store()
    one, other = (GenesysAuth(CLIENT, SECRET, server.url, token_store=own, clock=clock) for _ in range(2))
    assert one.get_token() == other.get_token() == "t0ken-1"
    assert other.renew("t0ken-1") == one.renew("t0ken-1") == "t0ken-2"
    assert login.given == 2
    own.save(None)
    assert own.load() is None


def test_a_store_that_gives_what_no_header_can_carry_is_not_believed(host: tuple[LoginHost, Server]) -> None:
    own = MemoryTokenStore()
    clock = FakeClock()
    own.save(token("t0ken-0\n", clock=clock))
    assert GenesysAuth(CLIENT, SECRET, host[1].url, token_store=own, clock=clock).get_token() == "t0ken-1"


def test_a_wait_for_the_lock_can_be_cancelled(redis: Valkey, host: tuple[LoginHost, Server]) -> None:
    class Cancelled(Exception):
        pass

    def cancel(_: float) -> None:
        raise Cancelled

    with store(redis).locked(time.sleep):
        with pytest.raises(Cancelled):
            auth(redis, host[1]).get_token(cancel)
        (key,) = redis.keys()
        assert key.endswith(b":lock")
