"""An answer's bytes to records: values safe for every loader, and nothing else changed."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_genesys_search import records
from tap_genesys_search.errors import ContractError
from tap_genesys_search.records import MAX_DECIMALS, MAX_DEPTH, MAX_WHOLE_DIGITS, Answer, CutBodyError, parse

STAMP = "2026-10-03T08:15:02.417Z"


def body(record: str, rest: str = "") -> bytes:
    """The body of an answer with one record, whose members are given as JSON."""
    return (
        '{"page":1,"results":[{"id":"a","conversationId":"a","timestamp":"' + STAMP + '",' + record + "}]" + rest + "}"
    ).encode()


def value(text: str) -> Any:  # noqa: ANN401 - any JSON
    """What a JSON value inside of a record becomes."""
    return parse(body(f'"any":{text}')).records[0]["any"]


def one(record: dict[str, Any]) -> tuple[str | None, str | None, dict[str, Any]]:
    """Id, timestamp and record of an answer with one record."""
    answer = parse(json.dumps({"results": [record]}).encode())
    return answer.ids[0], answer.stamps[0], answer.records[0]


class TestEnvelope:
    """What stands around the records."""

    def test_an_answer(self) -> None:
        answer = parse(
            b'{"page":1,"pageSize":200,"total":1542,"nextPage":"eyJ=","results":[{"type":"conversation","id":"c",'
            b'"conversationId":"c","timestamp":"2026-10-03T08:15:02.417Z","fields":{"status":"completed"}}]}',
            served_at=5,
        )
        assert (answer.token, answer.more, answer.total, answer.served_at) == ("eyJ=", True, 1542, 5)
        assert (answer.ids, answer.stamps, answer.regular) == (["c"], [STAMP], True)
        assert answer.records == [
            {
                "type": "conversation",
                "id": "c",
                "conversationId": "c",
                "timestamp": STAMP,
                "fields": {"status": "completed"},
            }
        ]
        assert answer.size == 193

    @pytest.mark.parametrize(("token", "more"), [('"x"', True), ("5", True), ("0", True), ("null", False)])
    def test_more_follows_if_and_only_if_there_is_a_next_page(self, token: str, *, more: bool) -> None:
        answer = parse(f'{{"results":[],"nextPage":{token}}}'.encode())
        assert answer.more == more
        # It goes back as it came: a number as a number.
        assert answer.token == json.loads(token)

    def test_without_a_next_page_nothing_follows(self) -> None:
        assert not parse(b'{"results":[],"total":5}').more

    @pytest.mark.parametrize("token", ['""', "true", "false", "1.5", "{}", '["x"]'])
    def test_a_next_page_that_is_no_token(self, token: str) -> None:
        with pytest.raises(ContractError, match="nextPage"):
            parse(f'{{"results":[],"nextPage":{token}}}'.encode())

    @pytest.mark.parametrize(
        ("total", "told"),
        [("0", 0), ("5", 5), ("-1", None), ("null", None), ('"5"', None), ("true", None), ("1.5", None), ("{}", None)],
    )
    def test_a_total_that_is_no_number_is_none(self, total: str, told: int | None) -> None:
        assert parse(f'{{"results":[],"total":{total}}}'.encode()).total == told

    @pytest.mark.parametrize(
        "text",
        [
            "null",
            "true",
            "5",
            '"results"',
            "[]",
            "{}",
            '{"results":null}',
            '{"results":{}}',
            '{"results":"none"}',
            '{"message":"an error","status":500}',
        ],
    )
    def test_json_that_is_no_answer_of_a_search(self, text: str) -> None:
        with pytest.raises(ContractError, match="without a list of results"):
            parse(text.encode())

    @pytest.mark.parametrize("item", ["null", "5", '"x"', "[]", "true"])
    def test_a_result_that_is_no_object(self, item: str) -> None:
        with pytest.raises(ContractError, match="not a conversation"):
            parse(f'{{"results":[{{"id":"a"}},{item}]}}'.encode())

    @pytest.mark.parametrize(
        "text", [b"", b" ", b"<html><body>502</body></html>", b"OK", b"\xff\xfe", b'{"results":[]}x']
    )
    def test_what_is_no_json(self, text: bytes) -> None:
        with pytest.raises(CutBodyError, match=rf"\({len(text)} bytes\)"):
            parse(text)

    def test_a_body_cut_anywhere_is_noticed(self) -> None:
        whole = body('"fields":{"a":[1,2.5,"x\\u0000\\ud800"],"b":null}', ',"nextPage":"x"')
        parse(whole)
        for length in range(len(whole)):
            with pytest.raises(CutBodyError):
                parse(whole[:length])

    def test_a_deep_body_that_is_cut_is_noticed(self) -> None:
        whole = body(f'"fields":{"[" * 600}{"]" * 600}')
        for length in range(0, len(whole), 31):
            with pytest.raises(CutBodyError):
                parse(whole[:length])


class TestNames:
    """Ids and timestamps."""

    @pytest.mark.parametrize(
        ("record", "identity"),
        [
            ({"id": "a"}, "a"),
            ({"conversationId": "b"}, "b"),
            ({"id": None, "conversationId": "b"}, "b"),
            ({"id": "", "conversationId": "b"}, "b"),
            ({"id": "a", "conversationId": ""}, "a"),
            ({"id": 5}, "5"),
            ({"id": 0}, "0"),
            ({"id": "5", "conversationId": 5}, "5"),
            ({"id": True, "conversationId": "b"}, "b"),
            ({"id": 1.5, "conversationId": "b"}, "b"),
            ({"id": ["a"], "conversationId": "b"}, "b"),
        ],
    )
    def test_both_are_filled_with_what_there_is(self, record: dict[str, Any], identity: str) -> None:
        found, _, changed = one({**record, "timestamp": STAMP})
        assert found == changed["id"] == changed["conversationId"] == identity

    @pytest.mark.parametrize("record", [{}, {"id": None}, {"id": ""}, {"id": False, "conversationId": {}}])
    def test_without_either_there_is_none(self, record: dict[str, Any]) -> None:
        answer = parse(json.dumps({"results": [{"timestamp": STAMP, **record}]}).encode())
        assert (answer.ids, answer.regular) == ([None], False)
        assert len(answer.records) == 1

    def test_an_id_of_nothing_but_nul_is_none(self) -> None:
        assert one({"id": "\0", "timestamp": STAMP})[0] is None

    @pytest.mark.parametrize(
        ("stamp", "written"),
        [
            ("2026-10-03T10:15:02.417+02:00", STAMP),
            ("2026-10-03T08:15:02.417", STAMP),
            ("2026-10-03T08:15:02.417123Z", STAMP),
            ("2026-10-03T08:15:02.417999999Z", STAMP),
            ("2026-10-03T08:15:02Z", "2026-10-03T08:15:02.000Z"),
        ],
    )
    def test_a_timestamp_becomes_utc_in_milliseconds(self, stamp: str, written: str) -> None:
        _, found, record = one({"id": "a", "timestamp": stamp})
        assert found == record["timestamp"] == written

    @pytest.mark.parametrize(
        "stamp", [None, "", "yesterday", 1_759_479_302_417, True, {}, [STAMP], "0001-01-01T00:00:00+05:00"]
    )
    def test_one_that_cannot_be_used_is_null(self, stamp: object) -> None:
        answer = parse(json.dumps({"results": [{"id": "a", "timestamp": stamp}]}).encode())
        assert (answer.stamps, answer.regular) == ([None], False)
        assert answer.records[0]["timestamp"] is None

    def test_one_that_is_missing_is_null(self) -> None:
        assert one({"id": "a"})[2] == {"id": "a", "conversationId": "a", "timestamp": None}

    def test_one_odd_record_changes_no_other(self) -> None:
        usual = {"id": "a", "conversationId": "a", "timestamp": STAMP, "x": 1}
        answer = parse(json.dumps({"results": [usual, {"x": 2}, usual]}).encode())
        assert answer.records[0] == answer.records[2] == usual
        assert (answer.ids, answer.stamps) == (["a", None, "a"], [STAMP, None, STAMP])


class TestValues:
    """What the design changes, and what it does not."""

    @pytest.mark.parametrize(
        ("text", "clean"),
        [
            (r'"a\u0000b"', "ab"),
            (r'"\u0000"', ""),
            (r'"\\u0000"', "\\u0000"),
            (r'"\ud800"', "\N{REPLACEMENT CHARACTER}"),
            (r'"x\udc00y"', "x\N{REPLACEMENT CHARACTER}y"),
            (r'"\ud800A"', "\N{REPLACEMENT CHARACTER}A"),
            (r'"\ud83d\ude00"', "\N{GRINNING FACE}"),
            (r'"\ud83d\u0000\ude00"', "\N{GRINNING FACE}"),
            ('"\N{GRINNING FACE}"', "\N{GRINNING FACE}"),
        ],
    )
    def test_strings_are_what_every_loader_takes(self, text: str, clean: str) -> None:
        assert value(text) == clean
        assert value(f'{{"a":[{text}]}}') == {"a": [clean]}
        assert value(f'{{"k":1,{text}:2}}') == {"k": 1, clean: 2}

    def test_bytes_that_are_no_utf_8_are_replaced(self) -> None:
        answer = parse(body('"any":"x"').replace(b'"x"', b'"\xff\xc3x\xed\xa0\x80"'))
        text = answer.records[0]["any"]
        assert text.strip("\N{REPLACEMENT CHARACTER}") == "x"
        assert answer.ids == ["a"]

    @pytest.mark.parametrize(
        "text",
        [
            "0",
            "-1",
            str(2**53 + 1),
            str(2**63 - 1),
            str(2**63),
            str(-(2**63) - 1),
            str(2**64),
            "123456789012345678901234567890",
            "-123456789012345678901234567890",
            "0.10",
            "1e400",
            "-1E-400",
            "3.141592653589793238462643383279",
            "1.0",
        ],
    )
    def test_numbers_keep_their_digits(self, text: str) -> None:
        found = value(text)
        assert isinstance(found, (int, Decimal))
        assert Decimal(found) == Decimal(text)
        assert not isinstance(found, Decimal) or str(found).lower() == str(Decimal(text)).lower()
        # The same with what only the second decoder reads beside it.
        assert value(f'[{text},"\\ud800"]')[0] == found

    @pytest.mark.parametrize(
        "text",
        [
            "9" * 4_301,
            "-" + "9" * 4_301,
            "9" * MAX_WHOLE_DIGITS,
            f"1e{MAX_WHOLE_DIGITS - 1}",
            f"0.001E+{MAX_WHOLE_DIGITS + 2}",
            "0." + "1" * MAX_DECIMALS,
            f"1e-{MAX_DECIMALS}",
            "9" * MAX_WHOLE_DIGITS + "." + "1" * MAX_DECIMALS,
            "1." + "0" * 9_000,
            "0e-9000",
        ],
        ids=lambda text: f"{text[:6]}:{len(text)}",
    )
    def test_so_do_numbers_as_long_as_postgres_takes(self, text: str) -> None:
        answer = parse(body(f'"any":{text}'))
        found = answer.records[0]["any"]
        assert isinstance(found, Decimal)
        assert found == Decimal(text)
        assert not answer.notes
        # Python reads no whole number of so many digits, not in a target either.
        assert json.loads(FORMAT.encode(found), parse_float=Decimal) == found

    @pytest.mark.parametrize(
        "text",
        [
            "9" * (MAX_WHOLE_DIGITS + 1),
            f"1e{MAX_WHOLE_DIGITS}",
            f"1e-{MAX_DECIMALS + 1}",
            f"1.5e-{MAX_DECIMALS}",
            "0." + "1" * (MAX_DECIMALS + 1),
            "-1e999999",
            "1E99999999999999999999",
            "1e-99999999999999999999",
            f"0e-{MAX_DECIMALS + 1}",
        ],
        ids=lambda text: f"{text[:6]}:{len(text)}",
    )
    def test_longer_ones_are_carried_as_text(self, text: str) -> None:
        answer = parse(body(f'"any":[1.5,{text}]'))
        assert answer.records[0]["any"] == [Decimal("1.5"), text]
        assert len(answer.notes) == 1

    def test_of_a_key_that_comes_twice_the_last_counts(self) -> None:
        assert value('{"a":1,"a":2}') == {"a": 2}
        assert value(r'{"a":1,"a\u0000":2}') == {"a": 2}

    def test_what_is_no_number_is_null(self) -> None:
        assert value("[NaN,Infinity,-Infinity]") == [None, None, None]

    def test_unknown_keys_stay(self) -> None:
        record = parse(body('"new":{"deep":[true,null,{}]},"fields":{"x y":[]}')).records[0]
        assert record["new"] == {"deep": [True, None, {}]}
        assert record["fields"] == {"x y": []}


class TestRescue:
    """A value that is not of its key's type stands elsewhere: a target that validates would stop."""

    @pytest.mark.parametrize(
        ("members", "fields"),
        [
            ('"type":5', '{"_rescued":{"type":5}}'),
            ('"type":["a"],"fields":null', '{"_rescued":{"type":["a"]}}'),
            ('"type":{},"fields":{"x":1}', '{"x":1,"_rescued":{"type":{}}}'),
            ('"fields":[1]', '{"_rescued":{"fields":[1]}}'),
            ('"fields":"x"', '{"_rescued":{"fields":"x"}}'),
            ('"fields":0', '{"_rescued":{"fields":0}}'),
            ('"type":true,"fields":false', '{"_rescued":{"type":true,"fields":false}}'),
            ('"fields":{"channelType":7}', '{"channelType":null,"_rescued":{"channelType":7}}'),
            ('"fields":{"status":["a"],"x":1}', '{"status":null,"x":1,"_rescued":{"status":["a"]}}'),
            ('"fields":{"durationSeconds":"142"}', '{"durationSeconds":null,"_rescued":{"durationSeconds":"142"}}'),
            ('"fields":{"durationSeconds":true}', '{"durationSeconds":null,"_rescued":{"durationSeconds":true}}'),
            (
                '"fields":{"durationSeconds":1e999999}',
                '{"durationSeconds":null,"_rescued":{"durationSeconds":"1e999999"}}',
            ),
            ('"type":1,"fields":{"status":1.50}', '{"status":null,"_rescued":{"type":1,"status":1.50}}'),
            ('"fields":{"_rescued":5}', '{"_rescued":{"_rescued":5}}'),
            (
                '"fields":{"_rescued":{"a":1,"status":2},"status":3}',
                '{"status":null,"_rescued":{"status":3,"_rescued":{"a":1,"status":2}}}',
            ),
        ],
    )
    def test_null_is_in_its_place(self, members: str, fields: str) -> None:
        sent = json.loads(f"{{{members}}}")
        (record,) = parse(body(members)).records
        assert record["fields"] == json.loads(fields, parse_float=Decimal)
        assert record.get("type") == (sent["type"] if isinstance(sent.get("type"), str) else None)

    @pytest.mark.parametrize(
        "members",
        [
            '"type":null,"fields":null',
            '"type":"x","fields":{}',
            '"fields":{"channelType":null,"status":"","durationSeconds":-1.5}',
            '"fields":{"durationSeconds":123456789012345678901234567890}',
            '"fields":{"other":5,"type":6,"id":7,"_rescued":{"status":5}}',
            '"fields":{"_rescued":null}',
            '"other":5,"_rescued":5',
        ],
    )
    def test_what_is_of_its_type_stays(self, members: str) -> None:
        answer = parse(body(members))
        sent = json.loads(f"{{{members}}}", parse_float=Decimal)
        assert {key: answer.records[0][key] for key in sent} == sent
        assert not answer.notes

    def test_each_key_is_told_of_once(self) -> None:
        answer = parse(b'{"results":[%s]}' % b",".join([b'{"id":"a","type":5,"fields":{"status":1}}'] * 3))
        assert sorted(note.rpartition(" ")[2] for note in answer.notes) == [
            "fields._rescued.status",
            "fields._rescued.type",
        ]

    def test_one_odd_record_changes_no_other(self) -> None:
        texts = ['{"id":"a","fields":{"status":"b"}}', '{"id":"b","type":"x","fields":[]}', '{"id":"c"}']
        usual = parse(f'{{"results":[{texts[0]},{texts[2]}]}}'.encode()).records
        found = parse(f'{{"results":[{",".join(texts)}]}}'.encode()).records
        assert [found[0], found[2]] == usual
        assert found[1]["fields"] == {"_rescued": {"fields": []}}


