"""What an audit found: as one JSON object, and as a table made of that."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final

import click

from tap_genesys_search import timestamps
from tap_genesys_search.audit import DAY, What

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_genesys_search.audit import Audit, Day, Finding
    from tap_genesys_search.audit_rows import Rows

_COLUMNS: Final = ("source", "warehouse", "missing", "stale", "gone", "changed_since_load")
_TITLES: Final = ("day (UTC)", "source", "warehouse", "missing", "stale", "gone", "since load")
_FAULTS: Final = ("missing", "stale")
_ALL_SHOWN: Final = 40
_DAYS_NAMED: Final = 7
_FOLDED: Final = 3
_GONE: Final = {
    "moved": What.MOVED,
    "no_longer_matching": What.NOT_MATCHING,
    "unknown": What.UNKNOWN,
    "not_looked_up": What.NOT_LOOKED_UP,
}


def summary(
    audit: Audit,
    examples: list[Finding],
    *,
    rows: Rows,
    timeless: int,
    searches: int,
    is_bounded: bool,
    out: str | None,
    mapped: list[str],
) -> dict[str, Any]:
    """Put everything but the ids into one object for JSON.

    Args:
        audit: Taken to its end.
        examples: Some faults, to be shown.
        rows: The warehouse's.
        timeless: Conversations of the source without a timestamp.
        searches: What it cost.
        is_bounded: Whether the range ends before the present: then a newer version may lie behind it, and an id that
            was not looked up may be stale.
        out: The file that has all ids.
        mapped: What stream maps do that makes the warehouse's ids others than the source's.
    """
    total = audit.total
    unproven = total.found[What.NOT_LOOKED_UP] if is_bounded else 0
    return {
        "start": None if audit.low <= timestamps.BEGIN else timestamps.write(audit.low),
        "end": timestamps.write(audit.high),
        "next_run_reads_from": None if audit.due is None else timestamps.write(audit.due),
        "days": [{"day": timestamps.write(day * DAY)[:10], **_counts(audit.days[day])} for day in sorted(audit.days)],
        "total": _counts(total),
        "gone": {name: total.found[what] for name, what in _GONE.items()},
        "newer_in_the_warehouse": total.found[What.NEWER],
        "twice_in_the_warehouse": total.found[What.DOUBLE],
        "warehouse_rows": rows.count,
        "warehouse_rows_outside_the_range": audit.outside,
        "without_timestamp": {"source": timeless, "warehouse": rows.timeless},
        "all_differ_by_a_time_zone": audit.shifted,
        "examples": [
            {
                "id": finding.id,
                "what": finding.what.value,
                "source": None if finding.source is None else timestamps.write(finding.source),
                "warehouse": None if finding.warehouse is None else timestamps.write(finding.warehouse),
            }
            for finding in examples
        ],
        "searches": searches,
        "out": out,
        "stream_maps": mapped,
        "unproven": unproven,
        "ok": not (total.found[What.MISSING] or total.found[What.STALE] or unproven),
    }


def _counts(day: Day) -> dict[str, int]:
    found = (day.found[What.MISSING], day.found[What.STALE], day.gone, day.found[What.SINCE_LOAD])
    return dict(zip(_COLUMNS, (day.source, day.warehouse, *found), strict=True))


def table(report: dict[str, Any], *, all_days: bool) -> list[str]:
    """Write a report for people: a line for each day, what it means, and the verdict last."""
    days = [(_day(each["day"]), each) for each in report["days"]]
    fold = len(days) > _ALL_SHOWN and not all_days
    lines = [(name, [each[column] for column in _COLUMNS]) for name, each in (_folded(days) if fold else days)]
    lines.append(("total", [report["total"][column] for column in _COLUMNS]))
    return [
        f"Conversations by day, from {report['start'] or 'the beginning'} to {report['end']}",
        "",
        *_aligned(_TITLES, lines, red=_COLUMNS.index("missing")),
        "",
        *_paragraph(_notes(report)),
        *_paragraph(_examples(report)),
        *_paragraph(_remedy(report)),
        _verdict(report),
    ]


def _paragraph(lines: Iterable[str]) -> list[str]:
    """Put a blank line behind some lines, if there are any."""
    return [*shown, ""] if (shown := list(lines)) else []


def _folded(days: Sequence[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Put days without a fault that follow each other into one line."""
    quiet: list[tuple[str, dict[str, Any]]] = []
    for name, day in [*days, ("", None)]:
        if day is not None and not any(day[column] for column in (*_FAULTS, "gone")):
            quiet.append((name, day))
            continue
        if len(quiet) < _FOLDED:
            yield from quiet
        else:
            sums = {column: sum(each[column] for _, each in quiet) for column in _COLUMNS}
            yield f"{quiet[0][1]['day']} to {quiet[-1][1]['day']}", sums
        quiet = []
        if day is not None:
            yield name, day


def _day(text: str) -> str:
    return f"{date.fromisoformat(text):%a} {text}"


def _aligned(titles: Sequence[str], lines: Sequence[tuple[str, list[int]]], red: int) -> list[str]:
    """Align the lines below their titles; from the column `red` on zeros are dashes, and two columns are faults."""
    cells = [
        (name, [f"{n:,}" if n or column < red else "-" for column, n in enumerate(numbers)]) for name, numbers in lines
    ]
    first = max(len(titles[0]), *(len(name) for name, _ in cells))
    widths = [max(len(title), *(len(row[i]) for _, row in cells)) for i, title in enumerate(titles[1:])]
    shown = ["  ".join([titles[0].ljust(first), *(t.rjust(w) for t, w in zip(titles[1:], widths, strict=True))])]
    for name, row in cells:
        padded = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        padded[red : red + 2] = [
            cell if cell.endswith("-") else click.style(cell, fg="red", bold=True) for cell in padded[red : red + 2]
        ]
        shown.append("  ".join([name.ljust(first), *padded]))
    return shown


