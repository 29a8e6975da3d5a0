"""The export that an audit reads: its forms, and what is wrong with a line."""

from __future__ import annotations

import io
from itertools import chain
from typing import TYPE_CHECKING

import pytest

from tap_genesys_search import timestamps
from tap_genesys_search.audit import DAY
from tap_genesys_search.audit_rows import Rows
from tap_genesys_search.errors import ConfigurationError
from tests.audit.auditor import audited

if TYPE_CHECKING:
    from pathlib import Path


FORM = """{{"id":"a","timestamp":"{a}"}}\n{{"id":"b","timestamp":"{b}"}}\n\n{{"id":"c","timestamp":"{c}"}}\n"""


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
        "\n  \n" + FORM.format(a="2026-10-03T08:15:02.417Z", b="2026-10-03 08:15:02.5", c="2026-10-03 08:15:03+00"),
        "\r\nid,timestamp\r\na,2026-10-03 08:15:02.417\r\nb,2026-10-03 08:15:02.5\r\nc,2026-10-03 08:15:03\r\n",
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
        ('\n\n{"id":"a"}\n', 3, "no text as timestamp"),
        ("\n\na,2026-10-03,x\n", 3, "3 fields and not 2"),
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
