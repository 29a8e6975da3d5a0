"""What a search asks for, and the page that answers it."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import msgspec

from tap_genesys_search.sandbox.instants import EARLIEST, LATEST, SECOND
from tap_genesys_search.sandbox.query import Query, read
from tap_genesys_search.sandbox.ranges import QueryError
from tap_genesys_search.sandbox.web import ApiError

if TYPE_CHECKING:
    from tap_genesys_search.sandbox.platform import Platform
    from tap_genesys_search.sandbox.records import Record

MAX_SIZE = 200
_SIZE_OF_A_LIAR = 50
_SORT_FIELDS = ("timestamp", "conversationId")


class Request(NamedTuple):
    """A search; `page` counts from 1."""

    query: Query
    by_id: bool
    descending: bool
    page: int
    size: int


def page_token(page: int, size: int) -> str:
    """Give the token of a page: a page number, nothing more."""
    return base64.b64encode(b'{"page":%d,"size":%d}' % (page, size)).decode()


def _bad(message: str, code: str = "bad.request") -> NoReturn:
    raise ApiError(400, code, message)


def _whole(value: object) -> int:
    """Give a whole number as it is, and 0 for anything else (`true` and `1.0` among them)."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _read_token(token: str) -> tuple[int, int]:
    try:
        found = msgspec.json.decode(base64.b64decode(token, validate=True))
        page, size = _whole(found["page"]), _whole(found["size"])
    except (binascii.Error, ValueError, TypeError, KeyError, msgspec.DecodeError, RecursionError):
        _bad("The page token is not valid.", "invalid.page")
    if page < 1 or not 1 <= size <= MAX_SIZE:
        _bad("The page token is not valid.", "invalid.page")
    return page, size


class Searcher:
    """Answers searches."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def answer(self, body: bytes, *, empty: bool = False) -> bytes:
        """Give the JSON that answers a search; `empty` withholds the records."""
        platform, faults = self._platform, self._platform.faults
        if faults.error_body_200:
            raise ApiError(500, "internal.server.error", "An unexpected error occurred.", answered=200)
        request = self.read(body)
        page, size = request.page, request.size
        if faults.depth_cap and page * size > faults.depth_cap:
            _bad(f"Pagination may not exceed {faults.depth_cap} results", "pagination.limit")
        empty = empty or self._too_long(request.query)
        start = (page - 1) * size
        records, total, more = platform.world.search(
            request.query,
            by_id=request.by_id,
            descending=request.descending,
            start=start,
            size=size,
            exact=not faults.total_noise,
        )
        if empty:
            records, more = [], True
        elif faults.duplicate_ids:
            records = _doubled(records, size)
        platform.stats.add("pages_served")
        platform.stats.add("records_served", len(records))
        if len(records) >= size:
            platform.stats.add("full_pages")
        upcoming = ""
        if more or faults.endless:
            upcoming = f',"nextPage":"{page_token(2 if faults.repeat_token else page + 1, size)}"'
        head = f'{{"page":{page},"pageSize":{size},"total":{platform.dice.noisy(total)}{upcoming},"results":['
        return b"%b%b]}" % (head.encode(), b",".join([record.raw for record in records]))

    def _too_long(self, query: Query) -> bool:
        """Whether the range is longer than what is answered with records."""
        faults, world = self._platform.faults, self._platform.world
        if not (faults.empty_above_seconds or faults.timeout_above_seconds):
            return False
        seconds = (min(query.high, world.now()) - max(query.low, world.start)) / SECOND
        if 0 < faults.timeout_above_seconds < seconds:
            raise self._platform.failing(504)
        return 0 < faults.empty_above_seconds < seconds

    def read(self, body: bytes) -> Request:
        """Understand a search, or raise what it is answered."""
        try:
            asked = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            _bad("The request body is not JSON.")
        except RecursionError:
            _bad("The request body is too deeply nested.")
        if not isinstance(asked, dict):
            _bad("The request body must be an object.")
        if asked.get("type") != "conversation":
            _bad("type must be 'conversation'.")
        size = _whole(asked.get("size"))
        if not 1 <= size <= MAX_SIZE:
            _bad(f"size must be a whole number from 1 to {MAX_SIZE}.")
        query = self._query(asked.get("query"))
        by_id, descending = self._sort(asked.get("sort"))
        if self._platform.faults.ignore_size:
            size = _SIZE_OF_A_LIAR
        asked_page = asked.get("page", 1)
        page = _whole(asked_page)
        if isinstance(asked_page, str):
            page, size = _read_token(asked_page)
        elif page < 1:
            _bad("page must be a whole number from 1, or a token.", "invalid.page")
        return Request(query, by_id, descending, page, size)

    def _query(self, text: object) -> Query:
        if not isinstance(text, str):
            _bad("query must be a text.")
        try:
            query = read(text)
        except QueryError as error:
            _bad(f"The query is not valid: {error}.")
        if self._platform.faults.ignore_range:
            query = replace(query, low=EARLIEST, high=LATEST)
        if self._platform.faults.id_range_ignored:
            query = replace(query, ids=None, without_id=False)
        return query

    def _sort(self, sort: object) -> tuple[bool, bool]:
        match sort:
            case [{"field": str(field), "direction": "asc" | "desc" as direction}]:
                pass
            case _:
                _bad("sort must be a list of one object with field and direction ('asc' or 'desc').", "invalid.sort")
        if field not in _SORT_FIELDS or (field == "conversationId" and self._platform.faults.sort_by_id_off):
            _bad(f"Sorting by '{field}' is not supported.", "invalid.sort")
        if self._platform.faults.ignore_sort:
            return False, True
        return field == "conversationId", direction == "desc"


def _doubled(records: list[Record], size: int) -> list[Record]:
    if 2 <= size <= len(records):  # noqa: PLR2004 - a duplicate takes two
        return [*records[:-1], records[-2]]
    return [*records, *records[-1:]]
