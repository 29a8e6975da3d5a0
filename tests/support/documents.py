"""Any JSON: the bytes that the API may send, and what shall come of them. Neither uses what the tap does."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.support.helpers import Message

MAX_DEPTH = 500
#: The keys whose types the schema tells.
TYPES: dict[str, tuple[type, ...]] = {"type": (str,), "fields": (dict,)}
FIELD_TYPES: dict[str, tuple[type, ...]] = {
    "channelType": (str,),
    "status": (str,),
    "durationSeconds": (Decimal,),
    "_rescued": (dict,),
}


def clean(text: str) -> str:
    """A string as every loader takes it."""
    return text.replace("\0", "").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class Value:
    """A JSON value: how it is written, and what it becomes at a level of a record."""

    def __init__(self, written: bytes, becomes: Any = None) -> None:
        self.written = written
        self._becomes = becomes

    def at(self, level: int) -> Any:
        """What it becomes."""
        return self._becomes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.written[:200]!r})"


class Text(Value):
    """A string, of what stands between its quotes."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        super().__init__(b'"' + b"".join(parts) + b'"')
        self.raw: str = json.loads(self.written.decode(errors="replace"))

    def at(self, level: int) -> str:
        """Clean."""
        return clean(self.raw)


class Number(Value):
    """A number, of its digits."""

    def at(self, level: int) -> Decimal | str:
        """The same, or as text what PostgreSQL does not hold."""
        text = self.written.decode()
        try:
            number = Decimal(text)
        except InvalidOperation:
            return text
        held = number.adjusted() < 131_072 and int(number.as_tuple().exponent) >= -16_383
        return number if held else text


class Container(Value):
    """A list or an object: deeper than the limit it is a text."""

    def at(self, level: int) -> Any:
        """What is in it, or the text."""
        return self.inside(level + 1) if level <= MAX_DEPTH else self.written.decode(errors="replace")

    def inside(self, level: int) -> Any:
        """What is in it."""
        raise NotImplementedError


class List(Container):
    """A list."""

    def __init__(self, items: list[Value]) -> None:
        super().__init__(b"[" + b",".join(item.written for item in items) + b"]")
        self._items = items

    def inside(self, level: int) -> list[Any]:
        """Item by item."""
        return [item.at(level) for item in self._items]


class Object(Container):
    """An object, whose keys may come twice, or be one another's without their NULs."""

    def __init__(self, pairs: list[tuple[Text, Value]]) -> None:
        super().__init__(b"{" + b",".join(key.written + b":" + item.written for key, item in pairs) + b"}")
        self.pairs = pairs

    def inside(self, level: int) -> dict[str, Any]:
        """Of a key that comes twice, the last counts."""
        last = {key.raw: item for key, item in self.pairs}
        return {clean(key): item.at(level) for key, item in last.items()}


class Nested(Container):
    """A value in many lists, or in many objects."""

    def __init__(self, levels: int, item: Value, *, objects: bool) -> None:
        opening, closing = (b'{"a":', b"}") if objects else (b"[", b"]")
        super().__init__(opening * levels + item.written + closing * levels)
        self._levels, self._item, self._objects = levels, item, objects
        self._sizes = len(opening), len(closing)

    def inside(self, level: int) -> Any:
        """Down to the limit."""
        kept = min(self._levels, MAX_DEPTH + 2 - level)
        opening, closing = (size * kept for size in self._sizes)
        text = self.written[opening : len(self.written) - closing].decode(errors="replace")
        found = text if kept < self._levels else self._item.at(level - 1 + kept)
        for _ in range(kept):
            found = {"a": found} if self._objects else [found]
        return found


def rescued(record: Message) -> Message:
    """A record where all values are of the types that the schema tells."""
    moved: Message = {}

    def sift(values: Message, types: dict[str, tuple[type, ...]]) -> Message:
        odd = {key: values[key] for key in types if values.get(key) is not None and type(values[key]) not in types[key]}
        moved.update(odd)
        return values | dict.fromkeys(odd)

    record = sift(record, TYPES)
    if record.get("fields"):
        record["fields"] = sift(record["fields"], FIELD_TYPES)
    if moved:
        fields = record.get("fields") or {}
        theirs = {} if fields.get("_rescued") is None else {"_rescued": fields["_rescued"]}
        record["fields"] = fields | {"_rescued": moved | theirs}
    return record


TEXTS = st.lists(
    st.builds(
        lambda text, ascii_only: json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode(),
        st.text(st.characters(codec="utf-8"), max_size=3),
        st.booleans(),
    )
    | st.sampled_from(
        [
            rb"\u0000",
            rb"\\u0000",
            rb"\ud800",
            rb"\udfff",
            rb"\ud83d\ude00",
            rb"\/",
            b"\xff",
            b"\xc3",
            b"\xed\xa0\x80",
            b"[{",
            b"]}",
            b"long" * 1_000,
        ]
    ),
    max_size=2,
).map(Text)
NUMBERS = (
    st.integers().map(str)
    | st.integers(-(10**40), 10**40).map(str)
    | st.decimals(allow_nan=False, allow_infinity=False).map(str)
    | st.tuples(st.integers(-9, 9), st.integers(0, 10**20), st.sampled_from("eE"), st.integers(-500, 500)).map(
        lambda parts: "{}.{}{}{:+}".format(*parts)
    )
    | st.sampled_from(
        [
            *(str(sign * 2**power + more) for sign in (1, -1) for power in (53, 63, 64) for more in (-1, 0, 1)),
            "-0",
            "-0.0",
            "0e9",
            "1e400",
            "1e999999",
            "1e131071",
            "1e131072",
            "1e-16383",
            "1e-16384",
            "1E99999999999999999999",
            "8" * 4_300,
            "8" * 4_301,
            "0." + "8" * 16_384,
            "8" * 131_073,
        ]
    )
).map(lambda text: Number(text.encode()))
PLAIN = st.sampled_from([Value(b"null"), Value(b"true", True), Value(b"false", False)])
KEYS = TEXTS | st.sampled_from(["", "a", r"a\u0000", "id", "status", "channelType", "durationSeconds", "_rescued"]).map(
    lambda key: Text([key.encode()])
)


def objects(values: st.SearchStrategy[Value], keys: st.SearchStrategy[Text] = KEYS) -> st.SearchStrategy[Value]:
    """Objects of such values."""
    return st.lists(st.tuples(keys, values), max_size=3).map(Object)


VALUES: st.SearchStrategy[Value] = st.recursive(
    PLAIN | NUMBERS | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3).map(List)
        | objects(inner)
        | st.builds(Nested, st.integers(1, 600), inner, objects=st.booleans())
    ),
    max_leaves=4,
)
RECORDS = objects(
    VALUES | objects(VALUES), KEYS | st.sampled_from(["type", "fields"]).map(lambda key: Text([key.encode()]))
)
IDENTITY = [(Text([key]), Text([b"c"])) for key in (b"id", b"conversationId")]
TIME = (Text([b"timestamp"]), Text([b"2026-10-03T08:15:02.417Z"]))


def answer_of(records: Sequence[Value]) -> bytes:
    """The body of an answer."""
    return b'{"page":1,"results":' + List(list(records)).written + b"}"
