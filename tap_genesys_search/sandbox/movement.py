"""How the world moves while it is searched: by time, and by search."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from tap_genesys_search.sandbox.checks import MOST, check_range

_MOST_AT_ONCE = 1_000_000

KINDS = ("arrive", "change", "late", "leave")


def _rate(what: str) -> float:
    return field(default=0.0, metadata={"help": what})


@dataclass
class Movement:
    """Average numbers of movements: in a second, and before each search is answered."""

    arrive_per_second: float = _rate("New conversations in a second.")
    change_per_second: float = _rate("Conversations that change (a new timestamp) in a second.")
    late_per_second: float = _rate("New conversations that the index shows late, in a second.")
    leave_per_second: float = _rate("Conversations that leave the index in a second.")
    arrive_every_search: float = _rate("New conversations at every search.")
    move_every_search: float = _rate("Conversations that change at every search.")
    late_every_search: float = _rate("New conversations that the index shows late, at every search.")
    leave_every_search: float = _rate("Conversations that leave the index at every search.")
    late_max_seconds: float = field(
        default=5.0, metadata={"help": "How late at most the index shows a late record, in seconds."}
    )
    late_in_range: bool = field(
        default=False,
        metadata={"help": "Late records appear at once, with a timestamp anywhere between the world's start and now."},
    )
    late_changes: float = field(
        default=0.0,
        metadata={"help": "Share (0 to 1) of changes that show late: until then the old version keeps its place."},
    )

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for each in fields(self):
            high = {"late_changes": 1, "late_max_seconds": MOST}.get(each.name, _MOST_AT_ONCE)
            check_range(each.name, getattr(self, each.name), 0, high)

    def by_second(self) -> tuple[float, float, float, float]:
        """Arrive, change, late, leave: each in a second."""
        return self.arrive_per_second, self.change_per_second, self.late_per_second, self.leave_per_second

    def by_search(self) -> tuple[float, float, float, float]:
        """Arrive, change, late, leave: each at a search."""
        return self.arrive_every_search, self.move_every_search, self.late_every_search, self.leave_every_search

    def stop(self) -> None:
        """Let nothing move any more."""
        for each in fields(self):
            if each.name.endswith(("_per_second", "_every_search")):
                setattr(self, each.name, 0.0)
