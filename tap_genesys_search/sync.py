"""A sync: the pages of a run, and when its bookmark advances."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from tap_genesys_search import timestamps
from tap_genesys_search.records import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_genesys_search.bookmark import Bookmark
    from tap_genesys_search.search_run import SearchRun

_logger: Final = logging.getLogger("tap-genesys-search.sync")


def sync(
    run: SearchRun,
    bookmark: Bookmark,
    advance: Callable[[Bookmark], None],
    *,
    max_results: int | None = None,
    logger: logging.Logger = _logger,
) -> Iterator[Batch]:
    """Yield what a run reads, in order; one that asks for the next batch says that it has passed on the one before.

    Args:
        run: From the bookmark's start on.
        bookmark: What an earlier run has left.
        advance: Called where the bookmark has advanced, with all of it passed on.
        max_results: Stop after so many conversations that are newer than the bookmark.
        logger: Is told when that is reached.

    Raises:
        GenesysSearchError: What stopped the run.
    """
    left = max_results
    for page in run.pages():
        bookmark.begin(run.run_start)
        batch, left = _limited(page.batch, left, bookmark.previous)
        run.leave_out(len(page.batch) - len(batch))
        if left is not None:
            run.enough_after(left)
        yield batch
        if (newest := batch.last) is not None and bookmark.emitted(newest):
            advance(bookmark)
        if left == 0:
            logger.info("max_results is reached; the next run goes on from here")
            return
    bookmark.begin(run.run_start)
    if bookmark.finished(run.high):
        advance(bookmark)


def _limited(batch: Batch, left: int | None, bookmark: int | None) -> tuple[Batch, int | None]:
    """Cut a batch where as many records newer than the bookmark have been passed on as `max_results` allows."""
    if left is None:
        return batch, None
    for index, stamp in enumerate(batch.stamps):
        if bookmark is None or (stamp is not None and timestamps.parse(stamp) > bookmark):
            if left == 0:
                return Batch(batch.records[:index], batch.ids[:index], batch.stamps[:index]), 0
            left -= 1
    return batch, left
