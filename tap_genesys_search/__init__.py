"""Genesys Cloud conversations: as a Singer tap, and as a Python generator."""

from tap_genesys_search.auth import GenesysAuth, MemoryTokenStore, Token, TokenStore
from tap_genesys_search.errors import (
    AuthenticationError,
    ConfigurationError,
    ContractError,
    GenesysSearchError,
    MissingPermissionError,
    PlatformUnavailableError,
    QueryError,
    RateLimitError,
    SearchTimeoutError,
    StateError,
)
from tap_genesys_search.search import ConversationSearchClient

__all__ = [
    "AuthenticationError",
    "ConfigurationError",
    "ContractError",
    "ConversationSearchClient",
    "GenesysAuth",
    "GenesysSearchError",
    "MemoryTokenStore",
    "MissingPermissionError",
    "PlatformUnavailableError",
    "QueryError",
    "RateLimitError",
    "SearchTimeoutError",
    "StateError",
    "Token",
    "TokenStore",
]
