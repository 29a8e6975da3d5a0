"""Lucene's classic query language, as far as the sandbox knows it.

Fields may carry the prefix `fields.`. `AND` binds tighter than `OR`; clauses side by side are joined by `OR`, with `+`
for must and `-` for must not. A group (parentheses, or the whole query) that holds nothing but negations matches
nothing, as in Lucene. Strings compare as wholes, without regard to case; ranges of strings go by code point. A term
without a field matches any string field. Fuzzy, proximity and regular expression searches are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from fnmatch import translate
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec
from luqum import tree  # type: ignore[import-untyped]
from luqum.exceptions import ParseError  # type: ignore[import-untyped]
from luqum.thread import parse as parse_tree  # type: ignore[import-untyped]

from tap_genesys_search.sandbox.instants import micros
from tap_genesys_search.sandbox.ranges import OPEN, QueryError, number, plain, time_bounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_genesys_search.sandbox.records import Record

TIME_FIELD = "timestamp"
ID_FIELD = "conversationId"

Document: TypeAlias = "dict[str, object]"

_DEEPEST = 50


def document(raw: bytes) -> Document:
    """Give a record's JSON as one flat level of fields."""
    found: dict[str, object] = msgspec.json.decode(raw)
    inner = found.pop("fields", None)
    return {**inner, **found} if isinstance(inner, dict) else found


class Condition(Protocol):
    """What a record meets or does not meet."""

    @property
    def is_everything(self) -> bool:
        """Whether every record meets it."""

    def holds(self, fields: Document) -> bool:
        """Whether the record with these fields meets it."""

    def holds_for(self, record: Record) -> bool:
        """Whether a record meets it."""


class _OnDocument:
    def holds(self, fields: Document) -> bool:
        raise NotImplementedError

    def holds_for(self, record: Record) -> bool:
        return self.holds(document(record.raw))


@dataclass(frozen=True)
class Span:
    """A range as it was written, quotes and escapes included."""

    low: str
    high: str
    with_low: bool
    with_high: bool

    def texts(self) -> tuple[str | None, str | None]:
        """Both ends without quotes and escapes; None is an open end."""
        return None if self.low == OPEN else plain(self.low), None if self.high == OPEN else plain(self.high)


@dataclass(frozen=True)
class Leaf(_OnDocument):
    """A test of one field, or of any, as `text` wrote it; `value` is what it must equal, whatever the case."""

    field: str | None
    text: str
    test: Callable[[object], bool] = dataclass_field(repr=False)
    is_everything: bool = False
    is_existence: bool = False
    span: Span | None = None
    value: str | None = None

    def holds(self, fields: Document) -> bool:
        """Whether the field's value passes; a field that is not there never does."""
        if self.is_everything:
            return True
        if self.field is None:
            return any(self.test(value) for value in fields.values())
        return self.field in fields and self.test(fields[self.field])


@dataclass(frozen=True)
class Boolean(_OnDocument):
    """One group of clauses; `lifted` says that a clause which had to hold is checked elsewhere."""

    must: tuple[Condition, ...] = ()
    should: tuple[Condition, ...] = ()
    must_not: tuple[Condition, ...] = ()
    lifted: bool = False

    @property
    def is_everything(self) -> bool:
        """Whether every record meets it."""
        if self.must_not or (not self.must and not self.should):
            return False
        if self.must:
            return all(each.is_everything for each in self.must)
        return any(each.is_everything for each in self.should)

    def holds(self, fields: Document) -> bool:
        """Whether all that must holds, nothing that must not, and one of the rest if nothing must."""
        if self.must or self.lifted:
            positive = all(each.holds(fields) for each in self.must)
        else:
            positive = any(each.holds(fields) for each in self.should)
        return positive and not any(each.holds(fields) for each in self.must_not)


def parse(text: str) -> Condition:
    """Understand a query; raises QueryError, which names the place."""
    prepared, original_position = _prepare(text)
    try:
        return _Reader(text, original_position).condition(parse_tree(prepared), None)
    except ParseError as error:
        raise _located(text, str(error), original_position) from None
    except RecursionError:
        raise QueryError.at(text, 0, "too deeply nested") from None


