"""The cursor in the SDK's own loop."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest
import requests

from tap_genesys_search import timestamps
from tap_genesys_search.pagination import SeekCursor
from tap_genesys_search.paginator import SeekPaginator
from tap_genesys_search.question import Ask
from tests.support.index import NOON, Index

if TYPE_CHECKING:
    from tap_genesys_search.records import Answer

SPAN = 1_000_000


def response(answer: Answer) -> requests.Response:
    """The answer as the SDK sees it."""
    found = requests.Response()
    found.status_code = 200
    found._content = json.dumps({"results": answer.records, "nextPage": answer.token}).encode()
    return found


def read(index: Index, *, size: int = 10) -> tuple[dict[str, str], list[SeekCursor]]:
    """What the SDK's request loop does with a paginator."""
    paginator = SeekPaginator(SeekCursor(NOON, NOON + SPAN, size=size))
    found: dict[str, str] = {}
    values: list[SeekCursor] = []
    while not paginator.finished:
        assert len(values) < 1000
        values.append(paginator.current_value)
        answer = index.answer(paginator.current_value.question())
        assert answer is not None
        reply = response(answer)
        for record in answer.records:
            found[record["id"]] = record["timestamp"]
        if not answer.records and not paginator.continue_if_empty(reply):
            break
        paginator.advance(reply)
    return found, values


def whole(index: Index) -> dict[str, str]:
    return {key: timestamps.write(stamp) for key, stamp in index.stamps.items()}


@pytest.mark.parametrize("size", [1, 7, 200])
def test_the_sdk_s_loop_reads_everything(size: int) -> None:
    index = Index(random.Random(1), {f"c{number}": NOON + number // 3 for number in range(100)})
    assert read(index, size=size)[0] == whole(index)


def test_a_dense_instant_by_id() -> None:
    index = Index(random.Random(1), {f"c{number:04d}": NOON + number // 450 for number in range(1000)})
    found, values = read(index)
    assert found == whole(index)
    assert Ask.ID in {value.by for value in values}


def test_an_empty_page_ends_only_the_range_that_was_asked_for() -> None:
    paginator = SeekPaginator(SeekCursor(NOON, NOON + SPAN))
    empty = Index(random.Random(1)).answer(paginator.current_value.question())
    assert empty is not None
    assert not paginator.continue_if_empty(response(empty))
    empty.token = "more"
    assert paginator.continue_if_empty(response(empty))
    half = paginator.current_value.narrowed()
    assert half is not None
    empty.token = None
    assert SeekPaginator(half).continue_if_empty(response(empty))


def test_a_dense_instant_by_token() -> None:
    stamps = {f"c{number:04d}": NOON + number // 450 for number in range(1000)}
    index = Index(random.Random(1), stamps, id_ranges=False, stable_ties=True)
    found, values = read(index)
    assert found == whole(index)
    assert Ask.TOKEN in {value.by for value in values}
