"""Running the sandbox: in a thread for tests, or blocking for the command line."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tap_genesys_search.sandbox.app import SandboxApp, create_app
from tap_genesys_search.sandbox.instants import iso
from tap_genesys_search.sandbox.query import read
from tap_genesys_search.sandbox.tokens import Client
from tap_genesys_search.sandbox.web import TRANSPORT

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from types import FrameType, TracebackType

    from tap_genesys_search.sandbox.faults import Faults
    from tap_genesys_search.sandbox.movement import Movement
    from tap_genesys_search.sandbox.world import World, WorldConfig

_BACKLOG = 512
_START_SECONDS = 30
_STOP_SECONDS = 5


class _Protocol(HttpToolsProtocol):
    """Lets the application reach the connection, to close it where no server would."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: self.transport}  # type: ignore[dict-item]


class _Server(uvicorn.Server):
    """Says when it is up, and stops without polling and without raising the signal again."""

    def __init__(self, app: SandboxApp, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Protocol,
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                date_header=False,
                server_header=False,
                proxy_headers=False,
            )
        )
        self._stopping = app.platform.stopping
        self._on_ready = on_ready
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._on_ready()

    async def main_loop(self) -> None:
        await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drop what is under way at once, where the server's own would look for its end every tenth of a second."""
        for server in self.servers:
            server.close()
        for bound in sockets or []:
            bound.close()
        for connection in self.server_state.connections:
            connection.transport.abort()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self) -> None:
        """Stop soon; from any thread or a signal."""
        self.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._signalled) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _signalled(self, _number: int, _frame: FrameType | None) -> None:
        self.stop()


def listen(host: str, port: int) -> socket.socket:
    """Give a listening socket on a loopback address; port 0 is any free one."""
    address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    if not address.is_loopback:
        message = f"the sandbox listens on loopback addresses only, not on {host}"
        raise ValueError(message)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET  # noqa: PLR2004 - of IP
    # asyncio sends small packets at once (TCP_NODELAY) only where the protocol is named.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((str(address), port))
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class SandboxServer:
    """A sandbox in a thread, from `with` to its end."""

    def __init__(
        self,
        world: WorldConfig | None = None,
        faults: Faults | None = None,
        movement: Movement | None = None,
        clients: Iterable[Client] = (Client(),),
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        warm: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.app = create_app(world, faults, movement, clients, clock)
        self._platform = self.app.platform
        self._host, self._port = host, port
        if warm:
            self.world.warm()
        self._ready = threading.Event()
        self._server = _Server(self.app, self._ready.set)
        self._thread: threading.Thread | None = None
        self._base_url: str | None = None

    @property
    def base_url(self) -> str:
        """Where it listens, without a slash at the end."""
        if self._base_url is None:
            message = "the sandbox has not been started"
            raise RuntimeError(message)
        return self._base_url

    @property
    def world(self) -> World:
        """The organisation."""
        return self._platform.world

    @property
    def faults(self) -> Faults:
        """All switches; a change holds from the next request on."""
        return self._platform.faults

    @property
    def movement(self) -> Movement:
        """What moves; a change holds from the next request on."""
        return self._platform.world.movement

    @property
    def stats(self) -> dict[str, int]:
        """All counters by name."""
        return self._platform.stats.snapshot()

    @property
    def issued_tokens(self) -> list[str]:
        """Every token given so far, expired ones included."""
        return self._platform.tokens.issued

    def reset_stats(self) -> None:
        """Count from zero."""
        self._platform.stats.reset()

    def truth(self, query: str | None = None, *, everything: bool = False) -> dict[str, tuple[str, int]]:
        """Timestamp (ISO 8601, milliseconds, `Z`) and version of what is visible now, by id."""
        records = self.world.truth(read(query) if query else None, everything=everything)
        return {record.id: (iso(record.timestamp), record.version) for record in records}

    def start(self) -> None:
        """Begin to listen."""
        bound = listen(self._host, self._port)
        self._base_url = _url(bound)
        self._thread = threading.Thread(target=self._server.run, args=([bound],), name="sandbox", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_SECONDS):
            message = "the sandbox did not start"
            raise RuntimeError(message)

    def stop(self) -> None:
        """Stop to listen; requests under way are dropped."""
        if self._thread is not None:
            self._server.stop()
            self._thread.join(_STOP_SECONDS)
            self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(app: SandboxApp, bound: socket.socket, *, ready: Callable[[str], None] = print) -> None:
    """Serve on a listening socket until SIGINT or SIGTERM; `ready` gets the address once it is up."""
    url = _url(bound)
    with bound:
        _Server(app, lambda: ready(url)).run([bound])
