"""Audits: by the comparison alone, and by the command against a sandbox."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tap_genesys_search import timestamps
from tap_genesys_search.audit import Audit, Finding
from tap_genesys_search.explain import Found
from tests.support.helpers import config_for, environment
from tests.support.terminal import Done, people

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tap_genesys_search.sandbox import SandboxServer

NEVER = Found(exists=False)
GOOD = "Nothing is missing or stale"


def audited(
    source: Iterable[tuple[int, str]],
    warehouse: Iterable[tuple[int, str]],
    world: Mapping[str, Found] | None = None,
    *,
    due: int | None = None,
    until: int | None = None,
    limit: int = 10**9,
    low: int = timestamps.BEGIN,
    high: int = timestamps.END,
) -> tuple[list[Finding], Audit]:
    """What an audit finds."""
    with Audit(low, high, due, until) as audit:
        audit.merge(source, warehouse)
        return list(audit.findings(lambda identity: (world or {}).get(identity, NEVER), limit)), audit


@dataclass(frozen=True)
class Audited(Done):
    """How an audit ended."""

    @property
    def report(self) -> dict[str, Any]:
        """Its JSON."""
        found: dict[str, Any] = json.loads(self.stdout)
        return found


@dataclass
class Auditor:
    """Runs the command in a folder, against a sandbox."""

    folder: Path
    server: SandboxServer

    def config(self, **settings: object) -> str:
        """Write the settings."""
        path = self.folder / "config.json"
        path.write_text(json.dumps(config_for(self.server, **settings)))
        return str(path)

    def state(self, state: object) -> str:
        """Write the state."""
        path = self.folder / "state.json"
        path.write_text(json.dumps(state))
        return str(path)

    def __call__(self, rows: Mapping[str, str] | str, *args: str, **settings: object) -> Audited:
        """Pipe rows into it."""
        text = rows
        if not isinstance(text, str):
            ordered = sorted((stamp, identity) for identity, stamp in text.items())
            text = "".join(f"{identity},{stamp}\n" for stamp, identity in ordered)
        done = people("audit", "--config", self.config(**settings), *args, stdin=text)
        return Audited(done.code, done.stdout, done.stderr)

    def apart(self, rows: str, *args: str, script: str = 'exec "$@"', **settings: object) -> Audited:
        """The same in a process of its own, which a shell starts."""
        command = [sys.executable, "-m", "tap_genesys_search.cli", "audit", "--config", self.config(**settings), *args]
        done = subprocess.run(
            ["bash", "-c", script, "bash", *command],  # noqa: S607 - whichever bash there is
            input=rows,
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
            timeout=120,
        )
        return Audited(done.returncode, done.stdout, done.stderr)

    def findings(self) -> dict[str, list[str]]:
        """What the file of all ids says, by id."""
        header, *lines = csv.reader((self.folder / "out.csv").read_text().splitlines())
        assert header == ["id", "what", "source_timestamp", "warehouse_timestamp"]
        return {identity: rest for identity, *rest in lines}


def by_time(row: tuple[str, str]) -> str:
    """The key that an export is ordered by."""
    return row[1]


def broken(rows: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """A table without its first row, with an old second and a third that nobody knows."""
    table = dict(rows)
    lost, old = sorted(rows, key=lambda each: (rows[each], each))[500:502]
    del table[lost]
    table[old] = "2026-10-02T00:00:00.000Z"
    table["foreign"] = "2026-10-09T01:02:03.004Z"
    return table, [lost, old, "foreign"]
