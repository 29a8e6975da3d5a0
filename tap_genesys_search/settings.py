"""Every setting, in one place: what it is called, what it means, what it may be, and what it becomes."""

from __future__ import annotations

import ipaddress
import logging
from copy import deepcopy
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias
from urllib.parse import SplitResult, urlsplit

from singer_sdk import Tap
from singer_sdk import typing as th

from tap_genesys_search import redis_url
from tap_genesys_search.errors import ConfigurationError
from tap_genesys_search.lucene import checked
from tap_genesys_search.regions import DEFAULT_REGION, DOMAINS, api_url, is_login_host, token_url
from tap_genesys_search.timestamps import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

OnSourceChange: TypeAlias = Literal["fail", "keep", "restart"]

ENV_PREFIX: Final = "TAP_GENESYS_SEARCH_"
_PACKAGE: Final = "tap-genesys-search"
_DAY: Final = 86_400
_SHOWN: Final = 40

CONFIG_JSONSCHEMA: Final[dict[str, Any]] = th.PropertiesList(
    th.Property(
        "client_id",
        th.StringType,
        required=True,
        title="Client ID",
        description="ID of an OAuth client with the grant type client credentials.",
    ),
    th.Property(
        "client_secret",
        th.StringType,
        required=True,
        secret=True,
        title="Client secret",
        description="Secret of that OAuth client.",
    ),
    th.Property(
        "region",
        th.StringType,
        default=DEFAULT_REGION,
        allowed_values=[*DOMAINS],
        title="Region",
        description="AWS region of the Genesys Cloud organisation; chooses the hosts of the API and of the login.",
    ),
    th.Property(
        "base_url",
        th.StringType,
        title="Base URL",
        description=(
            "Address of the API without /api/v2, if it is not that of the region; https, or http on this machine."
        ),
    ),
    th.Property(
        "auth_url",
        th.StringType,
        title="Token URL",
        description="Where tokens come from, if not from the region's login host or from /oauth/token below base_url.",
    ),
    th.Property(
        "auth_method",
        th.StringType,
        default="auto",
        allowed_values=["auto", "basic", "post"],
        title="Authentication method",
        description=(
            "How the client shows itself: basic (HTTP Basic), post (in the form), or auto: basic for a Genesys login "
            "host, post for any other."
        ),
    ),
    th.Property(
        "scope",
        th.StringType,
        default="search:query",
        title="Scope",
        description="The scope that a token is asked for.",
    ),
    th.Property(
        "query",
        th.StringType,
        default="*",
        title="Query",
        description="Which conversations, in Lucene's syntax, such as status:completed AND channelType:voice.",
    ),
    th.Property(
        "on_source_change",
        th.StringType,
        default="fail",
        allowed_values=["fail", "keep", "restart"],
        title="On source change",
        description=(
            "When the stored state was written with another API host, client_id or query, or with a later start_date: "
            "fail, keep the state, or restart from start_date."
        ),
    ),
    th.Property(
        "start_date",
        th.DateTimeType,
        title="Start date",
        description=(
            "Earliest timestamp to extract, ISO 8601, UTC unless it says otherwise; without it, from the beginning."
        ),
    ),
    th.Property(
        "end_date",
        th.DateTimeType,
        title="End date",
        description="Extract what is before this timestamp, ISO 8601; without it, up to the start of the run.",
    ),
    th.Property(
        "page_size",
        th.IntegerType(minimum=1, maximum=200),
        default=200,
        title="Page size",
        description="Conversations in one answer of the API.",
    ),
    th.Property(
        "max_results",
        th.IntegerType(minimum=1),
        title="Maximum of results",
        description="Stop after so many conversations that are newer than the bookmark; without it, all.",
    ),
    th.Property(
        "lookback_seconds",
        th.IntegerType(minimum=0, maximum=366 * _DAY),
        default=600,
        title="Lookback (seconds)",
        description="How far each run looks back before the previous one, for conversations that the index shows late.",
    ),
    th.Property(
        "concurrency",
        th.IntegerType(minimum=1, maximum=64),
        title="Concurrency",
        description="Slices of time read at once; without it, as many as the rate limit and the latency ask for.",
    ),
    th.Property(
        "requests_per_minute",
        th.IntegerType(minimum=1, maximum=100_000),
        default=300,
        title="Requests per minute",
        description="The rate limit to stay within, spread evenly over all workers.",
    ),
    th.Property(
        "slice_records",
        th.IntegerType(minimum=1, maximum=1_000_000),
        default=4_000,
        title="Conversations in a slice",
        description="About how many conversations a slice of time should hold.",
    ),
    th.Property(
        "max_retries",
        th.IntegerType(minimum=0, maximum=20),
        default=3,
        title="Maximum of retries",
        description="How often a request is tried again after a fault, before the run ends.",
    ),
    th.Property(
        "max_wait_seconds",
        th.IntegerType(minimum=1, maximum=7 * _DAY),
        default=600,
        title="Maximum wait (seconds)",
        description="The longest that the platform may ask one request to wait, in all, before the run ends.",
    ),
    th.Property(
        "request_timeout_seconds",
        th.IntegerType(minimum=1, maximum=3_600),
        default=60,
        title="Request time-out (seconds)",
        description="How long to wait for an answer.",
    ),
    th.Property(
        "redis_url",
        th.StringType,
        secret=True,
        title="Redis URL",
        description=(
            "Where workers share one token and one rate limit, such as rediss://:password@host:6379/0; needs the "
            "extra redis."
        ),
    ),
    th.Property(
        "user_agent",
        th.StringType,
        title="User agent",
        description="The User-Agent header of every request; without it, name and version of the tap.",
    ),
).to_dict()

