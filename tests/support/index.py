"""An index as the search contract describes it, in memory: what the reading code is tested against without HTTP."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tap_genesys_search import timestamps
from tap_genesys_search.question import Ask, Axis, Question
from tap_genesys_search.records import Answer

if TYPE_CHECKING:
    import random


#: 2026-10-05T12:00:00Z
NOON = 1_791_201_600_000


def page(*records: tuple[str | None, int | None], more: bool, total: int | None = None) -> Answer:
    """Return an answer that holds these ids and instants in this order."""
    texts = [None if stamp is None else timestamps.write(stamp) for _, stamp in records]
    ids = [identity for identity, _ in records]
    return Answer(
        records=[{"id": identity, "timestamp": text} for identity, text in zip(ids, texts, strict=True)],
        ids=ids,
        stamps=texts,
        token="2" if more else None,
        total=total,
        size=300 * len(records),
        regular=None not in ids and None not in texts,
    )


@dataclass
class Index:
    """Conversations by id; answers questions the way the API would.

    ``id_ranges`` says whether sorting and ranges by conversationId are honoured; ``stable_ties`` whether conversations
    that share a timestamp come in one order; ``depth`` is how deep tokens lead; ``total_error`` is the part of it by
    which a total is too high.
    """

    rng: random.Random
    stamps: dict[str, int] = field(default_factory=dict)
    id_ranges: bool = True
    stable_ties: bool = False
    depth: int = 10_000
    total_error: float = 0.0
    searches: int = 0

    def answer(self, question: Question) -> Answer | None:
        """Return a page, or None where the API would refuse to page so deep."""
        self.searches += 1
        # Whatever is asked must have a text.
        assert question.range_text
        # By far the most of what a test over this index does.
        low, high = question.low, question.high
        hits = [(stamp, key) for key, stamp in self.stamps.items() if low <= stamp < high]
        if not self.stable_ties:
            self.rng.shuffle(hits)
        if question.by is Ask.NO_ID:
            hits = []
        if question.by is Ask.ID and self.id_ranges:
            hits = sorted((hit for hit in hits if hit[1] > (question.after_id or "")), key=lambda hit: hit[1])
        else:
            hits.sort(key=lambda hit: hit[0], reverse=question.axis is Axis.NEWEST_FIRST)
        page = int(question.token) if question.token else 1
        if page * question.size > self.depth:
            return None
        shown = hits[(page - 1) * question.size : page * question.size]
        texts = [timestamps.write(stamp) for stamp, _ in shown]
        return Answer(
            records=[{"id": key, "timestamp": text} for (_, key), text in zip(shown, texts, strict=True)],
            ids=[key for _, key in shown],
            stamps=list(texts),
            token=str(page + 1) if len(hits) > page * question.size else None,
            total=max(0, int(len(hits) * (1 + self.total_error))),
            size=300 * len(shown),
        )


class SortedIndex:
    """The same for many conversations that stay where they are: no work that grows with their number."""

    def __init__(self, stamps: list[int]) -> None:
        """Take the timestamps in ascending order."""
        self.stamps = stamps
        self.searches = 0

    def answer(self, question: Question) -> Answer:
        """Return a page."""
        self.searches += 1
        assert question.range_text
        low, high = bisect_left(self.stamps, question.low), bisect_left(self.stamps, question.high)
        places = range(low, high) if question.axis is Axis.OLDEST_FIRST else range(high - 1, low - 1, -1)
        shown = list(places[: question.size])
        texts = [timestamps.write(self.stamps[place]) for place in shown]
        return Answer(
            records=[{"id": f"c{place:08d}", "timestamp": text} for place, text in zip(shown, texts, strict=True)],
            ids=[f"c{place:08d}" for place in shown],
            stamps=list(texts),
            token="next" if len(places) > question.size else None,
            total=len(places),
            size=300 * len(shown),
        )
