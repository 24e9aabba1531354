"""A station that counts its own parts, for a PLC that cannot be edited. No port, no clock.

Every believed closing of the part-present contact is the next number; nobody else counts, so
screens say 自计数，无独立核对. A count that may have a hole (first start, an I/O that was away,
inputs not looked at for longer than two parts are apart) is closed; a new epoch begins at 0.
"""

from dataclasses import dataclass, field

from edge import settings
from edge.plc.blocks import LineCounters
from edge.plc.handshake import (
    Bypassed,
    EpochOpened,
    Missed,
    Observation,
    Running,
    Sampled,
    Triggered,
)
from edge.terms import Cause, Mode, Part, Trigger

SAMPLE_S = 1.0


class SelfCount:
    """Numbers of one station. `ready` is set by its owner: parts that come while it is off are
    missed(not_ready)."""

    def __init__(self, station: settings.Station, epoch: int) -> None:
        """`epoch`: the last one in the ledger, 0 = none; `begin` opens the next."""
        self.ready = False
        self.epoch = epoch
        self.counter = 0
        self._station = station
        self._sampled = 0
        self._sampled_s = float("-inf")
        self._bypassed: bool | None = None

    def begin(self) -> list[Observation]:
        """Count from 0 in a new epoch."""
        seen: list[Observation] = []
        if self._sampled != self.counter:
            seen.append(Sampled(self.epoch, self.counter))
        self.epoch += 1
        self.counter = self._sampled = 0
        return [*seen, EpochOpened(self.epoch, 0, 0, "self_counted")]

    def switch(self, bypassed: bool) -> list[Observation]:
        """The bypass key as it stands; said when it changes, and the first time."""
        if bypassed == self._bypassed:
            return []
        self._bypassed = bypassed
        mode = Mode.BYPASS if bypassed else Mode.AUTO
        return [Running(line_running=True, mode=mode, recipe_wanted=self._station.recipe or 0)]

    def part(self, edge_s: float, error_s: float, now_s: float) -> list[Observation]:
        """One more part; its edge lies in [edge_s - error_s, edge_s]."""
        self.counter += 1
        epoch, number = self.epoch, self.counter
        if self._bypassed:
            return [Bypassed(epoch, number, number)]
        if not self.ready:
            return [Missed(epoch, number, number, Cause.NOT_READY)]
        deadline_s = edge_s + self._station.deadline_ms / 1000
        if deadline_s < now_s:
            return [Missed(epoch, number, number, Cause.NO_TRIGGER)]
        part = Part(self._station.name, epoch, number)
        trigger = Trigger(part, edge_s, error_s, Mode.AUTO, self._station.recipe or 0)
        return [Triggered(trigger, deadline_s)]

    def sample(self, now_s: float) -> list[Observation]:
        """The count, once a second while it moves."""
        if self.counter == self._sampled or now_s - self._sampled_s < SAMPLE_S:
            return []
        self._sampled, self._sampled_s = self.counter, now_s
        return [Sampled(self.epoch, self.counter)]


@dataclass(slots=True)
class _Going:
    number: int
    edge_s: float
    passes: bool | None = None  # None: nobody knows yet
    arrived: bool = False


@dataclass(slots=True)
class GoodLane:
    """The second law by an eye behind the gate, where only passed parts come by.

    A rejected part is confirmed by its absence there; one that comes by all the same is a reject
    fault. Every eye edge is a good part, whoever it was.
    """

    after_s: float  # from the part-present edge to this eye ...
    tolerance_s: float  # ... give or take
    _going: list[_Going] = field(default_factory=list)
    _counts: LineCounters = LineCounters(0, 0, 0, 0, 0)  # noqa: RUF009 - frozen

    @property
    def counters(self) -> LineCounters:
        """As the PLC of an edited line would count."""
        return self._counts

    def expect(self, number: int, edge_s: float, bypassed: bool = False) -> None:
        """A part was counted."""
        self._going.append(_Going(number, edge_s, True if bypassed else None))
        if bypassed:
            self._add(bypassed=1)

    def settled(self, number: int, passes: bool) -> None:
        """What its row says: was it passed as OK?"""
        for part in self._going:
            if part.number == number and part.passes is None:
                part.passes = passes

    def at_eye(self, edge_s: float) -> None:
        """Something came by."""
        self._add(good=1)
        for part in self._going:
            near = abs(edge_s - part.edge_s - self.after_s) <= self.tolerance_s
            if near and not part.arrived:
                part.arrived = True
                return

    def look(self, now_s: float) -> None:
        """Confirm what had to have come by."""
        late_s = now_s - self.after_s - self.tolerance_s
        over = [part for part in self._going if part.edge_s < late_s and part.passes is not None]
        for part in over:
            if not part.passes:
                kind = "reject_faults" if part.arrived else "reject_confirmed"
                self._add(rejected=1, **{kind: 1})
        self._going = [part for part in self._going if part not in over]

    def clear(self) -> None:
        """The count begins anew."""
        self._going, self._counts = [], LineCounters(0, 0, 0, 0, 0)

    def _add(self, **more: int) -> None:
        now = self._counts
        self._counts = LineCounters(
            now.good + more.get("good", 0),
            now.rejected + more.get("rejected", 0),
            now.reject_confirmed + more.get("reject_confirmed", 0),
            now.bypassed + more.get("bypassed", 0),
            now.reject_faults + more.get("reject_faults", 0),
        )
