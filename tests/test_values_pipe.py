"""Odd values, from an answer's bytes through the tap and into PostgreSQL."""

from __future__ import annotations

import json
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.helpers import Database, Message, Nursery, Run, Tap, load
from tests.support.searches import serving_searches, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.support.fakes import Server

STAMP = '"timestamp":"2026-10-03T08:15:02.417Z"'
DEPTH = 5_000

#: JSON of a record's inside beside id and timestamp, by the record's id.
ODD: dict[str, str] = {
    "plain": '"type":"conversation","fields":{"channelType":"voice","status":"completed","durationSeconds":142}',
    "nothing else": '"type":null',
    "null fields": '"fields":null',
    "empty": '"fields":{}',
    "nul": r'"fields":{"note":"a\u0000b","\u0000key":"\u0000"}',
    "surrogate": r'"fields":{"note":"a\ud800b","pair":"\ud83d\ude00"}',
    "unknown keys": '"extra":{"deep":[1,{"er":null}]},"fields":{"a b":1,"c.d":2,"E":3,"":4}',
    "numbers": (
        '"fields":{"huge":123456789012345678901234567890,"big":9223372036854775808,"small":0.1000000000000000055511151,'
        '"money":1.10,"exponent":1e400,"negative":-0.0,"durationSeconds":12.5}'
    ),
    "long": f'"fields":{{"note":"{"x" * 1_000_000}"}}',
    "deep": f'"fields":{{"deep":{"[" * DEPTH}1{"]" * DEPTH}}}',
    "deep object": '"fields":' + '{"a":' * 499 + "1" + "}" * 499,
    "signs": r'"fields":{"note":"\u2028 \u0007 \" \\ / \t \n é 漢 🙂"}',
    "other kinds": '"type":5,"fields":{"channelType":7,"status":["a"],"durationSeconds":"142"}',
    "no fields": '"type":"conversation","fields":["a"]',
    "longest": f'"fields":{{"whole":{"7" * 131_072},"power":1e131071,"fine":1e-16383}}',
    "too long": f'"fields":{{"whole":{"7" * 131_073},"power":1e200000,"fine":1e-16384}}',
}

RESCUED = {
    "channelType": None,
    "status": None,
    "durationSeconds": None,
    "_rescued": {"type": 5, "channelType": 7, "status": ["a"], "durationSeconds": "142"},
}

#: Records that are odd as such, and the id and timestamp that come of them.
FORMS: list[tuple[str, tuple[str, str | None] | None]] = [
    ('{"id":"only-id","timestamp":"2026-10-03T08:15:03Z"}', ("only-id", "2026-10-03T08:15:03.000Z")),
    (
        '{"conversationId":"only-long","timestamp":"2026-10-03T08:15:04+00:00"}',
        ("only-long", "2026-10-03T08:15:04.000Z"),
    ),
    ('{"id":"zone","timestamp":"2026-10-03T10:15:05.5+02:00"}', ("zone", "2026-10-03T08:15:05.500Z")),
    ('{"id":"none","timestamp":"2026-10-03T08:15:06"}', ("none", "2026-10-03T08:15:06.000Z")),
    ('{"id":"micro","timestamp":"2026-10-03T08:15:07.123999Z"}', ("micro", "2026-10-03T08:15:07.123Z")),
    ('{"id":4711,"timestamp":"2026-10-03T08:15:08Z"}', ("4711", "2026-10-03T08:15:08.000Z")),
    ('{"id":"","conversationId":"blank","timestamp":"2026-10-03T08:15:09Z"}', ("blank", "2026-10-03T08:15:09.000Z")),
    ('{"id":"timeless"}', ("timeless", None)),
    ('{"id":"some day","timestamp":"some day"}', ("some day", None)),
    ('{"timestamp":"2026-10-03T08:15:10Z","fields":{"lost":true}}', None),
    ('{"id":"twice","timestamp":"2026-10-03T08:15:11Z"}', ("twice", "2026-10-03T08:15:11.000Z")),
    ('{"id":"twice","timestamp":"2026-10-03T08:15:11Z"}', None),
]


@contextmanager
def serving_odd(names: Iterable[str]) -> Iterator[Server]:
    """An API with one page of oddities."""
    odd = [f'{{"id":"{name}","conversationId":"{name}",{STAMP},{ODD[name]}}}' for name in names]
    page = f'{{"page":1,"total":3,"results":[{",".join([*odd, *(text for text, _ in FORMS)])}]}}'
    with serving_searches(lambda _: page.encode()) as server:
        yield server


@pytest.fixture(scope="module")
def api() -> Iterator[Server]:
    """An API with all of them."""
    with serving_odd(ODD) as server:
        yield server


