"""Odd values, from an answer's bytes through the tap and into PostgreSQL."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator  # type: ignore[import-untyped]

from tap_genesys_search.records import parse
from tap_genesys_search.tap import TapGenesysSearch
from tap_genesys_search.writer import PageMessage
from tests.fakes import serving
from tests.helpers import Database, Message, Run, Tap, load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from singer_sdk import Stream

    from tests.fakes import Handler, Server

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

    def answer(handler: Handler) -> None:
        token = b'{"access_token":"t0ken","token_type":"bearer","expires_in":3600}'
        handler.reply(body=token if handler.path == "/oauth/token" else page.encode())

    with serving(answer) as server:
        yield server


@pytest.fixture
def api() -> Iterator[Server]:
    """An API with all of them."""
    with serving_odd(ODD) as server:
        yield server


def config(api: Server, **settings: object) -> dict[str, object]:
    """Settings to read it with."""
    return {"client_id": "me", "client_secret": "s3cret", "base_url": api.url, **settings}


def by_id(run: Run) -> dict[str, Message]:
    """The records, with the digits of their numbers."""
    messages = [json.loads(line, parse_float=Decimal) for line in run.lines]
    found = [message["record"] for message in messages if message["type"] == "RECORD"]
    assert len({record["id"] for record in found}) == len(found)
    return {record["id"]: record for record in found}


def nested(value: Any) -> int:  # noqa: ANN401 - whatever JSON holds
    """How many lists lie in each other."""
    levels = 0
    while isinstance(value, list):
        levels, value = levels + 1, value[0]
    return levels


def test_values_come_through_the_process(tap: Tap, api: Server) -> None:
    run = tap(config(api))
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


def test_what_lies_too_deep_is_carried_as_text_with_a_warning(tap: Tap, api: Server) -> None:
    run = tap(config(api))
    value = by_id(run)["deep"]["fields"]["deep"]
    levels = nested(value)
    for _ in range(levels):
        value = value[0]
    assert 490 <= levels <= 500
    assert value == "[" * (DEPTH - levels) + "1" + "]" * (DEPTH - levels)
    assert len([line for line in run.stderr.splitlines() if "WARNING" in line and "500 levels" in line]) == 1


def test_depth_is_no_matter_where_records_go_the_way_of_the_sdk(tap: Tap, api: Server) -> None:
    run = tap(config(api, stream_maps={"conversations": {"copy": "id"}}))
    assert run.code == 0
    records = by_id(run)
    assert records["deep object"]["copy"] == "deep object"
    assert {identity: record | {"copy": identity} for identity, record in by_id(tap(config(api))).items()} == records


def test_what_is_carried_elsewhere_is_logged_once(tap: Tap, api: Server) -> None:
    lines = [line for line in tap(config(api)).stderr.splitlines() if "WARNING" in line]
    for key in ("type", "fields", "channelType", "status", "durationSeconds"):
        assert len([line for line in lines if line.endswith(f" fields._rescued.{key}")]) == 1
    assert len([line for line in lines if "131,072 digits" in line]) == 1


def test_what_cannot_be_a_row_or_has_no_time_is_logged(tap: Tap, api: Server) -> None:
    run = tap(config(api))
    warnings = [line for line in run.stderr.splitlines() if "WARNING" in line]
    assert any("timestamp" in line for line in warnings)
    assert any(" id" in line for line in warnings)
    assert run.bookmarks[-1]["replication_key_value"] == "2026-10-03T08:15:11.000Z"


def test_values_reach_postgres(tap: Tap, target_postgres: Path, database: Database) -> None:
    with serving_odd(ODD) as api:
        code, _ = load(tap, config(api), target_postgres, database)
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


# Any JSON: the bytes that the API may send, and what shall come of them. Neither uses what the tap does.

MAX_DEPTH = 500
#: The keys whose types the schema tells.
TYPES: dict[str, tuple[type, ...]] = {"type": (str,), "fields": (dict,)}
FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "channelType": (str,),
    "status": (str,),
    "durationSeconds": (Decimal,),
    "_rescued": (dict,),
}


def clean(text: str) -> str:
    """A string as every loader takes it."""
    return text.replace("\0", "").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Value:
    """A JSON value: how it is written, and what it becomes at a level of a record."""

    def __init__(self, written: bytes, becomes: Any = None) -> None:  # noqa: ANN401 - whatever JSON holds
        self.written = written
        self._becomes = becomes

    def at(self, level: int) -> Any:  # noqa: ANN401, ARG002
        """What it becomes."""
        return self._becomes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.written[:200]!r})"


class Text(Value):
    """A string, of what stands between its quotes."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        super().__init__(b'"' + b"".join(parts) + b'"')
        self.raw: str = json.loads(self.written.decode(errors="replace"))

    def at(self, level: int) -> str:  # noqa: ARG002
        """Clean."""
        return clean(self.raw)