_REWRITTEN = re.compile(
    r"""(?P<kept>\\.|"(?:[^"\\]|\\.)*")"""
    r"""|(?P<open>[\[{]\s*)(?P<low>[^\s\]}"]+)(?P<to>\s+TO\s+)(?P<high>[^\s\]}"]+)(?=\s*[\]}])"""
    r"""|(?P<and>&&)|(?P<or>\|\|)|(?P<not>(?<![^\s(])!)""",
    re.DOTALL,
)


def _prepare(text: str) -> tuple[str, Callable[[int], int]]:
    """Write `&&`, `||`, `!` as words and quote bounds with colons; with the way back to positions of the original."""
    moved: list[tuple[int, int]] = []
    grown = 0

    def rewrite(found: re.Match[str]) -> str:
        nonlocal grown
        new = _rewritten(found)
        if len(new) != len(found[0]):
            moved.append((found.start() + grown + len(new), len(new) - len(found[0])))
            grown += len(new) - len(found[0])
        return new

    def original(position: int) -> int:
        return position - sum(by for start, by in moved if start <= position)

    return _REWRITTEN.sub(rewrite, text), original


def _rewritten(found: re.Match[str]) -> str:
    if found["open"]:
        bounds = [f'"{bound}"' if ":" in bound else bound for bound in (found["low"], found["high"])]
        return f"{found['open']}{bounds[0]}{found['to']}{bounds[1]}"
    if found["and"] or found["or"]:
        return " AND " if found["and"] else " OR "
    return "NOT " if found["not"] else found[0]


def _located(text: str, message: str, original: Callable[[int], int]) -> QueryError:
    found = re.search(r"(?:at )?position (\d+)", message)
    if found is None:
        return QueryError.at(text, len(text), "unexpected end of the query (perhaps an unmatched parenthesis)")
    position = original(int(found[1]))
    return QueryError.at(text, position, f"unexpected '{text[position : position + 1]}'")


