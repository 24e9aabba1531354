"""A whole line in played time: the PLC's program, frames on a wire, the node's handshake, a judge.

    program <-> RtuSlave <-> bytes at the baud rate, some of them spoiled <-> codec <-> Turns

Real are program, codec, turns, handshake and lane; played are the wire, the clock and the judge.
"""

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from edge.plc import codecs
from edge.plc.backoff import Backoff
from edge.plc.blocks import Result, StatusFlags
from edge.plc.handshake import (
    Bypassed,
    EpochOpened,
    Expired,
    Missed,
    Resume,
    Taken,
    Triggered,
)
from edge.plc.images import EyeEdge, Inputs, Outputs
from edge.plc.modbus_rtu import Rtu, RtuSlaveCodec, silence_s
from edge.plc.program import Program
from edge.plc.roundabout import Roundabout
from edge.plc.slave import Slave
from edge.plc.transaction import Answer, Broken, Request, read_registers
from edge.plc.turns import Frame, Seen, Status, Turns
from edge.settings import Station
from edge.terms import Code

READY = StatusFlags.ONLINE | StatusFlags.TRIGGER_READY
REGISTERS = dict.fromkeys([*range(12), *range(20, 30), *range(100, 110)], 0)
STATION = Station(
    name="s",
    bus="b",
    trigger="hardware",
    cameras=("c",),
    counters_base=20,
    deadline_ms=560,
    max_rate_per_s=20,
)
One = TypeVar("One")

Judge = Callable[[Triggered], Code]


class Field(Protocol):
    """Belt and PLC program: one scan at a time."""

    def scan(self, now_s: float, node: tuple[int, ...]) -> Outputs:
        """One scan; `node` holds the ten registers that the node wrote."""


@dataclass
class Wire:
    """What becomes of a frame: with chance `rate` one of `kinds`, counted."""

    rate: float = 0.0
    kinds: tuple[str, ...] = ("flip", "cut", "lost", "noise")
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    spoiled: Counter[str] = field(default_factory=Counter)

    def carry(self, frame: bytes) -> bytes:
        """The bytes that arrive."""
        if self.chance.random() >= self.rate:
            return frame
        kind = self.chance.choice(self.kinds)
        self.spoiled[kind] += 1
        place = self.chance.randrange(len(frame))
        if kind == "flip":
            bit = 1 << self.chance.randrange(8)
            return frame[:place] + bytes([frame[place] ^ bit]) + frame[place + 1 :]
        if kind == "noise":
            return bytes([self.chance.randrange(256)]) + frame
        return frame[:place] if kind == "cut" else b""


