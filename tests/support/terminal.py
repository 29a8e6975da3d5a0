"""A terminal to run programs on, and what a person would see of it."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import struct
import subprocess
import termios
from dataclasses import dataclass
from typing import TYPE_CHECKING

from click.testing import CliRunner

from tap_genesys_search.cli import main
from tests.support.helpers import environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Shown:
    """How a program ended, and what it wrote to its terminal."""

    code: int
    written: str

    @property
    def frames(self) -> list[str]:
        """Whatever has been drawn: also what has been overwritten since."""
        return [part for part in re.split(r"[\r\n]", self.written) if part.strip()]

    @property
    def screen(self) -> list[str]:
        """The lines that are left."""
        lines: list[list[str]] = [[]]
        column = 0
        for sign in self.written:
            if sign == "\r":
                column = 0
            elif sign == "\n":
                lines.append([])
                column = 0
            else:
                lines[-1][column : column + 1] = [sign]
                column += 1
        return [text for line in lines if (text := "".join(line).rstrip())]


def on_terminal(
    command: Sequence[str],
    folder: Path,
    *,
    columns: int = 100,
    env: Mapping[str, str] | None = None,
    stdout_too: bool = False,
) -> Shown:
    """Run a program to its end, with stderr on a terminal."""
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        stdout=follower if stdout_too else subprocess.DEVNULL,
        stderr=follower,
    ) as process:
        os.close(follower)
        written = bytearray()
        while part := _read(leader):
            written += part
    os.close(leader)
    return Shown(process.returncode, written.decode())


@dataclass(frozen=True)
class Done:
    """How a command of the people's ended."""

    code: int
    stdout: str
    stderr: str


def people(*args: str, stdin: str = "") -> Done:
    """Run genesys-search in this process, without a terminal."""
    code = 0
    # The command sets up its log where there is none yet, for the stderr that it finds.
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    with CliRunner().isolation(stdin) as (output, errors, _):
        try:
            main(args)
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            root.handlers = handlers
        return Done(code, output.getvalue().decode(), errors.getvalue().decode())


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 65_536)
    except OSError:
        # Linux says so when nobody has the other end any more.
        return b""
