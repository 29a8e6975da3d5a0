"""An answer's bytes to records: decoded exactly, values made safe for every loader, ids and timestamps in one form."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import msgspec

from tap_genesys_search import timestamps
from tap_genesys_search.errors import ContractError

Record = dict[str, Any]

#: Deeper values are carried as JSON text. PostgreSQL and Python's own decoder take 500 levels and refuse 5,000.
MAX_DEPTH: Final = 500

_LEVELS_ABOVE_A_RECORD: Final = 2
_USUAL_DEPTH: Final = 20
_NO_BRACKETS: Final = bytes(sorted(set(range(256)) - set(b"{}[]")))
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)

_decoder: Final = msgspec.json.Decoder(float_hook=Decimal)
_logger: Final = logging.getLogger("tap-genesys-search.records")


class CutBodyError(ValueError):
    """The body is no whole JSON document: the connection or a proxy cut it."""


@dataclass(slots=True)
class Answer:
    """One page of results, in the order in which the API gave them.

    ``ids`` and ``stamps`` run parallel to ``records``; an id is None where the record had none, a stamp is None where
    its timestamp was missing or no date-time.
    """

    records: list[Record]
    ids: list[str | None]
    stamps: list[str | None]
    token: str | int | None = None
    total: int | None = None
    size: int = 0
    served_at: int | None = None
    #: Monotonic seconds when the request left: what it waited for the rate limit before does not make the answer older.
    sent_at: float | None = None
    #: Whether every record has an id and a timestamp, which is what makes the short ways below right.
    regular: bool = field(default=True)

    @property
    def more(self) -> bool:
        """Whether the API says that more follows: the presence of ``nextPage``, and nothing else."""
        return self.token is not None


def parse(body: bytes, served_at: int | None = None) -> Answer:
    """Decode the body of an answer.

    Args:
        body: UTF-8 JSON as received.
        served_at: The answer's ``Date``, in milliseconds since 1970.

    Raises:
        CutBodyError: The body is no whole JSON document.
        ContractError: It is one, but not that of a search.
    """
    document = _decode(body)
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, list):
        message = "the API answered 200 without a list of results; check base_url"
        raise ContractError(message)
    token = document.get("nextPage")
    if token is not None and (not isinstance(token, (str, int)) or isinstance(token, bool) or token == ""):
        message = f"the API's nextPage is a {type(token).__name__}, not a token"
        raise ContractError(message)
    total = document.get("total")
    answer = Answer(
        results,
        [],
        [],
        token=token,
        total=total if isinstance(total, int) and not isinstance(total, bool) and total >= 0 else None,
        size=len(body),
        served_at=served_at,
    )
    try:
        ids = [record["id"] for record in results]
        stamps = [record["timestamp"] for record in results]
        if (
            ids == [record["conversationId"] for record in results]
            and all(ids)
            and isinstance("".join(ids), str)
            and timestamps.all_canonical(stamps)
        ):
            answer.ids, answer.stamps = ids, stamps
            return answer
    except (KeyError, TypeError):
        pass
    return _normalised(answer)


def _normalised(answer: Answer) -> Answer:
    """Go through the records one by one, where the page is not all in the usual form."""
    for record in answer.records:
        if not isinstance(record, dict):
            message = f"the API's results hold a {type(record).__name__}, not a conversation"
            raise ContractError(message)
        identity = next((str(v) for v in (record.get("id"), record.get("conversationId")) if _is_id(v)), None)
        if identity is not None:
            record["id"] = record["conversationId"] = identity
        stamp = record.get("timestamp")
        try:
            stamp = timestamps.write(timestamps.parse(stamp)) if isinstance(stamp, str) else None
        except (ValueError, OverflowError):
            stamp = None
        record["timestamp"] = stamp
        answer.ids.append(identity)
        answer.stamps.append(stamp)
    answer.regular = None not in answer.ids and None not in answer.stamps
    return answer


def _is_id(value: object) -> bool:
    return value != "" and isinstance(value, (str, int)) and not isinstance(value, bool)


def _decode(body: bytes) -> Any:  # noqa: ANN401 - whatever JSON the API sent
    if _may_be_deep(body):
        body = _flattened(body)
    try:
        document = _decoder.decode(body)
    except RecursionError:
        # Brackets inside strings can hide depth from the cheap look.
        return _decode(_flattened(body))
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Bad UTF-8 and lone surrogates read the same as a cut body here, so the second decoder has to tell them apart.
        try:
            document = json.loads(body.decode(errors="replace"), parse_float=Decimal, parse_constant=lambda _: None)
        except ValueError as error:
            message = f"the body is no whole JSON document ({len(body)} bytes)"
            raise CutBodyError(message) from error
        _clean(document)
    else:
        if b"\\u0000" in body:
            _clean(document)
    return document


def _clean(document: Any) -> None:  # noqa: ANN401
    """Remove NUL, which PostgreSQL refuses with the whole batch, and replace lone surrogates, which are no UTF-8."""
    pending = [document]
    while pending:
        node = pending.pop()
        items = list(node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ())
        if isinstance(node, dict):
            node.clear()
        for key, item in items:
            node[_clean_text(key)] = _clean_text(item)
            if isinstance(item, (dict, list)):
                pending.append(item)


def _clean_text(value: Any) -> Any:  # noqa: ANN401
    if not isinstance(value, str):
        return value
    return value.replace("\0", "").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _may_be_deep(body: bytes) -> bool:
    """Tell whether a value may be nested deeper than MAX_DEPTH: cheap, and never wrong when it says no."""
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return False
    brackets = body.translate(None, _NO_BRACKETS)
    for _ in range(_USUAL_DEPTH):
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if not brackets:
            return False
    return True


def _flattened(body: bytes) -> bytes:
    """Put what lies deeper than MAX_DEPTH levels into a record as JSON text: no decoder goes so deep."""
    limit = MAX_DEPTH + _LEVELS_ABOVE_A_RECORD
    parts: list[bytes] = []
    depth = start = copied = 0
    for token in _TOKEN.finditer(body):
        bracket = token.group()
        if bracket in b"{[":
            depth += 1
            if depth == limit + 1:
                start = token.start()
        elif bracket in b"}]":
            if depth == limit + 1:
                parts += body[copied:start], json.dumps(body[start : token.end()].decode(errors="replace")).encode()
                copied = token.end()
            depth -= 1
    if parts:
        _logger.warning("Values nested deeper than %d levels are carried as JSON text", MAX_DEPTH)
    return b"".join([*parts, body[copied:]])
