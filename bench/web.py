"""A continuous web of 12,000 px: is every defect found once, and how fast may it run here?

A simulated line-scan camera (uneven light, offsets, dirty columns, noise) sees uniform material
with round defects of 8 px, dark and bright, at a known rate; a tenth of them lie on seams: between
two frames, between two tiles, or both. The way is the product's own: frames, flat field (made by
the calibration's own function), strips, spots tile by tile, seams, intervals.

1. Unpaced, in this process: recall on and off seams, double counts, throughput, memory.
2. Paced by a process of its own through shared memory, at several speeds of at least 10 s each: the
   highest at which no row is lost, and 30 s there. The web does not wait.
3. Far too fast: every row lost is an undecided one.

    python -m bench.web --json
    python -m bench.web --strips 300 --seconds 4        # a quick look
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np

from bench.report import Bar, at_least, at_most, exactly, finish
from bench.simulated_web import WHITE, SimulatedWeb
from edge import settings, speed
from edge.errors import CameraError, SettingsError
from edge.release import Loaded, load
from edge.terms import Frame
from edge.vision import tiling
from edge.vision.flat import from_references
from edge.vision.shared_memory import SharedMemoryCamera, SharedMemoryWriter
from edge.vision.spots import SIDE_PX
from edge.web import Source, Told, WebInspection
from edge.web_command import MARGIN, throughput

WIDTH, STRIP = 12_000, 512
MM_PER_PX = 0.1
ROWS_PER_MM = 10.0
SIZE_PX = 8
LARGEST_PX = 32
PER_STRIP = 8
ON_SEAMS = 0.1
SLOTS = 8
SEED = 20
SOURCE_KEEPS_UP = 0.99
"""A web slower than asked for proves nothing."""


RECIPE = f"""
name = "web"
[web]
camera = "line"
rows_per_mm = {ROWS_PER_MM}
overlap_mm = {LARGEST_PX / ROWS_PER_MM}
interval_mm = 1000.0
speed_m_min = 1.0
flat_field = "flat.json"
[spots]
contrast = 20
smallest_px = {SIZE_PX}
largest_px = {LARGEST_PX}
[[class]]
label = "dark_spot"
threshold = 0.5
[[class]]
label = "bright_spot"
threshold = 0.5
"""

WIRING = """
node = {plant = "p", line = "l", name = "n", data_dir = "data"}
bus = [{name = "b", port = "none"}]
camera = [{name = "line", kind = "shared_memory", source = "ring", mm_per_px = 0.1}]
recipe = [{number = 1, path = "web.toml"}]
station = [{name = "s", bus = "b", trigger = "free_run", cameras = ["line"]}]
"""


@lru_cache(maxsize=1)
def web() -> SimulatedWeb:
    """The same in every process; its seams are the sides of the product's own tiles."""
    tiles = tiling.plan(STRIP + LARGEST_PX, WIDTH, (SIDE_PX, SIDE_PX), LARGEST_PX)
    sides = {x for t in tiles for x in (t.left, t.left + t.width)} - {0, WIDTH}
    return SimulatedWeb(
        WIDTH,
        STRIP,
        seams=tuple(sorted(sides)),
        seed=SEED,
        size_px=SIZE_PX,
        per_strip=PER_STRIP,
        on_seams=ON_SEAMS,
    )


class Unpaced:
    """Strips as fast as they are taken."""

    def __init__(self, strips: int) -> None:
        self._left = iter(range(strips))

    def read(self, _timeout_s: float) -> Frame | None:
        """The next strip; None after the last."""
        number = next(self._left, None)
        if number is None:
            return None
        return Frame("line", number, time.monotonic(), web().strip(number))

    def request(self) -> None:
        """Nothing to do."""


@dataclass
class Outcome:
    """What one run told."""

    places: list[tuple[float, float]] = field(default_factory=list)  # px, rows
    summary: Told = field(default_factory=dict)
    blind_m: float = 0.0
    memory_kib: list[int] = field(default_factory=list)
    cpu_s: float = 0.0  # of this process

    def hear(self, told: Told) -> None:
        """One line of the command's output."""
        if told["kind"] == "defect":
            across = told["across_mm"]
            assert isinstance(across, list)
            rows = [float(str(told[key])) * 1000 * ROWS_PER_MM for key in ("from_m", "to_m")]
            self.places.append((sum(across) / 2 / MM_PER_PX, sum(rows) / 2))
        elif told["kind"] == "undecided":
            self.blind_m += float(str(told["to_m"])) - float(str(told["from_m"]))
        elif told["kind"] == "interval":
            self.memory_kib.append(_memory_kib())
        elif told["kind"] == "summary":
            self.summary = told


def _memory_kib() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4


