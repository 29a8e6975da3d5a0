"""Three DAGs that bring Genesys Cloud conversations into a warehouse through Meltano.

`genesys_search_sync` loads what is new, `genesys_search_reread` loads the last days again each night, for corrections
that come late, and `genesys_search_backfill` loads a range in windows side by side and hands over to the sync.

Configuration is JSON: the Airflow Variable `genesys_search`, or the extra of the connection `genesys_search`, or the
file `genesys_search.json` beside this one (or where the environment variable `GENESYS_SEARCH_CONFIG` says). Nothing is
read before a task runs.
"""

from __future__ import annotations

import json
import logging
import os
from datetime import datetime, timedelta, timezone
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import DAG, BaseOperator, Connection, Param, Variable
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException
from genesys_search_backfill import bookmark_of, rejoin, seam, windows, write
from genesys_search_config import BUSY, Config, Failure, refuse, variables
from genesys_search_meltano import Meltano

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.sdk import Context

NAME = "genesys_search"
#: One slot: sync, reread and the seam write one state.
POOL = NAME
#: As many slots as windows may run side by side.
BACKFILL_POOL = f"{NAME}_backfill"

SYNC_SCHEDULE = "*/15 * * * *"
REREAD_SCHEDULE = "30 2 * * *"

#: Within half an hour: Meltano takes a run whose worker has died for alive for five minutes.
RETRIES = {
    "retries": 3,
    "retry_delay": timedelta(minutes=2),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
}
#: A task that hangs is ended, and tried again from the last state.
TIMEOUT = timedelta(hours=6)

#: Who is told where the configuration, which names them else, is what can't be read: the same JSON as its `notify`.
NOTIFY: list[dict[str, Any]] = []

KILLED = (
    "the task ended without a word: its process or its worker was killed."
    " What to do: look after the worker; the next run goes on from the last state"
)

#: The Variable that holds what the seam has made of the sync's state, until a sync has gone on from it.
HANDOVER = f"{NAME}_handover"

_logger = logging.getLogger(__name__)


def read_config() -> Config:
    """Read the configuration from where it stands.

    Raises:
        Failure: There is none, or it can't be used.
    """
    if text := Variable.get(NAME, default=None):
        return Config.parse(text, f"the Variable {NAME}")
    try:
        text = Connection.get(NAME).extra
    except AirflowNotFoundException:
        text = None
    # The form of Airflow's web page fills in an empty object.
    if text and text.strip() != "{}":
        return Config.parse(text, f"the extra of the connection {NAME}")
    path = Path(os.environ.get("GENESYS_SEARCH_CONFIG") or Path(__file__).with_name(f"{NAME}.json"))
    try:
        return Config.parse(path.read_bytes(), f"the file {path}")
    except OSError as error:
        reason = f"there is no configuration: no Variable {NAME}, no extra of the connection {NAME}, and {path}"
        refuse(f"{reason} can't be read ({error.strerror})", "set one of them")


def read_connections(config: Config) -> dict[str, Connection]:
    """Read the connections that the configuration names.

    Raises:
        Failure: One of them is not there.
    """
    found = {}
    for conn_id in filter(
        None, (config.genesys_conn_id, config.warehouse_conn_id, config.meltano_conn_id, config.redis_conn_id)
    ):
        try:
            found[conn_id] = Connection.get(conn_id)
        except AirflowNotFoundException:
            reason = f"there is no connection {conn_id}"
            refuse(reason, "add it, or correct the configuration")
    return found


def notify(context: Context) -> None:
    """Tell whom the configuration names; in a notifier's arguments `{{ exception }}` is the reason and what to do."""
    # Airflow knows none where the task's process is gone.
    context.setdefault("exception", KILLED)
    try:
        notifiers = read_config().notify
    except Exception:
        # It is what the task has failed with, or Airflow itself does not answer.
        _logger.exception("No configuration to read whom to tell from")
        notifiers = NOTIFY
    for notifier in notifiers:
        arguments = dict(notifier)
        module, _, name = arguments.pop("class").rpartition(".")
        try:
            getattr(import_module(module), name)(**arguments)(context)
        except Exception:
            # The others have to be told all the same.
            _logger.exception("%s could not tell of a failure", name)