class _Reader:
    """Turns luqum's tree into conditions."""

    def __init__(self, text: str, original_position: Callable[[int], int]) -> None:
        self._text = text
        self._original = original_position
        self._depth = 0

    def condition(self, node: tree.Item, field: str | None) -> Condition:
        # What is understood here is asked of records further down the stack.
        if self._depth == _DEEPEST:
            raise self._error(node, "too deeply nested")
        self._depth += 1
        found = self._condition(node, field)
        self._depth -= 1
        return found

    def _condition(self, node: tree.Item, field: str | None) -> Condition:
        if isinstance(node, tree.Group | tree.FieldGroup | tree.Boost):
            return self.condition(node.children[0], field)
        if isinstance(node, tree.AndOperation | tree.OrOperation | tree.UnknownOperation):
            return self._boolean(node, field)
        if isinstance(node, tree.Not | tree.Prohibit):
            return Boolean(must_not=(self.condition(node.a, field),))
        if isinstance(node, tree.Plus):
            return self.condition(node.a, field)
        if isinstance(node, tree.SearchField):
            if field is not None:
                raise self._error(node, "':' has to be quoted or escaped inside a value")
            return self.condition(node.expr, plain(node.name).removeprefix("fields."))
        return self._leaf(node, field)

    def _boolean(self, node: tree.Item, field: str | None) -> Condition:
        must: list[Condition] = []
        should: list[Condition] = []
        must_not: list[Condition] = []
        for child in self._clauses(node):
            if isinstance(child, tree.Not | tree.Prohibit):
                must_not.append(self.condition(child.a, field))
            elif isinstance(child, tree.Plus) or isinstance(node, tree.AndOperation):
                must.append(self.condition(child, field))
            else:
                should.append(self.condition(child, field))
        return Boolean(tuple(must), tuple(should), tuple(must_not))

    def _clauses(self, node: tree.Item) -> list[tree.Item]:
        # `a b OR NOT c` is one list of clauses, as `OR` is what a blank means; luqum nests it.
        clauses: list[tree.Item] = []
        for child in node.children:
            same = isinstance(node, tree.UnknownOperation) and isinstance(child, tree.OrOperation)
            clauses += self._clauses(child) if same else [child]
        return clauses

    def _leaf(self, node: tree.Item, field: str | None) -> Leaf:
        name = None if field == OPEN else field
        text = str(node).strip()
        if isinstance(node, tree.Range):
            return self._range(node, name, self._span(node))
        if isinstance(node, tree.From):
            return self._range(node, name, Span(str(node.a).strip(), OPEN, node.include, with_high=True))
        if isinstance(node, tree.To):
            return self._range(node, name, Span(OPEN, str(node.a).strip(), with_low=True, with_high=node.include))
        if isinstance(node, tree.Word) and node.value == OPEN:
            return Leaf(name, text, lambda _: True, is_everything=name is None, is_existence=name is not None)
        if isinstance(node, tree.Word) and re.search(r"(?<!\\)[*?]", node.value):
            return Leaf(name, text, _wildcard(node.value))
        if isinstance(node, tree.Word | tree.Phrase):
            value = plain(node.value)
            return Leaf(name, text, _equals(name, value), value=value)
        raise self._error(node, f"{type(node).__name__.lower()} searches are not supported")

    def _span(self, node: tree.Range) -> Span:
        low, high = (
            "-" + str(bound.a).strip() if isinstance(bound, tree.Prohibit) else str(bound).strip()
            for bound in (node.low, node.high)
        )
        return Span(low, high, node.include_low, node.include_high)

    def _range(self, node: tree.Item, field: str | None, span: Span) -> Leaf:
        if field is None:
            raise self._error(node, "a range needs a field")
        text = str(node).strip()
        if span.low == span.high == OPEN:
            return Leaf(field, text, lambda _: True, is_existence=True, span=span)
        if field != TIME_FIELD:
            return Leaf(field, text, _within(span), span=span)
        try:
            low, high = time_bounds(span.with_low, span.low, span.high, span.with_high)
        except QueryError as error:
            raise self._error(node, str(error)) from None
        return Leaf(field, text, lambda value: low <= micros(str(value)) // 1_000 < high, span=span)

    def _error(self, node: tree.Item, what: str) -> QueryError:
        return QueryError.at(self._text, self._original(node.pos or 0), what)


def _equals(field: str | None, text: str) -> Callable[[object], bool]:
    folded = text.casefold()
    as_number = number(text) if field is not None else None
    if field == TIME_FIELD:
        try:
            at = micros(text)
        except ValueError:
            return lambda _: False
        return lambda value: micros(str(value)) == at

    def test(value: object) -> bool:
        if isinstance(value, str):
            return value.casefold() == folded
        return as_number is not None and value == as_number

    return test


def _wildcard(text: str) -> Callable[[object], bool]:
    # fnmatch knows brackets as well; here they are letters like any other.
    parts = re.findall(r"\\.|.", text.casefold(), re.DOTALL)
    glob = "".join(part if part in "*?" else f"[{part[-1]}]" if part[-1] in "*?[" else part[-1] for part in parts)
    matches = re.compile(translate(glob)).fullmatch
    return lambda value: isinstance(value, str) and matches(value.casefold()) is not None


def _within(span: Span) -> Callable[[object], bool]:
    low, high = span.texts()
    low_number = None if low is None else number(low)
    high_number = None if high is None else number(high)

    def test(value: object) -> bool:
        if isinstance(value, str):
            return _above(value, low, equal=span.with_low) and _below(value, high, equal=span.with_high)
        if isinstance(value, int | float):
            if (low is not None and low_number is None) or (high is not None and high_number is None):
                return False
            return _above(value, low_number, equal=span.with_low) and _below(value, high_number, equal=span.with_high)
        return False

    return test


def _above(value: object, low: object, *, equal: bool) -> bool:
    return low is None or value > low or (equal and value == low)  # type: ignore[operator]


def _below(value: object, high: object, *, equal: bool) -> bool:
    return high is None or value < high or (equal and value == high)  # type: ignore[operator]
