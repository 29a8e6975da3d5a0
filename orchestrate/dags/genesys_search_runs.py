"""What the DAGs of genesys_search.py do: settings, calls of Meltano, and how a backfill hands over to the sync.

Nothing in here needs Airflow, or the tap: that lives in Meltano's environment.
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import tempfile
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

TAP: Final = "tap-genesys-search"
TARGET: Final = "target-postgres"
STREAM: Final = "conversations"

#: No retry mends it.
_FINAL: Final = "configuration"
#: Settings of tap and target that hold secrets.
_SECRETS: Final = ("client_id", "client_secret", "redis_url", "sqlalchemy_url", "password")
#: Settings that would end a window before its end, unseen by the seam.
_ENDS: Final = ("max_results", "end_date")
#: Airflow maps no more tasks than this, unless it is told to.
_MOST_WINDOWS: Final = 1000
#: Longer than any range, and no more than a calendar holds.
_LONGEST_DAYS: Final = 4_000_000
_STOP_SECONDS: Final = 3
#: Belongs to Airflow: its own secrets, and what would make Meltano import its packages.
_NOT_PASSED_ON: Final = ("AIRFLOW", "_AIRFLOW", "PYTHONPATH", "VIRTUAL_ENV", "TAP_GENESYS_SEARCH_", "TARGET_POSTGRES_")
_UTC: Final = timezone.utc  # noqa: UP017 - Airflow runs on Python 3.10 too

State = dict[str, Any]


class Failure(Exception):  # noqa: N818 - it is what the tap calls it
    """Why a task failed: one line for a person, and whether a retry may help."""

    def __init__(self, kind: str, reason: str, fix: str = "") -> None:
        super().__init__(reason if not fix or fix in reason else f"{reason.rstrip('.')}. What to do: {fix}")
        self.kind = kind

    @property
    def is_final(self) -> bool:
        """Whether something has to be changed first."""
        return self.kind == _FINAL


def refuse(reason: str, fix: str = "") -> NoReturn:
    """Fail because of something that has to be changed."""
    raise Failure(_FINAL, reason, fix)


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
    def extra_dejson(self) -> Any:  # noqa: ANN401 - Airflow's own
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
        # Windows that start at once would install over each other.
        "MELTANO_AUTO_INSTALL": "false",
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
    """Write a connection as an address for Redis; ``{"ssl": true}`` in its extra makes it ``rediss``."""
    extra = login.extra_dejson
    scheme = "rediss" if extra.get("ssl") or login.conn_type == "rediss" else "redis"
    secret = quote(login.password or "", safe="")
    user = f"{quote(login.login or '', safe='')}:{secret}@" if secret else ""
    return f"{scheme}://{user}{login.host or 'localhost'}:{login.port or 6379}/{extra.get('db', login.schema or 0)}"


def secrets_in(found: Mapping[str, str]) -> list[str]:
    """Return what no log may show of an environment, the longest first."""
    texts = {found["TAP_GENESYS_SEARCH_CLIENT_SECRET"]}
    for name in ("MELTANO_DATABASE_URI", "TARGET_POSTGRES_SQLALCHEMY_URL", "TAP_GENESYS_SEARCH_REDIS_URL"):
        if password := re.search(r"//[^/@]*:([^/@]+)@", found.get(name, "")):
            texts |= {password[1]}
    return sorted(texts, key=len, reverse=True)


class Meltano:
    """Meltano, called with its secrets in the environment.

    Args:
        config: The settings.
        found: The environment, as :func:`variables` makes it.
        say: Gets what Meltano logs, line by line.
    """

    def __init__(self, config: Config, found: Mapping[str, str], say: Callable[[str], None]) -> None:
        """Start nothing yet."""
        self._command = config.meltano
        self._folder = config.project
        self._found = found
        self._secrets = secrets_in(found)
        self._say = say
        self._process: subprocess.Popen[str] | None = None

    def run(self, **settings: str) -> None:
        """Run the pipe on the sync's state; never two at once in one project, whose files they would share."""
        self._call("run", TAP, TARGET, **settings)

    def window(self, state: str, **settings: str) -> None:
        """Run the pipe on a state of its own: ``meltano el`` keeps its files apart, so windows run side by side."""
        # A window that is tried again after a change must not go on from its place by another question.
        self._call("el", f"--state-id={state}", TAP, TARGET, on_source_change="fail", **settings)

    def clock(self) -> str:
        """Ask when a run would begin: the earlier of this machine's clock and the platform's."""
        # With no argument Meltano would take the invocation for a run, and remove the state of one that is under way.
        return self._call("invoke", f"{TAP}:clock", "--config=ENV").strip().splitlines()[-1]

    def state(self, state: str) -> State:
        """Read a state; an empty one is ``{}``."""
        found: State = json.loads(self._call("state", "get", state) or "{}").get("singer_state", {})
        return found

    def set_state(self, state: str, value: State) -> None:
        """Replace a state."""
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
            json.dump({"singer_state": value}, file)
            file.flush()
            self._call("state", "set", "--force", f"--input-file={file.name}", state)

    def drop_state(self, state: str) -> None:
        """Forget a state."""
        self._call("state", "clear", "--force", state)

    def stop(self) -> None:
        """End what is running, tap and target included."""
        process = self._process
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)

    def _call(self, *args: str, **settings: str) -> str:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
        more = {f"TAP_GENESYS_SEARCH_{name.upper()}": value for name, value in settings.items()}
        report = Report()
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - the command is the configuration's
                    [self._command, *args],
                    cwd=self._folder,
                    env={**inherited, **self._found, **more},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.PIPE,
                    encoding="utf-8",
                    errors="replace",
                    start_new_session=True,
                )
            except OSError as error:
                reason = f"{self._command} can't be started in {self._folder}: {error.strerror}"
                refuse(reason, "correct project or meltano in the configuration")
            with self._process as process:
                for line in process.stderr or ():
                    if text := report.read(self._hidden(line)):
                        self._say(text)
            if process.returncode:
                raise report.failure(process.returncode)
            output.seek(0)
            return output.read()

    def _hidden(self, line: str) -> str:
        for secret in self._secrets:
            line = line.replace(secret, "***")
        return line


