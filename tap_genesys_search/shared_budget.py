"""One rate budget for workers on any number of machines: the rules of :class:`RateBudget`, kept in Redis.

A request reserves its turn, sleeps until then, and asks again whether it may go, as another worker may have got a 429
meanwhile. Who is killed in between leaves one turn unused, no more.
"""

from __future__ import annotations

import math
import secrets
from collections import deque
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from tap_genesys_search.errors import redacted
from tap_genesys_search.rate_limit import CATCH_UP, MARGIN, RESERVE, RateBudget, Told, Wait

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_genesys_search.clock import Clock
    from tap_genesys_search.shared_redis import SharedRedis

#: Seconds ahead that turns are reserved: what is further off may change too much until then.
HORIZON: Final = 1.0
#: What a second is counted as, since the ways of the workers' requests to the platform are not equally long.
SECOND: Final = 1.02
#: Seconds after which a request that was never answered, as its worker was killed, is no longer under way.
LEASE: Final = 60.0

_LONGEST_REASON: Final = 100
_MINUTE: Final = 60.0

# Times are in milliseconds, by Redis' clock; the window is that of `rate_limit._Window`, where its rules are explained.
_STATE: Final = f"""
local names = {{'slot', 'allowed', 'count', 'told', 'ends', 'supposed', 'length', 'earliest', 'latest'}}
local found = redis.call('HMGET', BUDGET, unpack(names))
local s = {{}}
for i, name in ipairs(names) do s[name] = tonumber(found[i]) end
-- What cannot be, as it is another's or from before the clock was set back, counts as nothing.
if s.slot and not (s.slot <= now + {HORIZON * 1000}) then s.slot = nil end
if not (s.allowed and s.count and s.told and s.ends and s.supposed and s.length and s.earliest and s.latest
    and s.ends <= now + s.length + 2000 and s.length <= 86400000) then
  s = {{slot = s.slot, length = 0}}
end
local function keep()
  for _, name in ipairs(names) do
    if s[name] then redis.call('HSET', BUDGET, name, text(s[name])) end
  end
  redis.call('PEXPIRE', BUDGET, math.ceil(math.max(60000, (s.ends or now) - now + 60000)))
end
"""

# Arguments: a name for the request, the interval, how many a second may hold, the turn ('' at first).
# Returns what stands against it, microseconds to wait, and what belongs to it.
_TAKE: Final = (
    _STATE
    + f"""
local id, interval, burst, turn = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local function wait(why, milliseconds, more)
  keep()
  return {{why, math.ceil(milliseconds * 1000), more or ''}}
end
local paused = redis.call('PTTL', PAUSE)
if paused > 0 then return wait('paused', paused, redis.call('GET', PAUSE)) end
local window_left, why = 86400000, 'pace'
if s.allowed then
  if now >= s.ends then
    local length = math.max(s.length, 1000)
    s.ends = s.ends + length * (1 + math.floor((now - s.ends) / length))
    s.count, s.supposed = 0, 1
  end
  window_left = s.ends - now
  if s.count >= s.allowed then return wait('used', window_left, text(s.allowed)) end
  redis.call('ZREMRANGEBYSCORE', FLIGHT, '-inf', text(now))
  local left = s.allowed - s.count - redis.call('ZCARD', FLIGHT)
  if left <= 0 then return wait('under way', math.min(50, window_left)) end
  local reserve = math.max({RESERVE} * s.length, math.min(1500, s.length / 3))
  local spread = (window_left - reserve) / left
  if spread > interval then interval, why = spread, 'window' end
end
local function pace(milliseconds, more)
  return wait(why, math.min(milliseconds, window_left), more or text(s.allowed or 0))
end
if not turn or turn > now + {HORIZON * 1000} then
  turn = s.slot and math.max(s.slot + interval, now - {CATCH_UP * 1000}) or now
  if turn - now > math.min({HORIZON * 1000}, window_left) then return pace(turn - now) end
  s.slot = turn
end
local oldest = tonumber(redis.call('LINDEX', LOG, burst - 1))
if oldest and oldest > now then
  redis.call('DEL', LOG)
  oldest = nil
end
local ready = math.max(turn, oldest and oldest + {SECOND * 1000:.0f} or now)
if ready > now then
  keep()
  return {{'turn', math.ceil((ready - now) * 1000), text(turn)}}
end
redis.call('LPUSH', LOG, text(now))
redis.call('LTRIM', LOG, 0, 1999)
redis.call('PEXPIRE', LOG, 2000)
redis.call('ZADD', FLIGHT, text(now + {LEASE * 1000}), id)
redis.call('PEXPIRE', FLIGHT, {LEASE * 1000:.0f})
keep()
return {{'go', 0, ''}}
"""
)

