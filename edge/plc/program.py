"""The PLC's program of the simulated line: docs/plc/station.st, executed scan by scan.

What stands between the line's physics and the text is here: millimetres become encoder steps,
seconds become the PLC's milliseconds, edges that came since the last scan become the arrays that an
input interrupt would have filled. What the program decides stands only in the text.

    Inputs -> VAR_INPUT -> scan -> VAR_OUTPUT -> Outputs;  its diary -> the simulated line's record
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.errors import PlcProgramError
from edge.plc.images import (
    Counted,
    EyeEdge,
    Inputs,
    Outputs,
    Record,
    Refused,
    Settled,
    Taken,
    Why,
    WhyNot,
)
from edge.plc.structured_text.code import BlockCode
from edge.plc.structured_text.compiler import compiled
from edge.plc.structured_text.datatypes import DINT
from edge.plc.structured_text.machine import Machine, Retained, check_interface
from edge.terms import Mode

STEPS_PER_MM = 10
"""Of the simulated encoder."""

_EDGES = 8  # that one scan can take; more wait for the next
_IN_DINT = DINT.wrapper()

_INTERFACE = {
    **dict.fromkeys(("now_ms", "set_alive_ms", "set_stop_ms", "set_confirm_ms"), "input UDINT"),
    **dict.fromkeys(("encoder", "set_part", "set_tolerance", "set_to_eye"), "input DINT"),
    **dict.fromkeys(("set_to_gate", "set_window", "set_debounce"), "input DINT"),
    **dict.fromkeys(("eye_edges", "gate_edges", "good_pulses", "reject_pulses"), "input INT"),
    **dict.fromkeys(("eye_rising", "gate_rising"), "input ARRAY[1..8] OF BOOL"),
    **dict.fromkeys(("eye_place", "gate_place"), "input ARRAY[1..8] OF DINT"),
    **dict.fromkeys(("bin_full", "bypass_key", "monitor_key"), "input BOOL"),
    **dict.fromkeys(("sample_button", "reset_button"), "input BOOL"),
    **dict.fromkeys(("gate_open", "run_line", "reject_fault", "node_ready"), "output BOOL"),
    **dict.fromkeys(("good", "rejected", "confirmed", "bypassed", "reject_faults"), "var UDINT"),
    "node": "input ARRAY[0..9] OF WORD",
    "eye_ms": "input ARRAY[1..8] OF UDINT",
    "recipe_wanted": "input UINT",
    "plc": "output ARRAY[0..11] OF WORD",
    "counters": "output ARRAY[0..9] OF WORD",
    "in_flight": "output INT",
    "start_number": "retain UINT",
    "counter": "var UDINT",
    "diary.entries": "output INT",
    "diary.kinds": "output ARRAY[1..64] OF INT",
    "diary.numbers": "output ARRAY[1..64] OF UDINT",
    "diary.words": "output ARRAY[1..64] OF WORD",
    "diary.whys": "output ARRAY[1..64] OF INT",
}
"""What the text must declare for the simulated line to run it."""

_MODE = dict(enumerate((Mode.AUTO, Mode.MONITOR, Mode.BYPASS, Mode.SAMPLE)))
_WHYS: tuple[Why, ...] = (
    "ok", "ng", "undecided", "no_verdict", "not_ready", "heartbeat", "length", "tracking",
    "bypass", "monitor", "sample", "unexplained", "lost",
)  # fmt: skip
_WHYS_NOT: tuple[WhyNot, ...] = ("never_triggered", "conflict", "gone", "not_ready")
_WHY = dict(enumerate(_WHYS, 1))
_WHY_NOT = dict(enumerate(_WHYS_NOT, 21))
_DIARY = ("kinds", "numbers", "words", "whys")
_COUNT, _TAKE, _REFUSE, _PASS, _REJECT, _LOSE = range(1, 7)


@dataclass(frozen=True, slots=True)
class Site:
    """What the electrician sets, mm of encoder travel and seconds."""

    part_mm: float = 90.0
    tolerance_mm: float = 10.8  # a part longer or shorter by more is not one part
    eye_to_gate_eye_mm: float = 395.5
    gate_eye_to_gate_mm: float = 60.0
    window_mm: float = 20.0  # a part may come this much early or late at the gate eye
    debounce_mm: float = 20.0  # edges closer than this after a rising edge are the sensor's noise
    heartbeat_s: float = 1.0
    stop_after_s: float | None = None  # line stop when the node is silent for this long
    confirm_s: float = 0.5  # a bin's sensor answers within this after the gate

    def settings(self) -> dict[str, int]:
        """The text's settings, in encoder steps and ms."""
        stop_s = self.stop_after_s
        return {
            "set_part": _steps(self.part_mm),
            "set_tolerance": _steps(self.tolerance_mm),
            "set_to_eye": _steps(self.eye_to_gate_eye_mm),
            "set_to_gate": _steps(self.gate_eye_to_gate_mm),
            "set_window": _steps(self.window_mm),
            "set_debounce": _steps(self.debounce_mm),
            "set_alive_ms": _ms(self.heartbeat_s),
            "set_stop_ms": 0 if stop_s is None else max(1, _ms(stop_s)),
            "set_confirm_ms": _ms(self.confirm_s),
        }


def program_code(text: str, source: str) -> BlockCode:
    """A program for the simulated line.

    Raises:
        PlcProgramError: it cannot be run, or does not have the inputs and outputs of station.st.
    """
    code = compiled(text, source)
    check_interface(code, _INTERFACE, source)
    return code


def shipped_text() -> str:
    """docs/plc/station.st: in a wheel it lies beside this file, in the repository where it is."""
    place = Path(__file__).with_name("station.st")
    if not place.is_file():
        place = Path(__file__).parents[2] / "docs" / "plc" / "station.st"
    return place.read_text(encoding="utf-8")


