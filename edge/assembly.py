"""All that a recipe detects with, put together: its model, tiles or spots, and second detectors."""

from pathlib import Path

from edge import comparisons, sight
from edge.comparisons import OpenModel
from edge.recipe import Recipe
from edge.vision.detector import Detector
from edge.vision.detectors import Detectors


def assembled(
    recipe: Recipe,
    folder: Path,
    model: Detector | None,
    open_model: OpenModel,
    *,
    unsigned: bool,
    workers: int = 1,
) -> tuple[Detectors, bool]:
    """The recipe's detectors as one, and whether every file that it names for them is pinned.

    Args:
        folder: of the recipe; files are named from there.
        model: its own, with a floor that fits it; None where its [spots] are the detector.
        open_model: loads an anomaly model.
        unsigned: whether a file without a pin may run.
        workers: tiles looked at at the same time.

    Raises:
        ModelError: recipe and model do not go together, or a file cannot be used or is not as
            pinned.
        SettingsError: the recipe's flat field is none.
    """
    prepare, flat_pinned = sight.flattened(recipe, folder, unsigned)
    sees = sight.assemble(recipe, model, workers=workers, prepare=prepare)
    seconds, seconds_pinned = comparisons.seconds(recipe, folder, unsigned, open_model)
    return Detectors(sees, seconds), flat_pinned and seconds_pinned
