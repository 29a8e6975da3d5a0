"""Clients, and the tokens they get."""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

import msgspec

from tap_genesys_search.sandbox.web import ApiError, OAuthError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tap_genesys_search.sandbox.faults import Faults

SEARCH_SCOPE = "search:query"
#: What every token begins with, so that one is known wherever it turns up.
TOKEN_MARK = "sandbox-token-"  # noqa: S105 - a mark to be searched for
_DAY = 86_400


@dataclass(frozen=True)
class Client:
    """Who may ask for a token; without `may_search` every search with it is answered 403."""

    client_id: str = "sandbox"
    client_secret: str = "sandbox-secret"  # noqa: S105 - invented
    scopes: tuple[str, ...] = (SEARCH_SCOPE,)
    may_search: bool = True


class Tokens:
    """Gives out tokens and knows them again; `now` is in seconds of a clock that never goes back."""

    def __init__(self, clients: Iterable[Client], faults: Faults, now: Callable[[], float]) -> None:
        self._clients = {client.client_id: client for client in clients}
        self._faults = faults
        self._now = now
        self._given: dict[str, tuple[Client, tuple[str, ...], float]] = {}

    def grant(self, body: bytes, authorization: str | None) -> bytes:
        """Answer a request for a token."""
        form = {key: values[-1] for key, values in parse_qs(body.decode("utf-8", "replace")).items()}
        client = self._client(form, authorization)
        if form.get("grant_type") != "client_credentials":
            raise OAuthError(400, "unsupported_grant_type", "grant_type must be client_credentials")
        asked = tuple(form["scope"].split()) if form.get("scope") else client.scopes
        lacking = [scope for scope in asked if scope not in client.scopes]
        if lacking:
            raise ApiError(403, "missing.any.scopes", f"The client lacks the scope {', '.join(lacking)}.")
        life = self._faults.token_ttl_seconds or _DAY
        token = TOKEN_MARK + secrets.token_urlsafe(48)
        self._given[token] = (client, asked, self._now() + life)
        told = max(1, round(life)) if self._faults.token_ttl_told else _DAY
        return msgspec.json.encode({"access_token": token, "token_type": "bearer", "expires_in": told})

    def _client(self, form: dict[str, str], authorization: str | None) -> Client:
        identity, secret = form.get("client_id"), form.get("client_secret")
        if authorization is not None and authorization[:6].lower() == "basic ":
            try:
                pair = base64.b64decode(authorization[6:], validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                raise OAuthError(400, "invalid_request", "malformed Basic authorization") from None
            identity, _, secret = pair.partition(":")
            if identity not in self._clients:
                identity, secret = unquote(identity), unquote(secret)
        client = self._clients.get(identity or "")
        if client is None:
            raise OAuthError(400, "invalid_client", "client not found")
        if not secrets.compare_digest((secret or "").encode(), client.client_secret.encode()):
            raise OAuthError(401, "invalid_client", "authentication failed")
        return client

    def check(self, authorization: str | None) -> None:
        """Raise what a search with this Authorization header is answered, unless it may go on."""
        if authorization is None or authorization[:7].lower() != "bearer ":
            raise ApiError(401, "bad.credentials", "No bearer token was given.")
        given = self._given.get(authorization[7:].strip())
        if given is None:
            raise ApiError(401, "bad.credentials", "Invalid login credentials.")
        client, scopes, until = given
        if self._now() >= until:
            raise ApiError(401, "credentials.expired", "The token has expired.")
        if SEARCH_SCOPE not in scopes:
            raise ApiError(403, "missing.any.scopes", f"The token lacks the scope {SEARCH_SCOPE}.")
        if not client.may_search:
            raise ApiError(
                403,
                "missing.any.permissions",
                "Unable to perform the requested action. You are missing the permission conversation:search:view.",
            )

    @property
    def issued(self) -> list[str]:
        """Every token given so far, expired ones included."""
        return list(self._given)

    def expire(self) -> None:
        """Let every token given so far expire now."""
        self._given = {token: (client, scopes, 0.0) for token, (client, scopes, _) in self._given.items()}