class Report:
    """Meltano's log: what to show of it, and why it failed."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._record: Failure | None = None
        self._loader = self._critical = self._error = ""

    def read(self, line: str) -> str:
        """Take a line, and return it as a person reads it; empty if it is of no use to one."""
        try:
            entry = json.loads(line)
            text, level = str(entry["event"]).strip(), str(entry["level"])
            name = str(entry.get("string_id") or entry.get("name") or "meltano")
        except (ValueError, TypeError, KeyError):
            # A project with a logging.yaml, or a command that does not log through Meltano.
            text, name = line.strip(), ""
            level = next((each for each in ("critical", "error") if each.upper() in line or f"[{each}" in line), "info")
        if not text or text == "METRIC" or "Need help fixing" in text or "Task exception was never" in text:
            return ""
        self._note(text, level, name)
        return f"{name}: {text}" if name else text

    def _note(self, text: str, level: str, name: str) -> None:
        first = text.splitlines()[0]
        record = re.search(r"FAILURE: (\{.*\})", text)
        if record and not self._loader:
            # One whose pipe broke is not to blame.
            with suppress(ValueError, KeyError, TypeError):
                values = json.loads(record[1])
                self._record = Failure(str(values["kind"]), str(values["reason"]), str(values["fix"]))
        elif level == "critical":
            self._critical = re.sub(r"^.*?(?:CRITICAL:?|\[critical *\])\s*", "", first)
        elif level == "error" and name.startswith("target-"):
            self._loader = self._loader or first
        elif level == "error":
            self._error = first

    def failure(self, code: int) -> Failure:
        """Say why, by the best that was logged."""
        again = "the next attempt goes on from the last state"
        if self._record:
            return self._record
        if self._loader:
            return Failure("warehouse", f"{TARGET}: {self._loader}", f"look after the warehouse; {again}")
        if self._critical:
            return Failure("unknown", self._critical)
        if "already running" in self._error:
            return Failure("busy", self._error.partition(" To ignore")[0], f"nothing, if it ends; {again}")
        if "could not be found" in self._error or "not installed" in self._error:
            return Failure("configuration", self._error, "run meltano install in the project on every worker")
        return Failure("meltano", self._error or f"meltano ended with code {code}", f"see the task's log; {again}")


def parse(text: str) -> datetime:
    """Read an ISO 8601 text, down to the millisecond, as the tap does; without a zone it is UTC.

    Raises:
        Failure: It is none.
    """
    try:
        moment = datetime.fromisoformat(re.sub("Z$", "+00:00", text.strip().upper()))
    except (ValueError, AttributeError):
        refuse(f"{str(text)[:40]!r} is no date-time such as 2026-01-01T00:00:00Z")
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=moment.tzinfo or _UTC)


def write(moment: datetime) -> str:
    """Write a moment as the tap writes it."""
    return moment.astimezone(_UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def windows(start: str, end: str | None, days: float, *, not_after: Iterable[str]) -> list[dict[str, str]]:
    """Cut a range into windows that share their edges.

    Args:
        start: First moment.
        end: End, exclusive; None: as late as may be.
        days: How long a window is.
        not_after: Moments after which the range can't end: when it was triggered, and when it began.

    Raises:
        Failure: There is nothing in it, or too much.
    """
    low = parse(start)
    high = min(map(parse, [*not_after, *([end] if end else [])]))
    if not days > 0:
        refuse("window_days must be above 0")
    if low >= high:
        refuse(f"the range from {write(low)} to {write(high)} is empty", "give a start that is before its end")
    if (high - low) / timedelta(days=1) > _MOST_WINDOWS * days:
        refuse(f"the range has more than {_MOST_WINDOWS} windows", "trigger it again with a larger window_days")
    # In whole milliseconds: what is shorter would be an empty window.
    step = timedelta(milliseconds=math.ceil(min(days, _LONGEST_DAYS) * 86_400_000))
    edges = [low]
    while high - edges[-1] > step:
        edges.append(edges[-1] + step)
    return [{"start": write(a), "end": write(b)} for a, b in zip(edges, [*edges[1:], high], strict=True)]


def bookmark_of(state: State) -> State:
    """What a state says of the stream; nothing at first."""
    found: State = state.get("bookmarks", {}).get(STREAM, {})
    return found


def seam(stored: State, bookmarks: Sequence[State], plan: Sequence[Mapping[str, str]], started: str) -> State | None:
    """Join a backfill to the sync: return the state that the sync goes on from, or None if nothing was found.

    By it the sync reads once more what changed or showed late since the backfill began, with no window running that
    could load something older after it.

    Args:
        stored: The sync's state.
        bookmarks: What each window's state says of the stream, once all of them have succeeded.
        plan: The windows, in order.
        started: When the backfill began.

    Raises:
        Failure: Windows and sync were not read by the same question, so that one bookmark can't stand for both.
    """
    found = [each for each in bookmarks if each.get("replication_key_value")]
    if not found:
        return None
    sources = {each.get("source") for each in found}
    old = bookmark_of(stored)
    newest = [str(each["replication_key_value"]) for each in found]
    since, run_start = plan[0]["start"], started
    if len(sources) > 1:
        refuse(
            "the windows were read with different settings (API host, client_id or query)",
            "clear those that ran before the change, with Downstream",
        )
    if old.get("replication_key_value"):
        if old.get("source") not in {None, *sources}:
            refuse(
                "the sync's state was written for another API host, client_id or query than this backfill's",
                "run the sync with on_source_change first (keep or restart), or use another project for this question",
            )
        newest.append(str(old["replication_key_value"]))
        # A state that lacks it: the tap looks back from the bookmark.
        run_start = min(started, str(old.get("run_start") or old["replication_key_value"]), key=parse)
        if old.get("since") == "*" or (old.get("since") and not _reaches(plan, str(old["since"]))):
            since = str(old["since"])
    new = {
        **old,
        "replication_key": "timestamp",
        "replication_key_value": write(max(map(parse, newest))),
        "source": sources.pop(),
        "since": since,
        "run_start": write(parse(run_start)),
    }
    state = deepcopy(stored)
    state.setdefault("bookmarks", {})[STREAM] = new
    return state


def _reaches(plan: Sequence[Mapping[str, str]], since: str) -> bool:
    """Whether the windows begin before that moment and leave no hole up to it."""
    return parse(plan[0]["start"]) < parse(since) <= parse(plan[-1]["end"])
