"""How far a reading reads ahead, and how wide its slices are: by the records' pace, the buffer, and the limit."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from tap_genesys_search import timestamps
from tap_genesys_search.slices import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tap_genesys_search.question import Question
    from tap_genesys_search.records import Answer
    from tap_genesys_search.slices import Page, Progress, Slice

#: Bytes of answers that may wait to be passed on. Decoded, they take three to four times as much.
BUFFER_BYTES: Final = 16 * 1024 * 1024

#: Pages that a slice holds at least: its last one is half empty on the average, and is paid for.
LEAST_PAGES: Final = 8

#: The same where a limit is near, behind which all is read in vain.
_LEAST_WANTED_PAGES: Final = 5

#: The part of the buffer that is kept for the parts of slices that are shared: what all wait for must not wait.
_RESERVE: Final = 0.2

#: Pages read ahead for each page collected: one who leaves early has not paid for much.
_AHEAD: Final = 16


class ReadAhead:
    """What is known of the records, what waits, and what may be asked for by that.

    Args:
        progress: How far the reading is.
        page_size: Records asked for at a time.
        slice_records: Records that a slice aims for.
        workers: How many questions may be under way at once, looked up each time.
        limit: About how many records will be collected; None: all.
        eager: Whether all pages will be collected, so that none is asked for in vain.
        buffer_bytes: Bytes of answers that may wait to be collected.

    Attributes:
        pace: Time between two records, as seen last.
        buffered: Bytes of the answers that wait.
        under_way: Questions that have no answer yet.
    """

    def __init__(
        self,
        progress: Progress,
        *,
        page_size: int,
        slice_records: int,
        workers: Callable[[], int],
        limit: int | None,
        eager: bool,
        buffer_bytes: int,
    ) -> None:
        """Nothing is known yet."""
        self._progress = progress
        self._page_size = page_size
        self._slice_records = slice_records
        self._workers = workers
        self._limit = limit
        self._eager = eager
        self._buffer_bytes = buffer_bytes
        self.pace = Pace()
        self.buffered = 0
        self.under_way = 0
        self._waiting = 0
        self._page_bytes = 0.0
        # Whether the limit is near, and expected to be met.
        self._is_near = False

    @property
    def workers(self) -> int:
        """How many questions may be under way at once, 1 or more."""
        return max(1, self._workers())

    def begin(self, total: int | None) -> None:
        """Take note of the range's total, an estimate."""
        self._is_near = self._limit is not None and self._limit <= min(2 * self._slice_records, total or 0)

    def follow(self, question: Question, answer: Answer) -> None:
        """Take note of an answer."""
        self.pace.follow(question, answer)
        # Behind an empty slice the records may have come to their end, whatever the total says.
        self._is_near = self._is_near and (answer.more or bool(answer.records))

    def keep(self, page: Page) -> None:
        """Take note of a page that waits from now on."""
        self._waiting += 1
        self.buffered += page.size
        self._page_bytes = max(page.size, 0.9 * self._page_bytes + 0.1 * page.size)

    def let_go(self, pages: Iterable[Page]) -> None:
        """Take note of pages that wait no longer."""
        for page in pages:
            self._waiting -= 1
            self.buffered -= page.size

    def is_far_ahead(self) -> bool:
        """Tell whether enough pages wait for a reader who may leave."""
        ahead = 1 + _AHEAD * max(0, self._progress.pages - 1)
        return self._waiting + self.under_way >= ahead and not self._eager

    def has_room(self, piece: Slice) -> bool:
        """Tell whether the buffer takes one more page beside those that are under way."""
        room = self._buffer_bytes if piece.shared else (1 - _RESERVE) * self._buffer_bytes
        return self.buffered + (self.under_way + 1) * self._page_bytes <= room

    def has_room_to_begin(self, slices: Iterable[Slice]) -> bool:
        """Tell whether the buffer takes a new slice beside all that those which are read now have yet to bring.

        Without this they would fill it half-read, and wait for the first of them.
        """
        width = self.slice_width()
        if width is None or not self.pace.milliseconds:
            return True
        one = width / self.pace.milliseconds
        # The first one's pages are passed on as they come, and none waits for what has no end to be filled up to.
        waiting = islice(slices, 1, None)
        records = one + sum(min(one, self.left(each)) for each in waiting if each.taken and each.end < timestamps.END)
        expected = records / self._page_size * self._page_bytes
        return self.buffered + expected <= self._buffer_bytes

    def is_wanted(self, slices: Sequence[Slice], index: int) -> bool:
        """Tell whether one more page of a slice is likely to be collected within the limit."""
        if self._limit is None:
            return True
        before = sum(piece.records + self.left(piece) for piece in islice(slices, index))
        return self._progress.records + before + slices[index].records < self._limit

    def left(self, piece: Slice) -> float:
        """Guess how many records a slice has yet to bring."""
        if piece.cursor is None or not self.pace.milliseconds:
            return 0.0
        return (piece.end - piece.cursor.at) / self.pace.milliseconds

    def slice_width(self) -> int | None:
        """How much of the axis holds about a slice's records, by what was seen last; None if nothing is known."""
        pace = self.pace.milliseconds
        if not pace or self.workers <= 1:
            return None
        # Slices that fill the buffer together, as longer ones would wait for each other.
        fitting = self._buffer_bytes / self.workers * self._page_size / max(1.0, self._page_bytes)
        records = min(self._slice_records, max(fitting, LEAST_PAGES * self._page_size))
        if self._limit is not None:
            share = (self._limit - self._progress.records) / self.workers
            records = min(records, max(share, _LEAST_WANTED_PAGES * self._page_size))
        return max(1, int(pace * max(self._page_size, records)))

    def needs_edge(self, gap: Slice) -> bool:
        """Tell whether a gap is open to the past, so that no width fits it until its oldest record is known.

        It need not be known where the limit is met first.
        """
        return gap.end >= timestamps.END and not self._is_near and self.slice_width() is not None
