"""Meltano keeps the state: what a run that ends before its first page leaves of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tap_genesys_search.sandbox import SandboxServer, WorldConfig
from tests.helpers import CLIENT, FAST, SECRET, ManualClock, State, bookmark_of, environment, truth

if TYPE_CHECKING:
    from tests.helpers import Database

PROJECT = Path(__file__).parents[1] / "meltano.yml"
PIPE = ("tap-genesys-search", "target-postgres")
STATE_ID = f"dev:{PIPE[0]}-to-{PIPE[1]}"
PROGRAMS = Path(sys.executable).parent


class Meltano:
    """The project's own ``meltano.yml`` in a folder of its own, with the commands that are there already."""

    def __init__(self, folder: Path, target: Path, database: Database, server: SandboxServer) -> None:
        project: dict[str, Any] = yaml.safe_load(PROJECT.read_text(encoding="utf-8"))
        (extractor,) = project["plugins"]["extractors"]
        loader = next(plugin for plugin in project["plugins"]["loaders"] if plugin["name"] == PIPE[1])
        # Without a pip_url Meltano installs nothing and calls the executable as it stands.
        for plugin, executable in ((extractor, PROGRAMS / PIPE[0]), (loader, target)):
            del plugin["pip_url"]
            plugin["executable"] = str(executable)
        project["plugins"] = {"extractors": [extractor], "loaders": [loader]}
        (folder / "meltano.yml").write_text(yaml.safe_dump(project), encoding="utf-8")
        self._folder = folder
        self._settings = {
            "MELTANO_PROJECT_ROOT": str(folder),
            "TAP_GENESYS_SEARCH_CLIENT_ID": CLIENT,
            "TAP_GENESYS_SEARCH_CLIENT_SECRET": SECRET,
            "TAP_GENESYS_SEARCH_BASE_URL": server.base_url,
            "TAP_GENESYS_SEARCH_REQUESTS_PER_MINUTE": str(FAST),
            "TAP_GENESYS_SEARCH_MAX_RETRIES": "0",
            "TARGET_POSTGRES_SQLALCHEMY_URL": database.url,
        }

    def __call__(self, *args: str, **settings: str) -> subprocess.CompletedProcess[str]:
        more = {f"TAP_GENESYS_SEARCH_{name.upper()}": value for name, value in settings.items()}
        return subprocess.run(
            [str(PROGRAMS / "meltano"), *args],
            cwd=self._folder,
            # Meltano's own warnings are not ours.
            env=environment(self._settings | more) | {"PYTHONWARNINGS": ""},
            check=False,
            capture_output=True,
            text=True,
            timeout=180,
        )

    def run(self, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the pipe."""
        return self("run", *PIPE, **settings)

    def state(self) -> State:
        """The state that the next run gets."""
        done = self("state", "get", STATE_ID)
        assert done.returncode == 0, done.stderr
        stored: dict[str, Any] = json.loads(done.stdout or "{}")
        found: State = stored.get("singer_state", {})
        return found


@pytest.mark.slow
def test_a_run_that_ends_before_its_first_page_leaves_the_state_as_it_was(
    tmp_path: Path, target_postgres: Path, database: Database
) -> None:
    clock = ManualClock()
    with SandboxServer(WorldConfig(conversations=1_000), clock=clock) as server:
        meltano = Meltano(tmp_path, target_postgres, database, server)
        first = meltano.run()
        assert first.returncode == 0, first.stderr
        assert database.table() == truth(server)
        stored = meltano.state()
        assert bookmark_of(stored)["replication_key_value"] == max(truth(server).values())
        assert {"source", "since", "run_start"} <= bookmark_of(stored).keys()

        clock.pass_by(60)
        server.world.move(arrive=30, change=30)
        clock.pass_by(1)
        server.faults.merge({"outage": True})
        # Another question, by both ways to take it: neither gets to a page.
        for how in ("keep", "restart"):
            ended = meltano.run(query="channelType:voice", on_source_change=how)
            assert ended.returncode != 0
            assert SECRET not in ended.stdout + ended.stderr
        assert meltano.state() == stored

        server.faults.merge({"outage": False})
        last = meltano.run()
        assert last.returncode == 0, last.stderr
        assert database.table() == truth(server)
        newer = bookmark_of(meltano.state())
        assert newer["run_start"] > bookmark_of(stored)["run_start"]
        assert newer["source"] == bookmark_of(stored)["source"]


@pytest.mark.slow
def test_a_first_run_that_ends_before_its_first_page_leaves_no_source(
    tmp_path: Path, target_postgres: Path, database: Database
) -> None:
    with SandboxServer(WorldConfig(conversations=300), clock=ManualClock()) as server:
        meltano = Meltano(tmp_path, target_postgres, database, server)
        server.faults.merge({"outage": True})
        assert meltano.run(query="channelType:voice").returncode != 0
        assert bookmark_of(meltano.state()) == {}
        server.faults.merge({"outage": False})
        # All of it, though the first question was another.
        assert meltano.run().returncode == 0
        assert database.table() == truth(server)


@pytest.mark.slow
def test_a_restart_replaces_the_whole_state_at_its_first_page(
    tmp_path: Path, target_postgres: Path, database: Database
) -> None:
    with SandboxServer(WorldConfig(conversations=1_000), clock=ManualClock()) as server:
        meltano = Meltano(tmp_path, target_postgres, database, server)
        assert meltano.run(query="channelType:voice").returncode == 0
        assert database.table() == truth(server, "channelType:voice")
        stored = bookmark_of(meltano.state())
        assert meltano.run().returncode != 0
        assert bookmark_of(meltano.state()) == stored
        assert meltano.run(on_source_change="restart").returncode == 0
        assert database.table() == truth(server)
        assert bookmark_of(meltano.state())["source"] != stored["source"]
        assert meltano.run().returncode == 0
