"""The settings: what is accepted, what it becomes, and what is said of anything else."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from singer_sdk import Tap

from tap_genesys_search.errors import ConfigurationError
from tap_genesys_search.regions import DOMAINS
from tap_genesys_search.settings import CONFIG_JSONSCHEMA, OWN, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET = "v3ry-s3cret"
CLIENT = {"client_id": "me", "client_secret": SECRET}


def problem(**config: object) -> str:
    """What is said of a wrong configuration."""
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_config({**CLIENT, **config})
    text = str(caught.value)
    assert "\n" not in text
    assert SECRET not in text
    return text


def settings(**config: object) -> Settings:
    """A right configuration."""
    return Settings.from_config({**CLIENT, **config})


def test_a_client_is_enough() -> None:
    """Everything else has a default."""
    found = settings()
    assert found.base_url == "https://api.mypurecloud.com"
    assert found.token_url == "https://login.mypurecloud.com/oauth/token"
    assert found.auth_method == "basic"
    assert (found.scope, found.query, found.on_source_change) == ("search:query", "*", "fail")
    assert (found.start, found.end, found.max_results, found.concurrency) == (None, None, None, None)
    assert (found.page_size, found.lookback_seconds, found.requests_per_minute) == (200, 600, 300)
    assert (found.slice_records, found.max_retries) == (4_000, 3)
    assert (found.max_wait_seconds, found.request_timeout_seconds) == (600, 60)
    assert found.user_agent.startswith("tap-genesys-search/")


def test_null_and_blank_mean_not_set() -> None:
    """As a form or a line of .env leaves them; only a query that is blank is no query."""
    required = CONFIG_JSONSCHEMA["required"]
    names = [name for name in OWN if name not in required]
    assert settings(**dict.fromkeys(names)) == settings()
    texts = [name for name in names if name != "query"]
    assert settings(**dict.fromkeys(texts, "  ")) == settings()
    assert problem(query=" ") == "query is blank: leave it out, or write * for every conversation"


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_required_ones(value: object) -> None:
    """Both at once, and where to put them."""
    assert problem(client_id=value, client_secret=value) == (
        "client_id is missing: set it in the configuration, or as TAP_GENESYS_SEARCH_CLIENT_ID in the environment; "
        "client_secret is missing: set it in the configuration, or as TAP_GENESYS_SEARCH_CLIENT_SECRET in the "
        "environment"
    )


def test_a_newline_at_the_end_of_a_secret_is_not_part_of_it() -> None:
    """Secrets come from files, and files end with one."""
    assert settings(client_secret=f"{SECRET}\n").client_secret == SECRET


@pytest.mark.parametrize("region", DOMAINS)
def test_regions(region: str) -> None:
    """Each has its API and its login host."""
    found = settings(region=region)
    assert found.base_url == f"https://api.{DOMAINS[region]}"
    assert found.token_url == f"https://login.{DOMAINS[region]}/oauth/token"
    assert found == settings(base_url=f"https://api.{DOMAINS[region]}/", region="us-west-2")


def test_an_unknown_region() -> None:
    """The message names all of them, and the nearest."""
    text = problem(region="eu-centrall-1")
    assert "region must be one of us-east-1, " in text
    assert text.endswith(", not 'eu-centrall-1' (did you mean eu-central-1?)")


@pytest.mark.parametrize(
    ("config", "token_url", "method"),
    [
        ({"base_url": "http://127.0.0.1:8080"}, "http://127.0.0.1:8080/oauth/token", "post"),
        ({"base_url": "http://[::1]:8080/"}, "http://[::1]:8080/oauth/token", "post"),
        ({"base_url": "http://localhost"}, "http://localhost/oauth/token", "post"),
        ({"base_url": "https://gate.example/genesys/"}, "https://gate.example/genesys/oauth/token", "post"),
        ({"auth_method": "post"}, "https://login.mypurecloud.com/oauth/token", "post"),
        ({"base_url": "https://gate.example", "auth_method": "basic"}, "https://gate.example/oauth/token", "basic"),
        ({"auth_url": "https://sign-on.example/token"}, "https://sign-on.example/token", "post"),
        (
            {"base_url": "https://gate.example", "auth_url": "https://login.mypurecloud.de/oauth/token"},
            "https://login.mypurecloud.de/oauth/token",
            "basic",
        ),
    ],
)
def test_where_tokens_come_from(config: dict[str, object], token_url: str, method: str) -> None:
    """And how the client shows itself there."""
    found = settings(**config)
    assert (found.token_url, found.auth_method) == (token_url, method)


NO_URL = "must be a URL such as https://api.mypurecloud.com"
NOT_HTTPS = "must begin with https:// (http:// only for a host on this machine, such as 127.0.0.1)"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("api.mypurecloud.com", NO_URL),
        ("https://", NO_URL),
        ("https:///api", NO_URL),
        ("https://a b.example", NO_URL),
        ("https://a\x00b.example", NO_URL),
        ("https://*", NO_URL),
        ("https://*.example", NO_URL),
        ("https://a..b", NO_URL),
        ("https://[::1", NO_URL),
        ("https://host.example:99999", NO_URL),
        ("https://host.example:port", NO_URL),
        ("nonsense", NO_URL),
        ("http://api.mypurecloud.com", NOT_HTTPS),
        ("http://127.0.0.1.example", NOT_HTTPS),
        ("http://10.0.0.1", NOT_HTTPS),
        ("ftp://host.example", NOT_HTTPS),
        ("https://host.example?", "must end before the ? or the #"),
        ("https://host.example/a?b=c", "must end before the ? or the #"),
        ("https://host.example/#a", "must end before the ? or the #"),
        ("https://me@host.example", "must not hold a user or a password: those are client_id and client_secret"),
        (
            f"https://:{SECRET}@host.example",
            "must not hold a user or a password: those are client_id and client_secret",
        ),
        (f"me:{SECRET}@host.example", NO_URL),
    ],
)
@pytest.mark.parametrize("name", ["base_url", "auth_url"])
def test_wrong_urls(name: str, url: str, said: str) -> None:
    """Neither kind of URL may be one of these; no message shows what could be a password."""
    assert problem(**{name: url}) == f"{name} {said}"


@pytest.mark.parametrize("host", ["login.mypurecloud.ie", "apps.mypurecloud.ie", "mypurecloud.ie", "MyPureCloud.ie"])
def test_another_host_of_a_region(host: str) -> None:
    """The API is not there, and where it is can be said."""
    said = "base_url is no API host: use https://api.mypurecloud.ie, or leave it out and set region"
    assert problem(base_url=f"https://{host}") == said


def test_paths() -> None:
    """The base URL stops before the API's own path; the token URL is whole."""
    assert problem(base_url="https://gate.example/api/v2/search") == "base_url must end before /api/v2"
    whole = "auth_url must be the whole address, such as https://login.mypurecloud.com/oauth/token"
    assert problem(auth_url="https://login.mypurecloud.com/") == whole


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-02", 86_400_000),
        ("1970-01-01T00:00:01.0019Z", 1_001),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01 00:00:01", 1_000),
        ("1969-12-31T23:59:59.999Z", -1),
    ],
)
def test_dates(text: str, instant: int) -> None:
    """In milliseconds, floored, UTC unless they say otherwise."""
    assert settings(start_date=text).start == instant
    assert settings(end_date=text).end == instant


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-13-01", "2026", "01.10.2026", "1760000000", "0001-01-01T00:00+05:00"]
)
@pytest.mark.parametrize("name", ["start_date", "end_date"])
def test_what_is_no_date(name: str, text: str) -> None:
    """The message shows one."""
    said = f"{name} must be a date or date-time such as 2026-10-03 or 2026-10-03T08:15:00Z, not '{text}'"
    assert problem(**{name: text}) == said


