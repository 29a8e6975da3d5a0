"""Records in order of time, and selections of them, bucket by bucket."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import gcd
from typing import TYPE_CHECKING, NamedTuple

from tap_genesys_search.sandbox.counts import Counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tap_genesys_search.sandbox.records import Record


class Filter(NamedTuple):
    """A condition on records, with a name that stands for it in caches."""

    name: str
    holds: Callable[[Record], bool]


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

    def cut(self, key: int) -> Run:
        """Take out all from a timestamp on."""
        place = bisect_left(self.keys, key)
        behind = Run(self.records[place:])
        del self.keys[place:], self.records[place:]
        return behind

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


class Selection:
    """The records that a condition lets through: a run for each bucket, made by `make` on first touch.

    `sizes` tells how many records each bucket holds; without it, one that was never touched counts as empty.
    """

    def __init__(
        self,
        buckets: int,
        make: Callable[[int], list[Record]],
        holds: Callable[[Record], bool] = lambda _: True,
        *,
        sizes: Iterable[int] | None = None,
    ) -> None:
        self.counts = Counts([0] * buckets if sizes is None else sizes)
        self._unknown = list(range(buckets)) if sizes is None else []
        self._runs: list[Run | None] = [None] * buckets
        self._make = make
        self._holds = holds

    def run(self, number: int) -> Run:
        """Give the records of a bucket."""
        run = self._runs[number]
        if run is None:
            run = self._runs[number] = Run(self._make(number))
            place = bisect_left(self._unknown, number)
            if self._unknown[place : place + 1] == [number]:
                del self._unknown[place]
                self.counts.add(number, len(run.keys))
        return run

    def between(self, first: int, last: int) -> int:
        """Give how many records the buckets `[first, last)` hold, as far as they are known."""
        return self.counts.before(last) - self.counts.before(first)

    def known(self, first: int, last: int, least: float, *, backwards: bool) -> tuple[int, int]:
        """Make some of the buckets `[first, last)`, from one end on, until they hold so many records or are all made.

        Gives the range of those that are made.
        """
        if backwards:
            while (place := bisect_left(self._unknown, last) - 1) >= 0 and (number := self._unknown[place]) >= first:
                if self.between(number + 1, last) >= least:
                    return number + 1, last
                self.run(number)
        else:
            place = bisect_left(self._unknown, first)
            while place < len(self._unknown) and (number := self._unknown[place]) < last:
                if self.between(first, number) >= least:
                    return first, number
                self.run(number)
        return first, last

    def part(self, first: int, last: int, order: int) -> list[Record]:
        """Give the records of ranks `[first, last)`; `order` shuffles those that share a timestamp (0: not)."""
        records: list[Record] = []
        while first < last:
            number, place = self.counts.find(first)
            until = min(self.counts.numbers[number], place + last - first)
            records += self.run(number).part(place, until, order)
            first += until - place
        return records

    def add(self, number: int, record: Record) -> None:
        """Put a record into a bucket, unless that is still to be made, or the condition does not let it through."""
        run = self._runs[number]
        if run is not None and self._holds(record):
            run.add(record)
            self.counts.add(number, 1)

    def discard(self, number: int, record: Record) -> None:
        """Take this very record out of a bucket, if it is there."""
        run = self._runs[number]
        place = None if run is None else run.find(record)
        if place is not None:
            self.pop(number, place)

    def pop(self, number: int, place: int) -> Record:
        """Take the record at a place of a bucket out."""
        self.counts.add(number, -1)
        return self.run(number).pop(place)

    def split(self, number: int, low: int) -> None:
        """Move what a bucket holds from a timestamp on to a new bucket behind it."""
        run = self._runs[number]
        behind = None if run is None else run.cut(low)
        self._runs.insert(number + 1, behind)
        numbers = self.counts.numbers
        numbers[number : number + 1] = [0, 0] if run is None or behind is None else [len(run.keys), len(behind.keys)]
        self.counts = Counts(numbers)
        place = bisect_right(self._unknown, number)
        self._unknown[place:] = [number + 1] * (run is None) + [each + 1 for each in self._unknown[place:]]
