"""Workers over an index in memory."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

from tap_genesys_search.read_ahead import BUFFER_BYTES
from tap_genesys_search.reading import Reading
from tap_genesys_search.workers import Workers
from tests.support.fakes import FakeClock
from tests.support.index import NOON, Index

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_genesys_search.question import Question
    from tap_genesys_search.records import Answer
    from tap_genesys_search.slices import Page

    Sleep = Callable[[float], None]
    Asking = Callable[[Question, Sleep], Answer]

#: Longer than anything here takes; a test that waits for so long has failed.
PATIENCE = 20.0
SPAN = 1_000_000


def make(count: int = 400, *, ties: int = 0) -> Index:
    stamps = {f"c{number:05d}": NOON + number * SPAN // max(1, count) for number in range(count)}
    return Index(random.Random(1), stamps | {f"t{number:05d}": NOON + 5 for number in range(ties)})


def asking(index: Index) -> Asking:
    """An API that answers one at a time."""
    lock = threading.Lock()

    def ask(question: Question, _: Sleep) -> Answer:
        with lock:
            answer = index.answer(question)
        assert answer is not None
        return answer

    return ask


def workers(
    ask: Asking, count: int = 4, *, at_most: int = 16, clock: FakeClock | None = None, bound: int = BUFFER_BYTES
) -> Workers:
    reading = Reading(
        NOON, NOON + SPAN, page_size=10, slice_records=30, workers=lambda: count, max_age=60, buffer_bytes=bound
    )
    return Workers(reading, ask, clock or FakeClock(), at_most=at_most)


def threads(of: Workers) -> list[threading.Thread]:
    return list(of._threads)


def ids(pages: list[Page]) -> list[str]:
    return [identity for page in pages for identity in page.batch.ids]


def ended(of: Workers) -> bool:
    """Whether all its threads end, waiting for them."""
    for thread in threads(of):
        thread.join(PATIENCE)
    return not any(thread.is_alive() for thread in threads(of))
