"""Tokens by OAuth client credentials: fetched when needed, renewed in time, shared by threads, and never shown.

``POST {auth_url}`` with the form fields ``grant_type`` and ``scope`` brings ``access_token`` and ``expires_in`` (in
seconds). The published login hosts take the client by HTTP Basic (source: the official Python client,
PureCloudPlatformClientV2 269, ``api_client.get_client_credentials_token``), others in the form body.
"""

from __future__ import annotations

import base64
import threading
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote_plus, urlencode, urlsplit

import msgspec
import requests

from tap_genesys_search import errors, regions
from tap_genesys_search.clock import Clock, SystemClock
from tap_genesys_search.errors import (
    TRACE_HEADER,
    ConfigurationError,
    ContractError,
    GenesysSearchError,
    place_of,
    traced,
)
from tap_genesys_search.retry import Retrier, Transient
from tap_genesys_search.shared_redis import SharedRedis
from tap_genesys_search.shared_tokens import RedisTokenStore
from tap_genesys_search.tokens import LockingStore, MemoryTokenStore, Token, is_lifetime, is_value
from tap_genesys_search.transport import new_session, refusal, send, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from tap_genesys_search.settings import Settings
    from tap_genesys_search.tokens import TokenStore
    from tap_genesys_search.transport import Reply

AuthMethod = Literal["auto", "post", "basic"]

_LOOK_AGAIN: Final = 0.1
_OK: Final = 200