@functools.cache
def shipped_code() -> BlockCode:
    """What the simulated line runs where no other program is given."""
    return program_code(shipped_text(), "station.st")


class Program:
    """One station's program from power-up on; only its VAR RETAIN outlives it."""

    def __init__(
        self,
        site: Site,
        start_number: int,
        counter: int = 0,
        code: BlockCode | None = None,
        retained: Retained | None = None,
    ) -> None:
        """Args:
        start_number: what the program shows from its first scan on, if nothing is retained.
        counter: parts counted before, for a test near the end of the numbers.
        code: of `program_code`; the shipped one by default.
        retained: what outlived a power cut.
        """
        self.site = site
        first = {"start_number": (start_number - 1) & 0xFFFF}
        self._machine = Machine(code or shipped_code(), retained or first)
        for name, value in (*site.settings().items(), ("counter", counter)):
            self._machine.put(name, value)
        self._eye: tuple[EyeEdge, ...] = ()  # waiting for the next scan
        self._gate_eye: tuple[EyeEdge, ...] = ()

    def power_cycled(self) -> "Program":
        """The program after a power cut: only VAR RETAIN is left of what it knew."""
        machine = self._machine
        return Program(self.site, 0, code=machine.code, retained=machine.retained())

    @property
    def counter(self) -> int:
        """Parts counted since power-up, modulo 2**32: the newest part's number."""
        return self._machine.value("counter")

    @property
    def in_flight(self) -> int:
        """Parts between camera and gate, and parts no bin's sensor has seen yet."""
        return self._machine.value("in_flight")

    @property
    def node_ready(self) -> bool:
        """A part counted now would be judged: heartbeat moves, TriggerReady is on."""
        return bool(self._machine.value("node_ready"))

    @property
    def reject_fault(self) -> bool:
        """The rejector did not do what it was told, or its bin is full; until Reset."""
        return bool(self._machine.value("reject_fault"))

    def counts(self) -> dict[str, int]:
        """Second law: what became of the parts."""
        value = self._machine.value
        return {
            "good": value("good"),
            "rejected": value("rejected"),
            "reject_confirmed": value("confirmed"),
            "bypassed": value("bypassed"),
            "reject_faults": value("reject_faults"),
        }

    def scan(self, inputs: Inputs, now_s: float) -> Outputs:
        """One scan at `now_s` of the PLC's own clock.

        Raises:
            PlcProgramError: what a PLC would stop with, and where in the text.
        """
        eye, gate_eye = self._eye + inputs.eye, self._gate_eye + inputs.gate_eye
        self._eye, self._gate_eye = eye[_EDGES:], gate_eye[_EDGES:]
        self._put(inputs, eye[:_EDGES], gate_eye[:_EDGES])
        machine = self._machine
        machine.put("now_ms", _ms(now_s))
        machine.scan(_ms(now_s))
        return Outputs(
            block=machine.values("plc"),
            counters=machine.values("counters"),
            gate_pass=bool(machine.value("gate_open")),
            run=bool(machine.value("run_line")),
            records=self._records(eye, now_s),
        )

    def _put(self, inputs: Inputs, eye: Sequence[EyeEdge], gate_eye: Sequence[EyeEdge]) -> None:
        put = self._machine.put
        put("node", inputs.node)
        put("encoder", _steps(inputs.encoder_mm))
        put("eye_edges", len(eye))
        put("gate_edges", len(gate_eye))
        if eye:
            put("eye_rising", [edge.rising for edge in eye])
            put("eye_place", [_steps(edge.encoder_mm) for edge in eye])
            put("eye_ms", [_ms(edge.at_s) for edge in eye])
        if gate_eye:
            put("gate_rising", [edge.rising for edge in gate_eye])
            put("gate_place", [_steps(edge.encoder_mm) for edge in gate_eye])
        put("good_pulses", inputs.good_pulses)
        put("reject_pulses", inputs.reject_pulses)
        put("bin_full", inputs.bin_full)
        put("bypass_key", inputs.bypass_key)
        put("monitor_key", inputs.monitor_key)
        put("sample_button", inputs.sample_button)
        put("reset_button", inputs.reset_button)
        put("recipe_wanted", inputs.recipe)

    def _records(self, eye: Sequence[EyeEdge], now_s: float) -> tuple[Record, ...]:
        """This scan's page of the program's diary."""
        machine = self._machine
        entries = machine.value("diary.entries")
        if not entries:
            return ()
        columns = [machine.values(f"diary.{column}")[:entries] for column in _DIARY]
        try:
            return tuple(
                _record(kind, number, word, why, eye, now_s)
                for kind, number, word, why in zip(*columns, strict=True)
            )
        except LookupError as wrong:
            text = f"the diary of {machine.code} holds a code that station.st does not have"
            raise PlcProgramError(f"{text}: {columns}") from wrong


def _record(
    kind: int, number: int, word: int, why: int, eye: Sequence[EyeEdge], now_s: float
) -> Record:
    if kind == _COUNT:
        return Counted(number, eye[word - 1].at_s, _MODE[why])
    if kind == _TAKE:
        return Taken(number, word, now_s)
    if kind == _REFUSE:
        return Refused(number, word, _WHY_NOT[why])
    reason = _WHY[why]
    if kind == _LOSE:
        return Settled(number, "lost", reason)
    known = None if reason == "unexplained" else number
    return Settled(known, "pass" if kind == _PASS else "reject", reason)


def _steps(way_mm: float) -> int:
    """Encoder steps; the counter goes over its end as a PLC's does."""
    return _IN_DINT(round(way_mm * STEPS_PER_MM))


def _ms(time_s: float) -> int:
    return round(time_s * 1000) & 0xFFFFFFFF
