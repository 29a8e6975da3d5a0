"""A backfill: how its range is cut into windows, and how it hands over to the sync."""

from __future__ import annotations

import math
import re
from copy import deepcopy
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

from genesys_search_config import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from genesys_search_config import State

STREAM: Final = "conversations"

#: Airflow maps no more tasks than this, unless it is told to.
_MOST_WINDOWS: Final = 1000
#: Longer than any range, and no more than a calendar holds.
_LONGEST_DAYS: Final = 4_000_000
_UTC: Final = timezone.utc  # noqa: UP017 - Airflow runs on Python 3.10 too


def parse(text: str) -> datetime:
    """Read an ISO 8601 text, down to the millisecond, as the tap does; without a zone it is UTC.

    Raises:
        Failure: It is none.
    """
    try:
        moment = datetime.fromisoformat(re.sub("Z$", "+00:00", text.strip().upper()))
    except (ValueError, AttributeError):
        refuse(f"{str(text)[:40]!r} is no date-time such as 2026-01-01T00:00:00Z")
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=moment.tzinfo or _UTC)


def write(moment: datetime) -> str:
    """Write a moment as the tap writes it."""
    return moment.astimezone(_UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def windows(start: str, end: str | None, days: float, *, not_after: Iterable[str]) -> list[dict[str, str]]:
    """Cut a range into windows that share their edges.

    Args:
        start: First moment.
        end: End, exclusive; None: as late as may be.
        days: How long a window is.
        not_after: Moments after which the range can't end: when it was triggered, and when it began.

    Raises:
        Failure: There is nothing in it, or too much.
    """
    low = parse(start)
    high = min(map(parse, [*not_after, *([end] if end else [])]))
    if not days > 0:
        refuse("window_days must be above 0")
    if low >= high:
        refuse(f"the range from {write(low)} to {write(high)} is empty", "give a start that is before its end")
    if (high - low) / timedelta(days=1) > _MOST_WINDOWS * days:
        refuse(f"the range has more than {_MOST_WINDOWS} windows", "trigger it again with a larger window_days")
    # In whole milliseconds: what is shorter would be an empty window.
    step = timedelta(milliseconds=math.ceil(min(days, _LONGEST_DAYS) * 86_400_000))
    edges = [low]
    while high - edges[-1] > step:
        edges.append(edges[-1] + step)
    return [{"start": write(a), "end": write(b)} for a, b in zip(edges, [*edges[1:], high], strict=True)]


def bookmark_of(state: State) -> State:
    """What a state says of the stream; nothing at first."""
    found: State = (state.get("bookmarks") or {}).get(STREAM) or {}
    return found


def seam(stored: State, bookmarks: Sequence[State], plan: Sequence[Mapping[str, str]], started: str) -> State | None:
    """Join a backfill to the sync: return the state that the sync goes on from, or None if nothing was found.

    By it the sync reads once more what changed or showed late since the backfill began, with no window running that
    could load something older after it.

    Args:
        stored: The sync's state.
        bookmarks: What each window's state says of the stream, once all of them have succeeded.
        plan: The windows, in order.
        started: When the backfill began.

    Raises:
        Failure: Windows and sync were not read by the same question, so that one bookmark can't stand for both.
    """
    found = [each for each in bookmarks if each.get("replication_key_value")]
    if not found:
        return None
    sources = {each.get("source") for each in found}
    old = bookmark_of(stored)
    newest = [str(each["replication_key_value"]) for each in found]
    since, run_start = plan[0]["start"], started
    if len(sources) > 1:
        refuse(
            "the windows were read with different settings (API host, client_id or query)",
            "clear those that ran before the change, with Downstream",
        )
    if old.get("replication_key_value"):
        if old.get("source") not in {None, *sources}:
            refuse(
                "the sync's state was written for another API host, client_id or query than this backfill's",
                "run the sync with on_source_change first (keep or restart), or use another project for this question",
            )
        if parse(str(old["replication_key_value"])) < parse(since):
            # Nobody has read what lies between: the sync goes on from where it was.
            newest = []
        newest.append(str(old["replication_key_value"]))
        # A state that lacks it: the tap looks back from the bookmark.
        run_start = min(started, str(old.get("run_start") or old["replication_key_value"]), key=parse)
        if old.get("since") == "*" or (old.get("since") and not _reaches(plan, str(old["since"]))):
            since = str(old["since"])
    new = {
        **old,
        "replication_key": "timestamp",
        "replication_key_value": write(max(map(parse, newest))),
        "source": sources.pop(),
        "since": since,
        "run_start": write(parse(run_start)),
    }
    state = deepcopy(stored)
    state.setdefault("bookmarks", {})[STREAM] = new
    return state


def _is_earlier(since: str, than: str) -> bool:
    if "*" in (since, than) or not since:
        return since == "*" != than
    return parse(since) < parse(than)


def _reaches(plan: Sequence[Mapping[str, str]], since: str) -> bool:
    """Whether the windows begin before that moment and leave no hole up to it."""
    return parse(plan[0]["start"]) < parse(since) <= parse(plan[-1]["end"])


def rejoin(stored: State, joined: State) -> State | None:
    """Return what the sync has to go on from where a run that outlived its worker has written over the seam.

    Args:
        stored: The sync's state.
        joined: What the seam has last made of the stream's.

    Returns:
        None: The state is as the seam has left it, or a person has moved the bookmark, begun anew or reads older years.
    """
    old = bookmark_of(stored)
    if not old.get("replication_key_value") or old.get("source") != joined["source"]:
        return None
    if old.get("run_start") == joined["run_start"] or _is_earlier(str(old.get("since") or ""), joined["since"]):
        return None
    new = {
        **old,
        **joined,
        "replication_key_value": max(old["replication_key_value"], joined["replication_key_value"], key=parse),
        "run_start": min(old.get("run_start") or old["replication_key_value"], joined["run_start"], key=parse),
    }
    if new == old:
        return None
    state = deepcopy(stored)
    state["bookmarks"][STREAM] = new
    return state