# The SDK adds its own settings to a schema that it is given.
OWN: Final[dict[str, dict[str, Any]]] = deepcopy(CONFIG_JSONSCHEMA["properties"])
_REQUIRED: Final = frozenset(CONFIG_JSONSCHEMA["required"])

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a run, checked; instants in milliseconds since 1970."""

    client_id: str
    client_secret: str = field(repr=False)
    base_url: str
    token_url: str
    auth_method: Literal["basic", "post"]
    scope: str
    query: str
    on_source_change: OnSourceChange
    start: int | None
    end: int | None
    page_size: int
    max_results: int | None
    lookback_seconds: int
    concurrency: int | None
    requests_per_minute: int
    slice_records: int
    max_retries: int
    max_wait_seconds: int
    request_timeout_seconds: int
    redis_url: str | None = field(repr=False)
    user_agent: str

    @classmethod
    def from_config(cls, config: Mapping[str, object], *, again: bool = False) -> Self:
        """Check a configuration as a whole, and warn of what nothing obeys unless that was done before (`again`).

        Raises:
            ConfigurationError: Something is missing or wrong; its one line names all of it, and shows no secret.
        """
        if not again:
            _warn_of_unknown(config)
        problems: list[str] = []
        values: dict[str, Any] = {}
        for name, schema in OWN.items():
            values[name] = schema.get("default")
            try:
                given = _plain(name, schema, config.get(name))
                values[name] = values[name] if given is None else given
            except ValueError as error:
                problems.append(f"{name} {error}")
        start, end = values.pop("start_date"), values.pop("end_date")
        if start is not None and end is not None and end <= start:
            problems.append("end_date must be after start_date")
        if problems:
            raise ConfigurationError("; ".join(problems), fix=ConfigurationError.cure)

        region, method = values.pop("region"), values.pop("auth_method")
        base_url = values.pop("base_url") or api_url(region)
        tokens = values.pop("auth_url") or token_url(base_url)
        if method == "auto":
            method = "basic" if is_login_host(tokens) else "post"
        values["user_agent"] = values["user_agent"] or f"{_PACKAGE}/{version(_PACKAGE)}"
        return cls(base_url=base_url, token_url=tokens, auth_method=method, start=start, end=end, **values)


def schema_of_sdk() -> dict[str, Any]:
    """Return the JSON schema of the SDK's own settings, as the SDK has it."""
    schema: dict[str, Any] = {"properties": {}}
    Tap.append_builtin_config(schema)
    return schema


