"""The page for who runs the tap: its commands are run, its figures recomputed, and its table of errors is complete."""

from __future__ import annotations

import ast
import hashlib
import json
import math
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tap_genesys_search import errors
from tap_genesys_search.sandbox import SandboxServer, WorldConfig
from tests.helpers import SECRET, bookmark_of, check_hidden, config_for, truth
from tests.meltano import PROGRAMS, STATE_ID, Meltano

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.helpers import Database, Tap

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"<!-- run: ([\w-]+) -->\n```\w+\n(.*?)```", re.DOTALL)
BLOCKS = dict(BLOCK.findall(PAGE))


# The table of errors

#: Modules whose texts nobody meets in operation.
EXCLUDED_MODULES = {
    "demo": "runs in a clone only, and for show",
    "doctor": "its lines are findings and end no command; docs/on-call.md has them",
    "errors": "its tables are compared below, row by row",
    "timestamps": "who parses says in words of its own what is wrong",
    "workers": "passes on what others raise",
}
#: Texts that hold hardly more than another text, which has a row of its own.
WRAPPERS = {
    "query …": "what lucene.py says of a query",
    "redis_url …": "what redis_url.py says of a URL",
    "…, line …: …": "what is the matter with a line of an export",
    "… must be …": "a whole number, or JSON: what a variable of the environment has to hold",
}
#: Rows that a wrapper's texts, an exclusion's or the SDK's stand in.
ROWS_OF_WRAPPERS = ("TAP_GENESYS_SEARCH_", "… must be JSON", "…, line", "it ", "… is no timestamp", "has no ")
#: What is shorter than this may stand anywhere.
SHORTEST = 7
#: Where a ValueError is a text that goes on after a setting's name, as is what is appended to the problems.
SETTINGS_MODULES = {"settings", "lucene", "redis_url"}
#: Calls of a class that is handed in, and of methods that make an error: of which kind it is.
HANDED_IN = {
    "otherwise": "configuration",
    "too_slow": "platform",
    "_error": "configuration",
    "_unavailable": "configuration",
    "_off": "contract",
}
#: Which argument is the text, if not the first.
PLACES = {"_error": 1, "_unavailable": 1}
HEADINGS = {"configuration": "### Configuration (78)", "platform": "### Platform (75)", "contract": "### Contract (76)"}
KINDS = {
    name: value.kind
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.GenesysSearchError)
}


def fixed_part(text: str) -> str:
    """The longest part of a template without a value in it, up to the semicolon behind which it says what to do."""
    return max(text.partition("; ")[0].split("…"), key=len).strip()


