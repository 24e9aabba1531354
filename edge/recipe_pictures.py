"""The pictures that a recipe names: those that prove its model, and those that its views are like.

They are held to the same rule as models: as pinned, or run only --unsigned. Who may change a golden
picture may let a blind model pass, and a reference decides what is sharp and in place.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge import pins
from edge.limits import Golden
from edge.recipe import Recipe
from edge.vision.reference import Reference

Proof = tuple[Golden, npt.NDArray[np.uint8]]
"""A golden picture with what is expected of it."""


def golden(recipe: Recipe, folder: Path, unsigned: bool) -> tuple[tuple[Proof, ...], bool]:
    """Every golden picture, and whether all of them are pinned.

    Args:
        folder: of the recipe; files are named from there.
        unsigned: whether a file without a pin may run.

    Raises:
        ImageError: one cannot be read, or is no picture.
        ModelError: one is not as pinned, or has no pin and needs one.
    """
    read = [(g, pins.picture(folder / g.picture, g.sha256, unsigned)) for g in recipe.golden]
    return tuple((g, image) for g, (image, _) in read), all(pinned for _, (_, pinned) in read)


def references(recipe: Recipe, folder: Path, unsigned: bool) -> tuple[dict[str, Reference], bool]:
    """The reference of each view that has one, by camera, and whether all of them are pinned.

    Raises:
        ImageError, ModelError: as `golden`.
    """
    found, all_pinned = {}, True
    for view in recipe.views:
        if view.reference is not None:
            path = folder / view.reference
            image, pinned = pins.picture(path, view.reference_sha256, unsigned)
            found[view.camera] = Reference(image)
            all_pinned = all_pinned and pinned
    return found, all_pinned


def loose(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Every file that the recipe names without a pin: the key that is missing, and the file."""
    for golden in recipe.golden:
        if golden.sha256 is None:
            yield "[[golden]] sha256", golden.picture
    for view in recipe.views:
        if view.reference is not None and view.reference_sha256 is None:
            yield f"[[view]] {view.camera}: reference_sha256", view.reference
    for template in recipe.templates:
        if not template.sha256:
            yield from (("[[template]] sha256", name) for name in template.pictures)
    for anomaly in recipe.anomalies:
        if anomaly.sha256 is None:
            yield "[[anomaly]] sha256", anomaly.file
    if recipe.web is not None and recipe.web.flat_field and recipe.web.flat_field_sha256 is None:
        yield "[web] flat_field_sha256", recipe.web.flat_field
