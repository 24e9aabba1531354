"""Anomaly models: made of good parts only, run like any detector, and nothing else is one."""

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edge.errors import EdgeError, ImageError, ModelError, TrainingError
from edge.vision import anomaly
from edge.vision.anomaly import Anomaly
from edge.vision.detector import Detector
from edge.vision.lens import Optics, expose
from edge.vision.plates import FLANGE, make_plate
from models.__main__ import main
from models.anomaly import Making, learn, make
from tests import tiny_backbone, tiny_models
from tests.flat_parts import Image, board, seen

BASE = Path(__file__).parent.parent / "models" / "base" / "base.onnx"


def good_part(number: int) -> Image:
    rng = np.random.default_rng(number)
    dx, dy = rng.uniform(-6, 6, 2)
    return seen(board(), dx, dy, gain=float(rng.uniform(0.9, 1.1)), noise=2)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    for number in range(12):
        cv2.imwrite(str(folder / f"{number:02}.png"), good_part(number))
    return folder


@pytest.fixture(scope="module")
def model(good: Path) -> Path:
    base = tiny_backbone.write(good.parent / "tiny-backbone.onnx")
    out = good.parent / "boards.onnx"
    make(Making(good, base, out, max_shift_px=14), lambda _text: None)
    return out


def opened(path: Path, floor: float = 0.05) -> Anomaly:
    return Anomaly(Detector(path, threads=1, score_floor=floor))


def test_a_good_part_passes_and_what_is_new_on_it_is_found_where_it_is(model: Path) -> None:
    detector = opened(model)
    for number in range(100, 110):
        part = good_part(number)
        assert [d for d in detector.detect(part) if d.score >= 0.5] == []
    bad = board()
    bad[120:134, 104:118] = 250
    found = detector.detect(seen(bad, 4, -3), mm_per_px=0.5)[0]
    assert (found.label, found.score > 0.9) == ("anomaly", True)
    x1, y1, x2, y2 = found.box
    assert x1 <= 109 < 121 <= x2
    assert y1 <= 118 < 130 <= y2
    assert max(x2 - x1, y2 - y1) < 60
    assert found.width_mm == pytest.approx((x2 - x1) / 2)


def test_the_base_model_describes_a_plate_it_has_never_seen(tmp_path: Path) -> None:
    def plate(seed: int, defects: tuple[str, ...] = ()) -> Image:
        rng = np.random.default_rng(seed)
        x, y = rng.uniform(-4, 4, 2)
        drawn = make_plate(seed, defects, nuisances=(), design=FLANGE)
        return expose([(drawn, float(x), float(y))], Optics(), rng)

    folder = tmp_path / "good"
    folder.mkdir()
    for seed in range(10):
        cv2.imwrite(str(folder / f"{seed}.png"), plate(seed))
    made = make(Making(folder, BASE, tmp_path / "flange.onnx"), lambda _text: None)
    detector = opened(tmp_path / "flange.onnx")
    assert made["cells"] == [40, 40]
    assert max((d.score for d in detector.detect(plate(50))), default=0) < 0.5
    assert detector.detect(plate(51, ("missing_hole",)))[0].score >= 0.5


def test_a_part_that_is_not_in_its_place_cannot_be_judged(model: Path) -> None:
    detector = opened(model)
    for frame in (np.full((160, 160), 120, np.uint8), board()[:80], np.zeros((1, 1), np.uint8)):
        with pytest.raises(ImageError):
            detector.detect(frame)


def test_a_part_unlike_the_good_ones_in_more_places_than_are_told_is_no_verdict(
    model: Path, tmp_path: Path
) -> None:
    graph = onnx.load(str(model))
    (most,) = (t for t in graph.graph.initializer if t.name == "own most")
    most.CopyFrom(numpy_helper.from_array(np.array([4], np.int64), most.name))
    graph.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 4
    onnx.save(graph, str(tmp_path / "few.onnx"))
    detector = opened(tmp_path / "few.onnx", floor=0.5)
    assert detector.detect(board()) == []
    bad = board()
    bad[110:134, 100:124] = 225
    with pytest.raises(ImageError, match="in 4 places or more"):
        detector.detect(bad)


