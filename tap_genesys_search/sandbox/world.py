"""The organisation: its conversations from a seed, and how they move."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from threading import RLock
from typing import TYPE_CHECKING

from tap_genesys_search.sandbox.checks import MOST, check_range, instant
from tap_genesys_search.sandbox.index import Bucket, Index, Page
from tap_genesys_search.sandbox.instants import DAY, SECOND, iso
from tap_genesys_search.sandbox.movement import KINDS, Movement
from tap_genesys_search.sandbox.records import Inventor, Record
from tap_genesys_search.sandbox.timeline import Cell, Plan, cells

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from tap_genesys_search.sandbox.query import Query


_MOST_DAYS = 36_525
_MOST_BYTES = 10_000_000


def _option(default: float, help_text: str) -> float:
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True)
class WorldConfig:
    """What the world holds before anything moves; the same values give the same bytes."""

    seed: int = field(default=1, metadata={"help": "The seed of the conversations and their movement."})
    conversations: int = field(default=20_000, metadata={"help": "How many conversations, bursts included."})
    start: str | datetime | None = field(
        default=None, metadata={"help": "Before this instant nothing happened (default: DAYS before the end)."}
    )
    end: str | datetime | None = field(default=None, metadata={"help": "The world is invented up to here (now)."})
    days: float = _option(30.0, "How long the world is, unless it has a start.")
    record_bytes: int = field(default=300, metadata={"help": "Records are padded to this many bytes."})
    bursts: tuple[tuple[str, int], ...] = field(
        default=(), metadata={"help": "Records that share one millisecond: INSTANT=COUNT; may be given again."}
    )
    tie_share: float = _option(0.0, "Share (0 to 1) of records that share a millisecond with a neighbour.")
    tie_orders: int = field(
        default=0, metadata={"help": "How many orders ties come in, as from so many replicas (0: always another)."}
    )
    missing_ids: float = _option(0.0, "Share (0 to 1) of records that lack conversationId.")
    missing_plain_ids: float = _option(0.0, "Share (0 to 1) of records that lack id.")
    busy_day: str | None = field(default=None, metadata={"help": "A date with far more conversations."})
    busy_factor: float = _option(10.0, "How many times busier the busy day is.")

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name in ("tie_share", "missing_ids", "missing_plain_ids"):
            check_range(name, getattr(self, name), 0, 1)
        # No record lacks both.
        check_range("missing_ids and missing_plain_ids", self.missing_ids + self.missing_plain_ids, 0, 1)
        check_range("conversations", self.conversations, 0, MOST)
        check_range("days", self.days, 0, _MOST_DAYS)
        check_range("record_bytes", self.record_bytes, 0, _MOST_BYTES)
        check_range("tie_orders", self.tie_orders, 0, MOST)
        check_range("busy_factor", self.busy_factor, 0.001, MOST)
        for name in ("start", "end", "busy_day"):
            if getattr(self, name) is not None:
                instant(name, getattr(self, name))
        for at, count in self.bursts:
            instant("bursts", at)
            check_range("bursts", count, 0, MOST)
        if (held := sum(count for _, count in self.bursts)) > self.conversations:
            message = f"bursts hold {held:,}, more than all {self.conversations:,} conversations"
            raise ValueError(message)

    def bounds(self, now: int) -> tuple[int, int]:
        """Give the world's range `[start, end)` in milliseconds."""
        end = now if self.end is None else instant("end", self.end)
        start = end - round(self.days * DAY) if self.start is None else instant("start", self.start)
        if not 0 < end - start <= _MOST_DAYS * DAY:
            message = f"start must be before end ({iso(end)}), by {_MOST_DAYS:,} days at most, not {iso(start)}"
            raise ValueError(message)
        return start, end


