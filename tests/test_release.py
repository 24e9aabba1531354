"""Nothing runs that is not pinned and proved: edge.release."""

import hashlib
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from edge import settings
from edge.errors import ImageError, ModelError, SettingsError
from edge.release import Loaded, load, load_all, proofs, prove
from edge.vision.detector import Detector
from tests import tiny_models

CLASSES = """
name = "squares"

[[class]]
label = "bright"
threshold = 0.5

[[class]]
label = "red"
threshold = 0.5
"""


def picture(folder: Path, name: str, spot: bool) -> None:
    image = np.full((64, 64), 90, np.uint8)
    if spot:
        image[16:24, 32:40] = 255
    cv2.imwrite(str(folder / name), image)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def written(recipe: Path, text: str) -> Path:
    """The recipe with the pins of its pictures: those that are there, beside it."""
    for one in recipe.parent.glob("*.png"):
        text = text.replace(f"PIN {one.name}", digest(one))
    recipe.write_text(text, encoding="utf-8")
    return recipe


def entry(folder: Path, golden: str = "") -> settings.Recipe:
    """A recipe with its model, both pinned."""
    picture(folder, "ng.png", spot=True)
    picture(folder, "ok.png", spot=False)
    model = tiny_models.write(folder / "tiny.onnx")
    recipe = written(folder / "squares.toml", CLASSES + golden)
    return settings.Recipe(
        number=1,
        path=str(recipe),
        sha256=digest(recipe),
        model=str(model),
        model_sha256=digest(model),
    )


def golden(name: str, expect: str) -> str:
    return f'\n[[golden]]\npicture = "{name}"\nsha256 = "PIN {name}"\nexpect = "{expect}"\n'


NG, OK = golden("ng.png", "ng"), golden("ok.png", "ok")
RUNTIME = settings.Runtime()


def test_a_pinned_recipe_that_finds_its_golden_defect_runs_as_pinned(tmp_path: Path) -> None:
    loaded = load(entry(tmp_path, NG + OK), RUNTIME, unsigned=False)
    assert (loaded.number, loaded.trust, len(proofs(loaded))) == (1, "pinned", 2)


def test_a_model_that_nothing_proves_runs_unsigned_only(tmp_path: Path) -> None:
    unproved = entry(tmp_path, OK)
    with pytest.raises(ModelError, match="nothing proves that the model sees"):
        load(unproved, RUNTIME, unsigned=False)
    assert load(unproved, RUNTIME, unsigned=True).trust == "unsigned"


def test_a_limit_on_areas_needs_a_model_that_segments(tmp_path: Path) -> None:
    boxes = entry(tmp_path, NG)
    text = CLASSES.replace("0.5", "0.5\nmin_area_mm2 = 0.1", 1) + NG
    written(Path(boxes.path), text)
    segments = tiny_models.write(tmp_path / "segments.onnx", "raw segment")
    pins = {"sha256": None, "model_sha256": None}
    boxes = msgspec.structs.replace(boxes, **pins)
    with pytest.raises(SettingsError, match="boxes, no areas"):
        load(boxes, RUNTIME, unsigned=True, scales={"c1": 0.1})
    masks = msgspec.structs.replace(boxes, model=str(segments))
    assert load(masks, RUNTIME, unsigned=True, scales={"c1": 0.1}).recipe.classes


def test_a_model_that_misses_its_golden_defect_does_not_run(tmp_path: Path) -> None:
    wrong = entry(tmp_path, NG + golden("ok.png", "ng"))
    with pytest.raises(ModelError, match=r"ok\.png: golden picture is OK, expected NG"):
        load(wrong, RUNTIME, unsigned=True)


