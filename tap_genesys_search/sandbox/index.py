"""The ordered index: pages by range, direction and number, at a cost that hardly grows with the data."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from tap_genesys_search.sandbox.runs import Filter, Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_genesys_search.sandbox.records import Record

SPLIT_ABOVE = 4_096
_SELECTIONS = 8
_ID_ORDERS = 8


class Page(NamedTuple):
    """Some records of a range, in the order asked for; how many the whole range holds, and whether more follow."""

    records: list[Record]
    total: int
    more: bool


class Bucket(NamedTuple):
    """A stretch of time from `low` to the next bucket's: how many records, and what makes them."""

    low: int
    size: int = 0
    source: Callable[[], list[Record]] = list


class IdOrder:
    """The records of a range of time in order of their conversation id; those without one come last."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = sorted(records, key=_id_key)
        self.with_id = bisect_left(self.records, (True, ""), key=_id_key)

    def place(self, conversation_id: str, *, after: bool) -> int:
        """Give the place of the first record at or after an id, or only after it."""
        find = bisect_right if after else bisect_left
        return find(self.records, (False, conversation_id), key=_id_key)

    def add(self, record: Record) -> None:
        """Put a record in its place."""
        self.records.insert(bisect_left(self.records, _id_key(record), key=_id_key), record)
        self.with_id += record.has_conversation_id

    def discard(self, record: Record) -> None:
        """Take this very record out, if it is there."""
        place = bisect_left(self.records, _id_key(record), key=_id_key)
        if place < len(self.records) and self.records[place] is record:
            del self.records[place]
            self.with_id -= record.has_conversation_id


def _id_key(record: Record) -> tuple[bool, str]:
    return not record.has_conversation_id, record.id


class Index:
    """All visible records, in buckets of time."""

    def __init__(self, buckets: Iterable[Bucket] = ()) -> None:
        self._buckets = list(buckets) or [Bucket(0)]
        self._lows = [bucket.low for bucket in self._buckets]
        sizes = [bucket.size for bucket in self._buckets]
        self._all = Selection(len(sizes), lambda number: self._buckets[number].source(), sizes=sizes)
        self._selections: OrderedDict[str, Selection] = OrderedDict()
        self._id_orders: OrderedDict[tuple[str | None, int, int], tuple[Filter | None, IdOrder]] = OrderedDict()

    def __len__(self) -> int:
        return self._all.counts.before(len(self._buckets))

    def __iter__(self) -> Iterator[Record]:
        for number in range(len(self._buckets)):
            yield from self._all.run(number).records

    def insert(self, record: Record) -> None:
        """Show a record."""
        number = self._number(record.timestamp)
        keys = self._all.run(number).keys
        for selection in (self._all, *self._selections.values()):
            selection.add(number, record)
        for (_, low, high), (chosen, order) in self._id_orders.items():
            if low <= record.timestamp < high and (chosen is None or chosen.holds(record)):
                order.add(record)
        if len(keys) > SPLIT_ABOVE:
            self._split(number, keys)

    def _split(self, number: int, keys: list[int]) -> None:
        middle = keys[len(keys) // 2]
        # All that share one timestamp stay together.
        cut = bisect_left(keys, middle) or bisect_right(keys, middle)
        if cut == len(keys):
            return
        low = keys[cut]
        self._buckets.insert(number + 1, Bucket(low))
        self._lows.insert(number + 1, low)
        for selection in (self._all, *self._selections.values()):
            selection.split(number, low)

    def at(self, rank: int) -> Record:
        """Give the record that stands at a rank of the whole."""
        number, place = self._all.counts.find(rank)
        return self._all.run(number).records[place]

    def take(self, rank: int) -> Record:
        """Take out the record that stands at a rank of the whole."""
        return self._pop(*self._all.counts.find(rank))

    def remove(self, record: Record) -> bool:
        """Take out this very record, if it is still there."""
        number = self._number(record.timestamp)
        place = self._all.run(number).find(record)
        if place is None:
            return False
        self._pop(number, place)
        return True

    def _pop(self, number: int, place: int) -> Record:
        record = self._all.pop(number, place)
        for selection in self._selections.values():
            selection.discard(number, record)
        for _, order in self._id_orders.values():
            order.discard(record)
        return record

    def warm(self) -> None:
        """Make every record now."""
        for number in range(len(self._buckets)):
            self._all.run(number)

    def page(
        self,
        chosen: Filter | None,
        low: int,
        high: int,
        *,
        start: int,
        size: int,
        descending: bool,
        order: int,
        exact: bool = True,
    ) -> Page:
        """Up to `size` records of `[low, high)` from the `start`-th on; `order` shuffles ties.

        Without `exact` only those buckets are made that the page needs, and the total is an estimate from them.
        """
        if low >= high:
            return Page([], 0, more=False)
        selection = self._selection(chosen)
        first, last = self._number(low), self._number(high - 1) + 1
        # What the buckets at both ends hold outside of the range.
        under = bisect_left(selection.run(first).keys, low)
        keys = selection.run(last - 1).keys
        over = len(keys) - bisect_left(keys, high)
        least = start + size + 1 + (over if descending else under)
        left, right = selection.known(first, last, inf if exact else least, backwards=descending)
        begin = selection.counts.before(left) + under * (left == first)
        finish = selection.counts.before(right) - over * (right == last)
        if descending:
            place, stop = max(begin, finish - start - size), finish - start
        else:
            place, stop = begin + start, min(finish, begin + start + size)
        records = selection.part(place, stop, order)
        if descending:
            records.reverse()
        total = finish - begin
        more = start + len(records) < total
        if right - left < last - first:
            made, whole = self._all.between(left, right), self._all.between(first, last)
            likely = selection.between(left, right) * (whole - made) // made - (under if descending else over)
            total += max(0, likely)
        return Page(records, total, more)

    def _selection(self, chosen: Filter | None) -> Selection:
        if chosen is None:
            return self._all
        found = self._selections.get(chosen.name)
        if found is None:
            found = self._selections[chosen.name] = Selection(
                len(self._buckets),
                lambda number: list(filter(chosen.holds, self._all.run(number).records)),
                chosen.holds,
            )
            if len(self._selections) > _SELECTIONS:
                self._selections.popitem(last=False)
        self._selections.move_to_end(chosen.name)
        return found

    def by_id(self, chosen: Filter | None, low: int, high: int) -> IdOrder:
        """Give the records of `[low, high)` in order of their conversation id."""
        if low >= high:
            return IdOrder([])
        name = (chosen and chosen.name, low, high)
        if name not in self._id_orders:
            self._id_orders[name] = chosen, IdOrder(self._between(self._selection(chosen), low, high))
            if len(self._id_orders) > _ID_ORDERS:
                self._id_orders.popitem(last=False)
        self._id_orders.move_to_end(name)
        return self._id_orders[name][1]

    def _between(self, selection: Selection, low: int, high: int) -> Iterator[Record]:
        for number in range(self._number(low), self._number(high - 1) + 1):
            run = selection.run(number)
            yield from run.records[bisect_left(run.keys, low) : bisect_left(run.keys, high)]

    def _number(self, timestamp: int) -> int:
        return max(0, bisect_right(self._lows, timestamp) - 1)
