"""A live line at the foot of a terminal, with the log above it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

from tqdm.std import tqdm

if TYPE_CHECKING:
    import logging


class _Line(tqdm):  # type: ignore[type-arg]
    # Drawn when it is told to, so nobody has to watch over it; and one process needs no lock for several.
    monitor_interval = 0
    _lock: ClassVar[Any] = threading.RLock()


class _Above:
    """A terminal's stream for log lines: the bar makes room for each."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        _Line.write(text, file=self._stream, end="")

    def flush(self) -> None:
        self._stream.flush()


class ProgressBar:
    """A bar, and what it says of itself.

    Args:
        handlers: What logs to the terminal.
    """

    def __init__(self, handlers: list[logging.StreamHandler[TextIO]]) -> None:
        """Stand between the log and its terminal."""
        self._handlers = [(handler, handler.stream) for handler in handlers]
        for handler, stream in self._handlers:
            handler.setStream(_Above(stream))  # type: ignore[arg-type]
        self._line = _Line(total=1, file=self._handlers[0][1], leave=False, dynamic_ncols=True, bar_format="{desc}")

    def draw(self, share: float | None, text: str) -> None:
        """Draw it anew; the share is from 0 to 1, or None where nobody knows it."""
        self._line.bar_format = "{desc}" if share is None else "{percentage:3.0f} % |{bar:20}| {desc}"
        self._line.n = share or 0
        self._line.set_description_str(text, refresh=True)

    def close(self) -> None:
        """Clear it, and give the terminal back to the log."""
        self._line.close()
        for handler, stream in self._handlers:
            handler.setStream(stream)
