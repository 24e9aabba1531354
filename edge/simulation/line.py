"""The simulated line as one thing: feed, belt, PLC program and whatever goes wrong. Pure.

Time is passed in, so that a test runs an hour in a second, and `edge.simulate` runs it in real
time. The feed never waits for the node: plates come at their pitch as long as the belt moves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edge.plc.blocks import Control
from edge.plc.images import EyeEdge, Inputs, Outputs
from edge.plc.program import Program, Site
from edge.plc.structured_text.code import BlockCode
from edge.simulation.belt import Belt, BinPulse, Edge, Event, Exposure, Layout
from edge.simulation.disturbances import OPTICS, Disturbances, Happening
from edge.simulation.summary import PlatePlan, Records
from edge.vision.plates import CLASSES, NEW_KIND, plan

NODE_SIZE = 10
"""Registers that the node writes."""

_SEEDS = 1_000_000_000  # plates of the line: none of them is in a data set that a model learnt from


@dataclass(frozen=True, slots=True)
class LinePlan:
    """What the line makes."""

    rate: float = 4.0  # parts per second at nominal speed
    pitch_mm: float = 190.0  # mean distance of plates; at least 0.9 of it apart
    jitter: float = 0.1  # share of the pitch
    y_jitter_mm: float = 5.0  # across the belt
    defect_rate: float = 0.03
    small_rate: float = 0.0  # share of the defective plates with defects below the minimum size
    seed: int = 1
    parts: int | None = None  # stop the feed after so many plates
    new_kind_from: int | None = None  # plate from which a defect unknown to the model appears
    drawn: bool = True  # False: pictures come from elsewhere, nobody knows about defects
    repair_s: float | None = 5.0  # a mechanic comes this long after a reject fault; None: never
    stop_after_s: float | None = None  # line stop when the node is silent; None: never
    disturbances: Disturbances = field(default_factory=Disturbances)

    @property
    def speed_mm_s(self) -> float:
        """Nominal speed of the belt."""
        return self.rate * self.pitch_mm


class SimulatedLine:
    """One station's line. `run_to` moves it, `scan` is one scan of its PLC."""

    def __init__(
        self,
        line_plan: LinePlan,
        start_number: int,
        records: Records,
        now_s: float = 0.0,
        put: Callable[[PlatePlan], None] = lambda _: None,
        code: BlockCode | None = None,
    ) -> None:
        """Args:
        start_number: of the PLC's power-up.
        put: told of every plate as it enters, at least 0.2 s before any exposure of it.
        code: the PLC's program; the shipped one by default.
        """
        self.plan = line_plan
        layout = Layout().for_speed(line_plan.speed_mm_s)
        self.belt = Belt(layout, line_plan.speed_mm_s, now_s)
        self.site = Site(
            part_mm=layout.part_mm,
            eye_to_gate_eye_mm=layout.gate_eye_mm - layout.eye_mm,
            gate_eye_to_gate_mm=layout.gate_mm - layout.gate_eye_mm,
            stop_after_s=line_plan.stop_after_s,
        )
        self.start_number = start_number
        self.program = Program(self.site, start_number, code=code)
        self.records = records
        self.fed = 0
        self.optics: dict[str, float] = {}  # set points of --at lamp=...
        self.plugged = True
        self.frozen = False  # the camera repeats its last picture
        self._put = put
        self._rng = np.random.default_rng((line_plan.seed, 31))
        self._feeding_from_s: float | None = None
        self._scheduled_s = -1.0
        self._next_mm = 0.0  # belt travel at which the next plate enters
        self._wanted: list[Happening] = []  # waits until there is a plate to do it to
        self._keys: dict[str, bool] = {"bypass": False, "monitor": False, "jog": False}
        self._buttons: set[str] = set()  # pressed, or meant for the next plate
        self._ordered = 0  # parts that enter one by one
        self._recipe = 1
        self._speed_factor = 1.0
        self._reverse_until_s = float("-inf")
        self._new_kind = False
        self._fault_since_s: float | None = None
        self._plates = 0
        self._fresh: list[Event] = []  # since the last scan

    @property
    def feeding(self) -> bool:
        """Plates enter."""
        return self._feeding_from_s is not None

    @property
    def empty(self) -> bool:
        """Nothing is on the belt and every part is settled."""
        return not (self.belt.plates or self._ordered or self.program.in_flight)

    def start_feed(self) -> None:
        """Plates enter from now on; the schedule's clock starts."""
        self._feeding_from_s = self.belt.now_s
        self._next_mm = self.belt.travel_mm

    def stop_feed(self) -> None:
        """No more plates; those on the belt run out."""
        self._feeding_from_s = None

    def happen(self, happening: Happening) -> None:
        """Somebody at the line does this, now."""
        self._apply(happening, self.belt.now_s)

    def run_to(self, now_s: float) -> list[Exposure]:
        """Move the belt; returns the exposures of that time."""
        events = self.belt.advance(now_s)
        for event in events:
            self.records.physical(event)
        self._fresh += events
        return [event for event in events if isinstance(event, Exposure)]

    def scan(self, now_s: float, node: Sequence[int]) -> Outputs:
        """One scan at `now_s`, to which `run_to` has moved the belt.

        Args:
            node: the 10 registers as the node left them.
        """
        self._feed()
        self._disturb(now_s)
        outputs = self.program.scan(self._inputs(tuple(node)), now_s)
        if self._keys["jog"]:
            control = outputs.block[0] & ~Control.LINE_RUNNING
            outputs = replace(outputs, block=(control, *outputs.block[1:]))
        self._buttons -= {"sample", "reset"}
        for record in outputs.records:
            self.records.logical(record, self.start_number)
        self.belt.point_gate(outputs.gate_pass)
        self.belt.aim(self._speed(now_s) if outputs.run else 0.0)
        self._mend(now_s)
        return outputs

    def _inputs(self, node: tuple[int, ...]) -> Inputs:
        edges = [e for e in self._fresh if isinstance(e, Edge)]
        pulses = [e.good for e in self._fresh if isinstance(e, BinPulse)]
        self._fresh = []
        eyes = [
            tuple(EyeEdge(e.at_s, e.encoder_mm, e.rising) for e in edges if e.at_gate is at_gate)
            for at_gate in (False, True)
        ]
        return Inputs(
            node=node,
            encoder_mm=self.belt.encoder_mm,
            eye=eyes[0],
            gate_eye=eyes[1],
            good_pulses=sum(pulses),
            reject_pulses=len(pulses) - sum(pulses),
            bin_full=self.belt.bin_full,
            bypass_key=self._keys["bypass"],
            monitor_key=self._keys["monitor"],
            sample_button="sample" in self._buttons,
            reset_button="reset" in self._buttons,
            recipe=self._recipe,
        )

    def _speed(self, now_s: float) -> float:
        if now_s < self._reverse_until_s:
            return -0.5 * self.plan.speed_mm_s
        return self.plan.speed_mm_s * self._speed_factor

    def _feed(self) -> None:
        """Put the plates on that are due by the belt's travel."""
        if self._ordered and not self.feeding and self.belt.travel_mm >= self._next_mm:
            self._ordered -= 1
            self._enter(self.belt.layout.entry_mm)
            self.fed += 1
            self._next_mm = self.belt.travel_mm + self.plan.pitch_mm
        while self.feeding and self.belt.travel_mm >= self._next_mm:
            if self.plan.parts is not None and self.fed >= self.plan.parts:
                self.stop_feed()
                return
            happenings = self.plan.disturbances.drawn(self._rng)
            touching = any(h.kind == "touching" for h in happenings) or "touching" in self._buttons
            self._buttons.discard("touching")
            behind_mm = self.belt.travel_mm - self._next_mm
            self._enter(self.belt.layout.entry_mm + behind_mm)
            self.fed += 1
            for happening in happenings:
                if happening.kind != "touching":
                    self._apply(happening, self.belt.now_s)
            spread = self._rng.uniform(-self.plan.jitter, self.plan.jitter)
            pitch_mm = self.plan.pitch_mm * (1 + spread)
            self._next_mm += self.belt.layout.part_mm if touching else pitch_mm

    def _enter(self, x_mm: float) -> None:
        """Decide what the next plate is and put it on the belt."""
        number, line_plan = self._plates, self.plan
        self._plates += 1
        rng = np.random.default_rng((line_plan.seed, number, 32))
        kinds: tuple[str, ...] = CLASSES
        since = line_plan.new_kind_from
        if self._new_kind or (since is not None and number >= since):
            kinds = CLASSES + (NEW_KIND,) * len(CLASSES)
        rate = 1.0 if "defective" in self._buttons else line_plan.defect_rate
        self._buttons.discard("defective")
        labels = plan(rng, rate, kinds) if line_plan.drawn else ()
        small = bool(labels) and float(rng.random()) < line_plan.small_rate
        y_mm = float(rng.uniform(-line_plan.y_jitter_mm, line_plan.y_jitter_mm))
        seed = _SEEDS + line_plan.seed * 1_000_000 + number
        made = PlatePlan(number, seed, labels, small, y_mm, known=line_plan.drawn)
        self.records.put(made)
        self._put(made)
        self.belt.put(number, x_mm)

    def _disturb(self, now_s: float) -> None:
        if self._feeding_from_s is not None:
            at_s = now_s - self._feeding_from_s
            for happening in self.plan.disturbances.between(self._scheduled_s, at_s):
                self._apply(happening, now_s)
            self._scheduled_s = at_s
        self._wanted = [h for h in self._wanted if not self._done(h)]

    def _apply(self, happening: Happening, now_s: float) -> None:
        kind, value = happening.kind, happening.value
        if kind in ("removed", "added", "slip"):
            self._wanted.append(happening)
        elif kind in OPTICS:
            self.optics[kind] = 1.0 if value is None else value
        elif kind in self._keys:
            self._keys[kind] = value != 0
        elif kind in ("sample", "reset", "touching", "defective"):
            self._buttons.add(kind)
        elif kind == "reverse":
            self._reverse_until_s = now_s + (0.8 if value is None else value)
        elif kind == "part":
            self._ordered += 1 if value is None else int(value)
        else:
            self._break(kind, value)
            self._operate(kind, value)

    def _break(self, kind: str, value: float | None) -> None:
        """What fails on the belt."""
        match kind:
            case "encoder_slip":
                self.belt.slip_encoder(60.0 if value is None else value)
            case "bounce":
                self.belt.bounce_next = True
            case "dead_pusher":
                self.belt.gate_stuck = True
            case "no_air":
                self.belt.gate_stuck = False
            case "offset":
                self.belt.gate_behind_mm = self.plan.pitch_mm if value is None else value
            case "full_bin":
                self.belt.bin_room = int(value or 0)

    def _operate(self, kind: str, value: float | None) -> None:
        """What people do to the line."""
        match kind:
            case "speed":
                self._speed_factor = 1.0 if value is None else max(0.0, value)
            case "recipe":
                self._recipe = 1 if value is None else int(value)
            case "repair":
                self._repair()
            case "unplug":
                self.plugged = value == 0
            case "frozen":
                self.frozen = value != 0
            case "new_kind":
                self._new_kind = value != 0
            case "power_cycle":
                self.start_number += 1
                self.program = self.program.power_cycled()

    def _done(self, happening: Happening) -> bool:
        """Try what needs a plate at the right place; False: try again at the next scan."""
        if happening.kind == "added":
            x_mm = self.belt.place_between()
            if x_mm is None:
                return False
            self._enter(x_mm)
            return True
        there = self.belt.between()
        if not there:
            return False
        plate = there[int(self._rng.integers(len(there)))]
        if happening.kind == "slip":
            back_mm = happening.value
            return self.belt.slip(
                plate, float(self._rng.uniform(30, 70)) if back_mm is None else back_mm
            )
        self.belt.remove(plate)
        self.records.removed(plate)
        return True

    def _mend(self, now_s: float) -> None:
        """The mechanic comes some time after a reject fault."""
        if not self.program.reject_fault:
            self._fault_since_s = None
            return
        if self._fault_since_s is None:
            self._fault_since_s = now_s
        repair_s = self.plan.repair_s
        if repair_s is not None and now_s - self._fault_since_s >= repair_s:
            self._repair()

    def _repair(self) -> None:
        self.belt.gate_stuck = None
        self.belt.gate_behind_mm = 0.0
        self.belt.bin_room = None
        self._buttons.add("reset")