@pytest.mark.parametrize("end", ["2026-10-01", "2026-10-02T00:00:00Z", "2026-10-02T01:00:00+01:00"])
def test_an_end_that_is_not_after_the_start(end: str) -> None:
    """It is wrong, not empty."""
    assert problem(start_date="2026-10-02", end_date=end) == "end_date must be after start_date"


WHOLE_NUMBERS = {
    name: (schema["minimum"], schema.get("maximum")) for name, schema in OWN.items() if "integer" in schema["type"]
}


@pytest.mark.parametrize(("name", "bounds"), WHOLE_NUMBERS.items())
def test_whole_numbers(name: str, bounds: tuple[int, int | None]) -> None:
    """Within bounds, themselves included; nothing else will do."""
    low, high = bounds
    for right in (low, high or 10**9, float(low)):
        assert getattr(settings(**{name: right}), name) == right
    wrong: object
    for wrong in (low - 1, low + 0.5, True, [], {}, "many", float("nan"), float("inf"), 10**30):
        if wrong == 10**30 and high is None:
            continue
        assert problem(**{name: wrong}).startswith(f"{name} must be a whole number ")
    if high is not None:
        assert problem(**{name: high + 1}) == f"{name} must be a whole number from {low} to {high}, not {high + 1}"


def test_the_bounds_that_the_api_sets() -> None:
    """A page holds 1 to 200."""
    assert WHOLE_NUMBERS["page_size"] == (1, 200)
    assert WHOLE_NUMBERS["requests_per_minute"] == (1, 100_000)


