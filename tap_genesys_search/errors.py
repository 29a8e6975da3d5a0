"""What can go wrong, as one table: an answer's status to what to do and one human sentence.

Three kinds, told apart by exit code: a setting or a client has to be changed (don't retry), the platform is unavailable
or at its limit (try later), the API or the data broke what completeness rests on (call someone). The numbers are those
of ``sysexits.h``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlsplit

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LONGEST_QUOTE: Final = 300
_LONGEST_ID: Final = 80
_LONGEST_SHOWN: Final = 40
#: Seconds; the longest limits are those of a day, so a header that tells of more does not mean what it says.
LONGEST_TOLD_WAIT: Final = 86_400
#: Where an answer has the platform's name for the request. The body's, where it has one, is the same.
TRACE_HEADER: Final = "ININ-Correlation-Id"
_TRACE_FIELDS: Final = ("contextId", "correlationId")
# To the last @, as a password may hold a slash that should have been escaped.
_USERINFO: Final = re.compile(r"(?<=//)\S*@")
_CREDENTIAL: Final = re.compile(r"\b(bearer|basic)\s+(?=\S*[\d=])[\w.~+/=-]{8,}", re.IGNORECASE)
_NAMED_SECRET: Final = re.compile(r"""\b(access_token|client_secret)(["']?\s*[=:]\s*["']?)[^\s"'&,}]+""", re.IGNORECASE)


class GenesysSearchError(Exception):
    """The base of every error that this package raises on purpose; its text is one line that says what to do.

    Args:
        message: The line.
        fix: What to do, where it is not what the line says behind its semicolon.

    Attributes:
        kind: Who can mend it: ``configuration`` (whoever set this up: trying again is in vain), ``platform`` (time: try
            later), ``contract`` (the platform's support).
        exit_code: What the tap ends with, one for each kind: 78, 75, 76.
        cure: What to do where the line does not say it.
    """

    kind: ClassVar[str] = "platform"
    exit_code: ClassVar[int] = 75
    cure: ClassVar[str] = "start again later"

    def __init__(self, message: str = "", *, fix: str | None = None) -> None:
        super().__init__(message)
        self._fix = fix

    @property
    def fix(self) -> str:
        """What to do, without the reason: as the one who raised it says, else the line's semicolon, else ``cure``."""
        advice = str(self).partition("; ")[2]
        # "…; it does not honour sort" goes on with the reason.
        return self._fix or ("" if advice.startswith("it ") else advice) or self.cure


class ConfigurationError(GenesysSearchError):
    """A setting is missing or wrong, or a file that was given."""

    kind = "configuration"
    exit_code = 78
    cure = "change what the reason names"


def check_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    """Refuse an argument that is no whole number, or out of its bounds.

    Raises:
        ConfigurationError: It is; the line names it.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= (most or value):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        message = f"{name} must be a whole number {bounds}, not {value!r:.{_LONGEST_SHOWN}}"
        raise ConfigurationError(message)


class AuthenticationError(ConfigurationError):
    """The platform rejects the client, or a token that it has just issued."""


class MissingPermissionError(ConfigurationError):
    """The client is known, but may not do this."""


class QueryError(ConfigurationError):
    """The query cannot be asked, or the API rejects it."""


class StateError(ConfigurationError):
    """The stored state cannot be used with these settings."""


class PlatformUnavailableError(GenesysSearchError):
    """The platform did not answer, or only with errors, within the retries."""

    cure = "start again later; if it stays, check base_url, region and the network"


class SearchTimeoutError(PlatformUnavailableError):
    """A search took too long, here or behind the platform's gateway: a narrower range may be answered."""


class RateLimitError(GenesysSearchError):
    """The platform asks to wait for longer than the settings allow."""

    cure = "start again later, lower requests_per_minute or raise max_wait_seconds"

    @property
    @override
    def fix(self) -> str:
        """What to do: the line's semicolon stands between two figures."""
        return self._fix or self.cure


class ContractError(GenesysSearchError):
    """The API does not do what completeness rests on."""

    kind = "contract"
    exit_code = 76
    cure = "check base_url; if it is right, give the platform's support the reason"


class Action(Enum):
    """What to do about an answer."""

    RETRY = "retry"
    RENEW_TOKEN = "renew the token"  # noqa: S105 - a name
    WAIT = "wait as told"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Policy:
    """A row of the table: what to do, the error when that does not help, and the sentence that it carries."""

    action: Action
    error: type[GenesysSearchError]
    sentence: str


_UNAVAILABLE: Final = Policy(
    Action.RETRY,
    PlatformUnavailableError,
    "the platform has a fault; try again later (status.mypurecloud.com tells of outages)",
)
_TOO_SLOW: Final = Policy(
    Action.RETRY, SearchTimeoutError, "the platform took too long; try again later, or raise request_timeout_seconds"
)
_THROTTLED: Final = Policy(
    Action.WAIT, RateLimitError, "the rate limit is used up; lower requests_per_minute or raise max_wait_seconds"
)
_UNEXPECTED: Final = Policy(
    Action.FAIL, ConfigurationError, "this is no answer of the search API; check base_url and region"
)

SEARCH: Final = {
    400: Policy(Action.FAIL, QueryError, "the search API rejects the query; change the setting query"),
    401: Policy(
        Action.RENEW_TOKEN,
        AuthenticationError,
        "the API rejects a token that its login host has just issued; "
        "check that region, base_url and auth_url belong together",
    ),
    403: Policy(
        Action.FAIL,
        MissingPermissionError,
        "the OAuth client may not search conversations; give its role the permission (or the scope) named here",
    ),
    404: Policy(Action.FAIL, ConfigurationError, "there is no search API at this address; check base_url and region"),
    408: _TOO_SLOW,
    413: Policy(Action.FAIL, QueryError, "the query is too large; shorten the setting query"),
    429: _THROTTLED,
    500: _UNAVAILABLE,
    502: _UNAVAILABLE,
    503: _UNAVAILABLE,
    504: _TOO_SLOW,
}

TOKEN: Final = {
    400: Policy(
        Action.FAIL,
        AuthenticationError,
        "the login host rejects the request for a token; check client_id, region, auth_method and auth_url",
    ),
    401: Policy(
        Action.FAIL, AuthenticationError, "the login host rejects the client; check client_id and client_secret"
    ),
    403: Policy(
        Action.FAIL,
        MissingPermissionError,
        "the OAuth client may not have this scope; check scope and the client's grants",
    ),
    404: Policy(Action.FAIL, ConfigurationError, "there is no login host at this address; check auth_url and region"),
    408: _UNAVAILABLE,
    429: _THROTTLED,
    500: _UNAVAILABLE,
    502: _UNAVAILABLE,
    503: _UNAVAILABLE,
    504: _UNAVAILABLE,
}

#: What a 400 of the login host names (RFC 6749, section 5.2); any other has the row of its table.
OAUTH: Final = {
    "invalid_client": Policy(
        Action.FAIL,
        AuthenticationError,
        "the login host does not know the client; check client_id, region and auth_method",
    ),
    "invalid_scope": TOKEN[403],
    "unauthorized_client": Policy(
        Action.FAIL,
        MissingPermissionError,
        "the OAuth client may not use client credentials; give it the grant type client credentials",
    ),
    "unsupported_grant_type": Policy(
        Action.FAIL,
        ConfigurationError,
        "the login host does not offer the grant type client credentials; check auth_url and region",
    ),
}
#: A 403 without the name of an error: nothing of the platform's, so it may be that of a proxy.
UNNAMED: Final = Policy(
    Action.FAIL,
    MissingPermissionError,
    "access is refused, and no permission is named; check any proxy in between, then the OAuth client's role and scope",
)


def policy_for(status: int, table: dict[int, Policy]) -> Policy:
    """Look up what to do about an answer that is not 200; an unlisted 5xx counts as a fault of the platform."""
    if status >= 500:  # noqa: PLR2004 - the first of the server's own errors
        return table.get(status, _UNAVAILABLE)
    return table.get(status, _UNEXPECTED)


def describe(
    status: int,
    place: str,
    headers: Mapping[str, str],
    body: bytes,
    table: dict[int, Policy],
    *,
    hidden: Iterable[str] = (),
) -> GenesysSearchError:
    """Build the error for an answer that is not 200: the table's sentence, then what the other side said.

    Two shapes of body are read: the platform's own ``{"message","code","contextId",…}`` and that of login hosts,
    ``{"error","description"}``; the standard's name for the latter is ``error_description``. Anything else (a proxy's
    HTML, nothing) is not quoted.

    Args:
        status: The HTTP status.
        place: Host and path that answered, as :func:`place_of` writes them.
        headers: The answer's headers, by any case. Its id is quoted, from the body or from here: support asks for it.
        body: The answer's body.
        table: SEARCH or TOKEN.
        hidden: Secrets that must not be quoted, should the other side have echoed them.
    """
    document = _object(body)
    name = _text(document, "code", "error")
    quote = redacted(
        ": ".join(filter(None, (name, _text(document, "message", "description", "error_description")))), hidden
    )[:_LONGEST_QUOTE]
    policy = policy_for(status, table)
    if status == 400 and table is TOKEN:  # noqa: PLR2004 - the status of an error that has a name
        policy = OAUTH.get(name, policy)
    elif status == 403 and not name and "permission" not in quote:  # noqa: PLR2004 - refused
        policy = UNNAMED
    trace = next(filter(None, (document.get(name) for name in _TRACE_FIELDS)), headers.get(TRACE_HEADER))
    text = f"{policy.sentence} (HTTP {status} from {place}"
    if quote:
        text += f": {quote}"
    target = place_of(headers.get("Location", ""))
    if 300 <= status < 400 and target:  # noqa: PLR2004 - redirects
        text += f": it redirects to {redacted(target, hidden)[:_LONGEST_QUOTE]}"
    if trace:
        text += f"; {_trace(trace, hidden)}"
    return policy.error(text + ")", fix=policy.sentence.partition("; ")[2])


def traced(error: GenesysSearchError, trace: str | None, hidden: Iterable[str] = ()) -> GenesysSearchError:
    """Return an error about an answer, with the name that the platform gave to the request: support asks for it."""
    return type(error)(f"{error} ({_trace(trace, hidden)})", fix=error.fix) if trace else error


def _trace(trace: object, hidden: Iterable[str]) -> str:
    return f"contextId {redacted(str(trace), hidden)[:_LONGEST_ID]}"


def redacted(text: str, hidden: Iterable[str] = ()) -> str:
    """Put a foreign text on one line, without control characters, the given secrets and whatever looks like one."""
    for secret in sorted(filter(None, hidden), key=len, reverse=True):
        text = text.replace(secret, "***")
    text = _USERINFO.sub("***@", text)
    text = _CREDENTIAL.sub(r"\1 ***", text)
    text = _NAMED_SECRET.sub(r"\1\2***", text)
    if not text.isprintable():
        text = "".join(sign if sign.isprintable() else " " for sign in text)
    return " ".join(text.split())


def place_of(url: str) -> str:
    """Return a URL's host, port and path: what a message may show of it. Empty if it is no URL."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        # What should be a port may be the beginning of a password.
        return ""
    return (parts.netloc + parts.path).rpartition("@")[2]


def _text(document: dict[str, Any], *names: str) -> str:
    """Return the first of these values that is a text and not empty, or an empty one."""
    return next((text for name in names if isinstance(text := document.get(name), str) and text), "")


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
