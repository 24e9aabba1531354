"""`quanjian-edge recipe`: every mistake at once, and why a picture is what it is: edge.explain."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.__main__ import main as run
from edge.judgement import Finding, Rule
from edge.recipe import parse
from edge.sentences import explain
from edge.terms import Detection
from edge.vision.image import decode_image
from tests import tiny_models
from tests.small_line import EDGE

RECIPE = """
name = "squares"

[[class]]
label = "bright"
threshold = 0.9
undecided_from = 0.5
min_size_px = 6

[[class]]
label = "red"
threshold = 0.5

[[zone]]
name = "rim"
kind = "forbidden"
camera = "c1"
polygon = [[0, 0], [64, 0], [64, 10], [0, 10]]

[[zone]]
name = "stamp"
kind = "ignored"
polygon = [[0, 40], [64, 40], [64, 64], [0, 64]]

[[golden]]
picture = "ng.png"
expect = "ng"
"""


def picture(folder: Path, name: str, spots: list[tuple[int, int, int]]) -> Path:
    """A gray square with spots 8 x 8 px: column, row, brightness."""
    image = np.full((64, 64), 90, np.uint8)
    for x, y, gray in spots:
        image[y : y + 8, x : x + 8] = gray
    cv2.imwrite(str(folder / name), image)
    return folder / name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound recipe beside its model and its golden picture."""
    (tmp_path / "squares.toml").write_text(RECIPE, encoding="utf-8")
    tiny_models.write(tmp_path / "tiny.onnx")
    picture(tmp_path, "ng.png", [(32, 16, 255)])
    return tmp_path


def recipe_command(folder: Path, command: str, *words: str) -> int:
    given = ["recipe", command, str(folder / "squares.toml"), *words]
    return run([*given, "--model", str(folder / "tiny.onnx")])


