"""What the streams of this tap share: the SDK's shape of a REST stream, and where its parts come from."""

from __future__ import annotations

import logging
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from singer_sdk.authenticators import OAuthAuthenticator
from singer_sdk.exceptions import AbortedSyncFailedException, AbortedSyncPausedException
from singer_sdk.metrics import Metric, Point, Status, Tag
from singer_sdk.singerlib import SelectionMask
from singer_sdk.streams import RESTStream
from typing_extensions import override

from tap_genesys_search.auth import GenesysAuth
from tap_genesys_search.errors import GenesysSearchError
from tap_genesys_search.settings import Settings

if TYPE_CHECKING:
    import requests
    from singer_sdk.singerlib.catalog import Breadcrumb

_FIRST_ERROR = 400
#: Our own errors end as one line that says more; a test run (``--test``) ends with the SDK's.
_NO_NEWS = (GenesysSearchError, AbortedSyncFailedException, AbortedSyncPausedException)
_TToken = TypeVar("_TToken")


class GenesysAuthenticator(OAuthAuthenticator):
    """OAuth client credentials for the SDK's requests; the token is the one that the whole tap shares."""

    def __init__(self, auth: GenesysAuth, settings: Settings) -> None:
        """Take the token from where the tap has it."""
        super().__init__(auth_endpoint=settings.token_url, oauth_scopes=settings.scope, client_id=settings.client_id)
        self._auth = auth

    @property
    @override
    def oauth_request_body(self) -> dict[str, Any]:
        return {"grant_type": "client_credentials", "scope": self.oauth_scopes}

    @override
    def authenticate_request(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._auth.get_token()}"
        return request


class ShallowMask(SelectionMask):
    """Looks no deeper than the catalog does: the SDK's own climbs by a call for each level, which Python ends."""

    def __init__(self, mask: SelectionMask) -> None:
        """Take over what is selected."""
        super().__init__(mask)
        self._longest = max(map(len, mask), default=0)

    @override
    def __missing__(self, breadcrumb: Breadcrumb) -> bool:
        return super().__missing__(breadcrumb[: self._longest + 2])


class GenesysStream(RESTStream[_TToken]):
    """A stream of a Genesys Cloud API."""

    http_method = "POST"

    @cached_property
    def settings(self) -> Settings:
        """The checked settings; looked at first when the stream is read, so that discovery needs none."""
        return Settings.from_config(self.config, again=True)

    @property
    @override
    def url_base(self) -> str:
        return self.settings.base_url

    @cached_property
    def auth(self) -> GenesysAuth:
        """Where tokens come from."""
        return GenesysAuth.from_settings(self.settings)

    @cached_property
    @override
    def authenticator(self) -> GenesysAuthenticator:
        return GenesysAuthenticator(self.auth, self.settings)

    @property
    @override
    def mask(self) -> SelectionMask:
        mask = super().mask
        if not isinstance(mask, ShallowMask):
            self._mask = mask = ShallowMask(mask)
        return mask

    @override
    def log(self, message: str, *args: Any, level: int = logging.INFO, **kwargs: Any) -> None:
        """Leave out the SDK's line about an unhandled error where the error says itself what is wrong."""
        if level < logging.ERROR or not isinstance(sys.exc_info()[1], _NO_NEWS):
            super().log(message, *args, level=level, **kwargs)

    def log_request(self, seconds: float, status: int) -> None:
        """Log the SDK's metric for one request; at DEBUG, since a backfill makes thousands."""
        point = Point(
            "timer",
            metric=Metric.HTTP_REQUEST_DURATION,
            value=seconds,
            tags={
                Tag.STREAM: self.name,
                Tag.ENDPOINT: self.path,
                Tag.HTTP_STATUS_CODE: status,
                Tag.STATUS: Status.SUCCEEDED if status < _FIRST_ERROR else Status.FAILED,
            },
        )
        self.metrics_logger.debug("METRIC: %s", point)
