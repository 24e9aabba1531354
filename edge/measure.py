"""`quanjian-edge check --measure`: how long inference and commit take here, at the line's pace, and
how late the thread of a bus is beside them.

    station   a part each takt, all stations at once, as on the line: every view through the image
              check, the detector and its recipe, then the open row into a ledger of its own beside
              the node's
    closing   closes the row, encodes the part's pictures, writes them and thumbnails, as the node

Kept in data_dir as timetable.json; a later check believes it for what it was measured for only
(edge/measured.py). It holds the lock of the node's ledger: a node would be measured as well.
"""

import contextlib
import math
import os
import queue
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge import judgement, measured, settings
from edge.errors import CameraError, EdgeError, LedgerError
from edge.ledger.disk import Lock
from edge.mqtt.message import EpochRow, PartRow, View
from edge.outbox import Outbox
from edge.pictures import PictureStore
from edge.plc.lateness import Lateness
from edge.release import Loaded, load_all
from edge.rows import Rows
from edge.settings import Settings
from edge.terms import Code, Mode, Reason, Verdict
from edge.vision import annotate
from edge.vision.connection import open_camera
from edge.vision.quality import ImageCheck

Picture = npt.NDArray[np.uint8]
Say = Callable[[str], None]

FRAMES = 10  # of each camera, of which the slowest counts
FRAMES_S = 3.0  # they must come within this
PICTURES_MB = 500  # of what is written meanwhile; the oldest go
TOLD_S = 10.0
PERCENTILE = 99.9
_SHAPE = (1080, 1920, 3)


def measure(wiring: Settings, unsigned: bool, seconds: float, say: Say) -> measured.Kept:
    """Measure and keep the figures.

    Raises:
        EdgeError: the node runs, no recipe runs, the disk does not take the rows, or the file
            cannot be written.
    """
    with _alone(Path(wiring.node.data_dir)):
        loaded, failed = load_all(
            wiring.recipe, wiring.runtime, unsigned, wiring.scales, wiring.lit
        )
        if not loaded:  # a recipe that fails beside others is told where it is tried
            raise failed[0]
        frames_s = dict(_frames(wiring, say))
        with _scratch(Path(wiring.node.data_dir)) as folder, _buses(wiring) as late:
            lines = _run(folder, list(loaded.values()), wiring, seconds, say)
    kept = measured.Kept(
        measured.here(wiring),
        seconds,
        {line.station.name: line.figures() for line in lines},
        {name: round(took_s * 1000, 2) for name, took_s in frames_s.items()},
        {name: round(1000 * bus.longest_s, 2) for name, bus in late.items()},
    )
    measured.write(wiring, kept)
    return kept


def _run(
    folder: Path, recipes: Sequence[Loaded], wiring: Settings, seconds: float, say: Say
) -> list["_Line"]:
    """Every station's parts for so long."""
    ledger = Outbox(folder / "ledger.db")
    store = PictureStore(folder / "pictures", ledger, PICTURES_MB)
    lines = [_Line(station, wiring, recipes, ledger, store) for station in wiring.station]
    try:
        paces = ", ".join(f"{s.max_rate_per_s:g} parts/s at {s.name}" for s in wiring.station)
        say(f"{seconds:g} s with pictures being written, {paces}")
        began_s = time.monotonic()
        for line in lines:
            line.start(began_s + seconds)
        while any(line.running for line in lines):
            _wait(lines, TOLD_S)
            gone_s = time.monotonic() - began_s
            if gone_s < seconds:
                say(f"{gone_s:.0f} of {seconds:g} s, {_so_far(lines)}")
        for line in lines:
            line.raise_fault()
    finally:
        for line in lines:
            line.close()
        ledger.close()
    return lines


def _wait(lines: Sequence["_Line"], seconds: float) -> None:
    """Until all have ended, at the most so long."""
    until_s = time.monotonic() + seconds
    for line in lines:
        line.join(max(0.0, until_s - time.monotonic()))


def _so_far(lines: Sequence["_Line"]) -> str:
    longest_ms = [
        1000 * max((took_s for line in lines for took_s in getattr(line, name)), default=0.0)
        for name in ("inferences_s", "commits_s")
    ]
    parts = sum(len(line.commits_s) for line in lines)
    return "{} parts; the longest: inference {:.1f} ms, commit {:.1f} ms".format(parts, *longest_ms)


