"""What workers on any number of machines share, in Redis: the connection, the names, and going on without it.

All of it is done by scripts: one round trip each, nothing between reading and writing, and the time is Redis' own, as
the clocks of the workers differ.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from tap_genesys_search.clock import Clock, SystemClock
from tap_genesys_search.errors import ConfigurationError, GenesysSearchError, PlatformUnavailableError, redacted
from tap_genesys_search.redis_url import checked, place_of

if TYPE_CHECKING:
    from redis import Redis

    from tap_genesys_search.settings import Settings

#: Seconds after which Redis is looked for again, once it is gone.
LOOK_AGAIN: Final = 30.0
#: Seconds that a connection, and an answer, may take; the URL can say otherwise (``?socket_timeout=5``).
TIMEOUT: Final = 2.0

#: What is shared, by the names that scripts know it by; the last is only written to, to see whether that is possible.
_PARTS: Final = ("BUDGET", "LOG", "FLIGHT", "PAUSE", "TOKEN", "LOCK", "PROBE")
_TYPES: Final = ("hash", "list", "zset", "string", "string", "string", "string")
_LONGEST_QUOTE: Final = 120
_NO_OPTION: Final = "redis_url has an option, or a value of one, that the package redis does not know; correct it"

#: Before each script: the keys by name, the time in milliseconds, how numbers are kept, and nothing of a wrong type.
_HEAD: Final = f"""
local {", ".join(_PARTS)} = unpack(KEYS)
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local function text(number) return string.format('%.3f', number) end
for i, kind in ipairs({{{", ".join(f"'{kind}'" for kind in _TYPES)}}}) do
  local found = redis.call('TYPE', KEYS[i]).ok
  if found ~= kind and found ~= 'none' then redis.call('DEL', KEYS[i]) end
