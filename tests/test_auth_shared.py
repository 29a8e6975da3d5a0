"""Tokens that threads and stores share: asked for once, kept, replaced."""

from __future__ import annotations

import threading

import pytest

from tap_genesys_search.auth import GenesysAuth
from tap_genesys_search.errors import PlatformUnavailableError
from tap_genesys_search.tokens import MemoryTokenStore, Token
from tests.support.fakes import FakeClock
from tests.support.login import SECRET, login, together


def test_many_threads_ask_once() -> None:
    with login() as (auth, host, _, _clock):
        host.delay = 0.2
        assert together(*[auth.get_token] * 8) == ["t0ken-1"] * 8
        assert together(*[lambda: auth.renew("t0ken-1")] * 8) == ["t0ken-2"] * 8
        assert (host.given, host.most_together) == (2, 1)


def test_after_a_failure_those_who_waited_try_once_each_one_at_a_time() -> None:
    with login(max_retries=3) as (auth, host, server, _):
        host.fails(503, times=100)
        begun = host.waits_for(4)
        results = together(*[begun(auth.get_token)] * 4)
        assert [type(result) for result in results] == [PlatformUnavailableError] * 4
        assert len(server.asked) == 4 + 3
        assert host.most_together == 1


def test_a_thread_that_waits_for_another_can_be_cancelled() -> None:
    class Cancelled(Exception):
        pass

    def cancel(_: float) -> None:
        host.free.set()
        raise Cancelled

    with login() as (auth, host, _, _clock):
        host.free.clear()
        results = together(auth.get_token, host.after_the_first(lambda: auth.get_token(cancel)))
        assert results[0] == "t0ken-1"
        assert isinstance(results[1], Cancelled)


def test_a_refused_token_is_replaced_once() -> None:
    with login() as (auth, host, _, _clock):
        auth.get_token()
        assert auth.renew("t0ken-1") == "t0ken-2"
        assert auth.renew("t0ken-1") == "t0ken-2"
        assert auth.get_token() == "t0ken-2"
        assert host.given == 2


def test_a_failure_makes_no_token_a_fresh_one() -> None:
    """Of two who ask for one for their very try the first fails: the second must not get the token that both refuse."""
    with login(max_retries=0) as (auth, host, _, _clock):
        auth.get_token()
        host.fails(503)
        # Both have begun before the first asks.
        auth._lock.acquire()
        threading.Timer(0.3, auth._lock.release).start()
        results = together(auth.fetch, auth.fetch)
        assert {type(result) for result in results} == {PlatformUnavailableError, str}
        assert "t0ken-2" in results


def test_a_token_for_this_very_try_is_asked_for_after_the_call() -> None:
    with login() as (auth, host, _, _clock):
        auth.get_token()
        assert auth.fetch() == "t0ken-2"
        assert auth.fetch() == "t0ken-3"
        # The first of three asks while the others wait: what it began before their calls is not theirs.
        begun = host.waits_for(2)
        results = together(auth.fetch, *[host.after_the_first(begun(auth.fetch))] * 2)
        assert results == ["t0ken-4", "t0ken-5", "t0ken-5"]


def test_a_store_is_shared() -> None:
    store = MemoryTokenStore()
    with login(token_store=store) as (auth, host, server, clock):
        auth.get_token()
        other = GenesysAuth("id-1", SECRET, server.url, token_store=store, clock=clock)
        assert other.get_token() == "t0ken-1"
        assert other.tokens_requested == 0
        assert other.renew("t0ken-1") == "t0ken-2"
        assert auth.renew("t0ken-1") == "t0ken-2"
        clock.now += 3545
        assert other.get_token() == "t0ken-3"
        assert auth.get_token() == "t0ken-3"
        assert host.given == 3
        other.close()


@pytest.mark.parametrize("kept", [Token("old", 0, 3600), Token("soon over", FakeClock().time() + 30, 3600), None])
def test_a_kept_token_that_is_over_is_not_used(kept: Token | None) -> None:
    store = MemoryTokenStore()
    store.save(kept)
    with login(token_store=store) as (auth, _, _server, clock):
        assert auth.get_token() == "t0ken-1"
        assert store.load() == Token("t0ken-1", clock.time() + 3600, 3600)


def test_a_store_whose_clock_runs_ahead_does_not_prolong_a_token() -> None:
    store = MemoryTokenStore()
    store.save(Token("kept", FakeClock().time() + 99_999, 3600))
    with login(token_store=store) as (auth, _, _server, clock):
        assert auth.get_token() == "kept"
        clock.now += 3541
        assert auth.get_token() == "t0ken-1"


def test_our_own_token_that_a_store_gives_back_is_not_taken_for_another() -> None:
    class Rounding(MemoryTokenStore):
        def load(self) -> Token | None:
            token = super().load()
            return token and Token(token.value, token.expires_at + 600, token.lifetime)

    with login(token_store=Rounding()) as (auth, _, _server, clock):
        auth.get_token()
        assert auth.renew("t0ken-1") == "t0ken-2"
        clock.now += 3541
        assert auth.get_token() == "t0ken-3"


def test_a_refused_token_leaves_the_store() -> None:
    store = MemoryTokenStore()
    with login(token_store=store, max_retries=0) as (auth, host, _, _clock):
        auth.get_token()
        host.fails(503)
        with pytest.raises(PlatformUnavailableError):
            auth.renew("t0ken-1")
        assert store.load() is None
