"""What one station wants of its bus, and what the answers mean. No port, no clock.

    urgent   the verdict that is due, or result 0 at power-up      FC16 at write_base + 5
    beat     status with a heartbeat that is due                    FC16 at write_base
    block    the PLC's 12 registers                                 FC03 at read_base
    other    status when it changed                                 FC16 at write_base
             the second law's counters, once a second               FC03 at counters_base
    tag      a figure of this PLC or of a meter beside it           edge.plc.tag_lane

The heartbeat runs only while `alive_until_s` lies ahead. The PLC is lost when its own heartbeat has
not been seen to change for a second, whatever the reason; after four failures in a row it is asked
less and less often, and when its neighbours can spare the bus (edge/plc/roundabout.py). After any
failure nothing is written before the block was read again, nor while the unit owes an answer to
another station: no verdict goes out late because the line was listened out.
"""

from dataclasses import dataclass
from typing import Literal

from edge import settings
from edge.plc.backoff import Backoff
from edge.plc.blocks import (
    BLOCK_SIZE,
    COUNTERS_SIZE,
    RESULT_OFFSET,
    Control,
    LineCounters,
    PlcBlock,
    StatusFlags,
    status_registers,
)
from edge.plc.handshake import (
    EpochOpened,
    Expired,
    Handshake,
    Observation,
    Resume,
    Taken,
    Triggered,
    Wrong,
)
from edge.plc.transaction import Request, read_registers, write_registers

BEAT_S = 0.25  # between two changes of the node's heartbeat
LOST_S = 1.0  # without a change of the PLC's heartbeat it is lost; the PLC judges us alike
COUNTERS_S = 1.0
RETRY_S = 0.05  # after a refused write
REFUSALS = 3  # failed writes in a row before it is said aloud
SILENCES = 4  # failed reads in a row before it is asked less often: three are noise on the line
PAUSE_S = 5.0  # after so long without a part nobody knows when the next one comes

_NOTHING = StatusFlags(0)


@dataclass(frozen=True, slots=True)
class LinkLost:
    """No PLC: port gone, no answer, or its program stands still."""

    text: str


@dataclass(frozen=True, slots=True)
class LinkBack:
    """The PLC answers and its heartbeat moves; also said at the first contact."""


Seen = Observation | LinkLost | LinkBack


@dataclass(frozen=True, slots=True)
class Status:
    """What the status registers shall say, but for the heartbeat."""

    flags: StatusFlags = _NOTHING
    active_recipe: int = 0
    acquired: int = 0
    error_code: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """One transaction that a station asks for."""

    lane: Literal["verdict", "block", "status", "counters", "tag"]
    request: Request
    brief: bool = False  # given up when a PLC that lives would have answered