class TestDepth:
    """A record is its own first level."""

    @staticmethod
    def nested(levels: int, opening: str = "[", closing: str = "]") -> str:
        return opening * levels + closing * levels

    @staticmethod
    def depth(found: object) -> tuple[int, object]:
        """How many lists lie in one another, and what lies in the last."""
        levels = 0
        while isinstance(found, list):
            levels += 1
            if not found:
                return levels, None
            found = found[0]
        return levels, found

    @pytest.mark.parametrize("levels", [1, 20, 21, MAX_DEPTH - 2, MAX_DEPTH - 1])
    def test_up_to_the_limit_nothing_changes(self, levels: int) -> None:
        answer = parse(body(f'"any":{self.nested(levels)}'))
        assert self.depth(answer.records[0]["any"]) == (levels, None)
        assert not answer.notes

    @pytest.mark.parametrize("levels", [MAX_DEPTH, MAX_DEPTH + 1, 5000, 20_000])
    def test_beyond_it_a_value_is_carried_as_text(self, levels: int) -> None:
        answer = parse(body(f'"x":{self.nested(levels)}'))
        kept, text = self.depth(answer.records[0]["x"])
        assert kept == MAX_DEPTH - 1
        assert text == self.nested(levels - kept)
        assert len(answer.notes) == 1

    def test_the_text_is_the_value(self) -> None:
        inside = r'{"a":"\"]}\u00e9","b":[1.50,{}]}'
        _, text = self.depth(value("[" * (MAX_DEPTH - 1) + inside + "]" * (MAX_DEPTH - 1)))
        assert text == inside

    def test_several_such_values_and_what_lies_beside_them(self) -> None:
        deep = self.nested(700)
        record = parse(body(f'"x":[{deep},1,{deep}],"y":{deep},"z":"end"', ',"nextPage":"t"'))
        assert record.token == "t"
        assert record.records[0]["z"] == "end"
        assert self.depth(record.records[0]["y"])[0] == MAX_DEPTH - 1
        assert record.records[0]["x"][1] == 1

    def test_objects_count_as_lists_do(self) -> None:
        found = value('{"a":' * 600 + "1" + "}" * 600)
        levels = 0
        while isinstance(found, dict):
            found = found["a"]
            levels += 1
        assert levels == MAX_DEPTH - 1
        assert json.loads(found)["a"]

    @pytest.mark.parametrize("levels", [300, 20_000])
    def test_brackets_in_strings_hide_no_depth(self, levels: int) -> None:
        """Each bracket has its counterpart beside it, in a string."""
        found = value('{"}":' * levels + "1" + ',"{":2}' * levels)
        depth = 0
        while isinstance(found, dict):
            assert found["{"] == 2
            found = found["}"]
            depth += 1
        assert depth == levels if levels < MAX_DEPTH else depth == MAX_DEPTH - 1

    def test_hidden_depth_beside_what_only_the_second_decoder_reads(self) -> None:
        found = value('[{"}":' * 1_000 + r'"\ud800"' + ',"{":2}]' * 1_000)
        depth = 0
        while isinstance(found, (list, dict)):
            found = found[0] if isinstance(found, list) else found["}"]
            depth += 1
        assert depth == MAX_DEPTH - 1

    def test_brackets_in_strings_are_no_depth(self) -> None:
        for text in ("[" * 3000, "]" * 3000, '\\"[' * 3000, "\\\\[" * 3000, "{[" * 900 + "]}" * 900):
            answer = parse(body(f'"fields":{{"x":"{text}"}}'))
            assert answer.records[0]["fields"]["x"] == json.loads(f'"{text}"')
            assert not answer.notes

    def test_many_records_are_no_depth(self) -> None:
        many = ",".join('{"id":"a","fields":{"x":[{}]}}' for _ in range(1000))
        assert len(parse(f'{{"results":[{many}]}}'.encode()).records) == 1000


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\0")), inner)
    ),
    max_leaves=15,
)
FORMAT = msgspec.json.Encoder(decimal_format="number")


