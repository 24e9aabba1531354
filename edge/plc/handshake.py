"""What the PLC's block means, read after read. No port, no clock: time is passed in.

A counter is believed if its low word agrees with the trigger number; where it does anything but
stand or step by one, only if the next read says so too. Then

    same PLC start number, forward, within elapsed time x maximum rate + 2   the count goes on
    no count known                                                           epoch: first_contact
    another PLC start number                                                 epoch: plc_restart
    backward                                                                 epoch: step_back
    further forward than parts can come                                      epoch: jump

and every number in (base, counter] of an epoch becomes exactly one Triggered, Missed or Bypassed.
Every Triggered becomes exactly one Taken or Expired. Only the newest number can be triggered: the
block shows the age, the recipe and the key switches of no other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edge import settings
from edge.plc.blocks import Control, PlcBlock, Result, word_code
from edge.plc.lane import VerdictLane
from edge.terms import MAP_VERSION, Cause, Code, Mode, Part, Trigger

IMAGE_SCANS = 3.0
"""Two scans at their longest, in `scan_ms`: each may take a third longer, and the age is cut to
whole milliseconds. The sensor is seen at the next scan's start and the image read is up to a scan
old; a result is seen at the next scan's start and its echo is there at that scan's end."""
SAMPLE_S = 1.0
UNKNOWN_AGE_S = 86_400.0  # a node that cannot say how long it was away was away a day at most
DOUBTS = 3  # reads in a row that contradict each other before it is said aloud
U32 = 1 << 32

EpochCause = Literal["first_contact", "plc_restart", "step_back", "jump", "self_counted"]


@dataclass(frozen=True, slots=True)
class Resume:
    """What the ledger knows of the station's last epoch.

    `counter` is the highest number with any row (part, missed, bypassed, counter), unwrapped.
    """

    epoch: int
    base: int
    counter: int
    plc_start: int
    age_s: float | None  # since that counter was read; None = unknown


@dataclass(frozen=True, slots=True)
class EpochOpened:
    """A new run of the counter; numbers up to `base` are unknown, and old parts are gone."""

    epoch: int
    base: int
    plc_start: int
    cause: EpochCause


@dataclass(frozen=True, slots=True)
class Triggered:
    """A part to be judged; its verdict must be at the PLC by `deadline_s` (monotonic)."""

    trigger: Trigger
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Missed:
    """Numbers first..last went by unjudged."""

    epoch: int
    first: int
    last: int
    cause: Cause


@dataclass(frozen=True, slots=True)
class Bypassed:
    """Numbers first..last passed uninspected by the key switch."""

    epoch: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Taken:
    """The PLC's program took this verdict.

    After a restart of the node it may name a part of the run before: the last one taken.
    """

    epoch: int
    number: int
    code: Code
    taken_s: float  # when the echo was read: the scan that took it came before


@dataclass(frozen=True, slots=True)
class Expired:
    """The part's deadline passed, or its epoch ended, without an echo."""

    epoch: int
    number: int
    written: bool  # a verdict went out; whether the PLC used it is unknown


@dataclass(frozen=True, slots=True)
class Sampled:
    """The PLC's counter, as believed."""

    epoch: int
    counter: int


@dataclass(frozen=True, slots=True)
class Wrong:
    """The block cannot be used, and why."""

    text: str


@dataclass(frozen=True, slots=True)
class ResetPressed:
    """A person pressed reset at the PLC."""


@dataclass(frozen=True, slots=True)
class Running:
    """The line's state; said at first contact and at every change."""

    line_running: bool
    mode: Mode
    recipe_wanted: int


Observation = (
    EpochOpened
    | Triggered
    | Missed
    | Bypassed
    | Taken
    | Expired
    | Sampled
    | Wrong
    | ResetPressed
    | Running
)


