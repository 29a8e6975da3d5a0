"""The seek cursor as the SDK's paginator, where those who know the SDK look for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from singer_sdk.pagination import BaseAPIPaginator
from typing_extensions import override

from tap_genesys_search import records
from tap_genesys_search.pagination import SeekCursor

if TYPE_CHECKING:
    import requests


class SeekPaginator(BaseAPIPaginator[SeekCursor]):
    """Pages by seeking: its value is the cursor to ask from next.

    The tap itself reads with several cursors at a time (`tap_genesys_search.reading`); this is one of them, for code
    that uses the SDK's own request loop.
    """

    _answered: tuple[requests.Response, SeekCursor | None] | None = None

    @override
    def has_more(self, response: requests.Response) -> bool:
        return self._next(response) is not None

    @override
    def get_next(self, response: requests.Response) -> SeekCursor | None:
        return self._next(response)

    @override
    def continue_if_empty(self, response: requests.Response) -> bool:
        """An empty page ends nothing: only the absence of ``nextPage`` does, and then in the range asked for alone."""
        return self.has_more(response)

    def _next(self, response: requests.Response) -> SeekCursor | None:
        """Advance once for each answer, however often the SDK asks: a cursor that follows tokens remembers them."""
        if self._answered is None or self._answered[0] is not response:
            self._answered = response, self.current_value.advance(records.parse(response.content))[1]
        return self._answered[1]
