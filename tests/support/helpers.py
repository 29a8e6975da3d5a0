"""The tap in a process of its own, against a sandbox, and what came out of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psycopg

from tap_genesys_search.sandbox.tokens import TOKEN_MARK
from tests.support.forms import forms_of
from tests.support.nursery import SCRIPT
from tests.support.singer import records_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tap_genesys_search.sandbox import SandboxServer

CLIENT = "sandbox"
SECRET = "sandbox-secret"

#: What a sandbox without a rate limit can be asked for.
FAST = 100_000

#: 2026-10-05T12:00:00Z, a Monday.
NOON = 1_791_201_600.0

Message = dict[str, Any]
State = dict[str, Any]

_PATIENCE = 120


@dataclass
class ManualClock:
    """A sandbox's clock, which moves only when it is told to."""

    now: float = NOON

    def __call__(self) -> float:
        """Seconds since 1970."""
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.now += seconds


@dataclass(frozen=True)
class Run:
    """How a run of the tap ended and what it wrote."""

    code: int
    stdout: str
    stderr: str

    @cached_property
    def messages(self) -> list[Message]:
        """All Singer messages."""
        return [json.loads(line) for line in self.lines]

    @property
    def lines(self) -> list[str]:
        """The lines of stdout; JSON holds other separators of lines as they are."""
        return self.stdout.removesuffix("\n").split("\n") if self.stdout else []

    @cached_property
    def records(self) -> list[Message]:
        """The records, those in the files of batches included."""
        return [record for message in self.messages for record in records_of(message)]

    @property
    def table(self) -> dict[str, str]:
        """What a target would hold: the last timestamp by id."""
        return {record["id"]: record["timestamp"] for record in self.records}

    @property
    def states(self) -> list[State]:
        """The values of all STATE messages."""
        return [message["value"] for message in self.messages if message["type"] == "STATE"]

    @property
    def bookmarks(self) -> list[State]:
        """What each STATE says of the stream."""
        return [bookmark_of(state) for state in self.states]

    @property
    def state(self) -> State:
        """The last STATE."""
        return self.states[-1]

    @property
    def critical(self) -> list[str]:
        """The lines of the log that tell why the run ended."""
        return [line for line in self.stderr.splitlines() if "CRITICAL" in line]

    @property
    def failures(self) -> list[Message]:
        """The records of the log that tell machines why the run ended."""
        marked = (line.partition("FAILURE: ")[2] for line in self.stderr.splitlines())
        return [json.loads(record) for record in marked if record]


def bookmark_of(state: State) -> State:
    """What a state says of the stream; nothing at first."""
    found: State = state.get("bookmarks", {}).get("conversations", {})
    return found


def table(runs: Iterable[Run]) -> dict[str, str]:
    """What a target would hold after some runs."""
    held: dict[str, str] = {}
    for run in runs:
        held |= run.table
    return held


def truth(server: SandboxServer, query: str | None = None) -> dict[str, str]:
    """What the sandbox holds: the timestamp by id."""
    return {identity: timestamp for identity, (timestamp, _) in server.truth(query).items()}


