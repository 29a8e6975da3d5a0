"""What a backfill will be."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tap_genesys_search import timestamps
from tap_genesys_search.errors import ConfigurationError, ContractError
from tap_genesys_search.plan import MOST_BARS, Bar, Plan, Unit, drawn, plan
from tap_genesys_search.records import Answer
from tap_genesys_search.sandbox import Faults, SandboxServer, WorldConfig
from tests.support.commands import with_config
from tests.support.helpers import config_for, truth
from tests.support.searches import serving_searches, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tap_genesys_search.question import Question
    from tests.support.terminal import Done

DAYS = 20


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    """A sandbox that estimates rightly."""
    with SandboxServer(WorldConfig(conversations=2_000, days=DAYS), Faults(total_noise=0)) as running:
        yield running


def run(folder: Path, server: SandboxServer, *args: str, **settings: object) -> Done:
    """Run the command to its end."""
    return with_config("plan", folder, config_for(server, **settings), *args)


def planned(folder: Path, server: SandboxServer, *args: str, **settings: object) -> dict[str, Any]:
    """The command's JSON."""
    done = run(folder, server, "--json", *args, **settings)
    assert (done.code, done.stderr) == (0, "")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def begin(day: str, by: str) -> str:
    """The first day of a day's week or month."""
    found = date.fromisoformat(day)
    back = {"day": 0, "week": found.weekday(), "month": found.day - 1}[by]
    return (found - timedelta(days=back)).isoformat()


@pytest.mark.parametrize("by", ["day", "week", "month"])
def test_each_bar_holds_what_the_source_holds(server: SandboxServer, tmp_path: Path, by: str) -> None:
    stamps = sorted(truth(server).values())
    before = server.stats["searches"]
    document = planned(tmp_path, server, "--by", by)
    assert document["asked"] == server.stats["searches"] - before == len(document["bars"]) + 1
    assert (document["by"], document["step"], document["is_estimate"]) == (by, 1, True)
    bars = document["bars"]
    assert document["start"] == bars[0]["start"] == stamps[0]
    assert document["end"] == bars[-1]["end"] > stamps[-1]
    assert all(before["end"] == after["start"] for before, after in pairwise(bars))
    held = Counter(begin(stamp[:10], by) for stamp in stamps)
    assert {begin(bar["start"][:10], by): bar["conversations"] for bar in bars if bar["conversations"]} == held
    assert document["conversations"] == len(stamps)


def test_searches_and_minutes_follow_from_the_settings(server: SandboxServer, tmp_path: Path) -> None:
    document = planned(tmp_path, server, page_size=10, requests_per_minute=3_000)
    assert document["conversations"] == 2_000
    assert 200 < document["searches"] < 220
    assert document["requests_per_minute"] == 3_000
    assert document["minutes_at_the_limit"] == round(document["searches"] / 3_000, 1)


@pytest.mark.parametrize("allowed", [600, 1_200])
def test_the_platforms_limit_counts_where_it_is_lower(tmp_path: Path, allowed: int) -> None:
    faults = Faults(requests_per_minute=allowed, total_noise=0)
    with SandboxServer(WorldConfig(conversations=100, days=1), faults) as server:
        document = planned(tmp_path, server)
    assert allowed / 2 < document["requests_per_minute"] < allowed * 2


def test_what_is_nearly_the_setting_is_the_setting() -> None:
    assert cut("2026-01-01", "2026-02-01").rate == 5.0


def test_a_range_and_a_query_narrow_it(server: SandboxServer, tmp_path: Path) -> None:
    stamps = sorted(truth(server, "channelType:voice").values())
    low, high = stamps[50], stamps[-50]
    document = planned(tmp_path, server, "--start", low, "--end", high, query="channelType:voice")
    assert (document["start"], document["end"]) == (low, high)
    assert document["conversations"] == sum(low <= stamp < high for stamp in stamps)
    again = planned(tmp_path, server, query="channelType:voice", start_date=low, end_date=high)
    assert again == document


