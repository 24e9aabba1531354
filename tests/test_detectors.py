"""A recipe with several detectors: all its files held to the pins, all its classes to limits."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge import settings, sight
from edge.comparisons import model_floor, seconds
from edge.errors import ModelError, SettingsError
from edge.eye import Eye
from edge.pairing import Pairing
from edge.recipe import check_scales, parse, read
from edge.release import Loaded, load
from edge.still import assemble, judge_still
from edge.terms import Code, Frame, Reason
from edge.vision.camera import Capture
from edge.vision.detector import Detector
from edge.vision.detectors import Detectors
from models.anomaly import Making, make
from tests import tiny_backbone, tiny_models
from tests.flat_parts import Image, board, seen

CLASSES = """
name = "boards"

[image]
dark_below = 0.0

[[class]]
label = "bright"
threshold = 0.9

[[class]]
label = "red"
threshold = 0.9
"""

DIFFERENCE = '\n[[class]]\nlabel = "difference"\nthreshold = 0.5\n'
TEMPLATE = '\n[[template]]\npictures = ["good.png"]\nmax_shift_px = 12\n'
GOLDEN = '\n[[golden]]\npicture = "bad.png"\nsha256 = "PIN"\nexpect = "ng"\n'

RUNTIME = settings.Runtime(threads=1)


def bad_board() -> Image:
    picture = board()
    picture[120:134, 104:118] = 225
    return picture


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pins(folder: Path) -> str:
    return f'sha256 = ["{digest(folder / "good.png")}"]\n'


def entry(folder: Path, recipe: str) -> settings.Recipe:
    """The recipe with its model, pinned."""
    cv2.imwrite(str(folder / "good.png"), board())
    cv2.imwrite(str(folder / "bad.png"), bad_board())
    path, model = folder / "boards.toml", tiny_models.write(folder / "tiny.onnx")
    recipe = recipe.replace("PINS", pins(folder)).replace("PIN", digest(folder / "bad.png"))
    path.write_text(recipe, encoding="utf-8")
    return settings.Recipe(
        number=1,
        path=str(path),
        sha256=digest(path),
        model=str(model),
        model_sha256=digest(model),
    )


def whole(folder: Path) -> Loaded:
    return load(entry(folder, CLASSES + DIFFERENCE + TEMPLATE + "PINS" + GOLDEN), RUNTIME, False)


def test_a_pinned_template_runs_pinned_and_its_golden_picture_proves_it(tmp_path: Path) -> None:
    loaded = whole(tmp_path)
    assert loaded.trust == "pinned"
    assert loaded.detector.labels == ("bright", "red", "difference")
    assert {d.label for d in loaded.detector.detect(bad_board())} >= {"difference"}


def test_a_template_without_a_pin_runs_unsigned_only(tmp_path: Path) -> None:
    loose = entry(tmp_path, CLASSES + DIFFERENCE + TEMPLATE + GOLDEN)
    with pytest.raises(ModelError, match=r"good\.png: not pinned; its sha256 is"):
        load(loose, RUNTIME, unsigned=False)
    assert load(loose, RUNTIME, unsigned=True).trust == "unsigned"


def test_a_template_with_other_bytes_than_pinned_never_runs(tmp_path: Path) -> None:
    pinned = entry(tmp_path, CLASSES + DIFFERENCE + TEMPLATE + "PINS" + GOLDEN)
    cv2.imwrite(str(tmp_path / "good.png"), bad_board())
    with pytest.raises(ModelError, match=r"good\.png: sha256 is .* expected"):
        load(pinned, RUNTIME, unsigned=True)


def test_a_picture_that_can_be_no_template_is_named_with_its_section(tmp_path: Path) -> None:
    loose = entry(tmp_path, CLASSES + DIFFERENCE + TEMPLATE)
    (tmp_path / "good.png").write_bytes(b"no picture")
    with pytest.raises(ModelError, match=r"\[\[template\]\] difference: .*good\.png"):
        load(loose, RUNTIME, unsigned=True)


def test_the_classes_of_every_detector_need_limits(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="class 'difference' is missing"):
        load(entry(tmp_path, CLASSES + TEMPLATE), RUNTIME, unsigned=True)
    with pytest.raises(ModelError, match="'difference' is no class of the model"):
        load(entry(tmp_path, CLASSES + DIFFERENCE), RUNTIME, unsigned=True)


def test_an_anomaly_model_runs_beside_the_model_under_its_pin(tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.mkdir()
    for number in range(10):
        part = seen(board(), number - 5, 5 - number, noise=2)
        cv2.imwrite(str(good / f"{number}.png"), part)
    base = tiny_backbone.write(tmp_path / "base.onnx")
    made = make(Making(good, base, tmp_path / "odd.onnx", "odd", 14), lambda _text: None)
    limits = '\n[[class]]\nlabel = "odd"\nthreshold = 0.5\n'
    section = f'\n[[anomaly]]\nfile = "odd.onnx"\nsha256 = "{made["sha256"]}"\n'
    loaded = load(entry(tmp_path, CLASSES + limits + section + GOLDEN), RUNTIME, unsigned=False)
    assert loaded.trust == "pinned"
    assert "odd" in {d.label for d in loaded.detector.detect(bad_board()) if d.score > 0.5}
    like_the_good = seen(board(), 2, -1, noise=2)
    assert "odd" not in {d.label for d in loaded.detector.detect(like_the_good) if d.score > 0.5}
    other = section.replace(str(made["sha256"]), "0" * 64)
    with pytest.raises(ModelError, match=r"odd\.onnx: sha256 is .* expected 000"):
        load(entry(tmp_path, CLASSES + limits + other + GOLDEN), RUNTIME, unsigned=True)


def test_prepare_builds_for_the_anomaly_models_too(tmp_path: Path) -> None:
    tiny_models.write(tmp_path / "odd.onnx")
    named = entry(tmp_path, CLASSES + '\n[[anomaly]]\nfile = "odd.onnx"\n')
    wiring = f"""
