"""Singer's messages and catalogs."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.helpers import Message


def records_of(message: Message) -> list[Message]:
    """The records that a message carries."""
    if message["type"] == "RECORD":
        return [message["record"]]
    if message["type"] == "BATCH":
        return [record for path in message["manifest"] for record in _lines(path)]
    return []


def _lines(uri: str) -> Iterator[Message]:
    with gzip.open(url2pathname(urlsplit(uri).path), "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def selected(catalog: Message, *, without: Sequence[str] = (), method: str | None = None) -> Message:
    """A catalog with some properties deselected, or with another replication method."""
    (stream,) = catalog["streams"]
    for entry in stream["metadata"]:
        if entry["breadcrumb"] == []:
            entry["metadata"]["selected"] = True
            if method:
                entry["metadata"]["forced-replication-method"] = method
        if entry["breadcrumb"][-1:] and entry["breadcrumb"][-1] in without:
            entry["metadata"]["selected"] = False
    return catalog
