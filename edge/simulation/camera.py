"""The simulated line's camera: plates drawn ahead of time, pictures at the instant of exposure.

    plate enters  --> drawn from its seed in a thread, ready long before its picture
    camera fires  --> the plates where they are then --> 5 ms transfer --> shared memory

The line never waits for a picture: it hands over places and times and goes on.
"""

import logging
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.simulation.belt import Exposure
from edge.simulation.summary import PlatePlan
from edge.vision.lens import FRAME_PX, Optics, expose, truth_boxes
from edge.vision.marks import MM_PER_PX
from edge.vision.plates import Plate, make_plate
from edge.vision.shared_memory import SharedMemoryWriter

_log = logging.getLogger(__name__)

EXPOSURE_S = 0.0005
"""Shutter time: the belt's way in it is the motion blur."""

TRANSFER_S = 0.005
"""Exposure to the picture in the computer's memory."""

_SMALL = (0.4, 0.9)  # sizes of defects nobody is held responsible for, in minimum sizes
_KEPT = 64  # plates remembered
_WAIT_S = 2.0  # for a plate that is still being drawn


@dataclass(frozen=True, slots=True)
class Seen:
    """The truth of one plate in a frame: defects with boxes in its pixels."""

    plate: int
    x_mm: float
    defects: tuple[dict[str, object], ...]


def optics_at(
    set_points: Mapping[str, float], drift: Mapping[str, float], plates: int, speed_mm_s: float
) -> Optics:
    """Lamp, lens and sensor after so many plates.

    Args:
        set_points: of the words lamp, defocus, dirt, noise and shift, where not the default.
        drift: change per plate of the same words.
    """
    now = Optics()
    start = {
        "lamp": now.lamp,
        "defocus": now.defocus_px,
        "dirt": now.dirt,
        "noise": now.noise,
        "shift": now.shift_px,
        **set_points,
    }
    value = {word: start[word] + drift.get(word, 0.0) * plates for word in start}
    return Optics(
        lamp=max(0.0, value["lamp"]),
        defocus_px=max(0.0, value["defocus"]),
        noise=max(0.0, value["noise"]),
        dirt=min(max(0.0, value["dirt"]), 1.0),
        blur_px=abs(speed_mm_s) * EXPOSURE_S / MM_PER_PX,
        shift_px=value["shift"],
    )


def draw(plan: PlatePlan) -> Plate:
    """The plate as planned; by default no defect is below the minimum size."""
    if plan.small:
        return make_plate(plan.seed, plan.labels, sizes=_SMALL)
    return make_plate(plan.seed, plan.labels)


class SimulatedCamera:
    """Two threads from creation to `close`: one draws plates, one takes pictures."""

    def __init__(self, path: Path, seed: int) -> None:
        """Open the shared memory at `path`.

        Raises:
            CameraError: another writer lives there, or it cannot be made.
        """
        self._writer = SharedMemoryWriter(path, FRAME_PX, FRAME_PX, 1)
        self.frames = 0
        self.late = 0  # pictures that came more than twice the transfer time after the exposure
        self.seen: queue.SimpleQueue[Seen] = queue.SimpleQueue()
        self._seed = seed
        self._plans: queue.SimpleQueue[PlatePlan | None] = queue.SimpleQueue()
        self._shots: queue.SimpleQueue[tuple[Exposure, Optics, bool] | None] = queue.SimpleQueue()
        self._drawn: dict[int, tuple[Plate, float]] = {}
        self._ready = threading.Condition()
        self._threads = [
            threading.Thread(target=self._draw, name="simulated plates", daemon=True),
            threading.Thread(target=self._take, name="simulated camera", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def prepare(self, plan: PlatePlan) -> None:
        """A plate has entered: draw it."""
        self._plans.put(plan)

    def fire(self, exposure: Exposure, optics: Optics, frozen: bool = False) -> None:
        """Take this picture; `frozen`: the one before once more, as a camera that hangs does."""
        self._shots.put((exposure, optics, frozen))

    def close(self) -> None:
        """End both threads and remove the shared memory; safe to call twice."""
        self._plans.put(None)
        self._shots.put(None)
        for thread in self._threads:
            thread.join(timeout=5)
        self._writer.close()

    def _draw(self) -> None:
        while (plan := self._plans.get()) is not None:
            plate = draw(plan)
            with self._ready:
                self._drawn[plan.plate] = plate, plan.y_mm
                self._drawn.pop(plan.plate - _KEPT, None)
                self._ready.notify_all()

    def _take(self) -> None:
        _warm_up()
        image = None
        while (shot := self._shots.get()) is not None:
            exposure, optics, frozen = shot
            if image is None or not frozen:
                image = self._picture(exposure, optics)
            left_s = exposure.at_s + TRANSFER_S - time.monotonic()
            if left_s > 0:
                threading.Event().wait(left_s)
            self._writer.write(image, exposure.at_s, exposure.count)
            self.frames += 1
            self.late += left_s < -TRANSFER_S

    def _picture(self, exposure: Exposure, optics: Optics) -> npt.NDArray[np.uint8]:
        placed = []
        for number, x_mm in exposure.placed:
            found = self._plate(number)
            if found is None:
                _log.error("plate %d was not drawn in time; the picture lacks it", number)
                continue
            plate, y_mm = found
            placed.append((plate, x_mm, y_mm))
            self.seen.put(Seen(number, x_mm, _truth(plate, x_mm, y_mm, optics)))
        rng = np.random.default_rng((self._seed, exposure.count, 33))
        return expose(placed, optics, rng)

    def _plate(self, number: int) -> tuple[Plate, float] | None:
        with self._ready:
            self._ready.wait_for(lambda: number in self._drawn, timeout=_WAIT_S)
            return self._drawn.get(number)


def _warm_up() -> None:
    """The first picture draws lamp, glass and belt (150 ms): not while a part is waiting."""
    plate = make_plate(0)
    for _ in range(2):
        expose([(plate, 0.0, 0.0)], Optics(), np.random.default_rng(0))


def _truth(plate: Plate, x_mm: float, y_mm: float, optics: Optics) -> tuple[dict[str, object], ...]:
    return tuple(
        {
            "label": defect.label,
            "box": [round(v, 1) for v in defect.box],
            "size_mm": round(defect.size_mm, 2),
        }
        for defect in truth_boxes(plate, x_mm, y_mm, optics.shift_px)
    )
