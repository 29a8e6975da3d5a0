"""The ordered index: pages by range, direction and number, at a cost that hardly grows with the data."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from itertools import accumulate
from math import gcd
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_genesys_search.sandbox.records import Record

SPLIT_ABOVE = 4_096
_FILTERS_A_BUCKET = 8
_ID_ORDERS = 8


class Filter(NamedTuple):
    """A condition on records, with a name that stands for it in caches."""

    name: str
    holds: Callable[[Record], bool]


class Page(NamedTuple):
    """Some records of a range, in the order asked for, and how many the whole range holds."""

    records: list[Record]
    total: int


class Run:
    """Records in order of their timestamps."""

    __slots__ = ("keys", "records")

    def __init__(self, records: list[Record]) -> None:
        self.records = records
        self.keys = [record.timestamp for record in records]

    def add(self, record: Record) -> None:
        """Put a record after all with its timestamp."""
        place = bisect_right(self.keys, record.timestamp)
        self.keys.insert(place, record.timestamp)
        self.records.insert(place, record)

    def find(self, record: Record) -> int | None:
        """Give the place of this very record."""
        for place in range(bisect_left(self.keys, record.timestamp), len(self.keys)):
            if self.records[place] is record:
                return place
            if self.keys[place] != record.timestamp:
                break
        return None

    def pop(self, place: int) -> Record:
        """Take the record at a place out."""
        del self.keys[place]
        return self.records.pop(place)

    def part(self, first: int, last: int, order: int) -> list[Record]:
        """Give the records of places `[first, last)`; `order` shuffles those that share a timestamp (0: not)."""
        part = self.records[first:last]
        if order == 0 or not part or not self._has_ties(first, last):
            return part
        keys = self.keys
        place = first
        while place < last:
            begin = bisect_left(keys, keys[place], 0, place + 1)
            end = bisect_right(keys, keys[place], place)
            if end - begin > 1:
                step, shift = _stride(end - begin, order)
                for tied in range(place, min(end, last)):
                    part[tied - first] = self.records[begin + (step * (tied - begin) + shift) % (end - begin)]
            place = end
        return part

    def _has_ties(self, first: int, last: int) -> bool:
        keys = self.keys
        return (
            (first > 0 and keys[first - 1] == keys[first])
            or (last < len(keys) and keys[last] == keys[last - 1])
            or len(set(keys[first:last])) < last - first
        )


def _stride(count: int, order: int) -> tuple[int, int]:
    # i -> (step * i + shift) mod count visits every place once when step and count share no divisor.
    step = order % count or 1
    while gcd(step, count) != 1:
        step = step % count + 1
    return step, (order >> 20) % count


class Bucket:
    """The records from `low` to the next bucket's, made on first touch."""

    __slots__ = ("_filtered", "_made", "_source", "_version", "low", "size")

    def __init__(self, low: int, size: int = 0, source: Callable[[], list[Record]] | None = None) -> None:
        self.low = low
        self.size = size
        self._source = source
        self._made: Run | None = None
        self._filtered: OrderedDict[Filter, Run] = OrderedDict()
        self._version = 0

    @property
    def version(self) -> tuple[int, int]:
        """Another value after every change."""
        return self.low, self._version

    def run(self, chosen: Filter | None = None) -> Run:
        """Give the bucket's records, or those that a filter lets through."""
        if self._made is None:
            self._made = Run(self._source() if self._source else [])
            self._source = None
        if chosen is None:
            return self._made
        run = self._filtered.get(chosen)
        if run is None:
            run = self._filtered[chosen] = Run(list(filter(chosen.holds, self._made.records)))
            if len(self._filtered) > _FILTERS_A_BUCKET:
                self._filtered.popitem(last=False)
        return run

    def add(self, record: Record) -> None:
        """Put a record in its place."""
        self.run().add(record)
        for chosen, run in self._filtered.items():
            if chosen.holds(record):
                run.add(record)
        self.size += 1
        self._version += 1

    def pop(self, place: int) -> Record:
        """Take the record at a place out."""
        record = self.run().pop(place)
        for run in self._filtered.values():
            found = run.find(record)
            if found is not None:
                run.pop(found)
        self.size -= 1
        self._version += 1
        return record

    def split(self) -> Bucket | None:
        """Give about half to a new bucket behind this one; none when all share one timestamp."""
        run = self.run()
        middle = run.keys[self.size // 2]
        cut = bisect_left(run.keys, middle) or bisect_right(run.keys, middle)
        if cut == self.size:
            return None
        behind = Bucket(run.keys[cut], self.size - cut)
        behind._made = Run(run.records[cut:])
        self._made = Run(run.records[:cut])
        self.size = cut
        self._filtered.clear()
        self._version += 1
        return behind


class IdOrder:
    """The records of a range in order of their conversation id; those without one come last."""

    def __init__(self, records: Iterable[Record]) -> None:
        found = sorted(records, key=lambda record: (not record.has_conversation_id, record.id))
        self.records = found
        self.with_id = bisect_left(found, 1, key=lambda record: not record.has_conversation_id)

    def place(self, conversation_id: str, *, after: bool) -> int:
        """Give the place of the first record at or after an id, or only after it."""
        find = bisect_right if after else bisect_left
        return find(self.records, conversation_id, 0, self.with_id, key=lambda record: record.id)


class Index:
    """All visible records, in buckets of time."""

    def __init__(self, buckets: Iterable[Bucket] = ()) -> None:
        self._buckets = list(buckets) or [Bucket(0)]
        self._lows = [bucket.low for bucket in self._buckets]
        self._before: list[int] | None = None
        self._id_orders: OrderedDict[tuple[object, ...], IdOrder] = OrderedDict()

    def __len__(self) -> int:
        return self._starts()[-1]

    def __iter__(self) -> Iterator[Record]:
        for bucket in self._buckets:
            yield from bucket.run().records

    def insert(self, record: Record) -> None:
        """Show a record."""
        number = self._number(record.timestamp)
        bucket = self._buckets[number]
        bucket.add(record)
        self._before = None
        if bucket.size > SPLIT_ABOVE and (behind := bucket.split()):
            self._buckets.insert(number + 1, behind)
            self._lows.insert(number + 1, behind.low)

    def take(self, rank: int) -> Record:
        """Take out the record that stands at a rank of the whole."""
        before = self._starts()
        number = bisect_right(before, rank) - 1
        self._before = None
        return self._buckets[number].pop(rank - before[number])

    def at(self, rank: int) -> Record:
        """Give the record that stands at a rank of the whole."""
        before = self._starts()
        number = bisect_right(before, rank) - 1
        return self._buckets[number].run().records[rank - before[number]]

    def remove(self, record: Record) -> bool:
        """Take out this very record, if it is still there."""
        bucket = self._buckets[self._number(record.timestamp)]
        place = bucket.run().find(record)
        if place is None:
            return False
        bucket.pop(place)
        self._before = None
        return True

    def warm(self) -> None:
        """Make every record now."""
        for bucket in self._buckets:
            bucket.run()

    def page(
        self, chosen: Filter | None, low: int, high: int, *, start: int, size: int, descending: bool, order: int
    ) -> Page:
        """Up to `size` records of `[low, high)` from the `start`-th on; `order` shuffles ties."""
        if low >= high:
            return Page([], 0)
        first, last = self._number(low), self._number(high - 1)
        if chosen is None:
            before, base = self._starts(), 0
        else:
            sizes = (len(bucket.run(chosen).keys) for bucket in self._buckets[first : last + 1])
            before, base = list(accumulate(sizes, initial=0)), first
        begin = before[first - base] + bisect_left(self._buckets[first].run(chosen).keys, low)
        finish = before[last - base] + bisect_left(self._buckets[last].run(chosen).keys, high)
        if descending:
            place, stop = max(begin, finish - start - size), finish - start
        else:
            place, stop = begin + start, min(finish, begin + start + size)
        records: list[Record] = []
        while place < stop:
            number = bisect_right(before, place) - 1
            until = min(stop, before[number + 1])
            run = self._buckets[base + number].run(chosen)
            records += run.part(place - before[number], until - before[number], order)
            place = until
        if descending:
            records.reverse()
        return Page(records, finish - begin)

    def by_id(self, chosen: Filter | None, low: int, high: int) -> IdOrder:
        """Give the records of `[low, high)` in order of their conversation id."""
        if low >= high:
            return IdOrder([])
        buckets = self._buckets[self._number(low) : self._number(high - 1) + 1]
        name = (chosen and chosen.name, low, high, *(bucket.version for bucket in buckets))
        found = self._id_orders.get(name)
        if found is None:
            found = self._id_orders[name] = IdOrder(self._between(buckets, chosen, low, high))
            if len(self._id_orders) > _ID_ORDERS:
                self._id_orders.popitem(last=False)
        return found

    @staticmethod
    def _between(buckets: list[Bucket], chosen: Filter | None, low: int, high: int) -> Iterator[Record]:
        for bucket in buckets:
            run = bucket.run(chosen)
            yield from run.records[bisect_left(run.keys, low) : bisect_left(run.keys, high)]

    def _number(self, timestamp: int) -> int:
        return max(0, bisect_right(self._lows, timestamp) - 1)

    def _starts(self) -> list[int]:
        if self._before is None:
            self._before = list(accumulate((bucket.size for bucket in self._buckets), initial=0))
        return self._before