class Number(Value):
    """A number, of its digits."""

    def at(self, level: int) -> Decimal | str:  # noqa: ARG002
        """The same, or as text what PostgreSQL does not hold."""
        text = self.written.decode()
        try:
            number = Decimal(text)
        except InvalidOperation:
            return text
        held = number.adjusted() < 131_072 and int(number.as_tuple().exponent) >= -16_383
        return number if held else text


class Container(Value):
    """A list or an object: deeper than the limit it is a text."""

    def at(self, level: int) -> Any:  # noqa: ANN401
        """What is in it, or the text."""
        return self.inside(level + 1) if level <= MAX_DEPTH else self.written.decode(errors="replace")

    def inside(self, level: int) -> Any:  # noqa: ANN401
        """What is in it."""
        raise NotImplementedError


class List(Container):
    """A list."""

    def __init__(self, items: list[Value]) -> None:
        super().__init__(b"[" + b",".join(item.written for item in items) + b"]")
        self._items = items

    def inside(self, level: int) -> list[Any]:
        """Item by item."""
        return [item.at(level) for item in self._items]


class Object(Container):
    """An object, whose keys may come twice, or be one another's without their NULs."""

    def __init__(self, pairs: list[tuple[Text, Value]]) -> None:
        super().__init__(b"{" + b",".join(key.written + b":" + item.written for key, item in pairs) + b"}")
        self.pairs = pairs

    def inside(self, level: int) -> dict[str, Any]:
        """Of a key that comes twice, the last counts."""
        last = {key.raw: item for key, item in self.pairs}
        return {clean(key): item.at(level) for key, item in last.items()}


class Nested(Container):
    """A value in many lists, or in many objects."""

    def __init__(self, levels: int, item: Value, *, objects: bool) -> None:
        opening, closing = (b'{"a":', b"}") if objects else (b"[", b"]")
        super().__init__(opening * levels + item.written + closing * levels)
        self._levels, self._item, self._objects = levels, item, objects
        self._sizes = len(opening), len(closing)

    def inside(self, level: int) -> Any:  # noqa: ANN401
        """Down to the limit."""
        kept = min(self._levels, MAX_DEPTH + 2 - level)
        opening, closing = (size * kept for size in self._sizes)
        text = self.written[opening : len(self.written) - closing].decode(errors="replace")
        found = text if kept < self._levels else self._item.at(level - 1 + kept)
        for _ in range(kept):
            found = {"a": found} if self._objects else [found]
        return found


def rescued(record: Message) -> Message:
    """A record where all values are of the types that the schema tells."""
    moved: Message = {}

    def sift(values: Message, types: dict[str, tuple[type, ...]]) -> Message:
        odd = {key: values[key] for key in types if values.get(key) is not None and type(values[key]) not in types[key]}
        moved.update(odd)
        return values | dict.fromkeys(odd)

    record = sift(record, TYPES)
    if record.get("fields"):
        record["fields"] = sift(record["fields"], FIELD_TYPES)
    if moved:
        fields = record.get("fields") or {}
        theirs = {} if fields.get("_rescued") is None else {"_rescued": fields["_rescued"]}
        record["fields"] = fields | {"_rescued": moved | theirs}
    return record


