"""The search contract, over HTTP."""

from __future__ import annotations

import base64
import time
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest
import requests

from tap_genesys_search.sandbox import Client, Faults

from .api import BY_ID, DESC

if TYPE_CHECKING:
    from .conftest import Sandbox


def test_a_page_has_the_shape_of_the_contract(sandbox: Sandbox) -> None:
    _, api = sandbox()
    page = api.search()
    assert (page["page"], page["pageSize"], len(page["results"])) == (1, 200, 200)
    assert base64.b64decode(page["nextPage"]) == b'{"page":2,"size":200}'
    record = page["results"][0]
    assert list(record) == ["type", "id", "conversationId", "timestamp", "fields"]
    assert record["type"] == "conversation"
    assert record["id"] == record["conversationId"]
    assert record["id"].startswith("conv-")
    assert len(record["timestamp"]) == len("2026-10-03T08:15:02.417Z")
    assert {"channelType", "status", "durationSeconds", "queueName", "agentName"} <= set(record["fields"])


def test_following_tokens_brings_all_in_order_and_ends_without_a_token(sandbox: Sandbox) -> None:
    server, api = sandbox()
    pages = list(api.follow())
    assert [page["page"] for page in pages] == [1, 2, 3, 4, 5]
    assert ["nextPage" in page for page in pages] == [True] * 4 + [False]
    records = [record for page in pages for record in page["results"]]
    stamps = [record["timestamp"] for record in records]
    assert stamps == sorted(stamps)
    assert {record["id"]: record["timestamp"] for record in records} == {
        name: stamp for name, (stamp, _) in server.truth().items()
    }
    assert len(records) == 1_000


def test_descending_is_the_reverse(sandbox: Sandbox) -> None:
    _, api = sandbox(conversations=450)
    assert api.all_ids(sort=DESC) == api.all_ids()[::-1]


def test_a_page_may_be_asked_by_number(sandbox: Sandbox) -> None:
    _, api = sandbox()
    second = api.search(page=2)
    assert second["results"] == api.search(page=api.search()["nextPage"])["results"]
    beyond = api.search(page=9)
    assert beyond["results"] == []
    assert "nextPage" not in beyond


def test_an_empty_range_is_an_empty_page_without_a_token(sandbox: Sandbox) -> None:
    _, api = sandbox()
    page = api.search("(*) AND timestamp:[2019-01-01T00:00:00.000Z TO 2019-01-02T00:00:00.000Z}")
    assert page["results"] == []
    assert page["total"] == 0
    assert "nextPage" not in page


def test_ranges_are_half_open(sandbox: Sandbox) -> None:
    _, api = sandbox()
    stamps = [record["timestamp"] for record in api.search()["results"]]
    low, high = stamps[10], stamps[20]

    def found(span: str) -> list[str]:
        return [record["timestamp"] for record in api.search(f"(*) AND timestamp:{span}")["results"]]

    assert found(f"[{low} TO {high}}}") == stamps[10:20]
    assert found(f"[{low} TO {high}]") == stamps[10:21]
    assert found(f"{{{low} TO {high}}}") == stamps[11:20]
    assert found(f"[* TO {high}}}") == stamps[:20]
    assert found(f'["{low}" TO "{high}"}}') == stamps[10:20]
    escaped = low.replace("-", r"\-").replace(":", r"\:")
    assert found(f"[{escaped} TO {high}}}") == stamps[10:20]


def test_total_is_near_but_not_exact(sandbox: Sandbox) -> None:
    server, api = sandbox()
    totals = {api.search(size=1)["total"] for _ in range(20)}
    assert len(totals) > 5
    assert all(970 <= total <= 1_030 for total in totals)
    server.faults.total_noise = 0
    assert {api.search(size=1)["total"] for _ in range(5)} == {1_000}


def test_ties_come_in_another_order_each_time(sandbox: Sandbox) -> None:
    _, api = sandbox(conversations=300, bursts=(("2026-10-03T10:00:00Z", 100),))
    query = "(*) AND timestamp:[2026-10-03T10:00:00.000Z TO 2026-10-03T10:00:00.001Z}"
    orders = [tuple(record["id"] for record in api.search(query)["results"]) for _ in range(4)]
    assert len(set(orders)) > 1
    assert len({frozenset(order) for order in orders}) == 1
    assert len(set(orders[0])) == 100


def test_following_tokens_through_ties_skips_some(sandbox: Sandbox) -> None:
    _, api = sandbox(conversations=1_000, bursts=(("2026-10-03T10:00:00Z", 900),))
    ids = api.all_ids()
    assert len(ids) == 1_000
    assert len(set(ids)) < 1_000


def test_replicas_have_a_few_orders_of_ties(sandbox: Sandbox) -> None:
    burst = (("2026-10-03T10:00:00Z", 900),)
    _, stable = sandbox(conversations=900, bursts=burst, tie_orders=1)
    assert len(set(stable.all_ids())) == 900
    _, api = sandbox(conversations=900, bursts=burst, tie_orders=3)
    assert len({tuple(record["id"] for record in api.search()["results"]) for _ in range(40)}) == 3


