"""What can go wrong on purpose: switches, and the seeded dice that decide when."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from tap_genesys_search.sandbox.checks import MOST, check_range

if TYPE_CHECKING:
    from collections.abc import Mapping

RETRY_AFTER_STYLES = ("seconds", "date", "none", "mixed")
SERVER_ERRORS = (500, 502, 503, 504)

Kind = Literal["429", "5xx", "html", "drop", "half_body", "hang", "empty_with_token"]
_KINDS: tuple[Kind, ...] = ("429", "5xx", "html", "drop", "half_body", "hang", "empty_with_token")
_ODDS = tuple(f"p_{kind}" for kind in _KINDS)
_SHARES = {"another_client_share", "total_noise", *_ODDS}
# What decimal fractions that add up to 1 may come to.
_SURELY = 1 + 1e-9


def _number(help_text: str, default: float = 0.0) -> float:
    return field(default=default, metadata={"help": help_text})


def _whole(help_text: str, default: int = 0) -> int:
    return field(default=default, metadata={"help": help_text})


def _switch(help_text: str, *, default: bool = False) -> bool:
    return field(default=default, metadata={"help": help_text})


@dataclass
class Faults:
    """Switches; each is off at 0 or false. Shares and probabilities go from 0 to 1."""

    seed: int = _whole("The seed of all chance in faults.", 1)
    latency_ms: float = _number("How long every answer takes, in milliseconds.")
    clock_offset_seconds: float = _number("How far the platform's clock is ahead of the machine's.")
    outage: bool = _switch("Every search is answered 503.")

    requests_per_minute: float = _number("Searches allowed in a minute, counted in fixed windows.")
    rate_window_seconds: float = _number("Length of such a window.", 60.0)
    bucket_rate: float = _number("Searches allowed in a second, by a token bucket.")
    bucket_burst: float = _number("What the token bucket holds.", 10.0)
    another_client_share: float = _number("Share of every window that another client uses.")
    rate_headers: bool = _switch("Tell the limits in inin-ratelimit headers.", default=True)
    retry_after: str = field(
        default="seconds", metadata={"help": f"How Retry-After is written: {', '.join(RETRY_AFTER_STYLES)}."}
    )
    retry_after_seconds: float = _number("What the Retry-After of a 429 by chance says.", 1.0)

    p_429: float = _number("Probability of a 429.")
    p_5xx: float = _number("Probability of a 500, 502, 503 or 504.")
    p_html: float = _number("Probability of a proxy's HTML page, with 502 or 200.")
    p_drop: float = _number("Probability that the connection closes without an answer.")
    p_half_body: float = _number("Probability that an answer is cut off in the middle.")
    p_hang: float = _number("Probability that an answer hangs.")
    hang_seconds: float = _number("How long an answer hangs.", 30.0)
    p_empty_with_token: float = _number("Probability of an empty page that carries nextPage.")
    token_faults: bool = _switch("These faults, and an outage, hit the token endpoint as well.")

    token_ttl_seconds: float = _number("How long a token really lives (0: a day).")
    token_ttl_told: bool = _switch("expires_in tells how long it really lives.")
    depth_cap: int = _whole("How deep pages go, in records.")
    empty_above_seconds: float = _number("A longer range is answered by an empty page that carries nextPage.")
    timeout_above_seconds: float = _number("A longer range is answered 504.")
    total_noise: float = _number(
        "How far off `total` is at most, as a share; while a query is new, `total` is estimated from what was read so "
        "far. 0: exact, and the first page of a new query reads its whole range (a million: some seconds).",
        0.03,
    )

    ignore_sort: bool = _switch("The newest come first, whatever is asked.")
    ignore_range: bool = _switch("Ranges of time are not honoured.")
    ignore_size: bool = _switch("Pages hold 50, whatever is asked.")
    endless: bool = _switch("Every answer carries nextPage.")
    repeat_token: bool = _switch("nextPage never changes.")
    sort_by_id_off: bool = _switch("Sorting by conversationId is refused.")
    id_range_ignored: bool = _switch("Conditions on conversationId after the range of time are not honoured.")
    duplicate_ids: bool = _switch("Pages hold one conversation twice.")
    error_body_200: bool = _switch("Every search is answered 200 with the body of an error.")

    def __post_init__(self) -> None:
        """Refuse values out of range, and such as do not go together."""
        for each in fields(self):
            _check(each.name, getattr(self, each.name))
        if (whole := sum(_odds(self))) > _SURELY:
            message = f"a request meets one fault at most: {', '.join(_ODDS)} add up to {whole:g}, more than 1"
            raise ValueError(message)
        if self.requests_per_minute and self.allowed() < 1:
            message = (
                f"requests_per_minute {self.requests_per_minute:g} in a rate_window_seconds of "
                f"{self.rate_window_seconds:g} allows no search, ever"
            )
            raise ValueError(message)
        if self.bucket_rate and self.bucket_burst < 1:
            message = f"bucket_burst must be 1 or more, not {self.bucket_burst!r}: bucket_rate allows no search, ever"
            raise ValueError(message)

    def allowed(self) -> int:
        """Give how many searches a window allows."""
        return int(self.requests_per_minute * self.rate_window_seconds / 60)

    def merge(self, changes: Mapping[str, object]) -> None:
        """Change some switches; raises ValueError, and then changes none, if a name or value is wrong."""
        known = {each.name: type(each.default) for each in fields(self)}
        new: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in known:
                message = f"unknown fault '{name}'; known are {', '.join(sorted(known))}"
                raise ValueError(message)
            new[name] = _typed(name, value, known[name])
        replace(self, **new)
        for name, value in new.items():
            setattr(self, name, value)


_KIND_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _typed(name: str, value: object, kind: type) -> object:
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        message = f"{name} must be {_KIND_NAMES[kind]}, not {value!r}"
        raise ValueError(message)
    return value


def _check(name: str, value: object) -> None:
    if name == "retry_after" and value not in RETRY_AFTER_STYLES:
        message = f"retry_after must be one of {', '.join(RETRY_AFTER_STYLES)}, not {value!r}"
        raise ValueError(message)
    if isinstance(value, float | int) and name != "seed":
        low = -MOST if name == "clock_offset_seconds" else 0
        check_range(name, value, low, 1 if name in _SHARES else MOST)


def _odds(faults: Faults) -> tuple[float, ...]:
    """Give the probabilities of the faults that exclude each other, as _KINDS names them."""
    return (
        faults.p_429,
        faults.p_5xx,
        faults.p_html,
        faults.p_drop,
        faults.p_half_body,
        faults.p_hang,
        faults.p_empty_with_token,
    )


class Dice:
    """All chance in faults, from one seed: the n-th request that is admitted always meets the same fault."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._seed: int | None = None
        self._lots: dict[str, Random] = {}

    def _chance(self, lot: str) -> Random:
        # Each lot has a generator of its own: what is drawn for an answer that hung, or for a request that a limit
        # refused, must not change what the next request meets.
        if self._seed != self._faults.seed:
            self._seed = self._faults.seed
            self._lots = {}
        if lot not in self._lots:
            self._lots[lot] = Random(f"{self._seed}:{lot}")
        return self._lots[lot]

    def throw(self) -> Kind | None:
        """Which fault a request meets, if any; one throw a request, and none while all are off."""
        odds = _odds(self._faults)
        if not any(odds):
            return None
        left = self._chance("request").random()
        for kind, probability in zip(_KINDS, odds, strict=True):
            left -= probability
            if left < 0:
                return kind
        return None

    def pick(self, lot: str, *choices: Any) -> Any:
        """One of some choices; `lot` says what for."""
        return self._chance(lot).choice(choices)

    def noisy(self, total: int) -> int:
        """Give a total, off by up to the share that `total_noise` says."""
        share = self._faults.total_noise
        return round(total * (1 + self._chance("noise").uniform(-share, share))) if share else total