class _Line:
    """The parts of one station, in a thread of its own, as its judge thread has them."""

    def __init__(
        self,
        station: settings.Station,
        wiring: Settings,
        recipes: Sequence[Loaded],
        ledger: Outbox,
        store: PictureStore,
    ) -> None:
        self.station = station
        self.inferences_s: list[float] = []
        self.commits_s: list[float] = []
        self._recipes, self._ledger = recipes, ledger
        self._closing = _Closing(ledger, store)
        workers = min(wiring.runtime.workers, len(station.cameras))
        self._crew = ThreadPoolExecutor(workers, f"measure {station.name} view")
        self._fault: EdgeError | None = None
        self._stop = threading.Event()
        self._until_s = 0.0
        name = f"measure {station.name}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self, until_s: float) -> None:
        """Let parts come until then (monotonic)."""
        self._until_s = until_s
        self._closing.start()
        self._thread.start()

    @property
    def running(self) -> bool:
        """Do parts still come?"""
        return self._thread.is_alive()

    def join(self, seconds: float) -> None:
        """Wait for the last part, at the most so long."""
        self._thread.join(seconds)

    def raise_fault(self) -> None:
        """What ended it early."""
        if self._fault is not None:
            raise self._fault

    def close(self) -> None:
        """Stop; safe to call twice."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(30)
        self._closing.close()
        self._crew.shutdown()

    def figures(self) -> measured.Figures:
        """What it came to."""
        both_s = [sum(two) for two in zip(self.inferences_s, self.commits_s, strict=True)]
        return measured.Figures(
            len(both_s),
            _high_ms(self.inferences_s),
            _high_ms(self.commits_s),
            _median_ms(self.inferences_s),
            _median_ms(self.commits_s),
            round(1000 * statistics.fmean(both_s), 2),
        )

    def _run(self) -> None:
        began_s, number = time.monotonic(), 0
        try:
            self._ledger.append(_epoch(self.station.name))
            while time.monotonic() < self._until_s and not self._stop.is_set():
                number += 1
                self._part(self._recipes[number % len(self._recipes)], number)
                self._closing.raise_fault()
                due_s = min(began_s + number * self.station.takt_s, self._until_s)
                self._stop.wait(max(0.0, due_s - time.monotonic()))
        except EdgeError as wrong:
            self._fault = wrong

    def _part(self, loaded: Loaded, number: int) -> None:
        """One part through the detector and into the ledger."""
        pictures = _views(loaded, self.station.cameras)
        views = [(camera, marked(picture, number)) for camera, picture in pictures]
        began_s = time.monotonic()
        verdicts = list(self._crew.map(lambda view: _judged(loaded, *view), views))
        judged_s = time.monotonic()
        row = _row(self.station.name, number, loaded, verdicts)
        self._ledger.open(row)
        committed_s = time.monotonic()
        self.inferences_s.append(judged_s - began_s)
        self.commits_s.append(committed_s - judged_s)
        self._closing.put(row, [picture for _, picture in views])


def _views(loaded: Loaded, cameras: Sequence[str]) -> list[tuple[str, Picture]]:
    """A picture for each camera: a golden one of it, else any golden one, else noise."""
    golden = [(picture.camera, image) for picture, image in loaded.golden]
    noise = np.random.default_rng(1).integers(0, 255, _SHAPE, np.uint8) if not golden else None
    found = []
    for camera in cameras:
        own = [image for name, image in golden if name in (None, camera)]
        found.append((camera, own[0] if own else golden[0][1] if golden else noise))
    return [(camera, image) for camera, image in found if image is not None]


def marked(picture: Picture, number: int) -> Picture:
    """The picture of another part: a store writes the same picture once only."""
    other = picture.copy()
    other[:16, :16], other[:16, 16:32] = number % 251, number // 251 % 251
    return other


def _judged(loaded: Loaded, camera: str, picture: Picture) -> Verdict:
    """As an eye does; a picture that the check refuses is judged all the same, for the time."""
    reference = loaded.references.get(camera)
    ImageCheck().fault(picture, loaded.recipe.image, reference=reference)
    try:
        found = loaded.detector.seen_by(camera).detect(picture, loaded.scales.get(camera))
    except EdgeError:
        return Verdict(Code.UNDECIDED, Reason.BAD_IMAGE)
    return judgement.judge(found, loaded.recipe, camera)


def _row(station: str, number: int, loaded: Loaded, verdicts: Sequence[Verdict]) -> PartRow:
    """NG, so that every part's pictures are written."""
    views = tuple(View(camera=f"c{place}", code=Code.NG) for place, _ in enumerate(verdicts))
    return PartRow(
        **Rows(station).stamp(1),
        number=number,
        code=Code.NG,
        computed=Code.NG,
        mode=Mode.AUTO,
        recipe=loaded.recipe.name,
        trust=loaded.trust,
        views=views,
    )