@pytest.mark.parametrize("name", ["tiny.onnx", "squares.toml"])
def test_a_file_with_one_byte_changed_does_not_run_signed_or_not(tmp_path: Path, name: str) -> None:
    pinned = entry(tmp_path, NG)
    changed = bytearray((tmp_path / name).read_bytes())
    changed[-1] ^= 1
    (tmp_path / name).write_bytes(changed)
    with pytest.raises(ModelError, match=f"{name}: sha256 is .* expected"):
        load(pinned, RUNTIME, unsigned=True)


def test_a_file_without_a_pin_is_named_with_its_hash(tmp_path: Path) -> None:
    pinned = entry(tmp_path, NG)
    loose = settings.Recipe(number=1, path=pinned.path, model=pinned.model)
    with pytest.raises(ModelError, match=f"not pinned; its sha256 is {pinned.sha256}"):
        load(loose, RUNTIME, unsigned=False)
    assert load(loose, RUNTIME, unsigned=True).trust == "unsigned"


@pytest.mark.parametrize("name", ["ng.png", "ok.png"])
def test_a_golden_or_reference_picture_that_was_changed_does_not_run_signed_or_not(
    tmp_path: Path, name: str
) -> None:
    pinned = entry(tmp_path, NG + REFERENCE.format("ok.png") + REFERENCE_PIN)
    picture(tmp_path, name, spot=name == "ok.png")  # a good picture, but another one
    now = digest(tmp_path / name)
    for unsigned in (False, True):
        with pytest.raises(ModelError, match=f"{name}: sha256 is {now}, expected"):
            load(pinned, RUNTIME, unsigned)


@pytest.mark.parametrize("name", ["ng.png", "ok.png"])
def test_a_picture_of_the_recipe_without_a_pin_runs_unsigned_only(
    tmp_path: Path, name: str
) -> None:
    text = NG + REFERENCE.format("ok.png") + REFERENCE_PIN
    loose = "\n".join(line for line in text.splitlines() if f"PIN {name}" not in line)
    named = entry(tmp_path, loose + "\n")
    with pytest.raises(ModelError, match=rf"{name}: not pinned; its sha256 is [0-9a-f]{{64}}"):
        load(named, RUNTIME, unsigned=False)
    assert load(named, RUNTIME, unsigned=True).trust == "unsigned"


def test_a_recipe_that_cannot_run_leaves_the_others_running(tmp_path: Path) -> None:
    good = entry(tmp_path, NG)
    lost = settings.Recipe(number=2, path=str(tmp_path / "gone.toml"), model=good.model)
    loaded, failed = load_all((lost, good), RUNTIME, unsigned=False)
    assert list(loaded) == [1]
    assert ["gone.toml" in str(wrong) for wrong in failed] == [True]


def test_a_recipe_without_pictures_still_proves_that_its_detector_runs(tmp_path: Path) -> None:
    loaded: Loaded = load(entry(tmp_path), RUNTIME, unsigned=True)
    assert list(proofs(loaded)) == [0]
    prove(loaded, 0)


def test_a_limit_in_mm_does_not_run_on_a_camera_that_is_not_calibrated(tmp_path: Path) -> None:
    in_mm = entry(tmp_path, NG.replace("[[golden]]", "min_size_mm = 0.1\n[[golden]]"))
    with pytest.raises(SettingsError, match=r"min_size_mm = 0.1: needs mm_per_px .*\[camera c1\]"):
        load(in_mm, RUNTIME, unsigned=True, scales={"c1": None, "c2": 0.1})
    assert load(in_mm, RUNTIME, unsigned=True, scales={"c1": 0.1}).trust == "pinned"


def test_two_cameras_that_set_one_lamp_differently_do_not_run(tmp_path: Path) -> None:
    views = "".join(
        f'[[view]]\ncamera = "{camera}"\nlight = [{{channel = 1, brightness = {brightness}}}]\n'
        for camera, brightness in (("c1", 90), ("c2", 10))
    )
    both = entry(tmp_path, views + NG)
    loaded, failed = load_all((both,), RUNTIME, unsigned=False, lit={"c1": "l1", "c2": "l1"})
    assert not loaded
    assert "sets it to 90" in str(failed[0])
    assert load(both, RUNTIME, unsigned=False, lit={"c1": "l1", "c2": "l2"}).trust == "pinned"