end
"""
_PROBE: Final = "redis.call('SET', PROBE, '1', 'PX', 1000) redis.call('DEL', PROBE) return 1"

_logger: Final = logging.getLogger("tap-genesys-search.shared")


class SharedRedis:
    """A Redis (or Valkey) that all workers of one OAuth client on one API share.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, with the options of redis-py.
        base_url: The API.
        client_id: The OAuth client. With the API's host it names what is shared, so that a limit is that of a client.
        clock: Its monotonic time tells when to look for a Redis that is gone; None: this machine's.

    Attributes:
        place: Its host and port, or the path of its socket: what messages may show.
        name: What the names of all its keys begin with.

    Raises:
        ConfigurationError: The packages are missing, Redis rejects the user, or cannot be written to.
        PlatformUnavailableError: There is no connection.
    """

    def __init__(self, url: str, base_url: str, client_id: str, clock: Clock | None = None) -> None:
        try:
            import cryptography  # noqa: F401, PLC0415 - an extra; the token store needs it
            import redis  # noqa: PLC0415 - the same
        except ImportError:
            redis = None  # type: ignore[assignment]
        if redis is None:
            message = "redis_url needs two more packages: pip install 'tap-genesys-search[redis]'"
            raise ConfigurationError(message)
        self._redis = redis
        self._clock = clock or SystemClock()
        self._errors = (redis.RedisError, OSError)
        self.place = _place(url)
        # In braces, as a cluster keeps together what these name alike.
        self.name = "tap-genesys-search:{%s}" % _fingerprint(base_url, client_id)  # noqa: UP031 - braces
        self._keys = [f"{self.name}:{part.lower()}" for part in _PARTS]
        self._lock = threading.Lock()
        self._scripts: dict[str, Any] = {}
        self._gone_until = 0.0
        self._is_gone = self._has_warned = False
        self._losses = 0
        self._client = self._connected(url)
        problem = self._probe()
        if problem:
            self.close()
            # Out of the handlers, as the errors of others would be the context.
            raise problem

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        """Return what a tap's settings describe; None where nothing is shared.

        Args:
            settings: What ``Settings.from_config`` of ``tap_genesys_search.settings`` makes of a tap's configuration.

        Raises:
            ConfigurationError: As when it is made by hand.
            PlatformUnavailableError: The same.
        """
        if settings.redis_url is None:
            return None
        return cls(settings.redis_url, settings.base_url, settings.client_id)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.place!r})"

    def close(self) -> None:
        """Close the connections; new ones are opened when it is used again."""
        self._client.close()

    def run(self, script: str, *args: str | bytes | float) -> Any:
        """Run a Lua script on all that is shared, for a budget or a token store; no error of Redis is raised.

        Args:
            script: It finds ``now``, Redis' time in milliseconds, ``text``, which writes a number, and the names of the
                keys as BUDGET, LOG, FLIGHT, PAUSE, TOKEN and LOCK.
            args: Its ARGV.

        Returns:
            What the script returns, texts as bytes. None if Redis is gone, or full, or may not be written to: that is
            logged once, and Redis is looked for again 30 s later.
        """
        losses = self._losses
        if self._is_gone and self._clock.monotonic() < self._gone_until:
            return None
        try:
            found = self._call(script, *args)
        except self._errors as error:
            self._lose(error)
            return None
        with self._lock:
            # An answer that was on its way when it was lost does not bring it back.
            is_back = self._is_gone and losses == self._losses
            if is_back:
                self._is_gone = False
        if is_back:
            _logger.info("Redis at %s is back: token and rate are shared again", self.place)
        return found

    def _call(self, script: str, *args: str | bytes | float) -> Any:
        known = self._scripts.get(script)
        if known is None:
            known = self._scripts[script] = self._client.register_script(_HEAD + script)
        return known(keys=self._keys, args=args)

    def _lose(self, error: Exception) -> None:
        with self._lock:
            self._gone_until = self._clock.monotonic() + LOOK_AGAIN
            self._is_gone = True
            self._losses += 1
            level = logging.DEBUG if self._has_warned else logging.WARNING
            self._has_warned = True
        _logger.log(
            level,
            "Redis at %s is gone (%s): going on with a token and a pace of this worker's own, as the answers tell them",
            self.place,
            _reason(error),
        )

    def _connected(self, url: str) -> Redis:
        redis = self._redis
        options: dict[str, Any] = {"ssl_check_hostname": True} if url.startswith("rediss:") else {}
        try:
            client: Redis | None = redis.Redis.from_url(
                url,
                socket_timeout=TIMEOUT,
                socket_connect_timeout=TIMEOUT,
                retry=redis.retry.Retry(redis.backoff.NoBackoff(), 1),
                protocol=2,
                **options,
            )
        except ValueError:
            client = None
        if client is None:
            raise ConfigurationError(_NO_OPTION)
        return client

    def _probe(self) -> GenesysSearchError | None:
        """Say why it cannot be used, if so: it is better not to begin than to begin alone."""
        try:
            self._call(_PROBE)
        except self._errors as error:
            return self._problem(error)
        except (TypeError, ValueError):
            # An option's name is that of an argument.
            return ConfigurationError(_NO_OPTION)
        return None

    def _problem(self, error: Exception) -> GenesysSearchError:
        exceptions, place, reason = self._redis.exceptions, f"Redis at {self.place}", _reason(error)
        if isinstance(error, (exceptions.AuthenticationError, exceptions.NoPermissionError)):
            return ConfigurationError(f"{place} rejects the user ({reason}); correct redis_url")
        if isinstance(error, exceptions.ReadOnlyError):
            return ConfigurationError(f"{place} is a replica that may only be read; name the primary in redis_url")
        if isinstance(error, exceptions.OutOfMemoryError):
            return PlatformUnavailableError(f"{place} is full; raise its maxmemory, or leave redis_url out")
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            cure = "name the file of its CA at the end of redis_url: ?ssl_ca_certs=/path/ca.pem"
            return ConfigurationError(f"the certificate of {place} is not trusted ({reason}); {cure}")
        return PlatformUnavailableError(f"no connection to {place} ({reason}); check redis_url, or try again later")


def _place(url: str) -> str:
    try:
        return place_of(checked(url))
    except ValueError as error:
        message = f"redis_url {error}"
    raise ConfigurationError(message)


def _fingerprint(base_url: str, client_id: str) -> str:
    host = urlsplit(base_url).netloc.rpartition("@")[2].lower()
    return hashlib.sha256(f"{host}\n{client_id}".encode(errors="replace")).hexdigest()[:32]


def _reason(error: Exception) -> str:
    return redacted(str(error) or type(error).__name__)[:_LONGEST_QUOTE].replace(";", ",")
