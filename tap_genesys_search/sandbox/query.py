"""A query, split into what the index can seek by (time, id) and a condition on records for the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from tap_genesys_search.sandbox.instants import EARLIEST, LATEST
from tap_genesys_search.sandbox.lucene import ID_FIELD, TIME_FIELD, Boolean, Leaf, Span, parse
from tap_genesys_search.sandbox.ranges import QueryError, time_bounds
from tap_genesys_search.sandbox.runs import Filter

if TYPE_CHECKING:
    from tap_genesys_search.sandbox.lucene import Condition

_BOUND = r'("(?:[^"\\]|\\.)*"|[^\s\]}"]+)'
_SPAN = rf"([\[{{])\s*{_BOUND}\s+TO\s+{_BOUND}\s*([\]}}])"
# What a client that seeks asks over and over: its query, a range of time, perhaps a range of ids.
_SEEK = re.compile(
    rf"\s*(?:(?P<rest>.*\S)\s+AND\s+)?(?:fields\.)?timestamp:{_SPAN}"
    rf"(?:\s+AND\s+(?P<not>NOT\s+)?conversationId:{_SPAN})?\s*",
    re.DOTALL,
)
_EVERYTHING = frozenset({"*", "*:*", "(*)", "(*:*)"})


@dataclass(frozen=True)
class IdSpan:
    """A range of conversation ids, in code point order; None is an open end."""

    low: str | None = None
    high: str | None = None
    with_low: bool = True
    with_high: bool = True


@dataclass(frozen=True)
class Query:
    """Records of `[low, high)` (milliseconds) that a filter lets through, perhaps only some ids."""

    chosen: Filter | None = None
    low: int = EARLIEST
    high: int = LATEST
    ids: IdSpan | None = None
    without_id: bool = False


def read(text: str) -> Query:
    """Understand a query; raises QueryError, which names the place."""
    found = _SEEK.fullmatch(text)
    if found is None or not _stands_alone(found["rest"]):
        return _general(text)
    rest, opening, first, last, closing, negated, id_opening, id_first, id_last, id_closing = found.groups()
    try:
        low, high = time_bounds(opening == "[", first, last, closing == "]")
        query = replace(_rest(rest), low=low, high=high)
    except QueryError:
        # Only the whole text knows the place.
        return _general(text)
    if id_opening is None:
        return query
    if negated:
        return replace(query, without_id=True) if id_first == id_last == "*" else _general(text)
    return replace(query, ids=_ids(Span(id_first, id_last, id_opening == "[", id_closing == "]")))


@lru_cache(maxsize=1_024)
def _stands_alone(rest: str | None) -> bool:
    """Whether the text is one whole group, so that `AND` behind it takes all of it."""
    if rest is None or rest in _EVERYTHING:
        return True
    if not rest.startswith("("):
        return False
    depth = 0
    for part in re.finditer(r'\\.|"(?:[^"\\]|\\.)*"|[()]', rest, re.DOTALL):
        depth += {"(": 1, ")": -1}.get(part[0], 0)
        if depth == 0:
            return part.end() == len(rest)
    return False


@lru_cache(maxsize=256)
def _rest(rest: str | None) -> Query:
    return Query() if rest is None or rest in _EVERYTHING else Query(_filter(parse(rest)))


@lru_cache(maxsize=1_024)
def _general(text: str) -> Query:
    """Any query: ranges that every record has to meet are lifted out, if nothing but `AND` stands around them."""
    condition = parse(text)
    query = Query()
    if not isinstance(condition, Boolean) or condition.should:
        condition = Boolean(must=(condition,))
    kept: list[Condition] = []
    for clause in condition.must:
        lifted = _lift(query, clause)
        query = lifted or query
        if lifted is None:
            kept.append(clause)
    forbidden = list(condition.must_not)
    if query.ids is None:
        for clause in condition.must_not:
            if isinstance(clause, Leaf) and clause.field == ID_FIELD and clause.is_existence:
                query = replace(query, without_id=True)
                forbidden.remove(clause)
    if not kept and not forbidden and condition.must:
        return query
    if len(kept) == 1 and not forbidden:
        return replace(query, chosen=_filter(kept[0]))
    rest = Boolean(must=tuple(kept), must_not=tuple(forbidden), lifted=len(kept) < len(condition.must))
    return replace(query, chosen=_filter(rest))


def _lift(query: Query, clause: Condition) -> Query | None:
    if not isinstance(clause, Leaf):
        return None
    value = clause.value
    # Ids are written small: one that is asked for so need not be looked for among all.
    if clause.field == ID_FIELD and query.ids is None and value is not None and value == value.casefold():
        return replace(query, ids=IdSpan(value, value))
    if clause.span is None:
        return None
    if clause.field == TIME_FIELD:
        low, high = time_bounds(clause.span.with_low, clause.span.low, clause.span.high, clause.span.with_high)
        return replace(query, low=max(low, query.low), high=min(high, query.high))
    if clause.field == ID_FIELD and query.ids is None:
        return replace(query, ids=_ids(clause.span))
    return None


def _ids(span: Span) -> IdSpan:
    low, high = span.texts()
    return IdSpan(low, high, span.with_low, span.with_high)


def _filter(condition: Condition) -> Filter | None:
    # Named by what it tests: the range of time, another one for each seek, is no part of it.
    return None if condition.is_everything else Filter(repr(condition), condition.holds_for)
