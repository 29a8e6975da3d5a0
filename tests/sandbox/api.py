"""A client of the sandbox for its tests."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_genesys_search.sandbox import SandboxServer

ASC = [{"field": "timestamp", "direction": "asc"}]
DESC = [{"field": "timestamp", "direction": "desc"}]
BY_ID = [{"field": "conversationId", "direction": "asc"}]


class Api:
    """Asks a sandbox, with a token of the default client."""

    def __init__(self, server: SandboxServer, *, log_in: bool = True) -> None:
        self.base_url = server.base_url
        self.session = requests.Session()
        self.session.trust_env = False
        if log_in:
            self.log_in()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def ask_token(self, **form: str) -> requests.Response:
        """Ask for a token."""
        given = {
            "grant_type": "client_credentials",
            "client_id": "sandbox",
            "client_secret": "sandbox-secret",
            "scope": "search:query",
        }
        return self.session.post(f"{self.base_url}/oauth/token", data={**given, **form}, timeout=5)

    def log_in(self, **form: str) -> None:
        """Use a new token from now on."""
        self.session.headers["Authorization"] = f"Bearer {self.ask_token(**form).json()['access_token']}"

    def post(self, body: object, *, timeout: float = 5) -> requests.Response:
        """Send any search."""
        return self.session.post(f"{self.base_url}/api/v2/search", json=body, timeout=timeout)

    def ask(
        self,
        query: object = "*",
        *,
        size: object = 200,
        sort: object = ASC,
        page: object = None,
        timeout: float = 5,
        **more: object,
    ) -> requests.Response:
        """Search."""
        body = {"query": query, "type": "conversation", "size": size, "sort": sort, **more}
        return self.post(body if page is None else {**body, "page": page}, timeout=timeout)

    def search(self, query: str = "*", **options: Any) -> dict[str, Any]:
        """Search and expect a page."""
        answer = self.ask(query, **options)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def follow(
        self,
        query: str = "*",
        *,
        before_each: Callable[[], object] | None = None,
        **options: Any,
    ) -> Iterator[dict[str, Any]]:
        """Follow tokens to the end."""
        page = self.search(query, **options)
        yield page
        while "nextPage" in page:
            if before_each:
                before_each()
            page = self.search(query, page=page["nextPage"], **options)
            yield page

    def all_ids(self, query: str = "*", **options: Any) -> list[str]:
        """The ids on all pages."""
        return [record["id"] for page in self.follow(query, **options) for record in page["results"]]

    def admin(self, path: str, body: object = None) -> Any:
        """Use an admin route."""
        url = f"{self.base_url}/admin/{path}"
        answer = self.session.get(url, timeout=10) if body is None else self.session.post(url, json=body, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()


def until(happens: Callable[[], bool], seconds: float = 5) -> None:
    """Wait until something happens."""
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
