"""The record of a run that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.helpers import Run


def failure_of(run: Run) -> dict[str, Any]:
    """The one record, and whether line and exit code say the same."""
    (failure,) = run.failures
    *_, record, last = run.stderr.splitlines()
    assert "FAILURE: " in record
    (line,) = run.critical
    assert line == last
    assert last.endswith(failure["reason"])
    assert failure["exit_code"] == run.code
    assert list(failure) == ["kind", "reason", "fix", "exit_code"]
    return failure
