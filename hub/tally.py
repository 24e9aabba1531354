"""Sums of a batch: the law of each epoch, minute counts, causes, pictures, alerts, figures. No IO.

One `Tally` per transaction: it is fed the rows in order, together with the laws as they stood, and
then holds what the store has to add.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from edge.mqtt.message import (
    AlertRow,
    AnyRow,
    BypassedRow,
    CounterRow,
    EpochRow,
    EvictionRow,
    LineRow,
    MissedRow,
    PartRow,
    SealRow,
    TagRow,
)
from edge.terms import Code, Mode
from hub.figures import Figures
from hub.intake import Bad, Good
from hub.moments import moment

_MINUTE_MS = 60_000
_OK, _NG = Code.OK, Code.NG  # a member of an enum is found anew each time it is named
_AUTO, _SAMPLE, _UNACTED = Mode.AUTO, Mode.SAMPLE, (Mode.MONITOR, Mode.BYPASS)


def _let_pass(row: PartRow) -> bool:
    """True if the PLC lets this part pass: it acts on no verdict in monitor and bypass, and never
    lets a golden sample through.
    """
    if row.mode is _AUTO:
        return row.code is _OK
    return row.mode in _UNACTED


@dataclass(slots=True)
class Law:
    """One row of the table `law`: what an epoch counted, and what it was at its last sample."""

    station: str
    epoch: int
    counted_by: str | None = None
    cause: str | None = None
    base: int | None = None
    plc_start: int | None = None
    opened_at: datetime | None = None
    ok: int = 0
    ng: int = 0
    undecided: int = 0
    missed: int = 0
    bypassed: int = 0
    quarantined: int = 0
    released: int = 0
    counter: int | None = None
    open: int | None = None
    settled: int | None = None
    passed: int | None = None
    sampled_at: datetime | None = None
    moved_at: datetime | None = None
    good: int | None = None
    rejected: int | None = None
    reject_confirmed: int | None = None
    plc_bypassed: int | None = None
    reject_faults: int | None = None
    first_counter: int | None = None
    first_settled: int | None = None
    first_passed: int | None = None
    first_good: int | None = None
    first_rejected: int | None = None
    first_reject_confirmed: int | None = None
    origin: str | None = None  # stream in which the epoch was opened; None = this one
    elsewhere: int = 0  # parts that another stream of a restored ledger settled

    def carried_on(self, elsewhere: int) -> "Law":
        """The same epoch in a branch of this stream: nothing counted yet, the last sample stands.

        Args:
            elsewhere: parts of it that were settled before the branch.
        """
        names = ("station", "epoch", "counted_by", "cause", "base", "plc_start", "opened_at")
        sample = ("counter", "open", "settled", "sampled_at", "moved_at", "origin")
        return Law(**{name: getattr(self, name) for name in names + sample}, elsewhere=elsewhere)

    def _total(self) -> int:
        judged = self.ok + self.ng + self.undecided
        return judged + self.missed + self.bypassed + self.quarantined + self.elsewhere

    def _after_base(self, first: int, last: int) -> int:
        """How many of the numbers first..last belong to the epoch."""
        low = first if self.base is None else max(first, self.base + 1)
        return max(0, last - low + 1)

    def opened(self, row: EpochRow, at: datetime) -> None:
        self.counted_by, self.cause = row.counted_by, row.cause
        self.base, self.plc_start = row.base, row.plc_start
        self.opened_at = at

    def part(self, row: PartRow) -> int:
        """Count one part; returns 0 if its number is not of this epoch."""
        if self.base is not None and row.number <= self.base:
            return 0
        if row.code is _OK:
            self.ok += 1
        elif row.code is _NG:
            self.ng += 1
        else:
            self.undecided += 1
        if _let_pass(row):
            self.released += 1
        return 1

    def gone(self, row: MissedRow | BypassedRow) -> int:
        """Count numbers nobody judged; returns how many of them belong to the epoch."""
        count = self._after_base(row.first, row.last)
        if isinstance(row, MissedRow):
            self.missed += count
        else:
            self.bypassed += count
            self.released += count
        return count

    def sampled(self, row: CounterRow, at: datetime, reached: int = 0) -> int:
        """Take a sample of the PLC's counters; returns the triggers since the sample before it.

        Args:
            reached: counter of the epoch that another stream has sampled.
        """
        before = self.base if self.counter is None else self.counter
        before = before if before is None else max(before, reached)
        step = 0 if before is None else max(0, row.counter - before)
        if step or self.moved_at is None:
            self.moved_at = at
        self.counter, self.open, self.sampled_at = row.counter, row.open, at
        self.settled, self.passed = self._total(), self.released
        if row.good is not None and row.reject_confirmed is not None:
            self._second(row)
        return step

    def _second(self, row: CounterRow) -> None:
        self.good, self.rejected = row.good, row.rejected
        self.reject_confirmed, self.plc_bypassed = row.reject_confirmed, row.bypassed
        self.reject_faults = row.reject_faults
        if self.first_good is None:
            self.first_counter, self.first_settled = self.counter, self.settled
            self.first_passed, self.first_good = self.passed, row.good
            self.first_rejected = row.rejected
            self.first_reject_confirmed = row.reject_confirmed


class MinuteKey(NamedTuple):
    """Where a count stands; '' where the count knows no recipe, model or mode."""

    station: str
    recipe: str
    model: str
    mode: str
    minute: datetime


@dataclass(slots=True)
class MinuteCount:
    """Additions to one row of `minute_count`."""

    ok: int = 0
    ng: int = 0
    undecided: int = 0
    missed: int = 0
    bypassed: int = 0
    samples: int = 0
    triggers: int = 0
    latency_count: int = 0
    latency_sum_ms: int = 0
    latency_max_ms: int = 0


class Picture(NamedTuple):
    """A picture that a part row names."""

    sha256: str
    kind: str
    seq: int
    at: datetime


class HourKey(NamedTuple):
    """Where the law of an epoch is kept as it was at the last counter row of an hour."""

    station: str
    epoch: int
    hour: datetime


class HourCount(NamedTuple):
    """The law as it was there; days are cut between two of them."""

    ok: int
    ng: int
    undecided: int
    missed: int
    bypassed: int
    quarantined: int
    elsewhere: int
    counter: int
    open: int


@dataclass(slots=True)
class Tally:
    """What one batch adds. `laws` gives every law its rows touch, as stored before; one that it
    does not know has counted nothing yet.
    """

    laws: dict[tuple[str, int], Law]
    figures: Figures = field(default_factory=lambda: Figures({}))
    reached: dict[tuple[str, int], int] = field(default_factory=dict)  # counter in other streams
    minutes: dict[MinuteKey, MinuteCount] = field(default_factory=dict)
    causes: Counter[tuple[MinuteKey, str, str]] = field(default_factory=Counter)
    hours: dict[HourKey, HourCount] = field(default_factory=dict)
    seen: set[datetime] = field(default_factory=set)
    stations: set[str] = field(default_factory=set)
    pictures: dict[str, Picture] = field(default_factory=dict)
    evicted: dict[str, datetime] = field(default_factory=dict)
    alerts: list[tuple[AlertRow, datetime]] = field(default_factory=list)
    seals: list[tuple[SealRow, int, datetime]] = field(default_factory=list)  # sequence, time
    not_ok: int = 0
    misplaced: int = 0
    _minute_ms: int = -_MINUTE_MS
    _minute: datetime = field(default_factory=lambda: moment(0))
    _like: tuple[object, ...] = ()
    _sums: tuple[Law, MinuteCount] | None = None

    def add(self, taken: Good | Bad) -> None:
        """Count one row."""
        if type(taken) is Bad:
            if taken.station is not None and taken.epoch is not None:
                law = self._law(taken.station, taken.epoch)
                law.quarantined += taken.parts
                law.elsewhere += taken.elsewhere
            return
        at_ms, row = taken.at_ms, taken.row
        if not 0 <= at_ms - self._minute_ms < _MINUTE_MS:
            self._enter(at_ms)
        if at_ms != row.at_ms:
            self.misplaced += 1
        if isinstance(row, PartRow):
            self._part(row, taken)
        elif isinstance(row, SealRow):
            self.seals.append((row, taken.seq, moment(at_ms)))
        else:
            self._other(row, moment(at_ms))

    def _enter(self, at_ms: int) -> None:
        """Rows follow each other within a minute: its time is made once."""
        self._minute_ms = at_ms - at_ms % _MINUTE_MS
        self._minute = moment(self._minute_ms)
        self.seen.add(self._minute)

    def _law(self, station: str, epoch: int) -> Law:
        try:
            return self.laws[station, epoch]
        except KeyError:
            law = self.laws[station, epoch] = Law(station, epoch)
            return law

    def _other(self, row: AnyRow, at: datetime) -> None:
        self.stations.add(row.station)
        if isinstance(row, MissedRow | BypassedRow):
            self._gone(row)
        elif isinstance(row, EpochRow):
            self._law(row.station, row.epoch).opened(row, at)
        elif isinstance(row, CounterRow):
            self._sampled(row, at)
        elif isinstance(row, EvictionRow):
            self.evicted[row.picture] = at
        elif isinstance(row, AlertRow):
            self.alerts.append((row, at))
        elif isinstance(row, TagRow):
            self.figures.tag(row, at)
        elif isinstance(row, LineRow):
            self.figures.line(row, at)

    def _sampled(self, row: CounterRow, at: datetime) -> None:
        law = self._law(row.station, row.epoch)
        self._plain(row.station).triggers += law.sampled(
            row, at, self.reached.get((row.station, row.epoch), 0)
        )
        hour = HourKey(row.station, row.epoch, at.replace(minute=0, second=0, microsecond=0))
        self.hours[hour] = HourCount(
            *(law.ok, law.ng, law.undecided, law.missed, law.bypassed, law.quarantined),
            *(law.elsewhere, row.counter, row.open),
        )

    def _gone(self, row: MissedRow | BypassedRow) -> None:
        count = self._law(row.station, row.epoch).gone(row)
        plain = self._plain(row.station)
        if isinstance(row, BypassedRow):
            plain.bypassed += count
            return
        plain.missed += count
        key = MinuteKey(row.station, "", "", "", self._minute)
        self._cause(key, "missed", row.cause.value, count)

    def _plain(self, station: str) -> MinuteCount:
        return self._count(MinuteKey(station, "", "", "", self._minute))

    def _count(self, key: MinuteKey) -> MinuteCount:
        count = self.minutes.get(key)
        if count is None:
            count = self.minutes[key] = MinuteCount()
        return count

    def _cause(self, key: MinuteKey, kind: str, label: str, parts: int) -> None:
        if parts:
            self.causes[key, kind, label] += parts

    def _part(self, row: PartRow, taken: Good) -> None:
        like = (row.station, row.epoch, row.recipe, row.model, row.mode, self._minute)
        if like != self._like or self._sums is None:  # most parts count where the last one did
            self._like, self._sums = like, self._sums_of(row)
        law, count = self._sums
        if not law.part(row):
            return
        for view in row.views:
            if view.picture is not None:
                self._picture(view.picture, "picture", taken)
            if view.thumbnail is not None:
                self._picture(view.thumbnail, "thumbnail", taken)
        if row.mode is _SAMPLE:  # a golden sample is in the law and in no KPI
            count.samples += 1
            return
        if row.code is _OK:
            count.ok += 1
        else:
            self._not_ok(row, count)
        latency_ms = row.latency_ms
        if latency_ms is not None:
            count.latency_count += 1
            count.latency_sum_ms += latency_ms
            if latency_ms > count.latency_max_ms:
                count.latency_max_ms = latency_ms

    def _sums_of(self, row: PartRow) -> tuple[Law, MinuteCount]:
        """Where a part counts."""
        self.stations.add(row.station)
        law = self._law(row.station, row.epoch)
        if row.mode is _SAMPLE:
            return law, self._plain(row.station)
        return law, self._count(self._key(row))

    def _key(self, row: PartRow) -> MinuteKey:
        return MinuteKey(row.station, row.recipe, row.model or "", row.mode.value, self._minute)

    def _not_ok(self, row: PartRow, count: MinuteCount) -> None:
        self.not_ok += 1
        if row.code is _NG:
            count.ng += 1
            self._cause(self._key(row), "defect", row.defect or "", 1)
        else:
            count.undecided += 1
            self._cause(self._key(row), "undecided", row.reason.value if row.reason else "", 1)

    def _picture(self, sha256: str, kind: str, taken: Good) -> None:
        if sha256 not in self.pictures:
            self.pictures[sha256] = Picture(sha256, kind, taken.seq, moment(taken.at_ms))
