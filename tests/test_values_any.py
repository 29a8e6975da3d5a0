"""Any value, from an answer's bytes to Singer's lines and into PostgreSQL."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator  # type: ignore[import-untyped]

from tap_genesys_search.records import parse
from tap_genesys_search.tap import TapGenesysSearch
from tap_genesys_search.writer import PageMessage
from tests.support.documents import IDENTITY, RECORDS, TIME, VALUES, Object, Text, Value, answer_of, rescued
from tests.support.helpers import Database, Message, Tap, load
from tests.support.searches import serving_searches, settings_for

if TYPE_CHECKING:
    from pathlib import Path

    from singer_sdk import Stream


def strict(line: bytes) -> Any:
    """A line as JSON, with all digits; NaN and its like are none."""
    return json.loads(line.decode(), parse_constant=pytest.fail, parse_float=Decimal, parse_int=Decimal)


@dataclass(frozen=True)
class Ways:
    """How records leave: by the fast path, and by the SDK's."""

    stream: Stream
    validator: Draft7Validator

    @classmethod
    @cache
    def with_settings(cls, **more: object) -> Ways:
        """As a tap with these settings has them."""
        tap = TapGenesysSearch(config={"client_id": "me", "client_secret": "s3cret", **more})
        stream = tap.streams["conversations"]
        schema = stream.stream_maps[0].transformed_schema
        return cls(stream, Draft7Validator(schema, format_checker=Draft7Validator.FORMAT_CHECKER))

    def fast(self, records: list[Message]) -> list[bytes]:
        """The lines of a page."""
        return PageMessage([self.stream.name] * len(records), records).encode().splitlines()

    def slow(self, records: list[Message]) -> list[bytes]:
        """The lines that the SDK writes."""
        written = self.stream._tap.message_writer.format_message
        generated = self.stream._generate_record_messages
        return [bytes(written(message)) for record in records for message in generated(record)]

    def read(self, line: bytes) -> Message:
        """The record of a line, as a target takes it."""
        message: Message = strict(line)
        assert message["type"] == "RECORD"
        # As a target reads it, which may not read longer whole numbers.
        self.validator.validate(json.loads(line, parse_float=Decimal)["record"])
        found: Message = message["record"]
        return found


ANY = settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))


@ANY
@example(records=[Object([(Text([b"fields"]), Object([(Text([b"x"]), Text([b"long" * 250_000, rb"\u0000"]))]))])])
@given(records=st.lists(RECORDS, min_size=1, max_size=3))
def test_any_value_leaves_as_singer_with_its_digits(records: list[Object]) -> None:
    sent = [Object([*record.pairs, *IDENTITY, TIME]) for record in records]
    expected = [rescued(record.at(1)) for record in sent]
    ways = Ways.with_settings()
    answer = parse(answer_of(sent))
    assert [ways.read(line) for line in ways.fast(answer.records)] == expected
    assert [ways.read(line) for line in ways.slow(answer.records)] == expected


NAMES = st.one_of(VALUES, st.sampled_from(["a", "b", "", "5"]).map(lambda text: Text([text.encode()])))
MOMENTS = NAMES | st.sampled_from(
    ["2026-10-03T08:15:02.417Z", "2026-10-03T10:15+02:00", "2026-13-03", "20261003T081502,5Z", "0001-01-01T00:00+05:00"]
).map(lambda text: Text([text.encode()]))


@ANY
@given(
    records=st.lists(st.tuples(RECORDS, NAMES, NAMES, MOMENTS), min_size=1, max_size=3),
    flattened=st.booleans(),
)
def test_so_it_does_whatever_its_names(records: list[tuple[Object, Value, Value, Value]], *, flattened: bool) -> None:
    """Ids and timestamps of any kind, and flattened too."""
    keys = [Text([key]) for key in (b"id", b"conversationId", b"timestamp")]
    answer = parse(answer_of([Object([*record.pairs, *zip(keys, names, strict=True)]) for record, *names in records]))
    named = [record for record, identity in zip(answer.records, answer.ids, strict=True) if identity is not None]
    ways = Ways.with_settings(flattening_enabled=flattened, flattening_max_depth=2)
    if not flattened:
        assert [ways.read(line)["id"] for line in ways.fast(named)] == [i for i in answer.ids if i is not None]
    assert [ways.read(line)["id"] for line in ways.slow(named)] == [i for i in answer.ids if i is not None]


def test_any_value_reaches_postgres(tap: Tap, target_postgres: Path, database: Database) -> None:
    sent: dict[str, Object] = {}

    @settings(ANY, max_examples=320, phases=[Phase.generate])
    @given(RECORDS, VALUES)
    def collect(record: Object, value: Value) -> None:
        identity = f"r{len(sent)}"
        names = [(Text([key]), Text([identity.encode()])) for key in (b"id", b"conversationId")]
        extra = (Text([b"fields"]), Object([(Text([b"any"]), value)]))
        sent[identity] = Object([*([extra] if len(sent) % 2 else []), *record.pairs, *names, TIME])

    collect()
    with serving_searches(lambda _: answer_of(list(sent.values()))) as api:
        assert load(tap, settings_for(api), target_postgres, database)[0] == 0
    rows = {
        identity: (kind, fields and json.loads(fields, parse_float=Decimal, parse_int=Decimal))
        for identity, kind, fields in database.query("SELECT id, type, fields::text FROM genesys_cloud.conversations")
    }
    assert len(rows) > 300
    for identity, record in sent.items():
        expected = rescued(record.at(1))
        assert rows.pop(identity) == (expected.get("type"), expected.get("fields")), record
    assert not rows
