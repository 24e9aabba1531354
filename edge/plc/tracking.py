"""The parts of a station whose verdicts go by wire. No port, no clock: time is passed in.

beside a bus   its triggers, each tied to its own edge; what the bus thinks became of a part is
               left out, since an echo is no proof of a release
alone          the part-present contact is the count
"""

from collections import deque
from collections.abc import Sequence

from edge import settings
from edge.plc.blocks import LineCounters
from edge.plc.contacts import Sight
from edge.plc.discrete import Contact, Pulses, Timing
from edge.plc.handshake import (
    Bypassed,
    EpochOpened,
    Expired,
    Missed,
    ResetPressed,
    Taken,
    Triggered,
)
from edge.plc.selfcount import GoodLane, SelfCount
from edge.plc.ties import Ties
from edge.plc.turns import Seen
from edge.terms import Code, Mode


class Tracking:
    """From contacts, triggers and verdicts to pulses and to what became of each part.

    Every method that returns something returns what is new for the inspector, in order.
    """

    def __init__(
        self, station: settings.Station, io: settings.Io, lead_s: float, epoch: int | None
    ) -> None:
        """`epoch`: the station counts itself, from the one after this; None = a bus counts."""
        self.pulses = Pulses(_timing(io, lead_s))
        self._io = io
        self._takt_s = station.takt_s
        self._contacts = self._fresh()
        self._ties = Ties(io.part_present is not None, station.scan_ms / 1000)
        self._self = None if epoch is None else SelfCount(station, epoch)
        self._lane = None if epoch is None else _good_lane(io)
        self._submitted: deque[tuple[int, int, Code]] = deque()
        self._new: list[Seen] = []

    @property
    def counters(self) -> LineCounters | None:
        """Of the eye behind the gate; None without one."""
        return self._lane.counters if self._lane is not None else None

    def opened(self) -> list[Seen]:
        """The I/O is there (again): what the contacts did meanwhile is unknown."""
        self._contacts = self._fresh()
        self._count_anew()
        return self._told()

    def submit(self, epoch: int, number: int, code: Code) -> None:
        """A verdict whose row is on disk; from any thread. `decide` gives it to its part."""
        self._submitted.append((epoch, number, code))

    def decide(self, now_s: float) -> None:
        """Verdicts to their parts; that of a part whose edge is not known yet waits for it."""
        for _ in range(len(self._submitted)):
            epoch, number, code = self._submitted.popleft()
            if self._ties.waits(epoch, number):
                self._submitted.append((epoch, number, code))
            else:
                self.pulses.decide((epoch, number), code, now_s)

    def heard(self, seen: Seen) -> list[Seen]:
        """What the bus saw."""
        if not isinstance(seen, Taken | Expired):
            self._tell([seen])
        return self._told()

    def looked(self, sight: Sight, ready: bool, now_s: float) -> list[Seen]:
        """What the contacts did; `ready`: a part that comes now is judged."""
        for level in sight.levels:
            at_s = now_s if level.at_s is None else level.at_s
            self._contacts[level.role].look(level.closed, at_s)
        if sight.unsure_s > self._takt_s:
            self._count_anew()
        for edge_s in self._rises("gate_eye", now_s):
            self.pulses.at_gate(edge_s)
            if self._lane is not None:
                self._lane.at_eye(edge_s)
        edges_s = self._rises("part_present", now_s)
        for edge_s in edges_s:
            self._ties.saw(edge_s)
        if self._self is not None and self._contacts["part_present"].closed is not None:
            self._self.ready = ready
            self._tell(self._self.switch(self._closed("bypass_key")))
            for edge_s in edges_s:
                self._tell(self._counted(self._self, edge_s, sight.unsure_s, now_s))
        if self._rises("reset_button", now_s):
            self._tell([ResetPressed()])
        return self._told()

    def settled(self, now_s: float) -> list[Seen]:
        """Whatever time brings: edges to triggers, windows that are past, samples of the count."""
        for trigger, deadline_s, edge_s in self._ties.tied(now_s):
            key, silent = (trigger.part.epoch, trigger.part.number), trigger.mode is Mode.SAMPLE
            self.pulses.expect(key, edge_s, deadline_s, silent)
        self._tell(self.pulses.leave(now_s))
        if self._lane is not None:
            self._lane.look(now_s)
        if self._self is not None:
            self._tell(self._self.sample(now_s))
        return self._told()

    # -- inside -------------------------------------------------------------------------------

    def _fresh(self) -> dict[str, Contact]:
        roles = [role for role in settings.INPUTS if getattr(self._io, role) is not None]
        return {role: Contact(self._io.debounce_ms / 1000) for role in roles}

    def _counted(
        self, count: SelfCount, edge_s: float, error_s: float, now_s: float
    ) -> Sequence[Seen]:
        seen = count.part(edge_s, error_s, now_s)
        if self._lane is not None:
            bypassed = any(isinstance(one, Bypassed) for one in seen)
            self._lane.expect(count.counter, edge_s, bypassed)
        return seen

    def _count_anew(self) -> None:
        if self._self is not None:
            self._tell(self._self.begin())

    def _told(self) -> list[Seen]:
        new, self._new = self._new, []
        return new

    def _tell(self, seen: Sequence[Seen]) -> None:
        for one in seen:
            match one:
                case EpochOpened():
                    self._tell([*self.pulses.clear(), *self._ties.clear()])
                case Triggered(trigger, deadline_s) if self._self is None:
                    self._ties.expect(trigger, deadline_s)
                case Triggered(trigger, deadline_s):
                    key = trigger.part.epoch, trigger.part.number
                    self.pulses.expect(key, trigger.edge_s, deadline_s)
            if self._lane is not None:
                _follow(self._lane, one)
            self._new.append(one)

    def _rises(self, role: str, now_s: float) -> list[float]:
        contact = self._contacts.get(role)
        return contact.rises(now_s) if contact is not None else []

    def _closed(self, role: str) -> bool:
        contact = self._contacts.get(role)
        return bool(contact is not None and contact.closed)


def _follow(lane: GoodLane, seen: Seen) -> None:
    """What became of a part, for the eye behind the gate; one that nobody judges is rejected."""
    match seen:
        case EpochOpened():
            lane.clear()
        case Missed(_, first, _):
            lane.settled(first, passes=False)
        case Taken(_, number, code):
            lane.settled(number, code is Code.OK)
        case Expired(_, number):
            lane.settled(number, passes=False)


def _timing(io: settings.Io, lead_s: float) -> Timing:
    return Timing(
        io.ok_delay_ms / 1000,
        io.ok_width_ms / 1000,
        io.ok_from == "gate_eye",
        (io.gate_after_ms or 0) / 1000,
        (io.gate_tolerance_ms or 0) / 1000,
        lead_s,
    )


def _good_lane(io: settings.Io) -> GoodLane | None:
    """The eye confirms where it stands behind the gate: where OK is not counted from it."""
    if io.gate_eye is None or io.ok_from == "gate_eye":
        return None
    return GoodLane((io.gate_after_ms or 0) / 1000, (io.gate_tolerance_ms or 0) / 1000)
