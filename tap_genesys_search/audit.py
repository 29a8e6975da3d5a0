"""The warehouse against the source, id by id. Pure: rows in order of time come in from both sides, findings go out.

Both are merged instant by instant, as ties come in any order. What one side alone has at an instant is kept in a
temporary SQLite database, which lives on disk as soon as it grows, and is matched by id at the end: a conversation that
changed has its old timestamp in the warehouse and its new one in the source. Memory holds one instant of each side and
a line for each day.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from tap_genesys_search import timestamps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_genesys_search.explain import Found

#: An instant (milliseconds since 1970) and an id.
Row: TypeAlias = tuple[int, str]
_Group: TypeAlias = tuple[int, list[str]]

DAY: Final = 86_400_000
_QUARTER: Final = 900_000
_ENOUGH: Final = 3
_BATCH: Final = 1_000

_TABLES: Final = ("source", "warehouse", "outside", "double")
_NEWEST: Final = """
CREATE TABLE s AS SELECT id, max(at) AS at FROM source GROUP BY id;
CREATE TABLE w AS SELECT id, max(at) AS at FROM warehouse GROUP BY id;
CREATE TABLE o AS SELECT id, max(at) AS at FROM outside GROUP BY id;
CREATE UNIQUE INDEX s_id ON s (id); CREATE UNIQUE INDEX w_id ON w (id); CREATE UNIQUE INDEX o_id ON o (id);
"""
_OF_THE_SOURCE: Final = """
SELECT s.id, s.at, max(coalesce(w.at, o.at), coalesce(o.at, w.at))
FROM s LEFT JOIN w USING (id) LEFT JOIN o USING (id) ORDER BY s.at, s.id
"""
# The newest first: they are the likeliest to have changed, where not all are looked up.
_OF_THE_WAREHOUSE: Final = """
SELECT w.id, w.at, coalesce(max(o.at, w.at), w.at)
FROM w LEFT JOIN s USING (id) LEFT JOIN o USING (id) WHERE s.id IS NULL ORDER BY w.at DESC, w.id
"""
_DOUBLE: Final = """
SELECT id, at FROM double UNION ALL
SELECT warehouse.id, warehouse.at FROM warehouse JOIN w USING (id) WHERE warehouse.at < w.at ORDER BY 2, 1
"""


class What(Enum):
    """What is the matter with an id."""

    MISSING = "missing"
    STALE = "stale"
    SINCE_LOAD = "changed since the load"
    MOVED = "moved out of the range"
    NOT_MATCHING = "no longer matching the query"
    UNKNOWN = "unknown at the source"
    NOT_LOOKED_UP = "not looked up"
    NEWER = "newer in the warehouse"
    DOUBLE = "twice in the warehouse"


#: What the warehouse has and the range of the source has not: no fault.
GONE: Final = (What.MOVED, What.NOT_MATCHING, What.UNKNOWN, What.NOT_LOOKED_UP)


@dataclass(frozen=True, slots=True)
class Finding:
    """An id and what is the matter with it; instants in milliseconds since 1970."""

    id: str
    what: What
    source: int | None = None
    warehouse: int | None = None


@dataclass(slots=True)
class Day:
    """The counts of a UTC day."""

    source: int = 0
    warehouse: int = 0
    found: Counter[What] = field(default_factory=Counter)

    @property
    def gone(self) -> int:
        """What the warehouse has and the source's range has not."""
        return sum(self.found[what] for what in GONE)

    def add(self, other: Day) -> None:
        """Add another day's counts."""
        self.source += other.source
        self.warehouse += other.warehouse
        self.found.update(other.found)


