"""An instant that more conversations share than a page holds, read by the API's tokens: where nothing better works."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_genesys_search.question import MAX_PAGE_SIZE

if TYPE_CHECKING:
    from tap_genesys_search.records import Answer


@dataclass(slots=True)
class TokenReading:
    """One reading of an instant by its tokens. It counts when no id came twice and every page but the last was full.

    An empty page whose token was followed is not full: its token leads past what it should have held.
    """

    number: int = 1
    previous: set[str] | None = None
    ids: set[str] = field(default_factory=set)
    tokens: set[str | int] = field(default_factory=set)
    counts: bool = True
    empties: int = 0
    short: bool = False
    asked_again: bool = False

    def add(self, answer: Answer) -> None:
        """Take note of a page."""
        if not answer.records:
            self.empties += answer.more
            self.counts = self.counts and not answer.more
            return
        new = {identity for identity in answer.ids if identity is not None}
        if self.short or len(new) != len(answer.ids) or new & self.ids:
            self.counts = False
        self.empties += answer.more and new <= self.ids
        self.short = len(answer.records) < MAX_PAGE_SIZE
        self.ids |= new
