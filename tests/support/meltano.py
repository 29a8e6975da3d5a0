"""Meltano with the project's own ``meltano.yml``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.helpers import CLIENT, FAST, SECRET, State, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_genesys_search.sandbox import SandboxServer
    from tests.support.helpers import Database

PROJECT = Path(__file__).parents[2] / "meltano.yml"
PIPE = ("tap-genesys-search", "target-postgres")
STATE_ID = f"dev:{PIPE[0]}-to-{PIPE[1]}"
PROGRAMS = Path(sys.executable).parent


class Meltano:
    """The project's own ``meltano.yml`` in a folder of its own, with the commands that are there already.

    Args:
        folder: Where the project lies.
        target: The command of target-postgres.
        database: What to load into.
        server: What to read.
        tap: The command of the tap.
        loader: Settings of target-postgres.
    """

    def __init__(
        self,
        folder: Path,
        target: Path,
        database: Database,
        server: SandboxServer,
        *,
        tap: Path = PROGRAMS / PIPE[0],
        **loader: object,
    ) -> None:
        project: dict[str, Any] = yaml.safe_load(PROJECT.read_text(encoding="utf-8"))
        (extractor,) = project["plugins"]["extractors"]
        sink = next(plugin for plugin in project["plugins"]["loaders"] if plugin["name"] == PIPE[1])
        sink["config"] |= loader
        # Without a pip_url Meltano installs nothing and calls the executable as it stands.
        for plugin, executable in ((extractor, tap), (sink, target)):
            del plugin["pip_url"]
            plugin["executable"] = str(executable)
        project["plugins"] = {"extractors": [extractor], "loaders": [sink]}
        (folder / "meltano.yml").write_text(yaml.safe_dump(project), encoding="utf-8")
        self._folder = folder
        self._settings = {
            "MELTANO_PROJECT_ROOT": str(folder),
            # Its logs would else lie in the home of who runs the tests.
            "XDG_STATE_HOME": str(folder / "state"),
            "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
            "TAP_GENESYS_SEARCH_CLIENT_ID": CLIENT,
            "TAP_GENESYS_SEARCH_CLIENT_SECRET": SECRET,
            "TAP_GENESYS_SEARCH_BASE_URL": server.base_url,
            "TAP_GENESYS_SEARCH_REQUESTS_PER_MINUTE": str(FAST),
            "TAP_GENESYS_SEARCH_MAX_RETRIES": "0",
            "TARGET_POSTGRES_SQLALCHEMY_URL": database.url,
        }

    def __call__(self, *args: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [str(PROGRAMS / "meltano"), *args],
            cwd=self._folder,
            env=self._environment(settings),
            check=False,
            capture_output=True,
            text=True,
            timeout=180,
        )

    def _environment(self, settings: dict[str, str]) -> dict[str, str]:
        more = {f"TAP_GENESYS_SEARCH_{name.upper()}": value for name, value in settings.items()}
        # Meltano's own warnings are not ours.
        return environment(self._settings | more) | {"PYTHONWARNINGS": ""}

    def run(self, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the pipe."""
        return self("run", *options, *PIPE, **settings)

    @contextmanager
    def running(self, *options: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Start the pipe as a process group of its own; nothing of it is left at the end."""
        with (
            log.open("ab") as output,
            subprocess.Popen(
                [str(PROGRAMS / "meltano"), "run", *options, *PIPE],
                cwd=self._folder,
                env=self._environment({}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            ) as process,
        ):
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def state(self) -> State:
        """The state that the next run gets."""
        done = self("state", "get", STATE_ID)
        assert done.returncode == 0, done.stderr
        stored: dict[str, Any] = json.loads(done.stdout or "{}")
        found: State = stored.get("singer_state", {})
        return found
