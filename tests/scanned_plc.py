"""The PLC's program on a belt of its own, scan by scan: edges are given by encoder place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edge.plc.blocks import LineCounters, PlcBlock, StatusFlags
from edge.plc.images import EyeEdge, Inputs, Outputs, Settled
from edge.plc.program import Program, Site
from tests import plc_in_python

SITE = Site()
SCAN_S = 0.01
WAY_MM = 7.6  # per scan: 760 mm/s
FAR_MM = SITE.eye_to_gate_eye_mm


class Scanned(Protocol):
    """A program under power."""

    def scan(self, inputs: Inputs, now_s: float) -> Outputs:
        """One scan at `now_s` of the PLC's own clock."""


Maker = Callable[..., Scanned]
PROGRAMS: dict[str, Maker] = {"structured_text": Program, "python": plc_in_python.Program}
"""The program that the simulated line runs, and the same one told a second time."""


@dataclass
class Plc:
    """The program on a moving belt: edges are given by their encoder place, scans follow."""

    program: Scanned
    now_s: float = 100.0
    at_mm: float = 0.0
    beating: bool = True
    status: int = StatusFlags.ONLINE | StatusFlags.TRIGGER_READY
    result: tuple[int, int] = (0, 0)
    keys: dict[str, bool] = field(default_factory=dict)
    out: Outputs = field(init=False)
    records: list[object] = field(default_factory=list)
    beats: int = 0
    registers: tuple[int, ...] | None = None  # all ten that the node writes, as a test says

    def __post_init__(self) -> None:
        self.scan()

    def scan(
        self,
        eye: Sequence[EyeEdge] = (),
        gate: Sequence[EyeEdge] = (),
        pulses: tuple[int, int] = (0, 0),
        bin_full: bool = False,
        way_mm: float = WAY_MM,
    ) -> Outputs:
        self.now_s += SCAN_S
        self.at_mm += way_mm
        self.beats += self.beating
        own = (self.status, self.beats // 25, 0, 0, 0, 0, 0, 0, *self.result)
        node = self.registers or own
        inputs = Inputs(
            node=node,
            encoder_mm=self.at_mm,
            eye=tuple(eye),
            gate_eye=tuple(gate),
            good_pulses=pulses[0],
            reject_pulses=pulses[1],
            bin_full=bin_full,
            bypass_key=self.keys.get("bypass", False),
            monitor_key=self.keys.get("monitor", False),
            sample_button=self.keys.get("sample", False),
            reset_button=self.keys.get("reset", False),
        )
        self.out = self.program.scan(inputs, self.now_s)
        self.records += self.out.records
        return self.out

    def run(self, scans: int) -> "Plc":
        for _ in range(scans):
            self.scan()
        return self

    def edge(self, rising: bool = True) -> EyeEdge:
        """An edge in the middle of the coming scan."""
        return EyeEdge(self.now_s + SCAN_S / 2, self.at_mm + WAY_MM / 2, rising)

    def part(self, length_mm: float = 91.0) -> float:
        """One part passes the eye; returns the place of its leading edge."""
        rising = self.edge()
        self.scan(eye=[rising])
        while self.at_mm + WAY_MM < rising.encoder_mm + length_mm:
            self.scan()
        falling = EyeEdge(self.now_s + SCAN_S / 2, rising.encoder_mm + length_mm, False)
        self.scan(eye=[falling])
        return rising.encoder_mm

    def to_gate(self, rising_mm: float, off_mm: float = 0.0) -> Outputs:
        """Run until the part is at the gate eye, `off_mm` from where it should be."""
        place = rising_mm + FAR_MM + off_mm
        while self.at_mm < place - WAY_MM:
            self.scan()
        self.scan(gate=[EyeEdge(self.now_s + SCAN_S / 2, place, True)])
        while self.at_mm < place + SITE.gate_eye_to_gate_mm:
            self.scan()
        return self.out

    def answer(self, number: int, code: int) -> None:
        self.result = (number & 0xFFFF, code + 16 * (number % 4096))
        self.scan()

    def settled(self) -> list[tuple[int | None, str, str]]:
        return [(r.number, r.action, r.why) for r in self.records if isinstance(r, Settled)]

    @property
    def block(self) -> PlcBlock:
        return PlcBlock.decode(self.out.block)

    @property
    def counters(self) -> LineCounters:
        return LineCounters.decode(self.out.counters)
