"""Detectors of a few hundred bytes whose output depends on the picture, made with `onnx`.

The input is cut into cells of 8 x 8 px; each cell is an anchor whose box is the cell.
Class "bright" scores how far the cell's mean lies above half, class "red" how far red is above
blue. The same arithmetic stands behind every layout, so that all must find the same. A model that
segments has prototypes of 4 x 4 px whose mask is what is brighter than half.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 64
CELL = 8
MASKS = 2
"""Mask prototypes: the brightness above half, and nothing."""

STEP = 4
"""Input px per prototype px."""

NAMES = {0: "bright", 1: "red"}

Kind = Literal["float", "half", "gray", "uint8", "uint8 gray", "dynamic"]


def write(
    path: Path,
    layout: str = "raw",
    kind: Kind = "float",
    metadata: dict[str, str] | None = None,
    score_gain: float = 2.0,
    add_to_boxes: float = 0.0,
    add_to_scores: float = 0.0,
    add_to_masks: float = 0.0,
) -> Path:
    """Write such a model and return its path.

    Args:
        layout: "raw" [1, 6, 64], "end_to_end" [1, 64, 6] or "odd" [1, 7, 64]; with " segment"
            behind it two more coefficients, and prototypes [1, 2, 16, 16].
        kind: what the input takes.
        metadata: over the usual metadata of an export; a value "" leaves the key out.
        score_gain: of class "bright"; 0.0 and `add_to_scores` NaN spoil the scores.
    """
    layout, _, segments = layout.partition(" ")
    channels = 1 if "gray" in kind else 3
    sides: list[int | str] = ["height", "width"] if kind == "dynamic" else [SIDE, SIDE]
    batch: int | str = "batch" if kind == "dynamic" else 1
    if kind.startswith("uint8"):
        element = TensorProto.UINT8
        shape: list[int | str] = [1, SIDE, SIDE, channels]
    else:
        element = TensorProto.FLOAT16 if kind == "half" else TensorProto.FLOAT
        shape = [batch, channels, *sides]
    nodes = [*_first(kind), *_scores(channels, red=2 if kind == "uint8" else 0)]
    nodes += [*_head(layout, bool(segments)), *(_prototypes() if segments else [])]
    values = {
        "gain": np.float32(score_gain),
        "half": np.float32(0.5),
        "added": np.float32(add_to_scores),
        "full": np.float32(255),
        "zero": np.float32(0),
        "one": np.float32(1),
        "flat": np.array([1, 1, -1], np.int64),
        "boxes": _boxes(layout) + np.float32(add_to_boxes),
        "kinds": np.zeros((1, 1, (SIDE // CELL) ** 2), np.float32),
        "extra": np.zeros((1, 1, (SIDE // CELL) ** 2), np.float32),
        "coefficients": np.full((1, MASKS, (SIDE // CELL) ** 2), [[[1], [5]]], np.float32),
        "nothing": np.zeros((1, 1, SIDE // STEP, SIDE // STEP), np.float32),
        "dim": np.float32(0.5 - add_to_masks),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", element, shape)],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in ("output0", "output1")[: 2 if segments else 1]
        ],
        [
            numpy_helper.from_array(np.asarray(value), name)
            for name, value in values.items()
            if any(name in node.input for node in nodes)
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    usual = {
        "task": "segment" if segments else "detect",
        "names": str(NAMES),
        "imgsz": str([SIDE, SIDE]),
        "stride": str(CELL),
        "end2end": str(layout == "end_to_end"),
    }
    chosen = {key: text for key, text in {**usual, **(metadata or {})}.items() if text}
    helper.set_model_props(model, chosen)
    onnx.save(model, str(path))
    return path


def _first(kind: Kind) -> list[onnx.NodeProto]:
    """From the input to `x`, float NCHW 0..1."""
    if not kind.startswith("uint8"):
        return [helper.make_node("Cast", ["images"], ["x"], to=TensorProto.FLOAT)]
    return [
        helper.make_node("Cast", ["images"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["wide", "full"], ["share"]),
        helper.make_node("Transpose", ["share"], ["x"], perm=[0, 3, 1, 2]),
    ]


def _scores(channels: int, red: int) -> list[onnx.NodeProto]:
    """From `x` to `bright` and `red`, each [1, 1, 64]."""
    blue = 2 - red if channels == 3 else 0
    return [
        helper.make_node(
            "AveragePool", ["x"], ["cells"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]
        ),
        helper.make_node("ReduceMean", ["cells"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["mean", "half"], ["above"]),
        helper.make_node("Mul", ["above", "gain"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "zero", "one"], ["kept"]),
        helper.make_node("Add", ["kept", "added"], ["score"]),
        helper.make_node("Reshape", ["score", "flat"], ["bright"]),
        *_channel("r", red if channels == 3 else 0),
        *_channel("b", blue),
        helper.make_node("Sub", ["r", "b"], ["difference"]),
        helper.make_node("Clip", ["difference", "zero", "one"], ["positive"]),
        helper.make_node("Reshape", ["positive", "flat"], ["red"]),
    ]


def _channel(name: str, number: int) -> list[onnx.NodeProto]:
    constant = numpy_helper.from_array(np.array([number], np.int64), f"{name} number")
    return [
        helper.make_node("Constant", [], [f"{name} number"], value=constant),
        helper.make_node("Gather", ["cells", f"{name} number"], [name], axis=1),
    ]


def _head(layout: str, segments: bool) -> list[onnx.NodeProto]:
    parts = {
        "raw": ["boxes", "bright", "red"],
        "end_to_end": ["boxes", "bright", "kinds"],
        "odd": ["boxes", "bright", "red", "extra"],
    }[layout]
    parts += ["coefficients"] if segments else []
    if layout != "end_to_end":
        return [helper.make_node("Concat", parts, ["output0"], axis=1)]
    return [
        helper.make_node("Concat", parts, ["columns"], axis=1),
        helper.make_node("Transpose", ["columns"], ["output0"], perm=[0, 2, 1]),
    ]


def _prototypes() -> list[onnx.NodeProto]:
    """From `x` to `output1`, [1, 2, 16, 16]."""
    return [
        helper.make_node(
            "AveragePool", ["x"], ["specks"], kernel_shape=[STEP, STEP], strides=[STEP, STEP]
        ),
        helper.make_node("ReduceMean", ["specks"], ["level"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["level", "dim"], ["lit"]),
        helper.make_node("Concat", ["lit", "nothing"], ["output1"], axis=1),
    ]


def _boxes(layout: str) -> np.ndarray:
    row, column = np.divmod(np.arange((SIDE // CELL) ** 2, dtype=np.float32), SIDE // CELL)
    x, y, cell = column * CELL, row * CELL, np.full_like(row, CELL)
    if layout == "end_to_end":
        return np.stack([x, y, x + CELL, y + CELL])[None]
    return np.stack([x + CELL / 2, y + CELL / 2, cell, cell])[None]