def _same(one: object, other: object) -> bool:
    """Equal, and of one type: msgspec writes a whole Decimal as an integer's digits."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(item, other[key]) for key, item in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Decimal):
        return isinstance(other, (int, Decimal)) and not isinstance(other, bool) and one == other
    return type(one) is type(other) and one == other


def encode(document: object) -> bytes:
    """JSON with every digit."""
    if isinstance(document, int) and not isinstance(document, bool):
        return str(document).encode()
    if isinstance(document, list):
        return b"[" + b",".join(map(encode, document)) + b"]"
    if isinstance(document, dict):
        return b"{" + b",".join(FORMAT.encode(key) + b":" + encode(item) for key, item in document.items()) + b"}"
    return FORMAT.encode(document)


@settings(deadline=None)
@given(JSON)
def test_any_value_comes_through_as_it_was(document: object) -> None:
    assert _same(document, value(encode(document).decode()))


@settings(deadline=None)
@given(JSON)
def test_by_either_decoder(document: object) -> None:
    """A lone surrogate beside it sends the page to the second one."""
    found = value("[" + encode(document).decode() + r',"\ud800"]')
    assert _same(document, found[0])


TEXTS = st.text(st.characters(exclude_categories=()) | st.sampled_from('\0\ud800\udfff"\\[]{}'))
ANY = st.recursive(
    st.none() | st.integers() | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20
)


@settings(deadline=None)
@given(ANY)
def test_whatever_the_strings_hold_the_result_is_utf_8_without_nul(document: object) -> None:
    found = value(json.dumps(document))
    text = json.dumps(found, ensure_ascii=False)
    assert "\\u0000" not in text.replace("\\\\", "")
    text.encode()


STAMPS = st.sampled_from(
    [
        STAMP,
        "2026-10-03T10:15:02.417+02:00",
        "2026-10-03T08:15:02.417999Z",
        "2026-10-03T08:15:60.417Z",
        "0000-10-03T08:15:02.417Z",
        None,
        5,
        "",
    ]
)
IDS = st.sampled_from(["a", "b", "", None, 5, True, "x\0y"])
RECORDS = st.lists(
    st.fixed_dictionaries({}, optional={"id": IDS, "conversationId": IDS, "timestamp": STAMPS, "fields": JSON})
    | st.fixed_dictionaries({"id": st.just("a"), "conversationId": st.just("a"), "timestamp": st.just(STAMP)}),
    max_size=6,
)


@settings(deadline=None)
@given(RECORDS)
def test_the_short_way_gives_what_the_long_way_gives(found: list[dict[str, Any]]) -> None:
    text = encode({"results": found})
    short = parse(text)
    long = Answer(records._decode(text, set())["results"], [], [], size=len(text))  # noqa: SLF001 - the long way by itself
    records._normalise(long)  # noqa: SLF001
    for record in long.records:
        records._rescue(record, long.notes)  # noqa: SLF001
    assert short == long
    assert short.regular == (None not in short.ids and None not in short.stamps)
    for record, identity, stamp in zip(short.records, short.ids, short.stamps, strict=True):
        assert record.get("timestamp") == stamp
        assert identity is None or record["id"] == record["conversationId"] == identity
