"""An answer's bytes to records: values safe for every loader, and nothing else changed."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tap_genesys_search.records import MAX_DECIMALS, MAX_WHOLE_DIGITS, parse
from tests.support.answers import FORMAT, body, value


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
