"""Nothing that is written shows the secret, a token, or the password of a URL: at DEBUG, in any form of log."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tap_genesys_search import ConfigurationError, ConversationSearchClient, GenesysAuth, GenesysSearchError, Token
from tap_genesys_search.cli import group
from tap_genesys_search.client import _Asking
from tap_genesys_search.sandbox import Faults, SandboxServer, WorldConfig
from tap_genesys_search.sandbox.tokens import TOKEN_MARK
from tap_genesys_search.settings import Settings
from tap_genesys_search.tap import TapGenesysSearch
from tap_genesys_search.transport import Reply
from tests.sandbox.api import until
from tests.support.helpers import CLIENT, FAST, SECRET, Run, Tap, check_hidden, config_for, environment, secrets_of
from tests.support.logs import logged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEBUG = {"LOGLEVEL": "DEBUG"}
HASTY: dict[str, object] = {"max_retries": 1, "request_timeout_seconds": 1, "max_wait_seconds": 1, "page_size": 50}
PASSWORD = "passw0rd"

#: All that a user can turn on by the SDK's logging configuration; the structured form tells of contexts, too.
LOGGING = """
version: 1
disable_existing_loggers: false
formatters:
  structured: {(): singer_sdk.logging.StructuredFormatter}
  plain: {(): singer_sdk.logging.ConsoleFormatter}
