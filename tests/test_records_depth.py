"""An answer's bytes to records: what is nested too deep is carried as text."""

from __future__ import annotations

import json

import pytest

from tap_genesys_search.records import MAX_DEPTH, CutBodyError, parse
from tests.support.answers import body, value


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

    @pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 1200, 1_000_000])
    @pytest.mark.parametrize("text", ["", '"' + "[" * 1200, "]"], ids=["open", "a string that is open", "one closed"])
    def test_a_body_that_is_cut_off_deep_inside_is_no_whole_one(self, levels: int, text: str) -> None:
        """At once, and by the error that a retry follows."""
        whole = body(f'"x":{self.nested(levels)}')
        cut = whole[: whole.index(b"[" * levels) + levels] + text.encode()
        with pytest.raises(CutBodyError, match=f"({len(cut)} bytes)"):
            parse(cut)

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
