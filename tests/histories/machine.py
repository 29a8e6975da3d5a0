"""Runs of the tap in such a world, killed anywhere; and what has to be true of them.

The reading, the bookmark, the run and the stream's own decisions are the real ones. What is left out: HTTP, threads
(the order in which answers come is dice instead), and the SDK's loop (a page is written as one).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from typing_extensions import override

from tap_genesys_search import ConversationSearchClient, GenesysAuth
from tap_genesys_search.bookmark import Bookmark, Stored
from tap_genesys_search.client import Stats
from tap_genesys_search.errors import ContractError, GenesysSearchError, QueryError, SearchTimeoutError
from tap_genesys_search.question import Ask
from tap_genesys_search.search_run import SearchRun
from tap_genesys_search.sync import sync
from tests.histories.world import DAY, HOUR, MINUTE, SECOND, WEIGHT, World, some_laws, write

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tap_genesys_search.records import Answer, Batch
    from tap_genesys_search.slices import Page, Ticket

#: The size of a page inside an instant; set by the test, as instants that hold hundreds of them take too long.
DENSE_PAGE = 12

_logger = logging.getLogger("tests.histories")
_logger.disabled = True


#: What may be left of a killed process: all up to its last STATE, all of it, or all of it but none of its states.
THROWN, KEPT, UNSAVED = "thrown away", "kept", "states not saved"


class KilledError(Exception):
    """The process is no more."""


@cache
def max_age(lookback: int) -> float:
    """For how many seconds a client lets a page wait."""
    auth = GenesysAuth("me", "s3cret", "http://127.0.0.1:1")
    with ConversationSearchClient(auth, "http://127.0.0.1:1", lookback_seconds=lookback // SECOND) as client:
        return client.max_age


@dataclass
class Settings:
    """Settings of a run, and its machine's clock."""

    page_size: int
    slice_records: int
    workers: int
    buffer: int
    lookback: int
    start: int | None
    end: int | None = None
    max_results: int | None = None
    #: How far this machine's clock is ahead, milliseconds.
    skew: int = 0


@dataclass
class Warehouse:
    """What the loaders have written, in order, and the states that they have passed on, with the process of each."""

    rows: list[tuple[str, str] | None] = field(default_factory=list)
    states: list[tuple[Process, dict[str, str]]] = field(default_factory=list)

    @property
    def state(self) -> dict[str, str]:
        """The last one."""
        return self.states[-1][1] if self.states else {}

    def table(self) -> dict[str, str]:
        """The last row of each id."""
        return dict(row for row in self.rows if row is not None)


class DrivenRun(SearchRun):
    """A run that is driven by dice instead of threads."""

    process: Process

    @override
    def pages(self) -> Iterator[Page]:
        if self.is_empty:
            return
        process, reading = self.process, self._reading
        while True:
            page = reading.pop(process.monotonic())
            while page is None and not reading.done:
                process.step()
                page = reading.pop(process.monotonic())
            if page is None:
                return
            yield page


