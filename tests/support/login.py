"""A login host, and threads that ask it together."""

from __future__ import annotations

import itertools
import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tap_genesys_search.auth import GenesysAuth
from tests.support.fakes import FakeClock, Server, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.fakes import Handler

SECRET = "s3cr3t+value/with signs"


class LoginHost:
    """Gives the tokens t0ken-1, t0ken-2, …; or what ``script`` says first."""

    def __init__(self, lifetime: float = 3600) -> None:
        self.lifetime = lifetime
        self.script: list[tuple[int, bytes, dict[str, str]]] = []
        self.given = 0
        self.delay = 0.0
        # It answers no one before this is set.
        self.free = threading.Event()
        self.free.set()
        self.asked = threading.Event()
        self.lock = threading.Lock()
        self.together = self.most_together = 0

    def __call__(self, handler: Handler) -> None:
        with self.lock:
            self.together += 1
            self.most_together = max(self.together, self.most_together)
        self.asked.set()
        self.free.wait(10)
        time.sleep(self.delay)
        with self.lock:
            self.together -= 1
        if self.script:
            status, body, headers = self.script.pop(0)
            handler.reply(status, body, **headers)
            return
        self.given += 1
        answer = {"access_token": f"t0ken-{self.given}", "token_type": "bearer", "expires_in": self.lifetime}
        handler.reply(200, json.dumps(answer).encode())

    def waits_for(self, calls: int) -> Callable[[Callable[[], str]], Callable[[], str]]:
        """Answer once so many calls have begun: those that are wrapped with what is returned."""
        self.free.clear()
        self.asked.clear()
        begun = itertools.count(1)

        def wrap(body: Callable[[], str]) -> Callable[[], str]:
            def run() -> str:
                if next(begun) >= calls:
                    # The last of them has a moment to come as far as the others.
                    threading.Timer(0.1, self.free.set).start()
                return body()

            return run

        return wrap

    def after_the_first(self, body: Callable[[], str]) -> Callable[[], str]:
        """Begin once somebody has asked for a token."""

        def run() -> str:
            self.asked.wait(10)
            return body()

        return run

    def fails(self, status: int, body: bytes = b"", times: int = 1, **headers: str) -> None:
        self.script += [(status, body, headers)] * times


@contextmanager
def login(
    host: LoginHost | None = None,
    **settings: Any,
) -> Iterator[tuple[GenesysAuth, LoginHost, Server, FakeClock]]:
    host = host or LoginHost()
    clock = settings.pop("clock", None) or FakeClock()
    with serving(host) as server:
        auth = GenesysAuth("id-1", SECRET, server.url, clock=clock, **settings)
        try:
            yield auth, host, server, clock
        finally:
            auth.close()


def together(*bodies: Callable[[], str]) -> list[object]:
    results: list[object] = [None] * len(bodies)

    def run(place: int) -> None:
        try:
            results[place] = bodies[place]()
        except Exception as error:  # noqa: BLE001 - looked at by the test
            results[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results
