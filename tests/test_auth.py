"""Tokens: how they are asked for, renewed before they expire, refused; and that nothing shows them."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
import requests

from tap_genesys_search.auth import GenesysAuth
from tap_genesys_search.errors import (
    AuthenticationError,
    ConfigurationError,
    ContractError,
    MissingPermissionError,
    PlatformUnavailableError,
    RateLimitError,
    SearchTimeoutError,
)
from tap_genesys_search.tokens import MemoryTokenStore
from tests.support.fakes import FakeClock, serving
from tests.support.login import SECRET, LoginHost, login

if TYPE_CHECKING:
    from pathlib import Path

# The tests of tokens that workers share take these from here.

LOGIN = "https://login.mypurecloud.ie/oauth/token"


def test_the_client_is_presented_in_the_form_body() -> None:
    with login(user_agent="me/1") as (auth, _, server, _clock):
        assert auth.get_token() == "t0ken-1"
    path, headers, body = server.asked[0]
    assert path == "/oauth/token"
    assert parse_qs(body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["search:query"],
        "client_id": ["id-1"],
        "client_secret": [SECRET],
    }
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert headers["User-Agent"] == "me/1"
    assert "Authorization" not in headers


def test_the_client_is_presented_by_basic() -> None:
    with login(auth_method="basic", scope="") as (auth, _, server, _clock):
        auth.get_token()
    _, headers, body = server.asked[0]
    assert body == b"grant_type=client_credentials"
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode() == f"id-1:{SECRET}"


def test_a_netrc_and_a_user_in_the_url_have_no_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password other")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with serving(LoginHost()) as server:
        auth = GenesysAuth("id-1", SECRET, server.url.replace("//", "//me:pa55@"), clock=FakeClock())
        auth.get_token()
        auth.close()
    assert "Authorization" not in server.asked[0][1]


@pytest.mark.parametrize(
    ("base_url", "settings", "url", "basic"),
    [
        ("https://api.mypurecloud.ie", {}, LOGIN, True),
        ("https://api.example.com/", {}, "https://api.example.com/oauth/token", False),
        ("https://api.mypurecloud.ie", {"auth_method": "post"}, LOGIN, False),
        ("https://api.mypurecloud.ie", {"auth_url": "https://sso.example.com/t"}, "https://sso.example.com/t", False),
        ("https://x.io", {"auth_url": LOGIN}, LOGIN, True),
        ("https://x.io", {"auth_method": "basic"}, "https://x.io/oauth/token", True),
    ],
)  # fmt: skip
def test_where_and_how_by_the_settings(base_url: str, settings: dict[str, Any], url: str, *, basic: bool) -> None:
    auth = GenesysAuth("id-1", SECRET, base_url, **settings)
    auth.close()
    request = auth._request
    assert request.url == url
    assert ("Authorization" in request.headers) is basic
    assert ("client_secret" in str(request.body)) is not basic


@pytest.mark.parametrize(
    "settings", [{"auth_method": "magic"}, {"auth_url": "login.example.com"}, {"auth_url": "https://me:pa55@"}]
)
def test_a_wrong_setting_is_one_line(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        GenesysAuth("id-1", SECRET, "https://api.example.com", **settings)
    assert "auth_" in str(caught.value)
    assert "pa55" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("lifetime", "good_for"), [(3600, 3540), (120, 60), (100, 50), (1, 0.5), (172_800.5, 172_740.5)]
)
def test_a_token_is_kept_until_shortly_before_its_expiry(lifetime: float, good_for: float) -> None:
    with login(LoginHost(lifetime)) as (auth, host, _, clock):
        auth.get_token()
        clock.now += good_for - 0.01
        assert auth.get_token() == "t0ken-1"
        clock.now += 0.5
        assert auth.get_token() == "t0ken-2"
        assert host.given == auth.tokens_requested == 2


def test_a_clock_that_is_set_back_does_not_prolong_a_token() -> None:
    class Clock(FakeClock):
        shift = 0.0

        def time(self) -> float:
            return self.now + self.shift

    clock = Clock()
    with login(clock=clock) as (auth, _, _, _):
        auth.get_token()
        clock.shift = -7200.0
        clock.now += 3550
        assert auth.get_token() == "t0ken-2"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[]", "is no JSON object"),
        (b'{"expires_in": 5}', "has no access_token"),
        (b'{"access_token": "t0ken"}', "has no expires_in"),
        (b'{"access_token": null, "expires_in": 5}', "no text without blanks"),
        (b'{"access_token": "", "expires_in": 5}', "no text without blanks"),
        (b'{"access_token": "t0 ken", "expires_in": 5}', "no text without blanks"),
        (b'{"access_token": "t0\\nken", "expires_in": 5}', "no text without blanks"),
        ('{"access_token": "t0ké", "expires_in": 5}'.encode(), "no text without blanks"),
        (b'{"access_token": "t0ken", "expires_in": "5"}', "no positive number"),
        (b'{"access_token": "t0ken", "expires_in": true}', "no positive number"),
        (b'{"access_token": "t0ken", "expires_in": 0}', "no positive number"),
        (b'{"access_token": "t0ken", "expires_in": -5}', "no positive number"),
        (b'{"access_token": "t0ken", "expires_in": 1' + b"0" * 400 + b"}", "no positive number"),
    ],
)
def test_an_answer_of_another_shape_is_an_error_at_once(body: bytes, says: str) -> None:
    with login() as (auth, host, server, _):
        host.fails(200, body)
        with pytest.raises(ContractError, match=says) as caught:
            auth.get_token()
        assert len(server.asked) == 1
        assert "t0" not in "".join(traceback.format_exception(caught.value)).replace("test_auth", "")
        assert auth.get_token() == "t0ken-1"


def test_a_proxys_page_instead_of_a_token_is_tried_again() -> None:
    with login() as (auth, host, _, _clock):
        host.fails(200, b"<html>")
        assert auth.get_token() == "t0ken-1"
        host.fails(200, b"<html>", times=4)
        with pytest.raises(ContractError, match="is no JSON"):
            auth.renew("t0ken-1")


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (400, b'{"error":"invalid_client","description":"client not found"}', AuthenticationError, "client not found"),
        (
            401,
            b'{"error":"invalid_client","description":"authentication failed"}',
            AuthenticationError,
            "client_secret",
        ),
        (403, b'{"message":"no scope","code":"missing.permissions","contextId":"c-1"}', MissingPermissionError, "c-1"),
        (404, b"", ConfigurationError, "auth_url"),
        (302, b"", ConfigurationError, "HTTP 302"),
    ],
)
def test_a_refusal_is_final_and_says_what_to_change(status: int, body: bytes, kind: type[Exception], says: str) -> None:
    with login() as (auth, host, server, _):
        host.fails(status, body)
        with pytest.raises(kind, match=says):
            auth.get_token()
        assert len(server.asked) == 1


def test_a_refusal_that_echoes_the_secret_does_not_show_it() -> None:
    with login() as (auth, host, _, _clock):
        for echo in (SECRET, *auth.hidden()):
            host.fails(400, json.dumps({"message": f"what is {echo}?"}).encode())
            with pytest.raises(AuthenticationError, match=r"what is \*\*\*\?"):
                auth.get_token()


def test_faults_are_tried_again_and_then_an_error() -> None:
    with login(max_retries=2) as (auth, host, server, clock):
        host.fails(503, times=2)
        assert auth.get_token() == "t0ken-1"
        assert len(clock.sleeps) == 2
        host.fails(504, times=3)
        with pytest.raises(PlatformUnavailableError) as caught:
            auth.renew("t0ken-1")
        assert not isinstance(caught.value, SearchTimeoutError)
        assert len(server.asked) == 6


def test_a_login_host_that_cannot_be_reached() -> None:
    auth = GenesysAuth("id-1", SECRET, "http://127.0.0.1:9", clock=FakeClock())
    with pytest.raises(PlatformUnavailableError, match=r"no connection to 127\.0\.0\.1:9"):
        auth.get_token()
    auth.close()


def test_the_login_hosts_rate_limit_is_waited_for() -> None:
    with login(max_wait_seconds=50) as (auth, host, _, clock):
        host.fails(429, Retry_After="40")
        assert auth.get_token() == "t0ken-1"
        assert clock.sleeps == [40]
        host.fails(429, Retry_After="60")
        with pytest.raises(RateLimitError, match="60 s more; max_wait_seconds is 50"):
            auth.renew("t0ken-1")


def test_a_given_session_is_used_and_left_open() -> None:
    with requests.Session() as session, login(session=session) as (auth, _, _server, _clock):
        adapter = session.get_adapter("http://x")
        auth.get_token()
        auth.close()
        assert session.get_adapter("http://x") is adapter
        assert adapter.poolmanager.pools.keys()  # type: ignore[attr-defined]


def test_nothing_shows_the_secret_or_a_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    store = MemoryTokenStore()
    with login(token_store=store) as (auth, host, _, _clock):
        host.fails(503)
        auth.get_token()
        token = store.load()
        shown = f"{auth!r} {auth} {token!r} {token}" + caplog.text
        assert "/oauth/token" in caplog.text
        for hidden in (*auth.hidden(), "t0ken"):
            assert hidden not in shown
