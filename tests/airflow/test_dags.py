"""The DAGs in a real Airflow: how they are made, and what they say of their configuration."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.utils.state import DagRunState

from tests.airflow.field import Field, tasks_of

if TYPE_CHECKING:
    from tests.airflow.mailbox import Mailbox

pytestmark = pytest.mark.filterwarnings("default")

NAMES = ("sync", "reread", "backfill")


def test_they_import(plain: Field) -> None:
    assert plain.bag.import_errors == {}
    assert sorted(plain.bag.dags) == sorted(f"genesys_search_{name}" for name in NAMES)
    for dag in plain.bag.dags.values():
        assert not dag.catchup
        assert dag.max_active_runs == 1
        assert all(task.execution_timeout == timedelta(hours=6) for task in dag.tasks)
    pools = {f"{dag_id}.{task.task_id}": task.pool for dag_id, dag in plain.bag.dags.items() for task in dag.tasks}
    assert pools == {
        "genesys_search_sync.sync": "genesys_search",
        "genesys_search_reread.reread": "genesys_search",
        "genesys_search_backfill.begin": "genesys_search",
        "genesys_search_backfill.window": "genesys_search_backfill",
        "genesys_search_backfill.seam": "genesys_search",
    }


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no configuration": ({"AIRFLOW_VAR_GENESYS_SEARCH": None}, "there is no configuration"),
    "broken": ({"AIRFLOW_VAR_GENESYS_SEARCH": '{"project": '}, "the Variable genesys_search holds no JSON"),
    "a file that is none": (
        {"AIRFLOW_VAR_GENESYS_SEARCH": None, "GENESYS_SEARCH_CONFIG": "/dev/null"},
        "the file /dev/null holds no JSON",
    ),
    "an extra that is none": (
        {
            "AIRFLOW_VAR_GENESYS_SEARCH": None,
            "AIRFLOW_CONN_GENESYS_SEARCH": '{"conn_type": "http", "extra": {"projekt": "/a"}}',
        },
        "the extra of the connection genesys_search has projekt, which is none of",
    ),
    "no warehouse": (
        {"AIRFLOW_CONN_GENESYS_SEARCH_WAREHOUSE": None},
        "there is no connection genesys_search_warehouse",
    ),
    "SQLite": (
        {"AIRFLOW_CONN_GENESYS_SEARCH_MELTANO": '{"conn_type": "sqlite", "host": "/tmp/a"}'},
        "the connection genesys_search_meltano (type sqlite) is not to a PostgreSQL",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_has_to_be_changed_is_said_in_one_line_and_not_retried(plain: Field, mailbox: Mailbox, fault: str) -> None:
    changes, line = FAULTS[fault]
    for name, value in changes.items():
        if value is None:
            plain.patch.delenv(name)
        else:
            plain.patch.setenv(name, value)
    dag, said = plain.dag("sync", retries=2), []
    task = dag.task_dict["sync"]
    # Who is told even where the configuration can't say it.
    plain.patch.setattr(sys.modules[type(task).__module__], "NOTIFY", plain.config["notify"])
    task.on_failure_callback = [*task.on_failure_callback, lambda context: said.append(str(context["exception"]))]
    run = dag.test()
    assert run.state == DagRunState.FAILED
    assert tasks_of(run)["sync", -1].try_number == 1
    assert [text.startswith(line) for text in said] == [True]
    assert len(said[0].splitlines()) == 1
    (text,) = mailbox.texts
    assert text.startswith(f"genesys_search_sync sync -1\n{line}")
    assert "Traceback" not in text


def test_a_task_that_was_killed_is_told_of_without_a_reason(plain: Field, mailbox: Mailbox) -> None:
    """Airflow's processor of DAGs calls back for it, and knows of no exception."""
    plain.patch.delenv("AIRFLOW_CONN_GENESYS_SEARCH_WAREHOUSE")
    dag = plain.dag("sync")
    task = dag.task_dict["sync"]
    (notify,) = task.on_failure_callback
    task.on_failure_callback = [
        lambda context: notify({name: value for name, value in context.items() if name != "exception"})
    ]
    dag.test()
    (text,) = mailbox.texts
    assert text.startswith("genesys_search_sync sync -1\nthe task ended without a word: its process or its worker was")


def test_a_backfill_without_a_start(plain: Field, mailbox: Mailbox) -> None:
    """It is told before anybody is asked."""
    run = plain.dag("backfill", retries=2).test()
    assert run.state == DagRunState.FAILED
    (text,) = mailbox.texts
    assert text.startswith("genesys_search_backfill begin -1\nthe backfill has no start. What to do: trigger it with")