class Process:
    """One run of the tap, and the pipe behind it."""

    def __init__(
        self, world: World, warehouse: Warehouse, settings: Settings, *, kill_at: int = -1, end: str = THROWN
    ) -> None:
        """Begin as `ConversationsStream.get_records` does.

        Args:
            world: What is read.
            warehouse: Where it goes; the state comes from there.
            settings: Of the tap.
            kill_at: At which step it is killed.
            end: What is left then of what it had written.
        """
        self.world = world
        self.warehouse = warehouse
        self.settings = settings
        self.steps = 0
        self.finished = False
        self.failure: GenesysSearchError | None = None
        self.began = world.now
        self.emitted: dict[str, str] = {}
        self.kill_at = kill_at
        self.end = end
        self._tickets: list[tuple[Ticket, Answer | None]] = []
        self._unaccounted: list[int] = []
        self._newest = ""
        self.bookmark = Bookmark(
            Stored.from_state(warehouse.state),
            source="source",
            start_date=settings.start,
            lookback=settings.lookback,
            on_source_change="fail",
        )
        client = SimpleNamespace(
            clock=self,
            concurrency=settings.workers,
            page_size=settings.page_size,
            slice_records=settings.slice_records,
            max_age=max_age(settings.lookback),
            workers=lambda: settings.workers,
            budget=None,
            http=SimpleNamespace(stats=Stats()),
        )
        self.run = DrivenRun(
            cast("ConversationSearchClient", client),
            "*",
            self.bookmark.start,
            settings.end,
            limit=None if self.bookmark.previous is not None else settings.max_results,
            logger=_logger,
        )
        self.run.process = self
        self.reading = self.run._reading
        self.reading._ahead._buffer_bytes = settings.buffer

    # The clock of its machine

    def time(self) -> float:
        """Seconds since 1970."""
        return (self.world.now + self.settings.skew) / 1000

    def monotonic(self) -> float:
        """Seconds."""
        return self.world.now / 1000

    # What the workers do

    def step(self) -> None:
        """One thing happens: a question is asked, or an answer comes."""
        world, rng = self.world, self.world.rng
        self._tick()
        world.pass_by(rng.randrange(1 + 2 * SECOND) if rng.random() < 0.5 else 1)
        world.stir()
        if not self._tickets or rng.random() < 0.5:
            ticket = self.reading.take(self.monotonic())
            if ticket is not None:
                self._tickets.append((ticket, None))
                return
        if not self._tickets:
            return
        place = rng.randrange(len(self._tickets))
        ticket, answer = self._tickets[place]
        try:
            if answer is None:
                answer = world.answer(ticket.question)
                # It may be long on its way, or a try that has failed is made again.
                if answer is None or rng.random() < 0.3:
                    self._tickets[place] = ticket, answer
                    return
            del self._tickets[place]
            self.reading.deliver(ticket, answer)
        except SearchTimeoutError as error:
            del self._tickets[place]
            self.reading.too_slow(ticket, error)
        except QueryError as error:
            del self._tickets[place]
            if ticket.question.by is Ask.TIME:
                raise
            self.reading.refuse(ticket, error)
        assert self.reading._ahead.buffered <= self.settings.buffer + (self.settings.workers + 1) * self._largest, "G3"

    @property
    def _largest(self) -> int:
        return WEIGHT * max(DENSE_PAGE, self.settings.page_size)

    def _tick(self) -> None:
        self.steps += 1
        if self.steps == self.kill_at:
            raise KilledError
        # What arrives while it reads makes it longer, but not for ever.
        assert self.steps < 2000 + 60 * len(self.world.stamps), "G6: it does not end"

    # What the stream and the SDK do

    def pages(self) -> Iterator[None]:
        """Run; after each page that was written others may go on, and time may pass."""
        if self.run.is_empty:
            return
        try:
            for batch in sync(
                self.run, self.bookmark, self._write_state, max_results=self.settings.max_results, logger=_logger
            ):
                self._write(batch)
                yield
            self.finished = self.settings.max_results is None
        except KilledError:
            self.leave()
        except ContractError:
            # Only an instant whose conversations come and go while it is read by token may end so.
            if self.world.laws.ids == "honoured":
                raise
        except GenesysSearchError as error:
            self.failure = error
        else:
            self._check()

    def leave(self) -> None:
        """Leave of what was written what a killed process leaves."""
        if self.end == THROWN:
            for place in self._unaccounted:
                self.warehouse.rows[place] = None
        if self.end == UNSAVED:
            self.warehouse.states = [entry for entry in self.warehouse.states if entry[0] is not self]

    def _write(self, batch: Batch) -> None:
        rows = self.warehouse.rows
        end = write(min(self.run.high, self.run.run_start))
        for name, stamp in zip(batch.ids, batch.stamps, strict=True):
            self._tick_row()
            assert stamp is not None
            assert stamp >= self._newest, "order"
            assert stamp < end, "what changes after the start of the run belongs to the next one"
            assert self.emitted.get(name, "") < stamp, "G4: the same version twice, or an older one after a newer one"
            self._newest = self.emitted[name] = stamp
            self._unaccounted.append(len(rows))
            rows.append((name, stamp))

    def _tick_row(self) -> None:
        """A process may be killed between two records, too."""
        if self.kill_at >= 0 and self.steps >= self.kill_at - 1 and self.world.rng.random() < 0.3:
            raise KilledError

    def _write_state(self, bookmark: Bookmark) -> None:
        state = bookmark.state()
        stored = bookmark.previous
        known = max(self._newest, "" if stored is None else write(stored))
        assert state["replication_key_value"] <= known, "G2: the state runs ahead of what was written"
        self.warehouse.states.append((self, state))
        self._unaccounted.clear()

    def _check(self) -> None:
        """G1, first half: what stood in the range all the time has been emitted."""
        if not self.finished:
            return
        low, high = self.run.low, self.run.high
        for name, stamp in self.world.stamps.items():
            if low <= stamp < high and self.world.seen_since[name] < self.began:
                assert self.emitted.get(name) == write(stamp), f"G1: {name} stood at {write(stamp)} and was not emitted"