def test_the_same_pictures_make_the_same_file(good: Path, model: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.onnx"
    make(Making(good, good.parent / "tiny-backbone.onnx", again, max_shift_px=14), lambda _t: None)
    assert again.read_bytes() == model.read_bytes()


def test_the_score_is_half_three_deviations_above_what_good_parts_reach() -> None:
    maps = np.zeros((11, 1, 1, 2), np.float32)  # one feature of two cells
    maps[:, 0, 0, 0] = [-1, 1] * 5 + [5]  # the last part stands out, in the first cell
    highest = []
    for part in range(11):
        others = np.delete(maps[:, 0, 0, 0], part)
        deviation = np.sqrt(others.var() + 0.1 * others.var() / 2)
        highest.append(abs(maps[part, 0, 0, 0] - others.mean()) / deviation)
    usual = learn(maps)
    assert usual.mean[0, 0].tolist() == pytest.approx([5 / 11, 0])
    assert usual.step == pytest.approx(np.std(highest), rel=1e-4)
    assert usual.limit == pytest.approx(np.mean(highest) + 3 * np.std(highest), rel=1e-4)


def test_parts_that_do_not_differ_at_all_still_make_a_model() -> None:
    flat = learn(np.ones((12, 6, 5, 5), np.float32))
    assert flat.deviation.min() > 0
    assert flat.step > 0


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        (None, "", "no anomaly model"),
        ("thumbnail", "!!", "no anomaly model"),
        ("thumbnail", "", "file is empty"),
        ("thumbnail", "A" * 300_000, "no anomaly model"),
        ("max_shift_px", -1, "no anomaly model"),
        ("max_shift_px", 900, "too far"),
        ("max_shift_px", "far", "no anomaly model"),
        ("width", 10**9, "no anomaly model"),
        ("width", 16_000, "does not belong to a picture"),
        ("other", 1, "no anomaly model"),
    ],
)
def test_metadata_that_means_nothing_is_refused(
    model: Path, tmp_path: Path, key: str | None, value: object, sentence: str
) -> None:
    graph = onnx.load(model)
    props = {p.key: p.value for p in graph.metadata_props}
    said = json.loads(props[anomaly.NOTE])
    props[anomaly.NOTE] = json.dumps({**said, key: value}) if key else str(value)
    del graph.metadata_props[:]
    helper.set_model_props(graph, props)
    path = tmp_path / "other.onnx"
    onnx.save(graph, str(path))
    with pytest.raises(ModelError, match=sentence):
        opened(path)


def test_a_file_that_is_cut_changed_or_no_anomaly_model_is_refused(
    model: Path, tmp_path: Path
) -> None:
    short = tmp_path / "short.onnx"
    short.write_bytes(model.read_bytes()[:-2000])
    with pytest.raises(ModelError):
        opened(short)
    with pytest.raises(ModelError, match="expected 0000"):
        Detector(model, sha256="0" * 64)
    with pytest.raises(ModelError, match="no anomaly model"):
        opened(tiny_models.write(tmp_path / "tiny.onnx"))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            lambda folder: (folder / "00.png").unlink(),
            "9 pictures of good parts; expected",
        ),
        (lambda folder: (folder / "03.png").write_bytes(b"no picture"), "03.png: not a PNG"),
        (
            lambda folder: cv2.imwrite(str(folder / "04.png"), np.full((160, 160), 99, np.uint8)),
            "04.png: .*not in the picture",
        ),
    ],
)
def test_pictures_that_make_no_model_are_named(
    tmp_path: Path, spoil: object, sentence: str
) -> None:
    for number in range(10):
        cv2.imwrite(str(tmp_path / f"{number:02}.png"), good_part(number))
    spoil(tmp_path)  # type: ignore[operator]
    base = tiny_backbone.write(tmp_path / "tiny-backbone.onnx")
    with pytest.raises(EdgeError, match=sentence):
        make(Making(tmp_path, base, tmp_path / "out.onnx"), lambda _text: None)
    assert not (tmp_path / "out.onnx").exists()


def test_a_graph_without_a_backbone_is_refused(good: Path, tmp_path: Path) -> None:
    one_scale = tiny_backbone.write(tmp_path / "one.onnx", scales=1)
    nonsense = tmp_path / "nonsense.onnx"
    nonsense.write_bytes(b"\xff" * 50)
    empty = tmp_path / "empty.onnx"
    empty.write_bytes(b"")
    for base, sentence in (
        (one_scale, "no map of 16 x 16 cells"),
        (nonsense, "as ONNX"),
        (empty, "empty.onnx: no backbone can be cut out of it"),
    ):
        with pytest.raises(TrainingError, match=sentence):
            make(Making(good, base, tmp_path / "out.onnx"), lambda _text: None)


def test_the_command_says_what_it_made(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tiny_backbone.write(tmp_path / "base.onnx")
    words = f"anomaly --good {good} --model {base} --out {tmp_path / 'new.onnx'} --label odd"
    assert main(words.split()) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["parts"], told["cells"]) == (12, [16, 16])
    assert Detector(tmp_path / "new.onnx", sha256=told["sha256"], threads=1).labels == ("odd",)
    assert main(words.replace(str(base), "gone.onnx").split()) == 1
