"""What looks at a picture, put together from the recipe: model, spots, and either in tiles.

no [tiles], no [spots]      the model on the whole picture
[tiles]                     the model tile by tile
[spots] role = "detector"   spots tile by tile, no model
[spots] role = "screen"     the model, only on the tiles that have a spot in them
"""

import os
from pathlib import Path

from edge import comparisons, pins
from edge.errors import ModelError
from edge.limits import Spots, Tiles
from edge.recipe import Recipe
from edge.vision import flat
from edge.vision.detector import Detector
from edge.vision.flat import Flattener
from edge.vision.spots import SpotDetector
from edge.vision.tiled import Sees, Tiled
from edge.vision.tiling import Polygon


def workers(threads: int) -> int:
    """How many tiles are looked at at the same time, where one inference takes so many threads.

    Args:
        threads: as [runtime] says; 0 = cores less one.
    """
    cores = len(os.sched_getaffinity(0))
    return max(1, cores // (threads or max(1, cores - 1)))


def assemble(
    recipe: Recipe,
    model: Detector | None,
    *,
    workers: int = 1,
    prepare: Flattener | None = None,
) -> Sees:
    """The detector of this recipe.

    Args:
        recipe: its [tiles], [spots] and zones decide.
        model: as edge.toml names it, if it does.
        workers: tiles looked at at the same time.
        prepare: see Tiled.

    Raises:
        ModelError: the recipe needs a model and there is none, or has no use for the one there is.
    """
    if recipe.spots is not None and recipe.spots.role == "detector":
        if model is not None:
            raise ModelError(f"{model.path}: of no use: the recipe's [spots] are the detector")
        return _spots(recipe, recipe.spots, hidden(recipe), prepare)
    if model is None:
        raise ModelError('no model; only a recipe with [spots] role = "detector" needs none')
    asked = comparisons.model_floor(recipe)
    if asked < model.lowest_score:
        raise ModelError(
            f"{model.path}: its own NMS drops scores below {model.lowest_score:g}, the recipe "
            f"needs them from {asked:g} on: export the raw head"
        )
    if recipe.tiles is None:
        return model
    return Tiled(
        model,
        recipe.tiles,
        hidden=hidden(recipe),
        screen=None if recipe.spots is None else _spots(recipe, recipe.spots, (), prepare),
        prepare=prepare,
        workers=workers,
    )


def flattened(recipe: Recipe, folder: Path, unsigned: bool) -> tuple[Flattener | None, bool]:
    """The flat-field correction that a web's recipe asks for, and whether it is pinned.

    Args:
        recipe: its [web] names the file.
        folder: where the file's name starts.
        unsigned: whether a file without a pin may run.

    Raises:
        ModelError: the file is missing or not as pinned.
        SettingsError: it is no flat field.
    """
    if recipe.web is None or recipe.web.flat_field is None:
        return None, True
    path = folder / recipe.web.flat_field
    content, pinned = pins.read(path, recipe.web.flat_field_sha256, unsigned)
    return Flattener(flat.parse(content, str(path))), pinned


def hidden(recipe: Recipe) -> tuple[Polygon, ...]:
    """Masks that hide everything in every view: only they let a whole tile be left out.

    None on a web: a zone counts from the start of an interval, a tile from that of a strip. None
    beside a forbidden zone, which may reach into a mask, and there it comes first.
    """
    if recipe.web is not None or any(zone.kind == "forbidden" for zone in recipe.zones):
        return ()
    return tuple(
        zone.polygon
        for zone in recipe.zones
        if zone.kind == "ignored" and zone.camera is None and not zone.labels
    )


def _spots(
    recipe: Recipe,
    limits: Spots,
    masks: tuple[Polygon, ...],
    prepare: Flattener | None,
) -> Tiled:
    """The spot detector in tiles of its own size, one core each."""
    wanted = recipe.tiles.overlap_px if recipe.tiles is not None else None
    tiles = Tiles(overlap_px=max(wanted or 0, limits.largest_px))
    cores = len(os.sched_getaffinity(0))
    return Tiled(SpotDetector(limits), tiles, hidden=masks, prepare=prepare, workers=cores)
