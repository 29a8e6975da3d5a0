"""The sandbox in a process of its own, and what it counts while it is read."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from benchmarks.process import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENT = "sandbox"
SECRET = "sandbox-secret"  # noqa: S105 - invented

_PATIENCE = 600


class Sandbox:
    """A warm sandbox on a free port; options are those of ``genesys-search sandbox``."""

    def __init__(self, conversations: int, **options: object) -> None:
        """Say what it holds and does."""
        self._options = {"conversations": conversations, **options}
        self.conversations = conversations
        self.url = ""
        self._port = 0

    def __enter__(self) -> Self:
        """Start it and wait until it listens."""
        self._folder = tempfile.TemporaryDirectory()
        port = Path(self._folder.name) / "port"
        argv = [str(Path(sys.executable).with_name("genesys-search")), "sandbox", "--port", "0", "--warm"]
        argv += ["--port-file", str(port)]
        for name, value in self._options.items():
            option = name.replace("_", "-")
            argv += [f"--{'' if value else 'no-'}{option}"] if isinstance(value, bool) else [f"--{option}", str(value)]
        self._process = subprocess.Popen(
            argv, cwd=self._folder.name, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        end = time.monotonic() + _PATIENCE
        while not port.exists():
            if self._process.poll() is not None or time.monotonic() > end:
                self._process.kill()
                message = f"the sandbox did not start: {self._process.communicate()[1]}"
                raise RuntimeError(message)
            time.sleep(0.05)
        self._port = int(port.read_text())
        self.url = f"http://127.0.0.1:{self._port}"
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.communicate()
        self._folder.cleanup()

    def ask(self, path: str, body: object = None) -> Any:
        """Use an admin route; with a body, POST."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            return _ask(connection, path, body)
        finally:
            connection.close()

    def stats(self) -> dict[str, int]:
        """Return all counters."""
        found: dict[str, int] = self.ask("stats")
        return found

    def reset(self) -> None:
        """Count from zero."""
        self.ask("stats/reset", {})

    def truth(self) -> Iterator[dict[str, Any]]:
        """Yield what is visible now."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request("GET", "/admin/truth")
        for line in connection.getresponse():
            yield json.loads(line)
        connection.close()

    @contextmanager
    def observed(self, every: float = 0.02) -> Iterator[Observer]:
        """Look at the counters again and again while the block runs."""
        observer = Observer(self._port, every)
        try:
            yield observer
        finally:
            observer.stop()


@dataclass(frozen=True, slots=True)
class Sample:
    """What had been counted at a moment (monotonic)."""

    at: float
    granted: int
    refused: int


class Observer:
    """A thread that notes when the counts of answered searches change."""

    def __init__(self, port: int, every: float) -> None:
        """Start to look."""
        self.samples: list[Sample] = []
        self._port = port
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._stop.wait(self._every):
            stats = _ask(connection, "stats")
            sample = Sample(time.monotonic(), stats["status_200"], stats["status_429"])
            if not self.samples or (sample.granted, sample.refused) != (
                self.samples[-1].granted,
                self.samples[-1].refused,
            ):
                self.samples.append(sample)
        connection.close()

    def wait_for(self, granted: int, seconds: float = _PATIENCE) -> float:
        """Wait until so many searches have been answered; return when that was."""
        end = time.monotonic() + seconds
        while not self.samples or self.samples[-1].granted < granted:
            if time.monotonic() > end:
                message = f"fewer than {granted} searches were answered within {seconds:.0f} s"
                raise TimeoutError(message)
            time.sleep(self._every)
        return next(sample.at for sample in self.samples if sample.granted >= granted)

    def count_at(self, at: float) -> Sample:
        """Return what had been counted at a moment."""
        return next((s for s in reversed(self.samples) if s.at <= at), Sample(at, 0, 0))


def _ask(connection: http.client.HTTPConnection, path: str, body: object = None) -> Any:
    if body is None:
        connection.request("GET", f"/admin/{path}")
    else:
        connection.request("POST", f"/admin/{path}", json.dumps(body))
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        message = f"the sandbox answered {answer.status} to {path}: {text[:200]!r}"
        raise RuntimeError(message)
    return json.loads(text)