TEXTS = st.lists(
    st.builds(
        lambda text, ascii_only: json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode(),
        st.text(st.characters(codec="utf-8"), max_size=3),
        st.booleans(),
    )
    | st.sampled_from(
        [
            rb"\u0000",
            rb"\\u0000",
            rb"\ud800",
            rb"\udfff",
            rb"\ud83d\ude00",
            rb"\/",
            b"\xff",
            b"\xc3",
            b"\xed\xa0\x80",
            b"[{",
            b"]}",
            b"long" * 1_000,
        ]
    ),
    max_size=2,
).map(Text)
NUMBERS = (
    st.integers().map(str)
    | st.integers(-(10**40), 10**40).map(str)
    | st.decimals(allow_nan=False, allow_infinity=False).map(str)
    | st.tuples(st.integers(-9, 9), st.integers(0, 10**20), st.sampled_from("eE"), st.integers(-500, 500)).map(
        lambda parts: "{}.{}{}{:+}".format(*parts)
    )
    | st.sampled_from(
        [
            *(str(sign * 2**power + more) for sign in (1, -1) for power in (53, 63, 64) for more in (-1, 0, 1)),
            "-0",
            "-0.0",
            "0e9",
            "1e400",
            "1e999999",
            "1e131071",
            "1e131072",
            "1e-16383",
            "1e-16384",
            "1E99999999999999999999",
            "8" * 4_300,
            "8" * 4_301,
            "0." + "8" * 16_384,
            "8" * 131_073,
        ]
    )
).map(lambda text: Number(text.encode()))
PLAIN = st.sampled_from([Value(b"null"), Value(b"true", True), Value(b"false", False)])  # noqa: FBT003
KEYS = TEXTS | st.sampled_from(["", "a", r"a\u0000", "id", "status", "channelType", "durationSeconds", "_rescued"]).map(
    lambda key: Text([key.encode()])
)


def objects(values: st.SearchStrategy[Value], keys: st.SearchStrategy[Text] = KEYS) -> st.SearchStrategy[Value]:
    """Objects of such values."""
    return st.lists(st.tuples(keys, values), max_size=3).map(Object)


VALUES: st.SearchStrategy[Value] = st.recursive(
    PLAIN | NUMBERS | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3).map(List)
        | objects(inner)
        | st.builds(Nested, st.integers(1, 600), inner, objects=st.booleans())
    ),
    max_leaves=4,
)
RECORDS = objects(
    VALUES | objects(VALUES), KEYS | st.sampled_from(["type", "fields"]).map(lambda key: Text([key.encode()]))
)
IDENTITY = [(Text([key]), Text([b"c"])) for key in (b"id", b"conversationId")]
TIME = (Text([b"timestamp"]), Text([b"2026-10-03T08:15:02.417Z"]))


def answer_of(records: Sequence[Value]) -> bytes:
    """The body of an answer."""
    return b'{"page":1,"results":' + List(list(records)).written + b"}"


def strict(line: bytes) -> Any:  # noqa: ANN401
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
        written = self.stream._tap.message_writer.format_message  # noqa: SLF001
        generated = self.stream._generate_record_messages  # noqa: SLF001
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

    def answer(handler: Handler) -> None:
        token = b'{"access_token":"t0ken","token_type":"bearer","expires_in":3600}'
        handler.reply(body=token if handler.path == "/oauth/token" else answer_of(list(sent.values())))

    with serving(answer) as api:
        assert load(tap, config(api), target_postgres, database)[0] == 0
    rows = {
        identity: (kind, fields and json.loads(fields, parse_float=Decimal, parse_int=Decimal))
        for identity, kind, fields in database.query("SELECT id, type, fields::text FROM genesys_cloud.conversations")
    }
    assert len(rows) > 300
    for identity, record in sent.items():
        expected = rescued(record.at(1))
        assert rows.pop(identity) == (expected.get("type"), expected.get("fields")), record
    assert not rows