@pytest.fixture(scope="module")
def run(api: Server, tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Run:
    """One run over it, which several tests look at."""
    return Tap(tmp_path_factory.mktemp("values"), nursery)(settings_for(api), env={"LOGLEVEL": "DEBUG"})


def by_id(run: Run) -> dict[str, Message]:
    """The records, with the digits of their numbers."""
    messages = [json.loads(line, parse_float=Decimal) for line in run.lines]
    found = [message["record"] for message in messages if message["type"] == "RECORD"]
    assert len({record["id"] for record in found}) == len(found)
    return {record["id"]: record for record in found}


def nested(value: Any) -> int:
    """How many lists lie in each other."""
    levels = 0
    while isinstance(value, list):
        levels, value = levels + 1, value[0]
    return levels


def test_values_come_through_the_process(run: Run) -> None:
    assert run.code == 0
    records = by_id(run)
    assert records.keys() == {*ODD, *(expected[0] for _, expected in FORMS if expected)}
    for _, expected in FORMS:
        if expected:
            identity, stamp = expected
            assert (records[identity]["conversationId"], records[identity]["timestamp"]) == (identity, stamp)
    assert records["nul"]["fields"] == {"note": "ab", "key": ""}
    assert records["surrogate"]["fields"]["note"] in {"a\ufffdb", "a?b"}
    assert records["surrogate"]["fields"]["pair"] == "😀"
    assert records["unknown keys"]["extra"] == {"deep": [1, {"er": None}]}
    assert records["unknown keys"]["fields"] == {"a b": 1, "c.d": 2, "E": 3, "": 4}
    assert records["signs"]["fields"]["note"] == '\u2028 \u0007 " \\ / \t \n é 漢 🙂'
    assert len(records["long"]["fields"]["note"]) == 1_000_000
    assert records["other kinds"]["type"] is None
    assert records["other kinds"]["fields"] == RESCUED
    assert records["no fields"]["fields"] == {"_rescued": {"fields": ["a"]}}
    # Numbers keep their digits.
    (line,) = [line for line in run.lines if '"id":"numbers"' in line]
    for digits in (
        "123456789012345678901234567890",
        "9223372036854775808",
        "0.1000000000000000055511151",
        "1.10",
        "12.5",
    ):
        assert f":{digits}," in line.replace("}", ",")
    assert records["numbers"]["fields"]["exponent"] == Decimal("1e400")


def test_what_lies_too_deep_is_carried_as_text_with_a_warning(run: Run) -> None:
    value = by_id(run)["deep"]["fields"]["deep"]
    levels = nested(value)
    for _ in range(levels):
        value = value[0]
    assert 490 <= levels <= 500
    assert value == "[" * (DEPTH - levels) + "1" + "]" * (DEPTH - levels)
    assert len([line for line in run.stderr.splitlines() if "WARNING" in line and "500 levels" in line]) == 1


def test_depth_is_no_matter_where_records_go_the_way_of_the_sdk(tap: Tap, api: Server, run: Run) -> None:
    mapped = tap(settings_for(api, stream_maps={"conversations": {"copy": "id"}}))
    assert mapped.code == 0
    records = by_id(mapped)
    assert records["deep object"]["copy"] == "deep object"
    assert {identity: record | {"copy": identity} for identity, record in by_id(run).items()} == records


def test_what_is_carried_elsewhere_is_logged_once(run: Run) -> None:
    lines = [line for line in run.stderr.splitlines() if "WARNING" in line]
    for key in ("type", "fields", "channelType", "status", "durationSeconds"):
        assert len([line for line in lines if line.endswith(f" fields._rescued.{key}")]) == 1
    assert len([line for line in lines if "131,072 digits" in line]) == 1


def test_what_cannot_be_a_row_or_has_no_time_is_logged(run: Run) -> None:
    warnings = [line for line in run.stderr.splitlines() if "WARNING" in line]
    assert any("timestamp" in line for line in warnings)
    assert any(" id" in line for line in warnings)
    assert run.bookmarks[-1]["replication_key_value"] == "2026-10-03T08:15:11.000Z"


def test_values_reach_postgres(tap: Tap, target_postgres: Path, database: Database) -> None:
    with serving_odd(ODD) as api:
        code, _ = load(tap, settings_for(api), target_postgres, database)
    assert code == 0
    forms = dict(expected for _, expected in FORMS if expected)
    assert database.table() == dict.fromkeys(ODD, "2026-10-03T08:15:02.417Z") | forms
    fields = dict(database.query("SELECT id, fields::text FROM genesys_cloud.conversations"))
    numbers = json.loads(fields["numbers"], parse_float=Decimal)
    assert numbers["huge"] == 123456789012345678901234567890
    assert str(numbers["money"]) == "1.10"
    assert json.loads(fields["nul"]) == {"note": "ab", "key": ""}
    assert len(json.loads(fields["long"])["note"]) == 1_000_000
    assert json.loads(fields["unknown keys"]) == {"a b": 1, "c.d": 2, "E": 3, "": 4}
    assert json.loads(fields["other kinds"]) == RESCUED
    longest = json.loads(fields["longest"], parse_int=Decimal, parse_float=Decimal)
    assert longest == {"whole": Decimal("7" * 131_072), "power": Decimal("1e131071"), "fine": Decimal("1e-16383")}
    assert json.loads(fields["too long"]) == {"whole": "7" * 131_073, "power": "1e200000", "fine": "1e-16384"}