def _notes(report: dict[str, Any]) -> Iterator[str]:
    """Say what the numbers mean, where they are not zero."""
    total, gone = report["total"], report["gone"]
    notes: list[tuple[int, str]] = [
        (total["missing"], "missing: the source has them, the warehouse has not"),
        (total["stale"], "stale: the warehouse has an older version"),
        (gone["moved"], "gone, moved: the source has them after the range now"),
        (gone["no_longer_matching"], "gone, no longer matching: the source has them, the query leaves them out"),
        (gone["unknown"], "gone, unknown: in the warehouse only; the source has no such id (deleted, or never there)"),
        (gone["not_looked_up"], "gone, not looked up: --look-ups were used up"),
        (total["changed_since_load"], f"since load: the next run reads them ({_from(report)})"),
        (report["newer_in_the_warehouse"], "newer in the warehouse than in the source"),
        (
            report["twice_in_the_warehouse"],
            "older or equal rows of ids that the warehouse has twice: export one row an id",
        ),
        (report["warehouse_rows_outside_the_range"], "rows of the warehouse outside the range, not compared"),
        (sum(report["without_timestamp"].values()), "without a timestamp, on no day"),
    ]
    shown = [(f"{count:,}", text) for count, text in notes if count]
    width = max((len(count) for count, _ in shown), default=0)
    yield from (f"{count.rjust(width)}  {text}" for count, text in shown)
    if total["stale"] or total["changed_since_load"]:
        yield "What changed counts in its old place in the warehouse, and in its new place everywhere else."
    if report["stream_maps"]:
        which = " and ".join(report["stream_maps"])
        yield f"The setting stream_maps has {which}: what it drops looks missing here, and what it renames unknown."
    if report["warehouse_rows"] == 0:
        yield "The export holds no row at all: did the command before the pipe fail?"
    if report["all_differ_by_a_time_zone"]:
        yield "All timestamps that differ do so by whole quarters of an hour: is the export in UTC?"


def _from(report: dict[str, Any]) -> str:
    edge = report["next_run_reads_from"]
    return "changed while this was read" if edge is None else f"from {edge} on"


def _examples(report: dict[str, Any]) -> Iterator[str]:
    for each in report["examples"]:
        held = f"in the warehouse of {each['warehouse']}" if each["warehouse"] else ""
        # Whatever a row may hold, a terminal must not obey it.
        identity = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in each["id"])
        yield f"{each['what']}: {identity}  {', '.join(filter(None, (each['source'], held)))}"
    told = sum(report["total"][name] for name in _FAULTS) + report["gone"]["unknown"]
    if told > len(report["examples"]):
        yield f"(and more: {report['out'] or '--out FILE'} has all ids)"


def _remedy(report: dict[str, Any]) -> Iterator[str]:
    """Name the days to read again."""
    days = [each["day"] for each in report["days"] if any(each[name] for name in _FAULTS)]
    if days:
        more = f" and {len(days) - _DAYS_NAMED:,} more" if len(days) > _DAYS_NAMED else ""
        named = ", ".join(days[:_DAYS_NAMED])
        yield f"Read again {named}{more}: by a run with start_date, end_date and a state of its own."


def _verdict(report: dict[str, Any]) -> str:
    cost = f"({report['searches']:,} searches)"
    gone = report["total"]["gone"]
    rows = "row of the warehouse is" if gone == 1 else "rows of the warehouse are"
    only = f"; {gone:,} {rows} not in the source's range" if gone else ""
    if report["ok"]:
        return click.style(f"Nothing is missing or stale{only} {cost}.", fg="green")
    if not any(report["total"][name] for name in _FAULTS):
        unproven = f"{report['unproven']:,} ids were not looked up and may be stale: raise --look-ups {cost}."
        return click.style(unproven, fg="red", bold=True)
    text = ", ".join(f"{report['total'][name]:,} {name}" for name in _FAULTS)
    return click.style(f"{text}{only} {cost}.", fg="red", bold=True)


def estimates(report: dict[str, Any]) -> list[str]:
    """Write the counts of a quick look for people."""
    columns = ("source_estimate", "warehouse", "difference")
    lines = [(_day(each["day"]), [each[column] for column in columns]) for each in report["days"]]
    lines.append(("total", [sum(numbers) for numbers in _columns([row for _, row in lines], len(columns))]))
    short = sum(1 for each in report["days"] if each["difference"] < 0)
    which = "No day seems" if report["ok"] else "1 day seems" if short == 1 else f"{short:,} days seem"
    return [
        f"Conversations by day, from {report['start'] or 'the beginning'} to {report['end']}",
        "",
        *_aligned(("day (UTC)", "source, about", "warehouse", "difference"), lines, red=len(columns)),
        "",
        "The source's totals are estimates of the API; without --quick every id is compared.",
        click.style(
            f"{which} to lack rows in the warehouse ({report['searches']:,} searches).",
            fg="green" if report["ok"] else "red",
        ),
    ]


def _columns(rows: Sequence[Sequence[int]], width: int) -> Iterable[Iterable[int]]:
    return [[row[i] for row in rows] for i in range(width)]
