"""What Python code hands in, held to the bounds of the settings and refused in their words.

The settings themselves know the SDK, which who reads without Singer need not have loaded.
"""

from __future__ import annotations

from typing import Final

from tap_genesys_search.errors import ConfigurationError, QueryError, check_whole
from tap_genesys_search.lucene import checked
from tap_genesys_search.question import MAX_PAGE_SIZE

_DAY: Final = 86_400

#: The least and the most of each number. In Python, seconds may have a decimal point.
BOUNDS: Final = {
    "page_size": (1, MAX_PAGE_SIZE),
    "concurrency": (1, 64),
    "requests_per_minute": (1, 100_000),
    "slice_records": (1, 1_000_000),
    "lookback_seconds": (0, 366 * _DAY),
    "max_retries": (0, 20),
    "max_wait_seconds": (1, 7 * _DAY),
    "request_timeout_seconds": (1, 3_600),
}


def check_numbers(**values: object) -> None:
    """Refuse the first of these that is no number, or out of its bounds.

    Raises:
        ConfigurationError: The line names it.
    """
    for name, value in values.items():
        least, most = BOUNDS[name]
        if not isinstance(value, float) or not name.endswith("_seconds"):
            check_whole(name, value, least, most)
        elif not least <= value <= most:
            message = f"{name} must be a number from {least} to {most}, not {value}"
            raise ConfigurationError(message)


def check_query(query: object) -> None:
    """Refuse a query that the setting would refuse.

    Raises:
        QueryError: It is no text, or blank, or cannot be asked.
    """
    try:
        _check_text(query)
    except ValueError as error:
        message = f"query {error}"
        raise QueryError(message) from error


def _check_text(query: object) -> None:
    if not isinstance(query, str):
        message = "must be a text, in quotes"
        raise ValueError(message)  # noqa: TRY004 - like every other wrong query
    if not query.strip():
        message = "is blank: leave it out, or write * for every conversation"
        raise ValueError(message)
    checked(query)
