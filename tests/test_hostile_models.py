"""A model file from anywhere: what is no detector is refused in a sentence, and reads no other."""

import contextlib
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edge.errors import ModelError
from edge.vision.detector import Detector
from tests import tiny_models

FLOAT = TensorProto.FLOAT
NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)

Shape = list[int | str] | None


def model(
    takes: Shape = None,
    gives: Shape = None,
    constant: np.ndarray | None = None,
    cast: int = FLOAT,
    **words: str,
) -> onnx.ModelProto:
    """A model that looks at the picture and answers a constant."""
    value = np.zeros((1, 6, 10), np.float32) if constant is None else constant
    takes = [1, 3, 64, 64] if takes is None else takes
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
            helper.make_node("Add", ["value", "zero"], ["same"]),
            helper.make_node("Cast", ["same"], ["output0"], to=cast),
        ],
        "constant",
        [helper.make_tensor_value_info("images", FLOAT, takes)],
        [helper.make_tensor_value_info("output0", cast, gives)],
        [
            numpy_helper.from_array(value, "value"),
            numpy_helper.from_array(np.zeros((), np.float32), "nothing"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    helper.set_model_props(made, {"names": "{0: 'a', 1: 'b'}", **words})
    return made


def changing(path: Path) -> Path:
    """A model that gives [1, n, 6], n = how many numbers of the picture's first plane are not 0."""
    numbers = {"from": [0], "to": [1], "axis": [1], "one": [1], "six": [6]}
    nodes = [
        helper.make_node("Slice", ["images", "from", "to", "axis"], ["plane"]),
        helper.make_node("NonZero", ["plane"], ["places"]),
        helper.make_node("Shape", ["places"], ["sides"]),
        helper.make_node("Gather", ["sides", "one"], ["count"]),
        helper.make_node("Concat", ["one", "count", "six"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "changing",
        [helper.make_tensor_value_info("images", FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("output0", FLOAT, None)],
        [numpy_helper.from_array(np.array(v, np.int64), name) for name, v in numbers.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    helper.set_model_props(made, {"names": "{0: 'a', 1: 'b'}"})
    return saved(path, made)


def saved(path: Path, made: onnx.ModelProto) -> Path:
    path.write_bytes(made.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (model(takes=[1, 3, 2**31 - 1, 2**31 - 1]), "expected 1 to 8192 each"),
        (model(takes=[1, 3, 0, 64]), "takes 0 x 64 px"),
        (model(takes=[1, 3, -5, 64]), "takes 0 x 64 px"),
        (model(takes=[1, 3, 64, 64, 1]), "expected one picture"),
        (model(takes=[1, 4, 64, 64]), "4 channels"),
        (model(takes=[1, 3, "h", "w"], imgsz="[8192, 8192]"), "takes 67108864 px"),
        (model(takes=[1, 3, "h", "w"], imgsz=f"[{10**30}, 64]"), "expected 1 to 8192 each"),
        (model(cast=TensorProto.INT64), r"tensor\(int64\); expected a tensor of floats"),
        (model(cast=TensorProto.STRING), r"tensor\(string\); expected a tensor of floats"),
        (model(constant=np.zeros((), np.float32)), r"output \[\] is no detection head"),
        (model(constant=np.zeros((1, 6, 0), np.float32)), r"\[1, 6, 0\] is no detection head"),
        (model(constant=np.full((1, 6, 10), np.nan, np.float32)), "scores from nan"),
        (model(names="{'a', 'b'}"), "class names"),
        (model(names="{[1]: 2}"), "names in its metadata"),
        (model(names="-" * 90_000 + "1"), "names in its metadata"),
        (model(names="{0: " * 900 + "1" + "}" * 900), "names in its metadata"),
        (model(names="'" + "a" * 200_000 + "'"), "names in its metadata"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_graph_that_is_no_detector_is_a_sentence(
    tmp_path: Path, made: onnx.ModelProto, told: str
) -> None:
    path = saved(tmp_path / "m.onnx", made)
    with pytest.raises(ModelError, match=told) as wrong:
        Detector(path, threads=1)
    assert str(path) in str(wrong.value)


def test_an_output_that_promises_gigabytes_is_refused_before_it_runs(tmp_path: Path) -> None:
    made = model(gives=[1, 6, 2**40])
    node = made.graph.node[-1]
    node.op_type = "Expand"
    del node.attribute[:]
    node.input.append("shape")
    shape = numpy_helper.from_array(np.array([1, 6, 2**40], np.int64), "shape")
    made.graph.initializer.append(shape)
    made.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(np.zeros((1, 6, 1), np.float32), "value")
    )
    with pytest.raises(ModelError, match="expected at most 64000000 numbers"):
        Detector(saved(tmp_path / "m.onnx", made), threads=1)


@pytest.mark.parametrize("place", ["beside.bin", "../beside.bin", "/etc/passwd"])
def test_weights_in_another_file_are_never_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    made = model()
    value = made.graph.initializer[0]
    value.ClearField("raw_data")
    value.data_location = TensorProto.EXTERNAL
    for key, text in {"location": place, "offset": "0", "length": "240"}.items():
        value.external_data.add(key=key, value=text)
    work = tmp_path / "work"
    work.mkdir()
    for folder in (work, tmp_path):
        (folder / "beside.bin").write_bytes(np.full(60, 0.25, np.float32).tobytes())
    monkeypatch.chdir(work)
    with pytest.raises(ModelError, match="xternal data"):
        Detector(saved(work / "m.onnx", made), threads=1)


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    for path in (tmp_path, tmp_path / "pipe.onnx", Path("a\0b.onnx")):
        with pytest.raises(ModelError, match="cannot be read"):
            Detector(path, threads=1)


def test_as_many_rows_as_there_are_this_time(tmp_path: Path) -> None:
    detector = Detector(changing(tmp_path / "m.onnx"), threads=1)
    for bright in (0, 1, 64, 0):
        image = np.zeros((64, 64, 3), np.uint8)
        image[0, :bright, 2] = 255
        binding = detector.binding()
        binding.prepare(image)
        assert binding.run()[0].shape == (1, bright, 6)
        assert detector.detect(image) == []


def test_a_head_that_turns_into_another_is_refused(tmp_path: Path) -> None:
    detector = Detector(changing(tmp_path / "m.onnx"), threads=1)
    placed = detector.binding().prepare(NOISE)
    assert detector.layout == "end_to_end"
    with pytest.raises(ModelError, match="it was end_to_end before"):
        detector.read([np.zeros((1, 6, 9), np.float32)], placed)


SOURCES: list[tuple[str, tiny_models.Kind]] = [
    ("raw", "float"),
    ("end_to_end", "uint8"),
    ("raw segment", "dynamic"),
]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_model_judges_or_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    layout, kind = data.draw(st.sampled_from(SOURCES))
    path = tmp_path / "m.onnx"
    content = bytearray(tiny_models.write(path, layout, kind).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    path.write_bytes(content)
    with contextlib.suppress(ModelError):
        assert all(0 <= d.score <= 1 for d in Detector(path, threads=1).detect(NOISE, 0.5))
