"""What the DAGs use, loaded as Airflow finds it, and what their tests share."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

DAGS = Path(__file__).parents[2] / "orchestrate" / "dags"

# As Airflow does.
sys.path.append(str(DAGS))

configuration: Any = import_module("genesys_search_config")
meltano_calls: Any = import_module("genesys_search_meltano")
backfill: Any = import_module("genesys_search_backfill")


@dataclass
class Login:
    """A connection, as Airflow has them."""

    conn_type: str = "postgres"
    host: str | None = "db.example.org"
    login: str | None = "us/er"
    password: str | None = "p@ss:w/rd"
    schema: str | None = "warehouse"
    port: int | None = 5432
    extra_dejson: dict[str, Any] = field(default_factory=dict)


def connections(**more: Login) -> dict[str, Login]:
    return {
        "genesys_search": Login("http", login="client", password="sec ret"),
        "genesys_search_warehouse": Login(),
        "genesys_search_meltano": Login(schema="meltano"),
        **more,
    }


def config(**values: Any) -> Any:
    return configuration.Config.parse(json.dumps({"project": "/project", **values}), "the file a.json")
