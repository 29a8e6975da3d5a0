"""Airflow's configuration for a test, and its runs."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.dag_processing.dagbag import BundleDagBag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.sdk.definitions.dag import _run_task
from airflow.settings import Session
from airflow.utils.state import DagRunState, TaskInstanceState
from sqlalchemy import select

if TYPE_CHECKING:
    import pytest
    from airflow.sdk import DAG


@dataclass
class Field:
    """Airflow's configuration for a test; it stands in the environment, which is one of Airflow's secrets backends."""

    patch: pytest.MonkeyPatch
    config: dict[str, Any]
    connections: dict[str, dict[str, Any]]
    bag: BundleDagBag = field(init=False)

    def __post_init__(self) -> None:
        """Write it down."""
        self.write()
        folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
        self.bag = BundleDagBag(dag_folder=folder, bundle_path=folder, bundle_name="dags-folder")

    def write(self) -> None:
        """Write it down again."""
        self.patch.setenv("AIRFLOW_VAR_GENESYS_SEARCH", json.dumps(self.config))
        for name, connection in self.connections.items():
            self.patch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))

    def dag(self, name: str, *, retries: int = 0) -> DAG:
        """Return a DAG that waits for nothing."""
        dag = self.bag.dags[f"genesys_search_{name}"]
        for task in dag.tasks:
            task.retries, task.retry_delay, task.retry_exponential_backoff = retries, timedelta(0), 0
        return dag


def tasks_of(run: DagRun) -> dict[tuple[str, int], TaskInstance]:
    """The tasks of a run by name and map index."""
    with Session() as session:
        query = select(TaskInstance).where(TaskInstance.dag_id == run.dag_id, TaskInstance.run_id == run.run_id)
        return {(task.task_id, task.map_index): task for task in session.scalars(query)}


def clear(dag: DAG, run: DagRun, *tasks: tuple[str, int]) -> DagRun:
    """Clear tasks as a person does, and let the run go on to its end."""
    with Session() as session:
        found = [session.merge(tasks_of(run)[each]) for each in tasks]
        clear_task_instances(found, session, dag_run_state=DagRunState.RUNNING)
        session.commit()
        again = session.get(DagRun, run.id)
        assert again is not None
        again.dag = _scheduled(dag)
        while again.state == DagRunState.RUNNING:
            session.expire_all()
            ready, _ = again.update_state(session=session)
            for task in ready:
                task.try_number += 1
                task.state = TaskInstanceState.SCHEDULED
            session.commit()
            for task in ready:
                _run_task(ti=task, task=dag.task_dict[task.task_id])
        return again


def _scheduled(dag: DAG) -> object:
    from airflow.serialization.serialized_objects import DagSerialization  # noqa: PLC0415 - Airflow reads its configuration when it is imported

    return DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
