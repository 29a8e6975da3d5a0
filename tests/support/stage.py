"""A client of the search API on a stage: login host and API in one, and a clock that only it moves."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from tap_genesys_search.auth import GenesysAuth
from tap_genesys_search.client import SearchClient
from tap_genesys_search.question import Question
from tap_genesys_search.rate_limit import RateBudget
from tests.support.fakes import FakeClock, Server, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.fakes import Handler

SECRET = "s3cr3t-value"
QUESTION = Question(0, 10**12, size=2)
PAGE = {
    "total": 2,
    "results": [
        {"id": f"c{n}", "conversationId": f"c{n}", "timestamp": f"2001-01-01T00:00:0{n}.000Z"} for n in range(2)
    ],
}


def any_token(_: str) -> bool:
    return True


def no_token(_: str) -> bool:
    return False


@dataclass
class Platform:
    """Login host and API in one: answers by its script, then with PAGE; accepts the tokens of ``accepts``."""

    script: list[tuple[int, bytes, dict[str, str]] | Callable[[Handler], None]] = field(default_factory=list)
    tokens: int = 0
    accepts: Callable[[str], bool] = any_token
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    def __call__(self, handler: Handler) -> None:
        if handler.path == "/oauth/token":
            self.tokens += 1
            answer = {"access_token": f"t0ken-{self.tokens}", "expires_in": 3600}
            handler.reply(200, json.dumps(answer).encode())
            return
        token = handler.headers["Authorization"].removeprefix("Bearer ")
        self.seen.append(token)
        if not self.accepts(token):
            handler.reply(401, b'{"message":"bad token %s","code":"bad.credentials"}' % token.encode())
        elif self.script:
            step = self.script.pop(0)
            if callable(step):
                step(handler)
            else:
                status, body, headers = step
                handler.reply(status, body, **headers)
        else:
            handler.reply(200, json.dumps(PAGE).encode(), **self.headers)

    def fails(self, status: int, body: bytes = b"", times: int = 1, **headers: str) -> None:
        self.script += [(status, body, headers)] * times


@dataclass
class Stage:
    """A client and all that it stands on."""

    client: SearchClient
    platform: Platform
    server: Server
    clock: FakeClock
    budget: RateBudget
    auth: GenesysAuth


@contextmanager
def stage(platform: Platform | None = None, **settings: Any) -> Iterator[Stage]:
    platform = platform or Platform()
    clock = FakeClock()
    budget = RateBudget(60_000, clock)
    with serving(platform) as server:
        auth = GenesysAuth("id-1", SECRET, server.url, clock=clock)
        client = SearchClient(auth, server.url, budget=budget, clock=clock, rng=Random(1), **settings)
        try:
            yield Stage(client, platform, server, clock, budget, auth)
            assert budget._in_flight == 0
        finally:
            client.close()
            auth.close()
