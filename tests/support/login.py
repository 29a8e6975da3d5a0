"""A login host, and threads that ask it together."""

from __future__ import annotations

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
        self.lock = threading.Lock()
        self.together = self.most_together = 0

    def __call__(self, handler: Handler) -> None:
        with self.lock:
            self.together += 1
            self.most_together = max(self.together, self.most_together)
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
        thread.join(10)
    return results


def later(body: Callable[[], str]) -> Callable[[], str]:
    def run() -> str:
        time.sleep(0.1)
        return body()

    return run
