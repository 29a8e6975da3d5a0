"""The audit's command: what it says of a table, by its own report and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import pytest

from tap_genesys_search import timestamps
from tap_genesys_search.audit_report import table
from tap_genesys_search.sandbox import Faults, SandboxServer, WorldConfig
from tap_genesys_search.sandbox.records import Record
from tests.audit.auditor import GOOD, Auditor, broken
from tests.support.helpers import truth

if TYPE_CHECKING:
    from pathlib import Path


def test_a_table_that_is_right(audit: Auditor) -> None:
    """With ties and a burst that come in other orders; the days without a fault are one line."""
    done = audit(truth(audit.server))
    assert (done.code, done.stderr) == (0, "")
    *_, days, total, blank, verdict = done.stdout.splitlines()
    assert days.split() == ["2026-10-01", "to", "2026-11-19", "3,000", "3,000", "-", "-", "-", "-"]
    assert total.split() == ["total", "3,000", "3,000", "-", "-", "-", "-"]
    assert blank == ""
    assert verdict.startswith(GOOD)
    done = audit(truth(audit.server), "--all-days")
    assert len(done.stdout.splitlines()) == 3 + 50 + 3
    assert len({len(line) for line in done.stdout.splitlines()[2:-2]}) == 1


def test_a_table_that_is_broken(audit: Auditor) -> None:
    rows = truth(audit.server)
    table, (lost, old, foreign) = broken(rows)
    done = audit(table, "--out", str(audit.folder / "out.csv"))
    assert (done.code, done.stderr) == (1, "")
    assert audit.findings() == {
        lost: ["missing", rows[lost], ""],
        old: ["stale", rows[old], table[old]],
        foreign: ["unknown at the source", "", table[foreign]],
    }
    lines = done.stdout.splitlines()
    assert f"missing: {lost}  {rows[lost]}" in lines
    assert f"stale: {old}  {rows[old]}, in the warehouse of {table[old]}" in lines
    assert f"unknown at the source: {foreign}  in the warehouse of {table[foreign]}" in lines
    assert f"Read again {rows[lost][:10]}: by a run with start_date, end_date and a state of its own." in lines
    assert lines[-1].startswith("1 missing, 1 stale; 1 row of the warehouse is not in the source's range (")
    faulty = [line.split() for line in lines if line.split()[1:2] == [rows[lost][:10]]]
    assert [fields[4] for fields in faulty] == ["1"]


def test_the_same_as_json(audit: Auditor) -> None:
    rows = truth(audit.server)
    table, _ = broken(rows)
    done = audit(table, "--json")
    report = done.report
    assert done.code == 1
    assert report["ok"] is False
    assert report["total"] == {
        "source": 3_000,
        "warehouse": 3_000,
        "missing": 1,
        "stale": 1,
        "gone": 1,
        "changed_since_load": 0,
    }
    assert report["gone"] == {"moved": 0, "no_longer_matching": 0, "unknown": 1, "not_looked_up": 0}
    assert sum(day["source"] for day in report["days"]) == 3_000
    assert {example["what"] for example in report["examples"]} == {"missing", "stale", "unknown at the source"}
    assert audit(rows, "--json").report["ok"] is True


def test_a_row_of_nowhere_alone_is_named_and_no_fault(audit: Auditor) -> None:
    rows = truth(audit.server)
    done = audit(rows | {"foreign": "2026-10-09T01:02:03.004Z"})
    assert done.code == 0
    *_, example, blank, verdict = done.stdout.splitlines()
    assert (example, blank) == ("unknown at the source: foreign  in the warehouse of 2026-10-09T01:02:03.004Z", "")
    assert verdict.startswith(f"{GOOD}; 1 row of the warehouse is not in the source's range (")


@pytest.mark.parametrize(
    ("maps", "said"),
    [
        ({"conversations": {"__filter__": "status == 'x'", "fields": None}}, "stream_maps has __filter__: "),
        ({"conv*": {"id": "md5(id)", "timestamp": "str(timestamp)"}}, "stream_maps has id and timestamp: "),
        ({"calls": {"__source__": "conversations", "id": "md5(id)"}}, "stream_maps has id: "),
        ({"conversations": {"fields": None}, "others": {"id": "md5(id)"}}, None),
    ],
)
def test_stream_maps_are_a_reason_for_what_looks_missing(
    audit: Auditor, maps: dict[str, Any], said: str | None
) -> None:
    done = audit(truth(audit.server), stream_maps=maps)
    told = [line for line in done.stdout.splitlines() if "stream_maps" in line]
    assert done.code == 0
    assert len(told) == (said is not None)
    assert said is None or said in told[0]


def test_a_range_and_what_left_it(audit: Auditor) -> None:
    """Only the range is compared; what has its new version behind it is looked up, or may be stale."""
    rows = truth(audit.server)
    start, end = "2026-10-10T00:00:00.000Z", "2026-10-12T00:00:00.000Z"
    inside = {identity: stamp for identity, stamp in rows.items() if start <= stamp < end}
    assert inside
    done = audit(inside, "--json", "--end", end, start_date=start)
    assert (done.code, done.report["total"]["source"]) == (0, len(inside))
    moved = next(identity for identity, stamp in rows.items() if stamp > "2026-11")
    table = inside | {moved: "2026-10-11T00:00:00.000Z"}
    done = audit(table, "--start", start, "--end", end)
    assert done.code == 0
    assert "1  gone, moved: " in done.stdout
    done = audit(table, "--start", start, "--end", end, "--look-ups", "0")
    assert done.code == 1
    assert "may be stale" in done.stdout.splitlines()[-1]
    state = {"bookmarks": {"conversations": {"replication_key_value": "2026-11-20T00:00:00.000Z"}}}
    done = audit(table, "--start", start, "--end", end, "--state", audit.state(state))
    assert (done.code, done.stdout.splitlines()[-1][:18]) == (1, "0 missing, 1 stale")
    # The whole table may be given: an old version that lies outside the range is one.
    done = audit(rows | {next(iter(inside)): "2026-10-01T00:00:00.000Z"}, "--json", "--start", start, "--end", end)
    assert (done.report["total"]["missing"], done.report["total"]["stale"]) == (0, 1)


def test_what_the_query_leaves_out_is_not_deleted(audit: Auditor) -> None:
    rows, query = truth(audit.server), "status:completed"
    matching = truth(audit.server, query)
    other = next(identity for identity in rows if identity not in matching)
    done = audit(matching | {other: rows[other]}, "--json", query=query)
    assert done.code == 0
    assert done.report["gone"] == {"moved": 0, "no_longer_matching": 1, "unknown": 0, "not_looked_up": 0}


def test_what_the_next_run_reads_is_no_fault(audit: Auditor) -> None:
    rows = truth(audit.server)
    run_start, edge = "2026-11-19T00:00:00.000Z", "2026-11-18T23:50:00.000Z"
    loaded = {identity: stamp for identity, stamp in rows.items() if stamp < edge}
    bookmark = {"replication_key_value": max(loaded.values()), "run_start": run_start}
    state = {"singer_state": {"bookmarks": {"conversations": bookmark}}}
    late = len(rows) - len(loaded)
    assert late > 20
    report = audit(loaded, "--json", "--state", audit.state(state)).report
    # The bookmark lies before the place where it would look back to, so the next run begins there.
    assert report["next_run_reads_from"] == min(bookmark["replication_key_value"], edge)
    assert (report["ok"], report["total"]["changed_since_load"]) == (True, late)
    assert audit(loaded, "--json").report["total"]["missing"] == late
    first = min(loaded, key=lambda each: loaded[each])
    del loaded[first]
    report = audit(loaded, "--json", "--state", audit.state(state)).report
    assert (report["ok"], report["total"]["missing"]) == (False, 1)


def test_a_next_run_that_reads_from_the_beginning(audit: Auditor) -> None:
    state = audit.state({"bookmarks": {"conversations": {"replication_key_value": "0001-01-01T00:00:00.000Z"}}})
    report = audit({}, "--json", "--state", state).report
    assert (report["ok"], report["next_run_reads_from"]) == (True, "0001-01-01T00:00:00.000Z")
    assert report["total"]["changed_since_load"] == len(truth(audit.server))
    done = audit({}, "--quick", "--state", state)
    assert (done.code, done.stderr) == (0, "")


def test_a_change_of_the_source_that_the_settings_accept(audit: Auditor) -> None:
    """Kept, the state says where the next run begins; to restart means that it says nothing."""
    rows = truth(audit.server)
    entry = {"replication_key_value": "2026-11-18T00:00:00.000Z", "source": "another"}
    path = audit.state({"bookmarks": {"conversations": entry}})
    loaded = {identity: stamp for identity, stamp in rows.items() if stamp < "2026-11-18"}
    done = audit(loaded, "--json", "--state", path, on_source_change="keep")
    assert (done.code, done.report["total"]["changed_since_load"]) == (0, len(rows) - len(loaded))
    done = audit(loaded, "--json", "--state", path, on_source_change="restart")
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.endswith("so the next run reads all of it again: leave out --state\n")


def test_what_lies_behind_end_date_no_run_reads(audit: Auditor) -> None:
    rows = truth(audit.server)
    entry = {"replication_key_value": "2026-10-09T00:00:00.000Z", "run_start": "2026-10-12T00:00:00.000Z"}
    path = audit.state({"bookmarks": {"conversations": entry}})
    loaded = {identity: stamp for identity, stamp in rows.items() if stamp < "2026-10-10"}
    done = audit(loaded, "--json", "--state", path, "--end", "2026-11-20", "--look-ups", "0", end_date="2026-10-10")
    assert done.code == 1
    assert done.report["total"]["missing"] == len(rows) - len(loaded)


def test_rows_without_a_timestamp_are_told(audit: Auditor) -> None:
    stamped = sorted((stamp, identity) for identity, stamp in truth(audit.server).items())
    done = audit("x,\n" + "".join(f"{identity},{stamp}\n" for stamp, identity in stamped))
    assert done.code == 0
    assert "1  without a timestamp, on no day" in done.stdout


def test_a_terminal_does_not_obey_an_id(audit: Auditor) -> None:
    done = audit(truth(audit.server) | {"\x1b[2Jred\u202e": "2026-10-09T01:02:03.004Z"})
    assert "\x1b[2J" not in done.stdout
    assert "unknown at the source: \\x1b[2Jred\\u202e  in the warehouse" in done.stdout


def test_a_quick_look(audit: Auditor) -> None:
    rows = truth(audit.server)
    audit.server.reset_stats()
    done = audit(rows, "--quick", "--start", "2026-10-10", "--end", "2026-10-20T12:00:00Z")
    assert done.code == 0
    assert "estimates" in done.stdout
    assert audit.server.stats["searches"] == 12
    assert audit.server.stats["records_served"] <= 12
    lost = next(identity for identity, stamp in rows.items() if stamp.startswith("2026-10-15"))
    del rows[lost]
    done = audit(rows, "--quick", "--json", "--start", "2026-10-10", "--end", "2026-10-20T12:00:00Z")
    assert done.code == 1
    assert {day["day"]: day["difference"] for day in done.report["days"] if day["difference"]} == {"2026-10-15": -1}
    assert audit(rows, "--quick").stdout.splitlines()[-1].startswith("1 day seems to lack rows")


def test_a_quick_look_skips_years_without_a_conversation(tmp_path: Path) -> None:
    """One with a timestamp of 1970 does not cost a search for each day since."""
    world = WorldConfig(conversations=40, start="2026-11-01", end="2026-11-03", bursts=(("2026-11-02T12:00:00Z", 7),))
    with SandboxServer(world, Faults(total_noise=0, p_empty_with_token=0.2)) as server:
        server.world.index.insert(Record("old", 0, b'{"id":"old","timestamp":"1970-01-01T00:00:00.000Z"}', 1, 0, 0))
        audit = Auditor(tmp_path, server)
        report = audit(truth(server), "--quick", "--json", "--end", "2026-11-04", "--start", "1969-01-01").report
        assert {day["day"]: day["source_estimate"] for day in report["days"] if day["source_estimate"]} == {
            day: sum(stamp.startswith(day) for stamp in truth(server).values())
            for day in ("1970-01-01", "2026-11-01", "2026-11-02")
        }
        assert report["searches"] < 30
        # The first instant of 1970 is a moment like any other.
        report = audit("", "--json", "--start", "1970-01-01", "--look-ups", "0").report
        assert report["start"] == "1970-01-01T00:00:00.000Z"


def test_an_export_in_a_file(audit: Auditor) -> None:
    path = audit.folder / "rows.jsonl"
    rows = sorted((stamp, identity) for identity, stamp in truth(audit.server).items())
    path.write_text("".join(json.dumps({"id": identity, "timestamp": stamp}) + "\n" for stamp, identity in rows))
    done = audit("", str(path), "--json")
    assert (done.code, done.report["warehouse_rows"]) == (0, len(rows))
    path.write_text(path.read_text().partition("\n")[2])
    assert audit("", str(path)).code == 1


def test_an_empty_export_and_another_time_zone_are_told(audit: Auditor) -> None:
    assert "holds no row at all" in audit("", "--look-ups", "3").stdout
    hours = 4 * 3_600_000
    moved = {key: timestamps.write(timestamps.parse(stamp) - hours) for key, stamp in truth(audit.server).items()}
    assert "is the export in UTC?" in audit(moved, "--look-ups", "3").stdout


def test_days_without_a_fault_are_folded_with_their_sums() -> None:
    """Where there are many; the day with a fault keeps its line, and so do two between faults."""
    days = [f"2026-{9 + number // 30:02}-{number % 30 + 1:02}" for number in range(60)]
    faulty = {days[20], days[23]}
    counts = [
        {"day": day, "source": 5, "warehouse": 4, "missing": int(day in faulty), "stale": 0, "gone": 0}
        | {"changed_since_load": 0}
        for day in days
    ]
    report: dict[str, Any] = {
        "start": None,
        "end": "2026-10-31T00:00:00.000Z",
        "next_run_reads_from": None,
        "days": counts,
        "total": {"source": 300, "warehouse": 240, "missing": 2, "stale": 0, "gone": 0, "changed_since_load": 0},
        "gone": {"moved": 0, "no_longer_matching": 0, "unknown": 0, "not_looked_up": 0},
        "newer_in_the_warehouse": 0,
        "twice_in_the_warehouse": 0,
        "warehouse_rows": 240,
        "warehouse_rows_outside_the_range": 0,
        "without_timestamp": {"source": 0, "warehouse": 0},
        "all_differ_by_a_time_zone": False,
        "examples": [],
        "searches": 1,
        "out": None,
        "stream_maps": [],
        "unproven": 0,
        "ok": False,
    }
    lines = [click.unstyle(line).split() for line in table(report, all_days=False)[3:10]]
    assert [line[:-6] for line in lines] == [
        ["2026-09-01", "to", "2026-09-20"],
        ["Mon", "2026-09-21"],
        ["Tue", "2026-09-22"],
        ["Wed", "2026-09-23"],
        ["Thu", "2026-09-24"],
        ["2026-09-25", "to", "2026-10-30"],
        ["total"],
    ]
    assert [line[-6] for line in lines] == ["100", "5", "5", "5", "5", "180", "300"]
