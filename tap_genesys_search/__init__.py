"""Genesys Cloud conversations: as a Singer tap, and as a Python generator."""

from tap_genesys_search.auth import GenesysAuth
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
from tap_genesys_search.shared import SharedRedis
from tap_genesys_search.shared_budget import RedisBudget
from tap_genesys_search.shared_tokens import RedisTokenStore
from tap_genesys_search.tokens import MemoryTokenStore, Token, TokenStore

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
    "RedisBudget",
    "RedisTokenStore",
    "SearchTimeoutError",
    "SharedRedis",
    "StateError",
    "Token",
    "TokenStore",
]
