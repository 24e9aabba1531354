"""An 8-bit model is written only if it decides as the FP32 model does; its head stays FP32."""

import json
from pathlib import Path

import cv2
import onnx
import pytest

from edge.errors import TrainingError
from edge.vision.detector import Detector
from edge.vision.image import decode_image
from models.__main__ import main
from models.quantize import compare, head_of, quantize, rewrite
from models.synth import scene
from tests import tiny_models

BASE = Path(__file__).parent.parent / "models" / "base" / "base.onnx"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plates")
    for seed in range(12):
        cv2.imwrite(str(folder / f"{seed:02}.png"), scene(seed, 0.7, sizes=(1.5, 2.2)).image)
    return folder


def test_the_written_model_decides_alike_and_keeps_its_head_and_its_metadata(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "int8.onnx"
    words = ["quantize", str(BASE), "--pictures", str(pictures), "--out", str(out), "--few"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["agreement"] >= 0.95
    assert told["defects"] > 0
    assert told["bytes"] < 0.5 * told["fp32_bytes"]
    made = onnx.load(str(out))
    feeds = {node.output[0]: node.op_type for node in made.graph.node}
    weights = {  # where each convolution's weights come from
        node.name: feeds.get(node.input[1]) for node in made.graph.node if node.op_type == "Conv"
    }
    head = {name for name in head_of(onnx.load(str(BASE))) if name in weights}
    assert head
    assert {name for name, kind in weights.items() if kind != "DequantizeLinear"} == head
    detector = Detector(out, threads=1)
    assert detector.labels == Detector(BASE, threads=1).labels
    with pytest.raises(TrainingError, match="8 bit already"):
        head_of(made)


def test_a_model_quantized_whole_finds_nothing_and_is_refused(
    pictures: Path, tmp_path: Path
) -> None:
    out, original = tmp_path / "whole.onnx", Detector(BASE)
    images = [decode_image(path) for path in sorted(pictures.iterdir())]
    rewrite(BASE, out, map(original.fed, images[:4]), keep=(), kinds=None)
    found = compare(original, Detector(out), images[4:])
    assert found.defects > 0
    assert found.found == 0
    assert "it finds nothing where the FP32 model finds" in found.fault


def test_what_cannot_be_compared_or_has_no_head_is_not_written(
    pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "int8.onnx"
    with pytest.raises(TrainingError, match=r"expected an ultralytics export"):
        quantize(tiny_models.write(tmp_path / "m.onnx"), pictures, out, 4, "openvino", print, True)
    with pytest.raises(TrainingError, match=r"0 pictures, of which 0 .* expected 34 or more"):
        quantize(BASE, tmp_path / "nowhere", out, 4, "openvino", print)
    with pytest.raises(TrainingError, match=r"12 pictures, of which 6 .* \(--few"):
        quantize(BASE, pictures, out, 100, "openvino", print)
    assert not out.exists()
    with pytest.raises(TrainingError, match="no such folder to write to"):
        quantize(BASE, pictures, tmp_path / "nowhere" / "int8.onnx", 4, "openvino", print)