class Audit:
    """One comparison.

    Args:
        low: First instant of the range, milliseconds since 1970.
        high: End of the range, exclusive.
        due: Where the next run begins to read: nothing from there on can be a fault yet. None: not known.
        until: Where every run ends, exclusive: what lies from there on no run reads. None: each ends when it starts.

    Attributes:
        days: Counts by day, in days since 1970.
        outside: Rows of the warehouse that do not lie in the range.
    """

    def __init__(self, low: int, high: int, due: int | None = None, until: int | None = None) -> None:
        self.low = low
        self.high = high
        self.due = due
        self._until = timestamps.END if until is None else until
        self.days: dict[int, Day] = {}
        self.outside = 0
        self._shifts = [0, 0]
        # A database without a name is a file without a name, of which a small part is in memory.
        self._store = sqlite3.connect("", isolation_level=None)
        self._waiting: dict[str, list[Row]] = {name: [] for name in _TABLES}
        for name in _TABLES:
            self._store.execute(f"CREATE TABLE {name} (at INTEGER, id TEXT)")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()

    @property
    def total(self) -> Day:
        """The counts of all days."""
        total = Day()
        for day in self.days.values():
            total.add(day)
        return total

    @property
    def shifted(self) -> bool:
        """Whether all timestamps that differ do so by whole quarters of an hour, as in another time zone."""
        different, by_quarters = self._shifts
        return different >= _ENOUGH and different == by_quarters

    def merge(self, source: Iterable[Row], warehouse: Iterable[Row]) -> None:
        """Read both sides, each in order of time, to their ends."""
        ours, theirs = _by_instant(source), _by_instant(self._inside(warehouse))
        left, right = next(ours, None), next(theirs, None)
        while left is not None or right is not None:
            if right is None or (left is not None and left[0] < right[0]):
                self._compare(left, None)
                left = next(ours, None)
            elif left is None or right[0] < left[0]:
                self._compare(None, right)
                right = next(theirs, None)
            else:
                self._compare(left, right)
                left, right = next(ours, None), next(theirs, None)
        for name in _TABLES:
            self._flush(name)
        self._store.executescript(_NEWEST)

    def _inside(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Pass on what lies in the range; the rest is kept, as it may be the old version of what is missing."""
        for row in rows:
            if self.low <= row[0] < self.high:
                yield row
            else:
                self.outside += 1
                self._keep("outside", [row])

    def _compare(self, left: _Group | None, right: _Group | None) -> None:
        at = (left or right or (0, []))[0]
        ours = set(left[1] if left else ())
        theirs = set(right[1] if right else ())
        day = self.days.setdefault(at // DAY, Day())
        day.source += len(ours)
        day.warehouse += len(right[1]) if right else 0
        self._keep("source", [(at, identity) for identity in ours - theirs])
        self._keep("warehouse", [(at, identity) for identity in theirs - ours])
        if right and len(right[1]) > len(theirs):
            more = Counter(right[1])
            self._keep("double", [(at, identity) for identity in more for _ in range(more[identity] - 1)])

    def _keep(self, name: str, rows: list[Row]) -> None:
        self._waiting[name] += rows
        if len(self._waiting[name]) >= _BATCH:
            self._flush(name)

    def _flush(self, name: str) -> None:
        self._store.execute("BEGIN")
        self._store.executemany(f"INSERT INTO {name} VALUES (?, ?)", self._waiting[name])  # noqa: S608 - of _TABLES
        self._store.execute("COMMIT")
        self._waiting[name].clear()

    def findings(self, look_up: Callable[[str], Found], limit: int) -> Iterator[Finding]:
        """Yield what is the matter, one id at a time, and count it by day; to be taken to its end.

        Args:
            look_up: Asks the source for one id.
            limit: How often that may be done.
        """
        for finding in self._findings(look_up, limit):
            # What is gone counts where the warehouse has it, a fault where the source has it: to be read there again.
            in_warehouse = finding.source is None or finding.what in GONE
            place = finding.warehouse if in_warehouse else finding.source
            day = self.days.setdefault((place or 0) // DAY, Day())
            day.found[finding.what] += 1
            yield finding

    def _findings(self, look_up: Callable[[str], Found], limit: int) -> Iterator[Finding]:
        with closing(self._store.execute(_OF_THE_SOURCE)) as rows:
            for identity, at, held in rows:
                what = self._of_the_source(at, held)
                if what is What.MISSING and limit > 0:
                    limit -= 1
                    now = look_up(identity).at
                    # It was read while it moved, perhaps at both its places.
                    what = What.SINCE_LOAD if now is not None and now > at else what
                yield Finding(identity, what, at, held)
        with closing(self._store.execute(_OF_THE_WAREHOUSE)) as rows:
            for identity, held, newest in rows:
                found = look_up(identity) if limit > 0 else None
                limit -= 1
                why = What.NOT_LOOKED_UP if found is None else self._of_the_warehouse(found, held, newest)
                if why is not None:
                    yield Finding(identity, why, found.at if found else None, held)
        with closing(self._store.execute(_DOUBLE)) as rows:
            for identity, held in rows:
                yield Finding(identity, What.DOUBLE, None, held)

    def _of_the_source(self, at: int, held: int | None) -> What:
        """Judge what the source has and the warehouse has not, or not of that time."""
        if held is not None:
            self._shifts[0] += 1
            self._shifts[1] += (at - held) % _QUARTER == 0
            if held > at:
                return What.NEWER
        if self._is_due(at):
            return What.SINCE_LOAD
        return What.MISSING if held is None else What.STALE

    def _of_the_warehouse(self, found: Found, held: int, newest: int) -> What | None:
        """Judge what the warehouse has and the source's range has not; `newest` is the warehouse's of all times."""
        if not found.exists:
            return What.UNKNOWN
        if not found.matches or found.at is None:
            return What.NOT_MATCHING
        if found.at <= newest:
            # Equal: it was shown late, after its time had been read.
            return What.NEWER if found.at < held else What.DOUBLE if newest > held else None
        if self._is_due(found.at):
            return What.SINCE_LOAD
        if self.low <= found.at < self.high:
            # The merge has seen it there on both sides.
            return What.DOUBLE
        return What.MOVED if self.due is None or found.at >= self._until else What.STALE

    def _is_due(self, at: int) -> bool:
        """Whether the next run reads this instant."""
        return self.due is not None and self.due <= at < self._until


def _by_instant(rows: Iterable[Row]) -> Iterator[_Group]:
    for at, group in groupby(rows, key=itemgetter(0)):
        yield at, [identity for _, identity in group]
