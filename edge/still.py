"""One picture judged by itself, without a line: for inspect, explain and replay."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge import judgement
from edge.errors import EdgeError
from edge.judgement import Finding
from edge.recipe import Recipe
from edge.terms import Code, Detection, Reason, Verdict
from edge.vision.detector import Detector
from edge.vision.quality import ImageCheck


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


def judge_still(
    image: npt.NDArray[np.uint8],
    detector: Detector,
    recipe: Recipe,
    camera: str | None = None,
    mm_per_px: float | None = None,
) -> Still:
    """The verdict of one picture. Never raises: what goes wrong is undecided with its reason.

    Args:
        image: (H, W) or (H, W, 3) uint8 BGR.
        camera: whose view it is, for its zones.
        mm_per_px: without it no size in mm is known.
    """
    # a check of its own for each: pictures of a folder may well be the same twice
    fault = ImageCheck().fault(image, recipe.image)
    if fault is not None:
        return Still(Verdict(Code.UNDECIDED, Reason.BAD_IMAGE), fault=fault)
    try:
        detections = detector.detect(image, mm_per_px)
    except EdgeError as wrong:
        return Still(Verdict(Code.UNDECIDED, Reason.MODEL_FAULT), fault=str(wrong))
    findings = judgement.weigh(detections, recipe, camera)
    return Still(judgement.decide(findings, recipe), findings)