node = {{plant = "p", line = "l", name = "n", data_dir = "data"}}
bus = [{{name = "b", port = "none"}}]
camera = [{{name = "c1", kind = "folder", source = "strips"}}]
recipe = [{{number = 1, path = "{named.path}", model = "{named.model}"}}]
station = [{{name = "s", bus = "b", trigger = "free_run", cameras = ["c1"]}}]
"""
    config = tmp_path / "edge.toml"
    config.write_text(wiring, encoding="utf-8")
    command = [sys.executable, "-m", "edge", "prepare", "--config", str(config)]  # it lowers itself
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [line.split(":")[0] for line in said.splitlines()] == ["OK     1 of 2", "OK     2 of 2"]


def test_a_fallback_of_an_anomaly_model_is_told_beside_the_model_s_own(tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.mkdir()
    for number in range(10):
        cv2.imwrite(str(good / f"{number}.png"), seen(board(), number - 5, 0, noise=2))
    base = tiny_backbone.write(tmp_path / "base.onnx")
    make(Making(good, base, tmp_path / "odd.onnx", "odd", 14), lambda _text: None)
    limits = '\n[[class]]\nlabel = "odd"\nthreshold = 0.5\n'
    text = CLASSES + limits + '\n[[anomaly]]\nfile = "odd.onnx"\n'
    entry(tmp_path, text)
    fallen = settings.Runtime(threads=1, providers=("cuda",), allow_fallback=True)
    recipe, model = read(tmp_path / "boards.toml"), Detector(tmp_path / "tiny.onnx", threads=1)
    made, _pinned = seconds(recipe, tmp_path, True, lambda p, s: Detector(p, s, runtime=fallen))
    cpu, cuda = Detectors(model, made).providers
    assert cpu.startswith("cpu")
    assert cuda.startswith("FALLBACK")


def test_a_camera_is_looked_at_by_its_own_sections_only(tmp_path: Path) -> None:
    text = CLASSES + DIFFERENCE + TEMPLATE + 'camera = "c1"\nconfirms = true\nmargin_px = 3\n'
    detector = load(entry(tmp_path, text), RUNTIME, unsigned=True).detector
    for camera, compared in (("c1", True), ("c2", False), (None, False)):
        found = {d.label for d in detector.seen_by(camera).detect(bad_board())}
        assert ("difference" in found) == compared
    assert detector.labels == ("bright", "red", "difference")


def test_a_section_for_a_camera_that_is_not_there_would_never_look_and_is_refused() -> None:
    text = CLASSES + DIFFERENCE + TEMPLATE + 'camera = "c9"\n'
    text += '\n[[anomaly]]\nfile = "odd.onnx"\ncamera = "c8"\n'
    problems = check_scales(parse(text.encode(), "recipe"), {"c1": None})
    assert [problem.split(":")[0] for problem in problems] == [
        "[[template]] camera",
        "[[anomaly]] camera",
    ]


def test_a_limit_below_what_a_model_s_own_nms_lets_through_is_refused(tmp_path: Path) -> None:
    nms = {"end2end": "", "args": "{'nms': True}"}
    model = Detector(tiny_models.write(tmp_path / "nms.onnx", "end_to_end", metadata=nms))
    low = CLASSES.replace("0.9", "0.2", 1)
    for text in (low, CLASSES + DIFFERENCE + TEMPLATE + "confirms = true\n"):
        with pytest.raises(ModelError, match=r"drops scores below 0\.25, .* export the raw head"):
            sight.assemble(parse(text.encode(), "recipe"), model)
    assert sight.assemble(parse(CLASSES.encode(), "recipe"), model) is model


def test_a_guess_may_be_weak_where_a_template_confirms_it() -> None:
    text = CLASSES + DIFFERENCE + TEMPLATE
    assert model_floor(parse(text.encode(), "recipe")) == 0.5
    assert model_floor(parse(f"{text}confirms = true\n".encode(), "recipe")) == 0.01


def test_a_picture_tried_without_a_line_that_cannot_be_compared_is_a_bad_image(
    tmp_path: Path,
) -> None:
    entry(tmp_path, CLASSES + DIFFERENCE + TEMPLATE)
    recipe = read(tmp_path / "boards.toml")
    detector = assemble(recipe, tmp_path, Detector(tmp_path / "tiny.onnx", threads=1))
    still = judge_still(np.full((160, 160), 90, np.uint8), detector, recipe)
    assert still.verdict.reason is Reason.BAD_IMAGE
    assert judge_still(bad_board(), detector, recipe).verdict.code is Code.NG


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('sha256 = ["' + "0" * 64 + '", "' + "1" * 64 + '"]', "2 sha256 for 1 pictures"),
        ("margin_px = 3", "margin_px means nothing without confirms"),
        ("contrast = 0", "contrast"),
    ],
)
def test_a_template_section_that_makes_no_sense_is_refused(line: str, sentence: str) -> None:
    text = CLASSES + DIFFERENCE + TEMPLATE + line
    with pytest.raises(SettingsError, match=sentence):
        parse(text.encode(), "recipe")


@pytest.mark.parametrize("cameras", [("", ""), ("", 'camera = "a"\n'), ('camera = "a"\n',) * 2])
def test_two_templates_that_confirm_one_view_are_refused(cameras: tuple[str, str]) -> None:
    confirms = [TEMPLATE + "confirms = true\n" + camera for camera in cameras]
    text = CLASSES + DIFFERENCE + "".join(confirms)
    with pytest.raises(SettingsError, match="only one may confirm"):
        parse(text.encode(), "recipe")


def test_a_web_has_no_part_to_compare() -> None:
    web = '\n[web]\ncamera = "c1"\nrows_per_mm = 10\noverlap_mm = 5\nspeed_m_min = 5\n'
    with pytest.raises(SettingsError, match="no part whose place"):
        parse((CLASSES + DIFFERENCE + TEMPLATE + web).encode(), "recipe")


@pytest.fixture
def eye(tmp_path: Path) -> Iterator[Eye]:
    folder = tmp_path / "camera"
    folder.mkdir()
    camera = settings.Camera(name="c1", kind="folder", source=str(folder))
    capture = Capture(camera)
    yield Eye(capture, Pairing("software", 0.1), None, {})
    capture.close()


def test_a_part_that_cannot_be_compared_is_a_bad_image_with_the_reason(
    tmp_path: Path, eye: Eye
) -> None:
    loaded = whole(tmp_path)
    look = eye.judge(Frame("c1", 0, 0.0, np.full((160, 160), 90, np.uint8)), loaded)
    assert (look.verdict.code, look.verdict.reason) == (Code.UNDECIDED, Reason.BAD_IMAGE)
    assert look.fault is not None
    assert "not in the picture" in look.fault
    assert eye.judge(Frame("c1", 1, 0.0, board()), loaded).verdict.code is Code.OK
    assert eye.judge(Frame("c1", 2, 0.0, bad_board()), loaded).verdict.code is Code.NG
