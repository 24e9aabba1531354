"""The physics of the simulated line: a belt, two light beams, a camera trigger, a gate, two bins.

Pure: time is passed in, nothing waits, nothing is drawn. x is mm along the belt, 0 under the
camera, growing downstream; a plate's place is that of its centre.

    entry ......... camera (0) .. eye ............... gate eye ...... gate -> good bin
                                  |                     |               \\-> reject bin
                                  breaks: PLC counts,   PLC: which      the plate goes where the
                                  camera fires after    part is this?   gate points when its
                                  `trigger_travel_mm`                   centre is there

The eye sits so that the plate is centred under the camera at the exposure. Speed is constant or on
a ramp; times of crossings inside a step are exact for a constant speed.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

RAMP_MM_S2 = 2500.0
"""How fast the drive changes the belt's speed."""

VIEW_MM = 110.0
"""A plate whose centre is farther from the camera than this is in no picture."""

_STEP_S = 0.01  # a plate moves less than the way from the camera to the gate in one step
_RAMP_STEP_S = 0.002
_BOUNCE_S = 0.002  # a bouncing sensor lets go after this, and closes again after twice this
_STRANGE_MM = 45.0  # farther than this from where a removed plate would be
_CLEAR_MM = 4.0  # plates put on or moved by disturbances keep this distance to beams and plates


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are, mm. The defaults give 0.64 s from camera to gate at 760 mm/s."""

    part_mm: float = 90.0  # length of a plate
    beam_mm: float = 1.0  # thickness of a light beam: smaller gaps are not seen
    entry_mm: float = -400.0
    trigger_travel_mm: float = 10.5  # belt travel from the eye's edge to the exposure
    gate_eye_mm: float = 430.0
    gate_mm: float = 490.0
    chute_s: float = 0.12  # from the gate to the sensor of a bin
    gate_lag_s: float = 0.02  # the gate's cylinder

    @property
    def eye_mm(self) -> float:
        """Place of the photo-eye that counts parts."""
        return self.part_mm / 2 - self.trigger_travel_mm

    def for_speed(self, speed_mm_s: float, camera_to_gate_s: float = 0.64) -> "Layout":
        """This layout with the gate moved downstream so that a fast belt leaves as much time."""
        gate_mm = max(self.gate_mm, speed_mm_s * camera_to_gate_s)
        return Layout(gate_eye_mm=gate_mm - (self.gate_mm - self.gate_eye_mm), gate_mm=gate_mm)


@dataclass(frozen=True, slots=True)
class Edge:
    """A beam broken (`rising`) or free again. `plate` did it; None: the sensor bounced."""

    at_s: float
    encoder_mm: float
    rising: bool
    at_gate: bool
    plate: int | None


@dataclass(frozen=True, slots=True)
class Joined:
    """`plate` reached the camera's eye while `first` still broke the beam: one pulse for two."""

    at_s: float
    plate: int
    first: int


@dataclass(frozen=True, slots=True)
class Exposure:
    """The camera was fired: every plate in view and its place at this instant."""

    at_s: float
    count: int  # the camera's own trigger count, from 1
    placed: tuple[tuple[int, float], ...]  # plate, x mm
    speed_mm_s: float


@dataclass(frozen=True, slots=True)
class Landed:
    """A plate left the belt at the gate."""

    at_s: float
    plate: int
    bin: Literal["good", "reject"]


@dataclass(frozen=True, slots=True)
class BinPulse:
    """The sensor of a bin saw something fall in."""

    at_s: float
    good: bool


Event = Edge | Joined | Exposure | Landed | BinPulse


