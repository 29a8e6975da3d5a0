"""The code blocks of the docs, and the commands in those for a shell."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]

_BLOCK = re.compile(r"^([ ]*)```(\w*)\n(.*?)^[ ]*```$", re.MULTILINE | re.DOTALL)
_HEREDOC = re.compile(r"<<'(\w+)'\n.*?^\1$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"(^|\s)#\s.*$", re.MULTILINE)
_ASSIGNMENT = re.compile(r"(\w+)=(.*)", re.DOTALL)
_ENDS = {"\n", "|", "||", "&&", ";", "&"}


@dataclass(frozen=True)
class Block:
    """A fenced block: its page's name, the line it begins at, its language and its text."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        """What pytest calls it."""
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One program's call: its words, and the variables set for it."""

    words: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()


def blocks(page: Path) -> list[Block]:
    """The blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page.name if page.parent == DOCS else "/README.md",
            text.count("\n", 0, found.start()) + 1,
            found[2],
            dedent(found[3]),
        )
        for found in _BLOCK.finditer(text)
    ]


def commands(script: str) -> list[Command]:
    """The commands of a script that has no more than pipes, lists, redirections, variables and quotes."""
    script = _COMMENT.sub("", _HEREDOC.sub("", script.replace("\\\n", " ")))
    lexer = shlex.shlex(script, posix=True, punctuation_chars=";<>|&\n")
    lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t", "", True
    found: list[Command] = []
    words: list[str] = []
    skips = False
    # Punctuation that touches comes as one word: "|\n".
    for token in [
        part for word in lexer for part in (re.findall(r"\n|\|\||&&|\||&|;|[<>]+", word) if _is_sign(word) else [word])
    ]:
        if skips:
            skips = False
        elif token in _ENDS:
            found += _command(words)
            words = []
        elif set(token) <= set("<>"):
            skips = True
        else:
            words.append(token)
    return found + _command(words)


def _is_sign(word: str) -> bool:
    return bool(word) and set(word) <= set(";<>|&\n")


def _command(words: list[str]) -> list[Command]:
    variables = []
    while words and (found := _ASSIGNMENT.fullmatch(words[0])):
        variables.append((found[1], found[2]))
        words = words[1:]
    return [Command(tuple(words), tuple(variables))] if words or variables else []