def test_the_picture(server: SandboxServer, tmp_path: Path) -> None:
    """It says the same as the JSON, that all is estimated, and draws the most as the longest."""
    document = planned(tmp_path, server, "--by", "day", page_size=10)
    lines = run(tmp_path, server, "--by", "day", page_size=10).stdout.splitlines()
    assert re.fullmatch(r"About 2,000 conversations match \* from \S+ to \S+\.", lines[0])
    assert f"about {document['searches']:,} searches" in lines[1]
    assert lines[-1] == f"All of these are estimates: the API's own, asked for by {document['asked']} searches."
    rows = [line.split() for line in lines[4:-2]]
    assert [(row[0], int(row[1].replace(",", "")), int(row[2])) for row in rows] == [
        (bar["start"][:10], bar["conversations"], bar["searches"]) for bar in document["bars"]
    ]
    lengths = [len(row[3]) if len(row) > 3 else 0 for row in rows]
    counts = [bar["conversations"] for bar in document["bars"]]
    assert [length for _, length in sorted(zip(counts, lengths, strict=True))] == sorted(lengths)
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize(
    ("args", "settings", "says"),
    [
        (("--start", "yesterday"), {}, "--start is 'yesterday'"),
        (("--start", "2020-02-01", "--end", "2020-01-01"), {}, "would begin at 2020-02-01.* and end before"),
        ((), {"query": "status:nowhere"}, "no conversation matches status:nowhere"),
        ((), {"query": "status:completed AND"}, "setting query"),
        ((), {"client_secret": "another"}, "client_secret"),
    ],
    ids=["no date", "back to front", "none", "no query", "secret"],
)
def test_what_is_wrong_is_one_line(
    server: SandboxServer, tmp_path: Path, args: tuple[str, ...], settings: dict[str, object], says: str
) -> None:
    done = run(tmp_path, server, *args, **settings)
    assert (done.code, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert re.search(says, line), line


def test_without_totals_there_is_no_plan(tmp_path: Path) -> None:
    row = {"id": "a", "conversationId": "a", "timestamp": "2026-10-03T00:00:00Z", "fields": {}}
    with serving_searches(lambda _: {"page": 1, "pageSize": 1, "results": [row]}) as api:
        done = with_config("plan", tmp_path, settings_for(api, end_date="2026-10-04"))
    assert done.code == 1
    assert "no totals" in done.stderr


# How the range is cut, without an API


class Api:
    """Answers as if there was a conversation in every day from a day on."""

    def __init__(self, since: str, *, empty: int = 0) -> None:
        self.since = timestamps.parse(since)
        self.empty = empty
        self.asked: list[Question] = []

    def __call__(self, question: Question, query: str) -> Answer:
        assert query == "*"
        self.asked.append(question)
        if len(self.asked) <= self.empty:
            return Answer([], [], [], token="more")
        low = max(question.low, self.since)
        total = max(0, question.high - low) // 86_400_000
        return Answer([{}], ["a"], [timestamps.write(low)], total=total, token="more")


def cut(since: str, until: str, unit: Unit | None = None, start: str | None = None) -> Plan:
    """The plan of a range."""
    low = timestamps.BEGIN if start is None else timestamps.parse(start)
    return plan(Api(since), "*", low, timestamps.parse(until), unit=unit, page_size=200, limit=5.0, rate=lambda: 4.9)


@pytest.mark.parametrize(
    ("since", "until", "unit", "step", "bars"),
    [
        ("2026-01-01", "2026-01-01T00:00:00.001Z", "day", 1, 1),
        ("2026-01-01", "2026-03-02", "day", 1, 60),
        ("2026-01-01", "2026-03-02T00:00:00.001Z", "week", 1, 10),
        ("2026-01-01", "2027-02-22", "week", 1, 60),
        ("2026-01-01", "2027-02-22T00:00:00.001Z", "month", 1, 14),
        ("2021-01-15", "2026-01-01", "month", 1, 60),
        ("2021-01-15", "2026-01-01T00:00:00.001Z", "month", 2, 31),
        ("1970-01-01", "2026-11-24", "month", 12, 57),
    ],
)
def test_the_unit_is_the_smallest_that_fits(since: str, until: str, unit: str, step: int, bars: int) -> None:
    found = cut(since, until)
    assert (found.unit, found.step, len(found.bars)) == (unit, step, bars)
    assert len(found.bars) <= MOST_BARS
    assert (found.bars[0].low, found.bars[-1].high) == (timestamps.parse(since), timestamps.parse(until))


def test_more_than_sixty_bars_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"--by day would be 61 bars, and 60 are the most"):
        cut("2026-01-01", "2026-03-03", "day")


def test_a_start_after_the_oldest_is_kept() -> None:
    assert cut("2026-01-01", "2026-02-01", start="2026-01-10T12:00:00Z").bars[0].low == timestamps.parse(
        "2026-01-10T12:00:00Z"
    )


@pytest.mark.parametrize(("empty", "fails"), [(4, False), (5, True)])
def test_empty_pages_that_promise_more_are_asked_again(*, empty: int, fails: bool) -> None:
    api = Api("2026-01-01", empty=empty)
    high = timestamps.parse("2026-01-03")
    if fails:
        with pytest.raises(ContractError, match="empty page"):
            plan(api, "*", timestamps.BEGIN, high, unit=None, page_size=200, limit=5.0, rate=lambda: 4.9)
    else:
        found = plan(api, "*", timestamps.BEGIN, high, unit=None, page_size=200, limit=5.0, rate=lambda: 4.9)
        assert found.conversations == 2


@pytest.mark.parametrize(
    ("share", "bar", "plain"),
    [(0, "", ""), (1e-9, "▏", "#"), (0.5, "█████", "#####"), (0.51, "█████▏", "######"), (1, "█" * 10, "#" * 10)],
)
def test_a_bar(share: float, bar: str, plain: str) -> None:
    assert drawn(share, 10) == bar
    assert drawn(share, 10, ascii_only=True) == plain


def test_a_picture_of_nothing() -> None:
    empty = Plan("*", 0, 1, "day", 1, [Bar(0, 1, 0)], 200, 5.0, 2)
    assert [line for line in empty.picture(40) if line.startswith("1970")] == ["1970-01-01              0         1"]
