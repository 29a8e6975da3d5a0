"""The DAGs in a real Airflow, against the sandbox and PostgreSQL."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.variable import Variable
from airflow.settings import Session
from airflow.utils.state import DagRunState
from sqlalchemy import select

from tap_genesys_search.sandbox import Movement, SandboxServer, WorldConfig
from tests.airflow.story import PASSWORDS, Story, World, days_ago, postgres_connection
from tests.support.helpers import FAST, SECRET, check_hidden, truth
from tests.support.meltano import PROGRAMS, Meltano

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.airflow.field import Field
    from tests.airflow.mailbox import Mailbox
    from tests.support.helpers import Database

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def world() -> Iterator[World]:
    """A month, in which something moves and shows late at every search."""
    movement = Movement(arrive_every_search=2, move_every_search=6, late_every_search=1, late_max_seconds=5)
    with SandboxServer(WorldConfig(conversations=3000, days=30), movement=movement) as server:
        yield World(server)


@pytest.fixture
def project(tmp_path: Path, target_postgres: Path, database: Database, world: World) -> Path:
    """A Meltano project."""
    Meltano(tmp_path, target_postgres, database, world.server)
    return tmp_path


@pytest.fixture
def built(plain: Field, world: World, project: Path, database: Database, meltano_database: Database) -> Field:
    """Airflow with a Meltano project, a sandbox, a warehouse and Meltano's database behind it."""
    plain.patch.setenv("PATH", str(PROGRAMS), prepend=os.pathsep)
    plain.patch.setenv("PYTHONWARNINGS", "")
    plain.connections["genesys_search_warehouse"] = postgres_connection(database, PASSWORDS["warehouse"])
    plain.connections["genesys_search_meltano"] = postgres_connection(meltano_database, PASSWORDS["meltano"])
    plain.config["project"] = str(project)
    plain.config["tap"] = {"base_url": world.server.base_url, "requests_per_minute": FAST, "page_size": 50}
    plain.config["tap"]["start_date"] = days_ago(47)
    plain.config["target"] = {"batch_size_rows": 500}
    plain.write()
    return plain


@pytest.fixture
def story(
    built: Field,
    world: World,
    database: Database,
    meltano_database: Database,
    mailbox: Mailbox,
) -> Story:
    """All that the story needs."""
    return Story(built, world, database, meltano_database, mailbox)


def test_a_backfill_that_hands_over(story: Story, caplog: pytest.LogCaptureFixture) -> None:
    """A worker dies, a window is cleared, the world moves all along: nothing is lost, nothing is stale."""
    server = story.world.server
    run = story.backfill()
    name = f"{run.dag_id}:{run.run_id}"
    plan = json.loads(Variable.get(name))
    story.check_seam(plan)

    server.world.move(arrive=50, change=300, late=20)
    story.clear(run, plan)
    assert json.loads(Variable.get(name)) == plan
    story.check_seam(plan)

    server.world.quiet()
    # The platform's clock tells whole seconds.
    time.sleep(1.1)
    story.outlive()
    assert story.field.dag("sync").test().state == DagRunState.SUCCESS
    assert story.database.table() == truth(server)
    stored = story.state
    assert stored["run_start"] > plan["started"]
    assert stored["since"] == plan["windows"][0]["start"]
    assert Variable.get("genesys_search_handover", default_var=None) is None

    # What is corrected in its place the nightly run brings.
    identity, before = story.correct()
    assert story.field.dag("reread").test().state == DagRunState.SUCCESS
    assert story.fields_of(identity) != before
    assert story.database.table() == truth(server)
    assert story.state["replication_key_value"] == stored["replication_key_value"]

    templates, commands = rendered(), story.world.seen
    assert any(plan["windows"][0]["start"] in text for text in templates)
    assert any("--state-id" in command for command in commands)
    check_hidden([SECRET, *PASSWORDS.values()], *templates, *commands, caplog.text)


def rendered() -> list[str]:
    """All rendered templates that Airflow has kept."""
    with Session() as session:
        return [str(each.rendered_fields) for each in session.scalars(select(RenderedTaskInstanceFields))]
