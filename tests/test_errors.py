"""The table of errors, and what their texts say and hide."""

from __future__ import annotations

import json

import pytest

from tap_genesys_search import errors
from tap_genesys_search.errors import SEARCH, TOKEN, Action, describe, place_of, policy_for, redacted

PLACE = "api.example.com/api/v2/search"


@pytest.mark.parametrize("table", [SEARCH, TOKEN])
@pytest.mark.parametrize("status", [500, 502, 503, 504, 507, 599, 408])
def test_faults_are_tried_again(table: dict[int, errors.Policy], status: int) -> None:
    policy = policy_for(status, table)
    assert policy.action is Action.RETRY
    assert issubclass(policy.error, errors.PlatformUnavailableError)


@pytest.mark.parametrize("status", [204, 301, 307, 405, 418])
def test_what_is_no_answer_of_the_api_points_to_the_settings(status: int) -> None:
    policy = policy_for(status, SEARCH)
    assert policy.action is Action.FAIL
    assert policy.error is errors.ConfigurationError


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.QueryError),
        (401, errors.AuthenticationError),
        (403, errors.MissingPermissionError),
        (429, errors.RateLimitError),
        (504, errors.SearchTimeoutError),
    ],
)
def test_a_search_that_fails_has_an_error_of_its_own_kind(status: int, kind: type[Exception]) -> None:
    assert type(describe(status, PLACE, {}, b"", SEARCH)) is kind


def test_the_platforms_words_and_id_are_quoted() -> None:
    body = {"message": "missing search:query", "code": "missing.permissions", "status": 403, "contextId": "abc-1"}
    text = str(describe(403, PLACE, {}, json.dumps(body).encode(), SEARCH))
    assert text.endswith(f"(HTTP 403 from {PLACE}: missing.permissions: missing search:query; contextId abc-1)")


def test_the_login_hosts_words_are_quoted_with_the_id_of_the_header() -> None:
    body = b'{"error":"invalid_client","description":"authentication failed"}'
    text = str(describe(401, "login.example.com/oauth/token", {"ININ-Correlation-Id": "c-2"}, body, TOKEN))
    assert "HTTP 401 from login.example.com/oauth/token: invalid_client: authentication failed; contextId c-2" in text
    assert "check client_id and client_secret" in text


LOGIN = "login.example.com/oauth/token"


@pytest.mark.parametrize("description", ["description", "error_description"])
@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        ("invalid_client", errors.AuthenticationError, "the login host does not know the client; check client_id"),
        ("invalid_scope", errors.MissingPermissionError, "the OAuth client may not have this scope; check scope"),
        ("unauthorized_client", errors.MissingPermissionError, "the OAuth client may not use client credentials; give"),
        ("unsupported_grant_type", errors.ConfigurationError, "the login host does not offer the grant type client"),
        ("invalid_request", errors.AuthenticationError, "the login host rejects the request for a token; check"),
        ("invalid_grant", errors.AuthenticationError, "the login host rejects the request for a token; check"),
    ],
)
def test_a_400_of_the_login_host_says_what_it_names(
    error: str, kind: type[errors.GenesysSearchError], sentence: str, description: str
) -> None:
    """The names are those of RFC 6749, section 5.2; the words come under one of two."""
    body = json.dumps({"error": error, description: "as it says"}).encode()
    found = describe(400, LOGIN, {}, body, TOKEN)
    assert type(found) is kind
    assert str(found).startswith(sentence)
    assert str(found).endswith(f"(HTTP 400 from {LOGIN}: {error}: as it says)")
    assert f"; {found.fix} (HTTP" in str(found)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error": ["invalid_scope"]}', b'{"message": "invalid_scope"}'])
def test_a_400_of_the_login_host_that_names_nothing_claims_nothing(body: bytes) -> None:
    found = describe(400, LOGIN, {}, body, TOKEN)
    assert type(found) is errors.AuthenticationError
    assert str(found).startswith("the login host rejects the request for a token; check client_id, region, auth_method")


def test_only_the_login_host_is_read_so() -> None:
    found = describe(400, PLACE, {}, b'{"error": "invalid_scope", "description": "no"}', SEARCH)
    assert type(found) is errors.QueryError


