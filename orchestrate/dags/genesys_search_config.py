"""What genesys_search.py is configured by: its JSON, and Airflow's connections, as the environment that Meltano gets.

Nothing in here needs Airflow, or the tap: that lives in Meltano's environment.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol
from urllib.parse import quote, unquote, urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping

TAP: Final = "tap-genesys-search"
TARGET: Final = "target-postgres"

State = dict[str, Any]

#: Kinds of failures, beside the tap's own: what no retry mends, and what has to wait until another run has ended.
FINAL: Final = "configuration"
BUSY: Final = "busy"
#: Settings of tap and target that hold secrets.
_SECRETS: Final = ("client_id", "client_secret", "redis_url", "sqlalchemy_url", "password")
#: Settings that would end a window before its end, unseen by the seam.
_ENDS: Final = ("max_results", "end_date")
#: Where an address holds a secret.
_IN_ADDRESSES: Final = (r"//[^/@]*:([^/@]+)@", r"[?&](?:ssl)?password=([^&]+)")


class Failure(Exception):  # noqa: N818 - it is what the tap calls it
    """Why a task failed: one line for a person, and whether a retry may help."""

    def __init__(self, kind: str, reason: str, fix: str = "") -> None:
        super().__init__(reason if not fix or fix in reason else f"{reason.rstrip('.')}. What to do: {fix}")
        self.kind = kind

    @property
    def is_final(self) -> bool:
        """Whether something has to be changed first."""
        return self.kind == FINAL


def refuse(reason: str, fix: str = "") -> NoReturn:
    """Fail because of something that has to be changed."""
    raise Failure(FINAL, reason, fix)


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the JSON of the configuration may hold.

    Attributes:
        project: The folder of the Meltano project, the same on every worker.
        meltano: Meltano's command.
        environment: The environment of that project.
        state_backend_uri: Where Meltano keeps state; ``systemdb`` is its system database.
        genesys_conn_id: Connection whose login and password are the OAuth client.
        warehouse_conn_id: Connection to the PostgreSQL that is loaded.
        meltano_conn_id: Connection to the PostgreSQL that is Meltano's system database.
        redis_conn_id: Connection to the Redis by which workers share token and rate, if there is one.
        tap: Settings of the tap, without secrets.
        target: Settings of target-postgres, without secrets.
        reread_days: How far back the nightly run reads again.
        window_days: How long a window of a backfill is, unless its trigger says otherwise.
        notify: Airflow notifiers, each with ``class`` and its arguments.
    """

    project: str
    meltano: str = "meltano"
    environment: str = "dev"
    state_backend_uri: str = "systemdb"
    genesys_conn_id: str = "genesys_search"
    warehouse_conn_id: str = "genesys_search_warehouse"
    meltano_conn_id: str = "genesys_search_meltano"
    redis_conn_id: str = ""
    tap: dict[str, Any] = field(default_factory=dict)
    target: dict[str, Any] = field(default_factory=dict)
    reread_days: float = 7
    window_days: float = 30
    notify: list[Any] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str | bytes, place: str) -> Config:
        """Read it.

        Args:
            text: JSON.
            place: Where it stands, in words.

        Raises:
            Failure: It can't be used.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            # Its own text names the line, and quotes nothing.
            refuse(f"{place} holds no JSON ({error})", "correct it")
        if not isinstance(values, dict):
            refuse(f"{place} holds no JSON object")
        kinds = {each.name: _KINDS[str(each.type)] for each in fields(cls)}
        for name, value in values.items():
            if name not in kinds:
                refuse(f"{place} has {name}, which is none of {', '.join(sorted(kinds))}")
            if not isinstance(value, kinds[name]) or isinstance(value, bool):
                refuse(f"{place}: {name} has the wrong type")
        if not values.get("project"):
            refuse(f"{place} lacks project, the folder of the Meltano project")
        config = cls(**values)
        config._check(place)
        return config

    def _check(self, place: str) -> None:
        for name in (*self.tap, *self.target):
            # In capitals it would be the same variable.
            if name.lower() in _SECRETS:
                refuse(f"{place} holds {name}, which belongs into an Airflow connection")
            if name.lower() in _ENDS:
                refuse(
                    f"{place} holds {name}, by which a window would end early, unseen by the seam", f"take out {name}"
                )
        if not (0 < self.reread_days < math.inf and 0 < self.window_days < math.inf):
            refuse(f"{place}: reread_days and window_days must be above 0")
        if not all(isinstance(each, dict) and "." in str(each.get("class")) for each in self.notify):
            refuse(f"{place}: each of notify needs class, the path of a notifier")
        scheme, shared, _ = self.state_backend_uri.partition("://")
        if scheme != "systemdb" and (not shared or scheme == "file"):
            refuse(
                f"{place}: state_backend_uri is on one machine, and all workers must share it",
                "leave it out, which keeps state in Meltano's system database, or name a bucket (s3://…)",
            )

    @property
    def sync_state(self) -> str:
        """The state that ``meltano run`` uses."""
        return f"{self.environment}:{TAP}-to-{TARGET}"

    def window_state(self, backfill: str, start: str) -> str:
        """The state of one window of a backfill."""
        return f"{self.environment}:backfill-{_plain(backfill)}-{_plain(start)}"


_KINDS: Final[dict[str, Any]] = {
    "str": str,
    "float": (int, float),
    "dict[str, Any]": dict,
    "list[Any]": list,
}


def _plain(text: str) -> str:
    return re.sub(r"[^\w.-]", "-", text)


class Login(Protocol):
    """What is used of an Airflow connection."""

    conn_type: str
    host: str | None
    login: str | None
    password: str | None
    schema: str | None
    port: int | None

    @property
    def extra_dejson(self) -> Any:
        """The connection's extra, which is JSON."""


