"""Answers of a search as bytes, and JSON with every digit."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from tap_genesys_search.records import parse

STAMP = "2026-10-03T08:15:02.417Z"


def body(record: str, rest: str = "") -> bytes:
    """The body of an answer with one record, whose members are given as JSON."""
    return (
        '{"page":1,"results":[{"id":"a","conversationId":"a","timestamp":"' + STAMP + '",' + record + "}]" + rest + "}"
    ).encode()


def value(text: str) -> Any:
    """What a JSON value inside of a record becomes."""
    return parse(body(f'"any":{text}')).records[0]["any"]


def one(record: dict[str, Any]) -> tuple[str | None, str | None, dict[str, Any]]:
    """Id, timestamp and record of an answer with one record."""
    answer = parse(json.dumps({"results": [record]}).encode())
    return answer.ids[0], answer.stamps[0], answer.records[0]


FORMAT = msgspec.json.Encoder(decimal_format="number")


def encode(document: object) -> bytes:
    """JSON with every digit."""
    if isinstance(document, int) and not isinstance(document, bool):
        return str(document).encode()
    if isinstance(document, list):
        return b"[" + b",".join(map(encode, document)) + b"]"
    if isinstance(document, dict):
        return b"{" + b",".join(FORMAT.encode(key) + b":" + encode(item) for key, item in document.items()) + b"}"
    return FORMAT.encode(document)