class World:
    """All conversations of an organisation; safe to use from several threads.

    `clock` gives milliseconds since 1970, `ahead` how many of them the platform's own clock, which stamps the records,
    is ahead of it. Movement follows `clock`: time passes no faster for a clock that is set.
    """

    def __init__(
        self,
        config: WorldConfig,
        movement: Movement,
        clock: Callable[[], int],
        ahead: Callable[[], int] = lambda: 0,
    ) -> None:
        self.config = config
        self.movement = movement
        self._clock = clock
        self._ahead = ahead
        self.lock = RLock()
        self.counts = dict.fromkeys(("arrived", "moved", "late_made", "late_shown", "left"), 0)
        self.generated = 0
        self.born = self.now()
        self.start, self.end = config.bounds(self.born)
        self._chance = Random(f"{config.seed}:movement")
        self._order = Random(f"{config.seed}:ties")
        self._inventor = Inventor(
            config.seed,
            record_bytes=config.record_bytes,
            missing_ids=config.missing_ids,
            missing_plain_ids=config.missing_plain_ids,
        )
        self._next = config.conversations
        self._pending: list[tuple[int, int, Record, Record | None]] = []
        self._carried = [0.0] * len(KINDS)
        self._ticked = clock()
        self.index = Index(self._buckets())

    def now(self) -> int:
        """Give the platform's clock in milliseconds since 1970."""
        return self._clock() + self._ahead()

    def _buckets(self) -> Iterable[Bucket]:
        config = self.config
        bursts: dict[int, int] = {}
        for text, count in config.bursts:
            at = instant("bursts", text)
            if not self.start <= at < self.end:
                message = f"bursts: {text} is not between {iso(self.start)} and {iso(self.end)}"
                raise ValueError(message)
            bursts[at] = bursts.get(at, 0) + count
        steady = config.conversations - sum(bursts.values())
        busy_day = None if config.busy_day is None else instant("busy_day", config.busy_day)
        plan = Plan(config.seed, self.start, self.end, steady, bursts, busy_day, config.busy_factor)
        for cell in cells(plan):
            yield Bucket(cell.low, cell.size, lambda cell=cell: self._invent(cell))  # type: ignore[misc]

    def _invent(self, cell: Cell) -> list[Record]:
        chance = Random(f"{self.config.seed}:{cell.low}")
        draw, width = chance.random, cell.high - cell.low
        instants = sorted(cell.low + int(draw() * width) for _ in range(cell.count))
        if self.config.tie_share:
            for place in range(1, len(instants)):
                if draw() < self.config.tie_share:
                    instants[place] = instants[place - 1]
        for at, count in cell.bursts:
            instants += [at] * count
        if cell.bursts:
            instants.sort()
        bits, invent, identity = chance.getrandbits, self._inventor.record, self._inventor.id
        self.generated += len(instants)
        return [invent(identity(number), at, bits(64)) for number, at in enumerate(instants, cell.first)]

    def warm(self) -> None:
        """Invent every record now instead of on first touch."""
        with self.lock:
            self.index.warm()

    def search(self, query: Query, *, by_id: bool, descending: bool, start: int, size: int, exact: bool = True) -> Page:
        """Let the world move as it does at a search, then answer; without `exact` the total may be an estimate."""
        with self.lock:
            self.tick()
            self._by_search()
            if by_id or query.ids or query.without_id:
                return self._search_ids(query, by_id=by_id, descending=descending, start=start, size=size)
            return self.index.page(
                query.chosen,
                query.low,
                query.high,
                start=start,
                size=size,
                descending=descending,
                order=self._tie_order(),
                exact=exact,
            )

    def _tie_order(self) -> int:
        if self.config.tie_orders == 0:
            return self._order.getrandbits(40)
        replica = self._order.randrange(self.config.tie_orders)
        return replica and Random(f"{self.config.seed}:{replica}").getrandbits(40)

    def _search_ids(self, query: Query, *, by_id: bool, descending: bool, start: int, size: int) -> Page:
        found, first, last = _by_id(self.index, query)
        if not by_id:
            found, first, last = sorted(found[first:last], key=lambda record: record.timestamp), 0, last - first
        total = last - first
        if descending:
            records = found[max(first, last - start - size) : max(first, last - start)]
            records.reverse()
        else:
            records = found[first + start : min(last, first + start + size)]
        return Page(records, total, start + len(records) < total)

    def tick(self) -> None:
        """Catch up with the time: what was to move since the last time moves, what was to show shows."""
        clock = self._clock()
        rates = self.movement.by_second()
        if any(rates) and clock > self._ticked:
            now, passed = clock + self._ahead(), clock - self._ticked
            events: list[tuple[int, str]] = []
            for number, rate in enumerate(rates):
                self._carried[number] += rate * passed / SECOND
                whole = int(self._carried[number])
                self._carried[number] -= whole
                events += [(now - self._chance.randrange(passed), KINDS[number]) for _ in range(whole)]
            for at, kind in sorted(events):
                self._do(kind, at)
        self._ticked = max(self._ticked, clock)
        self._show(clock)

    def _by_search(self) -> None:
        for kind, rate in zip(KINDS, self.movement.by_search(), strict=True):
            if rate:
                self._repeat(kind, int(rate) + (self._chance.random() < rate % 1))

    def move(self, *, arrive: int = 0, change: int = 0, late: int = 0, leave: int = 0) -> None:
        """Do so much movement at once."""
        with self.lock:
            self.tick()
            for kind, count in zip(KINDS, (arrive, change, late, leave), strict=True):
                self._repeat(kind, count)

    def rewrite(self, identity: str) -> None:
        """Give a conversation other fields in its place, as a later correction does: its timestamp stays."""
        with self.lock:
            self.tick()
            old = next(record for record in self.index if record.id == identity)
            new = self._inventor.successor(old, old.timestamp, self._chance.getrandbits(64))
            new.changed_at = new.visible_at = self.now()
            self.index.remove(old)
            self.index.insert(new)

    def _repeat(self, kind: str, count: int) -> None:
        now = self.now()
        for _ in range(count):
            self._do(kind, now)

    def quiet(self) -> None:
        """Stop all movement, and show at once what is not visible yet."""
        with self.lock:
            self.tick()
            self.movement.stop()
            self._show(None)

    def _do(self, kind: str, now: int) -> None:
        if kind == "arrive":
            self.index.insert(self._new(now))
            self.counts["arrived"] += 1
        elif kind == "late":
            self._late(now)
        elif len(self.index):
            rank = self._chance.randrange(len(self.index))
            if kind == "change":
                self._change(rank, now)
            else:
                self.index.take(rank)
                self.counts["left"] += 1

    def _new(self, timestamp: int) -> Record:
        self._next += 1
        return self._inventor.record(self._inventor.id(self._next), timestamp, self._chance.getrandbits(64))

    def _delay(self) -> int:
        return round(self._chance.random() * self.movement.late_max_seconds * SECOND)

    def _late(self, now: int) -> None:
        self.counts["late_made"] += 1
        if not self.movement.late_in_range:
            self._hold_back(self._new(now), None)
            return
        record = self._new(self.start + self._chance.randrange(max(1, now - self.start)))
        record.changed_at = record.visible_at = now
        self.index.insert(record)
        self.counts["late_shown"] += 1

    def _change(self, rank: int, now: int) -> None:
        old = self.index.at(rank)
        # Two versions of one conversation never share a timestamp, even when it changes twice in a millisecond.
        new = self._inventor.successor(old, max(now, old.timestamp + 1), self._chance.getrandbits(64))
        if self.movement.late_changes and self._chance.random() < self.movement.late_changes:
            self._hold_back(new, old)
            return
        self.index.take(rank)
        self.index.insert(new)
        self.counts["moved"] += 1

    def _hold_back(self, record: Record, old: Record | None) -> None:
        record.visible_at = record.timestamp + self._delay()
        self._next += 1
        heappush(self._pending, (record.visible_at - self._ahead(), self._next, record, old))

    def _show(self, until: int | None) -> None:
        while self._pending and (until is None or self._pending[0][0] <= until):
            _, _, record, old = heappop(self._pending)
            if until is None:
                record.visible_at = min(record.visible_at, self.now())
            if old is None:
                self.counts["late_shown"] += 1
            elif self.index.remove(old):
                self.counts["moved"] += 1
            else:
                continue
            self.index.insert(record)

    def truth(self, query: Query | None = None, *, everything: bool = False) -> list[Record]:
        """List what is visible now, in any order; with `everything` also what was made but is not visible yet."""
        with self.lock:
            self.tick()
            found = list(self.index) if query is None else _matching_ids(self.index, query)
            if everything:
                pending = Index()
                for _, _, record, _ in self._pending:
                    pending.insert(record)
                found += pending if query is None else _matching_ids(pending, query)
            return found

    def stood(self, record: Record) -> bool:
        """Whether a record has kept its place since the world began."""
        return record.version == 1 and record.visible_at <= self.born


def _matching_ids(index: Index, query: Query) -> list[Record]:
    records, first, last = _by_id(index, query)
    return records[first:last]


def _by_id(index: Index, query: Query) -> tuple[list[Record], int, int]:
    """Give a list in order of ids, and which part of it matches."""
    order = index.by_id(query.chosen, query.low, query.high)
    first, last = (order.with_id, len(order.records)) if query.without_id else (0, len(order.records))
    if query.ids:
        last = min(last, order.with_id)
        if query.ids.low is not None:
            first = max(first, order.place(query.ids.low, after=not query.ids.with_low))
        if query.ids.high is not None:
            last = min(last, order.place(query.ids.high, after=query.ids.with_high))
    return order.records, first, max(first, last)
