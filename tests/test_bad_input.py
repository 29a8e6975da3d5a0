"""What is wrong is said in one line that names what to change; nothing is shown that is secret, and nothing is lost."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from tap_genesys_search.sandbox import Client, Faults, SandboxServer, WorldConfig
from tests.support.helpers import CLIENT, SECRET, ManualClock, Run, State, Tap, accounted_for, config_for, table, truth
from tests.support.valkey import free_port

SETTING, PLATFORM, CONTRACT = 78, 75, 76

#: So few that a run is over soon, and the bounds that it has to keep.
HASTY: dict[str, object] = {"max_retries": 1, "request_timeout_seconds": 1, "max_wait_seconds": 2, "page_size": 50}
TRIES = 2

NOON_STATE: State = {
    "bookmarks": {
        "conversations": {"replication_key": "timestamp", "replication_key_value": "2026-10-05T12:00:00.000Z"}
    }
}


@dataclass(frozen=True)
class Case:
    """Something wrong.

    Attributes:
        code: The exit code that tells its kind.
        names: What the line has to name, a regular expression.
        config: Settings that are wrong; one that is None is left out.
        faults: What the platform does wrong.
        client: What the platform knows of the client.
        searches: How many searches it may take.
        secrets: What must not be shown, beside the usual one.
    """

    code: int
    names: str
    config: dict[str, object] = field(default_factory=dict)
    faults: dict[str, Any] = field(default_factory=dict)
    client: Client = field(default_factory=Client)
    searches: int = 0
    secrets: tuple[str, ...] = ()


def setting(names: str, **config: object) -> Case:
    """A setting that can be seen to be wrong without asking anyone."""
    return Case(SETTING, rf"\b{names}\b", config)


SETTINGS = {
    "no client id": setting("client_id", client_id=None),
    "no client secret": setting("client_secret", client_secret=None),
    "blank client secret": setting("client_secret", client_secret=" "),
    "secret that is a number": Case(SETTING, "client_secret", {"client_secret": 20261005}, secrets=("20261005",)),
    "secret that is a list": Case(SETTING, "client_secret", {"client_secret": ["v3ry", "s3cret"]}, secrets=("s3cret",)),
    "page size 0": setting("page_size", page_size=0),
    "page size 500": setting("page_size", page_size=500),
    "page size in quotes": setting("page_size", page_size="50"),
    "start date yesterday": setting("start_date", start_date="yesterday"),
    "start date before the year 1": setting("start_date", start_date="0001-01-01T00:00:00+05:00"),
    "end date after the year 9999": setting("end_date", end_date="9999-12-31T23:59:59-05:00"),
    "end date that is a number": setting("end_date", end_date=20261005),
    "end before start": setting("end_date", start_date="2026-10-05", end_date="2026-10-04"),
    "end at start": setting("end_date", start_date="2026-10-05", end_date="2026-10-05T00:00:00Z"),
    "no results": setting("max_results", max_results=0),
    "unknown region": setting("region", base_url=None, region="eu-west-9"),
    "base url that is none": setting("base_url", base_url="genesys"),
    "base url of another kind": setting("base_url", base_url="ftp://api.mypurecloud.com"),
    "plain http": setting("base_url", base_url="http://api.mypurecloud.com"),
    "plain http to a private address": setting("base_url", base_url="http://10.0.0.1:8080"),
    "plain http to the token": setting("auth_url", auth_url="http://login.mypurecloud.com/oauth/token"),
    "base url of the login host": setting("base_url", base_url="https://login.mypurecloud.com"),
    "base url of the website": setting("base_url", base_url="https://apps.mypurecloud.de"),
    "base url with a password": Case(
        SETTING, "base_url", {"base_url": "https://me:s3same@api.mypurecloud.com"}, secrets=("s3same",)
    ),
    "query of negations only": setting("query", query="NOT status:completed -channelType:voice"),
    "query left open": setting("query", query="(status:completed"),
    "blank query": setting("query", query=" "),
    "several at once": Case(SETTING, "start_date.*page_size", {"page_size": 0, "start_date": "soon"}),
}

CASES = {
    "query that the API rejects": Case(SETTING, "setting query", {"query": "status:completed AND"}, searches=1),
    "wrong client id": Case(SETTING, "client_id", {"client_id": "somebody"}),
    "wrong client secret": Case(SETTING, "client_secret", {"client_secret": "another-s3cret"}, secrets=("s3cret",)),
    "wrong secret by basic": Case(
        SETTING,
        "client_secret",
        {"client_secret": "another-s3cret", "auth_method": "basic"},
        secrets=("s3cret", "c2FuZGJveDphbm90aGVyLXMzY3JldA"),
    ),
    "scope that the client lacks": Case(SETTING, r"scope.*search:query", client=Client(scopes=("users",))),
    "scope that does not suffice": Case(
        SETTING, r"scope.*search:query", {"scope": "users"}, client=Client(scopes=("users", "search:query")), searches=1
    ),
    "client that may not search": Case(
        SETTING, "permission.*conversation:search:view", client=Client(may_search=False), searches=1
    ),
    "base url with a wrong path": Case(SETTING, "auth_url.*region", {"base_url": "{url}/genesys"}),
    "token url with a wrong path": Case(SETTING, "auth_url", {"auth_url": "{url}/oauth/tokens"}),
    "token url that is no login host": Case(
        SETTING, "client_secret.*/api/v2/search", {"auth_url": "{url}/api/v2/search"}, searches=TRIES
    ),
    "nobody listens": Case(PLATFORM, "base_url and region", {"base_url": f"http://127.0.0.1:{free_port()}"}),
    "host of no region": Case(PLATFORM, "base_url and region", {"base_url": "https://api.mypurecloud.invalid"}),
    "outage": Case(PLATFORM, "try again later", faults={"outage": True}, searches=TRIES),
    "outage of the login": Case(PLATFORM, "try again later", faults={"outage": True, "token_faults": True}),
    "a proxy's page": Case(PLATFORM, "try again later", faults={"p_html": 1.0}, searches=TRIES),
    "connections that break": Case(PLATFORM, "base_url", faults={"p_drop": 1.0}, searches=TRIES),
    "half bodies": Case(PLATFORM, "part of an answer", faults={"p_half_body": 1.0}, searches=TRIES),
    "no answer in time": Case(PLATFORM, "request_timeout_seconds", faults={"p_hang": 1.0}, searches=TRIES + 6),
    "a wait that is too long": Case(
        PLATFORM, "max_wait_seconds", faults={"p_429": 1.0, "retry_after_seconds": 60.0}, searches=1
    ),
    "no end of waiting": Case(PLATFORM, "max_wait_seconds", faults={"p_429": 1.0}, searches=3),
    "tokens that nobody accepts": Case(SETTING, "auth_url", faults={"token_ttl_seconds": 1e-9}, searches=6),
    "sort ignored": Case(CONTRACT, "sort", faults={"ignore_sort": True}, searches=1),
    "range ignored": Case(CONTRACT, "range", faults={"ignore_range": True}, searches=1),
    # So many for each search that is under way at once.
    "no end": Case(CONTRACT, "never ends|differently", {"concurrency": 1}, {"endless": True}, searches=400),
    "no end and one token": Case(
        CONTRACT, "never ends|differently", {"concurrency": 1}, {"endless": True, "repeat_token": True}, searches=400
    ),
    "empty pages without end": Case(
        CONTRACT, "never ends", {"concurrency": 1}, {"p_empty_with_token": 1.0}, searches=400
    ),
    "the body of an error": Case(CONTRACT, "list of results", faults={"error_body_200": True}, searches=1),
}


def check(run: Run, case: Case) -> None:
    """One line, the right code, nothing secret."""
    assert run.code == case.code
    (line,) = run.critical
    assert re.search(case.names, line.partition("CRITICAL")[2]), line
    assert len(run.failures) == run.stderr.count("ERROR") == 1
    assert "Traceback" not in run.stderr
    assert hidden(run, case)


def hidden(run: Run, case: Case) -> bool:
    """Whether nothing secret is shown."""
    return not any(secret in run.stdout + run.stderr for secret in (SECRET, *case.secrets))


def left_out(config: dict[str, object]) -> dict[str, object]:
    """A configuration without what is None."""
    return {name: value for name, value in config.items() if value is not None}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_a_wrong_setting_is_named_before_anything_is_asked_or_written(tap: Tap, name: str, level: str) -> None:
    case = SETTINGS[name]
    config = {"client_id": CLIENT, "client_secret": SECRET, "base_url": f"http://127.0.0.1:{free_port()}"}
    run = tap(left_out(config | case.config), state=NOON_STATE, env={"LOGLEVEL": level})
    if level == "INFO":
        check(run, case)
    assert (run.code, run.stdout, len(run.critical)) == (SETTING, "", 1)
    assert hidden(run, case)


SLOW = {"no answer in time"}
NAMES = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in CASES]


def wrong(server: SandboxServer, case: Case) -> dict[str, object]:
    """The configuration of a case."""
    config = config_for(server, **HASTY) | case.config
    return {k: v.replace("{url}", server.base_url) if isinstance(v, str) else v for k, v in config.items()}


def stop(server: SandboxServer) -> None:
    """Let the platform do right again."""
    server.faults.merge(asdict(Faults()))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_wrong_is_said_in_one_line_and_loses_nothing(tap: Tap, name: str) -> None:
    case, clock = CASES[name], ManualClock()
    another = Client("another", SECRET)
    with SandboxServer(WorldConfig(conversations=300, days=1), clients=[another, case.client], clock=clock) as server:
        # A client that may not search has no state of its own.
        right = config_for(server, **HASTY) | ({} if case.client == Client() else {"client_id": "another"})
        first = tap(right, now=clock.now)
        for _ in range(3):
            clock.pass_by(1)
            server.world.move(arrive=40, change=10)
        clock.pass_by(1)
        config = wrong(server, case)
        same = all(config[key] == right[key] for key in ("client_id", "base_url")) and "query" not in config
        stored = first.state if same else None

        server.faults.merge(case.faults)
        server.reset_stats()
        run = tap(config, state=stored, now=clock.now, timeout=60)
        check(run, case)
        assert server.stats["searches"] <= case.searches
        accounted_for(run, stored)

        # The stored state, or a newer one, is good to go on from.
        stop(server)
        last = tap(right, state=run.states[-1] if same and run.states else first.state, now=clock.now)
        assert last.code == 0
        assert table([first, run, last]) == truth(server)


@pytest.mark.parametrize("name", NAMES)
def test_a_first_run_that_goes_wrong_writes_no_state_without_a_bookmark(tap: Tap, name: str) -> None:
    """And shows no secret to those who debug it."""
    case, clock = CASES[name], ManualClock()
    with SandboxServer(WorldConfig(conversations=300, days=1), clients=[case.client], clock=clock) as server:
        server.faults.merge(case.faults)
        run = tap(wrong(server, case), now=clock.now, env={"LOGLEVEL": "DEBUG"}, timeout=60)
    assert (run.code, len(run.critical)) == (case.code, 1)
    assert hidden(run, case)
    accounted_for(run)
    for bookmark in run.bookmarks:
        assert bookmark == {} or {"replication_key_value", "source", "since", "run_start"} <= bookmark.keys()


STATES: dict[str, tuple[object, str]] = {
    "no JSON": ("{bookmarks", "state.*no JSON"),
    "an empty file": ("", "state.*no JSON"),
    "a list": ([], "state"),
    "a text": ('"yesterday"', "state.*no JSON object"),
    "bookmarks in a list": ({"bookmarks": []}, "state"),
    "a stream's state in a list": ({"bookmarks": {"conversations": []}}, "state"),
    "a bookmark that is no date": (
        {"bookmarks": {"conversations": {"replication_key": "timestamp", "replication_key_value": "yesterday"}}},
        "replication_key_value.*repair the state",
    ),
    "a bookmark that is a number": (
        {"bookmarks": {"conversations": {"replication_key": "timestamp", "replication_key_value": 20261005}}},
        "replication_key_value.*repair the state",
    ),
    "a start that is no date": (
        {"bookmarks": {"conversations": NOON_STATE["bookmarks"]["conversations"] | {"run_start": "soon"}}},
        "run_start.*repair the state",
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_a_state_that_is_none_is_refused_in_one_line(tap: Tap, name: str) -> None:
    state, names = STATES[name]
    with SandboxServer(WorldConfig(conversations=10)) as server:
        run = tap(config_for(server), state=state)
        assert server.stats["searches"] == 0
    check(run, Case(SETTING, names))
    # Nothing that could replace what is stored.
    assert [value for value in run.states if value != state] == []


CONFIGS = {"no JSON": '{"client_id": ', "an empty file": "", "an empty list": "[]"}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_file_that_is_none_is_refused_in_one_line(tap: Tap, name: str) -> None:
    run = tap(None, f"--config={tap.write('config', CONFIGS[name])}")
    check(run, Case(SETTING, "no JSON|client_id"))
    assert run.stdout == ""


def test_a_configuration_file_that_is_not_there_is_named(tap: Tap) -> None:
    check(tap(None, "--config=nowhere.json"), Case(SETTING, r"nowhere\.json"))


@pytest.mark.parametrize(("variable", "value"), [("PAGE_SIZE", "many"), ("STREAM_MAPS", "{"), ("MAX_RETRIES", "1.5")])
def test_a_wrong_variable_is_named(tap: Tap, variable: str, value: str) -> None:
    env = {f"TAP_GENESYS_SEARCH_{name}": text for name, text in {"CLIENT_SECRET": SECRET, variable: value}.items()}
    check(tap(None, "--config=ENV", env=env), Case(SETTING, f"TAP_GENESYS_SEARCH_{variable}"))
