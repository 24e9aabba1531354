"""OpenVINO itself, in the interpreter where it runs: it takes the work and finds the same."""

import json
import subprocess
from pathlib import Path

import cv2
import pytest

from bench.turns import openvino_python
from edge.vision.detector import Detector
from models.synth import scene

ROOT = Path(__file__).parent.parent
BASE = ROOT / "models" / "base" / "base.onnx"

pytestmark = pytest.mark.needs_openvino

DETECT = """
import json, sys
from pathlib import Path
from edge.settings import Runtime
from edge.vision.detector import Detector
from edge.vision.image import decode_image
runtime = Runtime(providers=("openvino",), threads=1, workers=2)
detector = Detector(Path(sys.argv[1]), runtime=runtime)
found = detector.detect(decode_image(Path(sys.argv[2])))
print(json.dumps([str(detector.report), [[d.label, d.score, d.box] for d in found]]))
"""


@pytest.fixture(scope="module")
def python() -> Path:
    found = openvino_python.find()
    assert found is not None, "OpenVINO runs in no interpreter here: `make openvino-env`"
    return found


def asked(python: Path, *words: object) -> str:
    done = subprocess.run(
        [python, *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_openvino_takes_every_node_and_finds_what_the_cpu_finds(
    python: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "plate.png"
    image = scene(3, 1.0, sizes=(1.5, 2.2)).image
    cv2.imwrite(str(picture), image)
    report, found = json.loads(asked(python, "-c", DETECT, BASE, picture))
    assert report.startswith("openvino on CPU (320 nodes); onnxruntime ")
    expected = Detector(BASE, threads=1).detect(image)
    assert expected
    assert [label for label, _score, _box in found] == [d.label for d in expected]
    for (_label, score, box), detection in zip(found, expected, strict=True):
        assert score == pytest.approx(detection.score, abs=1e-3)
        assert box == pytest.approx(detection.box, abs=0.1)


def test_tuning_tries_openvino(python: Path) -> None:
    words = ["-m", "edge", "tune", "--model", BASE, "--providers", "openvino", "--rounds", 1]
    told = json.loads(asked(python, *words, "--json"))
    assert told["runtime"]["providers"] == ["openvino"]
    assert told["runs_on"].startswith("openvino on CPU")
