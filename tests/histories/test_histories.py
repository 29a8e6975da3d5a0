"""Thousands of histories: G1, G2, G4, G6 and the bound of G3, whatever arrives, moves, shows late, fails and is killed.

``HISTORIES=100000 pytest -m slow tests/histories`` runs as many of the long ones.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from functools import lru_cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_genesys_search import pagination, timestamps, token_reading
from tests.histories.machine import DENSE_PAGE, history

SHORT = 1500
LONG = int(os.environ.get("HISTORIES", "5000"))


@pytest.fixture(scope="module", autouse=True)
def _small_world() -> object:
    """Dense instants read in small pages, and texts of instants remembered: the same by the dozen."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (pagination, token_reading):
            patch.setattr(module, "MAX_PAGE_SIZE", DENSE_PAGE)
        patch.setattr(timestamps, "write", lru_cache(100_000)(timestamps.write))
        patch.setattr(timestamps, "parse", lru_cache(100_000)(timestamps.parse))
        yield


def run(seeds: range) -> Counter[str]:
    told: Counter[str] = Counter()
    for seed in seeds:
        try:
            told.update(history(random.Random(seed)))
        except BaseException as error:
            error.add_note(f"history({seed})")
            raise
    return told


def test_histories() -> None:
    """That many things happened in them is part of the claim."""
    told = run(range(SHORT))
    assert told["killed"] > SHORT
    assert told["failed"] > SHORT / 50
    assert told["reread"] > SHORT / 2
    assert told["searches"] > 10 * told["runs"]
    assert told["throngs"] > SHORT / 100
    assert min(told["followed places"], told["followed numbers"]) > SHORT / 2


@pytest.mark.slow
def test_many_histories() -> None:
    run(range(SHORT, SHORT + LONG))


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_a_history_that_can_be_made_smaller(rng: random.Random) -> None:
    history(rng)