def template(node: ast.expr) -> str | None:
    """A text with … for each value in it; None if this is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return None


def templates(tree: ast.Module, node: ast.expr) -> Iterator[str]:
    """The texts that an error's argument may be: itself, what its name was given, or what its property returns."""
    text = template(node)
    if text is not None:
        yield text
        return
    if isinstance(node, ast.IfExp):
        yield from templates(tree, node.body)
        yield from templates(tree, node.orelse)
        return
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
    for each in ast.walk(tree):
        if isinstance(each, ast.Assign | ast.AnnAssign) and each.value is not None:
            targets = each.targets if isinstance(each, ast.Assign) else [each.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                yield from filter(None, [template(each.value)])
        if isinstance(each, ast.FunctionDef) and each.name == name:
            returned = (part.value for part in ast.walk(each) if isinstance(part, ast.Return) and part.value)
            yield from filter(None, map(template, returned))


def raised(path: Path) -> Iterator[tuple[str, str]]:
    """The kind and the text of every error that a module makes.

    A name is looked for in the scope of its function, and in the module's if it is a constant.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (
        KINDS
        | HANDED_IN
        | (dict.fromkeys(("ValueError", "append"), "configuration") if path.stem in SETTINGS_MODULES else {})
    )
    functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)]
    for function in functions:
        for node in ast.walk(function):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func).rpartition(".")[2]
            kind, place = kinds.get(called), PLACES.get(called, 0)
            if kind is None or len(node.args) <= place:
                continue
            argument = node.args[place]
            is_local = isinstance(argument, ast.Name) and argument.id.islower() and not argument.id.startswith("_")
            scope = ast.Module(list(function.body), []) if is_local else tree
            for text in templates(scope, argument):
                yield kind, text


@cache
def messages() -> list[tuple[str, str, str]]:
    """Module, kind and text of all errors of the package, each once."""
    found: dict[tuple[str, str, str], None] = {}
    for path in sorted((ROOT / "tap_genesys_search").rglob("*.py")):
        if "sandbox" not in path.parts and path.stem not in EXCLUDED_MODULES:
            found |= dict.fromkeys((path.stem, kind, text) for kind, text in raised(path) if fixed_part(text))
    for name, table in (("errors.SEARCH", errors.SEARCH), ("errors.TOKEN", errors.TOKEN)):
        rows = [*table.values(), errors.policy_for(418, table)]
        found |= dict.fromkeys((name, policy.error.kind, policy.sentence) for policy in rows)
    return list(found)


def rows() -> dict[str, list[str]]:
    """The first cells of the page's tables of errors, by kind."""
    found = {}
    for kind, heading in HEADINGS.items():
        section = PAGE.split(f"{heading}\n")[1].split("\n### ")[0]
        found[kind] = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| ")]
    return found


def is_in(row: str, text: str) -> bool:
    """Whether a row holds a text: all its fixed parts in their order, up to the semicolon if enough is left then."""
    parts = text.partition("; ")[0] if len(fixed_part(text)) >= SHORTEST else text
    return re.search(".*".join(re.escape(part.strip()) for part in parts.split("…")), row) is not None


def test_every_error_has_a_row_among_those_of_its_kind() -> None:
    found = messages()
    assert len(found) > 90
    table = rows()
    missing = [
        each for each in found if each[2] not in WRAPPERS and not any(is_in(row, each[2]) for row in table[each[1]])
    ]
    assert missing == []
    # An exclusion that excludes nothing any more has to go.
    assert {text for _, _, text in found} >= WRAPPERS.keys()


def test_every_row_is_of_an_error_that_there_is() -> None:
    """One that is renamed leaves no old row behind."""
    texts = [text for _, _, text in messages()]
    known = [text for text in texts if text not in WRAPPERS]
    stale = [
        line
        for kind in HEADINGS
        for row in rows()[kind]
        for line in re.findall(r"`([^`]+)`", row)
        if not any(is_in(line, text) for text in known) and not line.startswith(ROWS_OF_WRAPPERS)
    ]
    assert stale == []


# The figures


def section(mark: str) -> Iterator[list[str]]:
    """The rows of the table behind a mark, without its head."""
    lines = PAGE.split(f"<!-- {mark} -->\n")[1].splitlines()
    for line in lines[2:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def test_the_costs_are_what_the_formula_says() -> None:
    a_day, days, lookback = 20_000, 30, 10
    minutes = {"every 5 minutes": 5, "every 15 minutes": 15, "every 60 minutes": 60, "daily": 1_440}
    schedules = {
        name: (days * 1_440 // each, a_day * days * (each + lookback) / each) for name, each in minutes.items()
    }
    schedules["nightly, 7 days again, on top"] = days, days * 7 * a_day
    assert list(section("costs")) == [
        [name, f"{runs:,}", f"{read:,.0f}", f"{math.ceil(2 * runs + 1.04 * read / 200):,}"]
        for name, (runs, read) in schedules.items()
    ]
    once = {"backfill of a year": 365, "audit of a year, without look-ups": 365, "audit of 7 days, without look-ups": 7}
    assert list(section("once")) == [
        [name, f"{number * a_day:,}", f"{math.ceil(2 + 1.04 * number * a_day / 200):,}"]
        for name, number in once.items()
    ]


def test_every_link_leads_somewhere() -> None:
    """To a file that is there, and a heading of it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGE):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        text = (ROOT / "docs" / name).read_bytes() if name else PAGE.encode()
        if anchor:
            headings = re.findall(r"^#+ (.+)$", text.decode(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}, (
                target
            )


# The commands


class Project(Meltano):
    """A Meltano project in which the page's lines are typed; it begins in 2026 unless a call says otherwise."""

    def __init__(self, folder: Path, target: Path, database: Database, server: SandboxServer) -> None:
        super().__init__(folder, target, database, server)
        self._settings["TAP_GENESYS_SEARCH_START_DATE"] = "2026-01-01"

    def leftovers(self) -> list[Path]:
        """Files of Meltano's own that hold the secret."""
        files = filter(Path.is_file, (self._folder / ".meltano").rglob("*"))
        return [path for path in files if SECRET.encode() in path.read_bytes()]

    def type(self, name: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run one of the page's blocks in a shell."""
        env = self._environment(settings)
        return subprocess.run(
            ["bash", "-c", BLOCKS[name]],  # noqa: S607 - whichever bash there is
            cwd=self._folder,
            env=env | {"PATH": f"{PROGRAMS}{os.pathsep}{env['PATH']}"},
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def typed(self, name: str, **settings: str) -> str:
        """Run one that ends well, and return what it printed."""
        done = self.type(name, **settings)
        assert done.returncode == 0, done.stdout + done.stderr
        check_hidden([SECRET], done.stdout, done.stderr)
        return done.stdout


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    """Conversations of two years and more, up to now, of which none moves by itself: the page has dates of its own."""
    with SandboxServer(WorldConfig(conversations=3_000, start="2024-10-01")) as running:
        yield running


def since(server: SandboxServer, moment: str, query: str | None = None) -> dict[str, str]:
    """What the source holds from a moment on."""
    return {identity: stamp for identity, stamp in truth(server, query).items() if stamp >= moment}


def test_the_stream_map_takes_what_is_named_and_hashes_some_of_it(tap: Tap, server: SandboxServer) -> None:
    maps = json.loads(BLOCKS["maps"].replace("'ani', 'dnis'", "'agentName', 'dnis'"))
    plain = tap(config_for(server))
    run = tap(config_for(server, **maps))
    assert run.code == 0, run.stderr
    assert run.table == truth(server)
    salt = maps["stream_map_config"]["salt"]
    for before, after in zip(plain.records, run.records, strict=True):
        kept = {name: before["fields"][name] for name in ("channelType", "status", "durationSeconds")}
        hashed = hashlib.md5((salt + before["fields"]["agentName"]).encode()).hexdigest()  # noqa: S324 - what the page says
        assert after["fields"] == kept | {"agentName": hashed}
    assert "queueName" in plain.records[0]["fields"]


def test_no_log_holds_contents_of_a_conversation(tap: Tap, server: SandboxServer) -> None:
    """At the most talkative level."""
    run = tap(config_for(server), env={"LOGLEVEL": "DEBUG"})
    assert run.code == 0
    assert "DEBUG" in run.stderr
    held = {text for each in run.records for text in (each["id"], each["fields"].get("agentName")) if text}
    assert len(held) > 3_000
    assert [text for text in held if text in run.stderr] == []


def lose(database: Database, moment: str) -> None:
    """Delete the rows from a moment on, to see what is loaded again."""
    database.query(f"DELETE FROM genesys_cloud.conversations WHERE timestamp >= '{moment}' RETURNING id")  # noqa: S608


@pytest.mark.slow
@pytest.mark.nightly
def test_set_up_and_a_bookmark_that_is_moved(
    tmp_path: Path, target_postgres: Path, database: Database, server: SandboxServer
) -> None:
    project = Project(tmp_path, target_postgres, database, server)
    assert "NOT OK" not in project.typed("doctor")
    assert "conversations match * from 2026-06-01" in project.typed("plan")
    project.typed("load")
    assert database.table() == since(server, "2026-01-01")
    assert project.leftovers() == []
    assert re.fullmatch(r"\d+ minutes since the last run began\n", project.typed("age"))

    rules = yaml.safe_load(BLOCKS["select"])["select"]
    lines = project("invoke", "tap-genesys-search", _select=json.dumps(rules)).stdout.splitlines()
    (record, *_) = [json.loads(line)["record"] for line in lines if line.startswith('{"type":"RECORD"')]
    assert record.keys() == {"id", "conversationId", "type", "timestamp"}

    # The state as the page shows it.
    project.typed("get")
    stored = bookmark_of(json.loads((tmp_path / "state.json").read_text())["singer_state"])
    shown = json.loads('{"singer_state"' + PAGE.split('```json\n{"singer_state"')[1].split("```")[0])
    assert stored.keys() == bookmark_of(shown["singer_state"]).keys()
    assert stored["since"] == "2026-01-01T00:00:00.000Z"

    # Back: it is read from there on, less the lookback, and no further back. The bookmark ends where it was.
    project.typed("move")
    assert project.type("age").returncode == 1
    lose(database, "2026-09-01")
    project.typed("load")
    kept = {identity: stamp for identity, stamp in since(server, "2026-01-01").items() if stamp < "2026-09-01"}
    assert database.table() == kept | since(server, "2026-10-02T23:50")

    # A copy for another environment; and nothing in the first.
    project.typed("copy")
    project.typed("clear")
    prod = STATE_ID.replace("dev:", "prod:")
    assert project.typed("list").split() == [prod]
    copied = bookmark_of(json.loads(project("state", "get", prod).stdout)["singer_state"])
    assert copied["run_start"] > stored["run_start"]
    assert copied == stored | {"run_start": copied["run_start"]}


@pytest.mark.slow
@pytest.mark.nightly
def test_another_question_older_years_and_what_the_watchers_say(
    tmp_path: Path, target_postgres: Path, database: Database, server: SandboxServer
) -> None:
    project = Project(tmp_path, target_postgres, database, server)
    assert "SUMMARY: " in project.typed("sync")
    first = bookmark_of(project.state())

    # Older years on a state of their own; then the everyday state accepts the earlier start.
    project.typed("older")
    assert database.table() == since(server, "2025-01-01")
    asked = server.stats["searches"]
    project.typed("accept")
    assert server.stats["searches"] == asked + 1
    accepted = bookmark_of(project.state())
    assert accepted["run_start"] > first["run_start"]
    assert accepted == first | {"since": "2025-01-01T00:00:00.000Z", "run_start": accepted["run_start"]}

    # Another query: to page for, and the two ways out. What no longer matches stays.
    refused = project.type("sync", query="channelType:voice", start_date="2025-01-01")
    assert refused.returncode == 1
    assert refused.stderr.startswith("page: the state was written for another API host, client_id or query")
    assert server.stats["searches"] == asked + 1
    project.typed("keep", query="channelType:voice", start_date="2025-01-01")
    lose(database, "2026-06-01")
    project.typed("restart", start_date="2024-01-01")
    assert database.table() == truth(server)

    # To wait for.
    server.faults.merge({"outage": True})
    outage = project.type("sync", start_date="2024-01-01")
    assert outage.returncode == 75
    assert outage.stderr.startswith("retry: the platform has a fault")


def test_every_block_is_run() -> None:
    """By a line above."""
    source = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in BLOCKS if not re.search(rf'(typed?\(|BLOCKS\[)"{name}"', source)] == []