class Step(BaseOperator):
    """A task that calls Meltano, and fails with one line."""

    meltano: Meltano | None = None

    def execute(self, context: Context) -> Any:
        """Do the work; what no retry can mend fails at once."""
        try:
            config = read_config()
            self.meltano = Meltano(config, variables(config, read_connections(config)), self.log.info)
            return self.work(context, config, self.meltano)
        except Failure as failure:
            raise (AirflowFailException if failure.is_final else AirflowException)(str(failure)) from None

    def work(self, context: Context, config: Config, meltano: Meltano) -> Any:
        """Do what the task is for."""
        raise NotImplementedError

    def on_kill(self) -> None:
        """End Meltano with the task."""
        if self.meltano:
            self.meltano.stop()


class Sync(Step):
    """Load what is new since the last run."""

    def work(self, context: Context, config: Config, meltano: Meltano) -> None:  # noqa: ARG002 - for those that need it
        """Run the pipe."""
        handover = stored_handover(config)
        if handover:
            self.hold(handover, meltano)
        meltano.run(**self.settings(config))
        if handover and stored_handover(config):
            Variable.delete(HANDOVER)

    def hold(self, handover: dict[str, Any], meltano: Meltano) -> None:
        """Write what the seam has written again, where a run that outlived its worker has written over it."""
        stored = meltano.state(handover["state"])
        if not bookmark_of(stored):
            # Someone has begun anew.
            Variable.delete(HANDOVER)
        elif state := rejoin(stored, handover["bookmark"]):
            self.log.warning("Another run had written over what the backfill has handed over: it holds again")
            meltano.set_state(handover["state"], state)

    def settings(self, config: Config) -> dict[str, str]:  # noqa: ARG002 - the same
        """Return the settings of the tap that are the task's own."""
        return {}


class Reread(Sync):
    """Load what is new, and the last days again."""

    def settings(self, config: Config) -> dict[str, str]:
        """Return a lookback of days."""
        return {"lookback_seconds": str(round(config.reread_days * 86400))}


class Begin(Step):
    """Fix when the backfill began, by the platform's clock, and its windows."""

    def work(self, context: Context, config: Config, meltano: Meltano) -> list[dict[str, str]]:
        """Return the windows; once fixed they stay, whatever is cleared."""
        plan = stored_plan(context)
        if plan is None:
            params, run = context["params"], context["dag_run"]
            start = params["start"] or config.tap.get("start_date")
            if not start:
                refuse("the backfill has no start", "trigger it with start, or set start_date")
            started = meltano.clock()
            days = params["window_days"] or config.window_days
            not_after = (write(run.run_after), started)
            plan = {"started": started, "windows": windows(start, params["end"], days, not_after=not_after)}
            Variable.set(plan_name(context), json.dumps(plan), description="Windows of a backfill, and when it began.")
        self.log.info("Began %s, %d windows", plan["started"], len(plan["windows"]))
        found: list[dict[str, str]] = plan["windows"]
        return found


