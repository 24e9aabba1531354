"""Edges of boxes that are means of distributions are laid along memory, and are the same."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.vision.detector import Detector
from models.distribution import along_memory
from models.importer import take_in

BASE = Path(__file__).parent.parent / "models" / "base" / "base.onnx"
BINS, ANCHORS = 16, 21


def edges() -> onnx.ModelProto:
    """What ultralytics exports between the head's numbers (1, 64, anchors) and its four edges."""
    values: dict[str, np.ndarray] = {
        "apart": np.array([1, 4, BINS, ANCHORS], np.int64),
        "steps": np.arange(BINS, dtype=np.float32).reshape(1, BINS, 1, 1),
        "flat": np.array([1, 4, ANCHORS], np.int64),
    }
    nodes = [
        helper.make_node("Reshape", ["numbers", "apart"], ["laid"]),
        helper.make_node("Transpose", ["laid"], ["turned"], perm=[0, 2, 1, 3]),
        helper.make_node("Softmax", ["turned"], ["shares"], axis=1),
        helper.make_node("Conv", ["shares", "steps"], ["means"], kernel_shape=[1, 1]),
        helper.make_node("Reshape", ["means", "flat"], ["edges"]),
    ]
    graph = helper.make_graph(
        nodes,
        "edges",
        [helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [1, 4 * BINS, ANCHORS])],
        [helper.make_tensor_value_info("edges", TensorProto.FLOAT, [1, 4, ANCHORS])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
        value_info=[
            helper.make_tensor_value_info("means", TensorProto.FLOAT, [1, 1, 4, ANCHORS]),
            helper.make_tensor_value_info("laid", TensorProto.FLOAT, [1, 4, BINS, ANCHORS]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def answers(model: onnx.ModelProto) -> list[np.ndarray]:
    """Of numbers as large as they come, and larger."""
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(3)
    shape = (1, 4 * BINS, ANCHORS)
    numbers = [rng.normal(0, width, shape).astype(np.float32) for width in (1, 5, 300)]
    return [np.asarray(session.run(None, {"numbers": one})[0]) for one in numbers]


def test_the_same_edges_come_from_numbers_along_memory() -> None:
    model = edges()
    before = model.SerializeToString()
    laid = along_memory(model)
    assert model.SerializeToString() == before
    kinds = [node.op_type for node in laid.graph.node]
    assert kinds == ["Reshape", "Transpose", "Softmax", "MatMul", "Reshape"]
    assert [entry.i for entry in laid.graph.node[2].attribute] == [3]
    assert {tensor.name for tensor in laid.graph.initializer} == {"apart", "flat", "steps upright"}
    assert [value.name for value in laid.graph.value_info] == ["laid"]
    for first, second in zip(answers(model), answers(laid), strict=True):
        assert np.allclose(first, second, atol=1e-5)
        assert np.ptp(first) > 1


def with_another_turn(model: onnx.ModelProto) -> None:
    model.graph.node[1].attribute[0].CopyFrom(helper.make_attribute("perm", [0, 2, 3, 1]))


def with_another_axis(model: onnx.ModelProto) -> None:
    model.graph.node[2].attribute[0].CopyFrom(helper.make_attribute("axis", 3))


def with_a_bias(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.float32), "bias"))
    model.graph.node[3].input.append("bias")


def with_a_bias_from_elsewhere(model: onnx.ModelProto) -> None:
    model.graph.node[3].input.append("elsewhere")


def with_steps(model: onnx.ModelProto) -> None:
    model.graph.node[3].attribute.append(helper.make_attribute("strides", [1, 3]))


def with_a_border(model: onnx.ModelProto) -> None:
    model.graph.node[3].attribute.append(helper.make_attribute("pads", [0, 0, 0, 3]))


def with_two_sums(model: onnx.ModelProto) -> None:
    twice = np.ones((2, BINS, 1, 1), np.float32)
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(twice, "steps"))


def with_weights_from_elsewhere(model: onnx.ModelProto) -> None:
    model.graph.node[3].input[1] = "elsewhere"


def read_as_it_lies(model: onnx.ModelProto) -> None:
    model.graph.node[4].op_type = "Identity"
    del model.graph.node[4].input[1]


def read_twice(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", ["shares"], ["again"]))


def turned_for_two(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", ["turned"], ["again"]))


def given_out(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("means", TensorProto.FLOAT, None))


def of_an_old_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 12


def straight_from_the_input(model: onnx.ModelProto) -> None:
    del model.graph.node[:2]
    model.graph.node[0].input[0] = "numbers"


@pytest.mark.parametrize(
    "change",
    [
        with_another_turn,
        with_another_axis,
        with_a_bias,
        with_a_bias_from_elsewhere,
        with_steps,
        with_a_border,
        with_two_sums,
        with_weights_from_elsewhere,
        read_as_it_lies,
        read_twice,
        turned_for_two,
        given_out,
        of_an_old_opset,
        straight_from_the_input,
    ],
)
def test_what_only_looks_like_it_stays(change: Callable[[onnx.ModelProto], None]) -> None:
    model = edges()
    change(model)
    assert along_memory(model) == model


def test_steps_that_another_node_reads_stay() -> None:
    model = edges()
    model.graph.node.append(helper.make_node("Identity", ["steps"], ["again"]))
    assert "steps" in {tensor.name for tensor in along_memory(model).graph.initializer}


def test_an_imported_model_has_its_edges_along_memory(tmp_path: Path) -> None:
    out = tmp_path / "model.onnx"
    take_in(BASE, out, False, None)
    kinds = {
        node.op_type: [entry.i for entry in node.attribute if entry.name == "axis"]
        for node in onnx.load(out).graph.node
        if "/dfl/" in node.name
    }
    assert kinds["Softmax"] == [3]
    assert "MatMul" in kinds
    assert "Conv" not in kinds
    assert Detector(out, threads=1).labels == Detector(BASE, threads=1).labels