# Arguments: the request's name, and what its answer told: count, allowed, milliseconds to the reset; or nothing.
_DONE: Final = (
    _STATE
    + f"""
redis.call('ZREM', FLIGHT, ARGV[1])
local count, allowed, reset = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if count then
  local ends, tolerance = now + reset, math.max(s.length / 2, 1000)
  s.length = math.max(s.length, reset)
  if not s.earliest or ends > s.earliest + tolerance then
    s.earliest, s.latest, s.told, s.allowed = ends, ends, count, allowed
  elseif ends >= s.earliest - tolerance then
    s.earliest, s.latest = math.min(s.earliest, ends), math.max(s.latest, ends)
    s.told, s.allowed = math.max(s.told, count), math.min(s.allowed, allowed)
  end
  local till = math.min(s.latest, s.earliest + 1000) + {MARGIN * 1000}
  if ends >= s.earliest - tolerance and till > now then s.ends, s.count, s.supposed = till, s.told, 0 end
end
if s.supposed == 1 then s.count = s.count + 1 end
if s.slot or s.allowed then keep() end
return 1
"""
)

# A pause during a longer one changes nothing. Arguments: milliseconds, the reason.
_PAUSE: Final = """
if redis.call('PTTL', PAUSE) < tonumber(ARGV[1]) then redis.call('SET', PAUSE, ARGV[2], 'PX', ARGV[1]) end
return 1
"""


class RedisBudget(RateBudget):
    """A budget that all workers share which name the same API and the same client.

    What the answers tell this worker it notes for itself as well, and goes on by that should Redis be gone.

    Args:
        shared: Where it is kept.
        requests_per_minute: As for :class:`RateBudget`, for all workers together; the same for each of them.
        clock: Its monotonic time paces without Redis; None: this machine's.

    Raises:
        ConfigurationError: ``requests_per_minute`` is less than 1.
    """

    def __init__(self, shared: SharedRedis, requests_per_minute: int, clock: Clock | None = None) -> None:
        super().__init__(requests_per_minute, clock)
        self._shared = shared
        self._per_second = math.ceil(requests_per_minute / 60)
        self._spacing = max(self._interval, SECOND / self._per_second) * 1000
        self._under_way: deque[str] = deque()
        self._told: deque[Told] = deque()

    @override
    def _take(self, before: Wait | None) -> Wait | None:
        name = secrets.token_hex(8)
        turn = "" if before is None or before.turn is None else f"{before.turn:.3f}"
        found = self._shared.run(_TAKE, name, self._spacing, self._per_second, turn)
        if found is None:
            return super()._take(before)
        why, more = found[0].decode(), found[2].decode(errors="replace")
        now = self._clock.monotonic()
        if why == "go":
            with self._lock:
                self._grant(now)
                self._slot = now
            self._under_way.append(name)
            return None
        return self._wait_for(why, found[1] / 1_000_000, more, now)

    def _wait_for(self, why: str, seconds: float, more: str, now: float) -> Wait:
        until = now + seconds
        if why == "turn":
            return Wait(seconds, "the pace of all workers", math.inf, turn=float(more))
        if why == "paused":
            reason = redacted(more)[:_LONGEST_REASON]
            # For the waits of all workers to be counted by each, and for going on alone.
            super().pause(seconds, reason)
            return Wait(seconds, reason, until, told=True)
        if why == "used":
            allowed = int(float(more))
            with self._lock:
                self._window.tell(allowed, allowed, seconds, now)
            reason = f"the platform's limit of {allowed} requests is used up until it is reset"
            return Wait(seconds, reason, until, told=True)
        if why == "window":
            reason = f"the pace of the platform's limit of {float(more):.0f} requests"
            return Wait(seconds, reason, until, by_window=seconds > _MINUTE)
        return Wait(seconds, "answers under way" if why == "under way" else "the pace of requests_per_minute", math.inf)

    @override
    def observe(self, headers: Mapping[str, str]) -> None:
        told = Told.read(headers)
        if told is not None:
            self._note(told)
            # On its way with the release, which follows.
            self._told.append(told)

    @override
    def release(self) -> None:
        super().release()
        name = self._under_way.popleft() if self._under_way else ""
        told = self._told.popleft() if self._told else None
        if name or told:
            self._shared.run(_DONE, name, *((told.count, told.allowed, told.reset * 1000) if told else ()))

    @override
    def pause(self, seconds: float, reason: str) -> None:
        super().pause(seconds, reason)
        self._shared.run(_PAUSE, math.ceil(seconds * 1000), reason)
