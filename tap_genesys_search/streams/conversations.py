"""The conversations of the search API, incremental by timestamp."""

from __future__ import annotations

import sys
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk import SchemaDirectory, Stream, StreamSchema
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from typing_extensions import override

from tap_genesys_search import timestamps
from tap_genesys_search.bookmark import REPLICATION_KEY, Bookmark, Stored, fingerprint
from tap_genesys_search.client import PATH
from tap_genesys_search.errors import ConfigurationError
from tap_genesys_search.pagination import SeekCursor
from tap_genesys_search.paginator import SeekPaginator
from tap_genesys_search.question import Axis
from tap_genesys_search.records import STREAM
from tap_genesys_search.search import ConversationSearchClient
from tap_genesys_search.search_run import SearchRun
from tap_genesys_search.streams import schemas
from tap_genesys_search.streams.base import GenesysStream
from tap_genesys_search.sync import sync
from tap_genesys_search.writer import PageMessage, PageWriter

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Generator, Iterable

    from singer_sdk.helpers._batch import BaseBatchFileEncoding, BatchConfig
    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.metrics import Counter
    from singer_sdk.singerlib import RecordMessage

    from tap_genesys_search.records import Batch


class ConversationsStream(GenesysStream[SeekCursor]):
    """Conversations: read by seeking, several slices at a time, and passed on in order of time."""

    name = STREAM
    path = PATH
    primary_keys = ("id",)
    replication_key = REPLICATION_KEY
    is_sorted = True
    # A lookback reads again below the bookmark, which the SDK's check takes for disorder; the order of pages is checked
    # where they are read.
    check_sorted = False
    # Keys that the schema does not name stay in the record.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE
    # STATE is written where a page ends.
    STATE_MSG_FREQUENCY = sys.maxsize
    schema: ClassVar[StreamSchema[str]] = StreamSchema(SchemaDirectory(schemas))
    #: What the state will be once all that it tells of has been written.
    _unwritten: dict[str, str] | None = None

    # The SDK's shape: what its own request loop would use. `get_records` reads the same way with many cursors.

    @override
    def get_new_paginator(self) -> SeekPaginator:
        settings = self.settings
        end = timestamps.END if settings.end is None else settings.end
        start = timestamps.BEGIN if settings.start is None else settings.start
        return SeekPaginator(SeekCursor(start, end, Axis.OLDEST_FIRST, settings.page_size))

    @override
    def prepare_request_payload(self, context: Context | None, next_page_token: SeekCursor | None) -> dict[str, Any]:
        cursor = next_page_token or self.get_new_paginator().current_value
        return cursor.question().body(self.settings.query)

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> dt.datetime | None:
        """None: what caps the bookmark is the run's start by the platform's clock, not by this machine's."""
        return None

    # Reading

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Yield the conversations in order of time, and write STATE after each page.

        Raises:
            GenesysSearchError: What stopped the run; what has been yielded stands in the last STATE.
        """
        settings = self.settings
        with ConversationSearchClient.from_settings(settings, auth=self.auth, on_request=self.log_request) as client:
            if self.ABORT_AT_RECORD_COUNT is not None:
                self._log_glimpse(client)
            bookmark = self._bookmark()
            run = SearchRun(
                client,
                settings.query,
                bookmark.start,
                settings.end,
                limit=None if bookmark.previous is not None else self._limit,
                eager=self._limit is None,
                logger=self.logger,
                # The messages would stand in its way.
                has_bar=not sys.stdout.isatty(),
            )
            if run.is_empty:
                self.logger.info(
                    "Nothing to read: the range begins at %s, which is not over yet", timestamps.write(bookmark.start)
                )
                return
            for batch in sync(run, bookmark, self._advance, max_results=settings.max_results, logger=self.logger):
                yield from self._rows(batch)

    @property
    def _limit(self) -> int | None:
        limits = [n for n in (self.settings.max_results, self.ABORT_AT_RECORD_COUNT) if n is not None]
        return min(limits, default=None)

    @property
    def _is_incremental(self) -> bool:
        return self.replication_method == REPLICATION_INCREMENTAL

    def _bookmark(self) -> Bookmark:
        settings = self.settings
        # Takes the SDK's markers of this run out of the state: STATE stays as it was stored until it advances.
        self.state_manager.finalize_state(self.stream_state)
        bookmark = Bookmark(
            Stored.from_state(self.stream_state) if self._is_incremental else Stored(),
            source=fingerprint(settings.base_url, settings.client_id, settings.query),
            start_date=settings.start,
            lookback=settings.lookback_seconds * 1000,
            on_source_change=settings.on_source_change,
        )
        if bookmark.warning:
            self.logger.warning("%s", bookmark.warning)
        return bookmark

    def _advance(self, bookmark: Bookmark) -> None:
        if not self._is_incremental:
            return
        self._unwritten = bookmark.state()
        # The records of a batch are not out before its BATCH message, and a SIGTERM writes the state as it stands.
        if self.get_batch_config(self.config) is None:
            self._settle()
            self._write_state_message()

    def _settle(self) -> None:
        """Let the state advance: all that it tells of has been written."""
        if self._unwritten:
            self.stream_state.update(self._unwritten)
            self._unwritten = None
            self.state_manager.is_flushed = False

    @override
    def _write_batch_message(self, encoding: BaseBatchFileEncoding, manifest: list[str]) -> None:
        super()._write_batch_message(encoding, manifest)
        self._settle()

    @override
    def get_batches(
        self, batch_config: BatchConfig, context: Context | None = None
    ) -> Iterable[tuple[BaseBatchFileEncoding, list[str]]]:
        """Yield the files of each batch.

        Raises:
            ConfigurationError: The records should not leave as they came; in the SDK's batches they do.
        """
        if not self._is_whole:
            message = (
                "batch_config does not go together with stream_maps, flattening or deselected properties: batches hold"
                " the records as they came; leave it out"
            )
            raise ConfigurationError(message)
        yield from super().get_batches(batch_config, context)
        # The last of them is written: what came after it was no record.
        self._settle()

    # The fast path: one turn of the SDK's loop and one write for a page instead of one for each record. What a record
    # becomes is still the SDK's own doing, except where nothing would change it.

    def _rows(self, batch: Batch) -> Iterable[Record]:
        return [PageRow(batch.records)] if self._is_by_page and batch.records else batch.records

    @cached_property
    def _is_by_page(self) -> bool:
        """Whether RECORD messages follow each other as the records do: no batch, no test run, no child, no version."""
        return (
            isinstance(self._tap.message_writer, PageWriter)
            and self.ABORT_AT_RECORD_COUNT is None
            and not self.child_streams
            and self._stream_version is None
            and self.get_batch_config(self.config) is None
            and type(self).post_process is Stream.post_process
        )

    @cached_property
    def _is_plain(self) -> bool:
        """Whether records leave as they came."""
        return self._is_whole and self.effective_schema == self.schema

    @property
    def _is_whole(self) -> bool:
        """Whether there is no map, no flattening, and nothing deselected."""
        maps = self.stream_maps
        return (
            len(maps) == 1
            and type(maps[0]) is SameRecordTransform
            and not maps[0].flattening_enabled
            and maps[0].stream_alias == self.name
            and all(self.mask.values())
        )

    @override
    def get_record_counter(self, **kwargs: Any) -> Counter:
        self._counter = super().get_record_counter(**kwargs)
        return self._counter

    @override
    def _process_record(
        self, record: Record, child_context: Context | None = None, partition_context: Context | None = None
    ) -> None:
        if not isinstance(record, PageRow):
            super()._process_record(record, child_context, partition_context)

    @override
    def _write_record_message(self, record: Record) -> None:
        if not isinstance(record, PageRow):
            super()._write_record_message(record)
            return
        self._tap.write_message(self._page(record.records))
        self._counter.increment(len(record.records) - 1)

    def _page(self, records: list[Record]) -> PageMessage:
        """Return records as they leave."""
        if self._is_plain:
            return PageMessage(repeat(self.name), records)
        messages = [message for record in records for message in self._generate_record_messages(record)]
        return PageMessage([message.stream for message in messages], [message.record for message in messages])

    @override
    def _generate_record_messages(self, record: Record) -> Generator[RecordMessage, None, None]:
        """Yield the record as the stream maps make it.

        Raises:
            ConfigurationError: An expression fails: it divides by zero, say, or adds to what is null in this record.
        """
        identity = record.get("id")
        try:
            yield from super()._generate_record_messages(record)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            if self._is_plain:
                raise
            # Its text may quote what stands in the record.
            message = f"an expression of stream_maps fails for the conversation {identity}: {type(error).__name__}"
            raise ConfigurationError(message) from error

    def _log_glimpse(self, client: ConversationSearchClient) -> None:
        glimpse = client.glimpse(self.settings.query)
        self.logger.info(
            "Connected to %s: about %s conversations match the query, the newest is of %s",
            self.settings.base_url,
            "an unknown number of" if glimpse.total is None else f"{glimpse.total:,}",
            glimpse.newest or "no time (there is none)",
        )

    @override
    def _increment_stream_state(self, latest_record: Record, *, context: Context | None = None) -> None:
        """Leave the bookmark alone: it advances by pages, and not while a lookback is read again."""


class PageRow(dict[str, Any]):
    """A page as one row of the SDK's loop."""

    def __init__(self, records: list[Record]) -> None:
        """Stay empty, as a row; the records go along."""
        super().__init__()
        self.records = records
