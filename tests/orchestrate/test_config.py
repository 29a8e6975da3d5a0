"""How the DAGs are configured: their JSON, and Airflow's connections as Meltano's environment."""

from __future__ import annotations

import ast
import sys
from typing import Any

import pytest

from tests.orchestrate.dags import DAGS, Login, config, configuration, connections


def test_the_dags_import_neither_the_tap_nor_what_is_not_there() -> None:
    for path in DAGS.glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        allowed = {*sys.stdlib_module_names, *(each.stem for each in DAGS.glob("*_*_*.py"))} | (
            {"airflow"} if path.stem == "genesys_search" else set()
        )
        assert {name.partition(".")[0] for name in names} <= allowed, path


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            '{"project": ',
            "the file a.json holds no JSON (Expecting value: line 1 column 13 (char 12)). What to do: correct it",
        ),
        ("[]", "the file a.json holds no JSON object"),
        ("{}", "the file a.json lacks project, the folder of the Meltano project"),
        ('{"project": "/p", "tap": 1}', "the file a.json: tap has the wrong type"),
        ('{"project": true}', "the file a.json: project has the wrong type"),
        ('{"project": ""}', "the file a.json lacks project, the folder of the Meltano project"),
        ('{"project": "/p", "window_days": true}', "the file a.json: window_days has the wrong type"),
        (
            '{"project": "/p", "tap": {"client_secret": "hidden"}}',
            "the file a.json holds client_secret, which belongs into an Airflow connection",
        ),
        (
            '{"project": "/p", "tap": {"Client_Secret": "hidden"}}',
            "the file a.json holds Client_Secret, which belongs into an Airflow connection",
        ),
        (
            '{"project": "/p", "tap": {"max_results": 1000}}',
            (
                "the file a.json holds max_results, by which a window would end early, unseen by the seam."
                " What to do: take out max_results"
            ),
        ),
        (
            '{"project": "/p", "target": {"password": "hidden"}}',
            "the file a.json holds password, which belongs into an Airflow connection",
        ),
        *(
            (f'{{"project": "/p", "{name}": {days}}}', "the file a.json: reread_days and window_days must be above 0")
            for name in ("reread_days", "window_days")
            for days in ("0", "NaN", "Infinity")
        ),
        *(
            (
                f'{{"project": "/p", "notify": [{each}]}}',
                "the file a.json: each of notify needs class, the path of a notifier",
            )
            for each in ("{}", "1", '{"class": "Notifier"}')
        ),
    ],
)
def test_a_configuration_that_is_none(text: str, line: str) -> None:
    with pytest.raises(configuration.Failure) as caught:
        configuration.Config.parse(text, "the file a.json")
    assert str(caught.value) == line
    assert caught.value.is_final


def test_a_name_that_is_unknown_is_told_with_those_that_are_known() -> None:
    with pytest.raises(
        configuration.Failure, match=r"^the file a\.json has projekt, which is none of .*project, .*window_days$"
    ):
        configuration.Config.parse('{"projekt": "/p"}', "the file a.json")


@pytest.mark.parametrize("uri", ["file:///shared/state", "", "/state"])
def test_a_state_backend_of_one_machine_is_refused(uri: str) -> None:
    with pytest.raises(configuration.Failure, match="all workers must share it"):
        config(state_backend_uri=uri)


def test_a_state_backend_that_all_reach_is_passed_on() -> None:
    for uri in ("s3://bucket/state", "systemdb"):
        assert configuration.variables(config(state_backend_uri=uri), connections())["MELTANO_STATE_BACKEND_URI"] == uri


def test_a_file_that_is_no_text() -> None:
    with pytest.raises(configuration.Failure, match=r"^the file a\.json holds no JSON \(.*can't decode byte 0xe9"):
        configuration.Config.parse(b'{"project": "/p\xe9"}', "the file a.json")


def test_each_window_of_each_backfill_has_a_state_of_its_own() -> None:
    made = config(environment="prod")
    names = [
        made.window_state(backfill, start)
        for backfill in ("manual__2026-11-01T00:00:00+00:00", "manual__2026-11-02T00:00:00+00:00")
        for start in ("2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z")
    ]
    assert names[0] == "prod:backfill-manual__2026-11-01T00-00-00-00-00-2026-01-01T00-00-00.000Z"
    assert len({*names, made.sync_state}) == 5
    assert made.sync_state == "prod:tap-genesys-search-to-target-postgres"


