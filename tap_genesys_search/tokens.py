"""An access token, and where it is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeGuard, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

#: Seconds before its expiry at which a token is renewed.
EARLY: Final = 60.0
#: A token that lives shorter than this (seconds) is renewed at half its life.
SHORT_LIFE: Final = 120.0

_LONGEST_LIFE: Final = 1e10


@dataclass(frozen=True, slots=True)
class Token:
    """An access token.

    ``expires_at`` is in seconds since 1970, so that processes can share it; ``lifetime`` is in seconds, as issued.
    """

    value: str = field(repr=False)
    expires_at: float
    lifetime: float

    @property
    def early(self) -> float:
        """Seconds before its expiry at which it is renewed."""
        return EARLY if self.lifetime >= SHORT_LIFE else self.lifetime / 2


def is_value(value: object) -> TypeGuard[str]:
    """Tell whether a header can carry this as a token; the HTTP library would refuse it with a text that shows it."""
    return isinstance(value, str) and value != "" and value.isascii() and value.isprintable() and " " not in value


def is_lifetime(seconds: object) -> TypeGuard[float]:
    """Tell whether this can be the life of a token."""
    return not isinstance(seconds, bool) and isinstance(seconds, (int, float)) and 0 < seconds < _LONGEST_LIFE


class TokenStore(Protocol):
    """Where a token is kept: in memory, or in a place that many workers share.

    A :class:`GenesysAuth` calls it from one thread at a time. What it raises goes through.
    """

    def load(self) -> Token | None:
        """Return the token that was saved last, if there is one; asked for once no other is known that is valid."""

    def save(self, token: Token | None) -> None:
        """Keep a token; None: the one that was loaded last has been refused."""


@runtime_checkable
class LockingStore(Protocol):
    """What a :class:`TokenStore` may have as well, so that of many workers one at a time asks for a token."""

    def locked(self, sleep: Callable[[float], None]) -> AbstractContextManager[None]:
        """Hold a lock that all workers share for as long as the ``with`` lasts.

        One that was killed never releases it: it must come to an end by itself, or every other worker waits for good.

        Args:
            sleep: Lets so many seconds pass while another has the lock; what it raises has to go through.
        """


class MemoryTokenStore:
    """A store for one process."""

    def __init__(self) -> None:
        self._token: Token | None = None

    def load(self) -> Token | None:
        """Return the token that was saved last, if there is one."""
        return self._token

    def save(self, token: Token | None) -> None:
        """Keep a token, or none."""
        self._token = token
