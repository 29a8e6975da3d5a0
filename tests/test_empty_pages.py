"""A question asked again past empty pages that have a nextPage."""

from __future__ import annotations

import pytest

from tap_genesys_search.empty_pages import MOST_TIMES, ask_past_empty, oldest
from tap_genesys_search.errors import ContractError
from tap_genesys_search.question import Axis, Question
from tap_genesys_search.records import Answer

EMPTY = Answer([], [], [], token="more")
END = Answer([], [], [])
FULL = Answer([{}], ["a"], ["1970-01-01T00:00:00.007Z"], token="more")
TIMELESS = Answer([{}], ["a"], [None], token="more")
QUESTION = Question(0, 10, Axis.OLDEST_FIRST, size=1)


class Api:
    """Gives these answers, and the last of them for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = [*answers]
        self.asked: list[tuple[Question, str]] = []

    def __call__(self, question: Question, query: str) -> Answer:
        self.asked.append((question, query))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize("last", [FULL, END], ids=["records", "the end"])
@pytest.mark.parametrize("empty", [0, 1, MOST_TIMES - 1])
def test_it_is_asked_again_until_there_is_an_answer(last: Answer, empty: int) -> None:
    api = Api(*[EMPTY] * empty, last)
    assert ask_past_empty(api, QUESTION, "a:b") is last
    assert api.asked == [(QUESTION, "a:b")] * (empty + 1)


def test_it_is_not_asked_for_ever() -> None:
    api = Api(EMPTY)
    assert ask_past_empty(api, QUESTION, "*") is EMPTY
    assert len(api.asked) == MOST_TIMES


def test_the_oldest() -> None:
    api = Api(EMPTY, FULL)
    assert oldest(api, "a:b", 0, 10) == 7
    assert api.asked == [(QUESTION, "a:b")] * 2
    assert oldest(Api(EMPTY, END), "*", 0, 10) is None
    with pytest.raises(ContractError, match="5 times in a row with an empty page that has a nextPage"):
        oldest(Api(EMPTY), "*", 0, 10)
    with pytest.raises(ContractError, match="gives the oldest conversation no usable timestamp"):
        oldest(Api(TIMELESS), "*", 0, 10)
