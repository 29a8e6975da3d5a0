"""Threads that ask a reading's questions side by side, and hand its pages on in order."""

from __future__ import annotations

import logging
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from tap_genesys_search.errors import ContractError, QueryError, SearchTimeoutError, traced
from tap_genesys_search.question import Ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_genesys_search.clock import Clock
    from tap_genesys_search.question import Question
    from tap_genesys_search.reading import Reading
    from tap_genesys_search.records import Answer
    from tap_genesys_search.slices import Page, Ticket

    Sleep = Callable[[float], None]

#: Seconds that `close` waits for searches under way. Threads that still wait for an answer then end by themselves.
_PATIENCE: Final = 2.0


_logger: Final = logging.getLogger("tap-genesys-search.workers")


class CancelledError(Exception):
    """The reading was left while this worker was waiting."""


class Workers:
    """Drives a reading with threads.

    Args:
        reading: What to read.
        ask: Asks one question; its second argument sleeps, and raises `CancelledError` once the reading is left.
        clock: Monotonic time.
        at_most: Never more threads than this.
    """

    def __init__(
        self, reading: Reading, ask: Callable[[Question, Sleep], Answer], clock: Clock, *, at_most: int
    ) -> None:
        """Start nothing yet."""
        self._reading = reading
        self._ask = ask
        self._clock = clock
        self._at_most = at_most
        self._threads: list[threading.Thread] = []
        self._idle = 0
        # One lock, and two who wait: the reader for the next page, and workers for something to do.
        self._lock = threading.Lock()
        # No condition, as the reader may be the main thread: what a signal's handler raises while a condition takes its
        # lock back ends in a RuntimeError about that lock.
        self._page_ready: SimpleQueue[None] = SimpleQueue()
        self._room = threading.Condition(self._lock)
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._deadline: float | None = None

    def pages(self) -> Iterator[Page]:
        """Yield the pages in order.

        Raises:
            GenesysSearchError: What a worker met with; everything that was read in order before it has been yielded.
        """
        try:
            while True:
                with self._lock:
                    page = self._reading.pop(self._clock.monotonic())
                    if page is None and (self._reading.done or self._stop.is_set()):
                        break
                    self._call_one()
                if page is None:
                    self._page_ready.get()
                else:
                    yield page
            if self._failure is not None:
                raise self._failure
        finally:
            self.close()

    def close(self) -> None:
        """End the threads: at once where they wait, with their answer where they ask."""
        self._stop.set()
        with self._lock:
            self._room.notify_all()
        # Whoever closes it once more waits no second time.
        if self._deadline is None:
            self._deadline = self._clock.monotonic() + _PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, self._deadline - self._clock.monotonic()))

    def _call_one(self) -> None:
        """Let one more worker look for something to do: one that waits, else a new one. With the lock held."""
        if not self._reading.wants_worker:
            return
        if self._idle:
            self._room.notify()
        elif len(self._threads) < self._at_most:
            thread = threading.Thread(target=self._work, name=f"search-{len(self._threads) + 1}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def _tell_reader(self) -> None:
        """Let the reader look once more. With the lock held."""
        if self._page_ready.empty():
            self._page_ready.put(None)

    def _work(self) -> None:
        try:
            while (ticket := self._next_ticket()) is not None:
                try:
                    answer = self._ask(ticket.question, self._sleep)
                except SearchTimeoutError as error:
                    with self._lock:
                        self._reading.too_slow(ticket, error)
                    _logger.info("A search over %s took too long; asking for less", ticket.question.range_text)
                except QueryError as error:
                    if ticket.question.by is Ask.TIME:
                        raise
                    with self._lock:
                        self._reading.refuse(ticket, error)
                else:
                    with self._lock:
                        try:
                            self._reading.deliver(ticket, answer)
                        except ContractError as error:
                            raise traced(error, answer.trace) from None
        except CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised again by the thread that reads
            with self._lock:
                self._failure = self._failure or error
                self._stop.set()
        finally:
            with self._lock:
                self._tell_reader()
                self._room.notify_all()

    def _next_ticket(self) -> Ticket | None:
        with self._lock:
            self._tell_reader()
            while not self._stop.is_set():
                ticket = self._reading.take(self._clock.monotonic())
                if ticket is not None:
                    self._call_one()
                    return ticket
                self._idle += 1
                self._room.wait()
                self._idle -= 1
        return None

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise CancelledError
