"""One process, measured whole: wall time, CPU time of it and its children, peak memory."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

# PYTHON…: one that keeps bytecode from being written, or output from being buffered, changes everything.
_HIDDEN = ("TAP_GENESYS_SEARCH_", "TARGET_", "MELTANO_", "SINGER_", "COVERAGE_", "COV_CORE_", "PYTHON")


class FailedError(Exception):
    """A measured process did not end well."""


@dataclass(frozen=True)
class Command:
    """What is started, where, and with which variables on top."""

    argv: list[str]
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds, seconds of CPU, MiB at the peak."""

    wall: float
    cpu: float
    peak: float


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment without what would change a run."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_HIDDEN) and not name.lower().endswith("_proxy") and name != "LOGLEVEL"
    }
    return kept | dict(extra or {})


class Running:
    """A process under way; leaving the block ends it, and ``cost`` is known after :meth:`wait`."""

    def __init__(
        self, command: Command, *, stdin: IO[bytes] | int | None = None, stdout: IO[bytes] | int | None = None
    ) -> None:
        """Start it; what it says on stderr is kept for the case that it fails."""
        self._command = command
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self._status: int | None = None
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            command.argv,
            cwd=command.folder,
            env=environment(command.env),
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.DEVNULL if stdout is None else stdout,
            stderr=self._log,
        )

    def __enter__(self) -> Self:
        """Return the process."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, if it has not ended."""
        if self._status is None:
            self.process.kill()
            self.wait(check=False)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()

    def wait(self, *, check: bool = True) -> Cost:
        """Wait for its end.

        Raises:
            FailedError: It ended with an error.
        """
        _, status, usage = os.wait4(self.process.pid, 0)
        wall = time.perf_counter() - self.began
        self._status = self.process.returncode = os.waitstatus_to_exitcode(status)
        if check and self._status != 0:
            self._log.seek(0)
            said = self._log.read()[-3000:].decode(errors="replace")
            message = f"{' '.join(self._command.argv)} ended with {self._status}:\n{said}"
            raise FailedError(message)
        # A process begins with the peak of the one that started it, so this one has to stay small.
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if check and usage.ru_maxrss <= own:
            message = f"the peak of {self._command.argv[0]} is hidden by this process's own of {own // 1024} MiB"
            raise FailedError(message)
        return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def measure(command: Command, stdout: Path | None = None) -> Cost:
    """Run a process to its end; its output goes to a file, or nowhere."""
    with Path(stdout or os.devnull).open("wb") as out, Running(command, stdout=out) as running:
        return running.wait()
