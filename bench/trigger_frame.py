"""From the trigger to the frame that the detector is handed: p50 and p99.

    python -m bench.trigger_frame [--json] [--parts 400] [--rate 4]

simulated   a simulated line in its own process: the sensor fires the camera (exposure 14 ms later,
            readout 5 ms), its pictures come by shared memory, the part's number by the serial
            line. Counted from the sensor's true edge, and from the exposure.
aravis      Aravis' fake GigE Vision camera on the loopback address, software trigger: counted from
            the request. It says aloud where Aravis is missing.

Both go through the eye of the node: pairing, image check and all. A part without its frame counts
as infinite.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import report
from edge import recipe as recipes
from edge import settings
from edge.errors import EdgeError
from edge.eye import Eye, Look
from edge.pairing import Pairing
from edge.plc.blocks import StatusFlags
from edge.plc.bus import Bus, BusStation
from edge.plc.handshake import Triggered
from edge.release import Loaded, load
from edge.setups import Setup
from edge.terms import Mode, Part, Trigger
from edge.vision.aravis import load_aravis
from edge.vision.camera import Capture
from tests.gige_peer import ADDRESS, fake_camera

BASE = Path(__file__).parent.parent / "models" / "base"
MAX_WITHOUT = 0.005  # share of parts whose frame is missing or not trusted
WAIT_S = 30.0
SETUPS = {1: Setup()}  # the camera as it is
EDGE_AGO_S = 0.01  # the PLC tells of an edge no sooner


def main(arguments: list[str] | None = None) -> int:
    """Measure both cameras, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--parts", type=int, default=400, help="of each camera")
    parser.add_argument("--rate", type=float, default=4.0, help="parts/s of the simulated line")
    asked = parser.parse_args(arguments)
    bars, figures = [], {}
    for name, measure in (("simulated", simulated), ("aravis", aravis)):
        try:
            found = measure(asked.parts, asked.rate)
        except (EdgeError, OSError, AssertionError) as wrong:  # a peer that is not here, or taken
            sys.stderr.write(f"{name}: not run: {wrong}\n")
            figures[name] = {"not_run": str(wrong)}
            continue
        figures[name] = found
        without = found["without_frame"] / asked.parts
        bars.append(report.at_most(f"{name}: parts without their frame", without, MAX_WITHOUT))
    if not bars:
        return report.EXIT_CANNOT_RUN
    return report.finish("trigger_frame", bars, figures, asked.json)


