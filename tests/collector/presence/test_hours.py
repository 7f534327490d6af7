from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.presence.hours import Hours, days_off, parse, working_days

WARSAW = "Europe/Warsaw"
WORK = parse("Mon-Fri 08:00-18:00", WARSAW)


def at(text: str) -> float:
    """Of a time in Warsaw."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(WARSAW)).timestamp()


@pytest.mark.parametrize(
    ("moment", "opens"),
    [
        ("2027-01-15 08:00", "2027-01-15 08:00"),
        ("2027-01-15 17:59", "2027-01-15 17:59"),
        ("2027-01-15 18:00", "2027-01-18 08:00"),
        ("2027-01-15 07:59", "2027-01-15 08:00"),
        ("2027-01-16 12:00", "2027-01-18 08:00"),
        ("2027-03-27 23:00", "2027-03-29 08:00"),  # the night in which an hour is missing
    ],
)
def test_the_next_opening_is_found(moment: str, opens: str) -> None:
    assert WORK.opening(at(moment)) == at(opens)
    assert WORK.inside(at(moment)) is (moment == opens)


def test_silence_begins_to_count_when_the_kiosk_should_be_there() -> None:
    assert WORK.deadline(at("2027-01-15 12:00"), 90.0) == at("2027-01-15 12:00") + 90
    assert WORK.deadline(at("2027-01-15 18:30"), 90.0) == at("2027-01-18 08:00") + 90
    assert WORK.deadline(at("2027-01-15 17:59"), 90.0) == at("2027-01-18 08:00") + 90


def test_without_hours_it_is_always_open() -> None:
    assert parse("") == Hours()
    assert Hours().inside(12.5)
    assert Hours().deadline(12.5, 90.0) == 102.5


def test_several_spans_and_a_week_over_its_end() -> None:
    hours = parse("Sat-Mon 22:00-24:00, Wed 10:00-11:00")
    sunday = datetime(2027, 1, 17, 23, 0, tzinfo=UTC).timestamp()
    assert hours.inside(sunday)
    assert hours.opening(sunday + 3600) == sunday + 23 * 3600
    assert not hours.inside(sunday - 2 * 3600)


@pytest.mark.parametrize(
    "text", ["Mon", "08:00-18:00", "Mon-Fri 18:00-08:00", "Mon-Fri 08:60-18:00", "Moo 08:00-18:00", "Mon 08:00-24:01"]
)
def test_what_is_no_schedule_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not a span of hours"):
        parse(text)


@given(st.floats(0, 4e9))
def test_an_opening_is_never_past_and_always_inside(moment: float) -> None:
    opens = WORK.opening(moment)
    assert opens >= moment
    assert WORK.inside(opens)
    assert opens - moment < 8 * 86400


@pytest.mark.parametrize(
    ("since", "until", "days"),
    [
        ("2027-01-15 17:00", "2027-01-18 09:00", 0),  # Friday to Monday: the weekend alone
        ("2027-01-15 17:00", "2027-01-19 00:01", 1),
        ("2027-01-15 17:00", "2027-01-29 23:00", 9),
        ("2027-01-15 17:00", "2027-01-30 01:00", 10),
        ("2027-01-15 17:00", "2028-01-15 17:00", 260),
        ("2027-01-15 17:00", "2027-01-15 16:00", 0),
    ],
)
def test_working_days_between_are_counted(since: str, until: str, days: int) -> None:
    assert working_days(at(since), at(until), WARSAW) == days


@given(st.floats(1e9, 3e9), st.floats(0, 400 * 86400))
def test_working_days_are_the_days_counted_one_by_one(since: float, more: float) -> None:
    zone = ZoneInfo(WARSAW)
    first, last = (datetime.fromtimestamp(t, zone).date() for t in (since, since + more))
    one_by_one = sum(datetime.fromordinal(day).weekday() < 5 for day in range(first.toordinal() + 1, last.toordinal()))
    assert working_days(since, since + more, WARSAW) == one_by_one


def test_days_off_are_no_working_days() -> None:
    off = days_off("12-25, 12-26, 01-01, 2027-03-29, 02-29")
    # 2026: Christmas is a Friday, the 26th a Saturday; New Year is a Friday, Easter Monday of 2027 the 29th of March.
    assert working_days(at("2026-12-21 10:00"), at("2026-12-29 10:00"), WARSAW, off) == 4
    assert working_days(at("2026-12-21 10:00"), at("2027-01-05 10:00"), WARSAW, off) == 8
    assert working_days(at("2027-03-25 10:00"), at("2027-03-31 10:00"), WARSAW, off) == 2
    assert working_days(at("2028-03-28 10:00"), at("2028-03-31 10:00"), WARSAW, off) == 2
    assert working_days(at("2026-12-25 10:00"), at("2026-12-25 11:00"), WARSAW, off) == 0


@given(st.floats(1e9, 3e9), st.floats(0, 800 * 86400))
def test_days_off_are_the_days_counted_one_by_one(since: float, more: float) -> None:
    off, zone = days_off("12-25, 01-01, 02-29, 05-03, 2027-03-29"), ZoneInfo(WARSAW)
    first, last = (datetime.fromtimestamp(t, zone).date() for t in (since, since + more))
    days = (date.fromordinal(day) for day in range(first.toordinal() + 1, last.toordinal()))
    named = {"12-25", "01-01", "02-29", "05-03"}
    worked = [d for d in days if d.weekday() < 5 and d.isoformat()[5:] not in named and d != date(2027, 3, 29)]
    assert working_days(since, since + more, WARSAW, off) == len(worked)
