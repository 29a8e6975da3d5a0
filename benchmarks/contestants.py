"""Who is measured: the tap, in the ways it is used, and others that do the same work their own way."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.process import Command, environment
from benchmarks.sandbox import CLIENT, SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.environments import Environments

PEERS = Path(__file__).parent / "peers"

#: Above what any sandbox allows.
FAST = 100_000

#: Names as they are shown.
TITLES = {
    "plain": "plain script",
    "quiet plain": "plain script without print",
    "tap": "this tap",
    "mapped tap": "this tap, with a stream map",
    "deselected tap": "this tap, a property deselected",
    "generator": "this package's generator",
    "printing generator": "this package's generator with print",
    "template": "template SDK tap",
    "dlt": "dlt, REST source",
    "airbyte": "Airbyte CDK, declarative",
}

_TAP = str(Path(sys.executable).with_name("tap-genesys-search"))
_MAP = {"conversations": {"origin": "'genesys'"}}
_SCRIPTS = {
    "plain": ["plain.py"],
    "quiet plain": ["plain.py", "--no-print"],
    "generator": ["generator.py"],
    "printing generator": ["generator.py", "--print"],
    "template": ["template_tap.py"],
    "dlt": ["dlt_rest.py"],
    "airbyte": ["airbyte.py", "read", "--manifest-path", str(PEERS / "airbyte_manifest.yaml")],
}
_CATALOG = {
    "streams": [
        {
            "stream": {
                "name": "conversations",
                "json_schema": {"type": "object"},
                "supported_sync_modes": ["full_refresh"],
            },
            "sync_mode": "full_refresh",
            "destination_sync_mode": "append",
        }
    ]
}


class Contestants:
    """Makes their commands; files that they need lie in a folder."""

    def __init__(self, environments: Environments, folder: Path) -> None:
        """Take where interpreters and files are."""
        self._environments = environments
        self._folder = folder

    def folder(self) -> Path:
        """Return a new, empty folder."""
        return Path(tempfile.mkdtemp(dir=self._folder))

    def command(self, name: str, url: str) -> Command:
        """Return the command of a contestant, with a folder of its own."""
        if name == "tap":
            return self.tap(url)
        if name == "mapped tap":
            return self.tap(url, stream_maps=_MAP)
        if name == "deselected tap":
            return self._deselected(url)
        return self._peer(name, url, self.folder())

    def _peer(self, name: str, url: str, folder: Path) -> Command:
        script, *arguments = _SCRIPTS[name]
        variables = {}
        if name == "dlt":
            arguments = [str(folder)]
            variables = {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"}
        if name in {"template", "airbyte"}:
            account = {"base_url": url, "client_id": CLIENT, "client_secret": SECRET}
            arguments += ["--config", _write(folder / "config.json", account)]
            if name == "airbyte":
                arguments += ["--catalog", _write(folder / "catalog.json", _CATALOG)]
        else:
            arguments = [url, CLIENT, SECRET, *arguments]
        is_ours = name.endswith("generator")
        python = sys.executable if is_ours else self._environments.python(name.removeprefix("quiet "))
        return Command([python, str(PEERS / script), *arguments], folder, variables)

    def tap(self, url: str, *arguments: str, state: object = None, **settings: object) -> Command:
        """Return the command of the tap."""
        folder = self.folder()
        config = {
            "client_id": CLIENT,
            "client_secret": SECRET,
            "base_url": url,
            "requests_per_minute": FAST,
            **settings,
        }
        argv = [_TAP, "--config", _write(folder / "config.json", config), *arguments]
        if state is not None:
            argv += ["--state", _write(folder / "state.json", state)]
        return Command(argv, folder)

    def target(self, settings: dict[str, object]) -> Command:
        """Return the command of target-postgres."""
        folder = self.folder()
        program = self._environments.program("postgres", "target-postgres")
        return Command([program, "--config", _write(folder / "config.json", settings)], folder)

    def _deselected(self, url: str) -> Command:
        command = self.tap(url)
        found = subprocess.run([*command.argv, "--discover"], env=environment(), check=True, capture_output=True)
        catalog = json.loads(found.stdout)
        for entry in catalog["streams"][0]["metadata"]:
            if entry["breadcrumb"] == ["properties", "type"]:
                entry["metadata"]["selected"] = False
            elif not entry["breadcrumb"]:
                entry["metadata"]["selected"] = True
        path = _write(command.folder / "catalog.json", catalog)
        return Command([*command.argv, "--catalog", path], command.folder)


def ids(name: str, command: Command, stdout: Path) -> Iterator[str]:
    """Yield the ids that a contestant has written."""
    files = [stdout]
    if name == "dlt":
        files = [path for path in (command.folder / "files").rglob("conversations/*") if path.is_file()]
    for path in files:
        for line in _lines(path):
            message = json.loads(line)
            record = message.get("record", message)
            if identity := record.get("data", record).get("id"):
                yield identity


def _lines(path: Path) -> Iterator[bytes]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        for line in lines:
            if line.startswith(b"{"):
                yield line


def _write(path: Path, content: object) -> str:
    path.write_text(json.dumps(content))
    return str(path)
