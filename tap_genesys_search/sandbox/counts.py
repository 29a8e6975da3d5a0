"""Numbers in a row, whose sums are found without adding them up."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Counts:
    """A Fenwick tree: sums, places and changes in as many steps as the length has binary digits."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self.numbers = list(numbers)
        self._sums = [0, *self.numbers]
        for place in range(1, len(self._sums)):
            above = place + (place & -place)
            if above < len(self._sums):
                self._sums[above] += self._sums[place]

    def add(self, place: int, by: int) -> None:
        """Change one number."""
        self.numbers[place] += by
        place += 1
        while place < len(self._sums):
            self._sums[place] += by
            place += place & -place

    def before(self, place: int) -> int:
        """Give the sum of the numbers before a place."""
        found = 0
        while place:
            found += self._sums[place]
            place &= place - 1
        return found

    def find(self, rank: int) -> tuple[int, int]:
        """Give the place whose number takes the sum past a rank, and how much of the rank is left there."""
        place = 0
        step = 1 << (len(self.numbers).bit_length() - 1)
        while step:
            if place + step < len(self._sums) and self._sums[place + step] <= rank:
                place += step
                rank -= self._sums[place]
            step >>= 1
        return place, rank
