"""What the sandbox counts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALWAYS = ("token_requests", "searches", "pages_served", "records_served", "full_pages", "status_200", "status_429")


class Stats:
    """Counters since the start or the last reset; `world` counts movement."""

    def __init__(self, world: Mapping[str, int]) -> None:
        self._world = world
        self._in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Count from zero."""
        self._counts = Counter(dict.fromkeys(_ALWAYS, 0))
        self._world_before = dict(self._world)
        self._max_in_flight = self._in_flight

    def add(self, name: str, by: int = 1) -> None:
        """Count something."""
        self._counts[name] += by

    def begin(self) -> None:
        """Note that a request has arrived."""
        self._in_flight += 1
        self._max_in_flight = max(self._max_in_flight, self._in_flight)

    def end(self) -> None:
        """Note that a request is over."""
        self._in_flight -= 1

    def snapshot(self) -> dict[str, int]:
        """All counters by name."""
        moved = {name: count - self._world_before[name] for name, count in self._world.items()}
        return {**self._counts, **moved, "max_in_flight": self._max_in_flight}
