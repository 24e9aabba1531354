"""A PLC on a pty at wire speed, in a process of its own, that makes parts at swept moments.

    python -m bench.wire.pacing BAUDRATE PARTS TAKT_S SWEEP_S

Its port on stdout; then a line per part: edge, verdict in the registers (monotonic s, inf = never),
and at the end `probe T` for every request to the dead slave. Its program has no scan: what a master
wrote counts as soon as the frame is over; the answers begin SCAN_S later, as after a scan.
"""

import math
import sys
import threading
import time
from collections.abc import Iterable

from edge.plc import blocks
from edge.plc.slave import PtySlave, Slave
from edge.plc.transaction import Answer, Refusal, Refused, Request
from edge.terms import MAP_VERSION

SCAN_S = 0.010
PLC_UNIT, METER_UNIT, DEAD_UNIT = 1, 2, 9
READ_BASE, WRITE_BASE, TAGS_BASE, METER_BASE = 0, 100, 200, 0
TAGS = 10  # of the PLC, and as many of the meter, each in a frame of its own
GOLDEN = 0.6180339887  # multiples of it fill an interval evenly
ANSWERED_S = 5.0


class Plc(Slave):
    """Counts the parts it is told of, takes every verdict at once, beats with every read."""

    def __init__(self) -> None:
        own = [*range(12), *range(100, 110), *range(TAGS_BASE, TAGS_BASE + 4 * TAGS)]
        super().__init__(PLC_UNIT, dict.fromkeys(own, 0))
        self.ready = threading.Event()
        self.taken = threading.Event()
        self.taken_s = math.inf
        self._number, self._edge_s = 0, time.monotonic()
        self._echo = (0, 0)
        self._beats = 0

    def part(self, number: int) -> float:
        """A part at the sensor; returns when."""
        self.taken.clear()
        self.taken_s = math.inf
        self._number, self._edge_s = number, time.monotonic()
        return self._edge_s

    def answer(self, asked: Request | Refusal) -> Answer | Refused | None:
        """The frame is over: now is when a PLC would know it."""
        if isinstance(asked, Request) and asked.unit == PLC_UNIT:
            self._know(asked)
        return super().answer(asked)

    def _know(self, asked: Request) -> None:
        if asked.values and asked.address == WRITE_BASE:
            if asked.values[0] & blocks.StatusFlags.TRIGGER_READY:
                self.ready.set()
        elif asked.values:
            result = blocks.Result.decode(asked.values)
            if result is not None and result.number == self._number & 0xFFFF:
                self._echo = (asked.values[3], asked.values[4])
                self.taken_s = min(self.taken_s, time.monotonic())
                self.taken.set()
        self._beats += 1
        self.exchange(dict(enumerate(self._block(), READ_BASE)))

    def _block(self) -> tuple[int, ...]:
        number = self._number
        age_ms = min(0xFFFF, int(1000 * (time.monotonic() - self._edge_s)))
        control = blocks.Control.ENABLE | blocks.Control.LINE_RUNNING
        return blocks.PlcBlock(
            control, number & 0xFFFF, 1, age_ms, number, self._beats & 0xFFFF, MAP_VERSION,
            *self._echo, 1, 1,
        ).encode()  # fmt: skip


class Dead(Slave):
    """A slave that hears and never answers."""

    def __init__(self) -> None:
        super().__init__(DEAD_UNIT, {})
        self.asked_s: list[float] = []

    def answer(self, asked: Request | Refusal) -> Answer | Refused | None:
        """Note that it was asked."""
        if asked.unit == DEAD_UNIT:
            self.asked_s.append(time.monotonic())
        return None


def parts(plc: Plc, count: int, takt_s: float, sweep_s: float) -> Iterable[tuple[float, float]]:
    """(edge, verdict in the registers) of each part; no two nearer than `takt_s`."""
    due_s = time.monotonic() + takt_s
    for number in range(1, count + 1):
        due_s += (number * GOLDEN % 1) * sweep_s
        threading.Event().wait(max(0.0, due_s - time.monotonic()))
        edge_s = plc.part(number)
        plc.taken.wait(ANSWERED_S)
        yield edge_s, plc.taken_s
        due_s = max(edge_s + takt_s, time.monotonic())


def main(arguments: list[str]) -> int:
    """Play the PLC until the parts are through."""
    baudrate, count = int(arguments[0]), int(arguments[1])
    takt_s, sweep_s = map(float, arguments[2:])
    sys.setswitchinterval(0.0005)
    plc, dead = Plc(), Dead()
    meter = Slave(METER_UNIT, dict.fromkeys(range(METER_BASE, METER_BASE + 4 * TAGS), 0))
    with PtySlave([plc, meter, dead], baudrate, reply_delay_s=SCAN_S) as line:
        say(line.port)
        if not plc.ready.wait(30):
            sys.stderr.write("no master became ready\n")
            return 1
        for edge_s, taken_s in parts(plc, count, takt_s, sweep_s):
            say(f"{edge_s:.6f} {taken_s:.6f}")
        for asked_s in dead.asked_s:
            say(f"probe {asked_s:.6f}")
        say("end")
        sys.stdin.read()
    return 0


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
