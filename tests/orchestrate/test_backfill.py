"""How a backfill is cut into windows, and how it hands over to the sync."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_genesys_search.bookmark import Bookmark, Stored
from tap_genesys_search.timestamps import parse, write
from tests.orchestrate.dags import backfill, configuration

DAY = 86_400_000
#: 2026-10-01T00:00:00Z.
BEGIN = 1_790_812_800_000


# Windows


@given(
    st.integers(0, 4000 * DAY),
    st.integers(1, 900 * DAY),
    st.floats(1, 400),
    st.integers(-10 * DAY, 900 * DAY),
    st.integers(-10 * DAY, 900 * DAY),
)
def test_windows_share_their_edges_and_end_where_the_backfill_began(
    start: int, length: int, days: float, triggered: int, begun: int
) -> None:
    low = BEGIN + start
    last = low + min(length, triggered, begun)
    arguments = (write(low), write(low + length), days)
    moments = (write(low + triggered), write(low + begun))
    if last <= low:
        with pytest.raises(configuration.Failure, match="is empty"):
            backfill.windows(*arguments, not_after=moments)
        return
    found = backfill.windows(*arguments, not_after=moments)
    assert found[0]["start"] == write(low)
    assert found[-1]["end"] == write(last)
    assert [each["end"] for each in found[:-1]] == [each["start"] for each in found[1:]]
    assert all(0 < parse(each["end"]) - parse(each["start"]) <= days * DAY + 1 for each in found)


def test_too_many_windows() -> None:
    with pytest.raises(configuration.Failure, match="more than 1000 windows"):
        backfill.windows("2020-01-01", None, 1, not_after=["2026-01-01"])


def test_less_than_a_millisecond_is_no_window() -> None:
    found = backfill.windows("2026-01-01T00:00:00.000001Z", "2026-01-31T00:00:00.000900Z", 30, not_after=["2026-02-01"])
    assert found == [{"start": "2026-01-01T00:00:00.000Z", "end": "2026-01-31T00:00:00.000Z"}]
    # Nor is it a step that leads nowhere.
    assert len(backfill.windows("2026-01-01", "2026-01-01T00:00:00.003Z", 1e-10, not_after=["2026-02-01"])) == 3


def test_as_many_windows_as_can_be() -> None:
    found = backfill.windows("2026-01-01", None, 0.01, not_after=["2026-01-11"])
    assert len(found) == 1000
    assert found[-1] == {"start": "2026-01-10T23:45:36.000Z", "end": "2026-01-11T00:00:00.000Z"}


@pytest.mark.parametrize("days", [1e9, 1e300, float("inf")])
def test_a_window_of_any_length(days: float) -> None:
    assert backfill.windows("2020-01-01", None, days, not_after=["2026-01-01"]) == [
        {"start": "2020-01-01T00:00:00.000Z", "end": "2026-01-01T00:00:00.000Z"}
    ]


@pytest.mark.parametrize(
    ("days", "line"),
    [(0, "must be above 0"), (-1, "must be above 0"), (float("nan"), "must be above 0"), (1e-15, "more than 1000")],
)
def test_a_window_of_no_length(days: float, line: str) -> None:
    with pytest.raises(configuration.Failure, match=line):
        backfill.windows("2020-01-01", None, days, not_after=["2026-01-01"])


def test_a_moment_with_a_zone_is_the_same_moment() -> None:
    (found,) = backfill.windows("2026-01-01t02:00:00+02:00", "2026-01-02z", 30, not_after=["2026-01-03"])
    assert found == {"start": "2026-01-01T00:00:00.000Z", "end": "2026-01-02T00:00:00.000Z"}


@pytest.mark.parametrize("text", ["soon", "", "2026-13-01", 5])
def test_a_start_that_is_none(text: Any) -> None:
    with pytest.raises(configuration.Failure, match="is no date-time"):
        backfill.windows(text, None, 1, not_after=["2026-01-01"])


# The seam

PLAN = [
    {"start": "2026-01-01T00:00:00.000Z", "end": "2026-02-01T00:00:00.000Z"},
    {"start": "2026-02-01T00:00:00.000Z", "end": "2026-03-01T00:00:00.000Z"},
]
STARTED = "2026-03-02T00:00:00.000Z"
ONE = {"replication_key_value": "2026-01-31T10:00:00.000Z", "source": "s"}
TWO = {"replication_key_value": "2026-02-27T10:00:00.000Z", "source": "s"}


def joined(stored: dict[str, Any] | None, *bookmarks: dict[str, Any]) -> dict[str, Any]:
    state = {"bookmarks": {"conversations": stored}} if stored else {}
    found = backfill.seam(state, bookmarks, PLAN, STARTED)
    return dict(backfill.bookmark_of(found))


def test_a_seam_without_a_state() -> None:
    assert joined(None, TWO, ONE, {}) == {
        "replication_key": "timestamp",
        "replication_key_value": TWO["replication_key_value"],
        "source": "s",
        "since": PLAN[0]["start"],
        "run_start": STARTED,
    }


def test_windows_without_a_bookmark_seed_nothing() -> None:
    assert backfill.seam({"bookmarks": {"conversations": ONE}}, [{}, {}], PLAN, STARTED) is None


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        # Newer than the backfill: the bookmark stays, the run's start is the earlier one.
        (
            ("2026-03-05T00:00:00.000Z", "2026-03-05T01:00:00.000Z", "2026-02-15T00:00:00.000Z"),
            ("2026-03-05T00:00:00.000Z", STARTED, PLAN[0]["start"]),
        ),
        # An outage of the sync: it goes on from where it was.
        (
            ("2026-02-20T00:00:00.000Z", "2026-02-20T01:00:00.000Z", "2026-02-15T00:00:00.000Z"),
            (TWO["replication_key_value"], "2026-02-20T01:00:00.000Z", PLAN[0]["start"]),
        ),
        # As the SDK writes it.
        (
            ("2026-02-20T00:00:00+00:00", None, None),
            (TWO["replication_key_value"], "2026-02-20T00:00:00.000Z", PLAN[0]["start"]),
        ),
        # It reaches further back already.
        (("2026-03-05T00:00:00.000Z", STARTED, "*"), ("2026-03-05T00:00:00.000Z", STARTED, "*")),
        (
            ("2026-03-05T00:00:00.000Z", STARTED, "2025-06-01T00:00:00.000Z"),
            ("2026-03-05T00:00:00.000Z", STARTED, "2025-06-01T00:00:00.000Z"),
        ),
        # The backfill ends before the sync's beginning: what lies between was not read.
        (
            ("2026-03-05T00:00:00.000Z", STARTED, "2026-03-01T00:00:00.001Z"),
            ("2026-03-05T00:00:00.000Z", STARTED, "2026-03-01T00:00:00.001Z"),
        ),
    ],
)
def test_a_seam_with_a_state(stored: tuple[str | None, ...], expected: tuple[str, ...]) -> None:
    names = ("replication_key_value", "run_start", "since")
    old = {name: value for name, value in zip(names, stored, strict=True) if value} | {"source": "s"}
    found = joined(old, ONE, TWO)
    assert tuple(found[name] for name in names) == expected
    # Once more is the same.
    assert joined(found, ONE, TWO) == found


def test_other_streams_and_the_stored_state_stay() -> None:
    stored = {"bookmarks": {"other": {"a": 1}, "conversations": {**ONE, "b": 3}}, "more": 2}
    before = json.dumps(stored)
    found = backfill.seam(stored, [TWO], PLAN, STARTED)
    assert (found["bookmarks"]["other"], found["more"]) == ({"a": 1}, 2)
    assert found["bookmarks"]["conversations"]["b"] == 3
    assert json.dumps(stored) == before


def test_two_questions_have_no_common_bookmark() -> None:
    with pytest.raises(configuration.Failure, match="the windows were read with different settings"):
        joined(None, ONE, {**TWO, "source": "t"})
    with pytest.raises(configuration.Failure, match="the sync's state was written for another"):
        joined({**ONE, "source": "t"}, TWO)
    # A state that does not say it, and one without a bookmark, say nothing against it.
    assert joined({"replication_key_value": ONE["replication_key_value"]}, TWO)["source"] == "s"
    assert joined({"source": "t"}, TWO)["replication_key_value"] == TWO["replication_key_value"]


@given(st.data())
def test_the_next_run_reads_all_that_moved_since_the_backfill_began(data: st.DataObject) -> None:
    """By the tap's own rule, whatever the sync has had before."""
    moments = st.integers(0, 100).map(lambda hours: BEGIN + hours * DAY // 24)
    lookback = 600_000
    started = data.draw(moments)
    plan = [{"start": write(BEGIN - DAY), "end": write(started)}]
    windows = data.draw(st.lists(moments.map(lambda at: min(at, started)), min_size=1, max_size=3))
    old: dict[str, Any] = {}
    if data.draw(st.booleans()):
        run_start = data.draw(moments)
        old = {"replication_key_value": write(min(run_start, data.draw(moments))), "run_start": write(run_start)}
    state = {"bookmarks": {"conversations": old}} if old else {}
    bookmarks = [{"replication_key_value": write(at), "source": "s"} for at in windows]
    found = backfill.bookmark_of(backfill.seam(state, bookmarks, plan, write(started)))
    bookmark = Bookmark(
        Stored.from_state(found), source="s", start_date=BEGIN - DAY, lookback=lookback, on_source_change="fail"
    )
    begun = [started, *([parse(old["run_start"])] if old else [])]
    assert bookmark.start <= min(begun) - lookback
    assert bookmark.previous == max([*windows, *([parse(old["replication_key_value"])] if old else [])])


HOURS = st.integers(0, 100).map(lambda hours: BEGIN + hours * DAY // 24)


@given(read=HOURS, killed=HOURS, first=HOURS, started=HOURS, found=HOURS)
def test_the_sync_reads_what_lies_before_the_windows(
    read: int, killed: int, first: int, started: int, found: int
) -> None:
    """It may have been cut off in its own first reading, with all that is newer still to come."""
    first, found, started = sorted((first, found, started))
    began, since = max(read, killed), BEGIN - DAY
    old = {"replication_key_value": write(read), "run_start": write(began), "since": write(since), "source": "s"}
    plan = [{"start": write(first), "end": write(started)}]
    bookmarks = [{"replication_key_value": write(found), "source": "s"}]
    stored = backfill.bookmark_of(backfill.seam({"bookmarks": {"conversations": old}}, bookmarks, plan, write(started)))
    next_run = Bookmark(
        Stored.from_state(stored), source="s", start_date=since, lookback=600_000, on_source_change="fail"
    )
    if read < first:
        assert next_run.start <= read
    assert next_run.start <= min(began, started) - 600_000


SEAMED = {
    "replication_key": "timestamp",
    "replication_key_value": "2026-02-27T10:00:00.000Z",
    "source": "s",
    "since": "2026-01-01T00:00:00.000Z",
    "run_start": STARTED,
}


@pytest.mark.parametrize(
    ("orphan", "expected"),
    [
        # It began after the backfill, and has read on.
        (
            {"replication_key_value": "2026-03-05T00:00:00.000Z", "run_start": "2026-03-04T00:00:00.000Z"},
            {"replication_key_value": "2026-03-05T00:00:00.000Z", "run_start": STARTED},
        ),
        # It began before.
        (
            {"replication_key_value": "2026-02-01T00:00:00.000Z", "run_start": "2026-02-02T00:00:00.000Z"},
            {"replication_key_value": "2026-02-27T10:00:00.000Z", "run_start": "2026-02-02T00:00:00.000Z"},
        ),
        # A tap that does not write it.
        (
            {"replication_key_value": "2026-02-01T00:00:00.000Z"},
            {"replication_key_value": "2026-02-27T10:00:00.000Z", "run_start": "2026-02-01T00:00:00.000Z"},
        ),
    ],
)
def test_a_seam_that_was_written_over_holds_again(orphan: dict[str, Any], expected: dict[str, Any]) -> None:
    stored = {"bookmarks": {"other": {"a": 1}, "conversations": {**orphan, "source": "s", "since": "2026-01-20"}}}
    before = json.dumps(stored)
    found = backfill.rejoin(stored, SEAMED)
    assert found == {"bookmarks": {"other": {"a": 1}, "conversations": SEAMED | expected}}
    assert json.dumps(stored) == before
    # Once is enough.
    assert backfill.rejoin(found, SEAMED) is None


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param({}, id="begun anew"),
        pytest.param({"bookmarks": {"conversations": {"source": "s"}}}, id="no bookmark"),
        pytest.param({"bookmarks": {"conversations": {**SEAMED, "source": "t"}}}, id="another question"),
        pytest.param({"bookmarks": {"conversations": SEAMED}}, id="as the seam has left it"),
        *(
            pytest.param({"bookmarks": {"conversations": {**SEAMED, "run_start": "2026-03-04", **moved}}}, id=name)
            for name, moved in {
                "older years": {"since": "2025-01-01T00:00:00.000Z"},
                "all years": {"since": "*"},
            }.items()
        ),
        pytest.param(
            {"bookmarks": {"conversations": {**SEAMED, "replication_key_value": "2026-01-01T00:00:00.000Z"}}},
            id="a bookmark moved by hand",
        ),
    ],
)
def test_a_seam_that_nobody_has_written_over(stored: dict[str, Any]) -> None:
    assert backfill.rejoin(stored, SEAMED) is None


@pytest.mark.parametrize("since", ["*", "2025-12-01T00:00:00.000Z"])
def test_a_seam_that_reaches_further_back_holds_again(since: str) -> None:
    orphan = {**SEAMED, "since": "2026-01-01T00:00:00.000Z", "run_start": "2026-03-04T00:00:00.000Z"}
    found = backfill.rejoin({"bookmarks": {"conversations": orphan}}, {**SEAMED, "since": since})
    assert backfill.bookmark_of(found) == {**SEAMED, "since": since}
