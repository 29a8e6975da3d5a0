"""A mail server on loopback that keeps what it gets."""

from __future__ import annotations

import email
import email.policy
import socketserver
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class _Handler(socketserver.StreamRequestHandler):
    """As much of SMTP as a client needs."""

    server: Mailbox

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            command = line.strip().upper()
            if command == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines: list[bytes] = []
                while (text := self.rfile.readline()) not in {b".\r\n", b""}:
                    lines.append(text)
                self.server.raw.append(b"".join(lines))
            self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 ok\r\n")


class Mailbox(socketserver.ThreadingTCPServer):
    """The server, and its mail."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.raw: list[bytes] = []
        self.port: int = self.server_address[1]

    @property
    def texts(self) -> list[str]:
        """Subject and body of each mail."""
        found = []
        for raw in self.raw:
            message = email.message_from_bytes(raw, policy=email.policy.default)
            body = message.get_body(("html", "plain"))
            found.append(f"{message['Subject']}\n{'' if body is None else body.get_content()}")
        return found

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()
