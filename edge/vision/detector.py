"""The detector: an ultralytics ONNX export behind onnxruntime, checked before it may judge.

Loading reads the file once: the bytes that are hashed are the bytes that run. Metadata and the
output of a real run must tell the same story, and every provider asked for must be active, because
onnxruntime would quietly fall back to the CPU and miss every deadline of the line.
"""

import ast
import hashlib
import math
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state

from edge.errors import ModelError
from edge.terms import Detection
from edge.vision.postprocess import Found, Layout, find, layout_of
from edge.vision.preprocess import PAD, Element, InputSpec, Preparer

SCORE_FLOOR = 0.05
"""Lowest score of a detection, far below any sensible limit of a recipe."""

OVERLAP = 0.5
"""IoU above which two boxes of one class are one defect."""

_MAX_SIDE_PX = 8192
_RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    *(
        kind
        for kind in vars(onnxruntime_pybind11_state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
    RuntimeError,
    ValueError,
    TypeError,
    MemoryError,
)  # onnxruntime has no base class of its own

# A node says nothing to anybody outside, and onnxruntime leaves no file of its own in a home.
onnxruntime.disable_telemetry_events()
_ELEMENTS: dict[str, Element] = {
    "tensor(uint8)": "uint8",
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
}


class Detector:
    """One loaded model. `detect` may be called from several threads at once."""

    def __init__(
        self,
        path: Path,
        sha256: str | None = None,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        threads: int = 0,
        spinning: bool = False,
        score_floor: float = SCORE_FLOOR,
        overlap: float = OVERLAP,
    ) -> None:
        """Load, check and warm up.

        Args:
            path: the ONNX file, weights inside.
            sha256: of the file, as pinned; None = not pinned, the caller marks that.
            providers: onnxruntime execution providers, best first; every one must be there.
            threads: inside one inference; 0 = cores of this process less one, at least 1.
            spinning: let waiting threads spin: 25 % faster on a node with idle cores, slower than
                one thread where anything else runs (measured: 2 cores, yolo26n 640).
            score_floor: lowest score of a detection.
            overlap: IoU above which two boxes of one class are one defect.

        Raises:
            ModelError: file, hash, provider, metadata or layout is not as expected.
        """
        self.path = path
        self.providers = tuple(providers)
        self.score_floor, self.overlap = score_floor, overlap
        content = _read(path)
        self.sha256 = hashlib.sha256(content).hexdigest()
        """Of the bytes that run."""
        if sha256 is not None and sha256 != self.sha256:
            raise ModelError(f"{path}: sha256 is {self.sha256}, expected {sha256}")
        try:
            self._session = _session(
                content, self.providers, threads or _cores_less_one(), spinning
            )
            metadata = self._session.get_modelmeta().custom_metadata_map
            self.labels: tuple[str, ...] = _labels(metadata)
            """Class names in the order of the model's outputs."""
            self._spec = _input_spec(self._session, _imgsz(metadata))
            self._local = threading.local()
            self.layout: Layout = self._warm_up(_says_end_to_end(metadata))
            """Which head it has."""
        except ModelError as exc:
            raise ModelError(f"{path}: {exc}") from exc
        except _RUNTIME_ERRORS as exc:
            raise ModelError(f"{path}: cannot be loaded: {exc}") from exc

    @property
    def imgsz(self) -> tuple[int, int]:
        """Height and width of the model's input, px."""
        return self._spec.height, self._spec.width

    @property
    def notes(self) -> dict[str, str]:
        """The metadata of the file, as it stands there."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

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
            found = self._run(image, self.layout)
        except ModelError as exc:
            raise ModelError(f"{self.path}: {exc}") from exc
        except _RUNTIME_ERRORS as exc:
            raise ModelError(f"{self.path}: inference failed: {exc}") from exc
        return [
            _detection(self.labels[kind], float(score), box, mm_per_px)
            for kind, score, box in zip(
                found.kinds.tolist(), found.scores, found.boxes.tolist(), strict=True
            )
        ]

    def _run(self, image: npt.NDArray[np.uint8], layout: Layout) -> Found:
        preparer: Preparer | None = getattr(self._local, "preparer", None)
        if preparer is None:  # buffers are a thread's own; the session is shared
            preparer = self._local.preparer = Preparer(self._spec)
        blob, placed = preparer.prepare(image)
        output = self._output(blob)
        classes = len(self.labels)
        return find(output, layout, classes, placed, self.score_floor, self.overlap)

    def _output(self, blob: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        name = self._session.get_inputs()[0].name
        return np.asarray(self._session.run(None, {name: blob})[0], np.float32)

    def _warm_up(self, says_end_to_end: bool | None) -> Layout:
        """Run twice: once to see the output's real shape, once the whole way on noise.

        Raises:
            ModelError: the layout is unknown, or the scores mean nothing.
        """
        if len(self._session.get_outputs()) != 1:
            raise ModelError(f"{len(self._session.get_outputs())} outputs; expected 1")
        blank = np.full((*self.imgsz, 3), PAD, np.uint8)
        blob, _ = Preparer(self._spec).prepare(blank)
        layout = layout_of(self._output(blob).shape, len(self.labels), says_end_to_end)
        noise = np.random.default_rng(0).integers(0, 256, blank.shape, np.uint8)
        for image in (blank, noise):
            self._run(image, layout)
        return layout


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ModelError(f"{path}: cannot be read: {exc}") from exc


def _cores_less_one() -> int:
    return max(1, len(os.sched_getaffinity(0)) - 1)


def _session(
    content: bytes, providers: tuple[str, ...], threads: int, spinning: bool
) -> onnxruntime.InferenceSession:
    """Open a session with exactly these providers.

    Raises:
        ModelError: a provider is not built in, or fell back when it met the device.
    """
    built_in = onnxruntime.get_available_providers()
    missing = [name for name in providers if name not in built_in]
    if missing or not providers:
        raise ModelError(f"provider {missing} is not in this onnxruntime; it has {built_in}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    options.log_severity_level = 4  # every failure is raised; it need not be printed as well
    session = onnxruntime.InferenceSession(content, options, providers=list(providers))
    inactive = [name for name in providers if name not in session.get_providers()]
    if inactive:
        raise ModelError(f"provider {inactive} did not start; active: {session.get_providers()}")
    return session


def _labels(metadata: Mapping[str, str]) -> tuple[str, ...]:
    task = metadata.get("task", "detect")
    if task != "detect":
        raise ModelError(f"a model for {task!r}; expected one for 'detect'")
    names = _literal(metadata, "names")
    if isinstance(names, list | tuple):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or set(names) != set(range(len(names))) or not names:
        raise ModelError("no class names 0..n in its metadata: not an ultralytics export?")
    labels = tuple(str(names[number]) for number in range(len(names)))
    if len(set(labels)) < len(labels):
        raise ModelError(f"two classes have one name: {list(labels)}")
    return labels


def _imgsz(metadata: Mapping[str, str]) -> tuple[int, int] | None:
    """Height and width as exported, None where the metadata does not say."""
    if "imgsz" not in metadata:
        return None
    value = _literal(metadata, "imgsz")
    sides = [value, value] if isinstance(value, int) else value
    if isinstance(sides, list | tuple) and len(sides) == 2:
        height, width = sides
        if isinstance(height, int) and isinstance(width, int):
            return height, width
    raise ModelError(f"imgsz in its metadata is {value!r}; expected two whole numbers")


def _says_end_to_end(metadata: Mapping[str, str]) -> bool | None:
    """Whether boxes come chosen by the graph: a head without NMS, or NMS exported with it."""
    if "end2end" not in metadata and "args" not in metadata:
        return None
    arguments = _literal(metadata, "args") if "args" in metadata else {}
    with_nms = isinstance(arguments, dict) and arguments.get("nms") is True
    return with_nms or metadata.get("end2end") == "True"


def _literal(metadata: Mapping[str, str], key: str) -> object:
    try:
        return ast.literal_eval(metadata.get(key, "None"))
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as exc:
        raise ModelError(f"{key} in its metadata cannot be read") from exc


def _input_spec(session: onnxruntime.InferenceSession, imgsz: tuple[int, int] | None) -> InputSpec:
    """What the graph takes; sides that it leaves open are those of `imgsz`.

    Raises:
        ModelError: not one picture, or the metadata says another size.
    """
    inputs = session.get_inputs()
    element = _ELEMENTS.get(inputs[0].type) if len(inputs) == 1 else None
    dims = inputs[0].shape if inputs else []
    if element is None or len(dims) != 4:
        shown = [f"{i.name} {i.type} {i.shape}" for i in inputs]
        raise ModelError(f"takes {shown}; expected one picture, float NCHW or uint8 NHWC")
    batch, *rest = dims
    channels, height, width = (rest[2], *rest[:2]) if element == "uint8" else rest
    if isinstance(batch, int) and batch != 1:
        raise ModelError(f"takes {batch} pictures at a time; expected 1")
    if channels not in (1, 3):
        raise ModelError(f"takes {channels} channels; expected 1 or 3")
    said_height, said_width = imgsz or (0, 0)
    height = height if isinstance(height, int) else said_height
    width = width if isinstance(width, int) else said_width
    if imgsz is not None and (height, width) != imgsz:
        raise ModelError(f"takes {height} x {width} px, but its metadata says {list(imgsz)}")
    if not (1 <= height <= _MAX_SIDE_PX and 1 <= width <= _MAX_SIDE_PX):
        raise ModelError(f"takes {height} x {width} px; expected 1 to {_MAX_SIDE_PX} each")
    return InputSpec(height, width, channels, element)


def _detection(label: str, score: float, box: list[float], mm_per_px: float | None) -> Detection:
    x1, y1, x2, y2 = box
    if mm_per_px is None or not math.isfinite(mm_per_px):
        return Detection(label, score, (x1, y1, x2, y2))
    width_mm, height_mm = (x2 - x1) * mm_per_px, (y2 - y1) * mm_per_px
    return Detection(label, score, (x1, y1, x2, y2), width_mm, height_mm)
