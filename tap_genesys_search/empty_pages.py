"""One question, asked again where its answer is an empty page that has a nextPage: that is no end, and may pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tap_genesys_search import timestamps
from tap_genesys_search.errors import ContractError
from tap_genesys_search.question import Axis, Question

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_genesys_search.records import Answer

    _Ask = Callable[[Question, str], Answer]

#: How often, in all.
MOST_TIMES: Final = 5


def ask_past_empty(ask: _Ask, question: Question, query: str) -> Answer:
    """Ask until an answer has records or says that none follow; the last answer may still be empty, with a nextPage."""
    for _ in range(MOST_TIMES):
        answer = ask(question, query)
        if answer.records or not answer.more:
            break
    return answer


def oldest(ask: _Ask, query: str, low: int, high: int) -> int | None:
    """Return the instant of the oldest conversation of a range, in milliseconds since 1970; None: there is none.

    Args:
        ask: Asks one question.
        query: Lucene.
        low: First instant of the range.
        high: End, exclusive.

    Raises:
        ContractError: There are only empty pages that have a nextPage.
    """
    answer = ask_past_empty(ask, Question(low, high, Axis.OLDEST_FIRST, size=1), query)
    stamp = next((stamp for stamp in answer.stamps if stamp is not None), None)
    if stamp is None and answer.more:
        what = f"answers {MOST_TIMES} times in a row with an empty page that has a nextPage"
        if answer.records:
            what = "gives the oldest conversation no usable timestamp"
        message = f"the API {what}"
        raise ContractError(message)
    return None if stamp is None else timestamps.parse(stamp)
