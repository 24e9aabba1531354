"""docs/plc/station.st against the same program in Python: scan by scan, the same outputs.

The belt's places are whole encoder steps and times whole milliseconds that are exact as fractions
too, so that nothing may differ, not even by rounding.
"""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.plc.blocks import StatusFlags
from edge.plc.images import EyeEdge, Inputs, Outputs, Settled
from edge.plc.program import Program, Site
from tests import plc_in_python

SCAN_S = 0.125
WAY_MM = 30.0
KEYS = ("bypass_key", "monitor_key", "sample_button", "reset_button", "bin_full")
RESET = [("key", "reset_button")] * 2
READY = StatusFlags.ONLINE | StatusFlags.TRIGGER_READY


@dataclass
class Plate:
    """One on the belt, by the place of its leading edge."""

    rising_mm: float
    length_mm: float
    off_mm: float  # slips by so much on its way to the gate
    lands: bool | str  # where it falls: good bin or not, "gate": where that points, "nowhere"


@dataclass
class Both:
    """A belt with two programs on it."""

    site: Site
    now_s: float = 100.0
    at_mm: float = 0.0
    status: int = READY
    beats: int = 1
    beating: bool = True
    result: tuple[int, int] = (0, 0)
    recipe: int = 1
    keys: dict[str, bool] = field(default_factory=dict)
    plates: list[Plate] = field(default_factory=list)
    counter: int = 0
    records: list[Any] = field(default_factory=list)
    strays: tuple[tuple[EyeEdge, ...], tuple[EyeEdge, ...]] = ((), ())  # eye, gate eye: this scan

    def __post_init__(self) -> None:
        self.structured_text = Program(self.site, 7)
        self.python = plc_in_python.Program(self.site, 7)
        self.scan(0.0)

    def scan(self, way_mm: float = WAY_MM) -> None:
        """One scan of both, which must agree about everything."""
        begin_s, begin_mm = self.now_s, self.at_mm
        self.now_s += SCAN_S
        self.at_mm += way_mm
        self.beats = (self.beats + self.beating) & 0xFFFF
        inputs = Inputs(
            node=(self.status, self.beats, 0, 0, 0, 0, 0, 0, *self.result),
            encoder_mm=self.at_mm,
            eye=(*self._edges(begin_s, begin_mm, 0.0), *self.strays[0]),
            gate_eye=(
                *self._edges(begin_s, begin_mm, self.site.eye_to_gate_eye_mm),
                *self.strays[1],
            ),
            good_pulses=self._fallen(begin_mm, good=True),
            reject_pulses=self._fallen(begin_mm, good=False),
            recipe=self.recipe,
            **self.keys,
        )
        told = self.structured_text.scan(inputs, self.now_s)
        self.agree(told, self.python.scan(inputs, self.now_s))

    def agree(self, told: Outputs, expected: Outputs) -> None:
        """Outputs, record and what the simulated line asks."""
        assert told == expected
        assert self.structured_text.in_flight == self.python.in_flight
        assert self.structured_text.reject_fault == self.python.reject_fault
        self.gate_pass = told.gate_pass
        self.counter = told.block[4]
        self.records += told.records

    def _edges(self, begin_s: float, begin_mm: float, far_mm: float) -> tuple[EyeEdge, ...]:
        marks = []
        for plate in self.plates:
            place_mm = plate.rising_mm + far_mm + (plate.off_mm if far_mm else 0.0)
            marks += [(place_mm, True), (place_mm + plate.length_mm, False)]
        crossed = sorted(mark for mark in marks if begin_mm < mark[0] <= self.at_mm)
        return tuple(EyeEdge(begin_s, place_mm, rising) for place_mm, rising in crossed[:8])

    def _fallen(self, begin_mm: float, good: bool) -> int:
        """Plates that fell into this bin in this scan."""
        way_mm = self.site.eye_to_gate_eye_mm + self.site.gate_eye_to_gate_mm + 90.0
        there = [p for p in self.plates if begin_mm < p.rising_mm + p.off_mm + way_mm <= self.at_mm]
        return sum(good is (self.gate_pass if p.lands == "gate" else p.lands) for p in there)

    def do(self, what: str, value: Any) -> None:
        """One happening, and the scans it takes."""
        match what:
            case "go":
                for _ in range(value):
                    self.scan()
            case "back":
                self.scan(-value)
            case "plate":
                behind_mm, *rest = value
                self.plates.append(Plate(self.at_mm + behind_mm, *rest))
                self.scan()
            case "through":
                plate, code, scans = value
                self.do("plate", plate)
                self.do("answer", (0, code, 0))
                self.do("go", scans)
            case "answer":
                behind, code, torn = value
                number = (self.counter - behind) & 0xFFFF
                self.result = (number, 16 * ((number + torn) % 4096) + code)
                self.scan()
            case "stray":
                scans, at_gate, rising, way_mm = value
                for _ in range(scans):
                    self.scan(0.0)
                edge = EyeEdge(self.now_s, self.at_mm + way_mm, rising)
                self.strays = ((), (edge,)) if at_gate else ((edge,), ())
                self.scan(way_mm)
                self.strays = ((), ())
            case "key":
                self.keys[value] = not self.keys.get(value, False)
                self.scan()
            case _:
                setattr(self, what, value)
                self.scan()


