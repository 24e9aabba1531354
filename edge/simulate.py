"""`quanjian-edge simulate`: a line without hardware, in real time, in its own process.

    main thread   scan loop on its own schedule (10 ms +- 3), belt clock = monotonic clock
    pty           the PLC as Modbus RTU slave, bytes at the wire's speed (edge.plc.slave)
    two threads   plates and pictures (edge.simulation.camera)

The belt never waits for the node. SIGTERM or Ctrl-C stops the feed, lets the parts on the belt run
out past the gate, and writes the summary; a second signal ends it at once.
"""

import argparse
import contextlib
import json
import logging
import math
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TextIO

from edge.errors import SettingsError
from edge.plc.images import Outputs
from edge.plc.slave import PtySlave, RtuSlave
from edge.simulation import disturbances
from edge.simulation.camera import SimulatedCamera, optics_at
from edge.simulation.line import NODE_SIZE, LinePlan, SimulatedLine
from edge.simulation.summary import PlatePlan, Records

_log = logging.getLogger(__name__)

SCAN_S = 0.010
SCAN_JITTER_S = 0.003
_RUN_OUT_S = 20.0  # a line that stands with a fault does not empty itself
_LINGER_S = 2.5  # the PLC stays on line so that the node reads the last echo and counters
_BLOCK_SIZE, _COUNTERS_SIZE = 12, 10

