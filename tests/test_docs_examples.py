"""The examples of the README and the docs are run, and what comes out is what the page shows."""

from __future__ import annotations

import json
import re
from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import yaml

from tap_genesys_search.bookmark import Stored
from tap_genesys_search.progress import Summary
from tap_genesys_search.question import Question
from tap_genesys_search.sandbox import Faults, SandboxServer, WorldConfig
from tap_genesys_search.settings import Settings
from tap_genesys_search.timestamps import parse
from tests.orchestrate.dags import configuration
from tests.support.blocks import DOCS, Block, commands
from tests.support.helpers import CLIENT, SECRET, bookmark_of, config_for, truth
from tests.support.pages import PLUGINS, README, of, the
from tests.support.terminal import people

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tap_genesys_search.shared_redis import SharedRedis
    from tests.support.helpers import Database, Run, Tap
    from tests.support.valkey import Valkey


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
    config = configuration.Config.parse(text, "the page")
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