def test_a_sound_recipe_is_ok(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert recipe_command(folder, "check") == 0
    out = capsys.readouterr().out
    assert out.count("OK  ") == 3
    assert "ng.png: NG by bright 1.000, 8.0 x 8.0 px at (32, 16), as expected" in out


def test_every_mistake_is_told_at_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = RECIPE.replace('"red"', '"blue"').replace("min_size_px = 6", "min_size_mm = 6")
    golden = '[[golden]]\npicture = "gone.png"\nexpect = "ok"\n'
    golden += '[[golden]]\npicture = "ok.png"\nexpect = "ng"\n'
    (folder / "squares.toml").write_text(wrong + golden, encoding="utf-8")
    (folder / "edge.toml").write_text(EDGE.format(port="plc"), encoding="utf-8")
    picture(folder, "ok.png", [])
    assert recipe_command(folder, "check", "--config", str(folder / "edge.toml")) == 2
    faults = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAULT")]
    words = (
        "class 'red' is missing",
        "'blue' is no class",
        "needs mm_per_px",
        "gone.png",
        "ok.png",
    )
    assert [word for word in words if not any(word in line for line in faults)] == []
    assert len(faults) == len(words)


def test_mistakes_of_recipe_model_and_wiring_are_told_together(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "squares.toml").write_text("name = 3\ncolour = 1\n", encoding="utf-8")
    (folder / "tiny.onnx").write_bytes(b"no model")
    assert recipe_command(folder, "check", "--config", str(folder / "none.toml")) == 2
    out = capsys.readouterr().out
    words = ("colour: unknown key", "name: got 3", "class: missing", "tiny.onnx", "none.toml")
    assert [word for word in words if word not in out] == []


def test_a_golden_picture_that_goes_wrong_is_exit_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(folder, "ng.png", [(32, 16, 200)])  # between undecided_from and threshold
    assert recipe_command(folder, "check") == 1
    assert "UNDECIDED (uncertain) by bright 0.5" in capsys.readouterr().out


def test_a_file_without_a_pin_is_named_with_the_pin_to_write(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, pin = folder / "squares.toml", hashlib.sha256((folder / "ng.png").read_bytes())
    assert recipe_command(folder, "check") == 0
    told = f"LOOSE  [[golden]] sha256: missing for ng.png, whose sha256 is {pin.hexdigest()}"
    assert told in capsys.readouterr().out
    recipe.write_text(RECIPE + f'sha256 = "{pin.hexdigest()}"\n', encoding="utf-8")
    assert recipe_command(folder, "check") == 0
    assert "LOOSE" not in capsys.readouterr().out
    picture(folder, "ng.png", [(16, 16, 255)])
    assert recipe_command(folder, "check") == 2
    assert "ng.png: sha256 is " in capsys.readouterr().out


def test_a_reference_that_is_no_picture_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    view = '\n[[view]]\ncamera = "c1"\nreference = "tiny.onnx"\n'
    (folder / "squares.toml").write_text(RECIPE + view, encoding="utf-8")
    assert recipe_command(folder, "check") == 2
    assert "[[view]] reference: " in capsys.readouterr().out


def test_a_picture_is_explained_detection_by_detection(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spots = [(0, 8, 200), (32, 24, 255), (8, 48, 255), (48, 24, 160)]
    path, out = picture(folder, "part.png", spots), folder / "why.jpg"
    code = recipe_command(folder, "explain", str(path), "--camera", "c1", "--out", str(out))
    assert code == 0
    told = capsys.readouterr().out
    assert told.splitlines()[0].endswith("part.png: NG by bright 1.000, 8.0 x 8.0 px at (32, 24)")
    for sentence in (
        "NG: touches the forbidden zone 'rim', and score 0.569 reaches undecided_from 0.5",
        "clear: score 1.000 reaches threshold 0.9; longer side 8.0 px reaches min_size_px 6",
        "does not count: lies wholly in the ignored zone 'stamp'",
        "does not count: score 0.255 is below undecided_from 0.5",
        "bright: 1 clear; allowed 0: NG",
    ):
        assert sentence in told
    drawn = decode_image(out).astype(int)
    assert drawn.shape == (64, 64, 3)
    clear, ignored = drawn[32, 36], drawn[56, 12]  # the lower edges of two boxes, BGR
    assert clear[2] - clear[0] > 60
    assert abs(ignored[2] - ignored[0]) < 30


def test_a_json_object_says_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = picture(folder, "part.png", [(0, 8, 200)])
    assert recipe_command(folder, "explain", str(path), "--camera", "c2", "--json") == 0
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert (document["verdict"], document["reason"]) == ("undecided", "uncertain")
    (found,) = document["detections"]
    assert (found["rule"], found["zone"], found["box"]) == ("band", None, [0, 8, 8, 16])
    assert "zones of c1" in told.err


def test_a_camera_that_the_recipe_does_not_name_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = [str(folder / "ng.png"), "--camera", "c12"]
    assert recipe_command(folder, "explain", *typed) == 0
    assert "--camera: the recipe names no camera c12, only c1;" in capsys.readouterr().err
    plain = RECIPE.replace('camera = "c1"\n', "")
    (folder / "squares.toml").write_text(plain, encoding="utf-8")
    assert recipe_command(folder, "explain", *typed) == 0
    assert "the recipe names no camera c12, only none;" in capsys.readouterr().err


def test_a_dark_picture_is_explained_without_the_detector(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(folder / "dark.png"), np.zeros((64, 64), np.uint8))
    assert recipe_command(folder, "explain", str(folder / "dark.png")) == 0
    assert "UNDECIDED (bad_image)\n  dark: mean grey value 0.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("gone.png",), "gone.png: cannot be read"),
        (("ng.png", "--mm-per-px", "-1"), "--mm-per-px: got -1"),
        (("squares.toml",), "not a PNG"),
    ],
)
def test_wrong_arguments_are_a_sentence_and_exit_2(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    assert recipe_command(folder, "explain", str(folder / words[0]), *words[1:]) == 2
    assert told in capsys.readouterr().err


def test_a_picture_that_cannot_be_written_is_exit_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "no" / "why.jpg"
    assert recipe_command(folder, "explain", str(folder / "ng.png"), "--out", str(out)) == 1
    assert "cannot be written" in capsys.readouterr().err


IN_MM = RECIPE.replace("min_size_px = 6", "min_size_px = 6\nmin_size_mm = 0.5\nmin_area_mm2 = 2")


@pytest.mark.parametrize(
    ("sizes", "rule", "told"),
    [
        ((0.4, 0.3, 9.0), Rule.SIZE_MM, "longer side 0.40 mm is below min_size_mm 0.5"),
        ((0.6, 0.3, 1.5), Rule.AREA, "area 1.50 mm2 is below min_area_mm2 2"),
        ((0.6, 0.3, 2.0), Rule.THRESHOLD, "0.60 mm reaches min_size_mm 0.5; area 2.00 mm2 reaches"),
        ((None, None, None), Rule.THRESHOLD, "so min_area_mm2 2 excuses nothing"),
        ((0.6, 0.3, None), Rule.UNSOUND, "model_fault"),
    ],
)
def test_sizes_in_mm_are_told_as_far_as_they_are_known(
    sizes: tuple[float | None, float | None, float | None], rule: Rule, told: str
) -> None:
    detection = Detection("bright", 0.95, (8.0, 16.0, 16.0, 24.0), *sizes)
    assert told in explain(Finding(detection, rule), parse(IN_MM.encode(), "r"))
