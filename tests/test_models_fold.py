"""A folded model takes the camera's bytes and says the same; what cannot be folded stays out."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.errors import ModelError
from edge.vision.detector import Detector
from models.__main__ import main
from models.fold import fold
from models.importer import FP32, take_in
from models.sameness import prove
from tests import tiny_models

ROOT = Path(__file__).parent.parent
BASE = ROOT / "models" / "base" / "base.onnx"
SIDE, CELLS = 64, 64
HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT

Picture = npt.NDArray[np.uint8]


def made(half: bool = False, cast: bool = False, gain: float = 0.2) -> onnx.ModelProto:
    """One convolution with padding, then a raw head of two classes: [1, 6, 64]."""
    rng = np.random.default_rng(5)
    kind = np.float16 if half else np.float32
    row, column = np.divmod(np.arange(CELLS), 8)
    boxes = np.stack([column * 8 + 4, row * 8 + 4, np.full(64, 9), np.full(64, 9)])
    values = {
        "weights": rng.normal(0, gain, (6, 3, 9, 9)).astype(kind),
        "bias": rng.normal(0, 0.1, 6).astype(kind),
        "cells": boxes[None].astype(kind),
        "flat": np.array([1, 6, CELLS], np.int64),
        "parts": np.array([4, 2], np.int64),
    }
    nodes = [
        helper.make_node(
            "Conv",
            ["half" if cast else "images", "weights", "bias"],
            ["seen"],
            pads=[1, 1, 0, 0],
            strides=[8, 8],
        ),
        helper.make_node("Reshape", ["seen", "flat"], ["rows"]),
        helper.make_node("Split", ["rows", "parts"], ["moves", "levels"], axis=1),
        helper.make_node("Add", ["moves", "cells"], ["boxes"]),
        helper.make_node("Sigmoid", ["levels"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["output0"], axis=1),
    ]
    if cast:
        nodes.insert(0, helper.make_node("Cast", ["images"], ["half"], to=HALF))
    element = HALF if half else FLOAT
    graph = helper.make_graph(
        nodes,
        "small",
        [
            helper.make_tensor_value_info(
                "images", FLOAT if cast or not half else HALF, [1, 3, SIDE, SIDE]
            )
        ],
        [helper.make_tensor_value_info("output0", element, [1, 6, CELLS])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    words = {"task": "detect", "names": "{0: 'a', 1: 'b'}", "imgsz": "[64, 64]", "channels": "3"}
    helper.set_model_props(model, words)
    return model


def saved(path: Path, model: onnx.ModelProto) -> Path:
    onnx.save(model, str(path))
    return path


def loaded(path: Path, model: onnx.ModelProto) -> Detector:
    return Detector(saved(path, model), threads=1)


def pictures(gray: bool) -> list[Picture]:
    rng = np.random.default_rng(1)
    shape = (SIDE, SIDE) if gray else (SIDE, SIDE, 3)
    return [rng.integers(0, top, shape, np.uint8) for top in (256, 60)]


def answer(detector: Detector, picture: Picture) -> npt.NDArray[np.float32]:
    binding = detector.binding()
    binding.prepare(picture)
    return binding.run()[0]


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize(("half", "cast"), [(False, False), (True, False), (True, True)])
def test_a_folded_model_takes_bytes_and_answers_the_same(
    tmp_path: Path, half: bool, cast: bool, gray: bool
) -> None:
    before = loaded(tmp_path / "a.onnx", made(half, cast))
    after = loaded(tmp_path / "b.onnx", fold(made(half, cast), gray))
    (asked,) = after.session.get_inputs()
    assert (asked.type, asked.shape) == ("tensor(uint8)", [1, SIDE, SIDE, 1 if gray else 3])
    assert (after.labels, after.layout, after.channels) == (("a", "b"), "raw", 1 if gray else 3)
    for picture in pictures(gray):
        first, second = (answer(detector, picture) for detector in (before, after))
        assert np.allclose(first[0, :4], second[0, :4], atol=0.3 if half else 1e-4)
        assert np.allclose(first[0, 4:], second[0, 4:], atol=5e-3 if half else 1e-5)
        assert np.ptp(first[0, 4:]) > 0.1


def dilated(model: onnx.ModelProto) -> None:
    """Every second pixel, under a kernel of 5 x 5 that is as wide as that of 9 x 9."""
    weights = numpy_helper.to_array(model.graph.initializer[0])[:, :, ::2, ::2]
    kept = numpy_helper.from_array(np.ascontiguousarray(weights), "weights")
    model.graph.initializer[0].CopyFrom(kept)
    model.graph.node[0].attribute.append(helper.make_attribute("dilations", [2, 2]))


def padded_by_rule(model: onnx.ModelProto) -> None:
    """One pixel, before or behind."""
    (pads,) = (entry for entry in model.graph.node[0].attribute if entry.name == "pads")
    pads.CopyFrom(helper.make_attribute("auto_pad", "SAME_LOWER"))


def without_width(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_param = "width"


def without_height(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"


def with_the_usual_steps(model: onnx.ModelProto) -> None:
    """No steps or padding said: steps of 1 and none, over a picture cut into cells before."""
    shrink = helper.make_node("MaxPool", ["seen"], ["cells seen"], kernel_shape=[8, 8])
    shrink.attribute.append(helper.make_attribute("strides", [8, 8]))
    model.graph.node[1].input[0] = "cells seen"
    model.graph.node.insert(1, shrink)
    del model.graph.node[0].attribute[:]
    shrink = model.graph.node[1]
    shrink.attribute.append(helper.make_attribute("pads", [4, 4, 4, 4]))


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize(
    ("change", "laid"),
    [
        (with_the_usual_steps, "Reshape"),
        (without_height, "Reshape"),
        (dilated, "Transpose"),
        (padded_by_rule, "Transpose"),
        (without_width, "Transpose"),
    ],
)
def test_any_first_convolution_is_folded(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], laid: str, gray: bool
) -> None:
    model = made()
    change(model)
    folded = fold(model, gray)
    assert [node.op_type for node in folded.graph.node][:3] == ["Cast", laid, "Conv"]
    before, after = loaded(tmp_path / "a.onnx", model), loaded(tmp_path / "b.onnx", folded)
    for picture in pictures(gray):
        first, second = (answer(detector, picture) for detector in (before, after))
        assert np.allclose(first, second, atol=1e-4)
        assert np.ptp(first[0, 4:]) > 0.1


def test_the_given_model_is_left_as_it_is() -> None:
    model = made()
    before = model.SerializeToString()
    words = {entry.key: entry.value for entry in fold(model, gray=True).metadata_props}
    assert model.SerializeToString() == before
    assert (words["names"], words["channels"]) == ("{0: 'a', 1: 'b'}", "1")


def test_weights_that_another_node_reads_stay() -> None:
    model = made()
    assert "weights" not in {t.name for t in fold(model).graph.initializer}
    model.graph.node.append(helper.make_node("Identity", ["weights"], ["again"]))
    assert "weights" in {t.name for t in fold(model).graph.initializer}


def read_twice(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", ["images"], ["again"]))


def scaled_first(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Mul", ["images", "bias"], ["scaled"]))
    model.graph.node[1].input[0] = "scaled"


def read_in_a_branch(model: onnx.ModelProto) -> None:
    out = helper.make_tensor_value_info("inner", FLOAT, None)
    branch = helper.make_graph(
        [helper.make_node("Identity", ["images"], ["inner"])], "branch", [], [out]
    )
    model.graph.node.append(
        helper.make_node("If", ["flat"], ["again"], then_branch=branch, else_branch=branch)
    )


def computed_weights(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[1] = "made elsewhere"


def in_groups(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("group", 3))


def outside_weights(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def of_doubles(model: onnx.ModelProto) -> None:
    weights = numpy_helper.to_array(model.graph.initializer[0]).astype(np.float64)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "weights"))


def one_channel(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1


def two_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", FLOAT, [1]))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (read_twice, "goes into Conv, Identity"),
        (read_in_a_branch, "goes into Conv, If"),
        (scaled_first, "goes into Mul; it can be folded only where it goes into one Conv"),
        (computed_weights, "no constant"),
        (in_groups, "no constant"),
        (outside_weights, "another file"),
        (of_doubles, "neither FP32 nor FP16"),
        (one_channel, r"takes \[1, 1, 64, 64\]"),
        (two_inputs, "takes 2 inputs"),
    ],
)
def test_what_cannot_be_folded_is_refused(spoil: object, told: str) -> None:
    model = made()
    assert callable(spoil)
    spoil(model)
    with pytest.raises(ModelError, match=told):
        fold(model)
    with pytest.raises(ModelError, match="folded"):
        fold(fold(made()))


def test_import_writes_a_model_and_says_how_far_it_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.onnx"
    assert main(["import", str(BASE), "--out", str(out), "--gray"]) == 0
    said = json.loads(capsys.readouterr().out)
    detector = Detector(out, said["sha256"], threads=1)
    assert detector.channels == 1
    assert said["input"] == "uint8 gray"
    assert said["from_sha256"] == Detector(BASE, threads=1).sha256
    assert (said["pictures"], said["boxes"]) == (8, 8 * 2100)
    assert 0 < said["box_px"] < FP32.box_px
    assert 0 < said["score"] < FP32.score
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def drawing_lots(model: onnx.ModelProto) -> None:
    model.graph.node[3].output[0] = "about"
    lots = [
        helper.make_node("RandomUniform", [], ["lots"], shape=[1, 4, CELLS], high=0.5),
        helper.make_node("Add", ["about", "lots"], ["boxes"]),
    ]
    for node in reversed(lots):
        model.graph.node.insert(4, node)


@pytest.mark.parametrize(
    ("spoil", "gain", "told"),
    [(drawing_lots, 0.2, "boxes differ by 0"), (None, 0.0, "nothing is proved")],
)
def test_a_model_that_is_not_proved_the_same_is_not_written(
    tmp_path: Path, spoil: object, gain: float, told: str
) -> None:
    model = made(gain=gain)
    if callable(spoil):
        spoil(model)
    source = saved(tmp_path / "a.onnx", model)
    with pytest.raises(ModelError, match=told) as wrong:
        take_in(source, tmp_path / "b.onnx", False, None)
    assert str(source) in str(wrong.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_a_folded_model_with_its_channels_the_wrong_way_round_is_caught(tmp_path: Path) -> None:
    wrong = fold(made())
    weights = next(t for t in wrong.graph.initializer if t.name == "weights folded")
    turned = numpy_helper.to_array(weights).reshape(6, 1, 9, 9, 3)[..., ::-1].reshape(6, 1, 9, 27)
    weights.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(turned), weights.name))
    before, after = loaded(tmp_path / "a.onnx", made()), loaded(tmp_path / "b.onnx", wrong)
    with pytest.raises(ModelError, match="boxes differ"):
        prove(before, after, pictures(gray=False), FP32)


def test_end_to_end_rows_are_compared_with_their_nearest(tmp_path: Path) -> None:
    before = Detector(tiny_models.write(tmp_path / "a.onnx", "end_to_end", "float"), threads=1)
    after = Detector(tiny_models.write(tmp_path / "b.onnx", "end_to_end", "uint8"), threads=1)
    moved = tiny_models.write(tmp_path / "c.onnx", "end_to_end", "uint8", add_to_boxes=0.25)
    said = prove(before, after, pictures(gray=True), FP32)
    assert said["boxes"]
    with pytest.raises(ModelError, match=r"boxes differ by 0\.25 px"):
        prove(before, Detector(moved, threads=1), pictures(gray=True), FP32)
    nowhere = tiny_models.write(
        tmp_path / "e.onnx", "end_to_end", "uint8", add_to_boxes=float("nan")
    )
    with pytest.raises(ModelError, match="boxes differ by nan px"):
        prove(before, Detector(nowhere, threads=1), pictures(gray=True), FP32)
    other = onnx.load(tmp_path / "b.onnx")
    kinds = next(tensor for tensor in other.graph.initializer if tensor.name == "kinds")
    kinds.CopyFrom(numpy_helper.from_array(np.ones((1, 1, 64), np.float32), "kinds"))
    with pytest.raises(ModelError, match="boxes differ by inf px"):
        prove(before, loaded(tmp_path / "d.onnx", other), pictures(gray=True), FP32)
    with pytest.raises(ModelError, match="no box on any picture"):
        prove(before, after, [np.zeros((SIDE, SIDE), np.uint8)] * 2, FP32)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{folder}/no.onnx"], "no.onnx: cannot be read"),
        (["{folder}/noise.onnx"], "noise.onnx"),
        ([str(BASE), "--pictures", "{folder}"], "no PNG, JPEG or BMP picture in it"),
    ],
)
def test_what_cannot_be_imported_is_exit_1_and_a_sentence(
    tmp_path: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "noise.onnx").write_bytes(b"\x08\x07" * 500)
    given = [word.format(folder=tmp_path) for word in words]
    assert main(["import", *given, "--out", str(tmp_path / "out.onnx")]) == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out.onnx").exists()


def test_pictures_of_a_folder_are_what_it_is_compared_on(tmp_path: Path) -> None:
    golden = BASE.parent / "golden"
    said = take_in(BASE, tmp_path / "out.onnx", False, golden)
    assert said["pictures"] == len(list(golden.glob("*.png")))


def test_a_folded_export_is_compared_on_the_pictures_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, trainer, golden = tmp_path / "w.pt", tmp_path / "trainer", BASE.parent / "golden"
    weights.touch()
    trainer.write_text(
        f"#!{sys.executable}\n"
        "import json, shutil, sys\n"
        f"shutil.copy({str(BASE)!r}, json.loads(sys.argv[-1])['out'])\n"
        "print('{}')\n",
        encoding="utf-8",
    )
    trainer.chmod(0o755)
    words = ["export", "--weights", str(weights), "--out", str(tmp_path / "out.onnx"), "--fold"]
    words += ["--trainer-python", str(trainer), "--pictures", str(golden)]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == len(list(golden.glob("*.png")))
