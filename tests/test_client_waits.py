"""What a question waits for: a token, the rate, and what the platform asks for."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import pytest

from tap_genesys_search.errors import (
    AuthenticationError,
    RateLimitError,
)
from tests.support.fakes import START
from tests.support.stage import QUESTION, Platform, no_token, stage

if TYPE_CHECKING:
    from tests.support.fakes import Handler


def test_a_refused_token_is_renewed() -> None:
    with stage() as on:
        on.client.ask(QUESTION, "*")
        on.platform.accepts = lambda token: token != "t0ken-1"
        on.client.ask(QUESTION, "*")
        assert on.platform.seen == ["t0ken-1", "t0ken-1", "t0ken-2"]
        assert sum(on.clock.sleeps) < 0.1


def test_the_token_of_another_thread_that_is_refused_too_is_not_final() -> None:
    with stage() as on:

        def refused(handler: Handler) -> None:
            on.auth.renew(on.platform.seen[-1])  # as another thread would, meanwhile
            handler.reply(401)

        on.platform.script = [refused, refused]
        on.client.ask(QUESTION, "*")
        assert on.platform.seen == ["t0ken-1", "t0ken-2", "t0ken-4"]


def test_a_fault_after_a_renewal_does_not_cost_another_token() -> None:
    with stage() as on:
        on.auth.get_token()
        on.platform.accepts = lambda token: token != "t0ken-1"
        on.platform.fails(503, times=2)
        on.client.ask(QUESTION, "*")
        assert on.platform.seen == ["t0ken-1", "t0ken-2", "t0ken-2", "t0ken-2"]


def test_a_told_wait_for_the_rate_counts_when_the_try_then_fails() -> None:
    with stage(max_wait_seconds=30) as on:
        on.platform.fails(503)
        on.platform.fails(429, Retry_After="20")
        on.budget.pause(15, "429")
        with pytest.raises(RateLimitError, match="20 s more; max_wait_seconds is 30"):
            on.client.ask(QUESTION, "*")
        assert on.client.stats.told_wait_seconds == pytest.approx(15)


def test_a_token_fetched_for_its_very_try_that_is_refused_is_final() -> None:
    with stage(Platform(accepts=no_token), max_retries=9) as on:
        with pytest.raises(AuthenticationError, match="just issued") as caught:
            on.client.ask(QUESTION, "*")
        assert on.platform.seen == ["t0ken-1", "t0ken-2", "t0ken-3"]
        assert "t0ken" not in "".join(traceback.format_exception(caught.value))


def test_a_token_is_taken_after_the_wait_for_the_rate() -> None:
    with stage() as on:
        on.client.ask(QUESTION, "*")
        on.budget.pause(3590, "429")
        with pytest.raises(RateLimitError):
            on.client.ask(QUESTION, "*")
        on.clock.now += 3580
        on.client.ask(QUESTION, "*")
        assert on.platform.seen == ["t0ken-1", "t0ken-2"]


def test_a_token_that_runs_out_in_the_wait_for_the_rate_is_not_sent() -> None:
    with stage(max_wait_seconds=10_000) as on:
        on.client.ask(QUESTION, "*")
        on.budget.pause(3595, "429")
        on.client.ask(QUESTION, "*")
        assert on.platform.seen == ["t0ken-1", "t0ken-2"]


def test_nobody_waits_for_a_token_with_a_turn_taken() -> None:
    """Those who wait for it together would leave together, at whatever rate."""
    taken: list[int] = []
    with stage() as on:
        answer = on.platform.__call__

        def watched(handler: Handler) -> None:
            if handler.path == "/oauth/token":
                taken.append(on.budget._in_flight)
            answer(handler)

        on.server.answer = watched
        on.client.ask(QUESTION, "*")
        on.platform.accepts = "t0ken-2".__eq__
        on.client.ask(QUESTION, "*")
        assert on.platform.tokens == 2
        assert taken == [0, 0]


def test_a_429_pauses_everyone_and_costs_no_retry() -> None:
    with stage(max_retries=0) as on:
        on.platform.fails(429, Retry_After="7")
        paused: list[float] = []

        def sleep(seconds: float) -> None:
            if not paused:
                paused.append(on.budget.acquire(on.clock.sleep, 60))
                on.budget.release()
            on.clock.sleep(seconds)

        on.client.ask(QUESTION, "*", sleep)
        assert paused == [pytest.approx(7, abs=0.01)]
        stats = on.client.stats
        assert (stats.throttled_429, stats.retries, stats.told_wait_seconds) == (1, 1, 7)
        assert on.budget.throttled_lately(on.clock.monotonic()) == 1


def test_a_429_without_a_time_is_two_seconds() -> None:
    with stage() as on:
        on.platform.fails(429)
        on.client.ask(QUESTION, "*")
        assert on.clock.now - START == pytest.approx(2, abs=0.01)


def test_waits_beyond_the_limit_end_it() -> None:
    with stage(max_wait_seconds=30) as on:
        on.platform.fails(429, Retry_After="20", times=2)
        with pytest.raises(RateLimitError, match="20 s more; max_wait_seconds is 30"):
            on.client.ask(QUESTION, "*")
        assert on.clock.now - START == pytest.approx(20, abs=0.01)