def test_a_number_in_quotes() -> None:
    """The most usual slip has a message of its own."""
    assert problem(page_size="100") == "page_size is a text: write the number without quotes, 100"


@pytest.mark.parametrize("value", [12345, True, ["a"], {"a": "b"}, 1.5])
def test_a_text_that_is_none(value: object) -> None:
    """The value is not shown: it may be the secret."""
    texts = [name for name, schema in OWN.items() if "string" in schema["type"]]
    assert problem(**dict.fromkeys(texts, value)) == "; ".join(f"{name} must be a text, in quotes" for name in texts)


@pytest.mark.parametrize("name", ["client_id", "client_secret", "scope", "user_agent"])
@pytest.mark.parametrize("text", ["a\r\nX-More: b", "a\x00", "é", "\ud800"])
def test_what_cannot_stand_in_a_header(name: str, text: str) -> None:
    """It is refused before a request is built."""
    assert problem(**{name: f"a{text}b"}) == f"{name} must be of printable ASCII characters"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("a) OR (b", "has no partner for the ) at character 2: close it, or write a backslash before it"),
        ("(a", "has no partner for the ( at character 1: close it, or write a backslash before it"),
        ('a "b', 'has no partner for the " at character 3: close it, or write a backslash before it'),
        ("a\\", "has no partner for the \\ at character 2: close it, or write a backslash before it"),
        ("\ud800", "holds half a character (a lone surrogate): write the character itself"),
        (
            "NOT status:open",
            "is only negations, which match nothing once a range of time is added: begin it with *:* AND NOT …",
        ),
    ],
)
def test_wrong_queries(query: str, said: str) -> None:
    """Those that would change their meaning in parentheses; the rest is for the API to judge."""
    assert problem(query=query) == f"query {said}"


def test_all_problems_at_once() -> None:
    """Nobody mends one to meet the next."""
    text = problem(page_size=0, region="mars", start_date="yesterday", client_id=None, query="-a")
    assert [each.split(" ")[0] for each in text.split("; ")] == [
        "client_id",
        "region",
        "query",
        "start_date",
        "page_size",
    ]


def test_unknown_settings(caplog: pytest.LogCaptureFixture) -> None:
    """A warning names what may be meant, never the value; the SDK's own settings are known."""
    with caplog.at_level(logging.WARNING):
        settings(client_secert=SECRET, frobnicate=1, stream_maps={}, flattening_enabled=True, batch_config=None)
    assert [record.getMessage() for record in caplog.records] == [
        "Unknown setting 'client_secert' is ignored; did you mean client_secret?",
        "Unknown setting 'frobnicate' is ignored",
    ]


def test_the_sdk_adds_to_the_schema() -> None:
    """What it adds are not settings of this tap, though they come to stand in the same schema."""

    class Other(Tap):
        name = "tap-other"
        config_jsonschema = CONFIG_JSONSCHEMA

        def discover_streams(self) -> list[Any]:
            return []

    Other(config=dict(CLIENT))
    assert "stream_maps" in CONFIG_JSONSCHEMA["properties"]
    assert settings(stream_maps={"conversations": {}}) == settings()


def test_a_secret_is_marked_and_never_shown() -> None:
    """In the schema, and when the settings are printed."""
    secret = {name for name, schema in OWN.items() if schema.get("secret")}
    assert secret == {"client_secret", "redis_url"}
    assert SECRET not in repr(settings(redis_url=f"redis://:{SECRET}@host"))


def test_every_setting_says_what_it_is() -> None:
    """Label, description, and a default that its own check accepts."""
    for name, schema in OWN.items():
        assert schema["title"], name
        assert schema["description"].endswith("."), name
        if "default" in schema:
            assert settings(**{name: schema["default"]}) == settings()


def _json() -> st.SearchStrategy[object]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None))
    return st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)


NAMES = st.sampled_from(sorted(OWN)) | st.text()


@hypothesis_settings(deadline=None)
@given(st.dictionaries(NAMES, _json()))
def test_anything_ends_in_settings_or_one_line(config: Mapping[str, object]) -> None:
    """Never in another exception."""
    line = ""
    try:
        Settings.from_config(config)
    except ConfigurationError as error:
        line = str(error)
    assert line.isprintable()