class Window(Step):
    """Load one window on a state of its own, so that a retry goes on where the last attempt ended."""

    template_fields: ClassVar[Sequence[str]] = ("window",)

    def __init__(self, *, window: dict[str, str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.window = window

    def work(self, context: Context, config: Config, meltano: Meltano) -> dict[str, Any]:
        """Run the pipe; return the bookmark."""
        state = config.window_state(context["run_id"], self.window["start"])
        first, mark = first_try(context), f"{plan_name(context)}:{context['ti'].map_index}"
        if first > 1 and Variable.get(mark, default=None) != str(first):
            self.check_seam(context)
            meltano.drop_state(state)
            Variable.set(mark, str(first), description="The try for which a window's state was dropped.")
        try:
            meltano.window(state, start_date=self.window["start"], end_date=self.window["end"])
        except Failure as failure:
            if first > 1 and failure.kind == BUSY:
                # Who lives on will write the state that was dropped.
                Variable.delete(mark)
            raise
        return bookmark_of(meltano.state(state))

    @staticmethod
    def check_seam(context: Context) -> None:
        """Refuse to load again what nobody would read once more after it."""
        task = context["ti"]
        states = task.get_task_states(dag_id=task.dag_id, task_ids=["seam"], run_ids=[task.run_id])
        if states.get(task.run_id, {}).get("seam") == "success":
            reason = "this window was cleared alone, and what it loads could be older than what the sync has loaded"
            refuse(reason, "clear it with Downstream, so that the seam runs again")


class Seam(Step):
    """Let the sync go on from the backfill, once all windows have succeeded."""

    template_fields: ClassVar[Sequence[str]] = ("bookmarks",)

    def __init__(self, *, bookmarks: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bookmarks = bookmarks

    def work(self, context: Context, config: Config, meltano: Meltano) -> dict[str, Any] | None:
        """Merge the windows' states into the sync's."""
        plan = stored_plan(context)
        if plan is None:
            reason = f"the Variable {plan_name(context)} is gone, which held when the backfill began"
            refuse(reason, "clear the whole run, and so load it again")
        bookmarks = list(self.bookmarks)
        if len(bookmarks) != len(plan["windows"]):
            reason = f"{len(bookmarks)} of {len(plan['windows'])} windows say how far they have read"
            refuse(
                reason, "clear the others, with Downstream (one that was marked as success by hand has read nothing)"
            )
        stored = meltano.state(config.sync_state)
        if before := stored_handover(config):
            # Of another backfill: no sync has gone on from it yet.
            stored = rejoin(stored, before["bookmark"]) or stored
        state = seam(stored, bookmarks, plan["windows"], plan["started"])
        if state is None:
            self.log.info("No window has found a conversation: the sync's state stays as it is")
            return None
        handover = {"state": config.sync_state, "bookmark": bookmark_of(state)}
        Variable.set(HANDOVER, json.dumps(handover), description="What a backfill has handed over to the next sync.")
        meltano.set_state(config.sync_state, state)
        return bookmark_of(state)


def stored_handover(config: Config) -> dict[str, Any] | None:
    """What a seam has made of the sync's state, and no sync has gone on from yet."""
    found: dict[str, Any] | None = Variable.get(HANDOVER, default=None, deserialize_json=True)
    return found if found and found["state"] == config.sync_state else None


def plan_name(context: Context) -> str:
    """The Variable that holds a backfill's plan: unlike XComs and dates of the run, clearing leaves it."""
    return f"{context['dag'].dag_id}:{context['run_id']}"


def stored_plan(context: Context) -> dict[str, Any] | None:
    """What the first task has fixed."""
    found: dict[str, Any] | None = Variable.get(plan_name(context), default=None, deserialize_json=True)
    return found


def first_try(context: Context) -> int:
    """The try that came first after someone had cleared the task: 1 if nobody has (a retry is none)."""
    task = context["ti"]
    first: int = task.max_tries - (task.task.retries or 0) + 1
    return first


def sync() -> None:
    """Fill the DAG that loads what is new."""
    Sync(task_id="sync", pool=POOL)


def reread() -> None:
    """Fill the DAG that loads the last days again."""
    Reread(task_id="reread", pool=POOL)


def backfill() -> None:
    """Fill the DAG that loads a range."""
    # Asking for the time writes into the files of the project that a sync uses.
    begin = Begin(task_id="begin", pool=POOL)
    window = Window.partial(
        task_id="window",
        pool=BACKFILL_POOL,
        map_index_template="{{ task.window['start'] }} to {{ task.window['end'] }}",
    ).expand(window=begin.output)
    Seam(task_id="seam", pool=POOL, bookmarks=window.output)


def build(fill: Callable[[], None], schedule: str | None = None, **options: Any) -> DAG:
    """Make a DAG."""
    with DAG(
        f"{NAME}_{fill.__name__}",
        schedule=schedule,
        start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),  # noqa: UP017 - Airflow runs on Python 3.10 too
        # State tells what is missing, so one run makes up for all that were missed.
        catchup=False,
        max_active_runs=1,
        default_args={**RETRIES, "execution_timeout": TIMEOUT, "on_failure_callback": notify},
        doc_md=__doc__,
        tags=["genesys"],
        **options,
    ) as dag:
        fill()
    return dag


build(sync, SYNC_SCHEDULE)
build(reread, REREAD_SCHEDULE)
build(
    backfill,
    params={
        "start": Param(None, type=["null", "string"], description="First moment; without it, the tap's start_date."),
        "end": Param(None, type=["null", "string"], description="End, exclusive; without it, now."),
        "window_days": Param(None, type=["null", "number"], description="Length of a window, unless configured."),
    },
)
