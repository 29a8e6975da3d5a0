"""Singer messages on stdout: a page of RECORD lines in one go, and never half a line."""

from __future__ import annotations

import datetime as dt
import errno
import os
import select
import signal
import stat
import sys
import threading
import time
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

import msgspec
from singer_sdk.contrib.msgspec import MsgSpecWriter, enc_hook
from typing_extensions import override

from tap_genesys_search.errors import GenesysSearchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from singer_sdk.singerlib.encoding.simple import Message

    from tap_genesys_search.records import Record

#: Seconds after SIGTERM for which a reader may take nothing before its pipe is given up, half a line or not.
PATIENCE: Final = 30.0

#: What a pipe that polls as writable takes without blocking (POSIX: at least 512; Linux and macOS: more than this).
_PIPE_BUF: Final = min(4096, select.PIPE_BUF)

_encoder: Final = msgspec.json.Encoder(enc_hook=enc_hook, decimal_format="number")


class _RecordLine(msgspec.Struct, tag_field="type", tag="RECORD"):
    stream: str
    record: dict[str, Any]
    time_extracted: str


@dataclass(frozen=True, slots=True)
class PageMessage:
    """RECORD messages that are written together: the names of their streams, and the records."""

    streams: Iterable[str]
    records: Iterable[Record]

    def encode(self) -> bytes:
        """Return one line for each record."""
        now = dt.datetime.now(dt.UTC).isoformat()
        return _encoder.encode_lines(list(map(_RecordLine, self.streams, self.records, repeat(now))))


class PageWriter(MsgSpecWriter):
    """The SDK's msgspec writer, and pages.

    While it writes, SIGINT and SIGTERM wait for the end of the line (`defer_signals`): the handler's own STATE message
    would else land in the middle of one.
    """

    def __init__(self) -> None:
        """Write to stdout."""
        super().__init__()
        self._writing = False
        self._pending: tuple[int, float] | None = None
        self._handler: Callable[[int, FrameType | None], Any] | None = None

    def defer_signals(self, handler: Callable[[int, FrameType | None], Any]) -> None:
        """Have SIGINT and SIGTERM handled, but behind the end of what is being written."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._handler = handler
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    @override
    def write_message(self, message: Message | PageMessage) -> None:
        """Write a message, or a page of them.

        Raises:
            GenesysSearchError: The reader is gone, or the disk that the output goes to is full or has a fault.
        """
        data = message.encode() if isinstance(message, PageMessage) else self.format_message(message)
        self._writing = True
        try:
            self._write(data)
        except OSError as error:
            # Nothing may follow half a line. The interpreter, too, flushes stdout once more on its way out.
            if sys.stdout is not None:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            reason = "whoever reads the output has gone away; its own log says why"
            if not isinstance(error, BrokenPipeError):
                reason = f"the output cannot be written ({error.strerror}); see to its disk, then start again"
            raise GenesysSearchError(reason) from error
        finally:
            self._writing = False
            pending, self._pending = self._pending, None
        if pending is not None:
            self._end(pending[0], None)

    def _end(self, number: int, frame: FrameType | None) -> None:
        """Let the SDK write its last STATE and leave; not with its 0, which a scheduler would take for a whole run."""
        try:
            if self._handler is not None:
                self._handler(number, frame)
        except SystemExit:
            sys.exit(128 + number)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._writing:
            self._end(number, frame)
        elif self._pending is None:
            self._pending = (number, time.monotonic())

    def _write(self, data: bytes | bytearray) -> None:
        """Write all of it; into a pipe by pieces that do not block, so that a reader who is gone can be given up."""
        if sys.stdout is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        sys.stdout.flush()
        if not _is_pipe():
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
            return
        fd = sys.stdout.fileno()
        ready = select.poll()
        ready.register(fd, select.POLLOUT)
        rest = memoryview(data)
        moved = time.monotonic()
        while rest:
            if ready.poll(1000):
                rest = rest[os.write(fd, rest[:_PIPE_BUF]) :]
                moved = time.monotonic()
            elif self._pending is not None and time.monotonic() - max(moved, self._pending[1]) > PATIENCE:
                os._exit(128 + self._pending[0])


def _is_pipe() -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):
        return False
