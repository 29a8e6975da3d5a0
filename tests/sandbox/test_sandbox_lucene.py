"""Queries: what they mean, and that splitting them changes nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_genesys_search.sandbox.index import Bucket, Index
from tap_genesys_search.sandbox.instants import EARLIEST, LATEST, iso, millis
from tap_genesys_search.sandbox.lucene import parse
from tap_genesys_search.sandbox.query import _general, read
from tap_genesys_search.sandbox.ranges import QueryError
from tap_genesys_search.sandbox.records import Record
from tap_genesys_search.sandbox.world import _matching_ids

AT = "2026-10-03T08:15:02.417Z"


def record(number: int, *, timestamp: str = AT, has_conversation_id: bool = True, **fields: object) -> Record:
    name = f"conv-{number:03}"
    body = {"type": "conversation", "id": name, "conversationId": name, "timestamp": timestamp, "fields": fields}
    if not has_conversation_id:
        del body["conversationId"]
    at = millis(timestamp)
    return Record(name, at, json.dumps(body).encode(), 1, at, at, has_conversation_id)


RECORDS = [
    record(1, channelType="voice", status="completed", durationSeconds=10, queueName="Billing"),
    record(2, channelType="voice", status="active", durationSeconds=20, queueName="Technical Help"),
    record(3, channelType="chat", status="completed", durationSeconds=30, queueName="Billing", wrapUpCode="a*b"),
    record(4, channelType="email", status="abandoned", durationSeconds=40, timestamp="2026-10-04T00:00:00.000Z"),
    record(5, channelType="voice", status="completed", durationSeconds=50.5, has_conversation_id=False),
]
INDEX = Index()
for _each in RECORDS:
    INDEX.insert(_each)


def found(query: str) -> list[int]:
    return sorted(int(each.id[-3:]) for each in _matching_ids(INDEX, read(query)))


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("*", [1, 2, 3, 4, 5]),
        ("*:*", [1, 2, 3, 4, 5]),
        ("channelType:voice", [1, 2, 5]),
        ("fields.channelType:VOICE", [1, 2, 5]),
        ("type:conversation", [1, 2, 3, 4, 5]),
        ("voice", [1, 2, 5]),
        ('queueName:"Technical Help"', [2]),
        ("queueName:Tech*", [2]),
        ("queueName:*", [1, 2, 3]),
        ("queueName:[* TO *]", [1, 2, 3]),
        (r"wrapUpCode:a\*b", [3]),
        (r"wrapUpCode:a\*c", []),
        (r"wrapUpCode:a\**", [3]),
        ("status:c?mpleted", [1, 3, 5]),
        ("status:[a]", None),
        ("durationSeconds:20", [2]),
        ("durationSeconds:[20 TO 40}", [2, 3]),
        ("durationSeconds:{20 TO *]", [3, 4, 5]),
        ("durationSeconds:[-5 TO 10]", [1]),
        ("durationSeconds:>=40", [4, 5]),
        ("durationSeconds:<20", [1]),
        ("durationSeconds:[a TO z]", []),
        ("status:[a TO b]", [2, 4]),
        ("status:{active TO c]", []),
        ("id:conv-003", [3]),
        ("conversationId:conv-005", []),
        ("conversationId:{conv-002 TO conv-004]", [3, 4]),
        ("conversationId:[conv-002 TO conv-004}", [2, 3]),
        ("NOT conversationId:[* TO *]", []),
        ("*:* AND NOT conversationId:[* TO *]", [5]),
        ("voice AND NOT conversationId:*", [5]),
        (f"timestamp:{AT.replace(':', chr(92) + ':')}", [1, 2, 3, 5]),
        (f'timestamp:"{AT}"', [1, 2, 3, 5]),
        (f"timestamp:{{{AT} TO *]", [4]),
        ("timestamp:[2026-10-04 TO *]", [4]),
        ("timestamp:2026-10-04*", [4]),
        ("timestamp:[2026-10-03T08:15:02.417+00:00 TO 2026-10-03T10:16:00+02:00}", [1, 2, 3, 5]),
        ("voice AND status:active", [2]),
        ("voice && status:active", [2]),
        ("chat OR email", [3, 4]),
        ("chat || email", [3, 4]),
        ("chat email", [3, 4]),
        ("channelType:(chat OR email)", [3, 4]),
        ("channelType:(chat email)", [3, 4]),
        ("voice -status:active", [1, 5]),
        ("voice !status:active", [1, 5]),
        ("voice AND NOT status:active", [1, 5]),
        ("+voice status:active", [1, 2, 5]),
        ("+voice +status:active", [2]),
        ("chat OR voice AND status:active", [2, 3]),
        ("(chat OR voice) AND status:active", [2]),
        ("active voice OR NOT active", [1, 5]),
        ("voice OR NOT active", [1, 5]),
        ("voice^2 chat^3", [1, 2, 3, 5]),
        ("NOT voice", []),
        ("-voice", []),
        ("NOT voice AND NOT chat", []),
        ("(NOT voice) AND chat", []),
        ("chat OR (NOT voice)", [3]),
        ("NOT (NOT voice)", []),
        ("*:* AND NOT voice", [3, 4]),
        ("* -voice", [3, 4]),
        ("*:* AND NOT (NOT voice)", [1, 2, 3, 4, 5]),
        (f"(NOT voice) AND timestamp:[{AT} TO *]", []),
        (f"NOT voice AND timestamp:[{AT} TO *]", [3, 4]),
        (f"(voice) AND timestamp:[{AT} TO 2026-10-04T00:00:00.000Z}}", [1, 2, 5]),
        (f"(voice) AND timestamp:[{AT} TO *] AND conversationId:{{conv-001 TO *]", [2]),
        (f"(voice) AND timestamp:[{AT} TO *] AND NOT conversationId:[* TO *]", [5]),
        (f"chat OR (email) AND timestamp:[{AT} TO {AT}]", [3]),
        (f"(email) OR (chat) AND timestamp:[{AT} TO {AT}]", [3, 4]),
        (f"email OR (chat) AND timestamp:[{AT} TO {AT}]", [3, 4]),
        (r'(queueName:")" OR chat) AND timestamp:[2026-10-01 TO *]', [3]),
        ("nothing:[* TO *]", []),
    ],
)
def test_what_queries_mean(query: str, numbers: list[int] | None) -> None:
    if numbers is None:
        with pytest.raises(QueryError):
            read(query)
    else:
        assert found(query) == numbers


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("status:(a", "at position 9"),
        ("a ) b", "unexpected ')' at position 2"),
        ("a && ) b", "unexpected ')' at position 5"),
        ("voice AND chat~2", "fuzzy searches are not supported at position 10"),
        ('"a b"~2', "proximity"),
        ("/a.c/", "regex"),
        ("a:b:c", "has to be quoted"),
        ("timestamp:[soon TO *]", "'soon'"),
        ("x AND timestamp:[soon TO *]", "at position 1"),
        ("[a TO b]", "needs a field"),
        ("(" * 5_000 + "a" + ")" * 5_000, "nested"),
    ],
)
def test_errors_name_the_place(query: str, told: str) -> None:
    with pytest.raises(QueryError) as error:
        read(query)
    assert told in str(error.value)
    assert "at position" in str(error.value)


def test_ranges_are_split_off() -> None:
    query = read(f"(voice) AND timestamp:{{{AT} TO 2026-10-04T00:00:00.0001Z}} AND conversationId:[a TO b}}")
    assert (query.low, query.high) == (millis(AT) + 1, millis("2026-10-04") + 1)
    assert query.ids is not None
    assert (query.ids.low, query.ids.high, query.ids.with_low, query.ids.with_high) == ("a", "b", True, False)
    assert query.chosen is read("(voice) AND timestamp:[* TO *]").chosen
    finer = read("timestamp:[2026-10-03T08:15:02.417001Z TO 2026-10-03T08:15:02.418999Z]")
    assert (finer.low, finer.high) == (millis(AT) + 1, millis(AT) + 2)
    every = read(f"(*) AND timestamp:[* TO {AT}]")
    assert (every.chosen, every.low, every.high) == (None, EARLIEST, millis(AT) + 1)
    assert read("*") == read("(*:*)") == read("*:* AND *")
    assert read("*").high == LATEST


WORDS = ("voice", "chat", "status:active", "durationSeconds:[15 TO 45}", "queueName:*", "*", "*:*", "fields.status:c*")


def _grow(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(parts, st.sampled_from([" AND ", " OR ", " ", " AND NOT ", " -", " +"]), parts).map("".join)
    return pair | parts.map(lambda part: f"({part})") | parts.map(lambda part: f"NOT {part}")


QUERIES = st.recursive(st.sampled_from(WORDS), _grow, max_leaves=8)


@settings(max_examples=200, deadline=None)
@given(
    query=QUERIES,
    opening=st.sampled_from("[{"),
    closing=st.sampled_from("]}"),
    low=st.sampled_from([AT, "*", "2026-10-03T08:15:02.416Z", f'"{AT}"']),
    high=st.sampled_from([AT, "*", "2026-10-04T00:00:00.000Z"]),
    behind=st.sampled_from(
        [
            "",
            " AND conversationId:{conv-001 TO *]",
            " AND conversationId:[* TO conv-003}",
            " AND NOT conversationId:[* TO *]",
        ]
    ),
)
def test_splitting_a_query_changes_nothing(
    *, query: str, opening: str, closing: str, low: str, high: str, behind: str
) -> None:
    text = f"({query}) AND timestamp:{opening}{low} TO {high}{closing}{behind}"
    whole = parse(text)
    wanted = sorted(int(each.id[-3:]) for each in RECORDS if whole.holds_for(each))
    assert found(text) == wanted
    lifted = _general(text)
    assert sorted(int(each.id[-3:]) for each in _matching_ids(INDEX, lifted)) == wanted
    pages = INDEX.page(read(text).chosen, lifted.low, lifted.high, start=0, size=9, descending=False, order=0)
    assert {int(each.id[-3:]) for each in pages.records} >= set(wanted)


def _naive(operator: str, left: set[int], right: set[int]) -> set[int]:
    return {"AND": left & right, "OR": left | right, "AND NOT": left - right}[operator]


TREES = st.recursive(
    st.sampled_from(WORDS).map(lambda word: (word, frozenset(found(word)))),
    lambda parts: st.tuples(parts, st.sampled_from(["AND", "OR", "AND NOT"]), parts).map(
        lambda three: (
            f"({three[0][0]} {three[1]} {three[2][0]})",
            frozenset(_naive(three[1], set(three[0][1]), set(three[2][1]))),
        )
    ),
    max_leaves=10,
)


@settings(max_examples=150, deadline=None)
@given(tree=TREES)
def test_groups_are_sets(tree: tuple[str, frozenset[int]]) -> None:
    assert found(tree[0]) == sorted(tree[1])


@given(st.integers(-(10**12), 10**13))
def test_instants_are_read_as_they_are_written(at: int) -> None:
    assert millis(iso(at)) == at
    assert len(iso(at)) == 24


def test_an_empty_bucket_is_no_place_for_records() -> None:
    index = Index([Bucket(0), Bucket(10), Bucket(20)])
    assert index.page(None, 0, 30, start=0, size=5, descending=True, order=1).records == []
