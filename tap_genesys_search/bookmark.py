"""The state of a stream: where a run begins, and what may be written down when. Pure.

Beside the SDK's ``replication_key_value`` a state holds ``source`` (a fingerprint of API, client and query), ``since``
(the moment from which everything up to the bookmark has been read) and ``run_start`` (when the run began that had read
up to the bookmark).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from tap_genesys_search import timestamps
from tap_genesys_search.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Mapping

REPLICATION_KEY: Final = "timestamp"
_EVERYTHING: Final = "*"


def fingerprint(base_url: str, client_id: str, query: str) -> str:
    """Return a short text that changes when the API's host, the client or the query does, and that reveals none."""
    url = urlsplit(base_url)
    parts = (url.hostname or "", str(url.port or (80 if url.scheme == "http" else 443)), client_id, query)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Stored:
    """What an earlier run wrote; instants in milliseconds since 1970."""

    bookmark: int | None = None
    run_start: int | None = None
    since: int | None = None
    source: str | None = None

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Stored:
        """Read a stream's state, the SDK's plain one included.

        Raises:
            StateError: It holds something else where a timestamp belongs.
        """
        if state.get("replication_key", REPLICATION_KEY) != REPLICATION_KEY:
            return cls()
        since = state.get("since")
        source = state.get("source")
        return cls(
            bookmark=_instant(state, "replication_key_value"),
            run_start=_instant(state, "run_start"),
            since=timestamps.BEGIN if since == _EVERYTHING else _instant(state, "since"),
            source=None if source is None else str(source),
        )


class Bookmark:
    """The bookmark of one run.

    Args:
        stored: What the earlier run wrote.
        source: The present fingerprint.
        start_date: Setting, milliseconds since 1970; None: from the beginning.
        lookback: How late the index may show a record, milliseconds.
        on_source_change: ``fail``, ``keep`` or ``restart``.

    Attributes:
        start: Where this run begins to read.
        change: What is another than when the state was written, in words, or None; the settings accept it.
        warning: A hole that the settings make, in words, or None.

    Raises:
        StateError: Something older than the bookmark was read by another question, or not at all.
    """

    def __init__(
        self, stored: Stored, *, source: str, start_date: int | None, lookback: int, on_source_change: str
    ) -> None:
        """Decide where to begin."""
        begin = timestamps.BEGIN if start_date is None else start_date
        change = _change(stored, source, begin)
        if change is not None and on_source_change == "fail":
            message = (
                f"{change}, so what is older than the bookmark may be missing; set on_source_change to restart (read it"
                " all again) or to keep (accept it and go on), or give this run a state of its own"
            )
            raise StateError(message)
        self.change = change
        restart = change is not None and on_source_change == "restart"
        self._stored = Stored() if restart else stored
        self._since = stored.since if change is None else None
        self._source = source
        self._begin = begin
        self._lookback = lookback
        self._newest: int | None = None
        self._run_start = 0
        self._advanced = self._stored.bookmark is None
        self.warning: str | None = None
        self.start = begin
        #: When the run began whose lookback start_date cuts off; None: it is read in full.
        self._cut_off: int | None = None
        bookmark = self._stored.bookmark
        if bookmark is not None:
            previous = bookmark if self._stored.run_start is None else self._stored.run_start
            settled = timestamps.not_before_all(min(bookmark, previous - lookback))
            self.start = max(begin, settled)
            # What lies before `since` no run has read, so nothing is cut off there.
            if begin > settled and (self._since is None or begin > self._since):
                self._cut_off = previous
            if begin > bookmark:
                self.warning = (
                    f"start_date is after the bookmark: nothing from {timestamps.write(bookmark)} to"
                    f" {timestamps.write(begin)} is read"
                )

    @property
    def previous(self) -> int | None:
        """The stored bookmark."""
        return self._stored.bookmark

    def begin(self, run_start: int) -> None:
        """Note when this run began, by the earlier clock."""
        self._run_start = run_start

    def emitted(self, newest: int) -> bool:
        """Note that everything up to this instant has been passed on; return whether the state advances with it.

        While the run reads again what lies below the stored bookmark the state stays as it was: were it to advance at
        once, a kill would make the next run look back from this run's start, past what this run had not read yet.
        """
        self._newest = newest if self._newest is None else max(self._newest, newest)
        if self._stored.bookmark is None or newest > self._stored.bookmark:
            self._advanced = True
        return self._advanced

    def finished(self, end: int) -> bool:
        """Note that the run was read to its end; return whether that changes the state."""
        bookmark = self._stored.bookmark
        if bookmark is None:
            return self._newest is not None
        if end > bookmark:
            self._advanced = True
        return self._advanced

    def state(self) -> dict[str, str]:
        """Return what to write, once there is a bookmark.

        Nothing is written without one: loaders merge states, and a new fingerprint beside an old bookmark would pass
        that off as read by this question.
        """
        stored = self._stored.bookmark
        emitted = None if self._newest is None else min(self._newest, self._run_start)
        newest = max(each for each in (emitted, stored) if each is not None)
        since = self._begin if self._since is None else min(self._begin, self._since)
        run_start = self._run_start
        # By now a run would no longer look back that far: or the same would be read again for ever.
        let_go = self._cut_off is not None and self._run_start - self._lookback >= self._begin
        if let_go or (stored is not None and stored < self._begin <= newest):
            # What lies between was not read: whoever moves start_date back has to be told.
            since = self._begin
        elif self._cut_off is not None:
            # What showed late before start_date was not looked for: a run without it has to.
            run_start = min(run_start, self._cut_off)
        return {
            "replication_key": REPLICATION_KEY,
            "replication_key_value": timestamps.write(newest),
            "source": self._source,
            "since": _EVERYTHING if since <= timestamps.BEGIN else timestamps.write(since),
            "run_start": timestamps.write(run_start),
        }


def _change(stored: Stored, source: str, begin: int) -> str | None:
    if stored.bookmark is None:
        return None
    if stored.source is not None and stored.source != source:
        return "the state was written for another API host, client_id or query"
    if stored.since is not None and begin < stored.since:
        return f"start_date is before {timestamps.write(stored.since)}, from which on everything was read"
    return None


def _instant(state: Mapping[str, Any], key: str) -> int | None:
    value = state.get(key)
    if value is None:
        return None
    try:
        return timestamps.parse(value)
    except (ValueError, AttributeError, TypeError):
        message = f"the state's {key} is {str(value)[:40]!r}, no date-time; repair the state, or start without one"
        raise StateError(message) from None
