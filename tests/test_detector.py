"""A model may judge only when it is the one that was pinned, whole, understood and awake."""

import hashlib
import math
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edge.errors import ImageError, ModelError
from edge.terms import Detection
from edge.vision import lens, plates
from edge.vision.detector import Detector
from tests import tiny_models
from tests.tiny_models import CELL, SIDE, Kind

ROOT = Path(__file__).parent.parent
BASE = ROOT / "models" / "base" / "base.onnx"


def picture(bright: tuple[int, int] | None = (3, 5)) -> npt.NDArray[np.uint8]:
    """A dark picture, white in the cell (row, column)."""
    image = np.full((SIDE, SIDE), 20, np.uint8)
    if bright is not None:
        row, column = bright
        image[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = 255
    return image


def shown(detections: list[Detection]) -> list[tuple[str, float, tuple[float, ...]]]:
    return [
        (d.label, round(d.score, 3), tuple(round(edge, 2) for edge in d.box)) for d in detections
    ]


def write(tmp_path: Path, layout: str = "raw", kind: Kind = "float", **more: float) -> Path:
    return tiny_models.write(tmp_path / "m.onnx", layout, kind, None, **more)


BRIGHT = [("bright", 1.0, (40.0, 24.0, 48.0, 32.0))]


@pytest.mark.parametrize("layout", ["raw", "end_to_end"])
@pytest.mark.parametrize("kind", ["float", "half", "gray", "uint8", "uint8 gray", "dynamic"])
def test_every_layout_and_input_finds_the_same(tmp_path: Path, layout: str, kind: Kind) -> None:
    detector = Detector(write(tmp_path, layout, kind), threads=1)
    assert (detector.layout, detector.imgsz) == (layout, (SIDE, SIDE))
    assert detector.labels == ("bright", "red")
    assert shown(detector.detect(picture())) == BRIGHT
    assert detector.detect(picture(None)) == []


@pytest.mark.parametrize("layout", ["raw segment", "end_to_end segment"])
@pytest.mark.parametrize("kind", ["float", "uint8 gray", "dynamic"])
def test_a_segmented_defect_has_an_area(tmp_path: Path, layout: str, kind: Kind) -> None:
    detector = Detector(write(tmp_path, layout, kind, score_gain=20.0), threads=1)
    image = np.full((4 * SIDE, 4 * SIDE), 20, np.uint8)  # 4 frame px to an input px
    image[:, 160:176] = 255  # the left half of each cell of a column
    found = detector.detect(image, mm_per_px=0.5)
    assert [d.box for d in found] == [(160.0, y, 192.0, y + 32.0) for y in range(0, 256, 32)]
    assert [d.area_mm2 for d in found] == pytest.approx([16 * 32 * 0.25] * 8)
    assert [d.area_mm2 for d in detector.detect(image)] == [None] * 8
    assert detector.areas


def test_a_defect_with_an_empty_mask_has_no_area_rather_than_a_small_one(tmp_path: Path) -> None:
    detector = Detector(write(tmp_path, "raw segment", add_to_masks=-1.0), threads=1)
    (found,) = detector.detect(picture(), mm_per_px=0.5)
    assert (found.width_mm, found.area_mm2) == (4.0, None)


class Idle:
    """A provider that writes nothing and raises nothing."""

    def run_with_iobinding(self, _bound: object) -> None:
        """Nothing."""


def test_an_output_that_was_not_written_is_never_that_of_the_last_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binding = Detector(write(tmp_path, "raw segment"), threads=1).binding()
    binding.prepare(picture())
    assert [bool(np.isfinite(output).all()) for output in binding.run()] == [True, True]
    monkeypatch.setattr(binding, "_session", Idle())
    assert [bool(np.isnan(output).all()) for output in binding.run()] == [True, True]


@pytest.mark.parametrize("kind", ["float", "uint8", "uint8 gray"])
def test_a_device_that_copies_its_input_when_it_is_bound_sees_every_frame(
    tmp_path: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Detector(write(tmp_path, "raw", kind), threads=1)
    bound = detector.binding()._bound
    bind = bound.bind_cpu_input
    monkeypatch.setattr(bound, "bind_cpu_input", lambda name, read: bind(name, read.copy()))
    assert detector.detect(picture(None)) == []
    assert shown(detector.detect(picture())) == BRIGHT
    assert detector.detect(picture(None)) == []


@pytest.mark.parametrize("kind", ["float", "uint8", "uint8 gray"])
def test_a_frame_that_nobody_may_write_into_is_judged_too(tmp_path: Path, kind: Kind) -> None:
    image = picture() if "gray" in kind else np.stack([picture()] * 3, axis=2)
    image.flags.writeable = False
    assert shown(Detector(write(tmp_path, "raw", kind), threads=1).detect(image)) == BRIGHT


def test_a_mask_that_means_nothing_never_says_small(tmp_path: Path) -> None:
    path = write(tmp_path, "raw segment", add_to_masks=math.nan)
    with pytest.raises(ModelError, match="mask"):
        Detector(path, threads=1).detect(picture(), mm_per_px=0.5)


@pytest.mark.parametrize("mm_per_px", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_means_nothing_gives_no_size(tmp_path: Path, mm_per_px: float) -> None:
    (found,) = Detector(write(tmp_path), threads=1).detect(picture(), mm_per_px)
    assert (found.width_mm, found.height_mm) == (None, None)


@pytest.mark.parametrize("kind", ["float", "uint8"])
def test_colours_are_not_swapped(tmp_path: Path, kind: Kind) -> None:
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[:CELL, :CELL, 2] = 255  # red, as OpenCV orders it
    image[CELL : 2 * CELL, :CELL, 0] = 255  # blue
    found = Detector(write(tmp_path, "raw", kind), threads=1).detect(image)
    assert shown(found) == [("red", 1.0, (0.0, 0.0, 8.0, 8.0))]


def test_boxes_are_in_the_pixels_of_a_larger_frame_and_in_mm(tmp_path: Path) -> None:
    wide = np.full((256, 512), 20, np.uint8)  # an eighth of it, with grey above and below
    wide[64:128, 320:384] = 255
    (found,) = Detector(write(tmp_path), threads=1).detect(wide, mm_per_px=0.25)
    assert found == Detection("bright", 1.0, (320.0, 64.0, 384.0, 128.0), 16.0, 16.0)


def test_the_score_floor_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path, score_gain=1.0)
    assert shown(Detector(path, threads=1, score_floor=0.5).detect(picture()))
    assert Detector(path, threads=1, score_floor=0.51).detect(picture()) == []


def test_the_hash_is_that_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert Detector(path, sha256, threads=1).sha256 == sha256


def test_a_model_with_another_hash_than_pinned_does_not_load(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"sha256 is .*, expected {'0' * 64}"):
        Detector(write(tmp_path), "0" * 64, threads=1)


@pytest.mark.parametrize("kind", ["float", "uint8 gray"])
def test_several_threads_share_one_detector_and_each_gets_its_own_answer(
    tmp_path: Path, kind: Kind
) -> None:
    detector = Detector(write(tmp_path, "raw", kind), threads=1)
    wrong: list[object] = []

    def look(row: int) -> None:
        for column in [*range(8)] * 20:
            box = (column * 8.0, row * 8.0, column * 8.0 + 8, row * 8.0 + 8)
            answer = shown(detector.detect(picture((row, column))))
            if answer != [("bright", 1.0, box)]:
                wrong.append(answer)

    threads = [threading.Thread(target=look, args=(row,)) for row in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"names": ""}, "class names"),
        ({"names": "{0: 'a', 2: 'b'}"}, "class names"),
        ({"names": "{}"}, "class names"),
        ({"names": "__import__('os')"}, "names in its metadata"),
        ({"names": "(" * 5000}, "names in its metadata"),
        ({"names": "{0: 'a', 1: 'a'}"}, "one name"),
        ({"names": "{0: 'a', 1: 'b', 2: 'c'}"}, "no detection head of 3 classes"),
        ({"names": "'" + "a" * 200_000 + "'"}, "names in its metadata"),
        ({"task": "pose"}, "'pose'; expected one for 'detect' or 'segment'"),
        ({"task": "segment"}, "1 outputs; expected 1 and 2"),
        ({"end2end": "perhaps"}, "end2end"),
        ({"imgsz": "[32, 32]"}, r"64 x 64 px, but its metadata says \[32, 32\]"),
        ({"imgsz": "'x'"}, "imgsz"),
        ({"imgsz": "[64]"}, "imgsz"),
        ({"end2end": "True"}, "metadata says end to end"),
        ({"end2end": "", "args": "{'nms': True}"}, "metadata says end to end"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(
    tmp_path: Path, metadata: dict[str, str], told: str
) -> None:
    path = tiny_models.write(tmp_path / "m.onnx", metadata=metadata)
    with pytest.raises(ModelError, match=told) as wrong:
        Detector(path, threads=1)
    assert str(path) in str(wrong.value)


@pytest.mark.parametrize(
    ("layout", "metadata"),
    [
        ("raw", {"end2end": "", "imgsz": "64"}),
        ("raw", {"names": "['bright', 'red']"}),
        ("end_to_end", {"end2end": "False", "args": "{'nms': True}"}),
        ("end_to_end", {"end2end": ""}),
        ("end_to_end", {"end2end": "", "args": "{'nms': False}"}),
    ],
)
def test_exports_of_other_versions_are_read(
    tmp_path: Path, layout: str, metadata: dict[str, str]
) -> None:
    path = tiny_models.write(tmp_path / "m.onnx", layout, metadata=metadata)
    assert shown(Detector(path, threads=1).detect(picture())) == BRIGHT


def test_a_graph_without_a_size_needs_one_in_its_metadata(tmp_path: Path) -> None:
    path = tiny_models.write(tmp_path / "m.onnx", kind="dynamic", metadata={"imgsz": ""})
    with pytest.raises(ModelError, match="0 x 0 px"):
        Detector(path, threads=1)


def test_an_unknown_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"\[1, 7, 64\] is no detection head"):
        Detector(write(tmp_path, "odd"), threads=1)


@pytest.mark.parametrize("added", [math.nan, math.inf, 3.0, -3.0])
def test_a_model_whose_scores_mean_nothing_fails_its_warm_up(tmp_path: Path, added: float) -> None:
    with pytest.raises(ModelError, match="scores"):
        Detector(write(tmp_path, add_to_scores=added), threads=1)


def test_a_model_whose_boxes_mean_nothing_never_says_good(tmp_path: Path) -> None:
    detector = Detector(write(tmp_path, add_to_boxes=math.nan), threads=1, score_floor=0.9)
    assert detector.detect(picture(None)) == []
    with pytest.raises(ModelError, match=r"m\.onnx: the model gave a box"):
        detector.detect(picture())


@pytest.mark.parametrize("content", [b"", b"not a model", b"\0" * 1000, None])
def test_a_file_that_is_no_model_is_a_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    with pytest.raises(ModelError, match=str(path)):
        Detector(path, threads=1)


def test_a_missing_model_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        Detector(tmp_path / "no.onnx", threads=1)


@pytest.mark.parametrize(
    "providers", [("CUDAExecutionProvider", "CPUExecutionProvider"), ("NoSuchProvider",), ()]
)
def test_a_provider_that_is_not_there_is_an_error_not_a_slow_line(
    tmp_path: Path, providers: tuple[str, ...]
) -> None:
    with pytest.raises(ModelError, match="provider"):
        Detector(write(tmp_path), providers=providers, threads=1)


@pytest.mark.parametrize("image", [np.zeros((0, 0), np.uint8), np.zeros((5, 5), np.uint16)])
def test_what_is_no_picture_is_refused_and_the_detector_lives_on(
    tmp_path: Path, image: npt.NDArray[np.uint8]
) -> None:
    detector = Detector(write(tmp_path), threads=1)
    with pytest.raises(ImageError):
        detector.detect(image)
    assert shown(detector.detect(picture())) == BRIGHT


def test_an_end_to_end_head_whose_rows_are_all_full_may_hide_the_rest(tmp_path: Path) -> None:
    detector = Detector(write(tmp_path, "end_to_end"), threads=1)
    image = np.full((SIDE, SIDE), 255, np.uint8)
    with pytest.raises(ModelError, match="64 detections or more"):
        detector.detect(image)
    image[-CELL:, -CELL:] = 0
    assert len(detector.detect(image)) == 63


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (1, 3000), (3000, 1, 3), (3, 12000, 3)])
@pytest.mark.parametrize("layout", ["raw", "end_to_end segment"])
def test_a_picture_of_any_shape_is_looked_at(
    tmp_path: Path, layout: str, shape: tuple[int, ...]
) -> None:
    detector = Detector(write(tmp_path, layout), threads=1)
    height, width = shape[:2]
    white = 255 if layout == "raw" or max(shape) > 3 else 120  # see the test above
    for detection in detector.detect(np.full(shape, white, np.uint8), mm_per_px=0.1):
        x1, y1, x2, y2 = detection.box
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height


def test_the_demo_model_finds_planted_defects_and_leaves_a_good_plate_alone() -> None:
    detector = Detector(BASE, threads=1)
    assert detector.labels == plates.CLASSES
    for seed, label in enumerate(plates.CLASSES, 900_000):
        plate = plates.make_plate(seed, (label,), sizes=(1.8, 2.2))
        rng = np.random.default_rng(seed)
        image = lens.expose([(plate, 0.0, 0.0)], lens.Optics(), rng)
        (truth,) = lens.truth_boxes(plate, 0.0, 0.0)
        found = detector.detect(image)
        assert found, label
        assert found[0].label == label
        assert np.allclose(found[0].box, truth.box, atol=12)
    good = plates.make_plate(910_000, (), nuisances=())
    image = lens.expose([(good, 0.0, 0.0)], lens.Optics(), np.random.default_rng(1))
    assert [d for d in detector.detect(image) if d.score >= 0.3] == []
