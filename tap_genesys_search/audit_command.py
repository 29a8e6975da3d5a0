"""genesys-search audit: does the warehouse hold what the source holds?"""

from __future__ import annotations

import json
import logging
import sqlite3
import sys
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from fnmatch import fnmatch
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

from tap_genesys_search import timestamps
from tap_genesys_search.audit import DAY, Audit, Day, Finding, What
from tap_genesys_search.audit_out import Out
from tap_genesys_search.audit_report import estimates, summary, table
from tap_genesys_search.audit_rows import opened
from tap_genesys_search.configuration import config_option, read_config
from tap_genesys_search.empty_pages import oldest
from tap_genesys_search.errors import ConfigurationError, ContractError, GenesysSearchError, StateError
from tap_genesys_search.explain import look_up, next_run, read_state
from tap_genesys_search.question import Axis, Question, instant_of
from tap_genesys_search.records import STREAM
from tap_genesys_search.search import ConversationSearchClient
from tap_genesys_search.search_run import SearchRun
from tap_genesys_search.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from tap_genesys_search.audit import Row
    from tap_genesys_search.audit_rows import Rows
    from tap_genesys_search.slices import Page

_EXAMPLES: Final = 5
#: With what stream maps make the warehouse's ids others than the source's.
_MAPPED: Final = ("__filter__", "id", "timestamp")

_logger: Final = logging.getLogger("genesys-search.audit")


@dataclass(slots=True)
class _Task:
    """What to compare: a range of instants (milliseconds since 1970), and where the next run begins to read."""

    settings: Settings
    client: ConversationSearchClient
    rows: Rows
    low: int
    high: int | None
    due: int | None
    look_ups: int
    out: Out
    mapped: list[str]
    #: The first ids of each fault, to be shown.
    examples: list[Finding] = field(default_factory=list)
    timeless: int = 0


@click.command("audit")
@click.argument("path", metavar="[ROWS]", default="-")
@config_option
@click.option("--state", help="The state after the last load: what the source changed since then is no fault.")
@click.option("--start", help="First moment, ISO 8601 (start_date of the configuration, or the beginning).")
@click.option("--end", help="End, exclusive, ISO 8601 (end_date of the configuration, or now).")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A CSV file that gets all ids.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--quick", is_flag=True, help="Compare counts by day only, by one search each; they are estimates.")
@click.option(
    "--look-ups",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="How many ids are asked for singly, to say what became of them.",
)
@click.option(
    "--all-days", is_flag=True, help="A line for each day, also where many without a fault follow each other."
)
def audit_command(
    path: str,
    *,
    sources: tuple[str, ...],
    state: str | None,
    start: str | None,
    end: str | None,
    out: Path | None,
    look_ups: int,
    as_json: bool,
    quick: bool,
    all_days: bool,
) -> None:
    """Compare ROWS, a warehouse's export of id,timestamp in order of time, with the source.

    ROWS is CSV or JSON lines, from a file or from a pipe (-). The exit code is 0 only if nothing is missing or stale.
    """
    findings = Out(out)
    findings.refuse(each for each in (path, state, *sources) if each is not None)
    findings.clear()
    if quick and out is not None:
        message = "--quick knows no ids: leave out --out or --quick"
        raise ConfigurationError(message)
    config = read_config(sources)
    settings = Settings.from_config(config)
    with ExitStack() as stack:
        task = _Task(
            settings,
            stack.enter_context(ConversationSearchClient.from_settings(settings)),
            stack.enter_context(opened(path)),
            instant_of(start, "--start", timestamps.BEGIN if settings.start is None else settings.start),
            instant_of(end, "--end", settings.end),
            None if state is None else _due(settings, state),
            look_ups,
            findings,
            _mapped(config.get("stream_maps")),
        )
        if task.high is not None:
            _check_range(task.low, task.high)
        try:
            report = _quick(task) if quick else _audit(task)
        except sqlite3.OperationalError as error:
            raise _out_of_room(error) from error
    lines = [json.dumps(report)] if as_json else estimates(report) if quick else table(report, all_days=all_days)
    for line in lines:
        click.echo(line)
    if not report["ok"]:
        sys.exit(1)


def _check_range(low: int, high: int) -> None:
    if high <= low:
        message = f"nothing to compare: the range ends at {timestamps.write(high)} and does not begin before"
        raise ConfigurationError(message)


def _out_of_room(error: sqlite3.OperationalError) -> GenesysSearchError:
    """Say so as a run does: a disk is no setting."""
    return GenesysSearchError(
        f"the temporary file of the audit failed, {error}; see to its disk, or set TMPDIR to a folder with more room"
    )


