"""A detector with a backbone of two scales, made with `onnx`: enough for an anomaly model.

Its map of stride 8 holds mean and highest grey of each cell of 8 x 8 px; its head does not matter.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 128


def write(path: Path, *, channels: int = 3, scales: int = 2) -> Path:
    """Write it and return its path; with one scale only there is no map to take."""
    strides = (8, 2)[:scales] if scales > 1 else (16,)
    nodes, name = [], "images"
    for number, stride in enumerate(strides):
        pool = [stride, stride]
        nodes += [
            helper.make_node(
                "AveragePool", [name], [f"mean{number}"], kernel_shape=pool, strides=pool
            ),
            helper.make_node("MaxPool", [name], [f"top{number}"], kernel_shape=pool, strides=pool),
            helper.make_node("Concat", [f"mean{number}", f"top{number}"], [f"map{number}"], axis=1),
        ]
        name = f"map{number}"
    nodes += [
        helper.make_node("Reshape", [name, "row"], ["flat"]),
        helper.make_node("Slice", ["flat", "first", "sixth", "axis"], ["output0"]),
    ]
    values = {"row": [1, 1, -1], "first": [0], "sixth": [6], "axis": [2]}
    graph = helper.make_graph(
        nodes,
        "backbone",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, channels, SIDE, SIDE])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(v, np.int64), name) for name, v in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path
