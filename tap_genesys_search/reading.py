"""A range of time to pages in order: what to ask next, what to keep, what to pass on. Pure: no threads, no I/O.

The range is cut into slices that are read side by side, each by its own seek, and passed on in order. The reading is a
list of slices in that order; the gaps that nobody reads yet are slices too, of which a piece is cut off when a worker
asks for something to do. Whoever drives it (`workers.py`) asks `take` for a ticket, hands the answer to `deliver`, and
collects pages with `pop`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tap_genesys_search import timestamps
from tap_genesys_search.pagination import SeekCursor
from tap_genesys_search.question import Ask, Axis, Question
from tap_genesys_search.read_ahead import BUFFER_BYTES, LEAST_PAGES, ReadAhead
from tap_genesys_search.slices import Page, Progress, Slice, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_genesys_search.errors import GenesysSearchError
    from tap_genesys_search.records import Answer, Batch

#: Pages that a slice holds at least where it is the end of the range, and there is nothing else to do.
_LEAST_LAST_PAGES: Final = 3


class Reading:
    """The state of a reading.

    Args:
        low: First instant of the range, milliseconds since 1970.
        high: End of the range, exclusive.
        axis: Its direction.
        page_size: Records asked for at a time, 1 to 200.
        slice_records: Records that a slice aims for.
        max_age: Seconds that a page may wait between being asked for and being collected; older ones are asked again.
        workers: How many questions may be under way at once, looked up each time.
        fix_end: Called once, with the first answer; returns a nearer end for a reading that goes upwards, or None.
        limit: About how many records will be collected; a hint that keeps workers from reading further.
        eager: Whether all pages will be collected, so that none is asked for in vain.
        buffer_bytes: Bytes of answers that may wait to be collected.
    """

    def __init__(
        self,
        low: int,
        high: int,
        *,
        axis: Axis = Axis.OLDEST_FIRST,
        page_size: int = 200,
        slice_records: int = 4000,
        max_age: float = 300.0,
        workers: Callable[[], int] = lambda: 1,
        fix_end: Callable[[Answer], int | None] = lambda _: None,
        limit: int | None = None,
        eager: bool = False,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        """Begin with one slice, the whole range."""
        start, end = axis.span(low, high)
        self.axis = axis
        self.progress = Progress(most=limit)
        self._slices: deque[Slice] = deque([Slice(SeekCursor(start, end, axis, page_size), start, end, taken=True)])
        self._page_size = page_size
        self._max_age = max_age
        self._fix_end = fix_end
        self._ahead = ReadAhead(
            self.progress,
            page_size=page_size,
            slice_records=slice_records,
            workers=workers,
            limit=limit,
            eager=eager,
            buffer_bytes=buffer_bytes,
        )
        self._begun = False
        # Whether a worker has asked in vain since the last ticket.
        self._starved = False
        # Whether the reader has asked for a page in vain since its last one.
        self._awaited = False
        self._timeless: set[str] = set()
        self._rewound: Slice | None = None

    @property
    def done(self) -> bool:
        """Whether every page has been collected."""
        return not self._slices

    @property
    def wants_worker(self) -> bool:
        """Whether one more question could be under way."""
        return self._ahead.under_way < self._ahead.workers

    # Asking

    def take(self, now: float) -> Ticket | None:
        """Return the next question, the earliest first; None if there is nothing to ask until an answer or a pop.

        Args:
            now: Monotonic seconds.
        """
        if not self.wants_worker or (not self._begun and self._ahead.under_way):
            return None
        for index, piece in enumerate(self._slices):
            if piece.ticket is not None or piece.cursor is None:
                continue
            is_next = index == 0 and not piece.pages
            if not is_next and self._ahead.is_far_ahead():
                return None
            if not (is_next or self._has_room(piece)):
                break
            # What the reader waits for is wanted whatever the limit says, which is a guess.
            if not (is_next and self._awaited) and not self._ahead.is_wanted(self._slices, index):
                return None
            return self._issue(index, now)
        self._starved = True
        return None

    def _has_room(self, piece: Slice) -> bool:
        return self._ahead.has_room(piece) and (piece.taken or self._ahead.has_room_to_begin(self._slices))

    def _issue(self, index: int, now: float) -> Ticket:
        piece = self._slices[index]
        edge = not piece.taken and self._ahead.needs_edge(piece)
        if not (piece.taken or edge):
            self._cut_off(index)
        assert piece.cursor is not None  # noqa: S101 - only slices with a question come here
        question = self._edge_question(piece) if edge else piece.cursor.question()
        piece.ticket = Ticket(question, piece, now, edge)
        self._ahead.under_way += 1
        self._starved = False
        return piece.ticket

    def _cut_off(self, index: int) -> None:
        """Make a slice of about the aimed-for size out of a gap, and leave the rest of the gap behind it."""
        gap = self._slices[index]
        assert gap.cursor is not None  # noqa: S101 - only slices with a question come here
        gap.taken = True
        self.progress.slices += 1
        width = self._ahead.slice_width()
        middle = timestamps.END if width is None else self.axis.nameable(gap.start + width)
        if width is None or gap.end - gap.start <= width * 1.5 or middle >= gap.end:
            return
        rest = SeekCursor(middle, gap.end, self.axis, self._page_size, width=gap.cursor.width)
        self._slices.insert(index + 1, Slice(rest, middle, gap.end))
        gap.cursor = replace(gap.cursor, end=middle)
        gap.end = middle

    def _edge_question(self, gap: Slice) -> Question:
        low, high = self.axis.span(gap.start, gap.end)
        return Question(low, high, self.axis.reverse, size=1)

    # Answers

    def deliver(self, ticket: Ticket, answer: Answer) -> None:
        """Take the answer to a question.

        Raises:
            ContractError: The answer breaks what the proof rests on.
        """
        piece = self._settle(ticket)
        if piece is None:
            return
        if ticket.edge:
            self._close_edge(piece, answer)
            return
        cursor = piece.cursor
        assert cursor is not None  # noqa: S101 - it had a question
        if not self._begun:
            cursor, answer = self._begin(piece, cursor, answer)
        batch, piece.cursor = cursor.advance(answer)
        self._drop_timeless(batch)
        self._ahead.follow(ticket.question, answer)
        size = answer.size if len(batch) else 0
        last = batch.last
        place = cursor.at if last is None else self.axis.place(last)
        asked_at = ticket.asked_at if answer.sent_at is None else answer.sent_at
        piece.pages.append(Page(batch, asked_at, cursor, place, size, again=piece is self._rewound))
        self._rewound = None if piece is self._rewound else self._rewound
        self._ahead.keep(piece.pages[-1])
        # It may have been alone when it began, or a first page that reached far may have shown a wrong width.
        if self.progress.slices == 0 or (self._starved and len(self._slices) == 1 and piece.end >= timestamps.END):
            self._cut(piece)
        elif self._starved:
            self._share(piece, answer)
        self.progress.slices = max(1, self.progress.slices)
        self._drop_finished()

    def refuse(self, ticket: Ticket, error: GenesysSearchError) -> None:
        """Take a refusal (400): go on another way, or raise it."""
        self._go_on(ticket, error, SeekCursor.refused)

    def too_slow(self, ticket: Ticket, error: GenesysSearchError) -> None:
        """Take a time-out that the retries did not cure: ask for less, or raise it."""
        self._go_on(ticket, error, SeekCursor.narrowed)

    def _go_on(self, ticket: Ticket, error: GenesysSearchError, way: Callable[[SeekCursor], SeekCursor | None]) -> None:
        piece = self._settle(ticket)
        if piece is None:
            return
        if ticket.edge and way is SeekCursor.narrowed:
            piece.taken = True
            return
        cursor = None if ticket.edge or piece.cursor is None else way(piece.cursor)
        if cursor is None:
            raise error
        piece.cursor = cursor

    def _settle(self, ticket: Ticket) -> Slice | None:
        """Take a ticket back; None if its slice has been thrown away meanwhile."""
        self._ahead.under_way -= 1
        if ticket.slice.ticket is not ticket:
            return None
        ticket.slice.ticket = None
        return ticket.slice

    def _begin(self, piece: Slice, cursor: SeekCursor, answer: Answer) -> tuple[SeekCursor, Answer]:
        """Fix the range's end by the first answer, and plan by its totals."""
        self._begun = True
        whole = cursor.width is None
        self.progress.total = answer.total if whole else None
        self._ahead.begin(self.progress.total)
        end = self._fix_end(answer)
        if end is not None:
            stamps = [None if s is None else timestamps.parse(s) for s in answer.stamps]
            known = [stamp for stamp in stamps if stamp is not None]
            keep = [index for index, stamp in enumerate(stamps) if stamp is None or stamp < end]
            asked = cursor.until
            cursor = cursor.clipped(end)
            piece.end = min(piece.end, end)
            # What lies beyond the range that was asked for is no reason to be content.
            honest = known == sorted(known) and all(stamp < asked for stamp in known[-1:])
            if end <= cursor.at or (len(keep) < len(stamps) and honest):
                answer = replace(answer.only(keep), token=None)
        first = next((s for s in answer.stamps if s is not None), None)
        if first is not None and answer.total and whole:
            span = piece.end - self.axis.place(timestamps.parse(first))
            if piece.end < timestamps.END:
                self._ahead.pace.milliseconds = max(0, span) / answer.total
        return cursor, answer

    def _close_edge(self, gap: Slice, answer: Answer) -> None:
        """The oldest record of an open gap is known: widths fit up to it, and so that no range begins with just it.

        What lies beyond is asked for once all the same: one record is no proof that the sort was honoured.
        """
        stamps = [s for s in answer.stamps if s is not None]
        if gap.cursor is None:
            return
        edge = self.axis.place(timestamps.parse(stamps[0])) + 2 if stamps else gap.start
        # The first instant of all has none before it.
        edge -= self.axis.nameable(edge) != edge
        if gap.start < edge < gap.end:
            beyond = SeekCursor(edge, gap.end, self.axis, self._page_size)
            self._slices.insert(self._slices.index(gap) + 1, Slice(beyond, edge, gap.end, taken=True))
            gap.end = edge
            gap.cursor = gap.cursor.clipped(edge)
        else:
            # An empty answer among them: what knows what stood here doubts it.
            gap.taken = True

    def _drop_timeless(self, batch: Batch) -> None:
        """A record without a usable timestamp lies in no range, so only its id can tell that it came before."""
        if None not in batch.stamps:
            return
        keep = [i for i, s in enumerate(batch.stamps) if s is not None or batch.ids[i] not in self._timeless]
        self._timeless.update(batch.ids[i] for i in keep if batch.stamps[i] is None)
        batch.records = [batch.records[i] for i in keep]
        batch.ids = [batch.ids[i] for i in keep]
        batch.stamps = [batch.stamps[i] for i in keep]

    def _cut(self, piece: Slice) -> None:
        """End a slice at its present place, and leave the rest of it to all."""
        width = self._ahead.slice_width()
        if piece.cursor is None or width is None or piece.end - piece.cursor.at <= width:
            return
        mine, rest = piece.cursor.cut()
        if rest is not None:
            self._slices.insert(self._slices.index(piece) + 1, Slice(rest, rest.at, rest.end, follows=mine is None))
            piece.cursor = mine
            piece.end = rest.at

    def _share(self, piece: Slice, answer: Answer) -> None:
        """Leave parts of the rest of a slice to workers that have nothing to do, as much as its last page lets expect.

        They wait where the buffer is full of what comes after this slice, or where it is the last.
        """
        cursor, idle = piece.cursor, self._ahead.workers - self._ahead.under_way - 1
        if cursor is None or cursor.by is not Ask.TIME or idle < 1:
            return
        # Where the buffer is full nobody could read parts of any slice but the first.
        if piece is not self._slices[0] and not self._ahead.has_room(piece):
            return
        span = answer.span
        if span is None or cursor.at <= timestamps.BEGIN or piece.end >= timestamps.END:
            return
        left = len(answer.stamps) * (piece.end - cursor.at) / max(1, span)
        parts = int(min(idle + 1, left / self._part(piece, left), piece.end - cursor.at))
        edges = [cursor.at + (piece.end - cursor.at) * part // parts for part in range(1, parts)]
        for low, high in zip(reversed(edges), [piece.end, *reversed(edges)], strict=False):
            part = SeekCursor(low, high, self.axis, self._page_size, width=cursor.width)
            self._slices.insert(self._slices.index(piece) + 1, Slice(part, low, high, taken=True, shared=True))
        if edges:
            self.progress.slices += len(edges)
            piece.cursor, piece.end = cursor.clipped(edges[0]), edges[0]
            piece.shared = True

    def _part(self, piece: Slice, left: float) -> float:
        """How many records a part of what is left of a slice should hold."""
        if not all(each.taken for each in self._slices):
            return LEAST_PAGES * self._page_size
        # Nothing else is left to do: all should end at the same time.
        others = sum(self._ahead.left(each) for each in self._slices if each is not piece)
        # What lies behind a limit is not waited for, and the emptiness at an end of the range holds nothing.
        known = [count for count in (self.progress.total, self.progress.most) if count is not None]
        others = min([others, *(max(0, count - self.progress.records) for count in known)])
        return max(_LEAST_LAST_PAGES * self._page_size, (left + others) / self._ahead.workers)

    # Passing on

    def pop(self, now: float) -> Page | None:
        """Return the next page in order; None if it is not there yet.

        A page that has waited too long is thrown away with all that was read after it on its strength, and asked for
        again: a record in it may have changed since, and an older version must not be passed on after a newer one. The
        second answer is passed on however long it took, or answers that take longer than that would never end.

        Args:
            now: Monotonic seconds.
        """
        self._awaited = True
        while self._slices and self._slices[0].pages:
            piece = self._slices[0]
            page = piece.pages[0]
            if now - page.asked_at > self._max_age and not page.again:
                self._rewind(piece)
                return None
            piece.pages.popleft()
            self._ahead.let_go([page])
            self.progress.pages += 1
            self.progress.records += len(page.batch)
            held = now - page.asked_at
            self.progress.seconds_held += held
            self.progress.longest_held = max(self.progress.longest_held, held)
            self._drop_finished()
            if len(page.batch):
                self._awaited = False
                return page
        return None

    def _rewind(self, piece: Slice) -> None:
        """Go back to the slice's first waiting page; the slices that follow it are thrown away with it."""
        cursor = piece.pages[0].cursor
        self._rewound = piece
        thrown = self._throw_away(piece)
        while len(self._slices) > 1 and self._slices[1].follows:
            following = self._slices[1]
            thrown |= self._throw_away(following)
            piece.end = following.end
            del self._slices[1]
        piece.cursor = replace(cursor.given_back(thrown), end=piece.end)
        self._timeless -= thrown

    def _throw_away(self, piece: Slice) -> set[str]:
        """Forget what a slice has read and is asking; return the ids of its pages."""
        ids = {identity for page in piece.pages for identity in page.batch.ids}
        self._ahead.let_go(piece.pages)
        self.progress.reread += len(piece.pages)
        piece.pages.clear()
        piece.ticket = None
        return ids

    def _drop_finished(self) -> None:
        while self._slices and self._slices[0].cursor is None and not self._slices[0].pages:
            self._slices.popleft()
