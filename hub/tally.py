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
    TagRow,
)
from edge.terms import Code, Mode
from hub.figures import Figures
from hub.intake import Bad, Good
from hub.moments import minute_of, moment


def _let_pass(row: PartRow) -> bool:
    """True if the PLC lets this part pass: it acts on no verdict in monitor and bypass, and never
    lets a golden sample through.
    """
    if row.mode in (Mode.MONITOR, Mode.BYPASS):
        return True
    return row.mode is Mode.AUTO and row.code is Code.OK


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
    reached: int | None = None  # counter that such a stream has sampled; not stored here

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

    def opened(self, row: EpochRow) -> None:
        self.counted_by, self.cause = row.counted_by, row.cause
        self.base, self.plc_start = row.base, row.plc_start
        self.opened_at = moment(row.at_ms)

    def part(self, row: PartRow) -> int:
        """Count one part; returns 0 if its number is not of this epoch."""
        count = self._after_base(row.number, row.number)
        if row.code is Code.OK:
            self.ok += count
        elif row.code is Code.NG:
            self.ng += count
        else:
            self.undecided += count
        if _let_pass(row):
            self.released += count
        return count

    def gone(self, row: MissedRow | BypassedRow) -> int:
        """Count numbers nobody judged; returns how many of them belong to the epoch."""
        count = self._after_base(row.first, row.last)
        if isinstance(row, MissedRow):
            self.missed += count
        else:
            self.bypassed += count
            self.released += count
        return count

    def sampled(self, row: CounterRow) -> int:
        """Take a sample of the PLC's counters; returns the triggers since the sample before it."""
        known = [value for value in (self.counter, self.reached) if value is not None]
        before = max(known, default=self.base)
        step = 0 if before is None else max(0, row.counter - before)
        at = moment(row.at_ms)
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


@dataclass(slots=True)
class Tally:
    """What one batch adds. `laws` must hold every law its rows touch, as stored before."""

    laws: dict[tuple[str, int], Law]
    figures: Figures = field(default_factory=lambda: Figures({}))
    minutes: dict[MinuteKey, MinuteCount] = field(default_factory=dict)
    causes: Counter[tuple[MinuteKey, str, str]] = field(default_factory=Counter)
    seen: set[datetime] = field(default_factory=set)
    pictures: dict[str, Picture] = field(default_factory=dict)
    evicted: dict[str, datetime] = field(default_factory=dict)
    alerts: list[AlertRow] = field(default_factory=list)
    not_ok: int = 0

    def add(self, taken: Good | Bad) -> None:
        """Count one row."""
        if isinstance(taken, Bad):
            if taken.station is not None and taken.epoch is not None:
                law = self._law(taken.station, taken.epoch)
                law.quarantined += taken.parts
                law.elsewhere += taken.elsewhere
            return
        self._count(taken.row, taken.seq)

    def _law(self, station: str, epoch: int) -> Law:
        return self.laws.setdefault((station, epoch), Law(station, epoch))

    def _count(self, row: AnyRow, seq: int) -> None:
        at = moment(row.at_ms)
        self.seen.add(minute_of(at))
        if isinstance(row, PartRow):
            if self._law(row.station, row.epoch).part(row):
                self._part(row, seq, at)
        elif isinstance(row, MissedRow | BypassedRow):
            self._gone(row, at)
        elif isinstance(row, EpochRow):
            self._law(row.station, row.epoch).opened(row)
        elif isinstance(row, CounterRow):
            step = self._law(row.station, row.epoch).sampled(row)
            self._plain(row.station, at).triggers += step
        elif isinstance(row, EvictionRow):
            self.evicted[row.picture] = at
        elif isinstance(row, AlertRow):
            self.alerts.append(row)
        elif isinstance(row, TagRow):
            self.figures.tag(row)
        elif isinstance(row, LineRow):
            self.figures.line(row)

    def _gone(self, row: MissedRow | BypassedRow, at: datetime) -> None:
        count = self._law(row.station, row.epoch).gone(row)
        if isinstance(row, BypassedRow):
            self._plain(row.station, at).bypassed += count
            return
        self._plain(row.station, at).missed += count
        key = MinuteKey(row.station, "", "", "", minute_of(at))
        self._cause(key, "missed", row.cause.value, count)

    def _plain(self, station: str, at: datetime) -> MinuteCount:
        return self.minutes.setdefault(MinuteKey(station, "", "", "", minute_of(at)), MinuteCount())

    def _cause(self, key: MinuteKey, kind: str, label: str, parts: int) -> None:
        if parts:
            self.causes[key, kind, label] += parts

    def _part(self, row: PartRow, seq: int, at: datetime) -> None:
        for view in row.views:
            for sha256, kind in ((view.picture, "picture"), (view.thumbnail, "thumbnail")):
                if sha256 is not None:
                    self.pictures.setdefault(sha256, Picture(sha256, kind, seq, at))
        if row.mode is Mode.SAMPLE:  # a golden sample is in the law and in no KPI
            self._plain(row.station, at).samples += 1
            return
        self.not_ok += row.code is not Code.OK
        key = MinuteKey(row.station, row.recipe, row.model or "", row.mode.value, minute_of(at))
        count = self.minutes.setdefault(key, MinuteCount())
        if row.code is Code.OK:
            count.ok += 1
        elif row.code is Code.NG:
            count.ng += 1
            self._cause(key, "defect", row.defect or "", 1)
        else:
            count.undecided += 1
            self._cause(key, "undecided", row.reason.value if row.reason else "", 1)
        if row.latency_ms is not None:
            count.latency_count += 1
            count.latency_sum_ms += row.latency_ms
            count.latency_max_ms = max(count.latency_max_ms, row.latency_ms)