@dataclass
class PlayedLine:
    """One station from its belt to its verdicts; `step` is whatever happens next."""

    field_side: Field
    judge: Judge
    wire: Wire = field(default_factory=Wire)
    station: Station = STATION
    resume: Resume | None = None
    judge_s: Callable[[], float] = lambda: 0.06
    baudrate: int = 115_200
    scan_s: float = 0.01
    reply_timeout_s: float = 0.06
    alive: bool = True
    dead: bool = False  # the node: it neither reads nor writes
    halted: bool = False  # the PLC answers, and its program stands still
    torn: bool = False  # the program reads a result number one scan before its word
    now_s: float = 100.0
    seen: list[Seen] = field(default_factory=list)
    records: list[object] = field(default_factory=list)
    computed: dict[int, Code] = field(default_factory=dict)  # by number
    on_disk: set[int] = field(default_factory=set)  # numbers whose verdict is in the ledger
    frames: int = 0
    believed: int = 0  # spoilt frames that either end took for good ones
    out: Outputs = field(init=False)

    def __post_init__(self) -> None:
        self.slave = Slave(1, REGISTERS)
        self._far_end = RtuSlaveCodec(self.slave.answer)
        self._codec = Rtu()
        self._character_s = codecs.wire_s(self.baudrate, "E", 1)
        self._silence_s = silence_s(self._character_s)
        self._image = dict(REGISTERS)
        self._judged: list[tuple[float, int, int, Triggered]] = []  # heap: due, epoch, number
        self._scan_due_s = self.now_s
        self._word = 0  # verdict word of the scan before
        self._chance = random.Random(3)
        self.start_node(self.resume)

    def start_node(self, resume: Resume | None) -> None:
        """The node's process begins, for the first time or again."""
        self.turns = Turns(self.station, resume, self.now_s, Backoff(chance=lambda: 0.5))
        self.turns.wanted = Status(READY)
        self._roundabout = Roundabout([self.turns])
        self.dead = False
        self._judged.clear()
        self._spoilt = False  # the reply under way
        self._owed = False  # an answer: the unit is sounded first
        self._next: tuple[float, Callable[[], None]] = (self.now_s, self._begin)

    def step(self) -> None:
        """The next scan, or the next that happens to the frame on the wire."""
        due_s, act = self._next
        if due_s <= self._scan_due_s:
            self.now_s = due_s
            act()
        else:
            self.now_s = self._scan_due_s
            self._scan()

    def run(self, seconds: float) -> "PlayedLine":
        """So long."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.step()
        return self

    def until(self, condition: Callable[[], bool], within_s: float = 5.0) -> "PlayedLine":
        """Until it holds; fails if it does not in time."""
        give_up_s = self.now_s + within_s
        while not condition():
            assert self.now_s < give_up_s, f"not within {within_s} s"
            self.step()
        return self

    def of(self, kind: type[One]) -> list[One]:
        """Observations of the node."""
        return [one for one in self.seen if isinstance(one, kind)]

    def recorded(self, kind: type[One]) -> list[One]:
        """Records of the PLC's program."""
        return [one for one in self.records if isinstance(one, kind)]

    def counted_ok(self) -> set[int]:
        """Numbers that the node's ledger would count as ok."""
        return {one.number for one in self.of(Taken) if one.code is Code.OK}

    def settled(self) -> list[int]:
        """Every number that the node settled, sorted."""
        numbers = [one.number for one in self.seen if isinstance(one, Taken | Expired)]
        for one in self.seen:
            if isinstance(one, Missed | Bypassed):
                numbers += range(one.first, one.last + 1)
        return sorted(numbers)

    # -- the PLC ------------------------------------------------------------------------------

    def _scan(self) -> None:
        self._scan_due_s += self.scan_s * self._chance.uniform(0.7, 1.3)
        if self.halted:
            return
        node = tuple(self._image[address] for address in range(100, 110))
        word, self._word = node[9], self._word if self.torn else node[9]
        node = (*node[:9], self._word)
        self._word = word
        self.out = self.field_side.scan(self.now_s, node)
        self.records += self.out.records
        outputs = dict(enumerate(self.out.block))
        outputs |= dict(enumerate(self.out.counters, 20))
        self._image = self.slave.exchange(outputs)

    # -- the wire -----------------------------------------------------------------------------

    def _begin(self) -> None:
        """The node's bus thread takes its turn."""
        now_s, turns = self.now_s, self.turns
        if self.dead:
            self._next = (now_s + 0.005, self._begin)
            return
        if self.alive:
            turns.alive_until_s = now_s + 1.0
        while self._judged and self._judged[0][0] <= now_s:
            _, epoch, number, told = heapq.heappop(self._judged)
            code = self.computed[number] = self.judge(told)
            self.on_disk.add(number)
            turns.handshake.submit(epoch, Result(number, code, 0, 0.5, 20), now_s)
        self._tell(turns.tick(now_s))
        chosen = self._roundabout.next(now_s)
        if chosen is None:
            self._next = (now_s + 0.005, self._begin)
            return
        frame = chosen[1]
        meant = frame.request
        sounding = read_registers(meant.unit, meant.address, 1)
        self._ask(frame, sounding if self._owed else meant)

    def _ask(self, frame: Frame, asked: Request) -> None:
        """`asked`: the frame's own request, or what is asked before it."""
        self.frames += 1
        now_s, request = self.now_s, self._codec.encode(asked)
        took_s = len(request) * self._character_s
        self._next = (
            now_s + took_s + self._silence_s,
            lambda: self._at_plc(frame, asked, request, now_s, now_s + took_s),
        )

    def _at_plc(
        self, frame: Frame, asked: Request, said: bytes, sent_s: float, over_s: float
    ) -> None:
        heard = self.wire.carry(said)
        reply = self._far_end.feed(heard) + self._far_end.silence()
        self.believed += reply != b"" and heard != said
        arrives = self.wire.carry(reply) if reply else b""
        self._spoilt = arrives != reply
        at_s = self.now_s + len(arrives) * self._character_s
        give_up_s = over_s + self.reply_timeout_s
        self._next = (
            max(at_s, self.now_s) if arrives else give_up_s,
            lambda: self._at_node(frame, asked, arrives, sent_s, give_up_s),
        )

    def _at_node(
        self, frame: Frame, asked: Request, heard: bytes, sent_s: float, give_up_s: float
    ) -> None:
        reader = self._codec.reader(asked)
        reply = reader.feed(heard)
        self.believed += isinstance(reply, Answer) and self._spoilt
        if isinstance(reply, Answer) and asked != frame.request:
            self._owed = False
            self._next = (self.now_s + self._silence_s, lambda: self._ask(frame, frame.request))
            return
        if isinstance(reply, Answer):
            made_s = self.now_s - self._codec.reply_size(asked) * self._character_s
            self._tell(self.turns.answered(frame, reply.values, sent_s, max(sent_s, made_s)))
            self._next = (self.now_s + self._silence_s, self._begin)
            return
        reply = reply or reader.end()
        damaged = isinstance(reply, Broken) and reply.cause == "checksum"
        # as edge.plc.links: after a damaged answer 20 ms, else until none can come any more
        pause_s = 0.02 if damaged else give_up_s + self.reply_timeout_s - self.now_s
        self._owed |= not damaged
        self._tell(self.turns.failed(frame, str(reply), self.now_s))
        self._next = (self.now_s + pause_s, self._begin)

    def _tell(self, seen: list[Seen]) -> None:
        self.seen += seen
        for one in seen:
            if isinstance(one, Triggered):
                part, due_s = one.trigger.part, self.now_s + self.judge_s()
                heapq.heappush(self._judged, (due_s, part.epoch, part.number, one))
            elif isinstance(one, EpochOpened):
                self.on_disk.clear()


