"""One request over HTTP: sent once, read to its end within its time-out, and its failure said in one line."""

from __future__ import annotations

import functools
import http.client
import io
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import requests
import urllib3
from requests.adapters import HTTPAdapter

from tap_genesys_search.errors import (
    Action,
    ConfigurationError,
    GenesysSearchError,
    PlatformUnavailableError,
    Policy,
    describe,
    place_of,
    policy_for,
    redacted,
)
from tap_genesys_search.retry import Throttled, Transient, Unauthorized, http_date, parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Connections that a session keeps open to a host.
POOL_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def served_at(self) -> float | None:
        """The answer's ``Date`` in seconds since 1970."""
        return http_date(self.headers.get("Date"))


def refusal(reply: Reply, place: str, table: dict[int, Policy], now: float, hidden: Iterable[str] = ()) -> Exception:
    """Return what to raise for an answer that is not 200: a signal, or the error itself where another try is no use.

    Args:
        reply: The answer.
        place: Host and path that gave it.
        table: errors.SEARCH or errors.TOKEN.
        now: Seconds since 1970, for an answer without ``Date``.
        hidden: Secrets that must not be quoted.
    """
    error = describe(reply.status, place, reply.headers, reply.body, table, hidden=hidden)
    action = policy_for(reply.status, table).action
    if action is Action.FAIL:
        return error
    if action is Action.RENEW_TOKEN:
        return Unauthorized(error)
    if action is Action.WAIT:
        told_at = reply.served_at
        return Throttled(
            parse_retry_after(reply.headers.get("Retry-After"), now if told_at is None else told_at), error
        )
    return Transient(error)


def new_session() -> requests.Session:
    """Return a session whose answers arrive within the time-out as a whole, not only each piece of them."""
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, _BoundedAdapter(pool_maxsize=POOL_SIZE))
    return session


def settings_for(session: requests.Session, url: str) -> dict[str, Any]:
    """Return proxies, CA bundle and client certificate for a URL, from session and environment: fixed for a run."""
    settings: dict[str, Any] = dict(session.merge_environment_settings(url, {}, None, None, None))
    del settings["stream"]
    return settings


def send(
    session: requests.Session,
    request: requests.PreparedRequest,
    settings: Mapping[str, Any],
    timeout: float,
    too_slow: type[GenesysSearchError] = PlatformUnavailableError,
) -> Reply:
    """Send a request once and read the answer to its end, whatever its status; redirects are not followed.

    It goes to the session's adapter directly: no cookies, no netrc, no look at a ``Location``.

    Args:
        session: Where the connections are.
        request: Prepared, with all its headers.
        settings: Those of :func:`settings_for`.
        timeout: Seconds for the connection, and again for the answer.
        too_slow: The error when the answer takes longer.

    Raises:
        Transient: There was no answer, or only a part of one.
        ConfigurationError: The URL or that of a proxy is none.
    """
    response = None
    try:
        adapter = session.get_adapter(url=request.url or "")
        response = adapter.send(request, stream=True, timeout=timeout, **settings)
        try:
            body = response.raw.read(decode_content=True)
        except BaseException:
            response.close()
            raise
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, http.client.HTTPException) as error:
        failure = _failure(request.url or "", error, timeout, too_slow, has_begun=response is not None)
        cause = None if "@" in (request.url or "") or _may_show_a_password(error) else error
    else:
        return Reply(response.status_code, response.headers, body)
    # Out of the handler, as the error would else be the context, which the SDK's structured log shows. The cause is for
    # debug logs.
    raise failure from cause


_WRONG_URL: Final = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    urllib3.exceptions.LocationParseError,
)
#: With a sign in a password that must be written as %2F, say, what comes before it is taken for the host, and quoted.
_UNREADABLE: Final = urllib3.exceptions.LocationParseError
_CUT: Final = (http.client.IncompleteRead, urllib3.exceptions.DecodeError)
_CLOSED: Final = (ConnectionResetError, BrokenPipeError)
_REASONS: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...]] = (
    (socket.gaierror, "name not known"),
    (ConnectionRefusedError, "refused"),
    (http.client.IncompleteRead, "the body is shorter than announced"),
    (urllib3.exceptions.DecodeError, "its compression is broken"),
    (_CLOSED, "closed without an answer"),
    (TimeoutError, "timed out"),
    (urllib3.exceptions.TimeoutError, "timed out"),
)


