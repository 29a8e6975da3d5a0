"""The scan of a query, against lists and against trees of a real parser."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from luqum import tree  # type: ignore[import-untyped]
from luqum.parser import parser  # type: ignore[import-untyped]

from tap_genesys_search.lucene import only_negations, unclosed


@pytest.mark.parametrize(
    "query",
    [
        "NOT a",
        "-a",
        "!a",
        "- a",
        "NOT a AND NOT b",
        "-a -b",
        "-a OR NOT b",
        "-a && !b || -c",
        "(NOT a)",
        "((-a) (NOT (b)))",
        "-(a OR b)",
        "NOT (a AND b)",
        "NOT status:open",
        "-status:(open OR closed)",
        "status:(-open -closed)",
        '-"a b"~2',
        "-a^2",
        "(-a)^2",
        "-[a TO b}",
        "-timestamp:[2026-10-01 TO *]",
        "-/a b/",
        r"-a\ b",
        "-a/b",
        "+(-a)",
        "NOT NOT a",
        " \n NOT a ",
        "NOT a AND (NOT b OR NOT c)",
    ],
)
def test_only_negations(query: str) -> None:
    """Nothing is left that could match."""
    assert unclosed(query) is None
    assert only_negations(query)


@pytest.mark.parametrize(
    "query",
    [
        "",
        " ",
        "()",
        "*",
        "*:*",
        "a",
        "*:* AND NOT a",
        "NOT a AND *:*",
        "NOT a OR b",
        "a -b",
        "-a b",
        "-a +b",
        "(a)",
        "(-a) OR (b -c)",
        "NOTa",
        "not a",
        "a-b",
        r"\-a",
        r"\!a",
        '"-a"',
        '"NOT a"',
        "[-5 TO -1]",
        "durationSeconds:-5",
        "durationSeconds:[-5 TO -1]",
        "durationSeconds:(5 -6)",
        "status:(open)",
        "/-a/",
        "-a (b)",
        "AND",
        "NOT",
        r"-a\) OR b",
    ],
)
def test_not_only_negations(query: str) -> None:
    """Something may match, or the query is not one that this can judge."""
    assert not only_negations(query)


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("a) OR (b", ") at character 2"),
        (")(", ") at character 1"),
        ("(", "( at character 1"),
        ("(a (b)", "( at character 1"),
        ("(a))", ") at character 4"),
        ('"a', '" at character 1'),
        (r'"a\"', '" at character 1'),
        ('a" OR (b OR "c)', ") at character 15"),
        ("a\\", "\\ at character 2"),
        ("timestamp:[a TO b", "[ at character 11"),
        ("timestamp:[a TO b)", ") at character 18"),
        ("a]", "] at character 2"),
        ("([a)]", ") at character 4"),
        ("[a) TO (b]", ") at character 3"),
        # A server that knows regular expressions sees one, and then a parenthesis that is alone.
        ("(/a)/", "( at character 1"),
        ("x/(/)", ") at character 5"),
        ("(a/b) AND a/b)", ") at character 14"),
        ("(NOT (a/b) AND a/b)", "( at character 1"),
        # One that knows none sees the parentheses in it.
        ("/a)/", ") at character 3"),
    ],
)
def test_unclosed(query: str, place: str) -> None:
    """In each way in which a server may read it."""
    assert unclosed(query) == place


@pytest.mark.parametrize(
    "query",
    [
        "",
        "*",
        "(a) (b (c))",
        "timestamp:{a TO b] OR [c TO d}",
        r"\) \" \\ \[",
        '")("',
        r'"a\")"',
        r"/a\)/",
        "/(a|b)[c-e]/",
        "2026/10/03",
        "a / b",
        '"a/(b" OR "c)/d"',
    ],
)
def test_closed(query: str) -> None:
    """Nothing to refuse."""
    assert unclosed(query) is None


WORDS = st.sampled_from(["a", "b", "or", "not", "a-b", "*", "a?c*", r"a\(b", r"a\:b", "2026", r"a\/b"]).map(tree.Word)
PHRASES = st.sampled_from(['"a"', '"NOT a"', '"-a) OR (b"', r'"a \" b"', '""']).map(tree.Phrase)
BOUNDS = st.sampled_from(["*", "a", "10"]).map(tree.Word) | st.just(tree.Phrase('"a b"'))
RANGES = st.builds(tree.Range, BOUNDS, BOUNDS, st.booleans(), st.booleans())
REGEXES = st.sampled_from([r"/a b/", r"/-a/", "/a(b|c)/"]).map(tree.Regex)
FIELDS = st.sampled_from(["status", "fields.x", "NOTE"])


def _join(kind: type[tree.BaseOperation], parts: list[tree.Item]) -> tree.Item:
    return kind(*parts)


def _compound(inner: st.SearchStrategy[tree.Item]) -> st.SearchStrategy[tree.Item]:
    grouped = inner.map(tree.Group)
    single = grouped | WORDS | PHRASES
    signed = st.one_of(*(single.map(kind) for kind in (tree.Not, tree.Prohibit, tree.Plus)))
    several = st.lists(signed | single | inner.map(tree.Group), min_size=2, max_size=3)
    joined = st.one_of(
        *(several.map(partial(_join, kind)) for kind in (tree.AndOperation, tree.OrOperation, tree.UnknownOperation))
    )
    boosted = st.builds(tree.Boost, single, st.sampled_from([2, 0.5]))
    fielded = st.builds(tree.SearchField, FIELDS, inner.map(tree.FieldGroup) | PHRASES | RANGES)
    return st.one_of(grouped, signed, joined, boosted, fielded)


TREES = st.recursive(WORDS | PHRASES | RANGES | REGEXES, _compound, max_leaves=12)


def _reference(node: tree.Item) -> bool:
    match node:
        case tree.Not() | tree.Prohibit():
            return True
        case tree.Group() | tree.FieldGroup() | tree.Boost() | tree.Plus():
            return _reference(node.children[0])
        case tree.SearchField():
            return isinstance(node.expr, tree.FieldGroup) and _reference(node.expr)
        case tree.AndOperation() | tree.OrOperation() | tree.UnknownOperation():
            return all(map(_reference, node.children))
        case _:
            return False


def _written(node: tree.Item) -> str:  # noqa: PLR0911 - one for each kind of node
    """Write a tree with the blanks that a parser's tree would carry itself."""
    match node:
        case tree.AndOperation() | tree.OrOperation():
            joint = " AND " if isinstance(node, tree.AndOperation) else " OR "
            return joint.join(map(_written, node.children))
        case tree.UnknownOperation():
            return " ".join(map(_written, node.children))
        case tree.Not():
            return f"NOT {_written(node.a)}"
        case tree.Prohibit() | tree.Plus():
            return f"{node.op}{_written(node.a)}"
        case tree.Group() | tree.FieldGroup():
            return f"({_written(node.children[0])})"
        case tree.Boost():
            return f"{_written(node.expr)}^{node.force}"
        case tree.SearchField():
            return f"{node.name}:{_written(node.expr)}"
        case tree.Range():
            ends = "[]" if node.include_low else "{]"
            high = "]" if node.include_high else "}"
            return f"{ends[0]}{node.low} TO {node.high}{high}"
        case _:
            return str(node)


@settings(deadline=None)
@given(TREES)
def test_against_a_parser(query_tree: tree.Item) -> None:
    """What the scan says is what the parser's tree of the same text says."""
    query = _written(query_tree)
    assert unclosed(query) is None
    assert only_negations(query) == _reference(parser.parse(query))


@settings(deadline=None)
@given(st.text(alphabet='ab ()[]{}"\\/-+!:ANDORT*', max_size=30))
def test_parentheses_hold_a_closed_query(query: str) -> None:
    """A query that is called closed stays inside the parentheses that are put around it."""
    only_negations(query)
    if unclosed(query) is not None:
        return
    depth, index, inside = 0, 0, False
    while index < len(query):
        if query[index] == "\\":
            index += 1
        elif query[index] == '"':
            inside = not inside
        elif not inside:
            depth += {"(": 1, ")": -1}.get(query[index], 0)
        assert depth >= 0
        index += 1
    assert (depth, inside, index) == (0, False, len(query))
