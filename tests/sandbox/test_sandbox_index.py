"""The index against a sorted list."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tap_genesys_search.sandbox import index as module
from tap_genesys_search.sandbox.index import Bucket, Index
from tap_genesys_search.sandbox.records import Record
from tap_genesys_search.sandbox.runs import Filter

if TYPE_CHECKING:
    import pytest

NUMBERS = count()
EVEN = Filter("even", lambda record: int(record.id) % 2 == 0)
INSTANT = st.integers(0, 60)
SPAN = st.tuples(st.integers(-5, 65), st.integers(-5, 65))


def record(number: int, timestamp: int) -> Record:
    return Record(f"{number:05}", timestamp, b"{}", 1, timestamp, timestamp, number % 5 != 0)


def check(index: Index, naive: list[Record], span: tuple[int, int], size: int, order: int) -> None:
    for chosen in (None, EVEN):
        inside = [each for each in naive if span[0] <= each.timestamp < span[1] and (not chosen or chosen.holds(each))]
        for descending in (False, True):
            wanted = sorted((each.timestamp for each in inside), reverse=descending)
            found: list[Record] = []
            while True:
                options: dict[str, Any] = {"start": len(found), "size": size, "descending": descending, "order": order}
                # A filter of another name is a new one: nothing is known of it yet.
                new = chosen and chosen._replace(name=f"{chosen.name} {next(NUMBERS)}")
                guessed = index.page(new, *span, **options, exact=False)
                page = index.page(chosen, *span, **options)
                assert page.total == len(inside)
                assert (guessed.records, guessed.more) == (page.records, page.more)
                assert page.more == (len(found) + len(page.records) < len(inside))
                assert guessed.total >= len(found) + len(page.records) + page.more
                assert len(page.records) == min(size, len(inside) - len(found))
                found += page.records
                if not page.records:
                    break
            assert [each.timestamp for each in found] == wanted
            assert sorted(each.id for each in found) == sorted(each.id for each in inside)
        ordered = index.by_id(chosen, *span)
        assert [each.id for each in ordered.records] == [
            each.id for each in sorted(inside, key=lambda each: (not each.has_conversation_id, each.id))
        ]
        assert ordered.with_id == sum(each.has_conversation_id for each in inside)


@settings(max_examples=150, deadline=None)
@given(
    base=st.lists(INSTANT, max_size=40),
    steps=st.lists(st.tuples(st.sampled_from(["add", "take", "move", "remove"]), INSTANT, st.integers(0, 10**6))),
    spans=st.lists(SPAN, min_size=1, max_size=3),
    size=st.integers(1, 12),
    order=st.just(0) | st.integers(2**20, 2**40),
    split=st.integers(2, 12),
)
def test_pages_are_those_of_a_sorted_list(
    *,
    base: list[int],
    steps: list[tuple[str, int, int]],
    spans: list[tuple[int, int]],
    size: int,
    order: int,
    split: int,
) -> None:
    naive = [record(number, timestamp) for number, timestamp in enumerate(sorted(base))]
    parts = [[each for each in naive if low <= each.timestamp < low + 20] for low in (0, 20, 40, 60)]
    index = Index(
        Bucket(low, len(part), lambda part=part: list(part))  # type: ignore[misc]
        for low, part in zip((0, 20, 40, 60), parts, strict=True)
    )
    before, module.SPLIT_ABOVE = module.SPLIT_ABOVE, split
    try:
        for number, (step, timestamp, chance) in enumerate(steps, 1_000):
            if step == "add":
                new = record(number, timestamp)
                index.insert(new)
                naive.append(new)
            elif naive:
                old = index.take(chance % len(naive)) if step != "remove" else index.at(chance % len(naive))
                assert index.remove(old) is (step == "remove")
                naive.remove(old)
                if step == "move":
                    new = record(int(old.id), timestamp)
                    index.insert(new)
                    naive.append(new)
            assert len(index) == len(naive)
            check(index, naive, spans[number % len(spans)], size, order)
    finally:
        module.SPLIT_ABOVE = before
    for span in spans:
        check(index, naive, span, size, order)
    assert sorted(each.id for each in index) == sorted(each.id for each in naive)


@given(before=st.integers(0, 9), tied=st.integers(1, 100), size=st.integers(1, 9), order=st.integers(2**20, 2**40))
def test_ties_are_shuffled_without_loss(*, before: int, tied: int, size: int, order: int) -> None:
    index = Index()
    for number in range(before):
        index.insert(record(number, number))
    for number in range(before, before + tied):
        index.insert(record(number, 20))
    found = [
        each.id
        for start in range(0, before + tied, size)
        for each in index.page(None, 0, 99, start=start, size=size, descending=False, order=order).records
    ]
    assert found[:before] == [f"{number:05}" for number in range(before)]
    assert sorted(found) == [f"{number:05}" for number in range(before + tied)]


def test_a_place_among_ids() -> None:
    index = Index()
    for number in (1, 2, 3, 4, 5):
        index.insert(record(number, 7))
    order = index.by_id(None, 0, 9)
    assert [each.id for each in order.records[order.place("00002", after=False) :]] == ["00002", *order_after("2")]
    assert [each.id for each in order.records[order.place("00002", after=True) :]] == order_after("2")


def order_after(last: str) -> list[str]:
    return [name for name in ("00001", "00002", "00003", "00004", "00005") if name > f"0000{last}"]


def test_an_order_by_id_is_made_once_and_moves_with_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    whole = module.IdOrder

    class Counted(whole):  # type: ignore[misc, valid-type]
        def __init__(self, records: list[Record]) -> None:
            made.append(1)
            super().__init__(records)

    monkeypatch.setattr(module, "IdOrder", Counted)
    index = Index([Bucket(0), Bucket(100)])
    index.insert(record(1, 7))

    def ids() -> list[int]:
        return [int(each.id) for each in index.by_id(None, 0, 9).records]

    assert ids() == [1]
    index.insert(record(5, 8))
    index.insert(record(2, 150))
    index.insert(record(3, 8))
    assert ids() == [1, 3, 5]
    assert index.by_id(None, 0, 9).with_id == 2
    index.take(0)
    assert ids() == [3, 5]
    assert len(made) == 1


def test_a_total_is_exact_or_estimated_from_what_the_page_needed() -> None:
    made: list[int] = []

    def hour(number: int) -> list[Record]:
        made.append(number)
        return [record(10 * number + each, 100 * number + each) for each in range(10)]

    def page(*, exact: bool, descending: bool = False) -> tuple[int, list[int]]:
        made.clear()
        index = Index(Bucket(100 * number, 10, lambda number=number: hour(number)) for number in range(1_000))  # type: ignore[misc]
        found = index.page(EVEN, 5, 100_000, start=0, size=20, order=0, exact=exact, descending=descending)
        return found.total, sorted(made)

    assert page(exact=True) == (4_997, list(range(1_000)))
    # Both ends of the range, and as much as holds 20 of a kind and one more.
    assert page(exact=False) == (4_997, [0, 1, 2, 3, 4, 999])
    assert page(exact=False, descending=True) == (4_997, [0, *range(995, 1_000)])