class Handshake:
    """The conversation of one station with its PLC. `ready` is set by its owner: parts that come
    while it is off are missed(not_ready)."""

    def __init__(
        self, station: settings.Station, resume: Resume | None, begun_s: float | None = None
    ) -> None:
        """`begun_s`: monotonic time to which `resume.age_s` refers; None = the first read."""
        self.ready = False
        self.block: PlcBlock | None = None  # the last one believed
        self._station = station
        self._lane = VerdictLane(IMAGE_SCANS * station.scan_ms / 1000)
        self._resume = resume
        self._known = False  # an epoch is open in this run
        self._epoch = resume.epoch if resume else 0
        self._base = resume.base if resume else 0
        self._counter = resume.counter if resume else 0
        self._plc_start = resume.plc_start if resume else 0
        self._start_read = self._plc_start  # as the last read shows it, believed or not
        self._counter_s = begun_s  # when `_counter` was last read; None before any read
        self._sampled: int | None = None
        self._sampled_s = float("-inf")
        self._suspect: tuple[PlcBlock, float] | None = None
        self._doubts = 0
        self._matched = False
        self._cleared = False  # result 0 is in the registers, or a result of this epoch
        self._said_wrong: str | None = None
        self._said_running: Running | None = None

    @property
    def repeating(self) -> bool:
        """A verdict went out and is not answered: `due` would only repeat it."""
        return self._lane.repeating

    @property
    def opened(self) -> bool:
        """The map matches and old results are wiped: status may be written."""
        return self._met and self._cleared

    @property
    def _met(self) -> bool:
        """The last read is of the PLC whose epoch is open. One read with another PLC start number
        opens none yet, and may be the first after a restart: a verdict or a ready of the run before
        would reach a PLC that counts its parts anew."""
        return self._matched and self._known and self._start_read == self._plc_start

    def observe(
        self, registers: Sequence[int], read_s: float, wait_s: float = 0.0
    ) -> list[Observation]:
        """One good read of the 12 registers.

        Args:
            read_s: when the request went out (monotonic).
            wait_s: how much later the PLC made the reply, at the most.
        """
        block = PlcBlock.decode(registers)
        self._matched = block.map_version == MAP_VERSION
        if not self._matched:
            self._suspect = None
            return self._wrong(
                f"the PLC has map version {block.map_version}, this node needs {MAP_VERSION}"
            )
        self._start_read = block.plc_start
        if not block.agrees:
            return self._doubt(
                f"trigger number {block.trigger_number} is not the low word of {block.counter}"
            )
        if self._surprising(block) and not self._confirmed(block, read_s):
            self._suspect = (block, read_s)
            return self._doubt(f"the counter jumps about, now {block.counter}")
        seen = self._believed(block, read_s, wait_s)
        self._suspect, self._doubts, self._said_wrong = None, 0, None
        seen += self._echoed(block, read_s)
        seen += self._told(block)
        self.block = block
        return seen + self._sample(read_s)

    def submit(self, epoch: int, result: Result, now_s: float) -> None:
        """Put a verdict in the lane; one of another epoch or of an expired part is dropped."""
        if epoch == self._epoch and self._known and result.code is not Code.UNDEFINED:
            self._lane.submit(result, now_s)

    def due(self, now_s: float) -> tuple[int, ...] | None:
        """The result registers to write now, or None. Before the map is known: nothing."""
        if not self._met:
            return None
        return self._lane.due(now_s)

    def acknowledged(self, registers: tuple[int, ...], at_s: float) -> None:
        """What `due` gave has been written; the PLC had it at the latest at `at_s`."""
        self._lane.acknowledged(registers, at_s)
        self._cleared = True

    def expire(self, now_s: float) -> list[Observation]:
        """Parts whose deadline has passed."""
        return self._gone(self._lane.expire(now_s))

    def _gone(self, parts: list[tuple[int, bool]]) -> list[Observation]:
        """Parts that leave the lane without an echo."""
        return [Expired(self._epoch, number, written) for number, written in parts]

    # -- is the counter to be believed? -------------------------------------------------------

    def _surprising(self, block: PlcBlock) -> bool:
        ahead = (block.counter - self._counter) % U32
        return not self._known or block.plc_start != self._plc_start or ahead > 1

    def _confirmed(self, block: PlcBlock, read_s: float) -> bool:
        if self._suspect is None:
            return False
        before, before_s = self._suspect
        ahead = (block.counter - before.counter) % U32
        return before.plc_start == block.plc_start and ahead <= self._most(read_s - before_s)

    def _most(self, elapsed_s: float) -> float:
        """Parts that can have come in the time."""
        return max(0.0, elapsed_s) * self._station.max_rate_per_s + 2

    def _believed(self, block: PlcBlock, read_s: float, wait_s: float) -> list[Observation]:
        cause = self._broken(block, read_s)
        seen = (
            self._count(block, read_s, wait_s) if cause is None else self._open_epoch(block, cause)
        )
        self._known, self._counter_s = True, read_s
        return seen

    def _broken(self, block: PlcBlock, read_s: float) -> EpochCause | None:
        """Why the count does not go on from what is known, or None."""
        if not self._known and self._resume is None:
            return "first_contact"
        if block.plc_start != self._plc_start:
            return "plc_restart"
        elapsed_s = 0.0 if self._counter_s is None else read_s - self._counter_s
        if not self._known and self._resume is not None:
            age_s = self._resume.age_s
            elapsed_s += UNKNOWN_AGE_S if age_s is None else age_s
        ahead = (block.counter - self._counter) % U32
        if ahead >= U32 // 2:
            return "step_back"
        return "jump" if ahead > self._most(elapsed_s) else None

    def _open_epoch(self, block: PlcBlock, cause: EpochCause) -> list[Observation]:
        seen = self._gone(self._lane.clear())
        if (self._known or self._resume is not None) and self._sampled != self._counter:
            seen.append(Sampled(self._epoch, self._counter))
        self._epoch += 1
        self._base = self._counter = self._sampled = block.counter
        self._plc_start = block.plc_start
        self._cleared = False
        return [*seen, EpochOpened(self._epoch, self._base, self._plc_start, cause)]

    # -- what became of the numbers -----------------------------------------------------------

    def _count(self, block: PlcBlock, read_s: float, wait_s: float) -> list[Observation]:
        resumed = not self._known
        seen = self._last_taken(block, read_s) if resumed else []
        first = self._counter + 1
        self._counter += (block.counter - self._counter) % U32
        last, epoch = self._counter, self._epoch
        if last < first:
            return seen
        if block.control & Control.BYPASS:
            return [*seen, *self._bypassed(first, last, resumed)]
        if resumed:
            return [*seen, Missed(epoch, first, last, Cause.NODE_RESTART)]
        if not (self.ready and block.control & Control.ENABLE):
            return [*seen, Missed(epoch, first, last, Cause.NOT_READY)]
        edge_s = read_s + wait_s - block.trigger_age_ms / 1000
        deadline_s = edge_s + self._station.deadline_ms / 1000
        if deadline_s < read_s + wait_s:
            return [*seen, Missed(epoch, first, last, Cause.NO_TRIGGER)]
        if first < last:
            seen.append(Missed(epoch, first, last - 1, Cause.NO_TRIGGER))
        part = Part(self._station.name, epoch, last)
        error_s = wait_s + IMAGE_SCANS * self._station.scan_ms / 1000
        trigger = Trigger(part, edge_s, error_s, block.mode, block.recipe)
        self._lane.expect(last, deadline_s)
        return [*seen, Triggered(trigger, deadline_s)]

    def _bypassed(self, first: int, last: int, resumed: bool) -> list[Observation]:
        """The key switch's bit is that of `last`; it says nothing of the parts before it, unless
        every read since the part before `first` shows it too."""
        reads = [self.block, self._suspect[0] if self._suspect else self.block]
        if not resumed and all(read and read.control & Control.BYPASS for read in reads):
            return [Bypassed(self._epoch, first, last)]
        newest: list[Observation] = [Bypassed(self._epoch, last, last)]
        if first == last:
            return newest
        cause = Cause.NODE_RESTART if resumed else Cause.NO_TRIGGER
        return [Missed(self._epoch, first, last - 1, cause), *newest]

    def _last_taken(self, block: PlcBlock, read_s: float) -> list[Observation]:
        """The echo that a node which died did not see."""
        code = word_code(block.result_taken, block.word_taken)
        number = self._counter - (self._counter - block.result_taken) % 0x10000
        if code in (None, Code.UNDEFINED) or number <= self._base:
            return []
        return [Taken(self._epoch, number, Code(block.word_taken & 15), read_s)]

    def _echoed(self, block: PlcBlock, read_s: float) -> list[Observation]:
        taken = self._lane.echo(block.result_taken, block.word_taken, read_s)
        if taken is None:
            return []
        return [Taken(self._epoch, taken.number, taken.code, read_s)]

    # -- what else the block says -------------------------------------------------------------

    def _told(self, block: PlcBlock) -> list[Observation]:
        seen: list[Observation] = []
        running = Running(
            bool(block.control & Control.LINE_RUNNING), block.mode, block.recipe_wanted
        )
        if running != self._said_running:
            self._said_running = running
            seen.append(running)
        before = self.block
        if before and block.control & Control.RESET and not before.control & Control.RESET:
            seen.append(ResetPressed())
        return seen

    def _sample(self, read_s: float) -> list[Observation]:
        if self._counter == self._sampled or read_s - self._sampled_s < SAMPLE_S:
            return []
        self._sampled, self._sampled_s = self._counter, read_s
        return [Sampled(self._epoch, self._counter)]

    def _doubt(self, text: str) -> list[Observation]:
        """A read that is not believed; said only when it does not pass by itself."""
        self._doubts += 1
        return self._wrong(text) if self._doubts == DOUBTS else []

    def _wrong(self, text: str) -> list[Observation]:
        if text == self._said_wrong:
            return []
        self._said_wrong = text
        return [Wrong(text)]
