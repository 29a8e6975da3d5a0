"""What can go wrong on purpose: switches, and the seeded dice that decide when."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from random import Random
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

RETRY_AFTER_STYLES = ("seconds", "date", "none", "mixed")
SERVER_ERRORS = (500, 502, 503, 504)
SHARES = frozenset(
    {"another_client_share", "total_noise", "p_429", "p_5xx", "p_html", "p_drop", "p_half_body", "p_hang"}
    | {"p_empty_with_token"}
)

Kind = Literal["429", "5xx", "html", "drop", "half_body", "hang", "empty_with_token"]
_KINDS: tuple[Kind, ...] = ("429", "5xx", "html", "drop", "half_body", "hang", "empty_with_token")


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
    total_noise: float = _number("How far off `total` is at most, as a share.", 0.03)

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
        """Refuse values out of range."""
        for each in fields(self):
            _check(each.name, getattr(self, each.name))

    def merge(self, changes: Mapping[str, object]) -> None:
        """Change some switches; raises ValueError, and then changes none, if a name or value is wrong."""
        known = {each.name: type(each.default) for each in fields(self)}
        new: dict[str, Any] = {}
        for name, value in changes.items():
            if name not in known:
                message = f"unknown fault '{name}'; known are {', '.join(sorted(known))}"
                raise ValueError(message)
            new[name] = _typed(name, value, known[name])
            _check(name, new[name])
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
    if name in SHARES and isinstance(value, float | int) and not 0 <= value <= 1:
        message = f"{name} must be from 0 to 1, not {value!r}"
        raise ValueError(message)
    if name not in {"clock_offset_seconds", "seed"} and isinstance(value, float | int) and value < 0:
        message = f"{name} must not be negative, not {value!r}"
        raise ValueError(message)


class Dice:
    """All chance in faults, from one seed: the same requests in the same order meet the same faults."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._seed: int | None = None
        self._random = Random()

    def _chance(self) -> Random:
        if self._seed != self._faults.seed:
            self._seed = self._faults.seed
            self._random = Random(f"{self._seed}:faults")
        return self._random

    def throw(self) -> Kind | None:
        """Which fault a request meets, if any; one throw a request, and none while all are off."""
        faults = self._faults
        odds = (
            faults.p_429,
            faults.p_5xx,
            faults.p_html,
            faults.p_drop,
            faults.p_half_body,
            faults.p_hang,
            faults.p_empty_with_token,
        )
        if not any(odds):
            return None
        left = self._chance().random()
        for kind, probability in zip(_KINDS, odds, strict=True):
            left -= probability
            if left < 0:
                return kind
        return None

    def pick(self, *choices: Any) -> Any:  # noqa: ANN401
        """One of some choices."""
        return self._chance().choice(choices)

    def noisy(self, total: int) -> int:
        """Give a total, off by up to the share that `total_noise` says."""
        share = self._faults.total_noise
        return round(total * (1 + self._chance().uniform(-share, share))) if share else total
