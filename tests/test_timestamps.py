"""Instants: floored to the millisecond, written in one form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_genesys_search import timestamps

INSTANTS = st.integers(timestamps.parse("0001-01-01"), timestamps.parse("9999-12-31T23:59:59.999Z"))
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2026-10-03T08:15:02.417Z", "2026-10-03T08:15:02.417Z"),
        ("2026-10-03T08:15:02Z", "2026-10-03T08:15:02.000Z"),
        ("2026-10-03T08:15:02.4Z", "2026-10-03T08:15:02.400Z"),
        ("2026-10-03T10:15:02.417+02:00", "2026-10-03T08:15:02.417Z"),
        ("2026-10-02T22:45:02.417-09:30", "2026-10-03T08:15:02.417Z"),
        ("2026-10-03T08:15:02.417999Z", "2026-10-03T08:15:02.417Z"),
        ("2026-10-03T08:15:02.417999999Z", "2026-10-03T08:15:02.417Z"),
        ("2026-10-03T08:15:02.999999999+00:00", "2026-10-03T08:15:02.999Z"),
        ("2026-10-03T08:15:02.417", "2026-10-03T08:15:02.417Z"),
        ("2026-10-03 08:15:02.417", "2026-10-03T08:15:02.417Z"),
        ("2026-10-03t08:15:02.417z", "2026-10-03T08:15:02.417Z"),
        (" 2026-10-03T08:15Z ", "2026-10-03T08:15:00.000Z"),
        ("2026-10-03", "2026-10-03T00:00:00.000Z"),
        ("20261003T081502Z", "2026-10-03T08:15:02.000Z"),
        ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
    ],
)
def test_every_form_becomes_one(text: str, written: str) -> None:
    assert timestamps.write(timestamps.parse(text)) == written


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+05:00", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-05:00"]
)
def test_what_could_not_be_written_is_not_read(text: str) -> None:
    """Its zone carries it out of the calendar."""
    with pytest.raises(ValueError, match="lies outside the years 1 to 9999"):
        timestamps.parse(text)


@pytest.mark.parametrize("text", ["0001-01-01T05:00:00+05:00", "9999-12-31T18:59:59.9999-05:00"])
def test_the_ends_of_the_calendar_are_read(text: str) -> None:
    assert timestamps.write(timestamps.parse(text))[:10] == text[:10]


@pytest.mark.parametrize("value", [None, 5, True, b"2026-10-03", ["2026-10-03"]])
def test_what_is_no_text_is_refused_like_any_other(value: object) -> None:
    with pytest.raises(ValueError, match="no ISO 8601 date-time"):
        timestamps.parse(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-02-30", "2026-10-03T25:00Z", "1759479302417"])
def test_what_is_no_date_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no ISO 8601 date-time"):
        timestamps.parse(text)


@settings(deadline=None)
@given(INSTANTS)
def test_what_is_written_reads_the_same(instant: int) -> None:
    assert timestamps.parse(timestamps.write(instant)) == instant


@settings(deadline=None)
@given(INSTANTS, INSTANTS)
def test_text_sorts_as_time_does(one: int, other: int) -> None:
    assert (timestamps.write(one) < timestamps.write(other)) == (one < other)


@settings(deadline=None)
@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1), timezones=ZONES))  # noqa: DTZ001 - `timezones` brings the zone
def test_it_is_floored_and_never_rounded(moment: datetime) -> None:
    exact = moment.astimezone(UTC)
    floored = timestamps.parse(moment.isoformat())
    assert timedelta(0) <= exact - datetime.fromisoformat(timestamps.write(floored)) < timedelta(milliseconds=1)


def test_the_open_ends_lie_beyond_everything() -> None:
    assert timestamps.parse("0001-01-01T00:00:00Z") >= timestamps.BEGIN
    assert timestamps.parse("9999-12-31T23:59:59.999Z") < timestamps.END
    # Turning time round turns the one into the other.
    assert timestamps.BEGIN == -timestamps.END


@pytest.mark.parametrize("instant", [timestamps.parse("0001-01-01") - 1, timestamps.END])
def test_outside_the_calendar_nothing_can_be_written(instant: int) -> None:
    with pytest.raises(OverflowError):
        timestamps.write(instant)


def test_seconds_are_floored_to_milliseconds() -> None:
    assert timestamps.from_seconds(1_759_479_302.4179) == 1_759_479_302_417


@settings(deadline=None)
@given(st.lists(INSTANTS.map(timestamps.write)))
def test_what_is_written_is_canonical(texts: list[str]) -> None:
    assert timestamps.all_canonical(texts)


ODD = [
    "2026-10-03T08:15:02Z",
    "2026-10-03T08:15:02.41Z",
    "2026-10-03T08:15:02.4171Z",
    "2026-10-03T08:15:02.417z",
    "2026-10-03t08:15:02.417Z",
    "2026-10-03 08:15:02.417Z",
    "2026-10-03T08:15:02.417+00:00",
    "2026-13-03T08:15:02.417Z",
    "2026-02-30T08:15:02.417Z",
    "0000-10-03T08:15:02.417Z",
    "2026-10-03T24:15:02.417Z",
    "2026-10-03T08:60:02.417Z",
    "2026-10-03T08:15:60.417Z",
    "2026-10-03T08:15:02,417Z",
    "٢٠٢٦-10-03T08:15:02.417Z",
    "",
    "null",
]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_other_form_is_noticed(odd: str, place: int) -> None:
    texts = ["2026-10-03T08:15:02.417Z"] * 2
    texts.insert(place, odd)
    assert not timestamps.all_canonical(texts)


@settings(deadline=None)
@given(st.integers(1, 47))
def test_two_that_only_look_right_side_by_side_are_noticed(cut: int) -> None:
    joined = "2026-10-03T08:15:02.417Z" * 2
    assert timestamps.all_canonical([joined[:cut], joined[cut:]]) == (cut == 24)


@settings(deadline=None)
@given(st.text(alphabet="0123456789-T:.Z", min_size=24, max_size=24))
def test_canonical_means_that_it_is_written_so(text: str) -> None:
    try:
        written = timestamps.write(timestamps.parse(text))
    except ValueError:
        written = ""
    assert timestamps.all_canonical([text]) == (text == written)


@pytest.mark.parametrize("value", [None, 5, ["2026-10-03T08:15:02.417Z"]])
def test_what_is_no_text_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError):
        timestamps.all_canonical(["2026-10-03T08:15:02.417Z", value])  # type: ignore[list-item]
