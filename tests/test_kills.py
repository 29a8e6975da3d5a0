"""The tap is killed, at any moment and again and again, and nothing is missing in the end."""

from __future__ import annotations

import math
import os
import random
import select
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
import pytest

from tap_genesys_search import timestamps
from tap_genesys_search.sandbox import Faults, Movement, SandboxServer, WorldConfig
from tests.support.helpers import (
    ManualClock,
    Run,
    State,
    Tap,
    accounted_for,
    bookmark_of,
    check_hidden,
    config_for,
    kept_of,
    secrets_of,
    table,
    truth,
)
from tests.support.meltano import Meltano

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.helpers import Database

CONVERSATIONS = 100_000
DAYS = 30.0
PAGE = 200
KILLS = 10
#: Of each conversation, those included that a kill throws away.
AT_MOST = 1.02

LOOKBACK = 600_000
LATENCY = Faults(latency_ms=5)
RECORD = b'{"type":"RECORD"'
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
DEBUG = {"LOGLEVEL": "DEBUG"}


@dataclass
class Loader:
    """What a loader has of the runs so far, and how many records it was sent for that.

    Of a run that was killed it has what came up to the last STATE, of one that ended by itself all.
    """

    tap: Tap
    server: SandboxServer
    clock: ManualClock
    runs: list[Run] = field(default_factory=list)
    state: State | None = None
    sent: int = 0

    def killed(self, by: int, *, lines: float = math.inf, searches: float = math.inf) -> None:
        """Run the tap, and kill it once it has written so many lines, or asked for so many searches."""
        searches += self.server.stats["searches"]
        config = config_for(self.server)
        log = self.tap.folder / "stderr"
        # A file, as a pipe that nobody reads fills up at DEBUG.
        with log.open("w") as errors, self.tap.start(config, state=self.state, env=DEBUG, stderr=errors) as process:
            output = self._read(
                process, by, lambda written: written >= lines or self.server.stats["searches"] >= searches
            )
        run = Run(process.returncode, output, log.read_text(encoding="utf-8"))
        self._search(run, config)
        # A tap that is still being imported has no handler yet.
        assert run.code == -by or (by == signal.SIGTERM and run.code == 128 + by), run.stderr
        self._keep(run)

    def _read(self, process: subprocess.Popen[str], by: int, due: Callable[[int], bool]) -> str:
        assert process.stdout is not None
        fd, output, lines, signalled = process.stdout.fileno(), bytearray(), 0, False
        while True:
            if not signalled and due(lines):
                process.send_signal(by)
                signalled = True
            if select.select([fd], [], [], 0.001)[0]:
                chunk = os.read(fd, 65_536)
                if not chunk:
                    break
                output += chunk
                lines += chunk.count(b"\n")
                self.clock.pass_by(0.5)
        self.sent += output.count(RECORD)
        whole = output.rfind(b"\n") + 1
        assert by == signal.SIGKILL or whole == len(output), output[whole:]
        return output[:whole].decode()

    def _search(self, run: Run, config: dict[str, object]) -> None:
        """Check that nothing secret was shown, not even the end of a token."""
        tokens = self.server.issued_tokens
        check_hidden([*secrets_of(config), *(token[-16:] for token in tokens)], run.stdout, run.stderr)

    def whole(self) -> Run:
        """Run the tap to its end."""
        config = config_for(self.server)
        run = self.tap(config, state=self.state, env=DEBUG)
        assert run.code == 0, run.stderr
        assert "urllib3.connectionpool" in run.stderr
        self._search(run, config)
        self.sent += len(run.records)
        self._keep(run)
        return run

    def _keep(self, run: Run) -> None:
        accounted_for(run, self.state)
        stamps = [record["timestamp"] for record in run.records]
        assert stamps == sorted(stamps)
        versions = [(record["id"], record["timestamp"]) for record in run.records]
        assert len(versions) == len(set(versions))
        self.runs.append(run if run.code == 0 else kept_of(run))
        if run.states:
            self.state = run.state

    def backfill(self, kills: int, chance: random.Random) -> None:
        """Kill as many runs, by turns in both ways, at moments all over the first reading of everything."""
        for number, place in enumerate(sorted(chance.sample(range(CONVERSATIONS), kills))):
            ahead = max(0, place - sum(len(run.records) for run in self.runs))
            # What is asked for is ahead of what is written; chance says which of them is met in its midst.
            if chance.random() < 0.5:
                self.killed(SIGNALS[number % 2], lines=ahead)
            else:
                self.killed(SIGNALS[number % 2], searches=ahead // PAGE)

    def increments(self, kills: int, chance: random.Random) -> None:
        """Kill as many runs that follow a whole one, below the bookmark and above it."""
        for number in range(kills):
            self.server.world.move(arrive=300, change=600, late=100)
            self.clock.pass_by(120)
            settled = timestamps.write(timestamps.parse(bookmark_of(self.state or {})["run_start"]) - LOOKBACK)
            ahead = sum(stamp >= settled for stamp in truth(self.server).values())
            self.killed(SIGNALS[number % 2], lines=chance.randrange(ahead))


@pytest.mark.slow
def test_a_backfill_that_is_killed_ten_times(tap: Tap, record_property: Callable[[str, object], None]) -> None:
    """Each conversation is there, in order, and hardly one was sent twice."""
    clock = ManualClock()
    with SandboxServer(WorldConfig(conversations=CONVERSATIONS, days=DAYS), LATENCY, clock=clock) as server:
        held = truth(server)
        loaded = Loader(tap, server, clock)
        loaded.backfill(KILLS, random.Random(2))
        last = loaded.whole()
    assert len(last.records) < CONVERSATIONS
    assert table(loaded.runs) == held
    stamps = [record["timestamp"] for run in loaded.runs for record in run.records]
    assert stamps == sorted(stamps)
    record_property("sent_for_each", loaded.sent / len(held))
    assert len(held) <= loaded.sent <= AT_MOST * len(held)


@pytest.mark.slow
def test_kills_while_conversations_change_and_come_late(tap: Tap) -> None:
    """Some in the backfill and some in what follows it, where a lookback is read again."""
    clock = ManualClock()
    movement = Movement(
        arrive_every_search=2, move_every_search=5, late_every_search=1, late_max_seconds=300, late_changes=0.2
    )
    world = WorldConfig(conversations=CONVERSATIONS, days=DAYS, tie_share=0.02)
    chance = random.Random(3)
    with SandboxServer(world, LATENCY, movement, clock=clock) as server:
        loaded = Loader(tap, server, clock)
        loaded.backfill(KILLS // 2, chance)
        loaded.whole()
        loaded.increments(KILLS // 2, chance)
        loaded.whole()
        assert table(loaded.runs) != truth(server)
        server.world.quiet()
        clock.pass_by(1)
        loaded.whole()
        assert table(loaded.runs) == truth(server)


# The tap itself, which says who it is and notes a byte for each record that it is about to write: nobody else sees what
# goes into Meltano's pipe.
COUNTING = """#!{python}
import os
from pathlib import Path
from tap_genesys_search.tap import TapGenesysSearch
from tap_genesys_search.writer import PageMessage

Path({pid!r}).write_text(str(os.getpid()))
notes = os.open({notes!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
encode = PageMessage.encode

def noting(page):
    os.write(notes, b"." * len(page.records))
    return encode(page)

PageMessage.encode = noting
TapGenesysSearch.cli()
"""


def rows_of(database: Database) -> int:
    """How many rows there are."""
    try:
        ((count,),) = database.query("SELECT count(*) FROM genesys_cloud.conversations")
    except psycopg.errors.UndefinedTable:
        return 0
    return int(count)


@pytest.mark.slow
def test_kills_of_meltano_and_all_that_it_runs(
    tmp_path: Path, target_postgres: Path, database: Database, record_property: Callable[[str, object], None]
) -> None:
    """How often a row is sent is the loader's doing: it tells of none before its input ends, or five minutes are over.

    So Meltano's state advances where the tap alone was ended, and all of it once more where everything was.
    """
    conversations, chance = 20_000, random.Random(4)
    notes, pid, log, command = (tmp_path / name for name in ("sent", "pid", "meltano.log", "tap"))
    command.write_text(COUNTING.format(python=sys.executable, notes=str(notes), pid=str(pid)))
    command.chmod(0o755)
    notes.touch()

    def sent() -> int:
        return notes.stat().st_size

    with SandboxServer(WorldConfig(conversations=conversations), Faults(latency_ms=100), clock=ManualClock()) as server:
        meltano = Meltano(
            tmp_path, target_postgres, database, server, tap=command, batch_size_rows=500, validate_records=False
        )

        def killed(by: int, done: Callable[[], int], *, tap_only: bool) -> None:
            enough = done() + chance.randrange(1, 6_000 if tap_only else 2_000)
            # Meltano takes a run that was killed for one that goes on, for some minutes.
            with meltano.running("--force", log=log) as process:
                while done() < enough:
                    assert process.poll() is None, log.read_text()
                    time.sleep(0.001 if tap_only else 0.1)
                if tap_only:
                    os.kill(int(pid.read_text()), by)
                else:
                    os.killpg(process.pid, by)
                assert process.wait(60) != 0, log.read_text()

        killed(signal.SIGKILL, lambda: rows_of(database), tap_only=False)
        killed(signal.SIGTERM, sent, tap_only=True)
        killed(signal.SIGTERM, lambda: rows_of(database), tap_only=False)
        killed(signal.SIGKILL, sent, tap_only=True)
        killed(signal.SIGKILL, lambda: rows_of(database), tap_only=False)
        assert 0 < rows_of(database) < conversations
        last = meltano.run("--force")
        assert last.returncode == 0, last.stderr
        held = truth(server)
        assert database.table() == held
        shown = log.read_text(encoding="utf-8") + last.stdout + last.stderr
        assert "SUMMARY" in shown
        check_hidden([*secrets_of(), *(token[-16:] for token in server.issued_tokens)], shown)
    assert sent() >= len(held)
    record_property("sent_for_each", sent() / len(held))