def _warn_of_unknown(config: Mapping[str, object]) -> None:
    # The last of them the SDK obeys, too, though it does not list it.
    known = [*OWN, *schema_of_sdk()["properties"], "emit_activate_version_messages"]
    for name in config:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            _log.warning(
                "Unknown setting %s is ignored%s", _shown(name), f"; did you mean {close[0]}?" if close else ""
            )


def _plain(name: str, schema: dict[str, Any], value: object) -> object:
    """Check one value; None stands for one that is not set. A ValueError goes on after the setting's name."""
    if isinstance(value, str):
        value = value.strip()
    if value is None or value == "":
        if name in _REQUIRED:
            message = f"is missing: set it in the configuration, or as {ENV_PREFIX}{name.upper()} in the environment"
            raise ValueError(message)
        if name == "query" and value == "":
            message = "is blank: leave it out, or write * for every conversation"
            raise ValueError(message)
        return None
    if "integer" in schema["type"]:
        return _whole_number(schema, value)
    if not isinstance(value, str):
        message = "must be a text, in quotes"
        raise ValueError(message)  # noqa: TRY004 - like every other wrong setting
    if name in _CHECKS:
        return _CHECKS[name](value)
    if "enum" in schema and value not in schema["enum"]:
        close = get_close_matches(value, schema["enum"], n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        message = f"must be one of {', '.join(schema['enum'])}, not {_shown(value)}{hint}"
        raise ValueError(message)
    if not value.isprintable() or not value.isascii():
        message = "must be of printable ASCII characters"
        raise ValueError(message)
    return value


def _whole_number(schema: dict[str, Any], value: object) -> int:
    low, high = schema["minimum"], schema.get("maximum")
    bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
    if isinstance(value, str) and value.lstrip("+-").isdecimal():
        message = f"is a text: write the number without quotes, {value}"
        raise ValueError(message)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < low or value > (high or value):
        message = f"must be a whole number {bounds}, not {_shown(value)}"
        raise ValueError(message)
    return value


def _instant(text: str) -> int:
    try:
        return parse(text)
    except ValueError:
        message = f"must be a date or date-time such as 2026-10-03 or 2026-10-03T08:15:00Z, not {_shown(text)}"
        raise ValueError(message) from None


def _base_url(text: str) -> str:
    url = _url(text)
    host = url.hostname or ""
    for domain in DOMAINS.values():
        if host == domain or (host.endswith(f".{domain}") and host != f"api.{domain}"):
            message = f"is no API host: use https://api.{domain}, or leave it out and set region"
            raise ValueError(message)
    if "/api/v2" in url.path:
        message = "must end before /api/v2"
        raise ValueError(message)
    return text.rstrip("/")


def _auth_url(text: str) -> str:
    if _url(text).path in {"", "/"}:
        message = "must be the whole address, such as https://login.mypurecloud.com/oauth/token"
        raise ValueError(message)
    return text


def _url(text: str) -> SplitResult:
    """Take a URL apart; no message shows it, as it may hold a password."""
    example = "must be a URL such as https://api.mypurecloud.com"
    try:
        url = urlsplit(text)
        host = url.hostname or ""
        host.encode("idna")
        _ = url.port
    except ValueError:
        raise ValueError(example) from None
    # A host with blanks or wildcards, or a bare //host, gets this far.
    if not text.isprintable() or " " in text or not host.strip(".*") or host[0] in ".*-":
        raise ValueError(example)
    if url.username is not None or url.password is not None:
        message = "must not hold a user or a password: those are client_id and client_secret"
        raise ValueError(message)
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(host)):
        message = "must begin with https:// (http:// only for a host on this machine, such as 127.0.0.1)"
        raise ValueError(message)
    if "?" in text or "#" in text:
        message = "must end before the ? or the #"
        raise ValueError(message)
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


_CHECKS: Final = {
    "base_url": _base_url,
    "auth_url": _auth_url,
    "query": checked,
    "redis_url": redis_url.checked,
    "start_date": _instant,
    "end_date": _instant,
}
