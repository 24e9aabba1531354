"""The detector: an ultralytics ONNX export behind onnxruntime, checked before it may judge.

Loading reads the file once: the bytes that are hashed are the bytes that run. Metadata and the
output of a real run must tell the same story, and every provider asked for must be active, because
onnxruntime would quietly fall back to the CPU and miss every deadline of the line.
"""

import copy
import hashlib
import math
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.errors import ModelError
from edge.settings import Runtime
from edge.terms import Detection
from edge.vision import masks, metadata
from edge.vision.binding import Array, Binding
from edge.vision.postprocess import Layout, check, find, layout_of
from edge.vision.preprocess import PAD, Fit
from edge.vision.session import RUNTIME_ERRORS, Report, open_session

SCORE_FLOOR = 0.05
"""Lowest score of a detection, far below any sensible limit of a recipe."""

OVERLAP = 0.5
"""IoU above which two boxes of one class are one defect."""

_MAX_BYTES = 2**31  # protobuf's own limit


class Detector:
    """One loaded model. `detect` may be called from several threads at once."""

    def __init__(
        self,
        path: Path,
        sha256: str | None = None,
        providers: Sequence[str] = ("cpu",),
        threads: int = 0,
        spinning: bool = False,
        score_floor: float = SCORE_FLOOR,
        overlap: float = OVERLAP,
        runtime: Runtime | None = None,
    ) -> None:
        """Load, check and warm up.

        Args:
            path: the ONNX file, weights inside.
            sha256: of the file, as pinned; None = not pinned, the caller marks that.
            providers: best first, as in edge.toml or by onnxruntime's names; the first must run.
            threads: inside one inference; 0 = cores of this process less one, at least 1.
            spinning: let waiting threads spin: 25 % faster on a node with idle cores, slower than
                one thread where anything else runs (measured: 2 cores, yolo26n 640).
            score_floor: lowest score of a detection.
            overlap: IoU above which two boxes of one class are one defect.
            runtime: the whole of [runtime], in place of providers, threads and spinning.

        Raises:
            ModelError: file, hash, provider, metadata or layout is not as expected.
        """
        self.path = path
        if runtime is None:
            runtime = Runtime(providers=tuple(providers), threads=threads, spinning=spinning)
        self.score_floor, self.overlap = score_floor, overlap
        content = _read(path)
        self.sha256 = hashlib.sha256(content).hexdigest()
        """Of the bytes that run."""
        if sha256 is not None and sha256 != self.sha256:
            raise ModelError(f"{path}: sha256 is {self.sha256}, expected {sha256}")
        try:
            self.session, report = open_session(content, runtime, self.sha256)
            self.report: Report = report
            """What really runs it."""
            self._load()
        except ModelError as exc:
            raise ModelError(f"{path}: {exc}") from exc
        except RUNTIME_ERRORS as exc:
            raise ModelError(f"{path}: cannot be loaded: {exc}") from exc

    def _load(self) -> None:
        """Hold the file's words against its graph, and both against two real runs.

        Raises:
            ModelError: they do not agree, or the answers mean nothing.
        """
        said = metadata.read(self.session.get_modelmeta().custom_metadata_map)
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        expected = 2 if said.task == "segment" else 1
        if len(inputs) != 1 or len(outputs) != expected:
            raise ModelError(
                f"{len(inputs)} inputs and {len(outputs)} outputs; expected 1 and {expected} of a "
                f"model for {said.task!r}"
            )
        self.labels: tuple[str, ...] = said.labels
        """Class names in the order of the model's outputs."""
        self._spec = metadata.input_spec(inputs[0].type, inputs[0].shape, said.imgsz)
        self._says_end_to_end = said.end_to_end
        self.lowest_score: float = said.lowest_score
        """Below it the graph itself drops what it sees; 0 = nothing is dropped."""
        self.segments: bool = said.task == "segment"
        """Whether detections of a calibrated frame have areas."""
        self._local = threading.local()
        blank = np.full((*self.imgsz, 3), PAD, np.uint8)
        placed = self.binding().prepare(blank)
        first = self.binding().run()
        self._shapes = [output.shape for output in first]
        layout, self._step = self._head(first)
        self.layout: Layout = layout
        """Which head it has."""
        rows = outputs[0].shape[1] if layout == "end_to_end" else None
        self._most = rows if isinstance(rows, int) else math.inf  # that the graph tells
        self.read(self.binding().run(), placed, mm_per_px=1.0)
        noise = np.random.default_rng(0).integers(0, 256, blank.shape, np.uint8)
        self.binding().prepare(noise)  # a model may well see defects everywhere in it
        check(self.binding().run()[0], layout, len(self.labels))

    def _head(self, outputs: list[Array]) -> tuple[Layout, int]:
        """Layout of the boxes, and input px per px of the mask prototypes, 0 where there are none.

        Raises:
            ModelError: the outputs are not those of such a head.
        """
        step = masks.step_of(outputs[1].shape, *self.imgsz) if self.segments else 0
        coefficients = outputs[1].shape[1] if self.segments else 0
        shape, classes = outputs[0].shape, len(self.labels)
        return layout_of(shape, classes, self._says_end_to_end, coefficients), step

    @property
    def imgsz(self) -> tuple[int, int]:
        """Height and width of the model's input, px."""
        return self._spec.height, self._spec.width

    @property
    def areas(self) -> bool:
        """Whether it tells the area of a defect, not only its box."""
        return self.segments

    @property
    def notes(self) -> dict[str, str]:
        """The metadata of the file, as it stands there."""
        return dict(self.session.get_modelmeta().custom_metadata_map)

    @property
    def channels(self) -> int:
        """Of the model's input: 3, or 1 for a gray camera."""
        return self._spec.channels

    def binding(self) -> Binding:
        """This thread's buffers: `prepare` a frame, `run`, then `read`; `detect` is the three."""
        held: Binding | None = getattr(self._local, "binding", None)
        if held is None:
            held = self._local.binding = Binding(self.session, self._spec)
        return held

    def detect(
        self, image: npt.NDArray[np.uint8], mm_per_px: float | None = None
    ) -> list[Detection]:
        """Suspected defects of one frame, best score first; [] = nothing at or above the floor.

        Args:
            image: (H, W) gray or (H, W, 3) BGR, uint8.
            mm_per_px: of the frame; without it detections have no size in mm.

        Raises:
            ImageError: not such a picture.
            ModelError: the inference failed, or gave numbers that mean nothing.
        """
        try:
            binding = self.binding()
            placed = binding.prepare(image)
            return self.read(binding.run(), placed, mm_per_px)
        except ModelError as exc:
            raise ModelError(f"{self.path}: {exc}") from exc
        except RUNTIME_ERRORS as exc:
            raise ModelError(f"{self.path}: inference failed: {exc}") from exc

    def fed(self, image: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.generic]]:
        """What the session is fed for a frame, by the name of its input: for calibration.

        Raises:
            ImageError: not a picture that `detect` takes.
        """
        binding = self.binding()
        binding.prepare(image)
        return {self.session.get_inputs()[0].name: binding.input.copy()}

    def with_floor(self, score_floor: float) -> "Detector":
        """The same session and memory, for a recipe with another lowest score."""
        other = copy.copy(self)
        other.score_floor = score_floor
        return other

    @property
    def providers(self) -> tuple[str, ...]:
        """What really runs it, in words."""
        return (str(self.report),)

    def read(
        self, outputs: list[Array], placed: Fit, mm_per_px: float | None = None
    ) -> list[Detection]:
        """Detections of one run's outputs, best first.

        Args:
            outputs: of `Binding.run`.
            placed: of `Binding.prepare`.
            mm_per_px: of the frame.

        Raises:
            ModelError: numbers that mean nothing.
        """
        shapes = [output.shape for output in outputs]  # an open one may change
        if shapes != self._shapes and self._head(outputs) != (self.layout, self._step):
            raise ModelError(f"output {list(outputs[0].shape)}; it was {self.layout} before")
        if self.layout == "end_to_end" and self._is_full(outputs[0][0, :, 4]):
            raise ModelError(f"{self._most} detections or more; the graph leaves the others out")
        found = find(
            outputs[0], self.layout, len(self.labels), placed, self.score_floor, self.overlap
        )
        scale = mm_per_px if mm_per_px is not None and 0 < mm_per_px < math.inf else None
        areas = [0.0] * len(found.scores)
        if self._step and scale is not None:
            areas = masks.areas_px(found, outputs[1][0], placed, self._step)
        return [
            _detection(self.labels[kind], score, box, scale, area)
            for kind, score, box, area in zip(
                found.kinds.tolist(),
                found.scores.tolist(),
                found.boxes.tolist(),
                areas,
                strict=True,
            )
        ]

    def _is_full(self, scores: Array) -> bool:
        """Whether more may have been seen than there are rows for."""
        return len(scores) >= self._most and bool((scores >= self.score_floor).all())


def _read(path: Path) -> bytes:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for ever
            raise ModelError(f"{path}: cannot be read: not a file")
        if found.st_size > _MAX_BYTES:
            raise ModelError(f"{path}: {found.st_size} bytes; expected at most {_MAX_BYTES}")
        return path.read_bytes()
    except (OSError, ValueError, MemoryError) as exc:
        raise ModelError(f"{path}: cannot be read: {exc}") from exc


def _detection(
    label: str, score: float, box: list[float], mm_per_px: float | None, area_px: float
) -> Detection:
    """`area_px` 0 = nothing segmented: no area, which no limit on size may take for a small one."""
    x1, y1, x2, y2 = box
    if mm_per_px is None:
        return Detection(label, score, (x1, y1, x2, y2))
    area_mm2 = area_px * mm_per_px * mm_per_px or None
    width_mm, height_mm = (x2 - x1) * mm_per_px, (y2 - y1) * mm_per_px
    return Detection(label, score, (x1, y1, x2, y2), width_mm, height_mm, area_mm2)
