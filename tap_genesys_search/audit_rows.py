"""A warehouse's rows from its export: CSV with or without a line of names, or JSON lines; in order of time."""

from __future__ import annotations

import csv
import io
import json
import sys
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tap_genesys_search import timestamps
from tap_genesys_search.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_genesys_search.audit import Row

_ID_NAMES: Final = ("id", "conversationid", "conversation_id")
_TIME_NAMES: Final = ("timestamp",)
_SHAPE: Final = "it must hold id,timestamp (CSV, a line of names may stand first), or be JSON lines with these keys"
_FIELDS: Final = 2
#: A field may hold a whole document; but a quote that is never closed must not swallow the export.
_LONGEST: Final = 16_000_000
#: How exports write that there is none.
_NULLS: Final = frozenset({"", "\\n", "null", "none"})
_SHOWN: Final = 60


class Rows:
    """The rows of an export, one by one.

    Args:
        lines: Of the text.
        name: Of the file, for messages.

    Attributes:
        count: Rows so far.
        timeless: Rows so far that have no timestamp, and so lie on no day.
    """

    def __init__(self, lines: Iterable[str], name: str) -> None:
        self._lines = lines
        self._name = name
        self.count = self.timeless = 0

    def __iter__(self) -> Iterator[Row]:
        """Yield instants (milliseconds since 1970) and ids.

        Raises:
            ConfigurationError: A line holds something else, or comes too late; the message names it.
        """
        before, number = timestamps.BEGIN, 0
        try:
            for number, identity, stamp in self._fields():
                self.count += 1
                if stamp.lower() in _NULLS:
                    self.timeless += 1
                    continue
                at = self._instant(stamp, number)
                if at < before:
                    what = f"{stamp!r} comes after {timestamps.write(before)}: order the rows by timestamp, in UTC"
                    raise self._error(number, what)
                before = at
                yield at, identity
        except UnicodeDecodeError:
            raise self._error(number + 1, "it is no UTF-8 from here on") from None

    def _fields(self) -> Iterator[tuple[int, str, str]]:
        """Yield the number of a line, an id and a timestamp as they stand there."""
        lines = iter(self._lines)
        # The blank ones are passed on, too, as they count.
        head: list[str] = []
        for line in lines:
            head.append(line)
            if line.strip():
                break
        else:
            return
        if line.lstrip().startswith("{"):
            yield from self._json(chain(head, lines))
        else:
            yield from self._csv(chain(head, lines))

    def _json(self, lines: Iterable[str]) -> Iterator[tuple[int, str, str]]:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                given = json.loads(line)
            except (ValueError, RecursionError):
                raise self._error(number, "it is no JSON") from None
            if not isinstance(given, dict):
                raise self._error(number, _SHAPE)
            row = {str(key).lower(): value for key, value in given.items()}
            identity = next((row[name] for name in _ID_NAMES if row.get(name) is not None), None)
            stamp = next((row[name] for name in _TIME_NAMES if name in row), 0)
            if not isinstance(stamp, str | None):
                raise self._error(number, f"it has no text as timestamp; {_SHAPE}")
            yield number, self._id(identity, number), stamp or ""

    def _csv(self, lines: Iterable[str]) -> Iterator[tuple[int, str, str]]:
        width = _FIELDS
        places = (0, 1)
        is_first = True
        for number, row in self._lists(lines):
            if is_first:
                is_first = False
                names = [name.strip().lower() for name in row]
                if "timestamp" in names:
                    places = (self._place(names, _ID_NAMES), self._place(names, _TIME_NAMES))
                    width = len(row)
                    continue
            if len(row) != width:
                raise self._error(number, f"it has {len(row)} fields and not {width}; {_SHAPE}")
            yield number, self._id(row[places[0]], number), row[places[1]].strip()

    def _lists(self, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        csv.field_size_limit(_LONGEST)
        reader = csv.reader(lines, strict=True)
        number = 0
        try:
            for row in reader:
                number = reader.line_num
                if row:
                    yield number, row
        except csv.Error as error:
            # Where the row begins: a quote that is never closed is noticed only far behind.
            raise self._error(number + 1, f"it is no CSV: {error}") from None

    def _place(self, names: Sequence[str], wanted: Sequence[str]) -> int:
        for name in wanted:
            if name in names:
                return names.index(name)
        raise self._error(1, f"it names no {wanted[0]}; {_SHAPE}")

    def _id(self, value: Any, number: int) -> str:
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
            # As the records are cleaned: a lone surrogate is no text that a database takes.
            return str(value).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        raise self._error(number, f"it has no id; {_SHAPE}")

    def _instant(self, text: str, number: int) -> int:
        # 2026-10-03 08:15:02.417 UTC, … +0000: warehouses put a blank before the zone.
        parts = text.split()
        if len(parts) > _FIELDS:
            text = "".join((*parts[:1], "T", *parts[1:])).upper().replace("UTC", "Z")
        try:
            return timestamps.parse(text)
        except ValueError:
            raise self._error(number, f"{text[:_SHOWN]!r} is no timestamp; {_SHAPE}") from None

    def _error(self, number: int, what: str) -> ConfigurationError:
        return ConfigurationError(f"{self._name}, line {number:,}: {what}")


@contextmanager
def opened(path: str) -> Iterator[Rows]:
    """Open an export; ``-`` is standard input.

    Raises:
        ConfigurationError: It cannot be read, or nobody writes to standard input.
    """
    name = "the export" if path == "-" else path
    if path == "-":
        # It is None where it was closed.
        if sys.stdin is None or sys.stdin.isatty():
            message = "nothing is piped in: give a file, or pipe the warehouse's rows into it"
            raise ConfigurationError(message)
        piped = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="")
        try:
            yield Rows(piped, name)
        finally:
            # Or it would close standard input, which it does not own.
            piped.detach()
        return
    try:
        text = Path(path).open(encoding="utf-8-sig", newline="")  # noqa: SIM115 - closed below
    except OSError as error:
        message = f"the file {path} cannot be read: {error.strerror}"
        raise ConfigurationError(message) from error
    with text:
        yield Rows(text, name)
