"""Shifts and report periods, cut in the plant's own time zone. Pure; the time is passed in.

A shift belongs to the day on which it starts, so a night shift after midnight is still yesterday's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from itertools import pairwise
from typing import Literal

Kind = Literal["day", "week", "month", "quarter"]
KINDS: tuple[Kind, ...] = ("day", "week", "month", "quarter")

_SHIFT_NAMES = {1: ("whole",), 2: ("day", "night"), 3: ("early", "middle", "night")}


@dataclass(frozen=True, slots=True)
class Shift:
    """One shift: since <= t < until, and its name: a key of `words`, "nth" where there are many."""

    since: datetime  # UTC
    until: datetime  # UTC
    name: str
    number: int  # of the day, from 1


@dataclass(frozen=True, slots=True)
class Period:
    """One report period of whole local days: start <= t < end."""

    kind: Kind
    first: date  # local
    last: date  # local, included
    start: datetime  # UTC
    end: datetime  # UTC

    @property
    def label(self) -> str:
        """2026-11-23, 2026-W48, 2026-11 or 2026-Q4."""
        if self.kind == "day":
            return self.first.isoformat()
        if self.kind == "week":
            year, week, _ = self.first.isocalendar()
            return f"{year}-W{week:02d}"
        if self.kind == "month":
            return f"{self.first:%Y-%m}"
        return f"{self.first.year}-Q{(self.first.month + 2) // 3}"

    @property
    def before(self) -> date:
        """The last day of the previous period."""
        return self.first - timedelta(days=1)

    @property
    def after(self) -> date:
        """The first day of the next period."""
        return self.last + timedelta(days=1)


def shift_at(now: datetime, zone: tzinfo, starts: Sequence[str]) -> Shift:
    """The shift that runs at `now`; `starts` are local times "HH:MM", one at least, any order."""
    order = sorted(time.fromisoformat(start) for start in starts)
    today = now.astimezone(zone).date()
    # Yesterday's last shift may run past midnight; tomorrow's first start ends today's last.
    bounds = [
        (_utc(today + timedelta(days=days), start, zone), number)
        for days in (-1, 0, 1)
        for number, start in enumerate(order, 1)
    ]
    (since, number), (until, _) = next(
        (this, following) for this, following in pairwise(bounds) if this[0] <= now < following[0]
    )
    names = _SHIFT_NAMES.get(len(order))
    return Shift(since, until, names[number - 1] if names else "nth", number)


def period_of(kind: Kind, day: date, zone: tzinfo) -> Period:
    """The period of this kind that contains the local day; weeks start on Monday (ISO 8601)."""
    if kind == "day":
        first, following = day, day + timedelta(days=1)
    elif kind == "week":
        first = day - timedelta(days=day.weekday())
        following = first + timedelta(days=7)
    else:
        months = 1 if kind == "month" else 3
        first = date(day.year, (day.month - 1) // months * months + 1, 1)
        total = first.year * 12 + first.month - 1 + months
        following = date(total // 12, total % 12 + 1, 1)
    last, midnight = following - timedelta(days=1), time(0)
    start, end = _utc(first, midnight, zone), _utc(following, midnight, zone)
    return Period(kind, first, last, start, end)


def _utc(day: date, at: time, zone: tzinfo) -> datetime:
    return datetime.combine(day, at, tzinfo=zone).astimezone(timezone.utc)
