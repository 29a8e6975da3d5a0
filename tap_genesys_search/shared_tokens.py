"""One token for workers on any number of machines: kept in Redis, encrypted, with its time to live."""

from __future__ import annotations

import base64
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from tap_genesys_search.clock import Clock, SystemClock
from tap_genesys_search.tokens import Token, is_lifetime, is_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_genesys_search.shared_redis import SharedRedis

#: Seconds after which the lock of a worker that was killed is another's. Who asks for longer may get a second token,
#: which does no harm.
LOCKED_AT_MOST: Final = 5.0
#: Seconds that a worker waits for the lock in all, then it asks for itself.
PATIENCE: Final = 30.0

_LOOK_AGAIN: Final = 0.1
_MILLISECONDS: Final = 1000

_LOAD: Final = "return {redis.call('GET', TOKEN) or '', redis.call('PTTL', TOKEN)}"
_SAVE: Final = "redis.call('SET', TOKEN, ARGV[1], 'PX', ARGV[2]) return 1"
_DROP: Final = "if redis.call('GET', TOKEN) == ARGV[1] then redis.call('DEL', TOKEN) end return 1"
# A script whose answer was lost is sent once more, and finds the lock in its own hands.
_LOCK: Final = (
    "if redis.call('GET', LOCK) == ARGV[1] then return 1 end"
    " return redis.call('SET', LOCK, ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0"
)
_UNLOCK: Final = "if redis.call('GET', LOCK) == ARGV[1] then redis.call('DEL', LOCK) end return 1"


class RedisTokenStore:
    """Keeps the token of a client where all its workers find it.

    The clocks of workers differ, so what is kept is how long it lives yet, by Redis' own clock. It is encrypted with a
    key from the client's secret: what another has written there cannot be read, and counts as nothing.

    Args:
        shared: Where it is kept.
        client_secret: Of the OAuth client.
        clock: The one by which :attr:`Token.expires_at` is meant; None: this machine's.
    """

    def __init__(self, shared: SharedRedis, client_secret: str, clock: Clock | None = None) -> None:
        from cryptography.fernet import Fernet, InvalidToken  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt  # noqa: PLC0415 - the same

        self._shared = shared
        self._clock = clock or SystemClock()
        # Slow on purpose, as a secret may be one that people have thought of.
        derived = Scrypt(salt=shared.name.encode(), length=32, n=2**14, r=8, p=1).derive(client_secret.encode())
        self._cipher = Fernet(base64.urlsafe_b64encode(derived))
        self._broken = InvalidToken
        self._loaded = b""

    def load(self) -> Token | None:
        """Return the token that any worker saved last, if there is one."""
        found = self._shared.run(_LOAD)
        if found is None:
            return None
        self._loaded, left = found
        try:
            value, lifetime = msgspec.json.decode(self._cipher.decrypt(self._loaded), type=tuple[str, float])
        except (self._broken, msgspec.MsgspecError, UnicodeDecodeError):
            return None
        if left <= 0 or not is_value(value) or not is_lifetime(lifetime):
            return None
        return Token(value, self._clock.time() + left / _MILLISECONDS, lifetime)

    def save(self, token: Token | None) -> None:
        """Keep a token; None: the one that was loaded last has been refused, and goes if it is still there."""
        if token is None:
            self._shared.run(_DROP, self._loaded)
            return
        left = int((token.expires_at - self._clock.time()) * _MILLISECONDS)
        if left > 0:
            text = self._cipher.encrypt(msgspec.json.encode((token.value, token.lifetime)))
            self._shared.run(_SAVE, text, min(left, int(token.lifetime * _MILLISECONDS) + 1))

    @contextmanager
    def locked(self, sleep: Callable[[float], None]) -> Iterator[None]:
        """Hold the lock for as long as the ``with`` lasts.

        It begins once the lock's owner has released it, or 5 s after the owner took it, as one that was killed never
        releases it; without the lock after 30 s, or where Redis is gone.

        Args:
            sleep: Lets so many seconds pass while another has the lock; what it raises goes through.
        """
        owner = secrets.token_hex(16)
        deadline = self._clock.monotonic() + PATIENCE
        # None: Redis is gone, and so is the lock.
        while self._shared.run(_LOCK, owner, int(LOCKED_AT_MOST * _MILLISECONDS)) == 0:
            if self._clock.monotonic() >= deadline:
                break
            sleep(_LOOK_AGAIN)
        try:
            yield
        finally:
            self._shared.run(_UNLOCK, owner)
