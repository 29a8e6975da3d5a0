"""What the tap asks: a question as the body of a search."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tap_genesys_search import timestamps
from tap_genesys_search.question import MAX_PAGE_SIZE, Ask, Axis, Question, quoted
from tests.support.cursors import cursor
from tests.support.index import NOON


class TestQuestion:
    """What is sent."""

    def test_its_body_is_what_the_contract_asks_for(self) -> None:
        question = Question(NOON, NOON + 1, size=7)
        assert question.body("status:a OR b") == {
            "query": "(status:a OR b) AND timestamp:[2026-10-05T12:00:00.000Z TO 2026-10-05T12:00:00.001Z}",
            "type": "conversation",
            "size": 7,
            "sort": [{"field": "timestamp", "direction": "asc"}],
        }

    def test_a_token_goes_back_as_it_came(self) -> None:
        assert Question(0, 1, by=Ask.TOKEN, token="a=b +/").body("*")["page"] == "a=b +/"
        assert "page" not in Question(0, 1).body("*")

    def test_newest_first_turns_the_sort_and_not_the_range(self) -> None:
        body = cursor(Axis.NEWEST_FIRST).question().body("*")
        assert body["sort"] == [{"field": "timestamp", "direction": "desc"}]
        assert "[2026-10-05T12:00:00.000Z TO 2026-10-05T13:00:00.000Z}" in body["query"]

    @pytest.mark.parametrize(
        ("low", "high", "text"),
        [
            (timestamps.BEGIN, timestamps.END, "[* TO *]"),
            (NOON, timestamps.END, "[2026-10-05T12:00:00.000Z TO *]"),
            (timestamps.BEGIN, NOON, "[* TO 2026-10-05T12:00:00.000Z}"),
        ],
    )
    def test_what_is_open_is_a_star(self, low: int, high: int, text: str) -> None:
        assert Question(low, high).range_text == text

    def test_by_id_it_sorts_and_seeks_by_id_and_is_a_full_page(self) -> None:
        at = replace(cursor(size=3), by=Ask.ID, after_id="a:b")
        body = at.question().body("*")
        assert body["query"].endswith('000Z TO 2026-10-05T12:00:00.001Z} AND conversationId:{"a:b" TO *]')
        assert body["sort"] == [{"field": "conversationId", "direction": "asc"}]
        assert body["size"] == MAX_PAGE_SIZE

    def test_what_has_no_id_is_asked_for_inside_the_instant(self) -> None:
        body = replace(cursor(), by=Ask.NO_ID).question().body("*")
        assert body["query"].endswith("001Z} AND NOT conversationId:[* TO *]")

    @settings(deadline=None)
    @given(st.text(min_size=1))
    @example("TO")
    @example('a"b\\')
    def test_no_sign_of_an_id_means_anything(self, identity: str) -> None:
        text = quoted(identity)
        if text == identity:
            assert set(identity) <= {"-"} | {sign for sign in identity if sign.isalnum()}
            assert identity != "TO"
        else:
            inside = text[1:-1].replace("\\\\", "").replace('\\"', "")
            assert text[0] == text[-1] == '"'
            assert '"' not in inside
            assert "\\" not in inside
            assert text[1:-1].replace('\\"', '"').replace("\\\\", "\\") == identity
