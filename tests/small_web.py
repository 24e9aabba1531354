"""A narrow simulated web with known defects, and the files of a node that inspects it."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

WIDTH = 1300
STRIP = 100
ROWS_PER_MM = 10.0

RECIPE = """
name = "foil"
[web]
camera = "line"
rows_per_mm = 10.0
overlap_mm = 3.2
interval_mm = 20.0
speed_m_min = 5.0
{web}
[spots]
contrast = 20
smallest_px = 8
largest_px = 32
[[class]]
label = "dark_spot"
threshold = 0.5
[[class]]
label = "bright_spot"
threshold = 0.5
{more}
"""

WIRING = """
[node]
plant = "p"
line = "l"
name = "n"
data_dir = "data"
[[bus]]
name = "b"
port = "none"
[[camera]]
name = "line"
kind = "{kind}"
source = "{source}"
mm_per_px = {mm_per_px}
[[recipe]]
number = 3
path = "foil.toml"
[[station]]
name = "s"
bus = "b"
trigger = "free_run"
cameras = ["line"]
"""


@dataclass(frozen=True)
class Defect:
    """Centre of an 8 px defect, px and rows of the web."""

    x: int
    row: int


def seams() -> list[Defect]:
    """On the border of two strips, of two tiles, of both, and on neither; none near another."""
    tile = 1024
    return [
        Defect(300, 100),
        Defect(301, 197),
        Defect(tile, 350),
        Defect(WIDTH - tile, 451),
        Defect(tile, 500),
        Defect(WIDTH - tile, 603),
        Defect(640, 660),
        Defect(6, 750),
        Defect(WIDTH - 7, 800),
    ]


def web(rows: int, defects: list[Defect]) -> Image:
    """Grey material with the noise of a sensor and these defects."""
    noise = np.random.default_rng(3).normal(128, 3, (rows, WIDTH))
    image = np.clip(noise, 0, 255).astype(np.uint8)
    for one in defects:
        cv2.circle(image, (one.x, one.row), 4, 80, -1)
    return image


def write_strips(folder: Path, image: Image) -> None:
    """The web as pictures of STRIP rows."""
    folder.mkdir()
    for number, row in enumerate(range(0, image.shape[0], STRIP)):
        cv2.imwrite(str(folder / f"{number:04}.png"), image[row : row + STRIP])


def write_node(
    folder: Path,
    *,
    kind: str = "folder",
    source: str = "strips",
    mm_per_px: float = 0.1,
    web_keys: str = "",
    more: str = "",
) -> Path:
    """edge.toml and its recipe; the path of edge.toml."""
    (folder / "foil.toml").write_text(RECIPE.format(web=web_keys, more=more), encoding="utf-8")
    wiring = WIRING.format(kind=kind, source=source, mm_per_px=mm_per_px)
    (folder / "edge.toml").write_text(wiring, encoding="utf-8")
    return folder / "edge.toml"


def told(stdout: str) -> dict[str, list[dict[str, object]]]:
    """JSON lines by their kind."""
    found: dict[str, list[dict[str, object]]] = {}
    for line in stdout.splitlines():
        one = json.loads(line)
        found.setdefault(one["kind"], []).append(one)
    return found
