"""Shifts and report periods: hub.web.periods."""

from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.web.periods import KINDS, Kind, period_of, shift_at

SHANGHAI = ZoneInfo("Asia/Shanghai")
moments = st.integers(946_771_200, 4_102_358_400).map(
    lambda s: datetime.fromtimestamp(s, timezone.utc)  # 2000 to 2099
)
starts = st.sets(st.times().map(lambda at: f"{at:%H:%M}"), min_size=1, max_size=5).map(tuple)


@given(moments, starts)
def test_every_moment_lies_in_exactly_the_shift_that_is_told(
    now: datetime, starts: tuple[str, ...]
) -> None:
    shift = shift_at(now, SHANGHAI, starts)
    assert shift.since <= now < shift.until
    assert shift_at(shift.since, SHANGHAI, starts) == shift
    assert shift_at(shift.until, SHANGHAI, starts).since == shift.until
    assert f"{shift.since.astimezone(SHANGHAI):%H:%M}" in starts


def test_after_midnight_it_is_still_the_night_shift_of_yesterday() -> None:
    now = datetime(2026, 11, 24, 5, 9, tzinfo=SHANGHAI)
    shift = shift_at(now, SHANGHAI, ("08:00", "20:00"))
    assert (shift.name, shift.number) == ("night", 2)
    assert shift.since == datetime(2026, 11, 23, 20, 0, tzinfo=SHANGHAI)
    assert shift.until == datetime(2026, 11, 24, 8, 0, tzinfo=SHANGHAI)


def test_a_shift_across_a_change_of_the_clocks_is_an_hour_longer() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    shift = shift_at(datetime(2026, 10, 25, 3, 0, tzinfo=berlin), berlin, ("22:00", "06:00"))
    assert shift.until - shift.since == timedelta(hours=9)


@given(st.sampled_from(KINDS), st.dates(date(2000, 1, 1), date(2099, 12, 31)))
def test_periods_of_a_kind_follow_each_other_without_gap_or_overlap(kind: Kind, day: date) -> None:
    period = period_of(kind, day, SHANGHAI)
    assert period.first <= day <= period.last
    assert period_of(kind, period.after, SHANGHAI).start == period.end
    assert period_of(kind, period.before, SHANGHAI).end == period.start
    assert period.start == datetime.combine(period.first, time(), SHANGHAI)


@pytest.mark.parametrize(
    ("kind", "label", "first", "last"),
    [
        ("day", "2026-01-01", date(2026, 1, 1), date(2026, 1, 1)),
        ("week", "2026-W01", date(2025, 12, 29), date(2026, 1, 4)),
        ("month", "2026-01", date(2026, 1, 1), date(2026, 1, 31)),
        ("quarter", "2026-Q1", date(2026, 1, 1), date(2026, 3, 31)),
    ],
)
def test_a_period_is_named_as_people_name_it(
    kind: Kind, label: str, first: date, last: date
) -> None:
    period = period_of(kind, date(2026, 1, 1), SHANGHAI)
    assert (period.label, period.first, period.last) == (label, first, last)