def config_for(server: SandboxServer, **settings: object) -> dict[str, object]:
    """Settings to read a sandbox with."""
    return {
        "client_id": CLIENT,
        "client_secret": SECRET,
        "base_url": server.base_url,
        "requests_per_minute": FAST,
        **settings,
    }


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without what would change a run."""
    prefixes = ("TAP_GENESYS_SEARCH_", "TARGET_", "MELTANO_", "SINGER_", "COVERAGE_", "COV_CORE_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(prefixes) and not name.lower().endswith("_proxy") and name != "LOGLEVEL"
    }
    return kept | {"PYTHONWARNINGS": "error"} | dict(extra or {})


def secrets_of(*sources: Mapping[str, object] | None) -> set[str]:
    """What nothing may show that was written with these settings and variables.

    The secret in all forms in which it travels, passwords of URLs, and whatever begins like a token of the sandbox.
    """
    found = {TOKEN_MARK, SECRET, *forms_of(CLIENT, SECRET)}
    for source in filter(None, sources):
        for name, value in source.items():
            key = name.lower().removeprefix("tap_genesys_search_")
            texts = [str(text) for text in (value if isinstance(value, list) else [value])]
            if key == "client_secret":
                client = source.get("client_id", source.get("TAP_GENESYS_SEARCH_CLIENT_ID", CLIENT))
                found.update(form for text in texts for form in forms_of(str(client), text.strip()))
            found.update(match[1] for text in texts if (match := _PASSWORD.search(text)))
    return found - {"", "None"}


_PASSWORD = re.compile(r"^(?:\w+://)?[^:/@\s]*:(.+)@")


def check_hidden(secrets: Iterable[str], *texts: str) -> None:
    """Check G8: none of these secrets stands in what was written."""
    shown = sorted({secret for secret in secrets for text in texts if secret in text})
    assert not shown, f"shown: {shown}"


def accounted_for(run: Run, stored: State | None = None) -> None:
    """Check G2: no STATE tells of anything that has not been written before it."""
    before = bookmark_of(stored or {}).get("replication_key_value", "")
    newest = before
    for message in run.messages:
        newest = max([newest, *(record["timestamp"] for record in records_of(message))])
        if message["type"] == "STATE":
            value = bookmark_of(message["value"]).get("replication_key_value", "")
            assert before <= value <= newest, message


def kept_of(run: Run) -> Run:
    """What is left of a run that was killed: its output up to the last STATE."""
    last = max((number for number, line in enumerate(run.lines) if line.startswith('{"type":"STATE"')), default=-1)
    return Run(run.code, "".join(f"{line}\n" for line in run.lines[: last + 1]), run.stderr)


class Nursery:
    """Starts taps from a process that has imported everything already."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", SCRIPT],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, args: Sequence[str], folder: Path, now: float | None, env: Mapping[str, str], timeout: float) -> Run:
        """Run the tap to its end."""
        output = [str(folder / name) for name in ("stdout", "stderr")]
        job = {"args": args, "cwd": str(folder), "now": now, "env": env, "output": output}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        pid = self._answer()
        alarm = threading.Timer(timeout, os.kill, (pid, signal.SIGKILL))
        alarm.start()
        code = self._answer()
        alarm.cancel()
        stdout, stderr = (Path(path).read_text(encoding="utf-8") for path in output)
        assert code != -signal.SIGKILL, f"the tap took longer than {timeout} s:\n{stderr}"
        return Run(code, stdout, stderr)

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()