class Turns:
    """One station's claims on the bus, and what the answers mean.

    The owner sets `wanted` and `alive_until_s`, and calls `handshake.submit`; all from one thread.
    """

    def __init__(
        self,
        station: settings.Station,
        resume: Resume | None,
        begun_s: float,
        backoff: Backoff | None = None,
    ) -> None:
        self.handshake = Handshake(station, resume, begun_s)
        self.wanted = Status()
        self.alive_until_s = float("-inf")
        self.hung = False  # commissioning plays a node that hangs: its status stays as it was
        self.counters: LineCounters | None = None
        self.asked_s = float("-inf")  # last block read that was tried
        self.beaten_s = float("-inf")  # last change of the node's own heartbeat
        self._station = station
        self._backoff = backoff or Backoff()
        self._clean = False  # the last thing heard is a good block, or came after one
        self._failures = 0  # block reads in a row
        self._write_failures = 0
        self._write_after_s = float("-inf")
        self._fault = "no answer yet"
        self._lost: bool | None = None  # None = neither was said yet
        self._beat: int | None = None  # the PLC's heartbeat, and when it was last seen to change
        self._beat_s = begun_s
        self._own_beat = 0
        self._status_written: tuple[int, ...] | None = None  # None = write it again
        self._told = _NOTHING  # flags the PLC has heard in this epoch
        self._counters_s = float("-inf")
        self._in_flight: set[int] = set()  # numbers between trigger and echo
        self._edge_s = float("-inf")  # of the newest part

    @property
    def name(self) -> str:
        """Of the station."""
        return self._station.name

    @property
    def unit(self) -> int:
        """Of its PLC; another station may have the same."""
        return self._station.unit

    @property
    def answers(self) -> bool:
        """The last thing heard of its PLC is a good block, or came after one."""
        return self._clean

    @property
    def left_alone(self) -> bool:
        """Its PLC has not answered so often that it is asked less and less."""
        return self._failures >= SILENCES

    @property
    def running(self) -> bool | None:
        """Whether its line runs; None while there is no PLC to say so."""
        block = self.handshake.block
        if self._lost is not False or block is None:
            return None
        return bool(block.control & Control.LINE_RUNNING)

    def quiet_until_s(self, now_s: float) -> float:
        """Until when no verdict of this station can be wanted: the bus may be kept busy so long.

        The past while a part is between trigger and echo; while parts come, the earliest moment of
        the next one. On a line that stands, and after a pause, the first part may wait.
        """
        if self._in_flight:
            return float("-inf")
        next_s = self._edge_s + self._station.takt_s
        standing = not self.running or now_s - self._edge_s > PAUSE_S
        return float("inf") if standing else next_s

    # -- what it wants ------------------------------------------------------------------------

    def urgent(self, now_s: float) -> Frame | None:
        """The verdict lane's frame, if one is due."""
        if not self._clean or now_s < self._write_after_s:
            return None
        registers = self.handshake.due(now_s)
        return None if registers is None else self._write("verdict", RESULT_OFFSET, registers)

    def first(self, now_s: float) -> Frame | None:
        """The verdict lane's frame, if it is due and no repetition."""
        return None if self.handshake.repeating else self.urgent(now_s)

    def beat(self, now_s: float) -> Frame | None:
        """Status, if the heartbeat in it is due or its last change did not arrive."""
        written = self._status_written
        arrived = written is not None and written[1] == self._own_beat
        if now_s >= self.alive_until_s or (arrived and now_s - self.beaten_s < BEAT_S):
            return None
        return self._changed(now_s)

    def other(self, now_s: float) -> Frame | None:
        """Status or counters, if due."""
        if not self._clean:
            return None
        changed = self._changed(now_s)
        if changed is not None:
            return changed
        base = self._station.counters_base
        if base is not None and now_s - self._counters_s >= COUNTERS_S:
            self._counters_s = now_s
            request = read_registers(self._station.unit, base, COUNTERS_SIZE)
            return Frame("counters", request)
        return None

    def block(self, now_s: float) -> Frame | None:
        """The PLC's block; None while a dead PLC is left alone."""
        if now_s < self._backoff.due_s:
            return None
        self.asked_s = now_s
        station = self._station
        request = read_registers(station.unit, station.read_base, BLOCK_SIZE)
        return Frame("block", request)

    def farewell(self) -> Frame | None:
        """Status 0: the node goes, the PLC need not wait for the heartbeat to fail."""
        if not self.handshake.opened or not self._clean:
            return None
        return self._write("status", 0, status_registers(_NOTHING, self._own_beat))

    def _write(
        self, lane: Literal["verdict", "status"], offset: int, registers: tuple[int, ...]
    ) -> Frame:
        address = self._station.write_base + offset
        return Frame(lane, write_registers(self._station.unit, address, registers))

    def _changed(self, now_s: float) -> Frame | None:
        """Status, if it may be written and is not what the PLC was told."""
        if not (self._clean and self.handshake.opened and now_s >= self._write_after_s):
            return None
        if self.hung:
            return None
        registers = self._status(now_s)
        return None if registers == self._status_written else self._write("status", 0, registers)

    def _status(self, now_s: float) -> tuple[int, ...]:
        """The registers as they shall be now; a due heartbeat has moved."""
        if now_s < self.alive_until_s and now_s - self.beaten_s >= BEAT_S:
            self.beaten_s = now_s
            self._own_beat = (self._own_beat + 1) & 0xFFFF
        wanted, flags = self.wanted, self.wanted.flags
        if now_s - self.beaten_s > LOST_S:  # the PLC no longer believes us either
            flags &= ~StatusFlags.TRIGGER_READY
        return status_registers(
            flags, self._own_beat, wanted.active_recipe, wanted.acquired, wanted.error_code
        )

    # -- what came of it ----------------------------------------------------------------------

    def answered(
        self, frame: Frame, values: tuple[int, ...], sent_s: float, made_s: float
    ) -> list[Seen]:
        """The frame's good answer, made by the PLC between `sent_s` and `made_s`."""
        if frame.lane == "block":
            return self._noted(self._read(values, sent_s, made_s))
        if frame.lane == "tag":
            return []
        if frame.lane == "counters":
            self.counters = LineCounters.decode(values)
            return []
        self._write_failures = 0
        if frame.lane == "verdict":
            self.handshake.acknowledged(frame.request.values, made_s)
        else:
            self._status_written = frame.request.values
            self._told = StatusFlags(frame.request.values[0])
            self._judge_ready()
        return []

    def failed(self, frame: Frame, why: str, now_s: float) -> list[Seen]:
        """The frame had no good answer."""
        self._clean = False
        if frame.lane == "block":
            self._failures += 1
            self._fault = why
            if self._failures >= SILENCES:
                self._backoff.failed(now_s)
            return []
        if frame.lane == "counters":
            self.counters = None
            return []
        if frame.lane == "tag":
            return []
        self._write_failures += 1
        self._write_after_s = now_s + RETRY_S
        return [Wrong(why)] if self._write_failures == REFUSALS else []

    def must_read(self) -> None:
        """Its unit owes an answer to another's frame, which is listened out before the next one:
        nothing is written until the block was read again."""
        self._clean = False

    def unplugged(self, why: str) -> list[Seen]:
        """The port itself is gone or cannot be had."""
        self._fault = why
        self._clean = False
        self._status_written = None
        return self._lose(why)

    def tick(self, now_s: float) -> list[Seen]:
        """Whatever time brings: deadlines, a heartbeat that stands still."""
        seen = self._noted(list(self.handshake.expire(now_s)))
        if self._lost is not True and now_s - self._beat_s > LOST_S:
            standing = f"the PLC's program stands still (heartbeat {self._beat})"
            seen += self._lose(self._fault if self._failures or self._beat is None else standing)
        self._judge_ready()
        return seen

    def _read(self, values: tuple[int, ...], sent_s: float, made_s: float) -> list[Seen]:
        self._clean = True
        self._failures = 0
        self._backoff.worked()
        seen: list[Seen] = []
        beat = PlcBlock.decode(values).heartbeat
        if self._beat is not None and beat != self._beat:
            self._beat_s = made_s
            if self._lost is not False:
                self._lost = False
                self._status_written = None
                seen.append(LinkBack())
        self._beat = beat
        observed = self.handshake.observe(values, sent_s, made_s - sent_s)
        if any(isinstance(one, EpochOpened) for one in observed):
            self._status_written, self._told = None, _NOTHING
            self.counters = None  # those of the run before would begin this one's second law
            self._judge_ready()
        return [*seen, *observed]

    def _noted(self, seen: list[Seen]) -> list[Seen]:
        """Which parts are on their way, from what is told of them."""
        for one in seen:
            match one:
                case Triggered(trigger):
                    self._in_flight.add(trigger.part.number)
                    self._edge_s = trigger.edge_s - trigger.edge_error_s  # the earliest
                case Taken(number=number) | Expired(number=number):
                    self._in_flight.discard(number)
        return seen

    def _lose(self, why: str) -> list[Seen]:
        if self._lost is True:
            return []
        self._lost = True
        return [LinkLost(why)]

    def _judge_ready(self) -> None:
        """Parts can be judged once the PLC has been told so, and no longer than it is wanted."""
        ready = self._told & self.wanted.flags & StatusFlags.TRIGGER_READY
        self.handshake.ready = bool(ready)
