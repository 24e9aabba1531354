"""A peer: this project's detector, whole, without the model's work, or its NMS alone."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from edge.settings import Runtime
from edge.terms import Detection
from edge.vision.binding import Binding
from edge.vision.detector import Detector
from edge.vision.postprocess import find
from edge.vision.preprocess import fit
from models.blocks import serve


def rows(found: list[Detection]) -> list[list[Any]]:
    """Detections as the protocol has them."""
    return [[*d.box, d.score, d.label] for d in found]


def rows_with_areas(found: list[Detection]) -> list[list[Any]]:
    """The same with the area of each mask behind, square px; 0 = the mask is empty."""
    return [[*row, d.area_mm2 or 0.0] for row, d in zip(rows(found), found, strict=True)]


class Replay:
    """In the session's place: its answer to the first picture, again for every other one.

    All that a detection does besides stays: the frame is bound, the outputs are blotted out before
    they are written, and here they are written by a copy.
    """

    def __init__(self, binding: Binding) -> None:
        self._session, self._outputs = binding._session, binding._outputs
        self._kept: list[Any] = []

    def run_with_iobinding(self, bound: Any) -> None:
        """As `onnxruntime.InferenceSession` has it."""
        if not self._kept:
            self._session.run_with_iobinding(bound)
            self._kept = [np.array(room) for room in self._outputs]
        for room, answer in zip(self._outputs, self._kept, strict=True):
            np.copyto(room, answer)  # type: ignore[arg-type]


def main() -> None:
    """Serve blocks; the job names what to do and the detector's arguments."""
    job = json.loads(sys.argv[1])
    ready: dict[str, Any] = {"onnxruntime": onnxruntime.__version__}
    if job["what"] == "nms":  # pictures are raw outputs (1, 4 + classes, anchors)
        placed = fit(640, 640, 640, 640)

        def nms(output: Any) -> Any:
            return find(output, "raw", job["classes"], placed, job["conf"], job["iou"])

        serve(nms, ready, lambda found: found.boxes.tolist())
        return
    detector = Detector(
        Path(job["model"]),
        score_floor=job["conf"],
        overlap=job["iou"],
        runtime=Runtime(
            providers=tuple(job["providers"]),
            threads=job["threads"],
            spinning=job["spinning"],
            workers=job.get("workers", 1),
        ),
    )
    ready |= {"providers": list(detector.providers), "sha256": detector.sha256}
    if job["what"] == "segment":
        serve(lambda picture: detector.detect(picture, 1.0), ready, rows_with_areas)
        return
    if job["what"] == "detect":
        serve(detector.detect, ready, rows, job.get("workers", 1))
        return
    binding = detector.binding()
    binding._session = Replay(binding)
    serve(detector.detect, ready, rows)


if __name__ == "__main__":
    main()
