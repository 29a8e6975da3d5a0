"""The little that has to be known of a query before it is put in parentheses beside a range of time.

Lucene's classic syntax, scanned and not parsed: whether it is right is for the API to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_ESCAPED: Final = r"\\."
_PHRASE: Final = r'"(?:[^"\\]|\\.)*"'
_REGEX: Final = r"/(?:[^/\\]|\\.)*/"
_RANGE: Final = r'[\[{](?:"(?:[^"\\]|\\.)*"|\\.|[^"\\\[\]{}])*[\]}]'
_AT_A_TERM: Final = r"(?<![^\s(\[{:+\-!])"
_PAIRS: Final = {")": "(", "]": "[{", "}": "[{"}

# Servers disagree on where a slash begins a regular expression (in which nothing needs a partner): anywhere, at the
# beginning of a term, nowhere. A query has to be closed in all three readings.
_READINGS: Final = tuple(
    re.compile(rf"{_ESCAPED}|{_PHRASE}{regex}|(?P<mark>[()\[\]{{}}\"\\])", re.DOTALL)
    for regex in ("", f"|{_AT_A_TERM}{_REGEX}", f"|{_REGEX}")
)

_CLAUSE: Final = re.compile(
    rf"""(?P<open>\() | (?P<close>\)) | (?P<suffix>[\^~][\d.]*)
    | (?P<sign>[-+!])
    | (?P<value>{_PHRASE} | {_RANGE} | {_AT_A_TERM}{_REGEX})
    | (?P<word>(?:\\.|[^\s()\[\]{{}}"\\])+)""",
    re.DOTALL | re.VERBOSE,
)
_JOINTS: Final = frozenset({"AND", "OR", "&&", "||"})


def unclosed(query: str) -> str | None:
    r"""Name the first parenthesis, bracket, quote or backslash without a partner: ``a) OR (b`` would leave its own."""
    return next((found for reading in _READINGS if (found := _unclosed(query, reading))), None)


def _unclosed(query: str, reading: re.Pattern[str]) -> str | None:
    waiting: list[re.Match[str]] = []
    for found in reading.finditer(query):
        mark = found["mark"]
        if mark is None:
            continue
        if mark in "([{":
            waiting.append(found)
        elif mark in _PAIRS and waiting and waiting[-1]["mark"] in _PAIRS[mark]:
            waiting.pop()
        else:
            return _place(found)
    return _place(waiting[-1]) if waiting else None


def _place(found: re.Match[str]) -> str:
    return f"{found['mark']} at character {found.start() + 1}"


@dataclass(slots=True)
class _Group:
    """What was seen so far between two parentheses."""

    any_clause: bool = False
    any_positive: bool = False
    # Of the clause that has just begun: a NOT, and a field before it.
    negation: bool = False
    field: bool = False

    def close_clause(self, *, negative: bool) -> None:
        self.any_clause = True
        self.any_positive |= not (negative or self.negation)
        self.negation = self.field = False

    @property
    def only_negations(self) -> bool:
        return self.any_clause and not self.any_positive


def only_negations(query: str) -> bool:
    """Tell whether every clause is negative (``NOT a``, ``-a``, ``!a``): with a range beside it nothing matches."""
    groups = [_Group()]
    for found in _CLAUSE.finditer(query):
        group, text = groups[-1], found[0]
        match found.lastgroup:
            case "open":
                groups.append(_Group())
            case "close" if len(groups) > 1:
                groups.pop()
                groups[-1].close_clause(negative=group.only_negations)
            case "sign":
                # A minus after a field is that of a number.
                group.negation |= text != "+" and not group.field
            case "word" if text == "NOT":
                group.negation = True
            case "word" if text.endswith(":") and not text.endswith(r"\:"):
                group.field = True
            case "word" if text not in _JOINTS:
                group.close_clause(negative=False)
            case "value":
                group.close_clause(negative=False)
            case _:
                pass
    return groups[0].only_negations


def checked(query: str) -> str:
    """Return a query that can be put in parentheses beside a range of time.

    Raises:
        ValueError: It cannot; the text goes on after the word ``query``.
    """
    if not query.isascii():
        try:
            query.encode()
        except UnicodeEncodeError:
            message = "holds half a character (a lone surrogate): write the character itself"
            raise ValueError(message) from None
    if mark := unclosed(query):
        message = f"has no partner for the {mark}: close it, or write a backslash before it"
        raise ValueError(message)
    if only_negations(query):
        message = "is only negations, which match nothing once a range of time is added: begin it with *:* AND NOT …"
        raise ValueError(message)
    return query