@dataclass
class Tap:
    """Runs the tap; its files lie in a folder, which also is where it runs."""

    folder: Path
    nursery: Nursery
    _count: int = field(default=0, repr=False)

    def __call__(
        self,
        config: Mapping[str, object] | None,
        *args: str,
        state: object = None,
        catalog: object = None,
        now: float | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = _PATIENCE,
    ) -> Run:
        """Run the tap to its end, and check that it showed nothing secret.

        Args:
            config: Written to a file; None: no ``--config``.
            args: Further arguments.
            state: Written to a file as JSON; a text as it is.
            catalog: The same.
            now: The local clock, in seconds since 1970; None: the real one.
            env: Added to the environment.
            timeout: Seconds after which the test has failed.
        """
        arguments = [*self._files(config=config, state=state, catalog=catalog), *args]
        run = self.nursery.run(arguments, self.folder, now, environment(env), timeout)
        check_hidden(secrets_of(config, env), run.stdout, run.stderr)
        return run

    def _files(self, **contents: object) -> list[str]:
        given = {name: content for name, content in contents.items() if content is not None}
        return [part for name, content in given.items() for part in (f"--{name}", self.write(name, content))]

    def write(self, name: str, content: object) -> str:
        """Write a file as JSON, or a text as it is, and return its path."""
        self._count += 1
        path = self.folder / f"{name}-{self._count}.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    def start(
        self,
        config: Mapping[str, object] | None,
        *args: str,
        state: object = None,
        env: Mapping[str, str] | None = None,
        stderr: int | IO[str] = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        """Start the tap as anyone would: a new interpreter and pipes."""
        return subprocess.Popen(
            [sys.executable, "-m", "tap_genesys_search", *self._files(config=config, state=state), *args],
            cwd=self.folder,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def until(
        self,
        config: Mapping[str, object],
        messages: int,
        state: object = None,
        *,
        by: int = signal.SIGKILL,
        env: Mapping[str, str] | None = None,
        kind: str = "STATE",
        ready: Callable[[], bool] = lambda: True,
    ) -> Run:
        """Run the tap, and send it one signal once it has written so many messages of a kind and something is true."""
        log = self.folder / "stderr"
        # A file, as a pipe that nobody reads fills up at DEBUG.
        with log.open("w") as errors, self.start(config, state=state, env=env, stderr=errors) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                messages -= line.startswith(f'{{"type":"{kind}"')
                if messages == 0:
                    while not ready():
                        assert process.poll() is None, log.read_text(encoding="utf-8")
                        time.sleep(0.005)
                    process.send_signal(by)
                    # Another would come upon a process that is about to leave.
                    messages = -1
        run = Run(process.returncode, "".join(lines), log.read_text(encoding="utf-8"))
        check_hidden(secrets_of(config, env), run.stdout, run.stderr)
        return run


@dataclass(frozen=True)
class Database:
    """A PostgreSQL database, by libpq's address and by SQLAlchemy's."""

    uri: str
    sqlalchemy: str

    @property
    def url(self) -> str:
        """The address for a target, with UTC whatever the server's zone is: its columns have none."""
        return f"{self.sqlalchemy}&options=-c%20timezone%3DUTC"

    def query(self, text: str) -> list[Any]:
        """Ask."""
        with psycopg.connect(self.uri) as connection:
            return connection.execute(text.encode()).fetchall()

    def table(self) -> dict[str, str]:
        """The timestamps of the conversations by id."""
        stamp = """to_char("timestamp", 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
        return dict(self.query(f"SELECT id, {stamp} FROM genesys_cloud.conversations"))


def load(
    tap: Tap,
    config: Mapping[str, object],
    target: Path,
    database: Database,
    *,
    state: State | None = None,
    kill_after: int | None = None,
) -> tuple[int, State]:
    """Run tap and target with a pipe between them; return the tap's exit code and the state to go on from.

    Args:
        tap: The tap.
        config: Its settings.
        target: The command of target-postgres.
        database: What to load into.
        state: What to go on from.
        kill_after: The tap is killed once so many of its lines have been passed on.
    """
    settings = {"sqlalchemy_url": database.url, "default_target_schema": "genesys_cloud", "batch_size_rows": 500}
    command = [str(target), "--config", tap.write("target", settings)]
    log = tap.folder / "target.log"
    with (
        log.open("a") as errors,
        tap.start(config, state=state) as source,
        subprocess.Popen(
            command,
            stdin=source.stdout if kill_after is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(),
            text=True,
        ) as sink,
    ):
        assert source.stdout is not None
        assert source.stderr is not None
        if kill_after is not None and sink.stdin is not None:
            for _, line in zip(range(kill_after), source.stdout, strict=False):
                sink.stdin.write(line)
            source.kill()
        else:
            source.stdout.close()
        said = source.stderr.read()
        states, _ = sink.communicate()
    assert sink.returncode == 0, log.read_text() + said
    check_hidden(secrets_of(config), said, states)
    lines = states.splitlines()
    return source.returncode, json.loads(lines[-1]) if lines else state or {}