def test_sorting_by_id_inside_an_instant_reads_it_whole(sandbox: Sandbox) -> None:
    server, api = sandbox(conversations=1_000, bursts=(("2026-10-03T10:00:00Z", 700),))
    instant = "(*) AND timestamp:[2026-10-03T10:00:00.000Z TO 2026-10-03T10:00:00.001Z}"
    burst = {name for name, (stamp, _) in server.truth().items() if stamp == "2026-10-03T10:00:00.000Z"}
    page = api.search(instant, sort=BY_ID)
    found = [record["id"] for record in page["results"]]
    while "nextPage" in page:
        page = api.search(f"{instant} AND conversationId:{{{found[-1]} TO *]", sort=BY_ID)
        found += [record["id"] for record in page["results"]]
    assert found == sorted(burst)
    assert len(found) == 700
    assert api.search(f"{instant} AND NOT conversationId:[* TO *]", sort=BY_ID)["results"] == []


def test_records_may_lack_an_id(sandbox: Sandbox) -> None:
    server, api = sandbox(missing_ids=0.2, missing_plain_ids=0.1)
    records = [record for page in api.follow() for record in page["results"]]
    without = {record["id"] for record in records if "conversationId" not in record}
    assert 100 < len(without) < 300
    assert any("id" not in record for record in records)
    assert all("id" in record or "conversationId" in record for record in records)
    seconds = "timestamp:[2026-10-01T00:00:00.000Z TO 2026-10-08T00:00:00.000Z}"
    assert set(api.all_ids(f"(*) AND {seconds} AND NOT conversationId:[* TO *]")) == without
    assert set(api.all_ids(f"{seconds} AND NOT conversationId:[* TO *]", sort=BY_ID)) == without
    assert len(server.truth()) == 1_000


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({"type": "agent"}, "bad.request", "type"),
        ({"size": 0}, "bad.request", "size"),
        ({"size": 201}, "bad.request", "size"),
        ({"size": "200"}, "bad.request", "size"),
        ({"size": True}, "bad.request", "size"),
        ({"query": None}, "bad.request", "query"),
        ({"sort": []}, "invalid.sort", "sort"),
        ({"sort": [{"field": "timestamp", "direction": "up"}]}, "invalid.sort", "direction"),
        ({"sort": [{"field": "durationSeconds", "direction": "asc"}]}, "invalid.sort", "durationSeconds"),
        ({"page": 0}, "invalid.page", "page"),
        ({"page": "not a token"}, "invalid.page", "token"),
        ({"page": base64.b64encode(b'{"page":"2","size":200}').decode()}, "invalid.page", "token"),
        ({"page": base64.b64encode(b'{"page":2,"size":500}').decode()}, "invalid.page", "token"),
    ],
)
def test_a_wrong_search_is_refused_in_the_platform_s_shape(
    sandbox: Sandbox, change: dict[str, object], code: str, told: str
) -> None:
    _, api = sandbox()
    good: dict[str, object] = {
        "query": "*",
        "type": "conversation",
        "size": 200,
        "sort": [{"field": "timestamp", "direction": "asc"}],
    }
    answer = api.post({**good, **change})
    body = answer.json()
    assert answer.status_code == 400
    assert set(body) == {"message", "code", "status", "contextId", "details", "errors"}
    assert (body["status"], body["code"]) == (400, code)
    assert told in body["message"]
    assert answer.headers["ININ-Correlation-Id"] == body["contextId"]


def test_what_is_no_json_or_no_route_is_refused(sandbox: Sandbox) -> None:
    _, api = sandbox()
    assert api.post([1]).json()["code"] == "bad.request"
    url = f"{api.base_url}/api/v2/search"
    assert api.session.post(url, data=b"{", timeout=5).json()["code"] == "bad.request"
    assert api.session.post(url, data=b"\xff", timeout=5).json()["code"] == "bad.request"
    assert api.session.get(url, timeout=5).status_code == 405
    elsewhere = api.session.get(f"{api.base_url}/api/v2/users", timeout=5)
    assert (elsewhere.status_code, elsewhere.json()["status"]) == (404, 404)


