"""How a command ends: one line that says what is wrong, a record for machines, and an exit code for each kind."""

from __future__ import annotations

import errno
import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tap_genesys_search.errors import ConfigurationError, GenesysSearchError

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

#: What a file says that is not there, or not for us; all else is the machine's: a full disk, or no memory.
_OF_THE_FILE: Final = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG}
#: The same of its disk: full, over the quota or the largest size, or broken.
_OF_THE_DISK: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE}


@contextmanager
def one_line_errors(
    logger: logging.Logger, exit_code: int | None = None, *, has_record: bool = False
) -> Iterator[None]:
    """Log what is wrong as one CRITICAL line and leave; the traceback is for DEBUG.

    Args:
        logger: Where to.
        exit_code: Instead of the error's own, which tells its kind.
        has_record: Whether the line follows a record for machines.
    """
    try:
        yield
    except GenesysSearchError as error:
        problem = error
    except OSError as error:
        problem = _problem(error)
    except Exception as error:
        # By name: the people's commands don't import the SDK.
        if type(error).__module__ == "singer_sdk.exceptions":
            problem = ConfigurationError(" ".join(str(error).split()))
        else:
            if has_record:
                # Its text may hold anything; the traceback that follows is for who can read it.
                reason = f"a fault of the program: {type(error).__name__}"
                _write_record(logger, "unexpected", reason, "report it, with the traceback below", 1)
            raise
    else:
        return
    logger.debug("What was raised", exc_info=problem)
    code = problem.exit_code if exit_code is None else exit_code
    if has_record:
        _write_record(logger, problem.kind, str(problem), problem.fix, code)
    logger.critical("%s", problem)
    sys.exit(code)


def fault_of_machine(error: OSError, name: str) -> GenesysSearchError | None:
    """Say what is wrong with a file's disk, or the machine; None where the path is to blame, which a setting mends.

    Args:
        error: What came of opening, reading or writing.
        name: The file's, for the message.
    """
    if error.errno is None or error.errno in _OF_THE_FILE:
        return None
    where = "its disk" if error.errno in _OF_THE_DISK else "this machine"
    return GenesysSearchError(f"{name}: {error.strerror}; see to {where}, then start again")


def _problem(error: OSError) -> GenesysSearchError:
    """Say what is wrong with a file: its disk, which no setting mends, or that it is none to be read."""
    fault = fault_of_machine(error, error.filename or "the output, or a file beside it")
    if fault is not None:
        return fault
    if isinstance(error, FileNotFoundError):
        return ConfigurationError(f"there is no file {error.filename}" if error.filename else str(error))
    return ConfigurationError(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error))


def _write_record(logger: logging.Logger, kind: str, reason: str, fix: str, exit_code: int) -> None:
    """Log it as JSON at the end of a line, and as ``failure`` of a structured log; as an error, to pass any filter."""
    failure = {"kind": kind, "reason": reason, "fix": fix, "exit_code": exit_code}
    logger.error("FAILURE: %s", json.dumps(failure), extra={"failure": failure})
