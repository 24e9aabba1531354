"""The register blocks of one station: registers <-> values. No port, no clock.

    PLC -> node, 12 registers, one FC03          node -> PLC, two FC16 frames
     0 control bits                               0 status bits            \
     1 trigger number = low word of 4-5           1 edge heartbeat          |
     2 recipe latched at that trigger             2 active recipe           | status
     3 trigger age ms, saturating                 3 acquired number         |
     4 part counter, low word                     4 error code             /
     5 part counter, high word                    5 defect class           \
     6 PLC heartbeat                              6 score x 1000            |
     7 map version                                7 inspection ms           | result
     8 result number taken                        8 result number           |
     9 verdict word taken                         9 verdict word           /
    10 PLC start number
    11 recipe wanted                              verdict word = code + 16 x (number mod 4096)

Second law, 10 registers, u32 each: good, rejected, rejects confirmed, bypassed, reject faults.
Every u32 has its low word first, as the 32-bit registers of Inovance, Xinje, Delta and Mitsubishi.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from enum import IntFlag

from edge.terms import Code, Mode

BLOCK_SIZE = 12
RESULT_OFFSET = 5
RESULT_SIZE = 5
COUNTERS_SIZE = 10
NO_RESULT = (0,) * RESULT_SIZE
"""Written at power-up: no part has number 0 and code 0."""


class Control(IntFlag):
    """Register 0 of the PLC's block."""

    ENABLE = 1  # the PLC wants verdicts
    LINE_RUNNING = 2
    RESET = 4  # a person pressed reset
    BYPASS = 8  # key switch: parts pass uninspected
    MONITOR = 16  # verdicts are recorded, the PLC does not act
    SAMPLE_PART = 32  # the part of this trigger is a golden sample
    REJECT_FAULT = 64  # the rejector did not do what it was told


class StatusFlags(IntFlag):
    """Register 0 of the node's block."""

    ONLINE = 1
    TRIGGER_READY = 2
    BUSY = 4
    MISSED_ACQ = 8
    OVERRUN = 16
    FAULT = 32
    STOP_REQUEST = 64
    WARNING = 128
    JOB_FAILED = 256
    BYPASS_SEEN = 512


@dataclass(frozen=True, slots=True)
class PlcBlock:
    """What the PLC says in one read; fields in register order, u16 but `counter` (u32)."""

    control: Control
    trigger_number: int
    recipe: int
    trigger_age_ms: int
    counter: int
    heartbeat: int
    map_version: int
    result_taken: int
    word_taken: int
    plc_start: int
    recipe_wanted: int

    @classmethod
    def decode(cls, registers: Sequence[int]) -> "PlcBlock":
        """From the 12 registers.

        Raises:
            ValueError: not 12 registers.
        """
        if len(registers) != BLOCK_SIZE:
            raise ValueError(f"{len(registers)} registers instead of {BLOCK_SIZE}")
        control, trigger, recipe, age_ms, low, high, *rest = registers
        heartbeat, version, taken, word, plc_start, wanted = rest
        return cls(
            Control(control & 0x7F), trigger, recipe, age_ms, low | high << 16,
            heartbeat, version, taken, word, plc_start, wanted,
        )  # fmt: skip

    def encode(self) -> tuple[int, ...]:
        """The 12 registers: the PLC's side."""
        return (
            int(self.control), self.trigger_number, self.recipe, self.trigger_age_ms,
            self.counter & 0xFFFF, self.counter >> 16, self.heartbeat, self.map_version,
            self.result_taken, self.word_taken, self.plc_start, self.recipe_wanted,
        )  # fmt: skip

    @property
    def agrees(self) -> bool:
        """Trigger number and counter name the same part; a torn read does not."""
        return self.trigger_number == self.counter & 0xFFFF

    @property
    def mode(self) -> Mode:
        """What the key switches mean for the newest part; the strongest wins."""
        if self.control & Control.BYPASS:
            return Mode.BYPASS
        if self.control & Control.SAMPLE_PART:
            return Mode.SAMPLE
        return Mode.MONITOR if self.control & Control.MONITOR else Mode.AUTO


def verdict_word(number: int, code: Code) -> int:
    """code + 16 x (number mod 4096): number and verdict cannot be torn apart unseen."""
    return int(code) + 16 * (number % 4096)


def word_code(number: int, word: int) -> Code | None:
    """The code in a verdict word; None if it is not a word of this number, or no code."""
    if word >> 4 != number % 4096 or word & 15 not in Code.__members__.values():
        return None
    return Code(word & 15)


def status_registers(
    flags: StatusFlags,
    heartbeat: int,
    active_recipe: int = 0,
    acquired: int = 0,
    error_code: int = 0,
) -> tuple[int, ...]:
    """The 5 status registers; numbers are taken modulo 65536."""
    values = (int(flags), heartbeat, active_recipe, acquired, error_code)
    return tuple(value & 0xFFFF for value in values)


@dataclass(frozen=True, slots=True)
class Result:
    """What the node says about one part. `number` is its low 16 bits after `decode`."""

    number: int
    code: Code
    defect: int = 0  # class number, 0 = none
    score: float = 0.0  # 0..1
    inspect_ms: int = 0

    @classmethod
    def decode(cls, registers: Sequence[int]) -> "Result | None":
        """The PLC's side; None while number and word disagree (torn, wait) or there is none."""
        defect, thousandths, inspect_ms, number, word = registers
        code = word_code(number, word)
        if code is None or code is Code.UNDEFINED:
            return None
        return cls(number, code, defect, thousandths / 1000, inspect_ms)


def result_registers(result: Result) -> tuple[int, ...]:
    """The 5 result registers; what does not fit into one saturates."""
    return (
        min(max(result.defect, 0), 0xFFFF),
        min(max(round(result.score * 1000), 0), 1000),
        min(max(result.inspect_ms, 0), 0xFFFF),
        result.number & 0xFFFF,
        verdict_word(result.number, result.code),
    )


@dataclass(frozen=True, slots=True)
class LineCounters:
    """The PLC's own counts of what became of the parts: the second law. All u32."""

    good: int
    rejected: int
    reject_confirmed: int
    bypassed: int
    reject_faults: int

    @classmethod
    def decode(cls, registers: Sequence[int]) -> "LineCounters":
        """From the 10 registers.

        Raises:
            ValueError: not 10 registers.
        """
        if len(registers) != COUNTERS_SIZE:
            raise ValueError(f"{len(registers)} registers instead of {COUNTERS_SIZE}")
        return cls(
            *(low | high << 16 for low, high in zip(registers[::2], registers[1::2], strict=True))
        )

    def encode(self) -> tuple[int, ...]:
        """The 10 registers: the PLC's side."""
        return tuple(word for count in astuple(self) for word in (count & 0xFFFF, count >> 16))
