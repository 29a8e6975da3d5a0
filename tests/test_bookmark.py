"""The state: where a run begins, and what may be written down when."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_genesys_search import timestamps
from tap_genesys_search.bookmark import Bookmark, Stored, fingerprint
from tap_genesys_search.errors import StateError
from tests.support.index import NOON

MINUTE = 60_000
LOOKBACK = 10 * MINUTE
HERE = "here"
#: What a run at noon wrote, whose newest record was a minute old.
STATE = {
    "replication_key": "timestamp",
    "replication_key_value": timestamps.write(NOON - MINUTE),
    "source": HERE,
    "since": "*",
    "run_start": timestamps.write(NOON),
}


def bookmark(
    state: dict[str, str] | None = None,
    *,
    source: str = HERE,
    start_date: int | None = None,
    change: str = "fail",
    lookback: int = LOOKBACK,
) -> Bookmark:
    return Bookmark(
        Stored.from_state(STATE if state is None else state),
        source=source,
        start_date=start_date,
        lookback=lookback,
        on_source_change=change,
    )


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in STATE.items() if name not in names}


class TestStart:
    """Where a run begins."""

    def test_the_first_at_the_start_date(self) -> None:
        assert bookmark({}, start_date=NOON).start == NOON
        assert bookmark({}).start == timestamps.BEGIN

    def test_later_a_lookback_before_the_previous_run(self) -> None:
        assert bookmark().start == NOON - LOOKBACK

    def test_a_killed_run_goes_on_at_its_bookmark(self) -> None:
        """What is older than the lookback had settled when that run read it."""
        state = {**STATE, "replication_key_value": timestamps.write(NOON - 100 * LOOKBACK)}
        assert bookmark(state).start == NOON - 100 * LOOKBACK

    def test_without_a_run_start_a_lookback_before_the_bookmark(self) -> None:
        assert bookmark(without("run_start")).start == NOON - MINUTE - LOOKBACK

    def test_never_before_the_start_date(self) -> None:
        state = {**STATE, "since": timestamps.write(NOON - 2 * MINUTE)}
        assert bookmark(state, start_date=NOON - 2 * MINUTE).start == NOON - 2 * MINUTE

    def test_a_start_date_after_the_bookmark_is_a_hole_that_is_told(self) -> None:
        mark = bookmark(start_date=NOON + MINUTE)
        assert mark.start == NOON + MINUTE
        assert mark.warning is not None
        assert timestamps.write(NOON - MINUTE) in mark.warning
        assert timestamps.write(NOON + MINUTE) in mark.warning

    @pytest.mark.parametrize("start", [None, NOON - MINUTE])
    def test_else_there_is_no_warning(self, start: int | None) -> None:
        assert bookmark(start_date=start).warning is None
        assert bookmark({}, start_date=start).warning is None

    def test_the_state_of_another_replication_key_counts_as_none(self) -> None:
        mark = bookmark({**STATE, "replication_key": "id"})
        assert (mark.start, mark.previous) == (timestamps.BEGIN, None)

    @pytest.mark.parametrize("name", ["replication_key_value", "run_start", "since"])
    @pytest.mark.parametrize("value", ["soon", "", 5, ["x"]])
    def test_what_is_no_date_time_is_told(self, name: str, value: object) -> None:
        state: dict[str, Any] = {**STATE, name: value}
        with pytest.raises(StateError, match=name):
            Stored.from_state(state)


class TestAdvance:
    """What is written when."""

    def test_a_first_run_after_each_page(self) -> None:
        mark = bookmark({})
        mark.begin(NOON)
        assert mark.emitted(NOON - 5 * MINUTE)
        assert mark.state() == {
            "replication_key": "timestamp",
            "replication_key_value": timestamps.write(NOON - 5 * MINUTE),
            "source": HERE,
            "since": "*",
            "run_start": timestamps.write(NOON),
        }
        assert mark.emitted(NOON - 4 * MINUTE)
        assert mark.state()["replication_key_value"] == timestamps.write(NOON - 4 * MINUTE)

    def test_no_state_without_a_bookmark(self) -> None:
        mark = bookmark({})
        mark.begin(NOON)
        assert not mark.finished(NOON)

    def test_nothing_while_it_reads_again_below_the_bookmark(self) -> None:
        mark = bookmark()
        mark.begin(NOON + 60 * MINUTE)
        assert not mark.emitted(NOON - LOOKBACK)
        assert not mark.emitted(NOON - MINUTE)

    def test_then_all_of_it_together(self) -> None:
        mark = bookmark()
        mark.begin(NOON + 60 * MINUTE)
        mark.emitted(NOON - MINUTE)
        assert mark.emitted(NOON - MINUTE + 1)
        assert mark.state()["replication_key_value"] == timestamps.write(NOON - MINUTE + 1)
        assert mark.state()["run_start"] == timestamps.write(NOON + 60 * MINUTE)

    def test_once_advanced_it_stays_so(self) -> None:
        mark = bookmark()
        mark.begin(NOON + 60 * MINUTE)
        assert mark.emitted(NOON)
        assert mark.emitted(NOON)

    def test_at_the_latest_at_the_end(self) -> None:
        mark = bookmark()
        mark.begin(NOON + 60 * MINUTE)
        mark.emitted(NOON - LOOKBACK)
        assert mark.finished(NOON + 60 * MINUTE)
        state = mark.state()
        assert state["replication_key_value"] == STATE["replication_key_value"]
        assert state["run_start"] == timestamps.write(NOON + 60 * MINUTE)

    def test_at_the_end_of_a_run_that_found_nothing(self) -> None:
        mark = bookmark()
        mark.begin(NOON + 60 * MINUTE)
        assert mark.finished(NOON + 60 * MINUTE)
        assert mark.state()["replication_key_value"] == STATE["replication_key_value"]

    @pytest.mark.parametrize("before", [0, 1, MINUTE])
    def test_not_by_a_run_that_ends_before_the_bookmark(self, before: int) -> None:
        mark = bookmark()
        mark.begin(NOON + 60 * MINUTE)
        assert not mark.finished(NOON - MINUTE - before)

    def test_never_below_the_stored_one(self) -> None:
        mark = bookmark()
        mark.begin(NOON - 30 * MINUTE)
        mark.emitted(NOON - LOOKBACK)
        mark.finished(NOON)
        assert mark.state()["replication_key_value"] == STATE["replication_key_value"]

    def test_never_after_the_start_of_the_run(self) -> None:
        mark = bookmark({})
        mark.begin(NOON)
        mark.emitted(NOON + MINUTE)
        assert mark.state()["replication_key_value"] == timestamps.write(NOON)

    def test_the_stored_one_stays_though_it_lies_after_the_start_of_the_run(self) -> None:
        """A clock that runs behind."""
        mark = bookmark()
        mark.begin(NOON - 30 * MINUTE)
        mark.emitted(NOON)
        assert mark.state()["replication_key_value"] == STATE["replication_key_value"]
        assert mark.state()["run_start"] == timestamps.write(NOON - 30 * MINUTE)

    def test_an_older_page_does_not_take_it_back(self) -> None:
        mark = bookmark({})
        mark.begin(NOON)
        mark.emitted(NOON - MINUTE)
        mark.emitted(NOON - 2 * MINUTE)
        assert mark.state()["replication_key_value"] == timestamps.write(NOON - MINUTE)

    def test_a_killed_run_is_gone_on_with_and_nothing_is_skipped(self) -> None:
        """Killed while it read again what a lookback covers, the next begins where this one began."""
        state = dict(STATE)
        for minute in range(1, 9):
            mark = bookmark(state)
            mark.begin(NOON + minute * MINUTE)
            if mark.emitted(NOON - LOOKBACK + minute):
                state = mark.state()
            assert bookmark(state).start == NOON - LOOKBACK

    def test_what_it_writes_reads_the_same(self) -> None:
        mark = bookmark({}, start_date=NOON - 90 * MINUTE)
        mark.begin(NOON)
        mark.emitted(NOON - 5 * MINUTE)
        assert Stored.from_state(mark.state()) == Stored(NOON - 5 * MINUTE, NOON, NOON - 90 * MINUTE, HERE)


class TestSource:
    """Which question the state answers."""

    @pytest.mark.parametrize("other", ["source", "since"])
    def test_a_change_fails_and_names_the_ways_out(self, other: str) -> None:
        with pytest.raises(StateError) as caught:
            self.changed(other, "fail")
        for word in ("on_source_change", "restart", "keep"):
            assert word in str(caught.value)

    @staticmethod
    def changed(other: str, change: str) -> Bookmark:
        if other == "source":
            return bookmark(source="there", change=change)
        return bookmark({**STATE, "since": timestamps.write(NOON)}, start_date=NOON - 90 * MINUTE, change=change)

    @pytest.mark.parametrize("other", ["source", "since"])
    def test_keep_goes_on_and_writes_the_present_ones(self, other: str) -> None:
        mark = self.changed(other, "keep")
        assert mark.start == NOON - LOOKBACK
        mark.begin(NOON + 60 * MINUTE)
        mark.finished(NOON + 60 * MINUTE)
        state = mark.state()
        assert state["replication_key_value"] == STATE["replication_key_value"]
        assert state["source"] == ("there" if other == "source" else HERE)
        assert state["since"] == ("*" if other == "source" else timestamps.write(NOON - 90 * MINUTE))

    @pytest.mark.parametrize("other", ["source", "since"])
    def test_restart_reads_all_again_and_replaces_all_with_the_first_page(self, other: str) -> None:
        mark = self.changed(other, "restart")
        begin = timestamps.BEGIN if other == "source" else NOON - 90 * MINUTE
        assert (mark.start, mark.previous) == (begin, None)
        mark.begin(NOON + 60 * MINUTE)
        assert mark.emitted(NOON - 80 * MINUTE)
        state = mark.state()
        assert state["replication_key_value"] == timestamps.write(NOON - 80 * MINUTE)
        assert state["source"] == ("there" if other == "source" else HERE)
        assert state["run_start"] == timestamps.write(NOON + 60 * MINUTE)
        # Killed here, it goes on, and does not begin again.
        killed = bookmark(
            state,
            source=state["source"],
            start_date=None if other == "source" else NOON - 90 * MINUTE,
            change="restart",
        )
        assert killed.start == NOON - 80 * MINUTE

    def test_restart_that_found_nothing_writes_nothing(self) -> None:
        mark = self.changed("source", "restart")
        mark.begin(NOON + 60 * MINUTE)
        assert not mark.finished(NOON + 60 * MINUTE)

    @pytest.mark.parametrize("change", ["keep", "restart"])
    def test_without_a_change_they_do_nothing(self, change: str) -> None:
        mark = bookmark(change=change)
        assert (mark.start, mark.previous) == (NOON - LOOKBACK, NOON - MINUTE)

    @pytest.mark.parametrize("missing", [("source",), ("since",), ("source", "since", "run_start")])
    def test_what_is_missing_is_accepted_and_written(self, missing: tuple[str, ...]) -> None:
        mark = bookmark(without(*missing), start_date=NOON - 90 * MINUTE if "since" in missing else None)
        mark.begin(NOON + MINUTE)
        assert mark.emitted(NOON)
        state = mark.state()
        assert state["source"] == HERE
        assert state["since"] == (timestamps.write(NOON - 90 * MINUTE) if "since" in missing else "*")

    def test_without_a_bookmark_nothing_has_changed(self) -> None:
        assert bookmark({"source": "there", "since": timestamps.write(NOON)}).start == timestamps.BEGIN

    def test_a_later_start_date_is_no_change_and_the_earliest_stays(self) -> None:
        mark = bookmark({**STATE, "since": timestamps.write(NOON - 90 * MINUTE)}, start_date=NOON - 20 * MINUTE)
        mark.begin(NOON + MINUTE)
        mark.emitted(NOON)
        assert mark.state()["since"] == timestamps.write(NOON - 90 * MINUTE)

    def test_a_hole_is_remembered_once_the_bookmark_lies_behind_it(self) -> None:
        """So whoever moves start_date back is told of it."""
        before = {**STATE, "since": timestamps.write(NOON - 90 * MINUTE)}
        mark = bookmark(before, start_date=NOON + MINUTE)
        mark.begin(NOON + 5 * MINUTE)
        assert mark.finished(NOON + 5 * MINUTE)
        # Nothing was found behind it: the next run can still read what lies between.
        assert mark.state()["since"] == before["since"]
        bookmark(mark.state(), start_date=NOON - 90 * MINUTE)
        mark.emitted(NOON + 2 * MINUTE)
        assert mark.state()["since"] == timestamps.write(NOON + MINUTE)
        assert bookmark(mark.state(), start_date=NOON + MINUTE).warning is None
        with pytest.raises(StateError, match="from which on everything was read"):
            bookmark(mark.state(), start_date=NOON - 90 * MINUTE)

    def test_dropping_the_start_date_is_one_before_since(self) -> None:
        with pytest.raises(StateError, match="from which on everything was read"):
            bookmark({**STATE, "since": timestamps.write(NOON - 90 * MINUTE)})

    def test_a_fingerprint_tells_host_port_client_and_query_and_nothing_else(self) -> None:
        same = {
            fingerprint("https://api.example.com", "client", "*"),
            fingerprint("https://api.example.com/", "client", "*"),
            fingerprint("https://API.example.com:443/other", "client", "*"),
        }
        others = {
            fingerprint("https://api.example.org", "client", "*"),
            fingerprint("https://api.example.com:8443", "client", "*"),
            fingerprint("http://api.example.com", "client", "*"),
            fingerprint("https://api.example.com", "client2", "*"),
            fingerprint("https://api.example.com", "client", "status:x"),
        }
        assert len(same) == 1
        assert len(others | same) == 6
        assert all("client" not in text and len(text) == 16 for text in others | same)

    def test_a_fingerprint_is_the_same_in_every_version(self) -> None:
        """It stands in the states of all taps that run: were it another, each would stop after its upgrade."""
        assert fingerprint("https://api.mypurecloud.de", "client", "status:completed") == "5d80d94fafcacdb8"


@settings(deadline=None)
@given(
    pages=st.lists(st.integers(-40 * MINUTE, 20 * MINUTE), max_size=8).map(sorted),
    run_start=st.integers(-40 * MINUTE, 20 * MINUTE),
    stored=st.booleans(),
    ends=st.booleans(),
)
def test_any_run(pages: list[int], run_start: int, *, stored: bool, ends: bool) -> None:
    """The bookmark never falls, and never tells of what has not been emitted."""
    mark = bookmark(STATE if stored else {})
    mark.begin(NOON + run_start)
    written: list[dict[str, str]] = []
    newest = STATE["replication_key_value"] if stored else ""
    for page in pages:
        newest = max(newest, timestamps.write(NOON + page))
        if mark.emitted(NOON + page):
            written.append(mark.state())
            assert written[-1]["replication_key_value"] <= newest
    if ends and mark.finished(NOON + run_start):
        written.append(mark.state())
        assert written[-1]["replication_key_value"] <= newest
    values = [state["replication_key_value"] for state in written]
    assert values == sorted(values)
    bound = max(timestamps.write(NOON + run_start), STATE["replication_key_value"] if stored else "")
    assert all(value <= bound for value in values)
    assert all(set(state) == set(STATE) for state in written)
