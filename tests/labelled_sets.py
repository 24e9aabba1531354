"""Pictures with marks for tests of data sets."""

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from models.dataset import DataSet, Mark, Picture

LABELS = ("scratch", "pit")
SIDE = (48, 32)  # width, height
QUIET = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def draw(folder: Path, name: str, value: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    image = np.full((SIDE[1], SIDE[0]), value % 256, np.uint8)
    image[0, 0] = value // 256
    assert cv2.imwrite(str(folder / name), image)
    return folder / name


def pictures(folder: Path, marks: list[list[Mark]], **keys: Any) -> DataSet:
    """A set whose pictures have these marks, three lots."""
    made = [
        Picture(
            draw(folder, f"p{n}.png", n + 1), *SIDE, tuple(one), f"part{n}", f"lot{n % 3}", "train"
        )
        for n, one in enumerate(marks)
    ]
    made = [dataclasses.replace(picture, **keys) for picture in made]
    return DataSet(LABELS, tuple(made))


def box(draw_: Any) -> Mark:
    width, height = SIDE
    x1 = draw_(st.integers(0, width - 2))
    y1 = draw_(st.integers(0, height - 2))
    x2, y2 = draw_(st.integers(x1 + 1, width)), draw_(st.integers(y1 + 1, height))
    return Mark(draw_(st.sampled_from(LABELS)), (float(x1), float(y1), float(x2), float(y2)))


marks_of_pictures = st.lists(st.lists(st.composite(box)(), max_size=3), min_size=1, max_size=5)


def fresh(folder: Path) -> Path:
    """A folder of its own for each example."""
    return folder / f"n{len(list(folder.iterdir())) if folder.exists() else 0}"