def _mapped(maps: object) -> list[str]:
    """What the tap's own stream maps do to ids and timestamps, or to which rows there are."""
    found: set[str] = set()
    for name, rules in maps.items() if isinstance(maps, dict) else ():
        if isinstance(rules, dict) and fnmatch(STREAM, str(rules.get("__source__", name))):
            found |= rules.keys()
    return [name for name in _MAPPED if name in found]


def _due(settings: Settings, path: str) -> int:
    """Where the next run begins to read: what lies from there on, it reads anyway."""
    stored = read_state(path)
    if stored.bookmark is None:
        message = f"the state file {path} holds no bookmark of the stream conversations: nothing has been loaded by it"
        raise StateError(message)
    following = next_run(settings, stored)
    if following.previous is None:
        message = (
            f"{following.change}, and on_source_change is restart, so the next run reads all of it again: leave out"
            " --state"
        )
        raise StateError(message)
    # What reads from the beginning reads from the first instant that has a name.
    return max(following.start, timestamps.FIRST)


def _audit(task: _Task) -> dict[str, Any]:
    """Read both sides and compare them."""
    logger = _logger
    logger.setLevel(logging.INFO if sys.stderr.isatty() else logging.WARNING)
    run = SearchRun(task.client, task.settings.query, task.low, task.high, eager=True, logger=logger, has_bar=True)
    if run.is_empty:
        message = f"nothing to compare: the range begins at {timestamps.write(task.low)}, which is not over yet"
        raise ConfigurationError(message)
    with ExitStack() as stack:
        out = stack.enter_context(task.out)
        pages = stack.enter_context(closing(cast("Generator[Page, None, None]", run.pages())))
        # The first answer fixes the range's end.
        first = next(pages, None)
        audit = stack.enter_context(Audit(task.low, run.high, task.due, task.settings.end))
        audit.merge(_rows(chain([] if first is None else [first], pages), task), task.rows)
        shown: Counter[What] = Counter()
        for finding in audit.findings(
            lambda each: look_up(task.client.http.ask, task.settings.query, each), task.look_ups
        ):
            out.write(finding)
            shown[finding.what] += 1
            if finding.what in {What.MISSING, What.STALE, What.UNKNOWN} and shown[finding.what] <= _EXAMPLES:
                task.examples.append(finding)
        return summary(
            audit,
            task.examples,
            rows=task.rows,
            timeless=task.timeless,
            searches=task.client.http.stats.searches,
            is_bounded=task.high is not None and task.high <= run.run_start,
            out=None if out.path is None else str(out.path),
            mapped=task.mapped,
        )


def _rows(pages: Iterable[Page], task: _Task) -> Iterator[Row]:
    for page in pages:
        for identity, stamp in zip(page.batch.ids, page.batch.stamps, strict=True):
            if stamp is None:
                task.timeless += 1
            else:
                yield timestamps.parse(stamp), identity


def _quick(task: _Task) -> dict[str, Any]:
    """Compare counts by day: one search for the oldest conversation, and one for each day; after an empty one again."""
    now = timestamps.from_seconds(task.client.clock.time())
    high = min(edge for edge in (now, task.high, task.due) if edge is not None)
    _check_range(task.low, high)
    held = Counter(at // DAY for at, _ in task.rows if task.low <= at < high)
    days = {day: Day(warehouse=count) for day, count in held.items()}
    query = task.settings.query
    low = task.low
    while low < high:
        # A conversation with a timestamp of 1970 must not cost a search for each day since.
        stamp = oldest(task.client.http.ask, query, low, high)
        if stamp is None:
            break
        low = max(low, stamp)
        total: int | None = 1
        while low < high and total:
            day = low // DAY
            question = Question(max(task.low, day * DAY), min(high, (day + 1) * DAY), Axis.OLDEST_FIRST, size=1)
            total = task.client.http.ask(question, query).total
            if total is None:
                message = "the API gives no totals; leave out --quick"
                raise ContractError(message)
            days.setdefault(day, Day()).source = total
            low = (day + 1) * DAY
    return {
        "quick": True,
        "start": None if task.low <= timestamps.BEGIN else timestamps.write(task.low),
        "end": timestamps.write(high),
        "days": [
            {
                "day": timestamps.write(day * DAY)[:10],
                "source_estimate": days[day].source,
                "warehouse": days[day].warehouse,
                "difference": days[day].warehouse - days[day].source,
            }
            for day in sorted(days)
        ],
        "searches": task.client.http.stats.searches,
        "ok": all(day.source <= day.warehouse for day in days.values()),
    }
