"""Time, chance and servers under a test's control."""

from __future__ import annotations

import heapq
import itertools
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: 2023-11-14T22:13:20Z
START = 1_700_000_000.0


class FakeClock:
    """Time that passes only when someone sleeps; ``sleeps`` tells for how long each time."""

    def __init__(self, start: float = START) -> None:
        self.now = start
        self.sleeps: list[float] = []

    def time(self) -> float:
        """Seconds since 1970."""
        return self.now

    def monotonic(self) -> float:
        """Seconds since some other moment."""
        return self.now - START

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass at once."""
        self.sleeps.append(seconds)
        self.now += seconds


class Timeline(FakeClock):
    """The virtual time of several threads: one runs at a time, the one that has to wake first."""

    def __init__(self, start: float = START) -> None:
        super().__init__(start)
        self._order = itertools.count()
        self._due: list[tuple[float, int, threading.Semaphore]] = []
        self._idle = threading.Semaphore(0)
        self._mine = threading.local()

    def sleep(self, seconds: float) -> None:
        """Let the others run until so many seconds have passed."""
        wake: threading.Semaphore = self._mine.wake
        heapq.heappush(self._due, (self.now + seconds, next(self._order), wake))
        self._idle.release()
        wake.acquire()

    def run(self, *bodies: Callable[[], object]) -> None:
        """Run all to their ends; raise the first exception of one."""
        failures: list[BaseException] = []

        def thread(body: Callable[[], object], wake: threading.Semaphore) -> None:
            self._mine.wake = wake
            wake.acquire()
            try:
                body()
            except BaseException as error:  # noqa: BLE001 - raised below
                failures.append(error)
            self._idle.release()

        for body in bodies:
            wake = threading.Semaphore(0)
            threading.Thread(target=thread, args=(body, wake), daemon=True).start()
            heapq.heappush(self._due, (self.now, next(self._order), wake))
        while self._due and not failures:
            moment, _, wake = heapq.heappop(self._due)
            self.now = max(self.now, moment)
            wake.release()
            self._idle.acquire()
        if failures:
            raise failures[0]


class Handler(BaseHTTPRequestHandler):
    """Answers POST through the server's ``answer``, and keeps what was asked; ``body`` is that of its own request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server
    body: bytes

    def do_POST(self) -> None:
        """Read the request, note it and answer."""
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.path, dict(self.headers), self.body))
        self.server.answer(self)

    def reply(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        """Send a whole answer; header names are written with ``_`` for ``-``."""
        self.send_response_only(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class Server(ThreadingHTTPServer):
    """A server on loopback: ``answer`` is given the handler of each request."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, answer: Callable[[Handler], None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.asked: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """A client that went away is part of the test."""


@contextmanager
def serving(answer: Callable[[Handler], None]) -> Iterator[Server]:
    """Run a server for a while."""
    with Server(answer) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
