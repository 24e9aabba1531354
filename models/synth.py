"""Data sets of simulated plates with labels: `quanjian-models synth`.

Every picture is one seed: plate, look-alikes, defects, place on the belt and state of the optics
all come from it, so a data set is its seeds. The optics vary around the live simulator's defaults
with margin.

    DIR/images/{train,val,test}/N.png   512 x 512 mono8
    DIR/labels/{train,val,test}/N.txt   YOLO lines; empty for a good plate
    DIR/data.yaml, DIR/manifest.json    classes; seeds and a sha256 over every picture and label
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import ImageError
from edge.vision.lens import FRAME_PX, Optics, Placed, expose, truth_boxes
from edge.vision.plates import CLASSES, MIN_SIZE_MM, PLATE_MM, PlateDefect, make_plate, plan
from models.labels import Box, write_data_yaml, write_labels

JITTER_MM = 8.0
"""Plates lie this far off the frame's centre at most, in x and y."""

SPLITS = {"train": 0.86, "val": 0.14}
"""Share of a data set in each part; drawn by position, so the seeds of the parts never meet."""


TRAINING_SIZES = (1.1, 2.2)
"""Sizes of the defects to learn from, as multiples of their minimum."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One simulated picture: `image` (512, 512) uint8 and its defects in frame pixels."""

    seed: int
    image: npt.NDArray[np.uint8] = field(repr=False)
    defects: tuple[PlateDefect, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """What to make: `count` pictures from `seed` on, `defect_rate` of the plates defective."""

    count: int
    seed: int
    defect_rate: float = 0.65
    crowded: float = 0.06  # share of pictures in which a second plate touches the first
    sizes: tuple[float, float] = TRAINING_SIZES


def draw_optics(rng: np.random.Generator) -> Optics:
    """A camera a little off the default one, as light and focus differ from day to day."""
    return Optics(
        lamp=float(rng.uniform(0.85, 1.15)),
        defocus_px=float(rng.uniform(0.5, 1.4)),
        noise=float(rng.uniform(1.0, 4.5)),
        dirt=float(rng.uniform(0, 0.15)),
        vignette=float(rng.uniform(0.05, 0.25)),
        blur_px=float(rng.uniform(0, 3.0)),
        shift_px=0.0,
    )


def scene(
    seed: int,
    defect_rate: float,
    *,
    labels: tuple[str, ...] | None = None,
    crowded: float = 0.0,
    sizes: tuple[float, float] = TRAINING_SIZES,
) -> Scene:
    """Draw the picture of a seed; `labels` fixes the plate's defects instead of drawing them."""
    rng = np.random.default_rng((seed, 20))
    wanted = plan(rng, defect_rate) if labels is None else labels
    x, y = (float(v) for v in rng.uniform(-JITTER_MM, JITTER_MM, 2))
    placed: list[Placed] = [(make_plate(2 * seed, wanted, sizes=sizes), x, y)]
    if rng.random() < crowded:
        away = PLATE_MM[0] + float(rng.uniform(0, 8))
        neighbour = make_plate(2 * seed + 1, plan(rng, defect_rate), sizes=sizes)
        placed.append((neighbour, x + (away if rng.random() < 0.5 else -away), y))
    image = expose(placed, draw_optics(rng), rng)
    defects = [d for plate, dx, dy in placed for d in truth_boxes(plate, dx, dy)]
    return Scene(seed, image, tuple(defects))


def boxes(defects: tuple[PlateDefect, ...]) -> list[Box]:
    """Truth as label boxes: class number and (x1, y1, x2, y2) as shares of the frame."""
    return [
        Box(CLASSES.index(d.label), tuple(v / FRAME_PX for v in d.box))  # type: ignore[arg-type]
        for d in defects
    ]


def scenes(order: Order) -> Iterator[tuple[str, Scene]]:
    """Pictures of an order with the part of the data set each belongs to."""
    first_val = round(order.count * SPLITS["train"])
    for index in range(order.count):
        part = "train" if index < first_val else "val"
        seed, rate = order.seed + index, order.defect_rate
        yield part, scene(seed, rate, crowded=order.crowded, sizes=order.sizes)


def synthesise(out: Path, order: Order, progress: Callable[[str], None]) -> dict[str, object]:
    """Write a data set into `out` and return its manifest.

    Raises:
        ImageError: a picture could not be written.
    """
    digest, counts, good = hashlib.sha256(), dict.fromkeys(CLASSES, 0), 0
    for done, (part, shot) in enumerate(scenes(order), 1):
        image = out / "images" / part / f"{shot.seed:07d}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(image), shot.image):
            raise ImageError(f"{image}: could not be written")
        label = write_labels(out / "labels" / part / f"{shot.seed:07d}.txt", boxes(shot.defects))
        digest.update(shot.image.tobytes() + label.encode())
        good += not shot.defects
        for defect in shot.defects:
            counts[defect.label] += 1
        if done % 500 == 0 or done == order.count:
            progress(f"{done} of {order.count} pictures")
    write_data_yaml(out / "data.yaml", {"train": "images/train", "val": "images/val"}, CLASSES)
    manifest: dict[str, object] = {
        "source": "quanjian-models synth",
        **asdict(order),
        "sizes": list(order.sizes),
        "good_pictures": good,
        "defects": counts,
        "min_size_mm": {name: MIN_SIZE_MM[name] for name in CLASSES},
        "sha256": digest.hexdigest(),
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest
