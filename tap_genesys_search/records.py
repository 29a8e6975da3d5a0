"""An answer's bytes to records: decoded exactly, values made safe for every loader, ids and timestamps in one form."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Clamped, Context, Decimal, Inexact, InvalidOperation, Overflow, Rounded, Subnormal, Underflow
from functools import partial
from importlib import resources
from itertools import repeat
from operator import contains, itemgetter
from typing import Any, Final

import msgspec

from tap_genesys_search import timestamps
from tap_genesys_search.errors import ContractError

Record = dict[str, Any]

#: The name of the stream that the records are of, and of its schema.
STREAM: Final = "conversations"
#: What claims to be more is no number of conversations.
MAX_TOTAL: Final = 10**15
#: Deeper values are carried as JSON text. PostgreSQL and Python's own decoder take 500 levels and refuse 5,000.
MAX_DEPTH: Final = 500
#: Digits before and after the point that PostgreSQL's numbers hold; what has more is carried as text.
MAX_WHOLE_DIGITS: Final = 131_072
MAX_DECIMALS: Final = 16_383
#: Where a value stands that is not of its key's type, under ``fields`` and by the key.
RESCUED: Final = "_rescued"

_LEVELS_ABOVE_A_RECORD: Final = 2
_USUAL_DEPTH: Final = 20
_NO_BRACKETS: Final = bytes(sorted(set(range(256)) - set(b"{}[]")))
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_NUL: Final = b"\\u0000"

_TOO_DEEP: Final = f"Values nested deeper than {MAX_DEPTH} levels are carried as JSON text"
_TOO_LONG: Final = (
    f"Numbers of more than {MAX_WHOLE_DIGITS:,} digits before the point or {MAX_DECIMALS:,} after it "
    "are carried as text"
)
_OTHER_TYPE: Final = "Some conversations have a {} of another type than the schema's: it is null, and kept as {}"

_REFUSALS: Final = [Clamped, Inexact, InvalidOperation, Overflow, Rounded, Subnormal, Underflow]
#: Far below what PostgreSQL holds, so that the exact look is left to the second decoder, which few answers need.
_usual: Final = Context(prec=8000, Emax=8000, Emin=-8000, traps=_REFUSALS)
_large: Final = Context(
    prec=MAX_WHOLE_DIGITS + MAX_DECIMALS, Emax=MAX_WHOLE_DIGITS - 1, Emin=-MAX_DECIMALS, traps=_REFUSALS
)
_decoder: Final = msgspec.json.Decoder(float_hook=_usual.create_decimal)

_TYPES: Final[dict[str, set[type]]] = {
    "string": {str},
    "number": {int, Decimal},
    "integer": {int},
    "boolean": {bool},
    "object": {dict},
    "array": {list},
    "null": {type(None)},
}
#: What the reading itself puts in order.
_NAMES: Final = {"id", "conversationId", "timestamp"}


def _typed(schema: dict[str, Any]) -> dict[str, set[type]]:
    """Which Python types each key of an object may have."""
    return {
        key: set().union(*(_TYPES[kind] for kind in value["type"]))
        for key, value in schema["properties"].items()
        if key not in _NAMES
    }


_schema: Final = json.loads(resources.files(__package__).joinpath("streams", "schemas", f"{STREAM}.json").read_bytes())
_top_types: Final = _typed(_schema)
_field_types: Final = _typed(_schema["properties"]["fields"])


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
    #: The platform's name for the request.
    trace: str | None = None
    #: What was changed in its values, in words for the log.
    notes: set[str] = field(default_factory=set)
    #: Whether every record has an id and a timestamp, which is what makes the short ways below right.
    regular: bool = field(default=True)

    @property
    def more(self) -> bool:
        """Whether the API says that more follows: the presence of ``nextPage``, and nothing else."""
        return self.token is not None

    @property
    def span(self) -> int | None:
        """Milliseconds between the first and the last record; None where neither has a timestamp."""
        ends = [timestamps.parse(stamp) for stamp in (*self.stamps[:1], *self.stamps[-1:]) if stamp is not None]
        return abs(ends[-1] - ends[0]) if ends else None

    def only(self, keep: list[int]) -> Answer:
        """Return the answer with the records at these places."""
        records, ids = [self.records[index] for index in keep], [self.ids[index] for index in keep]
        return replace(self, records=records, ids=ids, stamps=[self.stamps[index] for index in keep])


@dataclass(slots=True)
class Batch:
    """The records that an answer brought and that the reading had not had: parallel lists, in the answer's order."""

    records: list[Record] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    stamps: list[str | None] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.records)

    @property
    def last(self) -> int | None:
        """The instant of the last record that has one, in milliseconds since 1970."""
        stamp = next((stamp for stamp in reversed(self.stamps) if stamp is not None), None)
        return None if stamp is None else timestamps.parse(stamp)


def parse(body: bytes, served_at: int | None = None) -> Answer:
    """Decode the body of an answer.

    Args:
        body: UTF-8 JSON as received.
        served_at: The answer's ``Date``, in milliseconds since 1970.

    Raises:
        CutBodyError: The body is no whole JSON document.
        ContractError: It is one, but not that of a search.
    """
    notes: set[str] = set()
    document = _decode(body, notes)
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
        total=total if isinstance(total, int) and not isinstance(total, bool) and 0 <= total < MAX_TOTAL else None,
        size=len(body),
        served_at=served_at,
        notes=notes,
    )
    _name(answer)
    if not _is_typed(results):
        for record in results:
            _rescue(record, notes)
    return answer


