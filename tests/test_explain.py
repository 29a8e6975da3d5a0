"""The question of 3 a.m.: where one conversation stands, and whether the next run reads it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tap_genesys_search import timestamps
from tap_genesys_search.bookmark import Stored, fingerprint
from tap_genesys_search.cli import main
from tap_genesys_search.errors import ConfigurationError, ContractError, StateError
from tap_genesys_search.explain import Found, explain, look_up, read_state
from tap_genesys_search.records import Answer
from tap_genesys_search.sandbox import Faults, SandboxServer, WorldConfig
from tap_genesys_search.sandbox.lucene import parse
from tap_genesys_search.sandbox.records import Record
from tap_genesys_search.settings import Settings
from tests.support.helpers import CLIENT, SECRET, Tap, config_for, environment, truth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tap_genesys_search.question import Question

NOW = timestamps.parse("2026-10-05T12:00:00Z")
URL = "https://api.mypurecloud.com"
BOOKMARK = timestamps.parse("2026-10-05T11:30:00Z")
STORED = Stored(bookmark=BOOKMARK, run_start=timestamps.parse("2026-10-05T11:45:00Z"))


def settings(**more: object) -> Settings:
    """Settings of a tap."""
    return Settings.from_config({"client_id": CLIENT, "client_secret": SECRET, "base_url": URL, **more})


def said(at: str | None, stored: Stored | None = STORED, *, matches: bool = True, **more: object) -> list[str]:
    """What is said of a conversation of some time."""
    found = Found(exists=True, matches=matches, at=None if at is None else timestamps.parse(at))
    return explain("c-1", found, settings(**more), stored, NOW)


# What is said


def test_where_it_lies() -> None:
    *lines, next_run, verdict = said("2026-10-05T11:25:00Z", start_date="2026-10-01", lookback_seconds=1_200)
    edge = "2026-10-05T11:25:00.000Z"
    assert next_run == f"next run    {edge} on, lookback_seconds 1,200 included  (the conversation lies exactly there)"
    assert verdict == "-> The next run will read it: it lies in the lookback, which is read again."
    assert lines == [
        "c-1: the source has it, timestamp 2026-10-05T11:25:00.000Z (35 min ago).",
        "query       *  (it matches)",
        "start_date  2026-10-01T00:00:00.000Z  (the conversation lies after it)",
        "bookmark    2026-10-05T11:30:00.000Z  (the conversation lies before it)",
        "last run    2026-10-05T11:45:00.000Z  (the conversation lies before it)",
    ]


@pytest.mark.parametrize(
    ("at", "more", "verdict"),
    [
        ("2026-10-05T11:50:00Z", {}, "will read it: it is newer than the bookmark."),
        ("2026-10-05T11:30:00.001Z", {"lookback_seconds": 0}, "will read it: it is newer than the bookmark."),
        ("2026-10-05T11:30:00Z", {"lookback_seconds": 0}, "will read it: it lies in the lookback"),
        ("2026-10-05T11:29:59.999Z", {"lookback_seconds": 0}, "will NOT read it: an earlier run has read that time"),
        ("2026-10-05T11:24:59.999Z", {"lookback_seconds": 1_200}, "will NOT read it: an earlier run has read"),
        ("2026-10-05T11:50:00Z", {"start_date": "2026-10-06"}, "will NOT read it: it lies before start_date"),
        ("2026-10-05T11:50:00Z", {"end_date": "2026-10-05T11:50:00Z"}, "will NOT read it: it does not lie before end"),
        ("2026-10-05T11:50:00Z", {"max_results": 7}, "will read it, unless max_results 7 is reached before: it is"),
        ("2026-10-05T12:00:01Z", {}, "Only a run that starts after that timestamp will read it: "),
        (None, {}, "No run will read it while that is so: without a timestamp"),
    ],
)
def test_whether_the_next_run_reads_it(at: str | None, more: dict[str, Any], verdict: str) -> None:
    assert verdict in said(at, **more)[-1]


def test_one_that_does_not_match() -> None:
    lines = said("2026-10-05T11:50:00Z", matches=False, query="status:completed")
    assert lines[1] == "query       status:completed  (it does NOT match)"
    assert lines[-1].startswith("-> No run will read it while that is so: it does not match the query.")


def test_without_a_state_and_without_a_bookmark() -> None:
    for stored in (None, Stored()):
        lines = said("2026-10-05T11:00:00Z", stored)
        assert lines[-1] == "-> The next run will read it: nothing has been read yet."
    assert "--state" in said("2026-10-05T11:00:00Z", None)[2]


def test_a_run_that_would_stop() -> None:
    """Of another query, say; unless the settings accept it."""
    stored = replace(STORED, source="another")
    assert said("2026-10-05T11:50:00Z", stored)[-1].startswith(
        "-> The next run will read nothing: the state was written"
    )
    assert "will read it" in said("2026-10-05T11:50:00Z", stored, on_source_change="keep")[-1]


@pytest.mark.parametrize(
    ("stored", "change"),
    [
        (replace(STORED, source="another"), "the state was written for another API host, client_id or query"),
        (replace(STORED, since=BOOKMARK), "start_date is before 2026-10-05T11:30:00.000Z, from which on everything"),
    ],
    ids=["another source", "an earlier start_date"],
)
def test_a_change_that_the_settings_accept_is_the_reason(stored: Stored, change: str) -> None:
    """Neither an earlier run has read that time, nor has nothing been read yet."""
    assert said("2026-10-05T10:00:00Z", stored, on_source_change="keep")[-1].startswith(
        f"-> The next run will NOT read it: {change}"
    )
    verdict = said("2026-10-05T10:00:00Z", stored, on_source_change="restart")[-1]
    assert verdict.startswith(f"-> The next run will read it: {change}")
    assert verdict.endswith("and on_source_change is restart, so all is read again.")


def test_an_id_that_nobody_knows() -> None:
    lines = explain("c-1", Found(exists=False), settings(), STORED, NOW)
    assert lines[0] == "c-1: the source has no conversation with this id now, whatever the query."
    assert lines[-1].startswith("-> No run will read it")


# Asking for one id


def answering(*answers: tuple[list[str], bool]) -> tuple[list[str], Any]:
    """An API that gives so many answers: ids, and whether more follows. Also what it was asked."""
    asked: list[str] = []
    left = list(answers)

    def ask(question: Question, query: str) -> Answer:
        asked.append(question.body(query)["query"])
        ids, more = left.pop(0)
        stamp = "2026-10-05T11:00:00.000Z"
        return Answer([{"id": each} for each in ids], [*ids], [stamp for _ in ids], token="t" if more else None)

    return asked, ask


def test_it_is_asked_without_the_query_and_with_it() -> None:
    asked, ask = answering((["a-1"], False), ([], False))
    found = look_up(ask, "status:completed OR x", "a-1")
    assert (found.exists, found.matches) == (True, False)
    assert asked == ['conversationId:"a-1"', 'conversationId:"a-1" AND (status:completed OR x)']


def test_every_conversation_matches_everything() -> None:
    asked, ask = answering((["a-1"], False))
    assert look_up(ask, "*", "a-1") == Found(exists=True, matches=True, at=timestamps.parse("2026-10-05T11:00Z"))
    assert len(asked) == 1


def test_only_the_very_id_counts() -> None:
    """An index that searches by parts, or without regard to case, answers with others too."""
    assert not look_up(answering((["A-1", "a-2"], False), ([], False))[1], "*", "a-1").exists
    with pytest.raises(ContractError, match="with many others"):
        look_up(answering((["A-1", "a-2"], True))[1], "*", "a-1")


def test_an_empty_page_is_not_the_end() -> None:
    assert look_up(answering(([], True), ([], True), (["a-1"], False))[1], "*", "a-1").exists
    with pytest.raises(ContractError, match="empty pages"):
        look_up(answering(*[([], True)] * 9)[1], "*", "a-1")


def record(document: dict[str, object]) -> Record:
    """A record of the sandbox with this JSON."""
    return Record("x", 0, json.dumps(document).encode(), 1, 0, 0)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12))
def test_no_id_means_anything_to_lucene(identity: str) -> None:
    """It is one term of one field for a parser of Lucene, and means itself."""
    asked, ask = answering(([], False), ([], False))
    look_up(ask, "*", identity)
    for text, name in zip(asked, ("conversationId", "id"), strict=True):
        chosen = parse(text)
        assert chosen.holds_for(record({name: identity}))
        assert not chosen.holds_for(record({name: f"{identity}x", "fields": {"x": identity}}))


def test_half_a_character_is_no_id() -> None:
    with pytest.raises(ConfigurationError, match="is no id"):
        look_up(answering()[1], "*", "a\ud800")


# The state


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"singer_state": state},
        lambda state: {"completed_state": {"singer_state": state}, "partial_state": {}},
        lambda state: {"type": "STATE", "value": state},
    ],
    ids=["singer", "meltano", "meltano-store", "message"],
)
def test_a_state_is_found_where_others_put_it(wrap: Any, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    entry = {"replication_key": "timestamp", "replication_key_value": "2026-10-05T11:30:00.000Z"}
    path.write_text(json.dumps(wrap({"bookmarks": {"conversations": entry}})))
    assert read_state(str(path)) == Stored(bookmark=BOOKMARK)


@pytest.mark.parametrize("text", ["{}", '{"bookmarks": {}}', '{"singer_state": {}}', '{"bookmarks": {"other": {}}}'])
def test_a_state_of_nothing(text: str, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    assert read_state(str(path)) == Stored()


@pytest.mark.parametrize(
    "text", ["", "[" * 100_000, "[]", "3", '{"a": 1}', '{"bookmarks": 3}', '{"bookmarks": {"conversations": []}}']
)
def test_what_is_no_state(text: str, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)
    with pytest.raises(StateError, match=r"state\.json"):
        read_state(str(path))


# The command


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    """A sandbox where nothing moves, and where some lack the one id or the other."""
    world = WorldConfig(conversations=300, missing_ids=0.2, missing_plain_ids=0.2)
    with SandboxServer(world, Faults(p_empty_with_token=0.05)) as running:
        yield running


@dataclass(frozen=True)
class Done:
    """How the command ended."""

    returncode: int
    stdout: str
    stderr: str


def run(folder: Path, server: SandboxServer, *args: str, **more: object) -> Done:
    """Run the command to its end."""
    (folder / "config.json").write_text(json.dumps(config_for(server, **more)))
    given = [str(folder / part) if part.endswith(".json") else part for part in args]
    code = 0
    with CliRunner().isolation() as (output, errors, _):
        try:
            main(["explain", "--config", str(folder / "config.json"), *given])
        except SystemExit as end:
            code = int(end.code or 0)
        return Done(code, output.getvalue().decode(), errors.getvalue().decode())


def test_it_tells_what_the_next_run_does(server: SandboxServer, tap: Tap, tmp_path: Path) -> None:
    """For one within the lookback, one before it, and one that nobody knows: as the run itself then does."""
    first = tap(config_for(server))
    (tmp_path / "state.json").write_text(json.dumps(first.state))
    rows = sorted(truth(server).items(), key=lambda row: row[1])
    days = 86_400 * 3
    again = {record["id"] for record in tap(config_for(server, lookback_seconds=days), state=first.state).records}
    assert 0 < len(again) < len(rows)
    for identity, stamp in (rows[-1], rows[0]):
        done = run(tmp_path, server, identity, "--state", "state.json", lookback_seconds=days)
        assert (done.returncode, done.stderr) == (0, "")
        assert stamp in done.stdout
        assert ("will read it: " in done.stdout) is (identity in again)
    done = run(tmp_path, server, "conv-nobody", "--state", "state.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "has no conversation with this id now" in done.stdout


def test_conversations_that_have_one_id_only_are_found(server: SandboxServer, tmp_path: Path) -> None:
    kinds = {(record.has_id, record.has_conversation_id): record.id for record in server.world.truth()}
    assert len(kinds) == 3
    for identity in kinds.values():
        assert "the source has it" in run(tmp_path, server, identity).stdout


def test_one_that_the_query_leaves_out(server: SandboxServer, tmp_path: Path) -> None:
    matching = truth(server, "status:completed")
    other = next(identity for identity in truth(server) if identity not in matching)
    assert "(it does NOT match)" in run(tmp_path, server, other, query="status:completed").stdout
    assert "(it matches)" in run(tmp_path, server, next(iter(matching)), query="status:completed").stdout


@pytest.mark.parametrize(
    ("args", "what"), [((" ",), "id is blank"), (("x", "--state", "no/such.json"), "no/such.json cannot be read")]
)
def test_what_is_wrong_is_one_line(server: SandboxServer, tmp_path: Path, args: tuple[str, ...], what: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config_for(server)))
    command = [sys.executable, "-m", "tap_genesys_search.cli", "explain", "--config", "config.json", *args]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("CRITICAL: ")
    assert what in line


def test_a_state_of_another_query_is_explained(server: SandboxServer, tmp_path: Path) -> None:
    identity, stamp = next(iter(truth(server).items()))
    source = fingerprint(server.base_url, CLIENT, "status:completed")
    entry = {"replication_key_value": stamp, "source": source}
    (tmp_path / "state.json").write_text(json.dumps({"bookmarks": {"conversations": entry}}))
    done = run(tmp_path, server, identity, "--state", "state.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "The next run will read nothing: the state was written for another" in done.stdout