@pytest.mark.parametrize("deep", [b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_nested_too_deeply_is_refused(sandbox: Sandbox, deep: bytes) -> None:
    _, api = sandbox()
    for path in ("api/v2/search", "admin/faults", "admin/movement", "admin/move"):
        answer = api.session.post(f"{api.base_url}/{path}", data=deep, timeout=5)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad.request")
    token = api.ask(page=base64.b64encode(deep).decode())
    assert (token.status_code, token.json()["code"]) == (400, "invalid.page")
    for query in ("(" * 400 + "a" + ")" * 400, "(NOT " * 60 + "a" + ")" * 60):
        answer = api.ask(query)
        assert answer.status_code == 400
        assert "too deeply nested at position" in answer.json()["message"]
    assert api.ask("(NOT " * 20 + "a" + ")" * 20).status_code == 200


@pytest.mark.parametrize("query", ["status:(", "a AND", "timestamp:[yesterday TO *]", "a~2", ""])
def test_a_bad_query_names_the_place(sandbox: Sandbox, query: str) -> None:
    _, api = sandbox()
    answer = api.ask(f"(*) AND {query}" if query else "")
    assert answer.status_code == 400
    assert answer.json()["code"] == "bad.request"
    assert "at position " in answer.json()["message"]


def test_the_position_is_that_of_the_query_as_it_was_sent(sandbox: Sandbox) -> None:
    _, api = sandbox()
    query = "a && b && timestamp:[2026-10-03T08:15:02+00:00 TO *] ) c"
    message = api.ask(query).json()["message"]
    assert f"unexpected ')' at position {query.index(')')}" in message


@pytest.mark.parametrize(
    "query", ["   (a~2) AND timestamp:[2026-10-01 TO *]", " \n a:b AND (c~2) AND timestamp:[* TO *]"]
)
def test_leading_blanks_move_no_position(sandbox: Sandbox, query: str) -> None:
    _, api = sandbox()
    place = query.index("(") + 1
    assert f"at position {place}, near " in api.ask(query).json()["message"]


def test_the_token_endpoint(sandbox: Sandbox) -> None:
    _, api = sandbox()
    answer = api.ask_token()
    assert answer.status_code == 200
    assert answer.json()["token_type"] == "bearer"
    assert answer.json()["expires_in"] == 86_400
    unknown = api.ask_token(client_id="nobody")
    assert unknown.status_code == 400
    assert unknown.json() == {"error": "invalid_client", "description": "client not found"}
    wrong = api.ask_token(client_secret="wrong")
    assert wrong.status_code == 401
    assert wrong.json() == {"error": "invalid_client", "description": "authentication failed"}
    assert api.ask_token(grant_type="password").json()["error"] == "unsupported_grant_type"
    scope = api.ask_token(scope="search:query users:write")
    assert (scope.status_code, scope.json()["status"]) == (403, 403)
    assert "users:write" in scope.json()["message"]


def test_the_client_may_come_by_basic_authentication(sandbox: Sandbox) -> None:
    _, api = sandbox(clients=(Client("an id", "a:secret"),), log_in=False)
    for identity, secret, status in (
        ("an id", "a:secret", 200),
        ("an%20id", "a%3Asecret", 200),
        ("an id", "x", 401),
        ("x", "x", 400),
    ):
        answer = requests.post(
            f"{api.base_url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(identity, secret),
            timeout=5,
        )
        assert answer.status_code == status
        answer.close()


def test_a_search_needs_a_token_that_may_search(sandbox: Sandbox) -> None:
    clients = (Client(), Client("idle", "idle-secret", may_search=False), Client("other", "o", scopes=("users:read",)))
    _, api = sandbox(clients=clients)
    assert api.ask().status_code == 200
    api.log_in(client_id="idle", client_secret="idle-secret")
    assert (api.ask().status_code, api.ask().json()["code"]) == (403, "missing.any.permissions")
    api.log_in(client_id="other", client_secret="o", scope="")
    assert api.ask().status_code == 403
    api.session.headers["Authorization"] = "Bearer made-up"
    assert (api.ask().status_code, api.ask().json()["code"]) == (401, "bad.credentials")
    del api.session.headers["Authorization"]
    assert api.ask().json()["code"] == "bad.credentials"


def test_tokens_die_early_when_told_to(sandbox: Sandbox) -> None:
    server, api = sandbox(faults=Faults(token_ttl_seconds=0.2))
    assert api.ask_token().json()["expires_in"] == 86_400
    time.sleep(0.25)
    assert api.ask().json()["code"] == "credentials.expired"
    server.faults.merge({"token_ttl_seconds": 90, "token_ttl_told": True})
    assert api.ask_token().json()["expires_in"] == 90
    api.log_in()
    assert api.ask().status_code == 200
    api.admin("tokens/expire", {})
    assert api.ask().json()["code"] == "credentials.expired"


def test_the_clock_may_be_off(sandbox: Sandbox) -> None:
    server, api = sandbox(faults=Faults(clock_offset_seconds=3_600))
    told = parsedate_to_datetime(api.ask().headers["Date"]).timestamp()
    assert told == pytest.approx(time.time() + 3_600, abs=5)
    before = set(server.truth())
    server.world.move(arrive=1)
    (new,) = set(server.truth()) - before
    made = datetime.fromisoformat(server.truth()[new][0]).timestamp()
    assert made == pytest.approx(time.time() + 3_600, abs=5)