@pytest.mark.parametrize("table", [SEARCH, TOKEN])
@pytest.mark.parametrize("body", [b"", b"<html><b>Forbidden</b></html>", b'{"message": "Forbidden"}', b"[]"])
def test_a_403_that_is_not_the_platforms_does_not_pretend_to_name_a_permission(
    table: dict[int, errors.Policy], body: bytes
) -> None:
    found = describe(403, PLACE, {}, body, table)
    assert type(found) is errors.MissingPermissionError
    assert str(found).startswith("access is refused, and no permission is named; check any proxy in between, then the ")
    assert found.fix.startswith("check any proxy in between")
    assert "named here" not in str(found)
    named = describe(403, PLACE, {}, b'{"code": "missing.permissions", "message": "search:query"}', table)
    assert "proxy" not in f"{named} {named.fix}"
    unlabelled = describe(403, PLACE, {}, b'{"message": "You lack the permission search:query"}', table)
    assert "no permission is named" not in str(unlabelled)


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"contextId": "a-1", "correlationId": "b-2"}, "a-1"),
        ({"correlationId": "b-2"}, "b-2"),
        ({"contextId": None, "correlationId": ""}, "c-3"),
        ({}, "c-3"),
    ],
)
def test_the_name_of_the_request_stands_in_the_body_or_in_the_headers(body: dict[str, object], shown: str) -> None:
    text = str(describe(503, PLACE, {errors.TRACE_HEADER: "c-3"}, json.dumps(body).encode(), SEARCH))
    assert text.endswith(f"(HTTP 503 from {PLACE}; contextId {shown})")


@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad\ngateway</html>", b"[1]", b'{"message": 7}', b"\xff\xfe", b"[" * 10**5]
)
def test_a_proxys_body_is_not_quoted(body: bytes) -> None:
    text = str(describe(502, PLACE, {}, body, SEARCH))
    assert text.endswith(f"(HTTP 502 from {PLACE})")


def test_a_text_is_one_line_and_short() -> None:
    body = json.dumps({"message": "a\n\t b\x1b[31m\u2028" + "x" * 5000}).encode()
    text = str(describe(400, PLACE, {}, body, SEARCH))
    assert text.isprintable()
    assert "a b [31m xxx" in text
    assert len(text) < 500


def test_a_redirect_names_its_target_without_what_may_be_secret() -> None:
    text = str(describe(302, PLACE, {"Location": "https://me:pw@sso.example.com/login?token=t0ken"}, b"", SEARCH))
    assert "it redirects to sso.example.com/login)" in text
    assert "pw" not in text
    assert "t0ken" not in text


def test_secrets_are_cut_out_before_the_text_is_shortened() -> None:
    secret = "s3cret-" + "z" * 30
    body = json.dumps({"message": "y" * 280 + secret, "contextId": secret}).encode()
    text = str(describe(400, PLACE, {}, body, SEARCH, hidden=[secret, ""]))
    assert "s3cret" not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.DEF-123_4", "Authorization: Bearer ***"),
        ("basic YWJjOmRlZjEyMw==", "basic ***"),
        ("bearer authentication needed", "bearer authentication needed"),
        ("see https://me:p@ss@example.com/x", "see https://***@example.com/x"),
        ('{"access_token":"abc","x":1}', '{"access_token":"***","x":1}'),
        ("client_secret=abc&scope=x", "client_secret=***&scope=x"),
    ],
)
def test_what_looks_like_a_secret_is_not_shown(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_a_longer_secret_goes_before_one_inside_it() -> None:
    assert redacted("abcdef", ["abc", "abcdef"]) == "***"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://api.example.com/a/b?c=d#e", "api.example.com/a/b"),
        ("http://me:pw@127.0.0.1:80/a", "127.0.0.1:80/a"),
        ("https://[::1]:8/a", "[::1]:8/a"),
        ("https://[::1/a", ""),
    ],
)
def test_a_place_is_host_and_path(url: str, place: str) -> None:
    assert place_of(url) == place


def test_kinds_have_their_exit_codes() -> None:
    assert {kind.exit_code for kind in (errors.QueryError, errors.StateError, errors.AuthenticationError)} == {78}
    assert errors.SearchTimeoutError.exit_code == errors.RateLimitError.exit_code == 75
    assert errors.ContractError.exit_code == 76
