"""What logs make of an error."""

from __future__ import annotations

import logging
import traceback

from singer_sdk.logging import StructuredFormatter


def logged(error: BaseException) -> str:
    """All that logs make of an error, in the forms of the standard library and of the SDK."""
    info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("test", logging.ERROR, __file__, 1, "%s %r", (error, error), info)
    found = [StructuredFormatter().format(record), logging.Formatter().format(record)]
    seen: list[BaseException] = [error]
    for each in seen:
        behind = (each.__cause__, each.__context__, *each.args)
        seen += [other for other in behind if isinstance(other, BaseException) and other not in seen]
        found.append("".join(traceback.format_exception(each)))
    return "\n".join(found)
