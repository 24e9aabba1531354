"""The second detectors of a recipe, from its [[template]] and [[anomaly]] sections.

Their files are held to the same rule as models: as pinned, or run only --unsigned.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge import pins
from edge.errors import ImageError, ModelError
from edge.limits import TemplateLimits
from edge.recipe import Recipe
from edge.vision import confirm
from edge.vision.anomaly import Anomaly
from edge.vision.detector import Detector
from edge.vision.detectors import Second
from edge.vision.template import Template

OpenModel = Callable[[Path, str | None], Detector]
"""Loads a model's file, with its pin, as this node runs models."""


def seconds(
    recipe: Recipe, folder: Path, unsigned: bool, open_model: OpenModel
) -> tuple[tuple[Second, ...], bool]:
    """Everything a recipe detects with beside its model, and whether all its files are pinned.

    Args:
        recipe: with its sections.
        folder: of the recipe; files are named from there.
        unsigned: whether a file without a pin may run.
        open_model: the node's way of running models.

    Raises:
        ModelError: a file is missing or not as pinned, or cannot be compared with.
    """
    made, pinned = [], True
    for section in recipe.templates:
        hashes = section.sha256 or (None,) * len(section.pictures)
        pictures = []
        for name, pin in zip(section.pictures, hashes, strict=True):
            try:
                image, as_pinned = pins.picture(folder / name, pin, unsigned)
            except ImageError as exc:
                raise ModelError(f"[[template]] {section.label}: {exc}") from exc
            pictures.append(image)
            pinned = pinned and as_pinned
        margin_px = section.margin_px if section.confirms else None
        made.append(Second(section.camera, _template(section, pictures), margin_px))
    for anomaly in recipe.anomalies:
        path = folder / anomaly.file
        pinned = pins.verified(path, anomaly.sha256, unsigned) and pinned
        made.append(Second(anomaly.camera, Anomaly(open_model(path, anomaly.sha256))))
    return tuple(made), pinned


def model_floor(recipe: Recipe) -> float:
    """Lowest score that the model must report: a guess that a difference confirms may be weak."""
    weighed = any(section.confirms for section in recipe.templates)
    return min(recipe.score_floor, confirm.SCORE_FLOOR) if weighed else recipe.score_floor


def _template(section: TemplateLimits, pictures: Sequence[npt.NDArray[np.uint8]]) -> Template:
    try:
        return Template(section, pictures)
    except (ImageError, ModelError) as exc:
        raise ModelError(f"[[template]] {section.label}: {exc}") from exc