def history(rng: random.Random) -> dict[str, int]:
    """Let a world and some runs happen, check them, and tell how much happened."""
    laws = some_laws(rng)
    world = World(rng, laws)
    world.populate(rng.choice([5, 10, 10, 20, 20, 40, 40, 150]), rng.choice([SECOND // 4, MINUTE, HOUR, DAY]))
    warehouse = Warehouse()
    start = rng.choice([None, world.now - 2 * DAY]) if laws.slow_above > 100 * 365 * DAY else world.now - 2 * DAY
    overlap = laws.lag <= laws.lookback // 2 and rng.random() < 0.5
    told = {"runs": 0, "killed": 0, "failed": 0, "searches": 0, "reread": 0}
    for _ in range(rng.randrange(2, 6)):
        _one_run(world, warehouse, start, told, overlap=overlap)
        world.pass_by(rng.choice([1, SECOND, MINUTE, laws.lookback, HOUR]))
        # Some of it shows only while the next run goes on, or after it.
        for _ in range(rng.choice([1, 20])):
            world.stir()
            world.pass_by(rng.randrange(1, SECOND))
    world.settle()
    world.pass_by(laws.lookback + SECOND + HOUR)
    last = Process(world, warehouse, _some_settings(world, start))
    for _ in last.pages():
        pass
    assert last.finished or last.run.is_empty, f"the last run failed: {last.failure}"
    table = warehouse.table()
    wanted = {name: write(stamp) for name, stamp in world.stamps.items()}
    lost = {name: (stamp, table.get(name)) for name, stamp in wanted.items() if table.get(name) != stamp}
    assert not lost, f"G1: {len(lost)} of {len(wanted)} are missing or old: {dict(list(lost.items())[:3])}"
    told["searches"] = world.searches
    told["throngs"] = laws.throng > 0
    told["followed places" if laws.places else "followed numbers"] = world.followed
    return told


def _one_run(world: World, warehouse: Warehouse, start: int | None, told: dict[str, int], *, overlap: bool) -> None:
    rng = world.rng
    settings = _some_settings(world, start)
    if rng.random() < 0.1:
        settings.max_results = rng.randrange(1, 60)
    elif rng.random() < 0.1:
        settings.end = world.now - rng.randrange(HOUR)
        if start is not None:
            settings.end = max(settings.end, start + 1)
    killed = rng.random() < 0.5
    process = Process(
        world,
        warehouse,
        settings,
        kill_at=rng.randrange(1, 120) if killed else -1,
        end=rng.choice([THROWN, THROWN, KEPT, UNSAVED]),
    )
    patience = rng.choice([0.02, 0.2] if overlap else [0.0, 0.02, 0.2])
    for _ in process.pages():
        if rng.random() < patience:
            _hold(process, told, start, overlap=overlap)
    if process.kill_at >= 0 and process.finished:
        # It has outlived the kill: its loader does not.
        process.leave()
    told["runs"] += 1
    told["killed"] += killed
    told["failed"] += process.failure is not None
    told["reread"] += process.reading.progress.reread


def _hold(process: Process, told: dict[str, int], start: int | None, *, overlap: bool) -> None:
    """The loader takes its time: the workers go on, and perhaps another process begins and ends."""
    world, rng = process.world, process.world.rng
    lookback = world.laws.lookback
    try:
        for _ in range(rng.randrange(12)):
            process.step()
    except (KilledError, GenesysSearchError):
        # It shows when the reading goes on; until then this process stands still.
        process.kill_at = process.steps + 1
    for _ in range(rng.randrange(1, 4)):
        for _ in range(rng.randrange(30 if overlap else 8)):
            world.stir()
            world.pass_by(rng.randrange(1, SECOND))
        world.pass_by(rng.choice([SECOND, lookback // 8, lookback // 3, lookback, 3 * lookback]))
    if overlap and rng.random() < 0.8:
        _one_run(world, process.warehouse, start, told, overlap=False)
        if rng.random() < 0.5:
            process.kill_at, process.end = process.steps + rng.randrange(1, 10), UNSAVED


def _some_settings(world: World, start: int | None) -> Settings:
    rng = world.rng
    ahead = [0, 0, 2 * SECOND, HOUR] if world.laws.date else [0]
    return Settings(
        page_size=rng.choice([1, 3, 5, 8, 8, 13, 20, 20]),
        slice_records=rng.choice([5, 10, 20, 60]),
        workers=rng.choice([1, 2, 3, 4, 8]),
        buffer=rng.choice([0, 2000, 10_000, 10**6]),
        lookback=world.laws.lookback,
        start=start,
        skew=rng.choice([*ahead, -2 * SECOND, -HOUR]),
    )
