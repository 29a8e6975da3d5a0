"""Every fault is visible to a client."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tap_genesys_search.sandbox import Faults, SandboxServer
from tap_genesys_search.sandbox.limits import RateLimit
from tap_genesys_search.sandbox.web import Refusal

from .api import BY_ID, Api, until

if TYPE_CHECKING:
    from tap_genesys_search.sandbox.faults import Kind

    from .conftest import Sandbox


def test_a_window_limits_searches(sandbox: Sandbox) -> None:
    server, api = sandbox(faults=Faults(requests_per_minute=5, rate_window_seconds=60))
    answers = [api.ask(size=1) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    assert [answer.headers["inin-ratelimit-count"] for answer in answers] == ["1", "2", "3", "4", "5", "5", "5"]
    assert answers[0].headers["inin-ratelimit-allowed"] == "5"
    seconds = answers[-1].headers["Retry-After"]
    assert 30 < int(seconds) <= int(answers[0].headers["inin-ratelimit-reset"]) <= 60
    assert answers[-1].headers["inin-ratelimit-reset"] == seconds
    body = answers[-1].json()
    assert (body["status"], body["code"]) == (429, "too.many.requests.retry.after")
    assert body["message"] == f"Rate limit exceeded the maximum. Retry the request in [{seconds}] seconds"
    assert body["contextId"] == answers[-1].headers["ININ-Correlation-Id"]
    assert server.stats["status_429"] == 2


def test_a_window_passes() -> None:
    limit = RateLimit(Faults(requests_per_minute=300, rate_window_seconds=1))
    waits = [limit.take(10 + number / 10).wait for number in range(7)]
    assert waits[:5] == [None] * 5
    assert waits[5:] == pytest.approx([0.5, 0.4])
    assert [limit.take(11).wait for _ in range(6)] == [None] * 5 + [1]


def test_another_client_uses_its_share_and_headers_may_be_silent(sandbox: Sandbox) -> None:
    faults = Faults(requests_per_minute=10, another_client_share=0.6, rate_headers=False)
    _, api = sandbox(faults=faults)
    answers = [api.ask(size=1) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429]
    assert not [name for answer in answers for name in answer.headers if name.lower().startswith("inin-ratelimit")]


def test_a_token_bucket_limits_searches(sandbox: Sandbox) -> None:
    _, api = sandbox(faults=Faults(bucket_rate=0.01, bucket_burst=3))
    answers = [api.ask(size=1) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 2
    assert 50 < int(answers[-1].headers["Retry-After"]) <= 100


def test_a_token_bucket_fills() -> None:
    limit = RateLimit(Faults(bucket_rate=5, bucket_burst=3))
    for now, full in ((10.0, 3), (10.25, 1), (99.0, 3)):
        waits = [limit.take(now).wait for _ in range(full + 1)]
        assert waits[:full] == [None] * full
        assert waits[full] == pytest.approx(0.15 if now == 10.25 else 0.2)


@pytest.mark.parametrize("style", ["seconds", "date", "none", "mixed"])
def test_retry_after_has_styles(sandbox: Sandbox, style: str) -> None:
    _, api = sandbox(faults=Faults(p_429=1, retry_after=style, retry_after_seconds=7))
    answers = [api.ask() for _ in range(12)]
    told = [answer.headers.get("Retry-After") for answer in answers]
    kinds = {"none" if each is None else "seconds" if each.isdecimal() else "date" for each in told}
    assert kinds == ({"none", "seconds", "date"} if style == "mixed" else {style})
    for each, answer in zip(told, answers, strict=True):
        if each is not None and each.isdecimal():
            assert each == "7"
        elif each is not None:
            ahead = parsedate_to_datetime(each) - parsedate_to_datetime(answer.headers["Date"])
            assert 5 < ahead.total_seconds() <= 9
    for each, answer in zip(told, answers, strict=True):
        code = "too.many.requests" if each is None else "too.many.requests.retry.after"
        assert answer.json()["code"] == code
        assert ("[7] seconds" in answer.json()["message"]) == (each is not None)


def test_server_errors_and_outages(sandbox: Sandbox) -> None:
    server, api = sandbox(faults=Faults(p_5xx=1))
    assert {(answer.status_code, answer.json()["code"]) for answer in (api.ask() for _ in range(30))} == {
        (500, "internal.server.error"),
        (502, "service.unavailable"),
        (503, "service.unavailable"),
        (504, "request.timeout"),
    }
    server.faults.merge({"p_5xx": 0, "outage": True})
    assert {api.ask().status_code for _ in range(5)} == {503}
    assert api.ask_token().status_code == 200
    server.faults.token_faults = True
    assert api.ask_token().status_code == 503


def test_a_proxy_answers_html(sandbox: Sandbox) -> None:
    _, api = sandbox(faults=Faults(p_html=1))
    answers = [api.ask() for _ in range(12)]
    assert {answer.status_code for answer in answers} == {200, 502}
    assert {answer.headers["Content-Type"] for answer in answers} == {"text/html"}
    assert all(answer.text.startswith("<!DOCTYPE html>") for answer in answers)


def test_connections_drop_without_an_answer(sandbox: Sandbox) -> None:
    server, api = sandbox(faults=Faults(p_drop=1))
    with pytest.raises(requests.exceptions.ConnectionError):
        api.ask()
    server.faults.p_drop = 0
    assert api.ask().status_code == 200
    assert server.stats["fault_drop"] == 1


def test_bodies_are_cut_off(sandbox: Sandbox) -> None:
    server, api = sandbox(faults=Faults(p_half_body=1))
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        api.ask()
    server.faults.p_half_body = 0
    assert len(api.search()["results"]) == 200


def test_answers_hang_and_a_stop_does_not_wait_for_them(sandbox: Sandbox) -> None:
    server, api = sandbox(faults=Faults(p_hang=1, hang_seconds=60))
    with pytest.raises(requests.exceptions.ReadTimeout):
        api.ask(timeout=0.2)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(api.ask, timeout=20)
        until(lambda: server.stats["fault_hang"] == 2)
        before = time.monotonic()
        server.stop()
        assert time.monotonic() - before < 5
        assert isinstance(waiting.exception(), requests.exceptions.ConnectionError)


def test_an_answer_comes_after_it_hung(sandbox: Sandbox) -> None:
    _, api = sandbox(faults=Faults(p_hang=1, hang_seconds=0.2))
    before = time.monotonic()
    assert len(api.search()["results"]) == 200
    assert time.monotonic() - before >= 0.2


def test_latency_and_requests_in_flight(sandbox: Sandbox) -> None:
    server, _ = sandbox(faults=Faults(latency_ms=100))

    def timed(api: Api) -> float:
        with api:
            before = time.monotonic()
            api.search()
            return time.monotonic() - before

    with ThreadPoolExecutor(4) as pool:
        assert min(pool.map(timed, [Api(server) for _ in range(4)])) >= 0.1
    assert server.stats["max_in_flight"] >= 2


def test_empty_pages_carry_a_token(sandbox: Sandbox) -> None:
    _, api = sandbox(faults=Faults(p_empty_with_token=1))
    for number in (1, 5):
        page = api.search(page=number)
        assert page["results"] == []
        assert page["nextPage"]


def test_wide_ranges_come_empty_or_time_out(sandbox: Sandbox) -> None:
    server, api = sandbox(faults=Faults(empty_above_seconds=86_400))
    wide = "(*) AND timestamp:[2026-10-01T00:00:00.000Z TO 2026-10-04T00:00:00.000Z}"
    narrow = "(*) AND timestamp:[2026-10-01T00:00:00.000Z TO 2026-10-02T00:00:00.000Z}"
    assert (api.search(wide)["results"], "nextPage" in api.search(wide)) == ([], True)
    assert api.search(narrow)["results"]
    server.faults.merge({"empty_above_seconds": 0, "timeout_above_seconds": 86_400})
    assert (api.ask(wide).status_code, api.ask(wide).json()["code"]) == (504, "request.timeout")
    assert api.search(narrow)["results"]


def test_pages_have_a_depth_cap(sandbox: Sandbox) -> None:
    _, api = sandbox(faults=Faults(depth_cap=400))
    second = api.search(page=api.search()["nextPage"])
    answer = api.ask(page=second["nextPage"])
    assert answer.status_code == 400
    assert answer.json()["code"] == "pagination.limit"
    assert answer.json()["message"] == "Pagination may not exceed 400 results"


def test_a_token_request_meets_faults_only_when_told(sandbox: Sandbox) -> None:
    server, api = sandbox(faults=Faults(p_drop=1))
    assert api.ask_token().status_code == 200
    server.faults.token_faults = True
    with pytest.raises(requests.exceptions.ConnectionError):
        api.ask_token()


def test_lies_about_order_and_range(sandbox: Sandbox) -> None:
    server, api = sandbox(faults=Faults(ignore_sort=True))
    stamps = [record["timestamp"] for record in api.search()["results"]]
    assert stamps == sorted(stamps, reverse=True)
    server.faults.merge({"ignore_sort": False, "ignore_range": True})
    assert api.search("(*) AND timestamp:[2019-01-01T00:00:00Z TO 2019-01-02T00:00:00Z}")["results"]


def test_lies_about_pages(sandbox: Sandbox) -> None:
    server, api = sandbox(faults=Faults(ignore_size=True))
    assert len(api.search()["results"]) == 50
    server.faults.merge({"ignore_size": False, "endless": True})
    assert "nextPage" in api.search(page=99)
    server.faults.merge({"endless": False, "repeat_token": True})
    token = api.search()["nextPage"]
    assert api.search(page=token)["nextPage"] == token
    server.faults.merge({"repeat_token": False, "duplicate_ids": True})
    for size in (200, 2, 1):
        page = api.search(size=size)
        assert len({record["id"] for record in page["results"]}) == len(page["results"]) - 1


def test_lies_about_ids(sandbox: Sandbox) -> None:
    server, api = sandbox(faults=Faults(sort_by_id_off=True))
    assert (api.ask(sort=BY_ID).status_code, api.ask(sort=BY_ID).json()["code"]) == (400, "invalid.sort")
    instant = "(*) AND timestamp:[2026-10-01T00:00:00.000Z TO *] AND conversationId:{conv-8 TO *]"
    honest = api.search(instant)["results"]
    assert all(record["id"] > "conv-8" for record in honest)
    server.faults.id_range_ignored = True
    assert any(record["id"] < "conv-8" for record in api.search(instant)["results"])


def test_an_error_may_come_as_200(sandbox: Sandbox) -> None:
    _, api = sandbox(faults=Faults(error_body_200=True))
    answer = api.ask()
    assert answer.status_code == 200
    assert answer.json()["status"] == 500
    assert "results" not in answer.json()


def _course(api: Api) -> list[Any]:
    seen: list[Any] = []
    for _ in range(60):
        try:
            answer = api.ask(size=1, timeout=30)
            seen.append((answer.status_code, answer.headers.get("Content-Type"), answer.headers.get("Retry-After")))
        except requests.exceptions.RequestException as error:
            seen.append(type(error).__name__)
    return seen


def test_the_same_seed_brings_the_same_faults(sandbox: Sandbox) -> None:
    def faults(seed: int) -> Faults:
        mixed = "mixed"
        return Faults(seed=seed, p_429=0.2, p_5xx=0.2, p_html=0.1, p_drop=0.1, p_half_body=0.1, retry_after=mixed)

    courses = []
    for seed in (1, 1, 2):
        server, api = sandbox(faults=faults(seed))
        courses.append([str(each)[:40] for each in _course(api) if "GMT" not in str(each)])
        assert server.stats["searches"] >= 60
    assert courses[0] == courses[1]
    assert courses[0] != courses[2]
    assert len(set(courses[0])) > 6


@pytest.mark.parametrize("connections", [1, 4])
def test_what_hangs_and_what_a_limit_refuses_changes_no_fault_after_it(sandbox: Sandbox, connections: int) -> None:
    """The n-th request that is admitted meets the n-th fault, whoever sends it and however long others take."""
    calm = Faults(seed=7, p_429=0.1, p_5xx=0.2, p_html=0.1, p_hang=0.2, p_empty_with_token=0.1, retry_after="mixed")
    limit: dict[str, Any] = {"hang_seconds": 0.02, "requests_per_minute": 3_000.0, "rate_window_seconds": 0.1}
    courses = []
    for changes in ({"total_noise": 0.0, "hang_seconds": 0.0}, limit):
        server, api = sandbox(faults=replace(calm, **changes))
        met = _watch(server)

        def ask(_: int, server: SandboxServer = server, api: Api = api, met: list[Any] = met) -> None:
            with Api(server, log_in=False) as own:
                own.session.headers.update(api.session.headers)
                while len(met) < 120:
                    own.ask(size=1)

        with ThreadPoolExecutor(connections) as pool:
            list(pool.map(ask, range(connections)))
        courses.append(met[:120])
        refused = server.stats["status_429"] - server.stats["fault_429"]
        assert (refused > 0) == (changes is limit)
    assert courses[0] == courses[1]
    assert len({str(each) for each in courses[0]}) == 12


def _watch(server: SandboxServer) -> list[Any]:
    """Give a list that gets what each admitted search meets, in the order in which they are admitted."""
    platform = server.app.platform
    met: list[Any] = []
    meet = platform.meet

    async def watched(kind: Kind | None) -> None:
        number = len(met)
        met.append((kind, None, None))
        try:
            await meet(kind)
        except Refusal as refusal:
            style = next((("date" if b"GMT" in value else "seconds") for _, value in refusal.headers), None)
            met[number] = kind, refusal.status, style
            raise

    platform.meet = watched  # type: ignore[method-assign]
    return met


def test_faults_change_by_the_admin_route(sandbox: Sandbox) -> None:
    _, api = sandbox()
    changed = api.admin("faults", {"p_5xx": 1, "retry_after": "date"})
    assert (changed["p_5xx"], changed["retry_after"], changed["p_429"]) == (1, "date", 0)
    assert api.ask().status_code >= 500
    assert api.admin("faults")["p_5xx"] == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"p_teapot": 1}, "unknown fault 'p_teapot'"),
        ({"p_429": 2}, "p_429 must be from 0 to 1"),
        ({"p_429": "1"}, "p_429 must be a number"),
        ({"latency_ms": -1}, "latency_ms must be from 0 to 1,000,000,000, not -1.0"),
        ({"retry_after": "soon"}, "retry_after must be one of"),
        ({"outage": 1}, "outage must be true or false"),
        ({"depth_cap": 1.5}, "depth_cap must be a whole number"),
        ({"p_429": 0.6, "p_drop": 0.5}, "p_drop, p_half_body, p_hang, p_empty_with_token add up to 1.1, more than 1"),
        (
            {"requests_per_minute": 300, "rate_window_seconds": 0.1},
            "requests_per_minute 300 in a rate_window_seconds of 0.1 allows no search",
        ),
        ({"bucket_rate": 5, "bucket_burst": 0.5}, "bucket_burst must be 1 or more, not 0.5"),
        ({"clock_offset_seconds": 10**18}, "clock_offset_seconds must be from -1,000,000,000 to 1,000,000,000"),
        ([1], "must be a JSON object"),
    ],
)
def test_a_wrong_fault_changes_nothing(sandbox: Sandbox, change: object, told: str) -> None:
    _, api = sandbox()
    before = api.admin("faults")
    sent = {"outage": True, **change} if isinstance(change, dict) else change
    answer = api.session.post(f"{api.base_url}/admin/faults", json=sent, timeout=5)
    assert answer.status_code == 400
    assert told in answer.json()["message"]
    assert api.admin("faults") == before


def test_a_wrong_fault_is_refused_by_the_constructor() -> None:
    with pytest.raises(ValueError, match="p_drop must be from 0 to 1"):
        Faults(p_drop=1.5)
    with pytest.raises(ValueError, match="hang_seconds must be from 0 to"):
        Faults(hang_seconds=-math.pi)
    for value in (math.inf, math.nan):
        with pytest.raises(ValueError, match="retry_after_seconds must be from 0 to"):
            Faults(retry_after_seconds=value)


def test_probabilities_may_add_up_to_one_and_the_smallest_limit_allows_one() -> None:
    tenths: dict[str, Any] = dict.fromkeys(("p_429", "p_5xx", "p_html", "p_drop", "p_half_body", "p_hang"), 0.1)
    Faults(**tenths, p_empty_with_token=0.4)
    Faults(requests_per_minute=600, rate_window_seconds=0.1, bucket_rate=5, bucket_burst=1)
    # What is off is not looked at.
    Faults(rate_window_seconds=0, bucket_burst=0)