def postgres_url(conn_id: str, login: Login) -> str:
    """Write a connection as an address for SQLAlchemy; its session has the time zone that target-postgres needs.

    Raises:
        Failure: It leads to something else.
    """
    # Where Airflow's provider for PostgreSQL is not installed, its command makes them generic.
    if login.conn_type not in {"postgres", "postgresql", "generic"} or not login.host:
        refuse(
            f"the connection {conn_id} (type {login.conn_type}) is not to a PostgreSQL",
            "Meltano's system database and the warehouse are servers that all workers reach",
        )
    user = quote(login.login or "", safe="")
    if login.password:
        user += f":{quote(login.password, safe='')}"
    extra = login.extra_dejson
    # Behind those of the connection: whatever they are, target-postgres would else write shifted timestamps.
    options = f"{extra.get('options', '')} -c timezone=UTC".strip()
    host, query = login.host or "", {**extra, "options": options}
    if host.startswith("/"):
        host, query = "", query | {"host": host}
    elif login.port:
        host += f":{login.port}"
    return f"postgresql+psycopg://{user}@{host}/{quote(login.schema or '')}?{urlencode(query, quote_via=quote)}"


def variables(config: Config, connections: Mapping[str, Login]) -> dict[str, str]:
    """Return the environment that holds the settings and all secrets: the only way that these take.

    Args:
        config: The settings.
        connections: Those of the configuration, by id.

    Raises:
        Failure: A connection can't be used.
    """
    client = connections[config.genesys_conn_id]
    if not client.login or not client.password:
        refuse(
            f"the connection {config.genesys_conn_id} lacks login or password", "they are client_id and client_secret"
        )
    found = {
        "MELTANO_PROJECT_ROOT": config.project,
        "MELTANO_ENVIRONMENT": config.environment,
        "MELTANO_DATABASE_URI": postgres_url(config.meltano_conn_id, connections[config.meltano_conn_id]),
        "MELTANO_STATE_BACKEND_URI": config.state_backend_uri,
        # Where it says less, nobody knows whether a window was read to its end.
        "MELTANO_CLI_LOG_LEVEL": "info",
        "MELTANO_CLI_LOG_FORMAT": "json",
        "NO_COLOR": "1",
        "TAP_GENESYS_SEARCH_CLIENT_ID": client.login,
        "TAP_GENESYS_SEARCH_CLIENT_SECRET": client.password,
        "TARGET_POSTGRES_SQLALCHEMY_URL": postgres_url(config.warehouse_conn_id, connections[config.warehouse_conn_id]),
    }
    for prefix, settings in (("TAP_GENESYS_SEARCH_", config.tap), ("TARGET_POSTGRES_", config.target)):
        for name, value in settings.items():
            found[prefix + name.upper()] = value if isinstance(value, str) else json.dumps(value)
    if config.redis_conn_id:
        redis = connections[config.redis_conn_id]
        found["TAP_GENESYS_SEARCH_REDIS_URL"] = redis_url(redis)
    return found


def redis_url(login: Login) -> str:
    """Write a connection as an address for Redis; with ``{"ssl": true}`` in its extra it is ``rediss``."""
    extra = login.extra_dejson
    scheme = "rediss" if extra.get("ssl") or login.conn_type == "rediss" else "redis"
    secret = quote(login.password or "", safe="")
    user = f"{quote(login.login or '', safe='')}:{secret}@" if secret else ""
    host = login.host or "localhost"
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    options = {name: value for name, value in extra.items() if name.startswith("ssl_") and value not in (None, "")}
    query = f"?{urlencode(options, quote_via=quote)}" if options and scheme == "rediss" else ""
    return f"{scheme}://{user}{host}:{login.port or 6379}/{extra.get('db', login.schema or 0)}{query}"


def secrets_in(found: Mapping[str, str]) -> list[str]:
    """Return what no log may show of an environment, as it is and as addresses quote it, the longest first."""
    texts = {found["TAP_GENESYS_SEARCH_CLIENT_SECRET"]}
    for name in ("MELTANO_DATABASE_URI", "TARGET_POSTGRES_SQLALCHEMY_URL", "TAP_GENESYS_SEARCH_REDIS_URL"):
        url = found.get(name, "")
        texts |= {each for pattern in _IN_ADDRESSES for each in re.findall(pattern, url)}
    return sorted(texts | {unquote(text) for text in texts}, key=len, reverse=True)
