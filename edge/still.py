"""Pictures judged by themselves, without a line: for inspect, explain and replay."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge import comparisons, judgement, recipe_pictures
from edge import recipe as recipes
from edge.assembly import assembled
from edge.errors import EdgeError, ImageError, SettingsError
from edge.judgement import Finding
from edge.recipe import Recipe
from edge.terms import Code, Detection, Reason, Verdict
from edge.vision.detector import Detector
from edge.vision.detectors import Detectors
from edge.vision.quality import ImageCheck
from edge.vision.reference import Reference
from edge.vision.tiled import Sees


@dataclass(frozen=True, slots=True)
class Still:
    """What came of one picture."""

    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    fault: str | None = None  # in words, where it could not be judged

    @property
    def detections(self) -> tuple[Detection, ...]:
        """What was found, in the order of the findings."""
        return tuple(finding.detection for finding in self.findings)


class Stills:
    """A recipe with its detector and its references, put together as on the line."""

    def __init__(self, recipe: Path, model: Path | None) -> None:
        """Load them; nothing needs a pin here, but what has one must be so.

        Raises:
            SettingsError: mistakes in the recipe, or it does not fit the model.
            ModelError: the model cannot be used, or a file is not as pinned.
            ImageError: a reference picture cannot be used.
        """
        self.recipe = recipes.read(recipe)
        loaded = Detector(model) if model is not None else None
        self.detector = assemble(self.recipe, recipe.parent, loaded)
        problems = recipes.check_labels(self.recipe, self.detector.labels)
        if problems:
            raise SettingsError(str(recipe), problems)
        self._references, _pinned = recipe_pictures.references(self.recipe, recipe.parent, True)

    def judge(
        self,
        image: npt.NDArray[np.uint8],
        camera: str | None = None,
        mm_per_px: float | None = None,
    ) -> Still:
        """As `judge_still`, with the reference of the camera's view."""
        reference = self._references.get(camera) if camera is not None else None
        looking = self.detector.seen_by(camera)
        return judge_still(image, looking, self.recipe, camera, mm_per_px, reference)


def assemble(recipe: Recipe, folder: Path, model: Detector | None) -> Detectors:
    """Everything a recipe detects with, its files starting at `folder`; no pin is needed.

    Raises:
        ModelError: recipe and model do not go together, or a file of the recipe cannot be used.
        SettingsError: the recipe's flat field is none.
    """
    floor = comparisons.model_floor(recipe)
    if model is not None:
        model = model.with_floor(min(model.score_floor, floor))

    def opened(path: Path, pin: str | None) -> Detector:
        return Detector(path, pin, score_floor=recipe.score_floor)

    return assembled(recipe, folder, model, opened, unsigned=True)[0]


def judge_still(
    image: npt.NDArray[np.uint8],
    detector: Sees,
    recipe: Recipe,
    camera: str | None = None,
    mm_per_px: float | None = None,
    reference: Reference | None = None,
) -> Still:
    """The verdict of one picture. Never raises: what goes wrong is undecided with its reason.

    Args:
        image: (H, W) or (H, W, 3) uint8 BGR.
        camera: whose view it is, for its zones.
        mm_per_px: without it no size in mm is known.
        reference: of the view, where it has one.
    """
    # a check of its own for each: pictures of a folder may well be the same twice
    fault = ImageCheck().fault(image, recipe.image, reference=reference)
    if fault is not None:
        return Still(Verdict(Code.UNDECIDED, Reason.BAD_IMAGE), fault=fault)
    try:
        detections = detector.detect(image, mm_per_px)
    except ImageError as wrong:
        return Still(Verdict(Code.UNDECIDED, Reason.BAD_IMAGE), fault=str(wrong))
    except EdgeError as wrong:
        return Still(Verdict(Code.UNDECIDED, Reason.MODEL_FAULT), fault=str(wrong))
    findings = judgement.weigh(detections, recipe, camera)
    return Still(judgement.decide(findings, recipe), findings)