class Belt:
    """Plates on a belt. `advance` moves it; what it returns happened in that time, in order."""

    def __init__(self, layout: Layout, speed_mm_s: float, now_s: float = 0.0) -> None:
        self.layout = layout
        self.now_s = now_s
        self.speed_mm_s = speed_mm_s
        self.target_mm_s = speed_mm_s
        self.travel_mm = 0.0  # of the belt itself
        self.encoder_mm = 0.0  # as the PLC's encoder tells it
        self.plates: dict[int, float] = {}  # plate -> x of its centre
        self.gate_stuck: bool | None = None  # a gate that moves no more points there: good bin?
        self.gate_behind_mm = 0.0  # belt travel by which the gate acts too late
        self.bin_room: int | None = None  # plates the reject bin still takes; None = no end
        self.bounce_next = False
        self._gate_passes = False
        self._gate_orders: list[tuple[float, bool]] = []
        self._pending: list[float] = []  # encoder places at which the camera fires
        self._exposures = 0
        self._removed: list[tuple[float, float]] = []  # x, and the belt's travel then
        self._later: list[tuple[float, int, Event]] = []  # heap of things that will happen
        self._order = 0
        self._uncounted_mm = 0.0  # the encoder has yet to lose (negative: to count twice)
        self._breaking: dict[bool, list[int]] = {False: [], True: []}  # at_gate -> plates in beam
        half, beam = layout.part_mm / 2, layout.beam_mm
        self._marks = (  # places of a plate's centre at which its leading or trailing edge is there
            (layout.eye_mm - half, "l eye"),
            (layout.eye_mm + half + beam, "t eye"),
            (layout.gate_eye_mm - half, "l gate eye"),
            (layout.gate_eye_mm + half + beam, "t gate eye"),
            (layout.gate_mm, "gate"),
        )

    @property
    def bin_full(self) -> bool:
        """The reject bin takes no more."""
        return self.bin_room == 0

    def aim(self, speed_mm_s: float) -> None:
        """The drive's set point; negative runs the belt backwards."""
        self.target_mm_s = speed_mm_s

    def point_gate(self, passes: bool) -> None:
        """The gate's valve: True points to the good bin, False (no power) to the reject bin."""
        last = self._gate_orders[-1][1] if self._gate_orders else self._gate_passes
        if passes != last:
            behind_s = self.gate_behind_mm / max(self.speed_mm_s, 1.0)
            self._gate_orders.append((self.now_s + self.layout.gate_lag_s + behind_s, passes))

    def put(self, plate: int, x_mm: float) -> None:
        """Put a plate on the belt, clear of the beams."""
        self.plates[plate] = x_mm

    def place_between(self) -> float | None:
        """A place between eye and gate eye where one more plate fits, or None. Never where one was
        taken away: a part exchanged by hand is the one thing that tracking cannot know."""
        reach = self.layout.part_mm + _CLEAR_MM
        low, high = self._between()
        taken = sorted(x for x in self.plates.values() if low - reach < x < high + reach)
        for before, after in pairwise([low - reach, *taken, high + reach]):
            middle = (before + after) / 2
            free = after - before >= 2 * reach and low <= middle <= high
            if free and self._was_never(middle):
                return middle
        return None

    def between(self) -> list[int]:
        """Plates wholly between eye and gate eye, the first of them first."""
        low, high = self._between()
        return sorted(
            (plate for plate, x in self.plates.items() if low <= x <= high),
            key=lambda plate: -self.plates[plate],
        )

    def remove(self, plate: int) -> None:
        """Take a plate off; only one that `between` named."""
        self._removed = [*self._removed, (self.plates.pop(plate), self.travel_mm)][-4:]

    def slip(self, plate: int, back_mm: float) -> bool:
        """Let one plate slide back on the belt; False when it would hit a beam or a plate, or take
        the place of a removed one."""
        to_mm = self.plates[plate] - back_mm
        reach = self.layout.part_mm + _CLEAR_MM
        others = (x for other, x in self.plates.items() if other != plate)
        low, _ = self._between()
        if to_mm < low or any(abs(x - to_mm) < reach for x in others):
            return False
        if not self._was_never(to_mm):
            return False
        self.plates[plate] = to_mm
        return True

    def _was_never(self, x_mm: float) -> bool:
        """No plate was taken away from near this place."""
        empty = (x + self.travel_mm - since_mm for x, since_mm in self._removed)
        return all(abs(x - x_mm) > _STRANGE_MM for x in empty)

    def slip_encoder(self, lost_mm: float) -> None:
        """The encoder's wheel slips over the next `lost_mm` (negative: it counts them twice)."""
        self._uncounted_mm += lost_mm

    def next_exposure_s(self) -> float | None:
        """When the camera fires next if the speed stays; None: not foreseeable."""
        if self.speed_mm_s <= 0:
            return None
        layout = self.layout
        edge_mm = layout.eye_mm - layout.part_mm / 2
        ways = [target - self.encoder_mm for target in self._pending]
        ways += [
            edge_mm + layout.trigger_travel_mm - x for x in self.plates.values() if x < edge_mm
        ]
        return self.now_s + min(ways) / self.speed_mm_s if ways else None

    def advance(self, now_s: float) -> list[Event]:
        """Run the belt until `now_s`."""
        events: list[Event] = []
        while self.now_s < now_s:
            step_s = min(now_s - self.now_s, _STEP_S)
            if self.speed_mm_s != self.target_mm_s:
                step_s = min(step_s, _RAMP_STEP_S)
                change = RAMP_MM_S2 * step_s
                low, high = self.speed_mm_s - change, self.speed_mm_s + change
                self.speed_mm_s = min(max(self.target_mm_s, low), high)
            events += self._step(step_s)
        while self._later and self._later[0][0] <= now_s:
            events.append(heapq.heappop(self._later)[2])
        return sorted(events, key=lambda event: event.at_s)

    def _between(self) -> tuple[float, float]:
        half = self.layout.part_mm / 2 + self.layout.beam_mm + _CLEAR_MM
        return self.layout.eye_mm + half, self.layout.gate_eye_mm - half

    def _step(self, step_s: float) -> list[Event]:
        """Move at the present speed for `step_s`."""
        begin_s, begin_mm, speed = self.now_s, self.encoder_mm, self.speed_mm_s
        way = speed * step_s
        crossings: list[tuple[float, bool, int, str]] = []
        for plate, x in self.plates.items():
            for mark_mm, kind in self._marks:
                if x < mark_mm <= x + way or x + way < mark_mm <= x:
                    at_s = begin_s + (mark_mm - x) / speed
                    crossings.append((at_s, (kind[0] == "t") == (way > 0), plate, kind))
            self.plates[plate] = x + way
        self.travel_mm += way
        counted = self._count(way)
        self.encoder_mm += counted
        self.now_s = begin_s + step_s
        events: list[Event] = []
        for at_s, _, plate, kind in sorted(crossings):
            encoder_mm = begin_mm + counted * (at_s - begin_s) / step_s
            events += self._cross(at_s, encoder_mm, plate, kind, way > 0)
        return [*events, *self._fire()]

    def _count(self, way_mm: float) -> float:
        """What the encoder counts of this way."""
        if way_mm <= 0 or not self._uncounted_mm:
            return way_mm
        slipped = min(max(self._uncounted_mm, -way_mm), way_mm)
        self._uncounted_mm -= slipped
        return way_mm - slipped

    def _cross(
        self, at_s: float, encoder_mm: float, plate: int, kind: str, forward: bool
    ) -> Iterator[Event]:
        if kind == "gate":
            if forward:
                yield self._land(at_s, plate)
            return
        at_gate = kind.endswith("gate eye")
        breaking = self._breaking[at_gate]
        if (kind[0] == "l") == forward:  # it enters the beam
            breaking.append(plate)
            if len(breaking) == 1:
                yield Edge(at_s, encoder_mm, True, at_gate, plate)
                if not at_gate:
                    self._trigger(at_s, encoder_mm)
            elif forward and not at_gate:
                yield Joined(at_s, plate, breaking[0])
        elif plate in breaking:
            breaking.remove(plate)
            if not breaking:
                yield Edge(at_s, encoder_mm, False, at_gate, plate)

    def _trigger(self, at_s: float, encoder_mm: float) -> None:
        """The camera's delay starts at every rising edge, also at those that are none."""
        self._pending.append(encoder_mm + self.layout.trigger_travel_mm)
        if not self.bounce_next:
            return
        self.bounce_next = False
        for n, rising in ((1, False), (2, True)):
            away_mm = self.speed_mm_s * n * _BOUNCE_S
            edge = Edge(at_s + n * _BOUNCE_S, encoder_mm + away_mm, rising, False, None)
            self._happens(edge)
        self._pending.append(encoder_mm + away_mm + self.layout.trigger_travel_mm)

    def _fire(self) -> Iterator[Exposure]:
        """Exposures whose place the encoder has reached."""
        for target in sorted(self._pending):
            back_mm = self.encoder_mm - target
            if back_mm < 0 or self.speed_mm_s <= 0:
                continue
            self._pending.remove(target)
            self._exposures += 1
            at_s = self.now_s - back_mm / self.speed_mm_s
            seen = ((plate, x - back_mm) for plate, x in self.plates.items())
            placed = tuple((plate, x) for plate, x in seen if abs(x) < VIEW_MM)
            yield Exposure(at_s, self._exposures, placed, self.speed_mm_s)

    def _land(self, at_s: float, plate: int) -> Landed:
        while self._gate_orders and self._gate_orders[0][0] <= at_s:
            self._gate_passes = self._gate_orders.pop(0)[1]
        good = self._gate_passes if self.gate_stuck is None else self.gate_stuck
        del self.plates[plate]
        if good or self.bin_room != 0:  # a plate on a full bin does not fall past its sensor
            self._happens(BinPulse(at_s + self.layout.chute_s, good))
        if not good and self.bin_room:
            self.bin_room -= 1
        return Landed(at_s, plate, "good" if good else "reject")

    def _happens(self, event: Event) -> None:
        self._order += 1
        heapq.heappush(self._later, (event.at_s, self._order, event))
