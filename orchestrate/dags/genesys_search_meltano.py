"""Meltano as genesys_search.py calls it, and what its log says of a failure."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from genesys_search_config import BUSY, FINAL, TAP, TARGET, Failure, refuse, secrets_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from genesys_search_config import Config, State

_AGAIN: Final = "the next attempt goes on from the last state"
#: What Meltano says of itself: the kind, and what to do.
_OF_MELTANO: Final = (
    ("already running", BUSY, f"nothing, if it ends; {_AGAIN}"),
    ("inside a Meltano project", FINAL, "correct project in the configuration"),
    (
        "not known to Meltano|^Block .* not found|[Ee]nvironment .* not found",
        FINAL,
        "copy tap, target and environment of meltano.yml into the project",
    ),
    ("could not be found|not installed", FINAL, "run meltano install in the project on every worker"),
)

_STOP_SECONDS: Final = 3
#: Belongs to Airflow: its own secrets, and what would make Meltano import its packages.
_NOT_PASSED_ON: Final = ("AIRFLOW", "_AIRFLOW", "PYTHONPATH", "VIRTUAL_ENV", "TAP_GENESYS_SEARCH_", "TARGET_POSTGRES_")


class Meltano:
    """Meltano, called with its secrets in the environment; it installs nothing, as windows would do so side by side.

    Args:
        config: The settings.
        found: The environment, as :func:`variables` makes it.
        say: Gets what Meltano logs, line by line.
    """

    def __init__(self, config: Config, found: Mapping[str, str], say: Callable[[str], None]) -> None:
        """Start nothing yet."""
        self._command = config.meltano
        self._folder = config.project
        self._found = found
        self._secrets = secrets_in(found)
        self._say = say
        self._process: subprocess.Popen[str] | None = None

    def run(self, **settings: str) -> None:
        """Run the pipe on the sync's state; never two at once in one project, whose files they would share."""
        self._call("run", "--no-install", TAP, TARGET, settings=settings)

    def window(self, state: str, **settings: str) -> None:
        """Run the pipe on a state of its own: ``meltano el`` keeps its files apart, so windows run side by side."""
        report = Report()
        # A window that is tried again after a change must not go on from its place by another question.
        settings["on_source_change"] = "fail"
        self._call("el", "--no-install", f"--state-id={state}", TAP, TARGET, settings=settings, report=report)
        if not report.is_complete:
            refuse(
                "the tap does not say that it has read the window to its end",
                "take max_results and end_date out of meltano.yml and .env, and let its log show the SUMMARY",
            )

    def clock(self) -> str:
        """Ask when a run would begin: the earlier of this machine's clock and the platform's."""
        # With no argument Meltano would take the invocation for a run, and remove the state of one that is under way.
        output = self._call("invoke", "--no-install", f"{TAP}:clock", "--config=ENV")
        if not output.strip():
            refuse(f"{TAP}:clock tells no time", "copy the commands of the tap's meltano.yml into the project")
        return output.split()[-1]

    def state(self, state: str) -> State:
        """Read a state; an empty one is ``{}``."""
        output = self._call("state", "get", state)
        try:
            found: State = json.loads(output or "{}").get("singer_state", {})
        except (ValueError, AttributeError):
            refuse(f"meltano state get {state} answers {output[:40]!r}, which is no state", "look at it by hand")
        return found

    def set_state(self, state: str, value: State) -> None:
        """Replace a state."""
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
            json.dump({"singer_state": value}, file)
            file.flush()
            self._call("state", "set", "--force", f"--input-file={file.name}", state)

    def drop_state(self, state: str) -> None:
        """Forget a state."""
        self._call("state", "clear", "--force", state)

    def stop(self) -> None:
        """End what is running, tap and target included."""
        process = self._process
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)

    def _call(self, *args: str, settings: Mapping[str, str] | None = None, report: Report | None = None) -> str:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
        more = {f"TAP_GENESYS_SEARCH_{name.upper()}": value for name, value in (settings or {}).items()}
        report = report or Report()
        with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - the command is the configuration's
                    [self._command, *args],
                    cwd=self._folder,
                    env={**inherited, **self._found, **more},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.PIPE,
                    encoding="utf-8",
                    errors="replace",
                    start_new_session=True,
                    # What Meltano writes for a plugin holds its secrets.
                    umask=0o077,
                )
            except OSError as error:
                reason = f"{self._command} can't be started in {self._folder}: {error.strerror}"
                refuse(reason, "correct project or meltano in the configuration")
            with self._process as process:
                try:
                    for line in process.stderr or ():
                        if text := report.read(self._hidden(line)):
                            self._say(text)
                except BaseException:
                    # Airflow's time-out: without this it would be waited for to the end.
                    self.stop()
                    raise
            if process.returncode:
                raise report.failure(process.returncode)
            output.seek(0)
            return output.read()

    def _hidden(self, line: str) -> str:
        for secret in self._secrets:
            line = line.replace(secret, "***")
        return line


