"""Runs whose start_date moves, with kills and late records: what was not read is read by a later run, or told."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from tap_genesys_search.bookmark import Bookmark, Stored
from tap_genesys_search.errors import StateError

MINUTE = 60_000
BEGIN = 1_790_812_800_000
LOOKBACK = 10


@dataclass
class History:
    """A stream's state, and what all runs have read; minutes since BEGIN."""

    #: Of each record its timestamp, and how much later it shows.
    records: list[tuple[int, int]]
    state: dict[str, str] = field(default_factory=dict)
    read: set[int] = field(default_factory=set)

    def run(self, now: int, start_date: int | None, killed_after: int | None = None) -> None:
        """Run the tap.

        Raises:
            StateError: It refuses to go on.
        """
        mark = Bookmark(
            Stored.from_state(self.state),
            source="s",
            start_date=None if start_date is None else BEGIN + start_date * MINUTE,
            lookback=LOOKBACK * MINUTE,
            on_source_change="fail",
        )
        mark.begin(BEGIN + now * MINUTE)
        low = (mark.start - BEGIN) / MINUTE
        seen = sorted(
            (stamp, number) for number, (stamp, late) in enumerate(self.records) if low <= stamp < now >= stamp + late
        )
        # All that share an instant are one page.
        stamps = sorted({stamp for stamp, _ in seen})
        for stamp in stamps[:killed_after]:
            self.read |= {number for at, number in seen if at == stamp}
            if mark.emitted(BEGIN + stamp * MINUTE):
                self.state = mark.state()
        if killed_after is None and mark.finished(BEGIN + now * MINUTE):
            self.state = mark.state()


MOMENTS = st.integers(0, 120)


@settings(deadline=None, max_examples=500)
@given(
    records=st.lists(st.tuples(MOMENTS, st.integers(0, LOOKBACK - 1)), min_size=1, max_size=12),
    runs=st.lists(
        st.tuples(st.integers(1, 30), st.none() | MOMENTS, st.none() | st.integers(0, 3)), min_size=1, max_size=6
    ),
)
def test_a_start_date_that_moves_hides_nothing(
    records: list[tuple[int, int]], runs: list[tuple[int, int | None, int | None]]
) -> None:
    """The last run is without one: it reads what no other has, or says that there is a hole."""
    history, now = History(records), 0
    for gap, start_date, killed_after in runs:
        now += gap
        try:
            history.run(now, start_date, killed_after)
        except StateError:
            continue
    now = 150
    try:
        history.run(now, None)
    except StateError:
        return
    assert history.read == set(range(len(records)))
