"""The demo recipe beside the demo model: limits from the card, golden pictures from fixed seeds.

OUT/plate.toml            what `quanjian-edge run` judges by
OUT/golden/NAME.png       one plate per class and one good plate with every look-alike
"""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np

from edge.errors import ImageError, ModelError
from edge.vision.lens import Optics, expose
from edge.vision.plates import CLASSES, NUISANCES, make_plate

GOLDEN_SEED = 900_000
"""Seeds from here on belong to golden pictures: never trained on, never in a bench."""

_HEAD = """\
# The recipe of the simulated plate, made by `quanjian-models recipe` from {card}.
name = "demo-plate"
product = "模拟加工板 90 x 72 mm"

[motion]
blur_px = 3.0  # as much as the model has seen in training
"""


def write_recipe(card: Path, out: Path) -> dict[str, object]:
    """Write recipe and golden pictures; returns what was written.

    Raises:
        ModelError: the card cannot be read, or names no threshold for a class.
        ImageError: a picture cannot be written.
    """
    try:
        told = json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError) as wrong:
        raise ModelError(f"{card}: cannot be read as JSON: {wrong}") from wrong
    try:
        known = {one["code"]: str(one["zh"]) for one in told["classes"]}
        names = {label: known[label] for label in CLASSES}
        limits = {label: float(told["thresholds"][label]) for label in CLASSES}
    except (ValueError, KeyError, TypeError) as wrong:
        raise ModelError(
            f"{card}: no model card: expected `classes` with `code` and `zh`, and `thresholds`, "
            f"for each of {', '.join(CLASSES)}"
        ) from wrong
    pictures = {"ok": _draw(GOLDEN_SEED, ())}
    for place, label in enumerate(CLASSES, 1):
        pictures[label] = _draw(GOLDEN_SEED + place, (label,))
    pins = {name: _save(out / "golden" / f"{name}.png", one) for name, one in pictures.items()}
    text = _HEAD.format(card=card.name)
    text += "".join(
        f'\n[[class]]\nlabel = "{label}"\nname = "{names[label]}"\nthreshold = {limit}\n'
        for label, limit in limits.items()
    )
    text += "".join(
        f'\n[[golden]]\npicture = "golden/{name}.png"\nsha256 = "{pin}"\n'
        f'expect = "{_expected(name)}"\n'
        for name, pin in pins.items()
    )
    (out / "plate.toml").write_text(text, encoding="utf-8")
    return {"recipe": str(out / "plate.toml"), "golden": sorted(pictures)}


def _draw(seed: int, defects: tuple[str, ...]) -> np.ndarray:
    """A plate under a healthy camera: defects at 1.5 times their minimum, else every look-alike."""
    nuisances = () if defects else NUISANCES
    plate = make_plate(seed, defects, nuisances=nuisances, sizes=(1.5, 1.5))
    return expose([(plate, 0.0, 0.0)], Optics(), np.random.default_rng(seed))


def _expected(name: str) -> str:
    return "ok" if name == "ok" else "ng"


def _save(path: Path, picture: np.ndarray) -> str:
    """Write it; returns its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    good, png = cv2.imencode(".png", picture)
    if not good:
        raise ImageError(f"{path}: cannot be encoded as PNG")
    path.write_bytes(png.tobytes())
    return hashlib.sha256(png.tobytes()).hexdigest()