def _failure(
    url: str, error: Exception, timeout: float, too_slow: type[GenesysSearchError], *, has_begun: bool
) -> Exception:
    place = place_of(url)
    host = place.partition("/")[0]
    causes = _causes(error)
    reason = _reason(causes)
    if any(isinstance(cause, _WRONG_URL) for cause in causes):
        return ConfigurationError(f"no way to {host}: check base_url, auth_url and the proxy settings ({reason})")
    if type(error) is OSError and error.errno is None:
        # Requests' own, of a bundle of certificates that is none; no retry brings it.
        return ConfigurationError(f"no way to {host}: check REQUESTS_CA_BUNDLE ({redacted(str(error))})")
    slow = isinstance(error, (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError))
    if slow and not any(isinstance(cause, requests.ConnectTimeout) for cause in causes):
        message = f"no answer from {place} within {timeout:g} s; try again later, or raise request_timeout_seconds"
        return Transient(too_slow(message))
    if has_begun or any(isinstance(cause, _CUT) for cause in causes):
        if any(isinstance(cause, _CLOSED) for cause in causes):
            reason = "the connection was closed"
        return Transient(PlatformUnavailableError(f"only a part of an answer came from {place} ({reason})"))
    message = f"no connection to {host}: check base_url and region, or the network ({reason})"
    return Transient(PlatformUnavailableError(message))


def _may_show_a_password(error: BaseException) -> bool:
    """Whether a text behind an error quotes a URL with a password, or a part of one that could not be taken apart."""
    causes = _causes(error)
    return any(isinstance(cause, _UNREADABLE) or str(cause) != redacted(str(cause)) for cause in causes)


def _reason(causes: list[BaseException]) -> str:
    if any(isinstance(cause, _UNREADABLE) for cause in causes):
        return "one of them is no URL; in a password write / as %2F, # as %23 and ? as %3F"
    via = "the proxy: " if any(isinstance(cause, requests.exceptions.ProxyError) for cause in causes) else ""
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return f"{via}TLS: {redacted(getattr(cause, 'verify_message', '') or cause.reason or 'failed')}"
    for kind, words in _REASONS:
        if any(isinstance(cause, kind) for cause in causes):
            return via + words
    # The innermost cause has the shortest text: each wrapper repeats what it holds.
    texts = sorted(filter(None, (redacted(str(cause)) for cause in causes)), key=len)
    return via + (texts[0][:100] if texts else type(causes[-1]).__name__)


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error and all that lies behind it: requests and urllib3 wrap errors in arguments and attributes."""
    found: list[BaseException] = [error]
    for each in found:
        behind = (each.__cause__, each.__context__, getattr(each, "reason", None), *each.args)
        found += [cause for cause in behind if isinstance(cause, BaseException) and cause not in found]
    return found


class _BoundedRead(io.RawIOBase):
    """A connection's bytes, until a moment: a server that drips one now and then starts no time-out of the socket's."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket, seconds: float) -> None:
        super().__init__()
        self._raw = raw
        self._connection = connection
        # Sockets wait in real time, whatever clock the rest goes by.
        self._end = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        left = self._end - time.monotonic()
        if left <= 0:
            message = "timed out"
            raise TimeoutError(message)
        self._connection.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    """An answer, headers and body, that must be there within the read time-out."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        seconds = sock.gettimeout()
        if seconds and isinstance(self.fp, io.BufferedReader):
            raw: Any = self.fp.detach()
            self.fp = io.BufferedReader(_BoundedRead(raw, sock, seconds))


class _BoundedAdapter(HTTPAdapter):
    """The usual adapter, with connections whose answers are bounded in time.

    It finds the pool of a request again by where it goes and by the settings, which are the same objects for a run.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._pools: dict[str | None, tuple[tuple[Any, Any, Any], Any]] = {}

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: Any,
        proxies: Any = None,
        cert: Any = None,
    ) -> Any:
        settings = (verify, proxies, cert)
        found = self._pools.get(request.url)
        if found is not None and all(mine is its for mine, its in zip(settings, found[0], strict=True)):
            return found[1]
        pool: Any = super().get_connection_with_tls_context(request, verify, proxies, cert)
        pool.ConnectionCls = _bounded(pool.ConnectionCls)
        self._pools[request.url] = settings, pool
        return pool

    def close(self) -> None:
        self._pools.clear()
        super().close()


class _OneWrite:
    """A connection that sends headers and body together: urllib3 sends two packets, and the other side wakes twice."""

    _headers: bytes | None = None
    _in_headers = False

    def endheaders(self: Any, message_body: Any = None, **kwargs: Any) -> None:
        # urllib3 before 2.0 gives the body along, and it goes its own way.
        self._in_headers = message_body is None
        try:
            super().endheaders(message_body, **kwargs)  # type: ignore[misc]  # http.client's, with which it is mixed
        finally:
            self._in_headers = False

    def send(self: Any, data: Any) -> None:
        if self._in_headers:
            self._headers = data
            return
        headers, self._headers = self._headers, None
        super().send(data if headers is None else headers + data)  # type: ignore[misc]

    def getresponse(self: Any) -> Any:
        if self._headers is not None:
            self.send(b"")  # there was no body
        return super().getresponse()  # type: ignore[misc]

    def close(self: Any) -> None:
        self._headers = None
        super().close()  # type: ignore[misc]


@functools.cache
def _bounded(connection: Any) -> Any:
    if issubclass(connection, _OneWrite):
        return connection
    return type(connection.__name__, (_OneWrite, connection), {"response_class": _BoundedResponse})