handlers:
  console: {class: logging.StreamHandler, stream: ext://sys.stderr, formatter: plain, level: DEBUG}
  file: {class: logging.FileHandler, filename: all.log, formatter: structured, level: DEBUG}
root: {level: DEBUG, handlers: [file, console]}
loggers:
  urllib3: {level: DEBUG}
  requests: {level: DEBUG}
  http.client: {level: DEBUG}
"""


@pytest.fixture
def talkative(tap: Tap) -> Callable[..., tuple[Run, str]]:
    """Run the tap with all logs on; return the run, and the file that its logging configuration names."""
    (tap.folder / "logging.yml").write_text(LOGGING)

    def run(config: dict[str, object], *args: str, **options: Any) -> tuple[Run, str]:
        env = DEBUG | {"SINGER_SDK_LOG_CONFIG": "logging.yml"} | options.pop("env", {})
        done = tap(config, *args, env=env, **options)
        log = (tap.folder / "all.log").read_text(encoding="utf-8")
        check_hidden(secrets_of(config, env), log)
        return done, log

    return run


def unknown_to(server: SandboxServer, *texts: str) -> None:
    """Check that no token was shown, not even its end."""
    check_hidden({token[-16:] for token in server.issued_tokens}, *texts)


# The search itself


@pytest.mark.parametrize("text", [SECRET, f"{TOKEN_MARK}abc", "c2FuZGJveDpzYW5kYm94LXNlY3JldA"])
def test_every_run_of_the_tap_in_these_tests_is_searched(tap: Tap, text: str) -> None:
    """A stream map that writes the secret, or what looks like a token, is found out."""
    with SandboxServer(WorldConfig(conversations=3)) as server:
        config = config_for(server, stream_maps={"conversations": {"x": f"'{text}'"}})
        with pytest.raises(AssertionError, match="shown"):
            tap(config)
        if text == SECRET:
            with pytest.raises(AssertionError, match="shown"):
                tap.until(config, 100)


def test_secrets_are_known_in_all_forms() -> None:
    config = {"client_id": "me", "client_secret": 'a b/ü"c', "base_url": f"http://me:{PASSWORD}@host"}
    found = secrets_of(config, {"HTTPS_PROXY": "http://you:pa/ss@host:1", "TAP_GENESYS_SEARCH_CLIENT_SECRET": "env"})
    assert found >= {'a b/ü"c', "a+b%2F%C3%BC%22c", PASSWORD, "pa/ss", "env", SECRET, TOKEN_MARK}
    assert secrets_of({"client_secret": ["v3ry", 7]}) >= {"v3ry", "7"}
    assert "" not in secrets_of({"client_secret": " "}, {"client_secret": None})


def test_tokens_of_the_sandbox_are_known() -> None:
    with SandboxServer(WorldConfig(conversations=3)) as server:
        assert server.issued_tokens == []
        auth = GenesysAuth(CLIENT, SECRET, server.base_url)
        tokens = [auth.get_token(), auth.fetch()]
        auth.close()
        assert server.issued_tokens == tokens
    assert all(token.startswith(TOKEN_MARK) for token in tokens)


# The tap at DEBUG

WRONG: dict[str, dict[str, Any]] = {
    "right": {},
    "outage": {"outage": True, "token_faults": True},
    "dropped": {"p_drop": 1.0, "token_faults": True},
    "half bodies of tokens": {"p_half_body": 1.0, "token_faults": True},
    "half bodies": {"p_half_body": 1.0},
    "HTML": {"p_html": 1.0},
    "429": {"p_429": 1.0},
    "dead tokens": {"token_ttl_seconds": 1e-9},
    "short tokens": {"token_ttl_seconds": 0.05, "latency_ms": 20},
    "liar about order": {"ignore_sort": True},
    "liar about ranges": {"ignore_range": True},
    "endless": {"endless": True},
    "an error as an answer": {"error_body_200": True},
}


@pytest.mark.parametrize(
    ("name", "method"), [*((name, "post") for name in WRONG), ("right", "basic"), ("half bodies of tokens", "basic")]
)
def test_a_run_shows_nothing_secret(talkative: Callable[..., tuple[Run, str]], name: str, method: str) -> None:
    with SandboxServer(WorldConfig(conversations=600, days=1), Faults(**WRONG[name])) as server:
        run, log = talkative(config_for(server, auth_method=method, **HASTY))
        unknown_to(server, run.stdout, run.stderr, log)
        assert server.issued_tokens or WRONG[name].get("token_faults")
    assert (run.code == 0) is (name in {"right", "short tokens"})
    assert "urllib3.connectionpool" in log
    assert "urllib3.connectionpool" in run.stderr


PROXIES = [
    f"http://user:{PASSWORD}@127.0.0.1:9",
    f"http://user:{PASSWORD}@127.0.0.1:port",
    f"http://user:{PASSWORD}@no host:9",
    f"http://user:{PASSWORD}@[::1",
    f"user:{PASSWORD}@127.0.0.1:9",
    f"socks5://user:{PASSWORD}@127.0.0.1:9",
    f"ftp://user:{PASSWORD}@127.0.0.1:9",
    # What should have been written as %2F, %23, %3F, %40: the parser takes what is before it for host and port.
    f"http://user:{PASSWORD}/2@127.0.0.1:9",
    f"http://user:{PASSWORD}#2@127.0.0.1:9",
    f"http://user:{PASSWORD}?2@127.0.0.1:9",
    f"http://user:{PASSWORD}@2@127.0.0.1:9",
]


@pytest.mark.parametrize("proxy", [PROXIES[0], PROXIES[1], PROXIES[-4]])
def test_the_password_of_a_proxy_is_not_shown(talkative: Callable[..., tuple[Run, str]], proxy: str) -> None:
    config = {"client_id": CLIENT, "client_secret": SECRET, "base_url": "https://api.mypurecloud.invalid"}
    run, log = talkative(config | {"max_retries": 0}, env={"HTTPS_PROXY": proxy})
    assert run.code in {75, 78}
    (line,) = run.critical
    assert "proxy" in line
    check_hidden([PASSWORD], run.stderr, run.stdout, log)


URLS = [
    *(
        f"https://me:{PASSWORD}{rest}"
        for rest in ("@h.invalid", "/2@h.invalid", "#2@h.invalid", "?2@h.invalid", "@2@h.invalid/x")
    ),
    f"https://me:{PASSWORD}@[::1",
    f"https://me:{PASSWORD}@host:port/x",
]


@pytest.mark.parametrize("setting", ["base_url", "auth_url"])
def test_the_password_of_a_setting_is_not_shown(talkative: Callable[..., tuple[Run, str]], setting: str) -> None:
    run, log = talkative({"client_id": CLIENT, "client_secret": SECRET, setting: URLS[1], "page_size": "x"})
    assert run.code == 78
    assert setting in run.critical[0]
    check_hidden([PASSWORD], run.stderr, run.stdout, log)
    for url in URLS:
        with pytest.raises(ConfigurationError, match=setting) as caught:
            Settings.from_config({"client_id": CLIENT, "client_secret": SECRET, setting: url})
        check_hidden([PASSWORD, SECRET], logged(caught.value))


def test_a_setting_of_the_sdk_does_not_show_its_value(talkative: Callable[..., tuple[Run, str]]) -> None:
    """JSON in quotes, as it is in .env but must not be in a file."""
    client = {"client_id": CLIENT, "client_secret": SECRET}
    run, log = talkative({**client, "stream_map_config": json.dumps({"hash_seed": PASSWORD})})
    assert run.code == 78
    assert run.critical[0].endswith("| stream_map_config must be an object or null")
    check_hidden([PASSWORD], run.stderr, run.stdout, log)


@pytest.mark.skipif(shutil.which("ps") is None, reason="there is no ps")
def test_arguments_show_nothing_secret(tap: Tap) -> None:
    """Neither those of the tap while it runs, nor any that its commands would take."""
    with (
        SandboxServer(WorldConfig(conversations=10), Faults(latency_ms=60_000)) as server,
        tap.start(config_for(server)) as process,
    ):
        until(lambda: server.stats["token_requests"] > 0, seconds=60)
        shown = subprocess.run(
            ["ps", "-A", "-o", "ppid=,pid=,args="],  # noqa: S607 - wherever it is
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        process.kill()
        process.communicate()
    own = [line for line in shown if str(process.pid) in line.split()[:2]]
    assert own
    assert any("tap_genesys_search" in line for line in own)
    check_hidden([SECRET, TOKEN_MARK], *own)
    options = {option for param in TapGenesysSearch.get_singer_command().params for option in param.opts}
    for name in ("search", "audit", "explain"):
        command = group.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        options.update(option for param in command.params for option in param.opts)
    assert "--config" in options
    assert not [option for option in options if any(word in option for word in ("secret", "token", "password", "url"))]


# In Python


@pytest.mark.parametrize("proxy", PROXIES)
def test_an_exception_does_not_show_the_password_of_a_proxy(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    for name in ("NO_PROXY", "no_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    url = "https://api.mypurecloud.invalid"
    auth = GenesysAuth(CLIENT, SECRET, url, max_retries=0)
    with ConversationSearchClient(auth, url) as client, pytest.raises(GenesysSearchError) as caught:
        next(client.stream_conversations())
    check_hidden([PASSWORD, SECRET], logged(caught.value), repr(client), repr(auth))


# The last is read as port 9 of this machine, and a path.
@pytest.mark.parametrize("url", [*URLS, f"https://127.0.0.1:9/{PASSWORD}@h.invalid"])
def test_an_exception_does_not_show_the_password_of_an_address(url: str) -> None:
    texts = []
    try:
        auth = GenesysAuth(CLIENT, SECRET, url, max_retries=0)
    except GenesysSearchError as error:
        texts.append(logged(error))
        auth = GenesysAuth(CLIENT, SECRET, "http://127.0.0.1:9", max_retries=0)
    try:
        with ConversationSearchClient(auth, url, max_retries=0) as client:
            texts.append(f"{client!r} {client.http!r} {auth!r}")
            next(client.stream_conversations())
    except GenesysSearchError as error:
        texts.append(logged(error))
    assert texts
    check_hidden([PASSWORD, SECRET], *texts)


@pytest.mark.parametrize("name", [name for name in WRONG if name not in {"right", "short tokens"}])
def test_an_exception_shows_nothing_secret(name: str) -> None:
    with SandboxServer(WorldConfig(conversations=600, days=1), Faults(**WRONG[name])) as server:
        auth = GenesysAuth(CLIENT, SECRET, server.base_url, max_retries=0, max_wait_seconds=1)
        limits: dict[str, Any] = {"max_retries": 0, "max_wait_seconds": 1, "requests_per_minute": FAST}
        with ConversationSearchClient(auth, server.base_url, **limits) as client:
            with pytest.raises(GenesysSearchError) as caught:
                list(client.stream_conversations(newest_first=False))
            check_hidden(secrets_of(), logged(caught.value), repr(client), repr(client.http))
            unknown_to(server, logged(caught.value))


def test_what_holds_a_secret_does_not_show_it() -> None:
    """As a debugger, or a log of local variables, would."""
    token = f"{TOKEN_MARK}abc1"
    config = {"client_id": CLIENT, "client_secret": SECRET, "base_url": "http://127.0.0.1:9"}
    settings = Settings.from_config(config)
    auth = GenesysAuth.from_settings(settings)
    client = ConversationSearchClient.from_settings(settings, auth=auth)
    tap = TapGenesysSearch(config=config)
    request = requests.Request("POST", "http://h", headers={"Authorization": f"Bearer {token}"}).prepare()
    holders = [
        settings,
        auth,
        client,
        client.http,
        tap,
        tap.streams["conversations"],
        tap.streams["conversations"].authenticator,  # type: ignore[attr-defined]
        Token(token, 1.0, 1.0),
        Reply(200, {}, json.dumps({"access_token": token}).encode()),
        _Asking(b"", 1, token=token, refused_token=token),
        request,
        requests.ConnectionError("no", request=request),
    ]
    check_hidden(secrets_of(), *(f"{holder!r} {holder}" for holder in holders))
    client.close()


def test_an_uncaught_exception_shows_nothing_secret(tmp_path: Path) -> None:
    """A fault of the program itself, in the middle of a request, with all that the SDK logs of it."""
    (tmp_path / "logging.yml").write_text(LOGGING)
    break_it = (
        "import tap_genesys_search.records as records\n"
        "def parse(*_): raise ZeroDivisionError('a fault of the program')\n"
        "records.parse = parse\n"
        "from tap_genesys_search.tap import TapGenesysSearch\n"
        "TapGenesysSearch.cli()\n"
    )
    with SandboxServer(WorldConfig(conversations=10)) as server:
        (tmp_path / "config.json").write_text(json.dumps(config_for(server)))
        done = subprocess.run(
            [sys.executable, "-c", break_it, "--config", "config.json"],
            cwd=tmp_path,
            env=environment(DEBUG | {"SINGER_SDK_LOG_CONFIG": "logging.yml"}),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        log = (tmp_path / "all.log").read_text(encoding="utf-8")
        assert server.issued_tokens
        unknown_to(server, done.stdout, done.stderr, log)
    assert done.returncode != 0
    assert "a fault of the program" in done.stderr
    assert "Traceback" in done.stderr
    check_hidden(secrets_of(), done.stdout, done.stderr, log)
