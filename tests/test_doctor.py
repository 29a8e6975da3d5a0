"""Each line of the doctor's: where it is ok, and where it is not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tap_genesys_search.doctor import NAMES
from tap_genesys_search.sandbox import Client, Faults, SandboxServer, WorldConfig
from tests.support.commands import with_config
from tests.support.helpers import SECRET, check_hidden, config_for, secrets_of
from tests.support.searches import serving_searches, settings_for
from tests.support.terminal import Done, people
from tests.support.valkey import free_port, valkey

if TYPE_CHECKING:
    from pathlib import Path

SETTING, PLATFORM, CONTRACT = 78, 75, 76
WORLD = WorldConfig(conversations=500)
#: As a user has it.
SLOWER = {"requests_per_minute": 300}


def run(folder: Path, config: object, *args: str) -> Done:
    """Run the command to its end; nothing secret is shown."""
    done = with_config("doctor", folder, config, *args)
    check_hidden(secrets_of(config if isinstance(config, dict) else None), done.stdout, done.stderr)
    assert done.stderr == ""
    return done


def checked(folder: Path, config: object) -> dict[str, dict[str, Any]]:
    """The findings by name, and whether lines and exit code agree with them."""
    done = run(folder, config, "--json")
    document = json.loads(done.stdout)
    checks = document["checks"]
    assert [check["name"] for check in checks] == list(NAMES)
    wrong = [check for check in checks if check["ok"] is False]
    assert document["ok"] is (not wrong)
    assert done.code == document["exit_code"] == (wrong[0]["exit_code"] if wrong else 0)
    assert all(check["fix"] and check["kind"] and check["exit_code"] for check in wrong)
    assert not any(check["fix"] or check["kind"] or check["exit_code"] for check in checks if check not in wrong)
    return {check["name"]: check for check in checks}


def test_all_is_well(tmp_path: Path) -> None:
    faults = Faults(requests_per_minute=300, total_noise=0)
    with SandboxServer(WORLD, faults) as server:
        config = config_for(server, **SLOWER)
        checks = checked(tmp_path, config)
        assert [name for name, check in checks.items() if check["ok"] is not True] == []
        # It is the same one, though what a Date says is up to a second old.
        assert checks["clock"]["says"] == "this machine's clock and the platform's are less than 2 s apart"
        done = run(tmp_path, config)
        assert server.stats["searches"] < 12
    lines = done.stdout.splitlines()
    assert (done.code, len(lines)) == (0, len(NAMES))
    assert all(line.startswith(f"ok      {name}") for line, name in zip(lines, NAMES, strict=True))
    assert "matches about 500 conversations" in checks["query"]["says"]
    assert "asked for 200, got 200" in checks["page size"]["says"]
    assert "of 300 used" in checks["rate headers"]["says"]


@dataclass
class Ill:
    """What is wrong, which lines show it, and what they say to do."""

    line: str
    fix: str
    code: int = SETTING
    faults: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    client: Client = field(default_factory=Client)
    #: What is well all the same.
    fine: tuple[str, ...] = ()


ILL = {
    "a wrong setting": Ill("settings", "change what the reason names", config={"page_size": 500}),
    "a wrong setting of the SDK": Ill("settings", "change what the reason names", config={"stream_maps": "x"}),
    "half a setting of the SDK": Ill("settings", "change what the reason names", config={"flattening_enabled": True}),
    "no such path": Ill(
        "region", "check auth_url and region", config={"auth_url": "{url}/nowhere"}, fine=("settings", "redis")
    ),
    "no such API": Ill(
        "region", "check base_url and region", config={"base_url": "{url}/no", "auth_url": "{url}/oauth/token"}
    ),
    "nobody there": Ill("region", "check base_url, region", PLATFORM, config={"base_url": "http://127.0.0.1:{closed}"}),
    "an outage": Ill("region", "try again later", PLATFORM, faults={"outage": True}, fine=("token",)),
    "not the API": Ill("region", "check base_url", CONTRACT, faults={"error_body_200": True}, fine=("token",)),
    "a wrong secret": Ill("token", "client_secret", config={"client_secret": "another"}, fine=("region",)),
    "an unknown client": Ill("token", "client_id, region", config={"client_id": "nobody"}, fine=("region",)),
    "tokens nobody takes": Ill("token", "belong together", faults={"token_ttl_seconds": 1e-9}, fine=("region",)),
    "no such scope": Ill("scope", "check scope", client=Client(scopes=()), fine=("region",)),
    "no permission": Ill("scope", "give its role", client=Client(may_search=False), fine=("region", "token")),
    "a broken query": Ill("query", "setting query", config={"query": "status:completed AND"}, fine=("token",)),
    "a clock ahead": Ill(
        "clock", "set this machine's clock", faults={"clock_offset_seconds": -120.0}, fine=("scope", "sort")
    ),
    "a clock behind": Ill(
        "clock", "set this machine's clock", faults={"clock_offset_seconds": 120.0}, fine=("scope", "sort")
    ),
    "smaller pages": Ill("page size", "set page_size to 50", faults={"ignore_size": True}, fine=("range", "sort")),
    "larger pages": Ill(
        "page size",
        "set page_size to 50",
        faults={"ignore_size": True},
        config={"page_size": 20},
        fine=("range", "sort"),
    ),
    "no ranges": Ill("range", "check base_url", CONTRACT, faults={"ignore_range": True}, fine=("page size", "sort")),
    "no sort": Ill("sort", "check base_url", CONTRACT, faults={"ignore_sort": True}, fine=("page size", "range")),
    "a lower limit": Ill(
        "rate headers", "set requests_per_minute to 180 or less", faults={"requests_per_minute": 180}, fine=("sort",)
    ),
    "a limit that is used up": Ill(
        "rate headers",
        "start again later; lower requests_per_minute",
        PLATFORM,
        faults={"p_429": 1.0, "retry_after_seconds": 60},
        fine=("token",),
    ),
    "no Redis": Ill(
        "redis", "redis_url", PLATFORM, config={"redis_url": "redis://:pass-word@127.0.0.1:{closed}/0"}, fine=("sort",)
    ),
}


@pytest.mark.parametrize("name", ILL)
def test_what_is_wrong_is_one_line_with_what_to_do(tmp_path: Path, name: str) -> None:
    ill = ILL[name]
    with SandboxServer(WORLD, Faults(**ill.faults), clients=[ill.client]) as server:
        places = {"{url}": server.base_url, "{closed}": str(free_port())}
        config = config_for(server, **SLOWER, max_retries=0) | ill.config
        for name_, value in config.items():
            for mark, place in places.items():
                if isinstance(value, str):
                    config[name_] = value = value.replace(mark, place)  # noqa: PLW2901 - value by value, until all is replaced
        checks = checked(tmp_path, config)
        done = run(tmp_path, config)
    assert [name for name, check in checks.items() if check["ok"] is False] == [ill.line]
    found = checks[ill.line]
    assert found["exit_code"] == ill.code
    assert ill.fix in f"{found['fix']}"
    assert all(checks[each]["ok"] is True for each in ill.fine)
    lines = done.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith(f"NOT OK  {ill.line}"))
    assert found["fix"] in "\n".join(lines[at : at + 2])
    assert SECRET not in done.stdout


def test_a_redis_that_is_well_and_one_that_is_full(tmp_path: Path) -> None:
    """And nothing of the doctor's own token is left in it."""
    with valkey() as redis, SandboxServer(WORLD) as server:
        config = config_for(server, redis_url=redis.url)
        checks = checked(tmp_path, config)
        assert checks["redis"]["says"].endswith("can be read and written")
        assert b":token" not in redis.text()
        redis.fill()
        checks = checked(tmp_path, config)
    assert [name for name, check in checks.items() if check["ok"] is False] == ["redis"]
    assert (checks["redis"]["kind"], checks["redis"]["exit_code"]) == ("platform", PLATFORM)
    assert checks["redis"]["fix"] == "raise its maxmemory, or leave redis_url out"


