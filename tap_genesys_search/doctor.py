"""Is all well between these settings and that platform? A handful of searches, and a finding for each question."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from tap_genesys_search import timestamps
from tap_genesys_search.auth import GenesysAuth
from tap_genesys_search.client import SearchClient
from tap_genesys_search.clock import SystemClock
from tap_genesys_search.empty_pages import ask_past_empty
from tap_genesys_search.errors import (
    AuthenticationError,
    ConfigurationError,
    ContractError,
    GenesysSearchError,
    MissingPermissionError,
    QueryError,
    RateLimitError,
    place_of,
)
from tap_genesys_search.progress import CLOCKS_APART
from tap_genesys_search.question import MAX_PAGE_SIZE, Axis, Question
from tap_genesys_search.rate_limit import RateBudget, Told
from tap_genesys_search.shared_redis import SharedRedis

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_genesys_search.clock import Clock
    from tap_genesys_search.records import Answer
    from tap_genesys_search.settings import Settings

#: Retries and seconds of waiting: who asks what is wrong wants to know it soon.
_RETRIES: Final = 1
_PATIENCE: Final = 20
#: How often a range is asked for whose first conversation may have moved away.
_TRIES: Final = 3
#: Seconds that clocks may seem apart and be alike.
_ALIKE: Final = 2
#: A reset that is further away is that of a longer window than the minute of the platform's limits.
_MINUTE: Final = 61

_NOTHING: Final = "not checked: no conversation matches the query"


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question.

    Attributes:
        name: What was asked for.
        ok: None: it could not be asked.
        says: What was found.
        fix: What to do, if it is not well.
        kind: That of the error that a run would end with.
        exit_code: The same.
    """

    name: str
    ok: bool | None
    says: str
    fix: str | None = None
    kind: str | None = None
    exit_code: int = 0

    @classmethod
    def of(cls, name: str, error: GenesysSearchError) -> Finding:
        """Return what an error tells."""
        return cls(name, ok=False, says=str(error), fix=error.fix, kind=error.kind, exit_code=error.exit_code)

    def document(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


#: All questions, in the order in which one builds on the others.
NAMES: Final = (
    "settings",
    "region",
    "token",
    "scope",
    "query",
    "clock",
    "page size",
    "range",
    "sort",
    "rate headers",
    "redis",
)


class Doctor:
    """Asks the questions.

    Args:
        settings: Those of a run.
        clock: Time.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._budget = _Listening(settings.requests_per_minute, self._clock)
        self._found: dict[str, Finding] = {}

    def findings(self) -> list[Finding]:
        """Return a finding for each of :data:`NAMES`."""
        self._well("settings", "complete and valid")
        self._redis()
        # Alone: what others share must not hide what this client is answered.
        alone = replace(self._settings, redis_url=None, max_retries=_RETRIES, max_wait_seconds=_PATIENCE)
        try:
            auth = GenesysAuth.from_settings(alone)
            client = SearchClient(
                auth,
                alone.base_url,
                budget=self._budget,
                user_agent=alone.user_agent,
                request_timeout_seconds=alone.request_timeout_seconds,
                max_retries=alone.max_retries,
                max_wait_seconds=alone.max_wait_seconds,
                clock=self._clock,
            )
        except GenesysSearchError as error:
            self._found["region"] = Finding.of("region", error)
            return self._all()
        try:
            self._ask_all(auth, client)
        finally:
            client.close()
            auth.close()
        return self._all()

    def _all(self) -> list[Finding]:
        return [
            self._found.get(name) or Finding(name, ok=None, says="not checked: something above comes first")
            for name in NAMES
        ]

    def _ask_all(self, auth: GenesysAuth, client: SearchClient) -> None:
        hosts = " and ".join(place_of(url) for url in (self._settings.base_url, self._settings.token_url))
        try:
            auth.get_token()
        except GenesysSearchError as error:
            self._blame(error)
            return
        self._well("token", f"granted by {self._settings.auth_method}")
        try:
            answer = self._ask(client, Axis.NEWEST_FIRST, size=1)
        except GenesysSearchError as error:
            self._blame(error)
            self._rate()
            return
        self._well("region", f"{hosts} answer")
        self._well("scope", f"the client may search (scope {self._settings.scope or 'none'})")
        about = "an unknown number of" if answer.total is None else f"about {answer.total:,}"
        self._well("query", f"{self._settings.query} matches {about} conversations")
        self._time(answer)
        page = self._page_size(client)
        if page is not None:
            self._check("range", lambda: self._range(client, page))
            self._check("sort", lambda: self._sort(client, page))
        self._rate()

    def _ask(
        self, client: SearchClient, axis: Axis, *, size: int, low: int | None = None, high: int | None = None
    ) -> Answer:
        """Ask for the range of a run, or a part of it."""
        begin = timestamps.BEGIN if self._settings.start is None else self._settings.start
        end = timestamps.END if self._settings.end is None else self._settings.end
        question = Question(begin if low is None else low, end if high is None else high, axis, size=size)
        return ask_past_empty(client.ask, question, self._settings.query)

    def _blame(self, error: GenesysSearchError) -> None:
        """Put an error where it belongs."""
        name = next((name for kind, name in _BLAMED if isinstance(error, kind)), "region")
        if isinstance(error, RateLimitError):
            says = f"the limit is used up: the platform asks to wait for more than {_PATIENCE} s"
            error = RateLimitError(
                says, fix="start again later; lower requests_per_minute, or see who else uses the client"
            )
        if name in {"token", "scope", "query", "rate headers"}:
            self._well("region", f"{place_of(self._settings.token_url)} answers")
        self._found[name] = Finding.of(name, error)

    def _well(self, name: str, says: str) -> None:
        self._found[name] = Finding(name, ok=True, says=says)

    def _check(self, name: str, check: Callable[[], Finding]) -> None:
        try:
            self._found[name] = check()
        except GenesysSearchError as error:
            self._found[name] = Finding.of(name, error)

    def _time(self, answer: Answer) -> None:
        if answer.served_at is None:
            self._found["clock"] = Finding("clock", ok=None, says="not checked: the answers carry no Date")
            return
        apart = self._clock.time() - answer.served_at / 1000
        says = f"this machine's clock is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} the platform's"
        # A Date has whole seconds, and is as old as the answer's way was long.
        if abs(apart) < _ALIKE:
            says = f"this machine's clock and the platform's are less than {_ALIKE} s apart"
        if abs(apart) <= CLOCKS_APART:
            self._well("clock", says)
        else:
            fix = "set this machine's clock (by NTP); until then a run takes the earlier of the two"
            self._found["clock"] = Finding.of("clock", ConfigurationError(says, fix=fix))

    def _page_size(self, client: SearchClient) -> Answer | None:
        """Ask for a whole page, and return it unless it is refused."""
        size = self._settings.page_size
        try:
            page = self._ask(client, Axis.OLDEST_FIRST, size=size)
        except GenesysSearchError as error:
            fix = "set page_size lower" if isinstance(error, QueryError) else error.fix
            self._found["page size"] = Finding.of("page size", type(error)(str(error), fix=fix))
            return None
        held = len(page.records)
        if held == size or (held < size and not page.more):
            self._well("page size", f"asked for {size}, got {held}" + ("" if page.more else ", which is all"))
        else:
            says = f"asked for {size} conversations, got {held} and more to come"
            fix = f"set page_size to {min(held, MAX_PAGE_SIZE)}" if held else "check base_url and any proxy"
            self._found["page size"] = Finding.of("page size", ConfigurationError(says, fix=fix))
        return page

    def _range(self, client: SearchClient, page: Answer) -> Finding:
        """Ask for what lies between two conversations, the first of them included and the last one not."""
        missing = ""
        for _ in range(_TRIES):
            stamps = sorted(timestamps.parse(stamp) for stamp in page.stamps if stamp is not None)
            if not stamps:
                return Finding("range", ok=None, says=_NOTHING)
            low, high = stamps[len(stamps) // 2], stamps[-1] + (stamps[-1] == stamps[len(stamps) // 2])
            between = self._ask(client, Axis.OLDEST_FIRST, size=self._settings.page_size, low=low, high=high)
            found = [timestamps.parse(stamp) for stamp in between.stamps if stamp is not None]
            strange = [each for each in found if not low <= each < high]
            asked = Question(low, high).range_text
            held = f"{len(found)} conversation{'s' * (len(found) != 1)}"
            if strange:
                return _broken("range", f"{asked}: got one of {timestamps.write(strange[0])}")
            if low in found:
                return Finding("range", ok=True, says=f"{asked}: {held}, all inside")
            missing = f"{asked}: the one at its beginning did not come"
            # It may have moved meanwhile: once more, with another.
            page = self._ask(client, Axis.OLDEST_FIRST, size=self._settings.page_size)
        return _broken("range", missing)

    def _sort(self, client: SearchClient, page: Answer) -> Finding:
        newest = self._ask(client, Axis.NEWEST_FIRST, size=self._settings.page_size)
        up, down = ([timestamps.parse(stamp) for stamp in each.stamps if stamp is not None] for each in (page, newest))
        if len({*up, *down}) < 2:  # noqa: PLR2004 - one is in any order
            return Finding("sort", ok=None, says="not checked: it takes conversations of two different times")
        if up != sorted(up):
            return _broken("sort", "asked for the oldest first, got them in another order")
        if down != sorted(down, reverse=True) or (up and down and down[0] < up[0]):
            return _broken("sort", "asked for the newest first, got them in another order")
        return Finding("sort", ok=True, says="by timestamp, up and down")

    def _rate(self) -> None:
        if "rate headers" in self._found:
            return
        setting = self._settings.requests_per_minute
        told = self._budget.told
        if told is None:
            self._well("rate headers", f"none; requests_per_minute ({setting:,}) alone sets the pace")
            return
        says = (
            f"{told.count:,} of {told.allowed:,} used, reset in {math.ceil(told.reset)} s;"
            f" requests_per_minute is {setting:,}"
        )
        if told.allowed >= setting or told.reset > _MINUTE:
            self._well("rate headers", says)
        else:
            fix = f"set requests_per_minute to {told.allowed} or less; until then the headers slow a run down"
            self._found["rate headers"] = Finding.of("rate headers", ConfigurationError(says, fix=fix))

    def _redis(self) -> None:
        if self._settings.redis_url is None:
            self._well("redis", "not used: each worker has a token and a pace of its own")
            return
        try:
            shared = SharedRedis.from_settings(self._settings)
        except GenesysSearchError as error:
            self._found["redis"] = Finding.of("redis", error)
            return
        if shared is not None:
            self._well("redis", f"{shared.place} can be read and written")
            shared.close()


#: Where an error belongs; any other to the region: nobody answers there, or somebody else.
_BLAMED: Final[tuple[tuple[type[GenesysSearchError], str], ...]] = (
    (AuthenticationError, "token"),
    (MissingPermissionError, "scope"),
    (QueryError, "query"),
    (RateLimitError, "rate headers"),
)


class _Listening(RateBudget):
    """A budget that remembers what the headers said."""

    told: Told | None = None

    @override
    def observe(self, headers: Mapping[str, str]) -> None:
        super().observe(headers)
        self.told = Told.read(headers) or self.told


def _broken(name: str, says: str) -> Finding:
    return Finding.of(name, ContractError(says))
