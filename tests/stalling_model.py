"""The demo's detector with an inference that takes a random time: a loop in its graph."""

import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge.settings import Runtime
from edge.vision.detector import Detector

SIDE = 40
"""Of the matrix that a turn multiplies: too small to be shared among threads, so that a turn takes
as long in a node of any number of threads as here in one."""

_PROBE = 10_000  # turns of the loop that are timed


def write(path: Path, base: Path, low_s: float, high_s: float) -> Path:
    """`base` with about `low_s` to `high_s` more for every picture, evenly spread; the path."""
    turn_s = (_took_s(path, base, _PROBE) - _took_s(path, base, 0)) / _PROBE
    return _write(path, base, round(low_s / turn_s), round(high_s / turn_s))


def _took_s(path: Path, base: Path, turns: int) -> float:
    """One picture with so many turns, in one thread's processor time: undisturbed by others."""
    detector = Detector(
        _write(path, base, turns, turns), runtime=Runtime(threads=1, spinning=False)
    )
    picture = np.full((64, 64), 128, np.uint8)
    took_s = []
    for _ in range(8):
        began_s = time.process_time()
        detector.detect(picture)
        took_s.append(time.process_time() - began_s)
    return min(took_s)


def _write(path: Path, base: Path, low: int, high: int) -> Path:
    model = onnx.load(str(base))
    graph = model.graph
    told = graph.output[0].name
    for node in graph.node:
        for place, name in enumerate(node.output):
            if name == told:
                node.output[place] = "told at once"
    start = np.eye(SIDE, dtype=np.float32)
    graph.initializer.extend(
        [
            numpy_helper.from_array(start, "stall start"),
            numpy_helper.from_array(np.array(True), "stall on"),
            numpy_helper.from_array(np.array(0, np.float32), "stall nothing"),
            numpy_helper.from_array(np.array([], np.int64), "stall scalar"),
        ]
    )
    square = [SIDE, SIDE]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["goes on"], ["goes on still"]),
            helper.make_node("MatMul", ["so far", "stall start"], ["one more"]),
        ],
        "stall",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("goes on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("so far", TensorProto.FLOAT, square),
        ],
        [
            helper.make_tensor_value_info("goes on still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("one more", TensorProto.FLOAT, square),
        ],
    )
    graph.node.extend(
        [
            helper.make_node(
                "RandomUniform", [], ["drawn"], shape=[1], low=float(low), high=float(high) + 0.5
            ),
            helper.make_node("Cast", ["drawn"], ["turns 1"], to=TensorProto.INT64),
            helper.make_node("Reshape", ["turns 1", "stall scalar"], ["turns"]),
            helper.make_node("Loop", ["turns", "stall on", "stall start"], ["end"], body=body),
            helper.make_node("ReduceMean", ["end"], ["mean of it"], keepdims=0),
            helper.make_node("Mul", ["mean of it", "stall nothing"], ["stall zero"]),
            helper.make_node("Add", ["told at once", "stall zero"], [told]),
        ]
    )
    onnx.save(model, str(path))
    return path
