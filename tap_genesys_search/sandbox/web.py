"""One request and its answer, down to the connection under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

Headers: TypeAlias = "list[tuple[bytes, bytes]]"

TRANSPORT = "sandbox.transport"
JSON_TYPE = b"application/json"
HTML = b"<!DOCTYPE html><html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n"


class Refusal(Exception):  # noqa: N818 - an answer, not an error
    """An answer other than what was asked for."""

    content_type = JSON_TYPE

    def __init__(self, status: int, message: str, headers: Headers | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or []

    def body(self, correlation: str) -> bytes:
        """Give what is sent."""
        raise NotImplementedError


class ApiError(Refusal):
    """An answer in the platform's error shape; `answered` is the status of the answer, if not that of the error."""

    def __init__(
        self, status: int, code: str, message: str, headers: Headers | None = None, *, answered: int | None = None
    ) -> None:
        super().__init__(answered or status, message, headers)
        self._error = {"message": message, "code": code, "status": status}

    def body(self, correlation: str) -> bytes:
        """Give the error, as the platform writes it."""
        return msgspec.json.encode({**self._error, "contextId": correlation, "details": [], "errors": []})


class OAuthError(Refusal):
    """A refusal in the shape of OAuth."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(status, description)
        self._body = msgspec.json.encode({"error": error, "description": description})

    def body(self, correlation: str) -> bytes:  # noqa: ARG002 - the shape of an answer
        """Give the error, as OAuth writes it."""
        return self._body


class ProxyPage(Refusal):
    """A page that some proxy writes."""

    content_type = b"text/html"

    def body(self, correlation: str) -> bytes:  # noqa: ARG002 - the shape of an answer
        """HTML."""
        return HTML


class Dropped(Exception):  # noqa: N818 - what happens to a connection, not an error
    """The connection closes without an answer."""


class Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send

    def header(self, name: bytes) -> str | None:
        """Give a header of the request; `name` in small letters."""
        for key, value in self.scope["headers"]:
            if key == name:
                return bytes(value).decode("latin-1")
        return None

    async def body(self) -> bytes:
        """Give the body of the request."""
        message = await self._receive()
        if not message.get("more_body"):
            return bytes(message.get("body", b""))
        parts = [message.get("body", b"")]
        while message.get("more_body"):
            message = await self._receive()
            parts.append(message.get("body", b""))
        return b"".join(parts)

    async def answer(self, status: int, body: bytes, headers: Headers) -> None:
        """Send a whole answer."""
        await self._start(status, body, headers)
        await self._send({"type": "http.response.body", "body": body})

    async def cut(self, status: int, body: bytes, headers: Headers) -> None:
        """Send half an answer that promises all of it, then close the connection."""
        await self._start(status, body, headers)
        await self._send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        await self.drop()

    async def drop(self) -> None:
        """Close the connection."""
        transport = self.scope["extensions"][TRANSPORT]
        transport.close()
        message = await self._receive()
        while message["type"] != "http.disconnect":
            message = await self._receive()

    async def _start(self, status: int, body: bytes, headers: Headers) -> None:
        headers.append((b"content-length", str(len(body)).encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
