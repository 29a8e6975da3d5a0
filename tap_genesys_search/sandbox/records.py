"""Conversations: one record of the index, and how it is invented and encoded."""

from __future__ import annotations

import msgspec

from tap_genesys_search.sandbox.instants import iso

_MASK = 2**64 - 1

_CHANNELS = ("voice", "voice", "voice", "voice", "chat", "chat", "email", "callback", "message", "message")
_STATUSES = ("completed", "completed", "completed", "completed", "completed", "abandoned", "active", "transferred")
_QUEUES = ("Billing", "Support", "Sales", "Returns", "Orders", "Technical Help", "Appointments", "Complaints")
_WRAP_UPS = ("resolved", "follow-up", "no-answer", "escalated", "information", "wrong-number")
_AGENTS = tuple(f"agent-{number:03}" for number in range(1, 121))
_WORDS = (
    "caller asked about",
    "the invoice",
    "a refund",
    "an order",
    "and was",
    "called back",
    "transferred",
    "helped",
)
_NOTE = " ".join(_WORDS[(number * number + number // 3) % len(_WORDS)] for number in range(4_096))
_NOTE_FRAME = len(',"note":""')


class Record(msgspec.Struct, gc=False, eq=False):
    """One version of a conversation; instants in milliseconds since 1970.

    `raw` is its JSON. `changed_at` says when it got its timestamp, `visible_at` when the index began to show it.
    """

    id: str
    timestamp: int
    raw: bytes
    version: int
    changed_at: int
    visible_at: int
    has_conversation_id: bool = True
    has_id: bool = True


def _mix(value: int) -> int:
    # SplitMix64: a bijection on 64 bits, so two numbers never give the same id.
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class Inventor:
    """Makes ids and records; the same seed, number and chance give the same bytes."""

    def __init__(self, seed: int, *, record_bytes: int, missing_ids: float, missing_plain_ids: float) -> None:
        self._offset = _mix(seed)
        self._record_bytes = record_bytes
        self._lacks_conversation_id = int(missing_ids * 1_000)
        self._lacks_id = self._lacks_conversation_id + int(missing_plain_ids * 1_000)

    def id(self, number: int) -> str:
        """Give the id of the conversation with that number; no two are equal."""
        return f"conv-{_mix((number + self._offset) & _MASK):016x}"

    def record(self, identity: str, timestamp: int, chance: int) -> Record:
        """Give a first version; `chance` (64 bits) decides its fields."""
        lot = (chance >> 44) % 1_000
        has_conversation_id = lot >= self._lacks_conversation_id
        has_id = not has_conversation_id or lot >= self._lacks_id
        raw = self._encode(identity, timestamp, chance, has_id=has_id, has_conversation_id=has_conversation_id)
        return Record(identity, timestamp, raw, 1, timestamp, timestamp, has_conversation_id, has_id)

    def successor(self, old: Record, timestamp: int, chance: int) -> Record:
        """Give the next version of a record: a new timestamp, other fields, the same ids."""
        raw = self._encode(old.id, timestamp, chance, has_id=old.has_id, has_conversation_id=old.has_conversation_id)
        return Record(
            old.id, timestamp, raw, old.version + 1, timestamp, timestamp, old.has_conversation_id, old.has_id
        )

    def _encode(self, identity: str, timestamp: int, chance: int, *, has_id: bool, has_conversation_id: bool) -> bytes:
        plain = f'"id":"{identity}",' if has_id else ""
        long = f'"conversationId":"{identity}",' if has_conversation_id else ""
        text = (
            f'{{"type":"conversation",{plain}{long}"timestamp":"{iso(timestamp)}",'
            f'"fields":{{"channelType":"{_CHANNELS[chance % 10]}","status":"{_STATUSES[chance >> 4 & 7]}",'
            f'"durationSeconds":{(chance >> 7 & 0x7FF) * (chance >> 18 & 3) + 5},'
            f'"queueName":"{_QUEUES[chance >> 20 & 7]}","agentName":"{_AGENTS[(chance >> 23 & 0x3FF) % 120]}",'
            f'"direction":"{"outbound" if chance >> 33 & 3 == 0 else "inbound"}",'
            f'"wrapUpCode":"{_WRAP_UPS[(chance >> 35 & 0xFF) % 6]}"'
        )
        lacking = self._record_bytes - len(text) - 2
        if lacking > _NOTE_FRAME:
            text += f',"note":"{self._note(chance >> 8 & 0xFFF, lacking - _NOTE_FRAME)}"'
        return (text + "}}").encode()

    @staticmethod
    def _note(start: int, length: int) -> str:
        if start + length <= len(_NOTE):
            return _NOTE[start : start + length]
        return (_NOTE[start:] + _NOTE * (length // len(_NOTE) + 1))[:length]