def inspect(source: Source, loaded: Loaded, *, ends: bool) -> Outcome:
    """Run a web to its end."""
    outcome = Outcome()
    before_s = time.process_time()
    run = WebInspection(source, loaded.detector, loaded.recipe, MM_PER_PX, ends=ends)
    try:
        run.run(threading.Event(), outcome.hear)
    except CameraError:
        if ends:
            raise  # the paced source has gone, which is how its web ends
    outcome.cpu_s = time.process_time() - before_s
    return outcome


def score(outcome: Outcome, strips: int) -> dict[str, int]:
    """Defects there and found, on and off seams; told twice; told where nothing is."""
    counted = dict.fromkeys(("on", "on_found", "off", "off_found", "double", "false"), 0)
    told: dict[int, list[tuple[float, float]]] = {}
    for place in outcome.places:
        told.setdefault(int(place[1]) // STRIP, []).append(place)
    matched = 0
    last_row = strips * STRIP - SIZE_PX
    for number in range(strips):
        near = [p for n in (number - 1, number, number + 1) for p in told.get(n, ())]
        for one in web().defects(number):
            if one.row > last_row:
                continue
            hits = sum(abs(x - one.x) <= 6 and abs(row - one.row) <= 6 for x, row in near)
            where = "on" if one.on_seam else "off"
            counted[where] += 1
            counted[where + "_found"] += hits > 0
            counted["double"] += max(0, hits - 1)
            matched += hits
    at_end = sum(row > last_row - SIZE_PX for _, row in outcome.places)
    counted["false"] = max(0, len(outcome.places) - matched - at_end)
    return counted


def paced(folder: Path, loaded: Loaded, rows_per_s: float, seconds: float) -> tuple[Outcome, float]:
    """One run through shared memory, and the share of the speed that the source itself reached."""
    strips = max(4, round(rows_per_s * seconds / STRIP))
    ring = folder / "ring"
    command = [sys.executable, "-m", "bench.web", "--source", str(ring)]
    command += ["--strips", str(strips), "--rows-per-s", str(rows_per_s)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        camera = SharedMemoryCamera("line", ring)
        child.stdin.write("go\n")
        child.stdin.flush()
        try:
            outcome = inspect(camera, loaded, ends=False)
        finally:
            camera.close()
        reached = float(child.stdout.readline())
    sys.stderr.write(
        f"{m_min(rows_per_s):7.1f} m/min: {outcome.summary['rows_lost']} rows lost, "
        f"source at {reached / rows_per_s:.1%}\n"
    )
    return outcome, reached / rows_per_s


def be_the_source(ring: Path, strips: int, rows_per_s: float) -> int:
    """The camera's process: its web moves at its own speed and waits for nobody."""
    writer = SharedMemoryWriter(ring, WIDTH, STRIP, 1, slots=SLOTS)
    web().strip(1)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    begun_s = time.monotonic()
    pause = threading.Event()
    for number in range(strips):
        image = web().strip(number)
        due_s = begun_s + (number + 1) * STRIP / rows_per_s
        if due_s > time.monotonic():
            pause.wait(due_s - time.monotonic())
        writer.write(image, time.monotonic())
    reached = strips * STRIP / (time.monotonic() - begun_s)
    sys.stdout.write(f"{reached}\n")
    sys.stdout.flush()
    writer.close()
    return 0


def fastest(
    try_at: Callable[[float, float], tuple[Outcome, float]], rows_per_s: float, seconds: float
) -> tuple[float, Outcome | None, list[list[float]]]:
    """The highest speed without a lost row: faster until it fails, halved, then held for longer."""
    tried: list[list[float]] = []

    def holds(rate: float, seconds: float) -> Outcome | None:
        outcome, reached = try_at(rate, seconds)
        lost = int(str(outcome.summary["rows_lost"]))
        tried.append([round(m_min(rate), 1), round(seconds, 1), lost, round(reached, 3)])
        return outcome if lost == 0 and reached >= SOURCE_KEEPS_UP else None

    low, high = 0.0, 0.7 * rows_per_s
    while high < 4 * rows_per_s and holds(high, seconds) is not None:
        low, high = high, 1.4 * high
    for _ in range(4):
        middle = (low + high) / 2
        if holds(middle, seconds) is not None:
            low = middle
        else:
            high = middle
    while low > 0.02 * rows_per_s:
        outcome = holds(low, 3 * seconds)
        if outcome is not None:
            return low, outcome, tried
        low *= 0.9
    return 0.0, None, tried


def flooding(rate: float, rows_per_s: float) -> float:
    """A speed that surely loses rows: above the highest that holds, or where none does (0), above
    what is looked at without any pace."""
    return 3 * (rate or rows_per_s)


def m_min(rows_per_s: float) -> float:
    """Rows per second as the speed of the web."""
    return rows_per_s / ROWS_PER_MM / 1000 * 60


def files(folder: Path) -> settings.Settings:
    """A node's files in `folder`."""
    rng = np.random.default_rng((SEED, 99))
    white = (web().sensed(WHITE, rng) for _ in range(4))
    flat = from_references([web().sensed(0, rng)], white)
    (folder / "flat.json").write_bytes(msgspec.json.encode(flat))
    (folder / "web.toml").write_text(RECIPE, encoding="utf-8")
    (folder / "edge.toml").write_text(WIRING, encoding="utf-8")
    return settings.read(folder / "edge.toml")


def measure(folder: Path, strips: int, seconds: float) -> tuple[list[Bar], dict[str, object]]:
    """The three parts of the bench."""
    wiring = files(folder)
    loaded = load(wiring.recipe[0], wiring.runtime, unsigned=True)
    sys.stderr.write(f"{strips} strips unpaced\n")
    unpaced = inspect(Unpaced(strips), loaded, ends=True)
    found = score(unpaced, strips)
    on, off = found["on_found"] / found["on"], found["off_found"] / found["off"]
    memory = unpaced.memory_kib[len(unpaced.memory_kib) // 4 :]
    rows_per_s = float(str(unpaced.summary["rows_per_s"]))

    def try_at(rate: float, long_s: float) -> tuple[Outcome, float]:
        return paced(folder, loaded, rate, long_s)

    rate, held, tried = fastest(try_at, rows_per_s, seconds)
    live = score(held, round(rate * 3 * seconds / STRIP)) if held is not None else None
    flood = flooding(rate, rows_per_s)
    flooded, _ = paced(folder, loaded, flood, min(seconds, 5.0))
    lost_m = float(str(flooded.summary["rows_lost"])) / ROWS_PER_MM / 1000
    allowed, refused = allowance(wiring, loaded, seconds)
    checked, _ = paced(folder, loaded, allowed * ROWS_PER_MM * 1000 / 60, seconds)
    bars = [
        at_least("recall off seams", off, 0.99),
        at_most("recall off seams - recall on seams", off - on, 0.01),
        exactly("defects told twice", found["double"], 0),
        exactly("defects told where there are none", found["false"], 0),
        at_most("growth of memory, MiB", (memory[-1] - memory[0]) / 1024, 8.0),
        at_least("sustained speed without a lost row, m/min", m_min(rate), 1.0),
        exactly(
            "rows lost at the speed that check allows", int(str(checked.summary["rows_lost"])), 0
        ),
        exactly("check refuses a line 1 % faster", int(refused), 1),
    ]
    if live is not None:
        seen = (live["on_found"] + live["off_found"]) / (live["on"] + live["off"])
        bars.append(at_least("recall of the sustained run", seen, 0.99))
        bars.append(exactly("told twice in the sustained run", live["double"], 0))
    bars.append(at_most("metres lost and not undecided", abs(lost_m - flooded.blind_m), 1e-4))
    return bars, {
        "web": {"width_px": WIDTH, "mm_per_px": MM_PER_PX, "strip_rows": STRIP},
        "defects": {"size_px": SIZE_PX, "per_m": PER_STRIP * 1000 * ROWS_PER_MM / STRIP, **found},
        "recall": {"on_seams": round(on, 5), "off_seams": round(off, 5)},
        "unpaced": unpaced.summary,
        "unpaced_cpu_s_per_1000_rows": round(unpaced.cpu_s / strips / STRIP * 1000, 4),
        "sustained_cpu_s_per_s": round(held.cpu_s / 3 / seconds, 2) if held is not None else None,
        "sustained": {"m_min": round(m_min(rate), 1), "rows_per_s": round(rate, 1), "found": live},
        "tried_m_min_seconds_rows_lost_source": tried,
        "check_allows_m_min": round(allowed, 1),
        "too_fast": {"m_min": round(m_min(flood), 1), "lost_m": round(lost_m, 3)},
    }


def allowance(wiring: settings.Settings, loaded: Loaded, seconds: float) -> tuple[float, bool]:
    """Speed that `web --measure` writes here, and whether `check` refuses one that is faster."""
    strips = [Frame("line", n, 0.0, web().strip(n)) for n in range(4)]
    rows_per_s, _ = throughput(loaded, strips, MM_PER_PX, seconds)
    allowed = m_min(rows_per_s) * MARGIN
    speed.write(wiring, wiring.recipe[0], rows_per_s, allowed, WIDTH)
    asked = loaded.recipe.web
    if asked is None:
        return allowed, False
    slower = msgspec.structs.replace(asked, speed_m_min=allowed * 0.99)
    speed.fits(wiring, wiring.recipe[0], slower)
    try:
        faster = msgspec.structs.replace(asked, speed_m_min=allowed * 1.01)
        speed.fits(wiring, wiring.recipe[0], faster)
    except SettingsError:
        return allowed, True
    return allowed, False


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="bench.web", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--strips", type=int, default=1400, help="of the unpaced part")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each speed tried")
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--rows-per-s", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.source is not None:
        return be_the_source(args.source, args.strips, args.rows_per_s)
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        bars, figures = measure(Path(folder), args.strips, args.seconds)
    return finish("web", bars, figures, args.json)


if __name__ == "__main__":
    sys.exit(main())
