"""A tap as the SDK's template makes it: a RESTStream with a paginator for the token of the answers."""

from __future__ import annotations

import decimal
import typing as t
from functools import cached_property

from singer_sdk import Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import OAuthAuthenticator
from singer_sdk.helpers.jsonpath import extract_jsonpath
from singer_sdk.pagination import JSONPathPaginator
from singer_sdk.streams import RESTStream


class TemplateAuthenticator(OAuthAuthenticator):
    @property
    def oauth_request_body(self) -> dict[str, t.Any]:
        return {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "scope": self.oauth_scopes,
        }


class ConversationsStream(RESTStream):
    name = "conversations"
    path = "/api/v2/search"
    http_method = "POST"
    primary_keys = ("id",)
    replication_key = "timestamp"
    is_sorted = True
    records_jsonpath = "$.results[*]"
    next_page_token_jsonpath = "$.nextPage"
    schema = th.PropertiesList(
        th.Property("id", th.StringType, required=True),
        th.Property("type", th.StringType),
        th.Property("conversationId", th.StringType),
        th.Property("timestamp", th.DateTimeType),
        th.Property("fields", th.ObjectType(additional_properties=True)),
    ).to_dict()

    @property
    def url_base(self) -> str:
        return str(self.config["base_url"])

    @cached_property
    def authenticator(self) -> TemplateAuthenticator:
        return TemplateAuthenticator(
            client_id=self.config["client_id"],
            client_secret=self.config["client_secret"],
            auth_endpoint=f"{self.url_base}/oauth/token",
            oauth_scopes="search:query",
        )

    def get_new_paginator(self) -> JSONPathPaginator:
        return JSONPathPaginator(self.next_page_token_jsonpath)

    def prepare_request_payload(self, context: t.Any, next_page_token: t.Any) -> dict[str, t.Any]:  # noqa: ARG002 - the SDK's signature
        return {
            "query": "*",
            "type": "conversation",
            "size": 200,
            "sort": [{"field": "timestamp", "direction": "asc"}],
            "page": next_page_token or 1,
        }

    def parse_response(self, response: t.Any) -> t.Iterable[dict[str, t.Any]]:
        yield from extract_jsonpath(self.records_jsonpath, input=response.json(parse_float=decimal.Decimal))


class TapTemplate(Tap):
    name = "tap-template"
    config_jsonschema = th.PropertiesList(
        th.Property("base_url", th.StringType, required=True),
        th.Property("client_id", th.StringType, required=True),
        th.Property("client_secret", th.StringType, required=True, secret=True),
    ).to_dict()

    def discover_streams(self) -> list[ConversationsStream]:
        return [ConversationsStream(self)]


if __name__ == "__main__":
    TapTemplate.cli()
