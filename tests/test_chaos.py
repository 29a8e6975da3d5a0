"""All faults at once, over real HTTP, through the tap and through the generator: nothing is lost, nothing is shown."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tap_genesys_search import ConversationSearchClient, GenesysAuth, GenesysSearchError
from tap_genesys_search.clock import SystemClock
from tap_genesys_search.sandbox import Faults, Movement, SandboxServer, WorldConfig
from tests.support.helpers import (
    CLIENT,
    FAST,
    SECRET,
    ManualClock,
    Run,
    Tap,
    accounted_for,
    check_hidden,
    config_for,
    kept_of,
    secrets_of,
    table,
    truth,
)

if TYPE_CHECKING:
    from collections.abc import Generator

LOOKBACK = 600

#: Without noise in `total` the seed alone decides what meets the first, the second, … request, whatever the threads do.
CHAOS = Faults(
    seed=5,
    total_noise=0,
    p_429=0.08,
    retry_after="mixed",
    p_5xx=0.05,
    p_drop=0.04,
    p_half_body=0.03,
    p_hang=0.01,
    token_ttl_seconds=3,
    token_faults=True,
)
MOVING = Movement(move_every_search=0.2)
#: Some of it, and some that is new, shows late.
LATE = replace(MOVING, late_every_search=0.5, late_changes=0.2, late_max_seconds=5)
#: How often each is met at least.
KINDS = {
    "fault_429": 10,
    "retry_after_seconds": 2,
    "retry_after_date": 2,
    "retry_after_none": 2,
    "fault_5xx": 10,
    "fault_drop": 5,
    "fault_half_body": 5,
    "fault_hang": 2,
    "status_401": 3,
    "moved": 10,
}
PATIENT: dict[str, Any] = {"max_retries": 8, "request_timeout_seconds": 2, "page_size": 160, "concurrency": 16}
DEBUG = {"LOGLEVEL": "DEBUG"}


@dataclass
class RunningClock(ManualClock):
    """A clock that goes, and jumps ahead when told to."""

    now: float = field(default_factory=time.time)
    begun: float = field(default_factory=time.monotonic)

    def __call__(self) -> float:
        """Seconds since 1970."""
        return self.now + time.monotonic() - self.begun


class ClockOf(SystemClock):
    """The same for the generator."""

    def __init__(self, clock: RunningClock) -> None:
        self.time = clock  # type: ignore[method-assign]


def calm(server: SandboxServer, clock: RunningClock) -> None:
    """Stop all faults and movement, and let the lookback pass."""
    server.faults.merge(asdict(Faults()))
    server.world.quiet()
    clock.pass_by(LOOKBACK + 60)


def same(server: SandboxServer, held: dict[str, str]) -> None:
    """Check that nothing is missing, stale or unknown."""
    index = truth(server)
    assert [key for key in index if key not in held] == []
    assert [key for key, stamp in index.items() if held[key] != stamp] == []
    assert held.keys() == index.keys()


def met(stats: dict[str, int], kinds: dict[str, int]) -> None:
    """Check that the faults did happen."""
    assert {kind: stats.get(kind, 0) for kind, least in kinds.items() if stats.get(kind, 0) < least} == {}


def hidden(server: SandboxServer, text: str) -> None:
    """Check that no token was shown, not even its end."""
    tokens = server.issued_tokens
    assert tokens
    check_hidden([*secrets_of(), *(token[-16:] for token in tokens)], text)


def tell(stats: dict[str, int], **figures: int) -> None:
    """Log what happened, for who wants to know: -o log_cli=true."""
    logging.getLogger(__name__).warning("%s", {**stats, **figures})


def until_it_ends(tap: Tap, clock: RunningClock, config: dict[str, object], runs: list[Run]) -> None:
    """Start the tap from its last STATE until a run ends well; of one that halts, what is after its last STATE goes."""
    while not runs or runs[-1].code:
        state = next((run.state for run in reversed(runs) if run.states), None)
        run = tap(config, state=state, now=clock(), env=DEBUG)
        accounted_for(run, state)
        versions = [(record["id"], record["timestamp"]) for record in run.records]
        assert len(set(versions)) == len(versions)
        runs.append(kept_of(run) if run.code else run)
        assert len(runs) < 100


@pytest.mark.slow
@pytest.mark.parametrize("halting", [False, True], ids=["patient", "halting"])
def test_all_faults_at_once_lose_nothing_through_the_tap(tap: Tap, *, halting: bool) -> None:
    """Once with patience, and killed; once giving up at the first fault, with more of them."""
    clock = RunningClock()
    world = WorldConfig(conversations=4_000 if halting else 20_000, days=1, tie_share=0.05)
    faults, movement = replace(CHAOS), replace(MOVING)
    if halting:
        faults = replace(CHAOS, seed=8, p_html=0.05, p_empty_with_token=0.05)
        movement = replace(LATE)
    with SandboxServer(world, faults, movement, clock=clock) as server:
        config = config_for(server, **PATIENT) | ({"max_retries": 0, "page_size": 100} if halting else {})
        runs = [] if halting else [kept_of(tap.until(config, 60, env=DEBUG))]
        until_it_ends(tap, clock, config, runs)
        restarts, stats = len(runs) - 1, server.stats
        calm(server, clock)
        runs.append(tap(config, state=runs[-1].state, now=clock(), env=DEBUG))
        same(server, table(runs))
        hidden(server, "".join(run.stdout + run.stderr for run in runs))
    assert runs[-1].code == 0
    assert restarts > 0
    assert all("urllib3.connectionpool" in run.stderr for run in runs)
    met(stats, dict.fromkeys(("fault_html", "fault_empty_with_token", "late_shown"), 1) if halting else KINDS)
    # Beside what it is given and what it answers, the tap writes nothing.
    written = {path.name for path in tap.folder.iterdir() if not path.name.startswith(("config-", "state-"))}
    assert written == {"stdout", "stderr"}
    tell(stats, restarts=restarts, rows=sum(len(run.records) for run in runs))


@dataclass
class Reader:
    """What a program around the generator does: it keeps the newest version of each, and its place."""

    held: dict[str, str] = field(default_factory=dict)
    place: str | None = None
    rows: int = 0

    def read(self, conversations: Generator[dict[str, Any], None, None], leave_at: int | None = None) -> bool:
        """Take all, or leave after so many rows; return whether it was all."""
        with closing(conversations):
            for conversation in conversations:
                self.held[conversation["id"]] = self.place = conversation["timestamp"]
                self.rows += 1
                if self.rows == leave_at:
                    return False
        return True


@pytest.mark.slow
def test_all_faults_at_once_lose_nothing_through_the_generator(caplog: pytest.LogCaptureFixture) -> None:
    """Left once, and begun again from the last timestamp that it gave whenever it ends before its time."""
    caplog.set_level(logging.DEBUG)
    clock, reader = RunningClock(), Reader()
    began = clock()
    starts, errors = 0, ""
    world = WorldConfig(conversations=20_000, days=1, tie_share=0.05)
    with SandboxServer(world, replace(CHAOS), replace(LATE), clock=clock) as server:
        patience = {name: PATIENT[name] for name in ("max_retries", "request_timeout_seconds")}
        auth = GenesysAuth(CLIENT, SECRET, server.base_url, **patience)
        settings = PATIENT | {"requests_per_minute": FAST, "clock": ClockOf(clock)}
        with ConversationSearchClient(auth, server.base_url, **settings) as client:
            whole = False
            while not whole:
                starts += 1
                assert starts < 100
                try:
                    whole = reader.read(client.stream_conversations(start=reader.place, newest_first=False), 7_000)
                except GenesysSearchError as error:
                    errors += f"{error!r} {error}"
            stats = server.stats
            calm(server, clock)
            # As late as the index may show a conversation, before the first reading began.
            reader.read(client.stream_conversations(start=datetime.fromtimestamp(began - LOOKBACK, UTC)))
            same(server, reader.held)
        hidden(server, f"{caplog.text} {errors} {client!r} {auth!r}")
    assert starts > 1
    assert "urllib3.connectionpool" in caplog.text
    met(stats, KINDS | {"late_shown": 20})
    tell(stats, restarts=starts - 1, rows=reader.rows)