class Conveyor:
    """Parts at an even pitch on a belt that never slips, with the program that tracks them."""

    def __init__(self, program: Program, rate: float, pitch_mm: float = 190.0) -> None:
        """`rate`: parts per second."""
        self.program = program
        self.rate, self.speed_mm_s = rate, rate * pitch_mm
        self.feeding = False
        self.keys: dict[str, bool] = {}
        self.fed = 0
        self._next_s: float | None = None
        self._due: list[tuple[float, int, str]] = []  # heap: time, part, what
        self._open = False
        self._pulses: deque[tuple[float, bool]] = deque()

    def scan(self, now_s: float, node: tuple[int, ...]) -> Outputs:
        """One scan of the program."""
        if self._next_s is None or not self.feeding:
            self._next_s = now_s
        while self.feeding and self._next_s <= now_s:
            self._enter(self._next_s)
            self._next_s += 1 / self.rate
        eye: list[EyeEdge] = []
        gate: list[EyeEdge] = []
        while self._due and self._due[0][0] <= now_s:
            at_s, _, what = heapq.heappop(self._due)
            if what == "gate":
                self._pulses.append((at_s + 0.12, self._open))
                continue
            edge = EyeEdge(at_s, at_s * self.speed_mm_s, what.endswith("rises"))
            (eye if what.startswith("eye") else gate).append(edge)
        fallen = []
        while self._pulses and self._pulses[0][0] <= now_s:
            fallen.append(self._pulses.popleft()[1])
        out = self.program.scan(
            Inputs(
                node=node,
                encoder_mm=now_s * self.speed_mm_s,
                eye=tuple(eye),
                gate_eye=tuple(gate),
                good_pulses=sum(fallen),
                reject_pulses=len(fallen) - sum(fallen),
                bypass_key=self.keys.get("bypass", False),
                monitor_key=self.keys.get("monitor", False),
                sample_button=self.keys.get("sample", False),
                reset_button=self.keys.get("reset", False),
            ),
            now_s,
        )
        self._open = out.gate_pass
        return out

    def _enter(self, at_s: float) -> None:
        site, number = self.program.site, self.fed
        self.fed += 1
        length_s = (site.part_mm + 1.0) / self.speed_mm_s
        gate_eye_s = at_s + site.eye_to_gate_eye_mm / self.speed_mm_s
        middle_mm = site.gate_eye_to_gate_mm + site.part_mm / 2
        for when_s, what in (
            (at_s, "eye rises"),
            (at_s + length_s, "eye falls"),
            (gate_eye_s, "gate eye rises"),
            (gate_eye_s + length_s, "gate eye falls"),
            (gate_eye_s + middle_mm / self.speed_mm_s, "gate"),
        ):
            heapq.heappush(self._due, (when_s, number, what))