def _epoch(station: str) -> EpochRow:
    stamped = Rows(station).stamp(1)
    return EpochRow(**stamped, base=0, plc_start=0, cause="first_contact", counted_by="plc")


class _Closing:
    """What a node does after the PLC's echo, in a thread of its own."""

    def __init__(self, ledger: Outbox, store: PictureStore) -> None:
        self._ledger, self._store = ledger, store
        self._fault: EdgeError | None = None
        self._parts: queue.Queue[tuple[PartRow, list[Picture]] | None] = queue.Queue(8)
        self._thread = threading.Thread(target=self._run, name="measure closing", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, row: PartRow, pictures: list[Picture]) -> None:
        """Waits while the disk is behind: a node would let pictures go."""
        self._parts.put((row, pictures))

    def raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault

    def close(self) -> None:
        if self._thread.ident is not None:
            self._parts.put(None)
            self._thread.join(30)

    def _run(self) -> None:
        while (part := self._parts.get()) is not None:
            try:
                self._close(*part)
            except EdgeError as wrong:
                self._fault = self._fault or wrong

    def _close(self, row: PartRow, pictures: list[Picture]) -> None:
        self._ledger.close_part(row.station, row.epoch, row.number, Code.NG, None, 1)
        for picture in pictures:
            self._store.put(annotate.jpeg(picture), "not_ok")
            self._store.put(annotate.thumbnail(picture, ()), "thumbnail")
        self._store.make_room()
        self._ledger.acknowledge(self._ledger.head)


def _frames(wiring: Settings, say: Say) -> Iterator[tuple[str, float]]:
    """Exposure to arrival of each camera that gives pictures now, the slowest of a few; s."""
    triggers = {name: s.trigger for s in wiring.station for name in s.cameras}
    for camera in wiring.camera:
        try:
            took_s, period_s = _slowest(camera)
        except CameraError as wrong:
            if camera.delay_ms is None:
                say(f"camera {camera.name} gives no picture, its time is not known: {wrong}")
                continue
            took_s, period_s = camera.delay_ms / 1000, 0.0
        took_s = max(took_s, (camera.delay_ms or 0) / 1000)
        yield camera.name, took_s + (period_s if triggers.get(camera.name) == "free_run" else 0.0)


def _slowest(entry: settings.Camera) -> tuple[float, float]:
    """(exposure to arrival, between two exposures), each the longest of a few frames."""
    camera = open_camera(entry)
    took_s: list[float] = []
    exposed_s: list[float] = []
    try:
        deadline_s = time.monotonic() + FRAMES_S
        while len(took_s) < FRAMES and (left_s := deadline_s - time.monotonic()) > 0:
            camera.request()
            frame = camera.read(left_s)
            if frame is not None:
                took_s.append(time.monotonic() - frame.exposed_s)
                exposed_s.append(frame.exposed_s)
    finally:
        camera.close()
    if not took_s:
        raise CameraError(f"no picture within {FRAMES_S:g} s")
    apart_s = [after - before for before, after in pairwise(exposed_s)]
    return max(took_s), max(apart_s, default=0.0)


@contextlib.contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """No node runs here meanwhile.

    Raises:
        LedgerError: one does.
    """
    lock = Lock(data_dir / "ledger.db")
    try:
        lock.take()
    except LedgerError as wrong:
        if not isinstance(wrong.__cause__, BlockingIOError):
            raise
        running = LedgerError(f"{data_dir}: a node runs here, and would be measured as well")
        running.hint = "Stop the node first, such as by `systemctl stop quanjian-edge`."
        raise running from wrong
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _buses(wiring: Settings) -> Iterator[dict[str, Lateness]]:
    """A thread as that of each bus, measured meanwhile."""
    with contextlib.ExitStack() as running:
        yield {
            bus.name: running.enter_context(Lateness(real_time=bus.host is None))
            for bus in wiring.bus
        }


@contextlib.contextmanager
def _scratch(data_dir: Path) -> Iterator[Path]:
    """A folder on the ledger's own disk, gone afterwards."""
    folder = data_dir / f".measure-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as wrong:
        raise LedgerError(f"{folder}: cannot be made: {wrong}") from wrong
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _high_ms(took_s: Sequence[float]) -> float:
    """p99.9 by nearest rank; infinite without any."""
    if not took_s:
        return math.inf
    rank = math.ceil(PERCENTILE / 100 * len(took_s))
    return round(1000 * sorted(took_s)[rank - 1], 2)


def _median_ms(took_s: Sequence[float]) -> float:
    return round(1000 * statistics.median(took_s), 2) if took_s else math.inf
