"""What the README says of settings: its table is what the code has (UPDATE_SNAPSHOTS=1 writes it), and they arrive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from tap_genesys_search.sandbox import SandboxServer, WorldConfig
from tap_genesys_search.settings import CONFIG_JSONSCHEMA, OWN
from tests.support.helpers import config_for, environment, truth
from tests.support.meltano import PROGRAMS

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- settings -->\n", "<!-- /settings -->"


def test_the_settings_table_is_that_of_the_code() -> None:
    """Names, defaults, bounds and descriptions."""
    before, rest = README.read_text().split(BEGIN)
    shown, after = rest.split(END)
    expected = settings_table()
    if os.environ.get("UPDATE_SNAPSHOTS"):
        README.write_text(before + BEGIN + expected + END + after)
        return
    assert shown == expected


#: What is hard to bring through quotes, through variables, and through nothing at all.
HARD: dict[str, Any] = {
    "client_id": "$HOME ${HOME} \\${HOME}",
    "client_secret": 'it\'s "$HOME" ${HOME:-x} \\ #1 ${',
    "query": '"foo bar" AND status:completed',
    "page_size": 100,
    "flattening_enabled": False,
    "stream_maps": {"conversations": {"note": "'x' ${HOME}"}},
    "end_date": None,
}
GIVEN = {name: value for name, value in HARD.items() if value is not None}


def bring(config: dict[str, Any], folder: Path) -> None:
    """Write `.env` by the README's own lines, below a line that has no end."""
    (folder / "config.json").write_text(json.dumps(config))
    (folder / ".env").write_text("OTHER='7'")
    block = README.read_text().split("```sh\npython3 - config.json", 1)[1].split("```", 1)[0]
    subprocess.run(["bash", "-c", "python3 - config.json" + block], cwd=folder, check=True)  # noqa: S607 - whichever bash there is


def test_a_json_file_becomes_the_environment(tmp_path: Path) -> None:
    """Values arrive as they are where Meltano reads them, and where the tap does; what is not given is not set."""
    bring(HARD, tmp_path)
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in GIVEN.items()}
    read = dotenv_values(tmp_path / ".env")
    assert read == {"OTHER": "7"} | {f"TAP_GENESYS_SEARCH_{name.upper()}": text for name, text in texts.items()}
    code = (
        "import json; from tap_genesys_search.configuration import read_config; print(json.dumps(read_config(['ENV'])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout) == GIVEN


@pytest.mark.slow
def test_a_project_that_is_begun_as_the_page_says(tmp_path: Path) -> None:
    """With settings from a JSON file, a loader that Meltano installs, and the command for people."""

    def meltano(*words: str) -> str:
        variables = {
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "PYTHONWARNINGS": "",
            "NO_COLOR": "1",
            # It would else tell its maker of the project, ask for newer versions, and write its logs to the home.
            "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
            "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
            "XDG_STATE_HOME": str(tmp_path),
        }
        done = subprocess.run(
            [str(PROGRAMS / "meltano"), *words],
            cwd=folder,
            env=environment(variables),
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    folder = tmp_path
    meltano("init", "my-project")
    folder = tmp_path / "my-project"
    project = yaml.safe_load((folder / "meltano.yml").read_text(encoding="utf-8"))
    ours = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))["plugins"]
    # The tap is that of this clone, in the environment of the tests.
    del ours["extractors"][0]["pip_url"]
    project["plugins"] = ours
    (folder / "meltano.yml").write_text(yaml.safe_dump(project), encoding="utf-8")

    bring(HARD, folder)
    told = json.loads(meltano("invoke", "--dump=config", "tap-genesys-search"))
    assert told == told | GIVEN
    assert "end_date" not in told
    with SandboxServer(WorldConfig(conversations=500)) as server:
        bring(config_for(server), folder)
        meltano("run", "tap-genesys-search", "target-jsonl")
        lines = (folder / "output" / "conversations.jsonl").read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        assert {record["id"]: record["timestamp"] for record in records} == truth(server)
        found = meltano("invoke", "tap-genesys-search:search", "*", "--max-results", "3")
        newest = max(truth(server).items(), key=lambda item: item[1])
    assert f"[0] ID: {newest[0]} | Time: {newest[1]}\n" in found
    assert "Stream complete. Processed 3 unique conversations." in found


def settings_table() -> str:
    """Write the table."""
    rows = ["| name | default | |", "|---|---|---|", *(_row(name, schema) for name, schema in OWN.items())]
    return "\n".join(rows) + "\n"


def _row(name: str, schema: dict[str, Any]) -> str:
    default = f"`{schema['default']}`" if "default" in schema else ""
    notes = [schema["description"]]
    if "minimum" in schema:
        notes.append(f"{schema['minimum']:,} to {schema['maximum']:,}." if "maximum" in schema else "1 or more.")
    if schema.get("secret"):
        notes.append("Secret.")
    required = "required" if name in CONFIG_JSONSCHEMA["required"] else default
    return f"| `{name}` | {required} | {' '.join(notes)} |"
