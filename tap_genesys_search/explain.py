"""One conversation: what the source knows of its id, and what the next run will do with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tap_genesys_search import timestamps
from tap_genesys_search.bookmark import Bookmark, Stored, fingerprint
from tap_genesys_search.configuration import read_json
from tap_genesys_search.empty_pages import ask_past_empty
from tap_genesys_search.errors import ConfigurationError, ContractError, StateError
from tap_genesys_search.progress import describe_minutes
from tap_genesys_search.question import Axis, Question, quoted
from tap_genesys_search.records import STREAM

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_genesys_search.records import Answer
    from tap_genesys_search.settings import Settings

#: Where an id can stand; a conversation may have either alone.
_ID_FIELDS: Final = ("conversationId", "id")
#: What a state lies in, where others wrote it: `meltano state get`, Meltano's own store, a STATE message.
_WRAPPINGS: Final = ("singer_state", "completed_state", "completed", "value")


@dataclass(frozen=True, slots=True)
class Found:
    """What the source knows of an id; `at` is its timestamp in milliseconds since 1970, None without a usable one."""

    exists: bool
    matches: bool = False
    at: int | None = None


class ById(Question):
    """A search with no range of time: a conversation without a timestamp lies in none."""

    def body(self, query: str) -> dict[str, Any]:
        """Return the request body for a Lucene query."""
        sort = [{"field": "timestamp", "direction": self.axis.value}]
        return {"query": query, "type": "conversation", "size": self.size, "sort": sort}


def look_up(ask: Callable[[Question, str], Answer], query: str, identity: str) -> Found:
    """Ask for one id, without the query and with it: one to three searches.

    Raises:
        ConfigurationError: The id cannot be asked for.
        ContractError: The API searches ids by their parts, and the right one is not among the first answers.
    """
    try:
        identity.encode()
    except UnicodeEncodeError:
        message = f"{identity!r} is no id: it holds half a character (a lone surrogate)"
        raise ConfigurationError(message) from None
    term = quoted(identity)
    # What is bare may still be an operator, such as AND or a leading minus.
    term = term if term.startswith('"') else f'"{term}"'
    for name in _ID_FIELDS:
        exists, at = _newest(ask, f"{name}:{term}", identity)
        if exists:
            everything = query.strip("()") in {"*", "*:*"}
            matches, matched_at = (True, at) if everything else _newest(ask, f"{name}:{term} AND ({query})", identity)
            return Found(exists, matches, matched_at if matches else at)
    return Found(exists=False)


def _newest(ask: Callable[[Question, str], Answer], query: str, identity: str) -> tuple[bool, int | None]:
    answer = ask_past_empty(ask, ById(timestamps.BEGIN, timestamps.END, Axis.NEWEST_FIRST), query)
    stamps = [stamp for each, stamp in zip(answer.ids, answer.stamps, strict=True) if each == identity]
    if answer.more and not stamps:
        what = "with many others" if answer.records else "with empty pages that have a nextPage"
        message = f"the API does not search exactly for the id {identity!r}: it answers {what}"
        raise ContractError(message)
    return bool(stamps), max((timestamps.parse(stamp) for stamp in stamps if stamp is not None), default=None)


def read_state(path: str) -> Stored:
    """Read what a file with a state says of the stream: Singer's, Meltano's, or a STATE message.

    Raises:
        ConfigurationError: It cannot be read.
        StateError: It is no state.
    """
    _, document = read_json(Path(path), "state", StateError)
    while isinstance(document, dict) and "bookmarks" not in document:
        inner = [document[name] for name in _WRAPPINGS if name in document]
        if not inner:
            break
        document = inner[0]
    if document == {}:
        return Stored()
    bookmarks = document.get("bookmarks") if isinstance(document, dict) else None
    entry = bookmarks.get(STREAM, {}) if isinstance(bookmarks, dict) else None
    if not isinstance(entry, dict):
        message = f"the state file {path} holds no state: it must be an object with bookmarks by stream"
        raise StateError(message)
    return Stored.from_state(entry)


def next_run(settings: Settings, stored: Stored) -> Bookmark:
    """Return the bookmark that the next run would begin with.

    Raises:
        StateError: The next run would stop, as the state was written by another question.
    """
    return Bookmark(
        stored,
        source=fingerprint(settings.base_url, settings.client_id, settings.query),
        start_date=settings.start,
        lookback=settings.lookback_seconds * 1000,
        on_source_change=settings.on_source_change,
    )


def explain(identity: str, found: Found, settings: Settings, stored: Stored | None, now: int) -> list[str]:
    """Say in a few lines where a conversation stands, and what the next run will do with it.

    Args:
        identity: Its id.
        found: What the source knows of it.
        settings: Of the tap.
        stored: The state, if one was given.
        now: Milliseconds since 1970.
    """
    if not found.exists:
        return [
            f"{identity}: the source has no conversation with this id now, whatever the query.",
            "It was deleted, or never existed, or is not indexed yet, or this client may not see its division.",
            "-> No run will read it while that is so; a row of it in the warehouse stays as it is.",
        ]
    lines = [f"{identity}: the source has it, {_when(found.at, now)}."]
    verdict = "matches" if found.matches else "does NOT match"
    lines.append(f"query       {settings.query}  (it {verdict})")
    lines += _place("start_date", settings.start, found.at)
    lines += _place("end_date", settings.end, found.at)
    bookmark, stop = None, None
    try:
        bookmark = next_run(settings, stored or Stored())
    except StateError as error:
        stop = str(error)
    if stored is None:
        lines.append("state       none given (--state): as if nothing had been read yet")
    elif stored.bookmark is None:
        lines.append("bookmark    none: nothing has been read yet")
    else:
        lines += _place("bookmark", stored.bookmark, found.at)
        lines += _place("last run", stored.run_start, found.at)
    if bookmark is not None and stored is not None and stored.bookmark is not None:
        lines += _place(
            "next run", bookmark.start, found.at, f" on, lookback_seconds {settings.lookback_seconds:,} included"
        )
    return [*lines, f"-> {_verdict(found, settings, bookmark, stop, now)}"]


def _when(at: int | None, now: int) -> str:
    if at is None:
        return "without a usable timestamp"
    ago = (now - at) / 1000
    return f"timestamp {timestamps.write(at)} ({_span(abs(ago))} {'ago' if ago >= 0 else 'in the future'})"


def _span(seconds: float) -> str:
    """Write a duration for people, roughly."""
    for unit, size in (("days", 86_400), ("h", 3_600)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return describe_minutes(seconds)


def _place(name: str, edge: int | None, at: int | None, note: str = "") -> list[str]:
    if edge is None or edge <= timestamps.BEGIN:
        return []
    if at is None:
        return [f"{name:<11} {timestamps.write(edge)}{note}"]
    side = "before it" if at < edge else "after it" if at > edge else "exactly there"
    return [f"{name:<11} {timestamps.write(edge)}{note}  (the conversation lies {side})"]


def _verdict(found: Found, settings: Settings, bookmark: Bookmark | None, stop: str | None, now: int) -> str:
    """Say whether the next run reads it, and why: the first reason that stands against it."""
    if stop is not None:
        return f"The next run will read nothing: {stop}."
    if found.at is None or not found.matches:
        reason = "without a timestamp it lies in no range" if found.matches else "it does not match the query"
        return f"No run will read it while that is so: {reason}. A row of it in the warehouse stays as it is."
    if settings.start is not None and found.at < settings.start:
        return "The next run will NOT read it: it lies before start_date."
    if settings.end is not None and found.at >= settings.end:
        return "The next run will NOT read it: it does not lie before end_date."
    if bookmark is not None and found.at < bookmark.start:
        why = "an earlier run has read that time"
        if bookmark.change is not None:
            why = f"{bookmark.change}, and on_source_change is keep, so it goes on from the bookmark"
        return (
            f"The next run will NOT read it: {why}. If the warehouse lacks it, read its day"
            " again by a run with start_date, end_date and a state of its own."
        )
    limit = "" if settings.max_results is None else f", unless max_results {settings.max_results:,} is reached before"
    when = "Only a run that starts after that timestamp" if found.at > now else "The next run"
    return f"{when} will read it{limit}: {_why(found.at, bookmark)}."


def _why(at: int, bookmark: Bookmark | None) -> str:
    previous = None if bookmark is None else bookmark.previous
    if bookmark is not None and bookmark.change is not None and previous is None:
        return f"{bookmark.change}, and on_source_change is restart, so all is read again"
    if previous is None:
        return "nothing has been read yet"
    return "it is newer than the bookmark" if at > previous else "it lies in the lookback, which is read again"
