"""What Python code hands in: refused at once, by the bounds of the settings and in their words."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

import pytest

from tap_genesys_search import ConfigurationError, ConversationSearchClient, GenesysAuth, QueryError
from tap_genesys_search.arguments import BOUNDS
from tap_genesys_search.settings import OWN, Settings
from tests.support.helpers import CLIENT, SECRET

URL = "http://127.0.0.1:9"


def client_with(**numbers: Any) -> ConversationSearchClient:
    return ConversationSearchClient(GenesysAuth(CLIENT, SECRET, URL), URL, **numbers)


def refused(**numbers: Any) -> str:
    """What is said of a number."""
    with pytest.raises(ConfigurationError) as caught:
        client_with(**numbers)
    return str(caught.value)


def of_the_setting(**settings: object) -> str:
    """What is said of the setting."""
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_config({"client_id": CLIENT, "client_secret": SECRET, **settings})
    return str(caught.value)


def test_the_bounds_are_those_of_the_settings() -> None:
    """The generator alone may be asked for no conversation at all."""
    whole = {name: schema for name, schema in OWN.items() if "integer" in schema["type"] and name != "max_results"}
    assert {name: (schema["minimum"], schema["maximum"]) for name, schema in whole.items()} == BOUNDS


@pytest.mark.parametrize("name", BOUNDS)
def test_a_number_out_of_its_bounds_is_refused_in_the_settings_words(name: str) -> None:
    least, most = BOUNDS[name]
    for value in (least - 1, most + 1, -5, True):
        assert refused(**{name: value}) == of_the_setting(**{name: value})
    for value in (least, most):
        client_with(**{name: value}).close()


@pytest.mark.parametrize("name", BOUNDS)
def test_what_is_no_number_is_refused(name: str) -> None:
    least, most = BOUNDS[name]
    assert refused(**{name: "5" * 99}).startswith(f"{name} must be a whole number from {least} to {most}, not '555")
    for value in (math.nan, math.inf, -0.5):
        assert refused(**{name: value}).endswith(f"number from {least} to {most}, not {value}")
    if name != "concurrency":
        assert refused(**{name: None}) == f"{name} must be a whole number from {least} to {most}, not None"


def test_seconds_may_have_a_decimal_point_and_nothing_else() -> None:
    client_with(request_timeout_seconds=1.5, max_wait_seconds=2.5).close()
    assert refused(request_timeout_seconds=0.5) == "request_timeout_seconds must be a number from 1 to 3600, not 0.5"
    assert refused(page_size=2.5) == "page_size must be a whole number from 1 to 200, not 2.5"


INSTANT = "it must be an ISO 8601 date-time such as 2026-10-01T00:00:00Z"
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no text as query": ({"query": None}, "query must be a text, in quotes"),
    "a number as query": ({"query": 7}, of_the_setting(query=7)),
    "an empty query": ({"query": ""}, of_the_setting(query="")),
    "a blank query": ({"query": " \n"}, of_the_setting(query=" ")),
    "only negations": ({"query": "NOT status:completed"}, of_the_setting(query="NOT status:completed")),
    "an open parenthesis": ({"query": "(a"}, of_the_setting(query="(a")),
    "too few results": ({"max_results": -1}, "max_results must be a whole number of at least 0, not -1"),
    "half a result": ({"max_results": 2.5}, "max_results must be a whole number of at least 0, not 2.5"),
    "a number as start": ({"start": 5}, f"start is 5; {INSTANT}"),
    "a day as end": ({"end": date(2026, 10, 1)}, f"end is datetime.date(2026, 10, 1); {INSTANT}"),
    "bytes as start": ({"start": b"2026-10-01"}, f"start is b'2026-10-01'; {INSTANT}"),
    "no date": ({"start": "yesterday"}, f"start is 'yesterday'; {INSTANT}"),
    "no month": ({"end": "2026-13-01"}, f"end is '2026-13-01'; {INSTANT}"),
    "before the year 1": (
        {"start": "0001-01-01T00:00:00+05:00"},
        f"start is '0001-01-01T00:00:00+05:00'; {INSTANT}",
    ),
    "after the year 9999": (
        {"end": "9999-12-31T23:59:59-05:00"},
        f"end is '9999-12-31T23:59:59-05:00'; {INSTANT}",
    ),
    "an empty range": ({"start": "2026-10-05", "end": "2026-10-05"}, "end must be after start"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_of_the_generator_are_refused_at_the_call(name: str) -> None:
    arguments, says = WRONG[name]
    with client_with() as client, pytest.raises(ConfigurationError) as caught:
        client.stream_conversations(**arguments)
    assert str(caught.value) == says
    assert isinstance(caught.value, QueryError) is ("query" in arguments)


@pytest.mark.parametrize("query", [None, "", "NOT a"])
def test_a_glimpse_takes_no_other_query(query: Any) -> None:
    with client_with(max_retries=0) as client, pytest.raises(QueryError):
        client.glimpse(query)