_EXAMPLE = """examples:
  quanjian-edge simulate --port ./plc0 --camera /dev/shm/quanjian-cam0 --rate 4
  quanjian-edge simulate --port ./plc0 --camera /dev/shm/quanjian-cam0 --seconds 60 \\
      --misbehave touching=0.02 --misbehave slip=0.01 --at 30:dead_pusher --drift lamp=-0.0005
  quanjian-edge simulate --port ./plc0 --camera none --rate 2 --parts 300

disturbances by chance (--misbehave KIND=RATE per part) or at a second (--at SECONDS:KIND[=VALUE]):
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    words = {**disturbances.BY_CHANCE, **disturbances.AT_ONCE}
    parser.epilog = _EXAMPLE + "\n".join(f"  {kind:13} {text}" for kind, text in words.items())
    add = parser.add_argument
    add("--port", required=True, type=Path, help="symlink to make to the PLC's serial port")
    add("--camera", required=True, help="shared memory file for the pictures, or `none`")
    add("--rate", type=float, default=4.0, help="parts per second, open loop (default 4)")
    add("--seconds", type=float, help="stop the feed after so long")
    add("--parts", type=int, help="stop the feed after so many parts")
    add("--start-when-ready", action="store_true", help="first part when the node is ready")
    add("--defect-rate", type=float, default=0.03, help="share of defective parts (default 0.03)")
    add("--small-rate", type=float, default=0.0, help="share of them below the minimum size")
    add("--seed", type=int, default=1, help="of plates, pitch and chance")
    add("--truth", type=Path, help="JSON lines: what every part really was")
    add("--summary", type=Path, help="JSON file at the end (default: stdout)")
    add("--state", type=Path, help="what the PLC keeps without power: its start number")
    add("--misbehave", action="append", default=[], metavar="KIND=RATE", help="see below")
    add("--at", action="append", default=[], metavar="S:KIND[=VALUE]", help="see below")
    add("--drift", action="append", default=[], metavar="KIND=CHANGE", help="per part, of optics")
    add("--new-kind-from", type=int, metavar="N", help="an unknown defect appears at part N")
    add("--repair-s", type=float, default=5.0, help="mechanic after a reject fault; -1 = never")
    add("--stop-after-s", type=float, help="line stop when the node is silent this long")
    add("--baud", type=int, default=115200, help="of the serial line (default 115200)")
    add("--parity", choices=("N", "E", "O"), default="E")
    add("--stop-bits", type=int, choices=(1, 2), default=1)
    add("--unit", type=int, default=1, help="Modbus unit (default 1)")
    add("--read-base", type=int, default=0, help="first register PLC -> node (default 0)")
    add("--write-base", type=int, default=100, help="first register node -> PLC (default 100)")
    add("--counters-base", type=int, default=20, help="first register of the counters (20)")


def run(args: argparse.Namespace) -> int:
    """Run the line until it is told to stop; 0.

    Raises:
        SettingsError: wrong options, or a file that cannot be written.
        EdgeError: no pty, no shared memory.
    """
    line_plan = plan_from(args)
    sys.setswitchinterval(0.001)  # drawing plates must not hold up a scan for the usual 5 ms
    with stop_signals() as stop, contextlib.ExitStack() as stack:
        truth = stack.enter_context(_written(args.truth)) if args.truth else None
        camera = None
        if args.camera != "none":
            camera = SimulatedCamera(Path(args.camera), args.seed)
            stack.callback(camera.close)
        simulation = Simulation(args, line_plan, camera, truth, stop)
        stack.enter_context(simulation.slave)
        summary = simulation.run()
    text = json.dumps(summary) + "\n"
    if args.summary is None:
        sys.stdout.write(text)
    else:
        _replace(args.summary, text)
    return 0


def plan_from(args: argparse.Namespace) -> LinePlan:
    """The options as a plan.

    Raises:
        SettingsError: with every mistake in them.
    """
    problems: list[str] = []
    trouble = disturbances.Disturbances()
    try:
        trouble = disturbances.parse(args.misbehave, args.at)
    except SettingsError as wrong:
        problems += wrong.problems
    try:
        disturbances.parse_drift(args.drift)
    except SettingsError as wrong:
        problems += wrong.problems
    bases = (args.read_base, args.write_base, args.counters_base)
    sizes = (_BLOCK_SIZE, NODE_SIZE, _COUNTERS_SIZE)
    used = [a for base, size in zip(bases, sizes, strict=True) for a in range(base, base + size)]
    checks = (
        (0.05 <= args.rate <= 20, f"--rate: expected 0.05 to 20 parts/s, got {args.rate}"),
        (0 <= args.defect_rate <= 1, f"--defect-rate: expected 0 to 1, got {args.defect_rate}"),
        (0 <= args.small_rate <= 1, f"--small-rate: expected 0 to 1, got {args.small_rate}"),
        (args.seed >= 0, f"--seed: expected 0 or more, got {args.seed}"),
        (1200 <= args.baud <= 1_000_000, f"--baud: expected 1200 or more, got {args.baud}"),
        (1 <= args.unit <= 247, f"--unit: expected 1 to 247, got {args.unit}"),
        (
            len(set(used)) == len(used) and min(used) >= 0 and max(used) <= 0xFFFF,
            f"--read-base, --write-base, --counters-base: expected 12, 10 and 10 registers that do "
            f"not overlap, got {bases}",
        ),
    )
    problems += [text for good, text in checks if not good]
    if problems:
        raise SettingsError("simulate", problems)
    return LinePlan(
        rate=args.rate,
        defect_rate=args.defect_rate,
        small_rate=args.small_rate,
        seed=args.seed,
        parts=args.parts,
        new_kind_from=args.new_kind_from,
        drawn=args.camera != "none",
        repair_s=args.repair_s if args.repair_s >= 0 else None,
        stop_after_s=args.stop_after_s,
        disturbances=trouble,
    )


class Simulation:
    """One line in real time."""

    def __init__(
        self,
        args: argparse.Namespace,
        line_plan: LinePlan,
        camera: SimulatedCamera | None,
        truth: TextIO | None,
        stop: "StopSignals",
    ) -> None:
        self._args, self._camera = args, camera
        self._drift = disturbances.parse_drift(args.drift)
        self._records = Records(truth)
        self._start = next_start(args.state)
        now_s = time.monotonic()
        put = self._put if camera is not None else (lambda _: None)
        self.line = SimulatedLine(line_plan, self._start, self._records, now_s, put)
        self._node = range(args.write_base, args.write_base + NODE_SIZE)
        bases = ((args.read_base, _BLOCK_SIZE), (args.counters_base, _COUNTERS_SIZE))
        addresses = [*self._node, *(a for base, size in bases for a in range(base, base + size))]
        self._unit = RtuSlave(args.unit, dict.fromkeys(addresses, 0))
        self.slave = PtySlave([self._unit], args.baud, args.parity, args.stop_bits, args.port)
        self._image = dict.fromkeys(addresses, 0)
        self._late_ms: Counter[int] = Counter()  # scans by lateness in tenths of a ms
        self._fed_s: float | None = None
        self._stop, self._now = stop.feed, stop.now

    def run(self) -> dict[str, object]:
        """Scan until the feed has ended and the belt is empty; the summary."""
        began_s = time.monotonic()
        self._loop(began_s)
        self._keep_seen()
        self._records.close()
        return {
            **self._records.summary(),
            "plc_start": self.line.start_number,
            "plc_counters": self._counters(),
            "seconds": round(time.monotonic() - began_s, 1),
            "scan_late_ms": self._lateness(),
            "frames": self._camera.frames if self._camera else None,
            "late_frames": self._camera.late if self._camera else None,
        }

    def _loop(self, began_s: float) -> None:
        jitter = random.Random(self._args.seed)
        due_s, scan_s, end_s = began_s, began_s, math.inf
        while not self._now.is_set():
            exposure_s = self.line.belt.next_exposure_s()
            wake_s = scan_s if exposure_s is None else min(scan_s, exposure_s)
            wait_s = wake_s - time.monotonic()
            if wait_s > 0:
                self._now.wait(wait_s)
            now_s = time.monotonic()
            self._expose(now_s)
            if now_s < scan_s:
                continue
            self._late_ms[int((now_s - scan_s) * 10_000)] += 1
            self._scan(now_s)
            self._feed(now_s)
            if self._stop.is_set() and not self.line.feeding:
                if end_s == math.inf:
                    end_s = now_s + _RUN_OUT_S
                if self.line.empty:
                    end_s = min(end_s, now_s + _LINGER_S)
                if now_s >= end_s:
                    return
            due_s += SCAN_S * max(1, math.ceil((now_s - due_s) / SCAN_S))
            scan_s = due_s + jitter.uniform(-SCAN_JITTER_S, SCAN_JITTER_S)

    def _expose(self, now_s: float) -> None:
        """Move the belt to now and hand over what the camera saw on the way."""
        for exposure in self.line.run_to(now_s):
            if self._camera is not None:
                optics = optics_at(
                    self.line.optics, self._drift, self.line.fed, exposure.speed_mm_s
                )
                self._camera.fire(exposure, optics)
        self._keep_seen()

    def _scan(self, now_s: float) -> None:
        outputs = self.line.scan(now_s, [self._image[address] for address in self._node])
        self._image = self._unit.exchange(self._registers(outputs))
        self._unit.answering = self.line.plugged
        self._save_start()

    def _registers(self, outputs: Outputs) -> dict[int, int]:
        args = self._args
        return {
            **dict(enumerate(outputs.block, args.read_base)),
            **dict(enumerate(outputs.counters, args.counters_base)),
        }

    def _feed(self, now_s: float) -> None:
        """Start and stop the feed as asked."""
        args, line = self._args, self.line
        if self._stop.is_set():
            line.stop_feed()
        elif self._fed_s is None:
            if not args.start_when_ready or line.program.node_ready(now_s):
                self._fed_s = now_s
                line.start_feed()
                _log.info("parts enter the line, %.2f per second", args.rate)
        elif not line.feeding or (args.seconds is not None and now_s >= self._fed_s + args.seconds):
            line.stop_feed()
            self._stop.set()

    def _put(self, plan: PlatePlan) -> None:
        if self._camera is not None:
            self._camera.prepare(plan)

    def _keep_seen(self) -> None:
        while self._camera is not None and not self._camera.seen.empty():
            seen = self._camera.seen.get()
            self._records.seen(seen.plate, seen.x_mm, seen.defects)

    def _save_start(self) -> None:
        if self.line.start_number != self._start:
            self._start = self.line.start_number
            save_start(self._args.state, self._start)

    def _counters(self) -> dict[str, int]:
        counts = self.line.program.counts
        return {
            "good": counts.good,
            "rejected": counts.rejected,
            "reject_confirmed": counts.reject_confirmed,
            "bypassed": counts.bypassed,
            "reject_faults": counts.reject_faults,
        }

    def _lateness(self) -> dict[str, float | int | None]:
        """How late the scans were: p99 and max, ms; scans."""
        scans = sum(self._late_ms.values())
        if not scans:
            return {"p99": None, "max": None, "scans": 0}
        rank, seen, p99 = math.ceil(0.99 * scans), 0, 0
        for p99 in sorted(self._late_ms):
            seen += self._late_ms[p99]
            if seen >= rank:
                break
        return {"p99": p99 / 10, "max": max(self._late_ms) / 10, "scans": scans}


@dataclass(frozen=True, slots=True)
class StopSignals:
    """What SIGTERM and Ctrl-C ask for: the first stops the feed, the second ends at once."""

    feed: threading.Event = field(default_factory=threading.Event)
    now: threading.Event = field(default_factory=threading.Event)

    def told(self, _number: int, _frame: FrameType | None) -> None:
        """A signal came."""
        if self.feed.is_set():
            self.now.set()
        self.feed.set()


@contextlib.contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """Both signals, until the block ends."""
    stop = StopSignals()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, stop.told) for number in numbers}
    try:
        yield stop
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def next_start(state: Path | None) -> int:
    """The PLC's start number at this power-up, 1..65535, kept in the file `state`.

    Without a file it is drawn from the clock, so that a second run is a new epoch all the same.

    Raises:
        SettingsError: the file is there and is not such a file.
    """
    if state is None:
        return int(time.time()) % 0xFFFF + 1
    last = 0
    if state.exists():
        try:
            last = int(json.loads(state.read_text(encoding="utf-8"))["plc_start"])
        except (OSError, ValueError, KeyError, TypeError) as wrong:
            raise SettingsError(str(state), [f"--state: not a PLC's memory: {wrong}"]) from wrong
    start = last % 0xFFFF + 1
    save_start(state, start)
    return start


def save_start(state: Path | None, start: int) -> None:
    """Keep the start number over a power cut."""
    if state is not None:
        _replace(state, json.dumps({"plc_start": start}) + "\n")


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as wrong:
        raise SettingsError(str(path), [f"cannot be written: {wrong}"]) from wrong


@contextlib.contextmanager
def _written(path: Path) -> Iterator[TextIO]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("w", encoding="utf-8", buffering=1)
    except OSError as wrong:
        raise SettingsError(str(path), [f"cannot be written: {wrong}"]) from wrong
    with opened:
        yield opened
