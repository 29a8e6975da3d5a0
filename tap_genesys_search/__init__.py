"""Genesys Cloud conversations: as a Singer tap, and as a Python generator."""

from tap_genesys_search.auth import GenesysAuth
from tap_genesys_search.client import Glimpse
from tap_genesys_search.clock import Clock
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
from tap_genesys_search.rate_limit import Budget, RateBudget
from tap_genesys_search.search import ConversationSearchClient
from tap_genesys_search.shared_budget import RedisBudget
from tap_genesys_search.shared_redis import SharedRedis
from tap_genesys_search.shared_tokens import RedisTokenStore
from tap_genesys_search.tokens import LockingStore, MemoryTokenStore, Token, TokenStore

__all__ = [
    "AuthenticationError",
    "Budget",
    "Clock",
    "ConfigurationError",
    "ContractError",
    "ConversationSearchClient",
    "GenesysAuth",
    "GenesysSearchError",
    "Glimpse",
    "LockingStore",
    "MemoryTokenStore",
    "MissingPermissionError",
    "PlatformUnavailableError",
    "QueryError",
    "RateBudget",
    "RateLimitError",
    "RedisBudget",
    "RedisTokenStore",
    "SearchTimeoutError",
    "SharedRedis",
    "StateError",
    "Token",
    "TokenStore",
]
