"""Runs whose start_date moves, with kills and late records: what was not read is read by a later run, or told."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_genesys_search import timestamps
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
    lookback: int = LOOKBACK

    def run(self, now: int, start_date: int | None, killed_after: int | None = None) -> float:
        """Run the tap; return from when on it has read.

        Raises:
            StateError: It refuses to go on.
        """
        mark = Bookmark(
            Stored.from_state(self.state),
            source="s",
            start_date=None if start_date is None else BEGIN + start_date * MINUTE,
            lookback=self.lookback * MINUTE,
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
        return low


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


@pytest.mark.parametrize(("before", "lookback"), [(None, 10), (0, 10), (55, 10), (None, 10_000), (55, 10_000)])
def test_a_start_date_within_the_lookback_does_not_hold_the_state_for_ever(before: int | None, lookback: int) -> None:
    """Where an earlier run had begun before it, in the same place, or none had."""
    history = History([(minute, 0) for minute in range(0, 400, 3)], lookback=lookback)
    if before is not None:
        history.run(60, before)
    for now in range(65, 400, 5):
        start = history.run(now, 55)
    assert history.state["run_start"] == timestamps.write(BEGIN + 395 * MINUTE)
    assert start == max(55, 390 - lookback)