plates = st.tuples(
    st.sampled_from([0.5, 4.5, 9.5, 24.5]),  # so that every border is met exactly now and then
    st.sampled_from([91.0] * 6 + [60.0, 79.0, 79.5, 100.5, 101.0, 181.0]),
    st.sampled_from([0.0] * 6 + [-20.5, -20.0, 19.5, 20.5, 60.0]),
    st.sampled_from(["gate"] * 6 + [True, False, "nowhere"]),
)
answers = st.tuples(
    st.integers(-1, 3),
    st.sampled_from([1] * 4 + [0, 2, 3, 9]),
    st.sampled_from([0] * 5 + [1]),
)
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("go"), st.integers(1, 12)),
        st.tuples(st.just("go"), st.integers(1, 12)),
        st.tuples(st.just("plate"), plates),
        st.tuples(
            st.just("through"),
            st.tuples(plates, st.sampled_from([1, 1, 1, 2, 3]), st.integers(4, 25)),
        ),
        st.tuples(st.just("answer"), answers),
        st.tuples(st.just("answer"), answers),
        st.tuples(st.just("back"), st.sampled_from([0.5, 20.0, 45.0])),
        st.tuples(
            st.just("stray"),
            st.tuples(
                st.integers(0, 4),  # scans in which the encoder stands
                st.booleans(),
                st.booleans(),
                st.sampled_from([0.0, 1.5, 2.0, 20.0]),
            ),
        ),
        st.tuples(st.just("key"), st.sampled_from(KEYS)),
        st.tuples(st.just("status"), st.sampled_from([READY, READY, 1, READY | 64])),
        st.tuples(st.just("beating"), st.booleans()),
        st.tuples(st.just("recipe"), st.integers(1, 3)),
        st.tuples(st.just("result"), st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))),
    ),
    min_size=8,
    max_size=60,
)


@given(happenings, st.sampled_from([None, 2.0]))
@example([("through", ((24.5, 91.0, 0.0, "nowhere"), code, 25)) for code in (1, 2)], None)
@example([("status", READY | 64), *RESET, ("go", 1), ("status", READY)], None)
@settings(max_examples=150, deadline=None)  # hundreds of scans each
def test_both_languages_agree_in_every_scan(
    played: list[tuple[str, Any]], stop_after_s: float | None
) -> None:
    both = Both(Site(stop_after_s=stop_after_s))
    both.do("go", 9)
    for what, value in played:
        both.do(what, value)
    both.do("go", 25)


def test_the_comparison_reaches_parts_that_pass_and_parts_that_do_not() -> None:
    both = Both(Site())
    both.do("go", 9)
    for code, length_mm in ((1, 91.0), (2, 91.0), (1, 181.0)):
        both.do("through", ((0.5, length_mm, 0.0, "gate"), code, 25))
    settled = [(r.number, r.action, r.why) for r in both.records if isinstance(r, Settled)]
    assert settled == [(1, "pass", "ok"), (2, "reject", "ng"), (3, "reject", "length")]
    assert both.python.counts.good == 1
