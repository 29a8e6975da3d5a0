"""An API that gives a token to anyone, and whose searches a test answers itself."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.support.fakes import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.fakes import Handler, Server

TOKEN = b'{"access_token":"t0ken","token_type":"bearer","expires_in":3600}'


@contextmanager
def serving_searches(answer: Callable[[dict[str, Any]], object]) -> Iterator[Server]:
    """Run it for a while; ``answer`` makes a document, or the bytes of a body, of the body of a search."""

    def reply(handler: Handler) -> None:
        if handler.path == "/oauth/token":
            handler.reply(body=TOKEN)
            return
        found = answer(json.loads(handler.body))
        handler.reply(body=found if isinstance(found, bytes) else json.dumps(found).encode())

    with serving(reply) as server:
        yield server


def settings_for(server: Server, **settings: object) -> dict[str, object]:
    """Settings to read it with."""
    return {"client_id": "me", "client_secret": "s3cret", "base_url": server.url, **settings}