def simulated(parts: int, rate: float) -> dict[str, Any]:
    """The line of the demo, without its node: a bus, a camera and an eye."""
    with tempfile.TemporaryDirectory(prefix="trigger-") as folder, ExitStack() as stack:
        root = Path(folder)
        line = stack.enter_context(_simulated_line(root, parts, rate))
        wiring = _station(rate)
        capture = Capture(_camera("shared_memory", str(root / "camera")))
        stack.callback(capture.close)
        eye = Eye(
            capture, Pairing("hardware", wiring.tolerance_s, 0.0, wiring.takt_s), None, SETUPS
        )
        bus = Bus(settings.Bus(name="b1", port=str(root / "plc")), [wiring], {})
        stack.callback(bus.close)
        bus.start()
        exposed_ms, handed_s = _look_at_each(bus.station("s1"), eye, line, parts)
        line.wait(WAIT_S)
        lines = (root / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    edges_s = {
        told["number"]: told["edge_s"] for told in map(json.loads, lines) if told["kind"] == "part"
    }
    edge_ms = [(at_s - edges_s[number]) * 1000 for number, at_s in handed_s.items()]
    return {
        "parts": parts,
        "without_frame": parts - len(edge_ms),
        "from_edge_ms": _quantiles(edge_ms, parts),
        "from_exposure_ms": _quantiles(exposed_ms, parts),
    }


def _look_at_each(
    station: BusStation, eye: Eye, line: "subprocess.Popen[bytes]", parts: int
) -> tuple[list[float], dict[int, float]]:
    """Take the frame of every part as it is triggered, until the line has ended."""
    loaded, exposed_ms = _loaded(), list[float]()
    handed_s: dict[int, float] = {}
    ready = StatusFlags.ONLINE | StatusFlags.TRIGGER_READY
    while line.poll() is None and len(handed_s) < parts:
        station.status(ready if eye.capture.online else StatusFlags.ONLINE, active_recipe=1)
        station.alive(time.monotonic() + 0.4)
        while not station.observations.empty():
            seen = station.observations.get()
            if not isinstance(seen, Triggered):
                continue
            eye.expect(seen.trigger)
            taken = eye.take(seen.trigger, seen.deadline_s, loaded, lambda: True)
            now_s = time.monotonic()
            if isinstance(taken, Look):
                sys.stderr.write(f"part {seen.trigger.part.number}: {taken.fault}\n")
                continue
            handed_s[seen.trigger.part.number] = now_s
            exposed_ms.append((now_s - taken.exposed_s) * 1000)
        time.sleep(0.0005)
    return exposed_ms, handed_s


def aravis(parts: int, rate: float) -> dict[str, Any]:
    """Ask the fake camera for one picture after the other."""
    with ExitStack() as stack:
        load_aravis()
        stack.enter_context(fake_camera())  # one on a computer: it may have to wait for its turn
        capture = Capture(_camera("gige", ADDRESS), "software")
        stack.callback(capture.close)
        _until_online(capture)
        eye = Eye(capture, Pairing("software", 1.0), None, SETUPS)
        loaded, handed_ms = _loaded(), []
        for number in range(parts):
            asked_s = time.monotonic()
            edge_s = asked_s - EDGE_AGO_S
            trigger = Trigger(Part("s1", 1, number), edge_s, 0.0, Mode.AUTO, 1)
            eye.expect(trigger)
            taken = eye.take(trigger, asked_s + 2.0, loaded, lambda: True)
            if isinstance(taken, Look):
                sys.stderr.write(f"aravis: picture {number}: {taken.fault}\n")
                continue
            handed_ms.append((time.monotonic() - asked_s) * 1000)
    return {
        "parts": parts,
        "without_frame": parts - len(handed_ms),
        "from_request_ms": _quantiles(handed_ms, parts),
    }


def _quantiles(times_ms: list[float], parts: int) -> dict[str, float | None]:
    """p50 and p99 of all parts; None: the frame of that part never came."""
    ordered = sorted([*times_ms, *[math.inf] * (parts - len(times_ms))])
    found = {name: ordered[min(parts - 1, int(share * parts))] for name, share in _SHARES}
    return {name: round(ms, 2) if math.isfinite(ms) else None for name, ms in found.items()}


_SHARES = (("p50", 0.5), ("p99", 0.99))


def _loaded() -> Loaded:
    """A recipe that lets every picture pass; the detector does not run here."""
    entry = settings.Recipe(number=1, path=str(BASE / "plate.toml"), model=str(BASE / "base.onnx"))
    loaded = load(entry, settings.Runtime(), unsigned=True)
    return replace(loaded, recipe=recipes.simple(loaded.detector.labels, 0.5))


def _station(rate: float) -> settings.Station:
    return settings.Station(
        name="s1", bus="b1", trigger="hardware", cameras=("c1",), max_rate_per_s=1.5 * rate
    )


def _camera(kind: Any, source: str) -> settings.Camera:
    return settings.Camera(name="c1", kind=kind, source=source)


@contextmanager
def _simulated_line(root: Path, parts: int, rate: float) -> "Iterator[subprocess.Popen[bytes]]":
    command = [
        *(sys.executable, "-m", "edge", "simulate", "--port", str(root / "plc")),
        *("--camera", str(root / "camera"), "--truth", str(root / "truth.jsonl")),
        *("--parts", str(parts), "--rate", str(rate), "--start-when-ready"),
    ]
    line = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield line
    finally:
        line.kill()
        line.wait(WAIT_S)


def _until_online(capture: Capture) -> None:
    end_s = time.monotonic() + WAIT_S
    while not capture.online:
        if time.monotonic() > end_s:
            raise EdgeError(str(capture.fault))
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
