"""A reading of any index by any schedule, and what a long one costs."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from tap_genesys_search import timestamps
from tap_genesys_search.question import Ask, Axis
from tap_genesys_search.read_ahead import BUFFER_BYTES
from tests.support.driver import BOTH, SLOW, buffered, reading
from tests.support.index import NOON, Index, SortedIndex, page

if TYPE_CHECKING:
    from tap_genesys_search.pagination import SeekCursor
    from tap_genesys_search.slices import Ticket


@BOTH
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.sampled_from([0, 1, 5, 50, 300]),
    width=st.sampled_from([1, 10, 1000, 100_000, 10**12]),
    workers=st.integers(1, 8),
    page_size=st.sampled_from([1, 7, 50, 200]),
    slice_records=st.sampled_from([5, 10, 100, 400]),
    max_age=st.sampled_from([6.0, 20.0, 1000.0]),
    bound=st.sampled_from([0, 3000, 30_000, BUFFER_BYTES]),
    limit=st.sampled_from([None, 1, 100, 800]),
)
def test_any_index_by_any_schedule_comes_once_and_in_order(
    axis: Axis,
    *,
    seed: int,
    count: int,
    width: int,
    workers: int,
    page_size: int,
    slice_records: int,
    max_age: float,
    bound: int,
    limit: int | None,
) -> None:
    """G4, and that it ends."""
    rng = random.Random(seed)
    ids = rng.random() < 0.8
    index = Index(
        rng,
        {f"c{number:05d}": NOON + rng.randrange(width) for number in range(count)},
        id_ranges=ids,
        stable_ties=not ids,
        total_error=rng.choice([-1.0, 0.0, 0.03, 1.0]),
    )
    low = timestamps.BEGIN if rng.random() < 0.3 else NOON
    high = timestamps.END if rng.random() < 0.3 and axis is Axis.NEWEST_FIRST else NOON + width
    far = {"first": timestamps.FIRST, "second": timestamps.FIRST + 1, "last": timestamps.END - 1}
    index.stamps.update({key: stamp for key, stamp in far.items() if low <= stamp < high and rng.random() < 0.3})
    driver = reading(
        index,
        low,
        high,
        axis=axis,
        workers=workers,
        page_size=page_size,
        slice_records=slice_records,
        max_age=max_age,
        limit=limit,
        buffer_bytes=bound,
    )
    slow = rng.choice([0.0, 0.0, 0.05])
    empty = rng.choice([0.0, 0.0, 0.05])
    steps = 0
    while not driver.reading.done:
        steps += 1
        assert steps < 100 * (count + 50), "it never ends"
        driver.now += rng.random() if steps < 10 * (count + 50) else 0.0
        chance = rng.random()
        if chance < 0.4:
            driver.take(1)
        elif chance < 0.8 and driver.tickets:
            ticket = rng.choice(driver.tickets)
            if rng.random() < slow and _can_narrow(ticket):
                driver.tickets.remove(ticket)
                driver.reading.too_slow(ticket, SLOW)
            elif ticket.question.by is Ask.TIME and rng.random() < empty:
                driver.tickets.remove(ticket)
                driver.reading.deliver(ticket, page(more=True))
            else:
                driver.answer(ticket)
        else:
            driver.pop()
        assert buffered(driver.reading) <= bound + workers * 300 * 200
    driver.complete()
    assert driver.reading.take(driver.now) is None


@BOTH
@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    width=st.sampled_from([5, 50, 1000]),
    crowd=st.sampled_from([1, 5, 20]),
    page_size=st.sampled_from([1, 2, 5, 10]),
    bound=st.sampled_from([0, 3000, BUFFER_BYTES]),
    change=st.sampled_from([0.02, 0.2, 0.6]),
)
def test_what_stays_in_its_place_comes_whatever_moves_around_it(
    axis: Axis, *, seed: int, width: int, crowd: int, page_size: int, bound: int, change: float
) -> None:
    """At any search some leave, alone or by whole instants, and others show late, some of them where it is read now."""
    rng = random.Random(seed)
    index = Index(rng)
    for number in range(100):
        shared = number % crowd and index.stamps
        index.stamps[f"c{number:03d}"] = index.stamps[f"c{number - 1:03d}"] if shared else NOON + rng.randrange(width)
    stood = set(index.stamps)
    driver = reading(
        index, high=NOON + width, axis=axis, page_size=page_size, slice_records=20, max_age=20, buffer_bytes=bound
    )
    steps = 0
    while not driver.reading.done:
        steps += 1
        assert steps < 20_000, "it never ends"
        if steps < 800 and rng.random() < change:
            where = rng.choice(sorted(index.stamps.values()) or [NOON])
            if rng.random() < 0.3:
                gone = [key for key, stamp in index.stamps.items() if stamp == where]
                for key in rng.sample(gone, rng.choice([1, len(gone)]) if gone else 0):
                    stood.discard(key)
                    del index.stamps[key]
            elif driver.tickets and rng.random() < 0.5:
                question = rng.choice(driver.tickets).question
                where = min(max(NOON, question.low) + rng.randrange(3), NOON + width - 1)
            index.stamps.update({f"late{steps:05d}-{number}": where for number in range(rng.choice([1, crowd]))})
        driver.now += rng.random() if steps < 1000 else 0
        driver.take(rng.randrange(3))
        if driver.tickets and rng.random() < 0.7:
            driver.answer(rng.choice(driver.tickets))
        if rng.random() < 0.5:
            driver.pop()
    keys = [key for key, _ in driver.found]
    assert stood <= set(keys)
    assert len(set(keys)) == len(keys)
    stamps = [stamp for _, stamp in driver.found]
    assert stamps == sorted(stamps, key=str, reverse=axis is Axis.NEWEST_FIRST)


def _can_narrow(ticket: Ticket) -> bool:
    at: SeekCursor | None = ticket.slice.cursor
    return ticket.edge or (ticket.slice.ticket is not ticket) or (at is not None and at.narrowed() is not None)


def test_full_pages_and_hardly_a_search_more() -> None:
    """Reading a backfill side by side costs little more than pages need."""
    stamps = []
    rng = random.Random(1)
    instant = NOON
    for number in range(60_000):
        instant += int(rng.expovariate(1 if number // 400 % 2 else 0.1) * 500) + 1
        stamps.append(instant)
    index = SortedIndex(stamps)
    driver = reading(index, NOON, instant + 1, page_size=200, slice_records=4000)
    driver.finish()
    assert len(driver.found) == len({key for key, _ in driver.found}) == 60_000
    assert index.searches <= 1.08 * 60_000 / 200