def test_every_line_has_a_case_in_which_it_is_not_ok() -> None:
    assert {ill.line for ill in ILL.values()} == set(NAMES)


def test_without_conversations_range_and_sort_are_not_checked(tmp_path: Path) -> None:
    with SandboxServer(WorldConfig(conversations=0)) as server:
        checks = checked(tmp_path, config_for(server))
    assert [name for name, check in checks.items() if check["ok"] is None] == ["range", "sort"]


def test_one_conversation_shows_no_order(tmp_path: Path) -> None:
    with SandboxServer(WorldConfig(conversations=1)) as server:
        checks = checked(tmp_path, config_for(server))
    assert [name for name, check in checks.items() if check["ok"] is None] == ["sort"]


def test_no_rate_headers_are_no_fault(tmp_path: Path) -> None:
    with SandboxServer(WORLD, Faults(requests_per_minute=300, rate_headers=False)) as server:
        checks = checked(tmp_path, config_for(server, **SLOWER))
    assert checks["rate headers"]["says"] == "none; requests_per_minute (300) alone sets the pace"


def test_an_api_that_leaves_out_the_beginning_of_a_range(tmp_path: Path) -> None:
    """The one thing that a seek rests on, shown by nothing else."""

    def answer(asked: dict[str, Any]) -> object:
        stamps = [f"2026-10-0{day}T00:00:00.000Z" for day in range(1, 6)]
        if "[2026" in asked["query"]:
            low, high = asked["query"].partition("[")[2].partition("}")[0].split(" TO ")
            stamps = [stamp for stamp in stamps if low < stamp < high]
        stamps.sort(reverse=asked["sort"][0]["direction"] == "desc")
        results = [{"id": stamp, "conversationId": stamp, "timestamp": stamp, "fields": {}} for stamp in stamps]
        return {"page": 1, "total": 5, "results": results[: asked["size"]]}

    with serving_searches(answer) as api:
        checks = checked(tmp_path, settings_for(api))
    assert [name for name, check in checks.items() if check["ok"] is not True] == ["clock", "range"]
    assert "the one at its beginning did not come" in checks["range"]["says"]
    assert "no Date" in checks["clock"]["says"]


@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"])
def test_conversations_at_the_ends_of_the_calendar(tmp_path: Path, stamp: str) -> None:
    """What a platform may send for a date that is none."""
    results = [{"id": str(n), "conversationId": str(n), "timestamp": stamp, "fields": {}} for n in range(3)]
    with serving_searches(lambda asked: {"page": 1, "total": 3, "results": results[: asked["size"]]}) as api:
        checks = checked(tmp_path, settings_for(api))
    assert [name for name, check in checks.items() if check["ok"] is False] == []
    assert checks["range"]["says"].startswith(f"[{stamp} TO ")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = people("doctor", "--config", str(tmp_path / "nowhere.json"))
    assert done.code == SETTING
    assert done.stdout.splitlines()[0].startswith("NOT OK  settings")
    assert "nowhere.json" in done.stdout