def test_a_system_database_of_one_machine_is_refused() -> None:
    for login in (Login("sqlite"), Login(host=None)):
        with pytest.raises(configuration.Failure, match=r"genesys_search_meltano \(type .*\) is not to a PostgreSQL"):
            configuration.variables(config(), connections(genesys_search_meltano=login))
    assert configuration.postgres_url("a", Login("generic")) == configuration.postgres_url("a", Login())


def test_all_settings_and_secrets_go_into_the_environment() -> None:
    found = configuration.variables(
        config(tap={"query": "a:b", "page_size": 50, "stream_maps": {"x": None}}, redis_conn_id="redis"),
        connections(redis=Login("redis", host="cache", login=None, password="r:d", schema=None, port=None)),
    )
    assert found["TAP_GENESYS_SEARCH_CLIENT_ID"] == "client"
    assert found["TAP_GENESYS_SEARCH_CLIENT_SECRET"] == "sec ret"
    assert found["TAP_GENESYS_SEARCH_QUERY"] == "a:b"
    assert found["TAP_GENESYS_SEARCH_PAGE_SIZE"] == "50"
    assert found["TAP_GENESYS_SEARCH_STREAM_MAPS"] == '{"x": null}'
    assert found["TAP_GENESYS_SEARCH_REDIS_URL"] == "redis://:r%3Ad@cache:6379/0"
    assert found["TARGET_POSTGRES_SQLALCHEMY_URL"] == (
        "postgresql+psycopg://us%2Fer:p%40ss%3Aw%2Frd@db.example.org:5432/warehouse?options=-c%20timezone%3DUTC"
    )
    assert found["MELTANO_DATABASE_URI"].rpartition("?")[0].endswith("/meltano")
    assert configuration.secrets_in(found) == ["p%40ss%3Aw%2Frd", "p@ss:w/rd", "sec ret", "r%3Ad", "r:d"]


def test_a_socket_is_no_host() -> None:
    url = configuration.postgres_url("a", Login(host="/run/pg", password=None, port=None))
    assert url == "postgresql+psycopg://us%2Fer@/warehouse?options=-c%20timezone%3DUTC&host=%2Frun%2Fpg"


@pytest.mark.parametrize(
    ("extra", "query"),
    [
        ({"sslmode": "require"}, "sslmode=require&options=-c%20timezone%3DUTC"),
        # Without the zone target-postgres would write shifted timestamps.
        ({"options": "-c lock_timeout=9s"}, "options=-c%20lock_timeout%3D9s%20-c%20timezone%3DUTC"),
    ],
)
def test_what_else_a_connection_to_postgresql_says(extra: dict[str, Any], query: str) -> None:
    assert configuration.postgres_url("a", Login(extra_dejson=extra)).partition("?")[2] == query


@pytest.mark.parametrize(
    ("login", "url"),
    [
        (Login("redis", "cache", "me", "r:d", None, 6380), "redis://me:r%3Ad@cache:6380/0"),
        (Login("redis", None, None, None, "3", None), "redis://localhost:6379/3"),
        (Login("rediss", "cache", None, "r", None, None), "rediss://:r@cache:6379/0"),
        (Login("redis", "cache", None, "r", "3", None, {"ssl": True, "db": 5}), "rediss://:r@cache:6379/5"),
        (
            Login(
                "redis", "cache", None, None, None, None, {"ssl": True, "ssl_ca_certs": "/a b.pem", "ssl_keyfile": ""}
            ),
            "rediss://cache:6379/0?ssl_ca_certs=%2Fa%20b.pem",
        ),
        (Login("redis", "cache", None, None, None, None, {"ssl_cert_reqs": "none"}), "redis://cache:6379/0"),
        (Login("redis", "::1", None, None, None, None), "redis://[::1]:6379/0"),
        (Login("redis", "[::1]", None, None, None, 1), "redis://[::1]:1/0"),
    ],
)
def test_a_connection_to_redis(login: Login, url: str) -> None:
    assert configuration.redis_url(login) == url


@pytest.mark.parametrize("missing", [{"login": None, "password": "a"}, {"login": "client", "password": None}])
def test_secrets_that_are_missing(missing: dict[str, Any]) -> None:
    with pytest.raises(configuration.Failure, match="the connection genesys_search lacks login or password"):
        configuration.variables(config(), connections(genesys_search=Login("http", **missing)))


def test_a_password_in_an_extra_is_a_secret_too() -> None:
    found = configuration.variables(
        config(), connections(genesys_search_meltano=Login(password=None, extra_dejson={"sslpassword": "k&y"}))
    )
    assert {"k%26y", "k&y"} <= set(configuration.secrets_in(found))
