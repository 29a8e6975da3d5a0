"""The seek cursor: an answer to the next question. Pure: no I/O, no clock.

One answer is one atomic look at the first records of its range, so it proves the range up to its last timestamp. The
cursor therefore never follows a page: it asks again from the last timestamp that it was shown, inclusive, and drops the
ids that it has had there. Ranges are half-open and whole milliseconds.

A cursor walks along an axis, always upwards; `Axis.NEWEST_FIRST` turns time round, so that there is one direction to
reason about.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tap_genesys_search import timestamps
from tap_genesys_search.errors import ContractError
from tap_genesys_search.question import MAX_PAGE_SIZE, Ask, Axis, Question
from tap_genesys_search.records import Batch
from tap_genesys_search.token_reading import TokenReading

if TYPE_CHECKING:
    from tap_genesys_search.records import Answer

MAX_EMPTY_PAGES: Final = 100
MAX_EMPTY_PAGES_FOLLOWED: Final = 50
MAX_HALVINGS: Final = 6
MAX_READINGS: Final = 6
#: Times that a doubtful answer is asked for again before it is looked at from the other side.
MAX_LOOKS: Final = 2
#: Times in a row that an index may change just so that an answer and the one before do not fit.
MAX_DOUBTS: Final = 20

#: Where conversations can lie, as far as halving an open range goes; what lies outside is asked for all the same.
_ERA: Final = (timestamps.parse("2005-01-01"), timestamps.parse("2100-01-01"))


@dataclass(frozen=True, slots=True)
class SeekCursor:
    """A place to ask from, and all that is needed to go on from an answer.

    Attributes:
        at: The place to ask from, inclusive.
        end: The end of the range, exclusive.
        known: Ids that were given at ``at``. While an instant is read by id or by token it is one growing set, shared
            by the cursors of that instant.
        back: Where the page that showed ``known`` was asked from.
        before: An instant that filled a page; what lies before it is read first.
        width: How much to ask for at a time, where the whole range was too much.
        doubts: Answers in a row that did not fit what had been shown before.
    """

    at: int
    end: int
    axis: Axis = Axis.OLDEST_FIRST
    size: int = MAX_PAGE_SIZE
    known: frozenset[str] | set[str] = frozenset()
    back: int | None = None
    before: int | None = None
    by: Ask = Ask.TIME
    width: int | None = None
    halvings: int = 0
    empties: int = 0
    doubts: int = 0
    attempt: int = 0
    after_id: str | None = None
    token: str | int | None = None
    reading: TokenReading | None = None

    @property
    def until(self) -> int:
        """The exclusive end of what is asked for now."""
        if self.by is not Ask.TIME:
            return self.at + 1
        wide = timestamps.END if self.width is None else self.axis.nameable(self._bounded()[0] + self.width)
        return min(self._limit, wide)

    @property
    def _limit(self) -> int:
        return self.end if self.before is None else min(self.end, self.before)

    def question(self) -> Question:
        """Return what to ask."""
        if self.by is Ask.CHECK and self.back is not None:
            low, high = self.axis.span(self.back, self.at + 1)
            return Question(low, high, self.axis.reverse, 1, self.by, attempt=self.attempt)
        low, high = self.axis.span(self.at, self.until)
        return Question(
            low,
            high,
            self.axis,
            MAX_PAGE_SIZE if self.by is not Ask.TIME else self.size,
            self.by,
            self.after_id,
            self.token,
            self.attempt,
            single_try=self.width is not None,
        )

    def advance(self, answer: Answer) -> tuple[Batch, SeekCursor | None]:
        """Go on from an answer.

        Returns:
            What it brought that was new, and the next cursor: None when the range is done.

        Raises:
            ContractError: The answer breaks what the proof rests on.
        """
        step = {
            Ask.TIME: self._by_time,
            Ask.CHECK: self._by_check,
            Ask.ID: self._by_id,
            Ask.NO_ID: self._without_id,
            Ask.TOKEN: self._by_token,
        }
        return step[self.by](answer)

    def refused(self) -> SeekCursor | None:
        """Go on after the API refused the question (400): where there is another way to ask, that.

        Raises:
            ContractError: An instant is followed by tokens, and the API pages no deeper.
        """
        if self.by in {Ask.ID, Ask.NO_ID}:
            return self._start_tokens()
        if self.by is Ask.TOKEN:
            seen = len(self.reading.ids) if self.reading else 0
            message = (
                f"the API refuses to page deeper than {seen} conversations into {self._instant}, where more share one"
                " timestamp; it must allow sorting and ranges by conversationId for them to be read"
            )
            raise ContractError(message)
        return None

    def narrowed(self) -> SeekCursor | None:
        """Go on after a time-out: half the range, or None when that has been tried often enough."""
        low, high = self._bounded()
        span = high - low
        if self.by is not Ask.TIME or self.halvings >= MAX_HALVINGS or span <= 1:
            return None
        return replace(self, width=span // 2, halvings=self.halvings + 1, attempt=self.attempt + 1)

    def clipped(self, end: int) -> SeekCursor:
        """Return this cursor with a nearer end."""
        return replace(self, end=min(self.end, end))

    def cut(self) -> tuple[SeekCursor | None, SeekCursor | None]:
        """Cut the range where the reading stands: what has to be finished here, and what another can go on with.

        An instant that is being read by id or by token is finished here. Otherwise there is nothing left to do here,
        and the rest knows the ids at its beginning. What lies before an instant that filled a page stays with it.
        """
        if self.by is Ask.TIME:
            return (None, self) if self.before is None else (self, None)
        behind = self.at + 1
        rest = SeekCursor(behind, self.end, self.axis, self.size, width=self.width) if behind < self.end else None
        return replace(self, end=self.at + 1), rest

    def given_back(self, ids: set[str]) -> SeekCursor:
        """Return this cursor as if those ids, read after it and not passed on, had never been seen."""
        if self.by is Ask.TIME:
            return replace(self, attempt=self.attempt + 1)
        known = set(self.known) - ids
        if self.by is Ask.TOKEN:
            return replace(self, known=known, token=None, reading=TokenReading(), attempt=self.attempt + 1)
        return replace(self, known=known, attempt=self.attempt + 1)

    def _bounded(self) -> tuple[int, int]:
        """Return the range that is asked for now, its open ends replaced."""
        earliest, latest = self.axis.span(*_ERA)
        low = earliest if self.at <= timestamps.BEGIN else self.at
        high = self._limit if self.width is None else min(self._limit, low + self.width)
        return low, max(latest, low) if high >= timestamps.END else high

    @property
    def _instant(self) -> str:
        return timestamps.write(self.axis.place(self.at))

    def _by_time(self, answer: Answer) -> tuple[Batch, SeekCursor | None]:
        stamps = [stamp for stamp in answer.stamps if stamp is not None]
        if not stamps and answer.more:
            if answer.records:
                message = f"a page of {len(answer.records)} conversations with nextPage has no usable timestamp"
                raise ContractError(message)
            return self._batch(answer), self._empty()
        first, last = self._checked_span(stamps) if stamps else (self.at, self.at)
        if self._is_doubtful(answer):
            return Batch(), self._look_again()
        if answer.more and first == last > self.at:
            # One instant shows no order: that it is the first of the range is seen by what lies before it. There may
            # be as much again, as an index is late.
            if self.before is not None and self.doubts >= MAX_DOUBTS:
                raise ContractError(self._disorder)
            return Batch(), replace(self, before=first, doubts=self.doubts + (self.before is not None))
        batch = self._batch(answer)
        if not answer.more:
            return batch, self._range_done(0 if stamps else self.empties)
        at_last = {i for i, s in zip(answer.ids, answer.stamps, strict=True) if s == stamps[-1] and i is not None}
        fresh = replace(
            self, at=last, known=frozenset(at_last), back=self.at, halvings=0, empties=0, doubts=0, attempt=0
        )
        if first != last:
            return batch, fresh
        # What shows an instant to one question and hides it from another, again and again, has an end by its doubts.
        return batch, replace(fresh, by=Ask.ID, known=at_last | self.known, doubts=0 if len(batch) else self.doubts)

    def _is_doubtful(self, answer: Answer) -> bool:
        """Tell whether an answer from `at` on shows nothing there, where something is known to have been.

        Nothing out of some is doubtful too, once: a total decides nothing, but it is a reason to ask again.
        """
        if answer.total and not answer.records and not self.attempt:
            return True
        if self.back is None or not self.known:
            return False
        here = self._instant
        return answer.stamps[:1] != [here] and here not in answer.stamps

    def _look_again(self) -> SeekCursor:
        """Ask again, as one part of an index may be behind another, and at last from the other side."""
        if self.doubts < MAX_LOOKS or self.back is None:
            return replace(self, doubts=self.doubts + 1, attempt=self.attempt + 1)
        return replace(self, by=Ask.CHECK)

    def _by_check(self, answer: Answer) -> tuple[Batch, SeekCursor | None]:
        """Go on where all that was known has moved, unless the API only holds it back.

        It does when it leaves out the beginning of a range, or shows other timestamps than those it searches by: then
        the newest of what lies up to `at` shows itself there, or beyond.
        """
        if answer.more and not answer.records:
            return Batch(), replace(self, empties=self._one_more_empty(), attempt=self.attempt + 1)
        # It may have come, or gone, just now.
        if self.doubts >= MAX_DOUBTS:
            message = (
                f"the API holds back conversations of {self._instant} when it is asked for what lies from there on; it"
                " does not honour ranges on timestamp"
            )
            raise ContractError(message)
        shown = [stamp for stamp in answer.stamps if stamp and self.axis.place(timestamps.parse(stamp)) >= self.at]
        after = replace(self, by=Ask.TIME, known=frozenset(self.known), back=self.back if shown else None, token=None)
        return Batch(), replace(after, reading=None, doubts=self.doubts + 1, attempt=self.attempt + 1)

    def _by_id(self, answer: Answer) -> tuple[Batch, SeekCursor | None]:
        ids = [identity for identity in answer.ids if identity is not None]
        honoured = (
            len(ids) == len(answer.ids)
            and all(self._is_here(stamp) for stamp in answer.stamps)
            and all(before < after for before, after in zip([self.after_id or "", *ids], ids, strict=False))
        )
        if not honoured or (answer.more and not ids and self.attempt):
            return Batch(), self._start_tokens()
        if answer.more and not ids:
            return Batch(), replace(self, attempt=self.attempt + 1)
        if self.after_id is None and self._is_doubtful(answer):
            return Batch(), self._look_again()
        batch = self._batch(answer)
        if answer.more:
            return batch, replace(self, after_id=ids[-1], attempt=0)
        return batch, replace(self, by=Ask.NO_ID, after_id=None, attempt=0)

    def _without_id(self, answer: Answer) -> tuple[Batch, SeekCursor | None]:
        if answer.records or (answer.more and self.attempt):
            return Batch(), self._start_tokens()
        if answer.more:
            return Batch(), replace(self, attempt=self.attempt + 1)
        return Batch(), self._instant_done()

    def _by_token(self, answer: Answer) -> tuple[Batch, SeekCursor | None]:
        reading = self.reading or TokenReading()
        if not all(self._is_here(stamp) for stamp in answer.stamps):
            raise ContractError(self._outside)
        if answer.more and not answer.records and not reading.asked_again:
            reading.asked_again = True
            return Batch(), replace(self, reading=reading, attempt=self.attempt + 1)
        reading.asked_again = False
        if self.token is None and not answer.more and self._is_doubtful(answer):
            return Batch(), self._look_again()
        batch = self._batch(answer)
        reading.add(answer)
        if answer.token is not None:
            if answer.token in reading.tokens or reading.empties > MAX_EMPTY_PAGES_FOLLOWED:
                again = answer.token in reading.tokens
                what = "gives the same token twice" if again else "gives only empty pages, or nothing new,"
                message = f"the API {what} while the conversations of {self._instant} are read; it never ends"
                raise ContractError(message)
            reading.tokens.add(answer.token)
            empties = 0 if answer.records else self._one_more_empty()
            return batch, replace(self, token=answer.token, reading=reading, empties=empties, attempt=0)
        if reading.counts and reading.previous == reading.ids:
            return batch, self._instant_done()
        if reading.number >= MAX_READINGS:
            message = (
                f"the conversations of {self._instant} (about {len(reading.ids)} share that timestamp) read differently"
                f" {MAX_READINGS} times; the API must allow sorting and ranges by conversationId for them to be read"
            )
            raise ContractError(message)
        another = TokenReading(reading.number + 1, reading.ids if reading.counts else None)
        return batch, replace(self, token=None, reading=another, attempt=self.attempt + 1)

    def _start_tokens(self) -> SeekCursor:
        return replace(self, by=Ask.TOKEN, known=set(self.known), after_id=None, attempt=0, reading=TokenReading())

    def _range_done(self, empties: int) -> SeekCursor | None:
        """What was asked for is done; go on behind it, twice as wide."""
        if self.until >= self.end:
            return None
        if self.until == self.before:
            return replace(self, halvings=0, empties=empties)._at_before()  # noqa: SLF001 - its own kind
        # It stays a width where it reaches the end: what took too long once has one try from then on.
        width = min(2 * (self.width or 1), timestamps.END)
        return replace(
            self, at=self.until, known=frozenset(), width=width, halvings=0, empties=empties, doubts=0, attempt=0
        )

    def _instant_done(self) -> SeekCursor | None:
        if self.at + 1 >= self.end:
            return None
        following = SeekCursor(
            self.at + 1,
            self.end,
            self.axis,
            self.size,
            before=self.before,
            width=self.width,
            halvings=self.halvings,
            empties=0 if self.reading is None or self.reading.ids else self.empties,
        )
        return following._at_before() if following.at == self.before else following

    def _at_before(self) -> SeekCursor:
        """Nothing more lies before the instant that filled a page: read that."""
        assert self.before is not None  # noqa: S101 - who calls has looked
        return replace(self, at=self.before, before=None, by=Ask.ID, known=set(), back=None, doubts=0, attempt=0)

    def _empty(self) -> SeekCursor:
        """An empty page that says more follows: ask again, then for less, down to an instant; there follow tokens."""
        empties = self._one_more_empty()
        again = replace(self, empties=empties, attempt=self.attempt + 1)
        # What lies before the year 1 has no narrower name.
        if empties == 1 or self.axis.span(self.at, self._limit)[1] <= timestamps.FIRST:
            return again
        low, high = self._bounded()
        span = high - low
        if span > 1:
            return replace(again, width=span // 2)
        first = timestamps.FIRST if self.axis is Axis.OLDEST_FIRST else self.at
        return replace(again, at=max(self.at, first))._start_tokens()  # noqa: SLF001 - its own kind

    def _one_more_empty(self) -> int:
        empties = self.empties + 1
        if empties >= MAX_EMPTY_PAGES:
            message = f"the API answered {empties} times in a row with an empty page that has a nextPage; it never ends"
            raise ContractError(message)
        return empties

    def _is_here(self, stamp: str | None) -> bool:
        return stamp is None or stamp == self._instant

    @property
    def _outside(self) -> str:
        return (
            f"the API returned a conversation outside the range {self.question().range_text} that was asked for; it"
            " does not honour ranges on timestamp"
        )

    @property
    def _disorder(self) -> str:
        return f"the API returned a page out of order ({self.question().range_text}); it does not honour sort"

    def _checked_span(self, stamps: list[str]) -> tuple[int, int]:
        """Check a page's order and range, and return the places of its first and last record."""
        if stamps != sorted(stamps, reverse=self.axis is Axis.NEWEST_FIRST):
            raise ContractError(self._disorder)
        first, last = (self.axis.place(timestamps.parse(stamp)) for stamp in (stamps[0], stamps[-1]))
        if first < self.at or last >= self.until:
            raise ContractError(self._outside)
        return first, last

    def _batch(self, answer: Answer) -> Batch:
        """Return what is new. Only at the place asked from can a record be known: the rest lies behind it."""
        ids, stamps = answer.ids, answer.stamps
        here = timestamps.write(self.axis.place(self.at)) if self.known else None
        if answer.regular and isinstance(self.known, frozenset) and len(set(ids)) == len(ids):
            head = next((i for i, stamp in enumerate(stamps) if stamp != here), len(stamps))
            # The usual page begins with what is known, and all behind it is new.
            if self.known.issuperset(ids[:head]):
                return Batch(answer.records[head:], ids[head:], stamps[head:])  # type: ignore[arg-type]  # no id is None
        seen: set[tuple[str, str | None]] = set()
        batch = Batch()
        for record, identity, stamp in zip(answer.records, ids, stamps, strict=True):
            if identity is None or (identity, stamp) in seen or (stamp == here and identity in self.known):
                continue
            seen.add((identity, stamp))
            batch.records.append(record)
            batch.ids.append(identity)
            batch.stamps.append(stamp)
        if isinstance(self.known, set):
            self.known.update(batch.ids)
        return batch
