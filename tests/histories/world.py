"""A search index in virtual time: conversations arrive, move, show late and share instants; answers go wrong."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from tap_genesys_search import timestamps
from tap_genesys_search.errors import PlatformUnavailableError, QueryError, SearchTimeoutError
from tap_genesys_search.question import Ask
from tap_genesys_search.records import Answer

if TYPE_CHECKING:
    import random

    from tap_genesys_search.question import Question

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

#: Bytes of a record.
WEIGHT = 100

#: 2026-10-05T12:00:00.500Z
BEGINNING = 1_791_201_600_500

_RECORD: dict[str, Any] = {}
_written: dict[int, str] = {}


def write(instant: int) -> str:
    """Write an instant; worlds use the same ones again and again."""
    text = _written.get(instant)
    if text is None:
        text = _written[instant] = timestamps.write(instant)
    return text


@dataclass
class Laws:
    """What holds in a world."""

    lookback: int
    #: How late the index may be, milliseconds.
    lag: int
    #: Whether a conversation that moves is nowhere until it shows in its new place.
    gap: bool
    #: Whether conversations by id are honoured, refused, or not honoured.
    ids: str
    #: Whether conversations that share an instant come in another order each time.
    unstable: bool
    #: How many conversations share an instant, often.
    crowd: int
    #: How many share one of the past, beside that.
    throng: int
    #: Whether a token is the place of the last record that was given, else the number of the next page.
    places: bool
    #: Probability of a change at each step.
    change: float
    #: Whether answers tell the platform's time.
    date: bool
    transient: float
    empty: float
    short: float
    time_out: float
    #: A longer range takes too long.
    slow_above: int
    outage: float
    total_error: float


def some_laws(rng: random.Random) -> Laws:
    """Throw the dice for a world."""
    lookback = rng.choice([2 * MINUTE, 5 * MINUTE, 10 * MINUTE])
    ids = rng.choice(["honoured", "honoured", "honoured", "refused", "ignored"])
    slow = rng.random() < 0.1
    return Laws(
        lookback=lookback,
        lag=rng.choice([0, SECOND, lookback // 2, lookback]),
        gap=rng.random() < 0.2,
        ids=ids,
        unstable=rng.random() < 0.7,
        crowd=rng.choice([1, 2, 3, 10, 100]),
        throng=rng.randrange(200, 301) if rng.random() < 0.015 else 0,
        places=rng.random() < 0.5,
        change=rng.choice([0.0, 0.05, 0.3]),
        date=rng.random() < 0.8,
        transient=rng.choice([0.0, 0.1]),
        empty=rng.choice([0.0, 0.0, 0.05, 0.2]),
        short=rng.choice([0.0, 0.1]),
        time_out=rng.choice([0.0, 0.0, 0.02]),
        slow_above=rng.choice([HOUR, 4 * HOUR, DAY]) if slow else 10**15,
        outage=rng.choice([0.0, 0.0, 0.005]),
        total_error=rng.choice([0.0, 0.03, 1.0]),
    )


@dataclass
class World:
    """The index and the platform's clock.

    Attributes:
        now: The platform's time, milliseconds since 1970.
        stamps: What stands in the index.
        seen_since: When each of these began to stand there.
        changed: When the last change became visible.
    """

    rng: random.Random
    laws: Laws
    now: int = BEGINNING
    stamps: dict[str, int] = field(default_factory=dict)
    seen_since: dict[str, int] = field(default_factory=dict)
    changed: int = 0
    searches: int = 0
    #: How many tokens were followed.
    followed: int = 0
    quiet: bool = False
    _order: list[tuple[int, str]] = field(default_factory=list)
    _pending: list[tuple[int, str, int]] = field(default_factory=list)
    _moving: set[str] = field(default_factory=set)
    _born: int = 0

    def populate(self, count: int, span: int) -> None:
        """Fill the past."""
        instant = 0
        for number in range(count):
            if number % self.laws.crowd == 0 or self.rng.random() < 0.3:
                instant = self.now - 1 - self.rng.randrange(span)
            self._show(self._name(), instant)
        instant = self.now - 1 - self.rng.randrange(span)
        for _ in range(self.laws.throng):
            self._show(self._name(), instant)
        self.seen_since = dict.fromkeys(self.stamps, 0)

    def pass_by(self, milliseconds: int) -> None:
        """Let time pass."""
        self.now += milliseconds
        while self._pending and self._pending[0][0] <= self.now:
            _, name, stamp = heapq.heappop(self._pending)
            self._moving.discard(name)
            self._hide(name)
            self._show(name, stamp)

    def stir(self) -> None:
        """Let something change, perhaps."""
        if self.quiet or self.rng.random() >= self.laws.change:
            return
        many = self.rng.randrange(1, self.laws.crowd + 1) if self.rng.random() < 0.2 else 1
        lag = self.rng.randrange(self.laws.lag + 1) if self.laws.lag and self.rng.random() < 0.5 else 0
        for _ in range(many):
            name = self._name()
            if self._order and self.rng.random() < 0.7:
                name = self._order[self.rng.randrange(len(self._order))][1]
            if name in self._moving:
                continue
            self._moving.add(name)
            heapq.heappush(self._pending, (self.now + lag, name, self.now))
            if self.laws.gap and lag:
                self._hide(name)
        self.pass_by(0)

    def settle(self) -> None:
        """Let everything show that is still to show; from now on nothing changes."""
        self.quiet = True
        self.pass_by(max((at for at, _, _ in self._pending), default=self.now) - self.now)

    def _name(self) -> str:
        self._born += 1
        return f"c{self.rng.randrange(100):02d}-{self._born:04d}"

    def _hide(self, name: str) -> None:
        stamp = self.stamps.pop(name, None)
        if stamp is not None:
            del self._order[bisect_left(self._order, (stamp, name))]

    def _show(self, name: str, stamp: int) -> None:
        self.stamps[name] = stamp
        self.seen_since[name] = self.changed = self.now
        insort(self._order, (stamp, name))

    def answer(self, question: Question) -> Answer | None:
        """Answer, or None where a try has failed that the client makes again.

        Raises:
            GenesysSearchError: What the client makes of a fault that its retries do not cure.
        """
        assert question.range_text, "whatever is asked must have a text"
        self.searches += 1
        self.followed += question.token is not None
        laws, chance = self.laws, self.rng.random()
        if question.high - question.low > laws.slow_above:
            message = "too slow"
            raise SearchTimeoutError(message)
        if chance < laws.transient:
            return None
        if not self.quiet:
            chance -= laws.transient
            if chance < laws.time_out:
                message = "too slow"
                raise SearchTimeoutError(message)
            chance -= laws.time_out
            if chance < laws.outage:
                message = "an outage"
                raise PlatformUnavailableError(message)
        empty = {Ask.TIME: laws.empty, Ask.TOKEN: laws.empty / 4}.get(question.by, 0.0)
        return self._look(question, is_empty=self.rng.random() < empty)

    def _look(self, question: Question, *, is_empty: bool) -> Answer:
        order = self._order
        low, high = bisect_left(order, (question.low,)), bisect_left(order, (question.high,))
        size = question.size
        if question.by is Ask.NO_ID:
            low = high
        elif question.by is Ask.ID:
            if self.laws.ids == "refused":
                message = "no sorting by that"
                raise QueryError(message)
            if self.laws.ids == "honoured":
                # Inside an instant the order is that of the ids.
                low = max(low, bisect_left(order, (question.low, (question.after_id or "") + "\0")))
        if question.by is Ask.TIME and size > 1 and self.rng.random() < self.laws.short:
            size = self.rng.randrange(1, size)
        begin = min(self._begin(question, low), high)
        end = min(begin + size, high)
        hits = order[begin:end]
        if self.laws.unstable and question.by is Ask.TIME and hits:
            last = end
            while last < high and order[last][0] == order[end - 1][0]:
                last += 1
            hits = order[begin:last]
            self.rng.shuffle(hits)
            hits.sort(key=_stamp)
            hits = list(islice(hits, end - begin))
        if is_empty and (hits or not self.laws.places):
            # Its token leads to the page behind the one that this should have been.
            return self._page([], self._token(question, hits), 0)
        return self._page(hits, self._token(question, hits) if end < high else None, high - low)

    def _begin(self, question: Question, low: int) -> int:
        """Return where in the index an answer begins."""
        if question.token is None:
            return low
        if not self.laws.places:
            return low + (int(question.token) - 1) * question.size
        stamp, name = str(question.token).split()
        return max(low, bisect_left(self._order, (int(stamp), name + "\0")))

    def _token(self, question: Question, hits: list[tuple[int, str]]) -> str:
        if not self.laws.places:
            return str(int(question.token or 1) + 1)
        stamp, name = hits[-1]
        return f"{stamp} {name}"

    def _page(self, hits: list[tuple[int, str]], token: str | None, total: int) -> Answer:
        error = self.laws.total_error
        return Answer(
            records=[_RECORD] * len(hits),
            ids=[name for _, name in hits],
            stamps=[write(stamp) for stamp, _ in hits],
            token=token,
            total=int(total * (1 + error * (2 * self.rng.random() - 1))) if error else total,
            size=WEIGHT * len(hits),
            served_at=self.now // SECOND * SECOND if self.laws.date else None,
        )


def _stamp(hit: tuple[int, str]) -> int:
    return hit[0]