class Report:
    """Meltano's log: what to show of it, and why it failed."""

    def __init__(self) -> None:
        """Know nothing yet."""
        #: Whether the tap has read its range to the end.
        self.is_complete = False
        self._record: Failure | None = None
        self._loader = self._critical = self._error = ""

    def read(self, line: str) -> str:
        """Take a line, and return it as a person reads it; empty if it is of no use to one."""
        try:
            entry = json.loads(line)
            text, level = str(entry["event"]).strip(), str(entry["level"])
            name = str(entry.get("string_id") or entry.get("name") or "meltano")
        except (ValueError, TypeError, KeyError):
            # A project with a logging.yaml, or a command that does not log through Meltano.
            text, name = line.strip(), ""
            if text.startswith("Error: "):
                # Of Meltano's command line, which is no log.
                self._note(text.removeprefix("Error: "), "error", name)
                return text
            level = next((each for each in ("critical", "error") if each.upper() in line or f"[{each}" in line), "info")
        if not text or text == "METRIC" or "Need help fixing" in text or "Task exception was never" in text:
            return ""
        self._note(text, level, name)
        return f"{name}: {text}" if name else text

    def _note(self, text: str, level: str, name: str) -> None:
        first = text.splitlines()[0]
        record = re.search(r"FAILURE: (\{.*\})", text)
        if record and not self._loader:
            # One whose pipe broke is not to blame.
            with suppress(ValueError, KeyError, TypeError):
                values = json.loads(record[1])
                self._record = Failure(str(values["kind"]), str(values["reason"]), str(values["fix"]))
        elif summary := re.search(r"SUMMARY: (\{.*\})", text):
            with suppress(ValueError, AttributeError):
                self.is_complete = json.loads(summary[1]).get("complete") is True
        elif level == "critical":
            self._critical = re.sub(r"^.*?(?:CRITICAL:?|\[critical *\])\s*", "", first)
        elif level == "error" and name.startswith("target-"):
            self._loader = self._loader or first
        elif level == "error" and first != "Block run completed":
            # Which `meltano run` says last, whatever came before.
            self._error = first

    def failure(self, code: int) -> Failure:
        """Say why, by the best that was logged."""
        if self._record:
            return self._record
        if self._loader:
            return Failure("warehouse", f"{TARGET}: {self._loader}", f"look after the warehouse; {_AGAIN}")
        if self._critical:
            return Failure("unknown", self._critical)
        for pattern, kind, fix in _OF_MELTANO:
            if re.search(pattern, self._error):
                # What it says of --force would be two runs at once.
                return Failure(kind, re.split(r",? (?:To|or) ignore", self._error)[0], fix)
        return Failure("meltano", self._error or f"meltano ended with code {code}", f"see the task's log; {_AGAIN}")
