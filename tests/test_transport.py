"""How a request travels: headers and body together, through a proxy and TLS too; and the pool that it travels by."""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import requests

from tap_genesys_search.errors import ConfigurationError
from tap_genesys_search.retry import Transient
from tap_genesys_search.transport import _bounded, new_session, send, settings_for
from tests.support.fakes import serving
from tests.support.valkey import certificates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fakes import Handler

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BODY = b'{"query": "*"}'


@contextmanager
def answering(tls: ssl.SSLContext | None = None, *, is_proxy: bool = False) -> Iterator[tuple[int, list[bytes]]]:
    """A host that notes what each look at its socket brings; a proxy, in front of TLS, opens the tunnel itself."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        if is_proxy:
            assert connection.recv(65_536).startswith(b"CONNECT ")
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        if tls is not None:
            connection = tls.wrap_socket(connection, server_side=True)
        with connection:
            while data := connection.recv(65_536):
                heard.append(data)
                if data.startswith(b"GET") or data.endswith(BODY):
                    connection.sendall(ANSWER)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with listener:
        yield listener.getsockname()[1], heard
    thread.join(10)


def asking(session: requests.Session, url: str, body: bytes | None = BODY, **settings: object) -> None:
    request = requests.Request("POST" if body else "GET", url, data=body).prepare()
    reply = send(session, request, settings_for(session, url) | settings, timeout=5)
    assert (reply.status, reply.body) == (200, b"{}")


def test_headers_and_body_are_sent_together() -> None:
    with answering() as (port, heard), new_session() as session:
        for _ in range(2):
            asking(session, f"http://127.0.0.1:{port}/")
        asking(session, f"http://127.0.0.1:{port}/", body=None)
    assert len(heard) == 3
    assert all(each.startswith(b"POST /") and each.endswith(b"\r\n\r\n" + BODY) for each in heard[:2])
    assert heard[2].startswith(b"GET /")


def test_a_body_that_comes_along_with_the_headers_follows_them() -> None:
    """As urllib3 gives it before 2.0; and what was given up is not sent in front of it."""
    with answering() as (port, heard):
        connection = _bounded(http.client.HTTPConnection)("127.0.0.1", port, timeout=5)
        connection.putrequest("POST", "/given-up")
        connection.endheaders()
        connection.close()
        connection.request("POST", "/", body=BODY)
        assert connection.getresponse().read() == b"{}"
        connection.close()
    assert b"".join(heard).startswith(b"POST / ")
    assert b"".join(heard).endswith(b"\r\n\r\n" + BODY)


@pytest.mark.parametrize("through_proxy", [False, True])
def test_within_tls_too(tmp_path: Path, through_proxy: bool) -> None:
    authority, both = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    with answering(context, is_proxy=through_proxy) as (port, heard), new_session() as session:
        proxies = {"https": f"http://127.0.0.1:{port}"} if through_proxy else {}
        for _ in range(2):
            asking(session, f"https://127.0.0.1:{port}/", verify=str(authority), proxies=proxies)
    assert len(heard) == 2
    assert all(each.endswith(b"\r\n\r\n" + BODY) for each in heard)


def test_a_session_that_was_closed_opens_new_connections() -> None:
    with new_session() as session:
        for _ in range(2):
            with answering() as (port, heard):
                asking(session, f"http://127.0.0.1:{port}/")
                session.close()
            assert len(heard) == 1


def test_other_settings_for_the_same_address_are_another_pool(tmp_path: Path) -> None:
    """What was trusted once is not trusted without its certificate."""
    authority, both = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    with answering(context) as (port, _), new_session() as session:
        url = f"https://127.0.0.1:{port}/"
        asking(session, url, verify=str(authority))
        pools = {
            id(session.get_adapter(url).get_connection_with_tls_context(request, verify=verify))  # type: ignore[attr-defined]
            for request in (requests.Request("POST", url, data=BODY).prepare(),)
            for verify in (str(authority), True)
        }
    assert len(pools) == 2


def test_a_bundle_of_certificates_that_is_none_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a retry mends, nor the region."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such.pem")
    with pytest.raises(ConfigurationError, match=r"no way to api\.invalid: check REQUESTS_CA_BUNDLE \(.*/no/such.pem"):
        asking(new_session(), "https://api.invalid/")


def test_a_reset_in_the_middle_of_a_body_is_no_missing_connection() -> None:
    """Status and a part have come: it is not base_url that is wrong."""

    def answer(handler: Handler) -> None:
        handler.reply(200, b"x" * 2000, Content_Length="50000")
        handler.wfile.flush()
        # A reset takes away what has not been read yet: let the head be read.
        time.sleep(0.2)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.close_connection = True
        handler.connection.close()

    with serving(answer) as server, pytest.raises(Transient) as caught:
        asking(new_session(), f"{server.url}/api/v2/search")
    line = str(caught.value.error)
    assert line.startswith("only a part of an answer came from 127.0.0.1")
    assert line.endswith("(the connection was closed)")
