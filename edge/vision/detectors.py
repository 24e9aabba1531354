"""A recipe's model and its second detectors as one: it has the face of a Detector.

    model              ---------------> confirmed or not by the templates that confirm --.
    templates          --> registered, compared -----------------------------------------+--> all
    anomaly models     --> registered, backbone -----------------------------------------'

A part that a second detector does not find in its place makes the picture unusable (ImageError):
nothing has been compared, so nothing can be OK.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge.terms import Detection
from edge.vision.anomaly import Anomaly
from edge.vision.confirm import confirmed
from edge.vision.template import Template
from edge.vision.tiled import Sees


@dataclass(frozen=True, slots=True)
class Second:
    """A second detector and whose view it is for."""

    camera: str | None  # None: every view
    detector: Template | Anomaly
    margin_px: float | None = None  # a template that confirms the model: see `confirm`


@dataclass(frozen=True, slots=True)
class Detectors:
    """All of a recipe's detectors. `detect` may be called from several threads at once."""

    model: Sees
    seconds: tuple[Second, ...] = ()
    camera: str | None = None  # whose view it is; None: only what is for every view looks at it

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes that can be found: the model's first, in its order, then the others."""
        others = (label for second in self.seconds for label in second.detector.labels)
        return tuple(dict.fromkeys((*self.model.labels, *others)))

    @property
    def imgsz(self) -> tuple[int, int]:
        """Of the model."""
        return self.model.imgsz

    @property
    def sha256(self) -> str:
        """Of the model."""
        return self.model.sha256

    @property
    def providers(self) -> tuple[str, ...]:
        """Of the model and of the anomaly models, each once: none falls back unseen."""
        others = (p for second in self.seconds for p in second.detector.providers)
        return tuple(dict.fromkeys((*self.model.providers, *others)))

    @property
    def areas(self) -> bool:
        """Whether the model tells areas."""
        return self.model.areas

    def seen_by(self, camera: str | None) -> Detectors:
        """The same for this camera's view."""
        return replace(self, camera=camera)

    def detect(
        self, image: npt.NDArray[np.uint8], mm_per_px: float | None = None
    ) -> list[Detection]:
        """Everything that any of them finds, the model's first.

        Raises:
            ImageError: not a picture, or the part is not where a second detector needs it.
            ModelError: an inference failed, or gave numbers that mean nothing.
        """
        looking = [s for s in self.seconds if s.camera in (None, self.camera)]
        compared = [(s, s.detector.detect(image, mm_per_px)) for s in looking]
        found: Sequence[Detection] = self.model.detect(image, mm_per_px)
        others: list[Detection] = []
        for second, seen in compared:
            if second.margin_px is None:
                others += seen
            else:
                found = confirmed(found, seen, second.margin_px, image.shape, mm_per_px)
        return [*found, *others]
