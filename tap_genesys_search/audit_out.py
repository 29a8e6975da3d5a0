"""The file of ``audit --out``: every id with what is the matter with it, as CSV."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from tap_genesys_search import timestamps
from tap_genesys_search.errors import ConfigurationError, GenesysSearchError
from tap_genesys_search.reporting import fault_of_machine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_genesys_search.audit import Finding

_COLUMNS: Final = ("id", "what", "source_timestamp", "warehouse_timestamp")


def _is_same(path: Path, other: str | int) -> bool:
    """Whether it is the same file as another, given by its path or as the number of an open one."""
    try:
        return os.path.samestat(path.stat(), os.fstat(other) if isinstance(other, int) else Path(other).stat())
    except (OSError, ValueError):
        return False


class Out:
    """Takes the findings of one audit; as a context it is the file, which stands there only if all went well.

    A pipe or a device is written into as it is.

    Args:
        path: Of the file, or None: nothing is written.

    Raises:
        GenesysSearchError: It cannot be written; so do the methods.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._csv: Any = None
        if path is None:
            return
        if path == Path():
            message = "the name of the file of --out is empty"
            raise ConfigurationError(message)
        # A link stays one, and what is no file is not replaced by one.
        self._is_file = path.is_file() or not path.exists()
        try:
            self._target = path.resolve() if self._is_file else path
        except (OSError, RuntimeError) as error:
            message = f"the file {path} cannot be written: its links lead nowhere"
            raise ConfigurationError(message) from error
        self._part = self._target.with_name(f"{self._target.name}.part") if self._is_file else path

    def refuse(self, inputs: Iterable[str]) -> None:
        """Refuse to replace one of the files that are read (``-``: standard input), or what the report goes into.

        Raises:
            ConfigurationError: The file is one of them.
        """
        if self.path is None or not self._is_file:
            return
        for given in inputs:
            read = 0 if given == "-" else given
            if any(_is_same(mine, read) for mine in (self._target, self._part)):
                message = f"--out would replace {given}, which is read"
                raise ConfigurationError(message)
        if _is_same(self._target, 1):
            message = f"--out would replace {self.path}, which the report goes into"
            raise ConfigurationError(message)

    def clear(self) -> None:
        """Take away the file of an earlier audit: whoever comes next must not take it for this one's, if this fails."""
        if self.path is not None and self._is_file:
            try:
                self._target.unlink(missing_ok=True)
            except OSError as error:
                raise self._error(error) from error

    def __enter__(self) -> Self:
        if self.path is not None:
            try:
                self._file = self._part.open("w", encoding="utf-8", newline="")
            except OSError as error:
                raise self._error(error) from error
            self._csv = csv.writer(self._file, lineterminator="\n")
            self._write(_COLUMNS)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.path is None:
            return
        try:
            self._file.close()
            if kind is None and self._is_file:
                self._part.replace(self._target)
        except OSError as error:
            raise self._error(error) from error
        finally:
            if self._is_file:
                self._part.unlink(missing_ok=True)

    def write(self, finding: Finding) -> None:
        """Write a line."""
        if self._csv is not None:
            stamps = ("" if at is None else timestamps.write(at) for at in (finding.source, finding.warehouse))
            self._write((finding.id, finding.what.value, *stamps))

    def _write(self, row: tuple[str, ...]) -> None:
        try:
            self._csv.writerow(row)
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> GenesysSearchError:
        fault = fault_of_machine(error, f"the file {self.path}")
        return fault or ConfigurationError(f"the file {self.path} cannot be written: {error.strerror}")