def test_a_web_is_not_judged_part_by_part(tmp_path: Path) -> None:
    web = '[tiles]\n[web]\ncamera = "c1"\nrows_per_mm = 10.0\noverlap_mm = 5.0\nspeed_m_min = 9.0\n'
    strip = entry(tmp_path, web + NG)
    assert load(strip, RUNTIME, unsigned=False).recipe.web is not None
    loaded, failed = load_all((strip,), RUNTIME, unsigned=False)
    assert not loaded
    assert "quanjian-edge web" in str(failed[0])


def test_a_golden_picture_is_judged_by_the_zones_of_its_camera(tmp_path: Path) -> None:
    zone = """
[[zone]]
name = "stamp"
kind = "ignored"
camera = "c1"
polygon = [[0, 0], [64, 0], [64, 64], [0, 64]]
"""
    stamped = entry(tmp_path, zone + NG + golden("ng.png", "ok") + 'camera = "c1"\n')
    assert load(stamped, RUNTIME, unsigned=False, scales={"c1": None}).trust == "pinned"


def test_recipes_of_one_model_file_share_one_session(tmp_path: Path) -> None:
    first = entry(tmp_path, NG)
    other = written(tmp_path / "faint.toml", CLASSES.replace("0.5", "0.02") + NG)
    second = replace(first, number=2, path=str(other), sha256=None)
    loaded, failed = load_all((first, second), RUNTIME, unsigned=True)
    assert failed == []
    one, two = loaded[1].detector.model, loaded[2].detector.model
    assert isinstance(one, Detector)
    assert isinstance(two, Detector)
    assert one.session is two.session
    assert one.score_floor == loaded[1].recipe.score_floor
    assert two.score_floor == loaded[2].recipe.score_floor < one.score_floor


REFERENCE = """
[[view]]
camera = "c1"
reference = "{}"
"""
REFERENCE_PIN = 'reference_sha256 = "PIN ok.png"\n'


def test_the_reference_of_a_view_is_measured_once_at_load(tmp_path: Path) -> None:
    view = REFERENCE.format("ok.png") + REFERENCE_PIN
    loaded = load(entry(tmp_path, NG + OK + view), RUNTIME, unsigned=False)
    assert loaded.trust == "pinned"
    assert list(loaded.references) == ["c1"]
    assert (loaded.references["c1"].height, loaded.references["c1"].width) == (64, 64)


@pytest.mark.parametrize("name", ["gone.png", "squares.toml"])
def test_a_reference_that_is_no_picture_is_refused_at_load(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match=name):
        load(entry(tmp_path, NG + REFERENCE.format(name)), RUNTIME, unsigned=True)


def test_a_golden_picture_is_measured_in_mm_by_its_camera(tmp_path: Path) -> None:
    tiny = golden("ng.png", "ok")
    in_mm = entry(tmp_path, tiny)
    recipe = CLASSES.replace("threshold = 0.5", "threshold = 0.5\nmin_size_mm = 1.0") + tiny
    written(Path(in_mm.path), recipe)
    loose = settings.Recipe(number=1, path=in_mm.path, model=in_mm.model)
    assert load(loose, RUNTIME, unsigned=True, scales={"c1": 0.1, "c2": 0.1}).number == 1
    with pytest.raises(ModelError, match="is NG, expected OK"):
        load(loose, RUNTIME, unsigned=True, scales={"c1": 0.2})


def test_a_limit_on_areas_needs_a_model_that_tells_them(tmp_path: Path) -> None:
    by_area = entry(tmp_path, "min_area_mm2 = 1.0\n" + NG)
    with pytest.raises(SettingsError, match="the model tells boxes, no areas"):
        load(by_area, RUNTIME, unsigned=False, scales={"c1": 0.1})
