"""How a command ends: one line that says what is wrong, and an exit code that tells the kinds apart."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tap_genesys_search.errors import ConfigurationError, GenesysSearchError

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator


@contextmanager
def one_line_errors(logger: logging.Logger, exit_code: int | None = None) -> Iterator[None]:
    """Log what is wrong as one CRITICAL line and leave; the traceback is for DEBUG.

    Args:
        logger: Where to.
        exit_code: Instead of the error's own, which tells its kind.
    """
    try:
        yield
    except GenesysSearchError as error:
        problem = error
    except FileNotFoundError as error:
        problem = ConfigurationError(f"there is no file {error.filename}" if error.filename else str(error))
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        problem = ConfigurationError(f"{name}{error.strerror or error}")
    except Exception as error:
        # By name: the SDK reads JSON with simplejson, and the people's commands don't import it.
        if type(error).__name__ in {"JSONDecodeError", "UnicodeDecodeError"}:
            problem = ConfigurationError(f"a file that was given (configuration, state or catalog) is no JSON: {error}")
        elif type(error).__module__ == "singer_sdk.exceptions":
            problem = ConfigurationError(" ".join(str(error).split()))
        else:
            raise
    else:
        return
    logger.debug("What was raised", exc_info=problem)
    logger.critical("%s", problem)
    sys.exit(problem.exit_code if exit_code is None else exit_code)
