"""A model of what good parts look like, from good parts alone: `quanjian-models anomaly`.

The backbone of a trained detector, cut off at its map of stride 8, describes each cell of a part by
some hundred numbers. Good parts, registered to one of them, give mean and deviation of each number
in each cell (as PaDiM does, Defard et al., arXiv 2011.08785, without its covariances):

    picture --> registered --> backbone --> (feature - mean) / deviation --> root mean square
            --> z of each cell --> score = 1 / (1 + exp(-(z - limit) / step))

Each good part is also held against the others alone; of the highest z of each, `limit` is mean plus
three standard deviations, `step` one. So 0.5 is what hardly any good part reaches, whatever the
product. All of it is one ONNX file with the layout of a detection head, one anchor a cell.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper, shape_inference

from edge.errors import EdgeError, ImageError, TrainingError
from edge.vision import anomaly
from edge.vision.folder import pictures_in
from edge.vision.image import decode_image
from edge.vision.preprocess import Element, InputSpec, Preparer
from edge.vision.registration import Gray, Matrix, Registration, gray, upright

LEAST_PARTS = 10
"""Fewer good parts say too little about how much good parts differ."""

STRIDE_PX = 8
"""Input px per cell."""

_ELEMENTS: dict[int, Element] = {
    TensorProto.UINT8: "uint8",
    TensorProto.FLOAT16: "float16",
    TensorProto.FLOAT: "float32",
}

Image = npt.NDArray[np.uint8]
Maps = npt.NDArray[np.float32]

_MOST_CELLS = 1000  # reported of one picture; the detector's NMS of more would take too long
_EVEN_OUT = 0.1  # share of a feature's mean variance added to that of each cell: 30 parts are few


@dataclass(frozen=True, slots=True)
class Making:
    """One anomaly model to make."""

    good: Path  # folder with pictures of good parts
    model: Path  # ONNX of a trained detector
    out: Path  # ONNX to write
    label: str = "anomaly"
    max_shift_px: float | None = None  # None: an eighth of the longer side


def make(job: Making, progress: Callable[[str], None]) -> dict[str, object]:
    """Write the model and return {out, sha256, bytes, parts, cells, limit, step, base_sha256}.

    Raises:
        TrainingError: too few pictures, no such backbone, or the file cannot be written.
        EdgeError: a picture cannot be read, or shows no part in its place.
    """
    try:
        backbone, name = cut(_base(job.model))
        features = Features(backbone)
    except EdgeError:
        raise
    except Exception as exc:  # neither onnx nor onnxruntime has a base class
        raise TrainingError(f"{job.model}: no backbone can be cut out of it: {exc}") from exc
    pictures = [(path, decode_image(path)) for path in pictures_in(job.good)]
    if len(pictures) < LEAST_PARTS:
        raise TrainingError(
            f"{job.good}: {len(pictures)} pictures of good parts; expected at least {LEAST_PARTS}"
        )
    max_shift_px = job.max_shift_px or max(pictures[0][1].shape[:2]) / 8
    reference = _reference(pictures, 2 * max_shift_px)
    registration = Registration(reference, max_shift_px)
    maps = []
    for path, picture in pictures:
        maps.append(features.of(upright(picture, _place(registration, path, picture))))
        progress(f"{len(maps)} of {len(pictures)} parts")
    usual = learn(np.stack(maps))
    graph = assemble(backbone, name, usual)
    sides = [features.spec.height, features.spec.width]
    base_sha256 = _sha256(job.model.read_bytes())
    helper.set_model_props(
        graph,
        {
            "task": "detect",
            "names": str({0: job.label}),
            "imgsz": str(sides),
            "stride": str(STRIDE_PX),
            "end2end": "False",
            anomaly.NOTE: anomaly.note(reference, max_shift_px),
            "quanjian": json.dumps({"base_sha256": base_sha256}),
        },
    )
    onnx.checker.check_model(graph)
    content = graph.SerializeToString()
    try:
        job.out.write_bytes(content)
    except OSError as exc:
        raise TrainingError(f"{job.out}: cannot be written: {exc}") from exc
    return {
        "out": str(job.out),
        "sha256": _sha256(content),
        "bytes": len(content),
        "parts": len(maps),
        "cells": list(usual.mean.shape[1:]),
        "limit": round(usual.limit, 4),
        "step": round(usual.step, 4),
        "base_sha256": base_sha256,
    }


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """What good parts look like: `mean` and `deviation` are (features, rows, columns)."""

    mean: Maps
    deviation: Maps
    limit: float
    step: float


def learn(maps: Maps) -> Usual:
    """Statistics of good parts.

    Args:
        maps: (parts, features, rows, columns) of registered parts.
    """
    mean, deviation = _statistics(maps)
    highest = []
    for number in range(len(maps)):
        others_mean, others_deviation = _statistics(np.delete(maps, number, axis=0))
        off = (maps[number] - others_mean) / others_deviation
        highest.append(float(np.sqrt((off**2).mean(axis=0)).max()))
    step = max(float(np.std(highest)), 0.01 * float(np.mean(highest)), 1e-6)
    return Usual(mean, deviation, float(np.mean(highest)) + 3 * step, step)


def _statistics(maps: Maps) -> tuple[Maps, Maps]:
    """Mean and deviation of each feature in each cell; no deviation is 0."""
    variance = maps.var(axis=0)
    variance += _EVEN_OUT * variance.mean(axis=(1, 2), keepdims=True) + 1e-6
    return maps.mean(axis=0), np.sqrt(variance)


def cut(base: Any) -> tuple[Any, str]:
    """The graph up to the backbone's map of stride 8, and the name of that map.

    It is the last tensor of an eighth of the input's sides that is computed before the first of a
    sixteenth: there the backbone goes on to the next scale.

    Raises:
        TrainingError: there is none.
    """
    spec = _input_spec(base)
    inferred = shape_inference.infer_shapes(base)
    shapes = {v.name: tuple(_dims(v)[2:]) for v in inferred.graph.value_info if len(_dims(v)) == 4}
    wanted, following = (
        (spec.height // stride, spec.width // stride) for stride in (STRIDE_PX, 2 * STRIDE_PX)
    )
    name = ""
    for node in inferred.graph.node:
        shape = shapes.get(node.output[0])
        if shape == wanted:
            name = node.output[0]
        if shape == following and name:
            break
    if not name:
        raise TrainingError(f"no map of {wanted[0]} x {wanted[1]} cells: no backbone that is known")
    first = inferred.graph.input[0].name
    return onnx.utils.Extractor(inferred).extract_model([first], [name]), name


class Features:
    """The backbone, run on pictures just as the detector on the line runs on them."""

    def __init__(self, backbone: Any) -> None:
        self._session = onnxruntime.InferenceSession(
            backbone.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        self.spec = _input_spec(backbone)
        self._preparer = Preparer(self.spec)

    def of(self, image: Image) -> Maps:
        """(features, rows, columns) of one picture."""
        self._preparer.prepare(image)
        name = self._session.get_inputs()[0].name
        return np.array(self._session.run(None, {name: self._preparer.input})[0][0], np.float32)


def assemble(backbone: Any, name: str, usual: Usual) -> Any:
    """Backbone, statistics and score as one graph with the layout of a detection head."""
    spec = _input_spec(backbone)
    boxes = _cells(spec, usual.mean.shape)
    most = min(_MOST_CELLS, boxes.shape[2])
    values = {
        "mean": usual.mean[None],
        "scale": (1 / usual.deviation)[None],
        "limit": np.float32(usual.limit),
        "step": np.float32(usual.step),
        "line": np.array([-1], np.int64),
        "flat": np.array([1, 1, -1], np.int64),
        "cells": boxes,
        "most": np.array([most], np.int64),
    }
    steps: list[tuple[str, list[str], list[str], dict[str, Any]]] = [
        ("Cast", [name], ["feature"], {"to": TensorProto.FLOAT}),
        ("Sub", ["feature", "own mean"], ["off"], {}),
        ("Mul", ["off", "own scale"], ["deviations"], {}),
        ("Mul", ["deviations", "deviations"], ["squares"], {}),
        ("ReduceMean", ["squares"], ["square"], {"axes": [1], "keepdims": 1}),
        ("Sqrt", ["square"], ["z"], {}),
        ("Sub", ["z", "own limit"], ["above"], {}),
        ("Div", ["above", "own step"], ["steps"], {}),
        ("Sigmoid", ["steps"], ["score map"], {}),
        ("Reshape", ["score map", "own flat"], ["scores"], {}),
        ("Concat", ["own cells", "scores"], ["all"], {"axis": 1}),
        ("TopK", ["scores", "own most"], ["best", "which"], {"axis": 2}),
        ("Reshape", ["which", "own line"], ["places"], {}),
        ("Gather", ["all", "places"], ["output0"], {"axis": 2}),
    ]
    graph = backbone.graph
    for kind, inputs, outputs, attributes in steps:
        graph.node.append(helper.make_node(kind, inputs, outputs, **attributes))
    for key, value in values.items():
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"own {key}"))
    del graph.output[:], graph.value_info[:]
    shape = [1, 5, most]
    graph.output.append(helper.make_tensor_value_info("output0", TensorProto.FLOAT, shape))
    return backbone


def _cells(spec: InputSpec, shape: tuple[int, ...]) -> Maps:
    """(1, 4, cells): centre x, centre y, width, height of every cell, input px."""
    rows, columns = shape[1:]
    height, width = spec.height / rows, spec.width / columns
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    sides = [np.full_like(x, width), np.full_like(x, height)]
    parts = [(x + 0.5) * width, (y + 0.5) * height, *sides]
    return np.stack([part.ravel() for part in parts])[None].astype(np.float32)


def _base(path: Path) -> Any:
    """The graph of a trained detector."""
    try:
        return onnx.load_model_from_string(path.read_bytes())
    except (OSError, DecodeError) as exc:
        raise TrainingError(f"{path}: cannot be read as ONNX: {exc}") from exc


def _input_spec(model: Any) -> InputSpec:
    """What the graph takes.

    Raises:
        TrainingError: not one picture of a fixed size.
    """
    taken = model.graph.input[0]
    kind, dims = taken.type.tensor_type.elem_type, _dims(taken)
    if len(dims) != 4 or kind not in _ELEMENTS or not all(dims[1:]):
        raise TrainingError(f"takes {kind} {dims}; expected one picture of a fixed size")
    element = _ELEMENTS[kind]
    channels, height, width = (dims[3], *dims[1:3]) if element == "uint8" else dims[1:]
    if channels not in (1, 3):
        raise TrainingError(f"takes {channels} channels; expected 1 or 3")
    return InputSpec(height, width, 1 if channels == 1 else 3, element)


def _dims(value: Any) -> list[int]:
    """Of a tensor; 0 where the graph leaves one open."""
    return [d.dim_value for d in value.type.tensor_type.shape.dim]


def _reference(pictures: Sequence[tuple[Path, Image]], max_shift_px: float) -> Gray:
    """The good part that lies in the middle of all, so that none is far from it.

    Raises:
        ImageError: a picture shows no part where the first one shows it, or has another size.
    """
    first = Registration(gray(pictures[0][1]), max_shift_px)
    shifts = np.array([_place(first, *picture)[:, 2] for picture in pictures])
    middle = (shifts.min(axis=0) + shifts.max(axis=0)) / 2
    nearest = int(np.abs(shifts - middle).max(axis=1).argmin())
    return gray(pictures[nearest][1])


def _place(registration: Registration, path: Path, picture: Image) -> Matrix:
    try:
        return registration.find(gray(picture))
    except ImageError as exc:
        raise ImageError(f"{path}: {exc}") from exc


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
