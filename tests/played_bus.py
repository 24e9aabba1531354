"""A bus of PLCs made of registers, for tests: time moves as the frames do."""

from dataclasses import dataclass, field
from itertools import pairwise

from edge.plc.backoff import Backoff
from edge.plc.blocks import Control, LineCounters, PlcBlock, Result, StatusFlags
from edge.plc.codecs import wire_s
from edge.plc.handshake import Triggered
from edge.plc.modbus_rtu import Rtu
from edge.plc.roundabout import Roundabout
from edge.plc.tag_lane import Reading, TagLane
from edge.plc.turns import Frame, Seen, Status, Turns
from edge.settings import Station
from edge.terms import MAP_VERSION, Code

RTU = Rtu()
READY = StatusFlags.ONLINE | StatusFlags.TRIGGER_READY
COUNTERS = LineCounters(1, 2, 3, 4, 70_000)


@dataclass
class Line:
    """One bus of PLCs that answer from registers; time moves 10 ms a frame, or as the wire does."""

    turns: dict[int, Turns]
    now_s: float = 10.0
    baudrate: int | None = None  # None = at once
    delay_s: float = 0.0  # what the PLC takes for its answer, with a baudrate
    dead: set[int] = field(default_factory=set)
    deaf_to_writes: bool = False
    beating: bool = True
    running: bool = False
    takes: bool = False  # its program takes each verdict and echoes it
    echo: tuple[int, int] = (0, 0)
    counter: int = 100
    plc_start: int = 1
    frames: list[tuple[int, Frame]] = field(default_factory=list)
    seen: list[tuple[int, Seen]] = field(default_factory=list)
    heard: dict[tuple[int, int], float] = field(default_factory=dict)  # by unit and beat
    beat: int = 0
    tags: TagLane = field(default_factory=lambda: TagLane([], 0.0))
    readings: list[Reading] = field(default_factory=list)
    timeout_s: float = 0.3  # what a dead unit costs, ...
    brief_s: float = 0.05  # ... and what a brief question to it

    def __post_init__(self) -> None:
        self.roundabout = Roundabout(list(self.turns.values()), self.tags, self.timeout_s)

    def run(self, frames: int) -> list[Frame]:
        """Let so many turns pass; returns the frames that went out."""
        before = len(self.frames)
        for _ in range(frames):
            self.now_s += 0.01 if self.baudrate is None else 0.0
            self.beat += self.beating
            for turns in self.turns.values():
                self._tell(turns, turns.tick(self.now_s))
            chosen = self.roundabout.next(self.now_s)
            if chosen is not None:
                self._answer(*chosen)
        return [frame for _, frame in self.frames[before:]]

    def until(self, lane: str) -> None:
        """Let turns pass until the last frame is one of this lane."""
        while self.frames[-1][1].lane != lane:
            self.run(1)

    def _answer(self, turns: Turns | None, frame: Frame) -> None:
        unit = frame.request.unit
        self.frames.append((unit, frame))
        if frame.lane == "tag":
            self._answer_tag(turns, frame)
            return
        assert turns is not None
        if unit in self.dead or (self.deaf_to_writes and frame.request.values):
            if unit in self.dead:
                self.now_s += self.brief_s if frame.brief else self.timeout_s
            self._tell(turns, turns.failed(frame, f"unit {unit} fails", self.now_s))
            return
        values: tuple[int, ...] = ()
        sent_s = self.now_s
        self.now_s += self._wire_s(frame)
        if frame.lane == "verdict" and self.takes:
            self.echo = frame.request.values[3], frame.request.values[4]
        if frame.lane == "status":
            self.heard.setdefault((unit, frame.request.values[1]), self.now_s)
        if frame.lane == "block":
            running = Control.LINE_RUNNING if self.running else Control(0)
            values = PlcBlock(
                Control.ENABLE | running, self.counter & 0xFFFF, 1, 5, self.counter, self.beat,
                MAP_VERSION, *self.echo, self.plc_start, 1,
            ).encode()  # fmt: skip
        elif frame.lane == "counters":
            values = COUNTERS.encode()
        self._tell(turns, turns.answered(frame, values, sent_s, self.now_s))

    def _answer_tag(self, turns: Turns | None, frame: Frame) -> None:
        asked, why = frame.request, f"unit {frame.request.unit} fails"
        if asked.unit in self.dead:
            self.now_s += self.timeout_s
            self.readings += self.tags.silent(why, self.now_s)
            if turns is not None:
                self._tell(turns, turns.failed(frame, why, self.now_s))
            return
        sent_s = self.now_s
        self.now_s += self._wire_s(frame)
        values = tuple(range(asked.address, asked.address + asked.count))
        self.readings += self.tags.answered(values, self.now_s)
        if turns is not None:
            self._tell(turns, turns.answered(frame, values, sent_s, self.now_s))

    def _wire_s(self, frame: Frame) -> float:
        """Request, answer and their silences."""
        if self.baudrate is None:
            return 0.0
        size = RTU.request_size(frame.request) + RTU.reply_size(frame.request)
        character_s = wire_s(self.baudrate, "E", 1)
        return size * character_s + 2 * RTU.silence_s(character_s) + self.delay_s

    def _tell(self, turns: Turns, seen: list[Seen]) -> None:
        unit = next(unit for unit, its in self.turns.items() if its is turns)
        self.seen += [(unit, one) for one in seen]

    def longest_pause_s(self, unit: int) -> float:
        """Between two changes of the node's heartbeat at this PLC, and since the last one."""
        heard = [at_s for (at, _), at_s in self.heard.items() if at == unit]
        return max(later - earlier for earlier, later in pairwise([*heard, self.now_s]))

    def of(self, unit: int, *kinds: type) -> list[Seen]:
        return [one for at, one in self.seen if at == unit and isinstance(one, kinds)]


def station(
    unit: int,
    counters_base: int | None = None,
    deadline_ms: int = 400,
    max_rate_per_s: float = 10.0,
) -> Station:
    return Station(
        name=f"s{unit}",
        bus="b",
        unit=unit,
        trigger="hardware",
        cameras=("c",),
        counters_base=counters_base,
        deadline_ms=deadline_ms,
        max_rate_per_s=max_rate_per_s,
    )


def line(
    units: int = 1,
    counters_base: int | None = None,
    alive: bool = True,
    deadline_ms: int = 400,
    max_rate_per_s: float = 10.0,
) -> Line:
    wiring = [
        station(unit, counters_base, deadline_ms, max_rate_per_s) for unit in range(1, units + 1)
    ]
    turns = {its.unit: Turns(its, None, 10.0, Backoff(chance=lambda: 0.5)) for its in wiring}
    for its in turns.values():
        its.wanted = Status(READY)
        its.alive_until_s = 1e9 if alive else float("-inf")
    return Line(turns)


def stubborn(bus: Line) -> Turns:
    """Part 101 is judged, and its PLC never takes the verdict."""
    bus.run(30)
    bus.counter += 1
    while not bus.of(1, Triggered):
        bus.run(1)
    turns = bus.turns[1]
    turns.handshake.submit(1, Result(101, Code.OK, 0, 0.1, 9), bus.now_s)
    return turns