class GenesysAuth:
    """Gives a valid access token to as many threads as ask.

    Args:
        client_id: Of the OAuth client.
        client_secret: Of the OAuth client.
        base_url: Of the API; a published region's means that region's login host.
        auth_url: Where tokens come from, instead of what ``base_url`` means.
        auth_method: How the client is presented: ``basic``, ``post``, or ``auto``: ``basic`` for published login hosts.
        scope: Asked for; empty: none.
        token_store: Where the token is kept; None: in memory.
        session: Instead of one of its own; the caller closes it.
        user_agent: How the client names itself.
        request_timeout_seconds: For the connection, and again for the answer, in seconds.
        max_retries: How many tries may follow the first.
        max_wait_seconds: What the waits that one token request is told to make may add up to, in seconds.
        clock: Time, and the waits between tries; None: this machine's.
        rng: Chance, which spreads the waits of many workers; None: one of its own.

    Attributes:
        tokens_requested: How many requests have gone to the login host.
        shared: The Redis where other workers keep token and rate as well, if the settings name one; closed with this.

    Raises:
        ConfigurationError: ``auth_method`` is unknown, or the URL is none.
    """

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        base_url: str,
        *,
        auth_url: str | None = None,
        auth_method: AuthMethod = "auto",
        scope: str = "search:query",
        token_store: TokenStore | None = None,
        session: requests.Session | None = None,
        user_agent: str | None = None,
        request_timeout_seconds: float = 60,
        max_retries: int = 3,
        max_wait_seconds: float = 600,
        clock: Clock | None = None,
        rng: Random | None = None,
    ) -> None:
        url = _token_url(auth_url, base_url)
        if auth_method not in {"auto", "post", "basic"}:
            message = f"auth_method is {auth_method!r}: it can be auto, post or basic"
            raise ConfigurationError(message)
        if auth_method == "auto":
            auth_method = "basic" if regions.is_login_host(url) else "post"
        pair = base64.b64encode(f"{client_id}:{client_secret}".encode(errors="replace")).decode()
        self._hidden = (client_secret, quote_plus(client_secret), pair)
        self._place = place_of(url)
        self._client_id = client_id
        self._request = _prepared(
            url,
            client_id,
            client_secret,
            basic=pair if auth_method == "basic" else None,
            scope=scope,
            user_agent=user_agent,
        )
        self._owns_session = session is None
        self._session = new_session() if session is None else session
        self._settings = settings_for(self._session, url)
        self._timeout = request_timeout_seconds
        self._retrier = Retrier(max_retries, max_wait_seconds, rng)
        self._clock = clock or SystemClock()
        self._store: TokenStore = MemoryTokenStore() if token_store is None else token_store
        self._lock = threading.Lock()
        #: The token in use, and when to renew it (monotonic): one tuple, as it is read without the lock.
        self._current: tuple[Token, float] | None = None
        self._previous = ""
        self._begun = self._fetched = self._failed = 0
        self.tokens_requested = 0
        self.shared: SharedRedis | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> GenesysAuth:
        """Return what a tap's settings describe, with the token in Redis where they have a ``redis_url``.

        Args:
            settings: What ``Settings.from_config`` of ``tap_genesys_search.settings`` makes of a tap's configuration.

        Raises:
            ConfigurationError: A URL is none, or Redis cannot be used as it is described.
            PlatformUnavailableError: There is no connection to Redis.
        """
        shared = SharedRedis.from_settings(settings)
        auth = cls(
            settings.client_id,
            settings.client_secret,
            settings.base_url,
            auth_url=settings.token_url,
            auth_method=settings.auth_method,
            scope=settings.scope,
            user_agent=settings.user_agent,
            request_timeout_seconds=settings.request_timeout_seconds,
            max_retries=settings.max_retries,
            max_wait_seconds=settings.max_wait_seconds,
            token_store=None if shared is None else RedisTokenStore(shared, settings.client_secret),
        )
        auth.shared = shared
        return auth

    def __repr__(self) -> str:
        return f"{type(self).__name__}(client_id={self._client_id!r}, auth_url={self._place!r})"

    def close(self) -> None:
        """Close the connections, those of ``shared`` included; new ones are opened when it is used again.

        A session that was given stays open.
        """
        if self._owns_session:
            self._session.close()
        if self.shared is not None:
            self.shared.close()

    def hidden(self) -> tuple[str, ...]:
        """Return what no text may show: the secret in its written forms, the token and the one before it."""
        current = self._current
        return (*self._hidden, *filter(None, (current[0].value if current else "", self._previous)))

    def get_token(self, sleep: Callable[[float], None] | None = None) -> str:
        """Return a token that will be valid for a while.

        Args:
            sleep: Lets so many seconds pass, between tries and while another thread fetches; what it raises goes
                through. None: the clock's.

        Raises:
            AuthenticationError: The login host rejects the client.
            MissingPermissionError: The client may not have the scope.
            PlatformUnavailableError: The login host did not answer, or only with errors, within the retries.
            RateLimitError: The login host asks to wait for too long.
            ContractError: The login host's answer holds no token.
            ConfigurationError: There is no login host at this address.
        """
        return self.held() or self._get(sleep, lambda _: True)

    def held(self) -> str | None:
        """Return the token that is in use, without a wait; None: there is none that will be valid for a while."""
        current = self._current
        return current[0].value if current and self._clock.monotonic() < current[1] else None

    def renew(self, refused: str, sleep: Callable[[float], None] | None = None) -> str:
        """Return another token than the one refused: that of another thread or process, or a new one.

        Args:
            refused: The token that the API answered with 401; the store is told to drop it.
            sleep: As for :meth:`get_token`.

        Raises:
            GenesysSearchError: As :meth:`get_token`.
        """
        return self._get(sleep, lambda token: token.value != refused, refused)

    def fetch(self, sleep: Callable[[float], None] | None = None) -> str:
        """Return a token that the login host was asked for after this call began, whatever a store holds.

        If it is refused as well, no other will do.

        Args:
            sleep: As for :meth:`get_token`.

        Raises:
            GenesysSearchError: As :meth:`get_token`.
        """
        before = self._begun
        return self._get(sleep, lambda _: self._fetched > before, store=False)

    def _get(
        self,
        sleep: Callable[[float], None] | None,
        usable: Callable[[Token], bool],
        refused: str = "",
        *,
        store: bool = True,
    ) -> str:
        sleep = sleep or self._clock.sleep
        failed = self._failed
        with self._locked(sleep):
            current = self._current
            if current and self._clock.monotonic() < current[1] and usable(current[0]):
                return current[0].value
            if store and (value := self._kept(refused)):
                return value
            lock: AbstractContextManager[None] = nullcontext()
            if isinstance(self._store, LockingStore):
                lock = self._store.locked(sleep)
            with lock:
                # Whoever held the lock before may have saved a token.
                if store and isinstance(self._store, LockingStore) and (value := self._kept(refused)):
                    return value
                # Those who waited while another failed try once each: together they ask no more than one does.
                return self._asked(sleep, 0 if self._failed > failed else None)

    def _kept(self, refused: str) -> str | None:
        """Use the token of the store, unless it is over, or was refused: then it leaves the store."""
        kept = self._store.load()
        if kept is None or not is_value(kept.value):
            return None
        if kept.value == refused:
            self._store.save(None)
            return None
        current = self._current
        # Our own token, back from the store, is over by the monotonic clock, whatever the local time says.
        if current and kept.value == current[0].value:
            return None
        left = kept.expires_at - self._clock.time()
        # A store's clock may differ from ours: no token is believed to live longer than it was issued for.
        until = self._clock.monotonic() + min(left, kept.lifetime) - kept.early
        return self._use(kept, until) if self._clock.monotonic() < until else None

    def _asked(self, sleep: Callable[[float], None], retries: int | None) -> str:
        """Ask for a token and keep it."""
        self._begun += 1
        try:
            token, until = self._retrier.call(lambda *_: self._ask(), sleep=sleep, retries=retries)
        except GenesysSearchError:
            self._failed += 1
            raise
        self._fetched = self._begun
        self._store.save(token)
        return self._use(token, until)

    def _use(self, token: Token, until: float) -> str:
        self._previous = self._current[0].value if self._current else ""
        self._current = token, until
        return token.value

    @contextmanager
    def _locked(self, sleep: Callable[[float], None]) -> Iterator[None]:
        """Hold the lock; while waiting for it, give ``sleep`` the chance to end the wait."""
        while not self._lock.acquire(timeout=_LOOK_AGAIN):
            sleep(0)
        try:
            yield
        finally:
            self._lock.release()

    def _ask(self) -> tuple[Token, float]:
        """Ask once; return the token, and when to renew it (monotonic)."""
        self.tokens_requested += 1
        begun, now = self._clock.monotonic(), self._clock.time()
        reply = send(self._session, self._request, self._settings, self._timeout)
        if reply.status != _OK:
            raise refusal(reply, self._place, errors.TOKEN, now, self.hidden())
        try:
            document = msgspec.json.decode(reply.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # A proxy's page, or a cut body: another try may bring better.
            raise Transient(self._off("is no JSON", reply)) from None
        problem = _problem(document)
        if problem:
            raise self._off(problem, reply)
        lifetime = float(document["expires_in"])
        token = Token(document["access_token"], now + lifetime, lifetime)
        return token, begun + lifetime - token.early

    def _off(self, what: str, reply: Reply) -> GenesysSearchError:
        error = ContractError(f"the answer of {self._place} {what}; check auth_url, base_url and region")
        return traced(error, reply.headers.get(TRACE_HEADER), self.hidden())


def _problem(document: Any) -> str | None:
    """Say what is off with the answer of a login host, if anything."""
    if not isinstance(document, dict):
        return "is no JSON object"
    for name in ("access_token", "expires_in"):
        if name not in document:
            return f"has no {name}"
    value, lifetime = document["access_token"], document["expires_in"]
    if not is_value(value):
        return "has an access_token that is no text without blanks"
    if not is_lifetime(lifetime):
        return "has an expires_in that is no positive number"
    return None


def _token_url(auth_url: str | None, base_url: str) -> str:
    try:
        url = auth_url or regions.token_url(base_url)
        urlsplit(url)
    except ValueError:
        url = ""
    if not url:
        # Out of the handler, as in _prepared.
        message = "base_url or auth_url is no URL such as https://api.mypurecloud.com"
        raise ConfigurationError(message)
    return url


def _prepared(
    url: str, client_id: str, client_secret: str, *, basic: str | None, scope: str, user_agent: str | None
) -> requests.PreparedRequest:
    form = {"grant_type": "client_credentials"}
    if scope:
        form["scope"] = scope
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": user_agent or "tap-genesys-search",
    }
    if basic is None:
        form |= {"client_id": client_id, "client_secret": client_secret}
    try:
        request = requests.Request("POST", url, headers=headers, data=urlencode(form)).prepare()
    except (requests.RequestException, ValueError):
        request = None
    if request is None:
        # Out of the handler: the error would else be the context, and may quote a password.
        message = f"{place_of(url) or 'auth_url'} is no address that tokens can come from; check auth_url and base_url"
        raise ConfigurationError(message)
    # After the preparation, which would put a user of the URL in its place.
    request.headers.pop("Authorization", None)
    if basic is not None:
        request.headers["Authorization"] = f"Basic {basic}"
    return request
