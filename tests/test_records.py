"""An answer's bytes to records: what stands around them, their names, and any document whatever."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_genesys_search import records
from tap_genesys_search.errors import ContractError
from tap_genesys_search.records import Answer, CutBodyError, parse
from tests.support.answers import STAMP, body, encode, one, value


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
        ("stamps", "span"),
        [
            ([], None),
            ([None, STAMP, None], None),
            ([STAMP], 0),
            (["2026-10-03T08:15:02.417Z", None, "2026-10-03T08:15:03.420Z"], 1_003),
            (["2026-10-03T08:15:03.420Z", "2026-10-03T08:15:02.417Z"], 1_003),
            ([None, "2026-10-03T08:15:03.420Z"], 0),
        ],
    )
    def test_its_span_lies_between_its_first_and_its_last(self, stamps: list[str | None], span: int | None) -> None:
        results = [{"id": str(number), "timestamp": stamp} for number, stamp in enumerate(stamps)]
        assert parse(json.dumps({"results": results}).encode()).span == span

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


def _same(one: object, other: object) -> bool:
    """Equal, and of one type: msgspec writes a whole Decimal as an integer's digits."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(item, other[key]) for key, item in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Decimal):
        return isinstance(other, (int, Decimal)) and not isinstance(other, bool) and one == other
    return type(one) is type(other) and one == other


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
    long = Answer(records._decode(text, set())["results"], [], [], size=len(text))
    records._normalise(long)
    for record in long.records:
        records._rescue(record, long.notes)
    assert short == long
    assert short.regular == (None not in short.ids and None not in short.stamps)
    for record, identity, stamp in zip(short.records, short.ids, short.stamps, strict=True):
        assert record.get("timestamp") == stamp
        assert identity is None or record["id"] == record["conversationId"] == identity