def _name(answer: Answer) -> None:
    """Tell ids and timestamps, and bring both into one form."""
    results = answer.records
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
            return
    except (KeyError, TypeError):
        pass
    _normalise(answer)


def _normalise(answer: Answer) -> None:
    """Go through the records one by one, where the page is not all in the usual form."""
    for record in answer.records:
        if not isinstance(record, dict):
            message = f"the API's results hold a {type(record).__name__}, not a conversation"
            raise ContractError(message)
        identity = next((str(v) for v in (record.get("id"), record.get("conversationId")) if _is_id(v)), None)
        if identity is not None:
            record["id"] = record["conversationId"] = identity
        stamp: str | None = None
        with suppress(ValueError):
            stamp = timestamps.write(timestamps.parse(record.get("timestamp", "")))
        record["timestamp"] = stamp
        answer.ids.append(identity)
        answer.stamps.append(stamp)
    answer.regular = None not in answer.ids and None not in answer.stamps


def _is_id(value: object) -> bool:
    return value != "" and isinstance(value, (str, int)) and not isinstance(value, bool)


def _is_typed(results: list[Record]) -> bool:
    """Tell whether every value is of its key's type: key by key over a whole page, as it is the usual case."""
    columns = {key: _column(results, key) for key in _top_types}
    if not all(_fits(columns[key], kinds) for key, kinds in _top_types.items()):
        return False
    fields = list(filter(None, columns["fields"]))
    return not any(map(contains, fields, repeat(RESCUED))) and all(
        _fits(_column(fields, key), kinds) for key, kinds in _field_types.items() if key != RESCUED
    )


def _column(objects: list[Record], key: str) -> list[Any]:
    try:
        return list(map(itemgetter(key), objects))
    except KeyError:
        return list(map(dict.get, objects, repeat(key)))


def _fits(values: list[Any], kinds: set[type]) -> bool:
    if str in kinds:
        try:
            "".join(values)
        except TypeError:
            pass
        else:
            return True  # found faster than by a look at each type
    return kinds.issuperset(map(type, values))


def _rescue(record: Record, notes: set[str]) -> None:
    """Move what is not of its key's type, which makes a target stop, to where any type may stand."""
    rescued = _taken(record, _top_types, "", notes)
    fields = record.get("fields") or {}
    rescued |= _taken(fields, _field_types, "fields.", notes)
    if rescued:
        # What the API itself has there is kept, by its own key.
        if fields.get(RESCUED) is not None:
            rescued[RESCUED] = fields[RESCUED]
        record["fields"] = {**fields, RESCUED: rescued}


def _taken(values: Record, types: dict[str, set[type]], prefix: str, notes: set[str]) -> Record:
    """Take out the values that are not of their types; null stands in their places."""
    taken = {key: values[key] for key, kinds in types.items() if key in values and type(values[key]) not in kinds}
    values.update(dict.fromkeys(taken))
    notes.update(_OTHER_TYPE.format(prefix + key, f"fields.{RESCUED}.{key}") for key in taken)
    return taken


def _decode(body: bytes, notes: set[str]) -> Any:
    if _may_be_deep(body):
        body = _flattened(body, notes)
    try:
        document = _decoder.decode(body)
    except RecursionError:
        # Brackets inside strings can hide depth from the cheap look.
        flat = _flattened(body, notes)
        if len(flat) == len(body):
            raise _cut(body) from None
        return _decode(flat, notes)
    except (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError):
        # Bad UTF-8, lone surrogates and huge numbers read the same as a cut body here: the second decoder tells them
        # apart.
        document = _decode_slowly(_flattened(body, notes), notes)
        _clean(document)
    else:
        # One character is found in next to no time; from the end, the one that is looked at first is the rare one.
        if b"\\" in body and body.rfind(_NUL) >= 0:
            _clean(document)
    return document


def _decode_slowly(body: bytes, notes: set[str]) -> Any:
    try:
        return json.loads(
            body.decode(errors="replace"),
            parse_float=partial(_number, notes=notes),
            parse_int=partial(_integer, notes=notes),
            parse_constant=lambda _: None,
        )
    except (ValueError, RecursionError) as error:
        raise _cut(body) from error


def _cut(body: bytes) -> CutBodyError:
    return CutBodyError(f"the body is no whole JSON document ({len(body)} bytes)")


def _integer(text: str, notes: set[str]) -> int | Decimal | str:
    try:
        return int(text)
    except ValueError:
        # Longer than Python reads, here and in a target: there a point makes it a Decimal.
        number = _number(f"{text}.0", notes)
        return number if isinstance(number, Decimal) else text


def _number(text: str, notes: set[str]) -> Decimal | str:
    try:
        number = _large.create_decimal(text)
        if int(number.as_tuple().exponent) >= -MAX_DECIMALS:
            return number
    except ArithmeticError:
        pass
    notes.add(_TOO_LONG)
    return text


def _clean(document: Any) -> None:
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


def _clean_text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return value.replace("\0", "").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _may_be_deep(body: bytes) -> bool:
    """Tell whether a value may be nested deeper than MAX_DEPTH: cheap, and wrong only where strings hold brackets."""
    # Counts them, several times faster than `count` does.
    if len(body) - len(body.replace(b"{", b"").replace(b"[", b"")) <= MAX_DEPTH:
        return False
    brackets = body.translate(None, _NO_BRACKETS)
    for _ in range(_USUAL_DEPTH):
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if not brackets:
            return False
    return True


def _flattened(body: bytes, notes: set[str]) -> bytes:
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
    if depth > 0:
        raise _cut(body)
    if parts:
        notes.add(_TOO_DEEP)
    return b"".join([*parts, body[copied:]])
