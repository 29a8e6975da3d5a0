"""The streams of the tap, one module each: Singer's side of it, without HTTP."""

from tap_genesys_search.streams.conversations import ConversationsStream

__all__ = ["ConversationsStream"]
