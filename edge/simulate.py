"""`quanjian-edge simulate`: a line without hardware, in real time, in its own process.

    main thread   scan loop on its own schedule (10 ms +- 3), belt clock = monotonic clock
    pty           the PLC as Modbus slave, bytes at the wire's speed (edge.plc.slave)
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
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from edge.errors import OPTIONS_HINT, SettingsError
from edge.plc.codecs import SERIAL
from edge.plc.images import Outputs
from edge.plc.program import program_code, shipped_code
from edge.plc.slave import PtySlave, Slave
from edge.plc.structured_text.code import BlockCode
from edge.plc.tcp_slave import TcpSlave
from edge.simulation import disturbances
from edge.simulation.camera import SimulatedCamera, optics_at
from edge.simulation.console import Console
from edge.simulation.drive import METER_SIZE, TAGS_SIZE, Drive
from edge.simulation.line import NODE_SIZE, LinePlan, SimulatedLine
from edge.simulation.retained import next_start, replace_file, save_start
from edge.simulation.signals import StopSignals, stop_signals
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
"""

_TROUBLE = {
    "disturbances by chance (--misbehave KIND=RATE per part) or at a second (--at, as below):": (
        disturbances.BY_CHANCE
    ),
    "only at a second (--at SECONDS:KIND[=VALUE]):": disturbances.AT_ONCE,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLE + "".join(
        f"\n{head}\n" + "".join(f"  {kind:13} {text}\n" for kind, text in words.items())
        for head, words in _TROUBLE.items()
    )
    add = parser.add_argument
    ports = parser.add_mutually_exclusive_group(required=True)
    ports.add_argument("--port", type=Path, help="symlink to make to the PLC's serial port")
    ports.add_argument("--tcp-port", type=int, help="PLC on 127.0.0.1 by Modbus TCP instead")
    add("--camera", required=True, help="shared memory file for the pictures, or `none`")
    add("--rate", type=float, default=4.0, help="parts per second, open loop (default 4)")
    add("--seconds", type=float, help="stop the feed after so long")
    add("--parts", type=int, help="stop the feed after so many parts")
    add(
        "--by-hand",
        action="store_true",
        help="parts and trouble as typed on stdin: part, jog=1 ...",
    )
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
    add("--program", type=Path, help="structured text of the PLC (default: docs/plc/station.st)")
    add("--baud", type=int, default=115200, help="of the serial line (default 115200)")
    add("--parity", choices=("N", "E", "O"), default="E")
    add("--stop-bits", type=int, choices=(1, 2), default=1)
    add("--protocol", choices=SERIAL, default="modbus_rtu")
    add("--unit", type=int, default=1, help="Modbus unit (default 1)")
    add("--read-base", type=int, default=0, help="first register PLC -> node (default 0)")
    add("--write-base", type=int, default=100, help="first register node -> PLC (default 100)")
    add("--counters-base", type=int, default=20, help="first register of the counters (20)")
    add("--tags-base", type=int, default=40, help="first register of speed, stop cause, ... (40)")
    add("--meter-unit", type=int, default=2, help="unit of an energy meter; 0 = none (default 2)")


def run(args: argparse.Namespace) -> int:
    """Run the line until it is told to stop; 0.

    Raises:
        SettingsError: wrong options, or a file that cannot be written.
        EdgeError: no pty, no shared memory, a PLC program that cannot run.
    """
    line_plan = plan_from(args)
    code = shipped_code() if args.program is None else _read_program(args.program)
    sys.setswitchinterval(0.001)  # drawing plates must not hold up a scan for the usual 5 ms
    with stop_signals() as stop, contextlib.ExitStack() as stack:
        truth = stack.enter_context(_written(args.truth)) if args.truth else None
        camera = None
        if args.camera != "none":
            camera = SimulatedCamera(Path(args.camera), args.seed)
            stack.callback(camera.close)
        simulation = Simulation(args, line_plan, code, camera, truth, stop)
        stack.enter_context(simulation.slave)
        summary = simulation.run()
    text = json.dumps(summary) + "\n"
    if args.summary is None:
        sys.stdout.write(text)
    else:
        replace_file(args.summary, text)
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
    bases = (args.read_base, args.write_base, args.counters_base, args.tags_base)
    sizes = (_BLOCK_SIZE, NODE_SIZE, _COUNTERS_SIZE, TAGS_SIZE)
    used = [a for base, size in zip(bases, sizes, strict=True) for a in range(base, base + size)]
    checks = (
        (0.05 <= args.rate <= 20, f"--rate: expected 0.05 to 20 parts/s, got {args.rate}"),
        (0 <= args.defect_rate <= 1, f"--defect-rate: expected 0 to 1, got {args.defect_rate}"),
        (0 <= args.small_rate <= 1, f"--small-rate: expected 0 to 1, got {args.small_rate}"),
        (
            args.seconds is None or args.seconds > 0,
            f"--seconds: expected above 0, got {args.seconds}",
        ),
        (args.seed >= 0, f"--seed: expected 0 or more, got {args.seed}"),
        (1200 <= args.baud <= 1_000_000, f"--baud: expected 1200 or more, got {args.baud}"),
        (
            args.tcp_port is None or 1 <= args.tcp_port <= 65535,
            f"--tcp-port: expected 1 to 65535, got {args.tcp_port}",
        ),
        (0 <= args.unit <= 247, f"--unit: expected 0 to 247, got {args.unit}"),
        (
            len(set(used)) == len(used) and min(used) >= 0 and max(used) <= 0xFFFF,
            "--read-base, --write-base, --counters-base, --tags-base: expected 12, 10, 10 and 5 "
            f"registers that do not overlap, got {bases}",
        ),
        (
            0 <= args.meter_unit <= 247 and args.meter_unit != args.unit,
            f"--meter-unit: expected 0 to 247 and not --unit, got {args.meter_unit}",
        ),
    )
    problems += [text for good, text in checks if not good]
    if problems:
        raise SettingsError("simulate", problems, OPTIONS_HINT)
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


def _slave(args: argparse.Namespace, units: list[Slave]) -> PtySlave | TcpSlave:
    """The units on their line."""
    if args.tcp_port is not None:
        return TcpSlave(units, args.tcp_port)
    return PtySlave(
        units, args.baud, args.parity, args.stop_bits, args.port, protocol=args.protocol
    )


def _read_program(path: Path) -> BlockCode:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as wrong:
        told = f"--program {path}: cannot be read as UTF-8: {wrong}"
        raise SettingsError("simulate", [told], OPTIONS_HINT) from wrong
    return program_code(text, path.name)


class Simulation:
    """One line in real time."""

    def __init__(
        self,
        args: argparse.Namespace,
        line_plan: LinePlan,
        code: BlockCode,
        camera: SimulatedCamera | None,
        truth: TextIO | None,
        stop: StopSignals,
    ) -> None:
        self._args, self._camera = args, camera
        self._drift = disturbances.parse_drift(args.drift)
        self._records = Records(truth)
        self._start = next_start(args.state)
        now_s = time.monotonic()
        put = self._put if camera is not None else (lambda _: None)
        self.line = SimulatedLine(line_plan, self._start, self._records, now_s, put, code)
        self._node = range(args.write_base, args.write_base + NODE_SIZE)
        bases = (
            (args.read_base, _BLOCK_SIZE),
            (args.counters_base, _COUNTERS_SIZE),
            (args.tags_base, TAGS_SIZE),
        )
        addresses = [*self._node, *(a for base, size in bases for a in range(base, base + size))]
        self._unit = Slave(args.unit, dict.fromkeys(addresses, 0))
        self._drive = Drive(now_s)
        self._meter = Slave(args.meter_unit or 1, dict.fromkeys(range(METER_SIZE), 0))
        units = [self._unit, self._meter] if args.meter_unit else [self._unit]
        self.slave = _slave(args, units)
        self._image = dict.fromkeys(addresses, 0)
        self._late_ms: Counter[int] = Counter()  # scans by lateness in tenths of a ms
        self._fed_s: float | None = None
        self._stop, self._now = stop.feed, stop.now
        self._console = Console(sys.stdin) if args.by_hand else None

    def run(self) -> dict[str, object]:
        """Scan until the feed has ended and the belt is empty; the summary."""
        began_s = time.monotonic()
        self._loop(began_s)
        self._keep_seen()
        self._records.close()
        return {
            **self._records.summary(),
            "plc_start": self.line.start_number,
            "plc_counters": self.line.program.counts(),
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
                self._camera.fire(exposure, optics, self.line.frozen)
        self._keep_seen()

    def _scan(self, now_s: float) -> None:
        node = [self._image[address] for address in self._node]
        outputs = self.line.scan(now_s, node)
        self._drive.step(now_s, self.line.belt.speed_mm_s)
        tags = dict(enumerate(self._drive.tags(outputs, node), self._args.tags_base))
        self._image = self._unit.exchange(self._registers(outputs) | tags)
        self._meter.exchange(dict(enumerate(self._drive.meter())))
        self._unit.answering = self._meter.answering = self.line.plugged
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
        if self._console is not None:
            self._obey(self._console)
        elif self._stop.is_set():
            line.stop_feed()
        elif self._fed_s is None:
            if not args.start_when_ready or line.program.node_ready:
                self._fed_s = now_s
                line.start_feed()
                _log.info("parts enter the line, %.2f per second", args.rate)
        elif not line.feeding or (args.seconds is not None and now_s >= self._fed_s + args.seconds):
            line.stop_feed()
            self._stop.set()

    def _obey(self, console: Console) -> None:
        """Do what was typed; nobody at the keyboard any more: the line runs out."""
        for happening in console.typed():
            self.line.happen(happening)
        if console.ended:
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


@contextlib.contextmanager
def _written(path: Path) -> Iterator[TextIO]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("w", encoding="utf-8", buffering=1)
    except OSError as wrong:
        told = f"--truth {path}: cannot be written: {wrong}"
        raise SettingsError("simulate", [told], OPTIONS_HINT) from wrong
    with opened:
        yield opened
