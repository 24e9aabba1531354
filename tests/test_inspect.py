"""`quanjian-edge inspect`: a line per picture whatever the picture is, a sentence if nothing is."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge import inspect
from edge.vision.image import decode_image
from tests import tiny_models
from tests.tiny_models import CELL, SIDE

RECIPE = """
name = "tiny"
[image]
dark_below = 5.0
saturated_share = 1.0
[[class]]
label = "bright"
threshold = 0.9
undecided_from = 0.5
[[class]]
label = "red"
threshold = 0.9
"""


def save(path: Path, *cells: tuple[int, int, int]) -> Path:
    """A dark picture with cells (row, column, grey value)."""
    image = np.full((SIDE, SIDE), 20, np.uint8)
    for row, column, value in cells:
        image[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = value
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), image)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_models.write(tmp_path / "m.onnx")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    save(folder / "good.png")
    save(folder / "bad.png", (1, 2, 255), (4, 4, 191))
    save(folder / "unsure.png", (0, 0, 210))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8")
    return folder


def inspected(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    inspect.add_arguments(parser)
    return inspect.run(parser.parse_args(["--threads", "1", *map(str, arguments)]))


def test_json_has_one_line_per_picture_with_what_the_detector_saw(
    pictures: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(RECIPE)
    assert inspected(pictures, "--model", model, "--recipe", recipe, "--json") == 0
    lines: list[dict[str, Any]] = [
        json.loads(line) for line in capsys.readouterr().out.splitlines()
    ]
    assert all(line.pop("ms") >= 0 for line in lines)
    assert lines == [
        {
            "path": str(pictures / "bad.png"),
            "verdict": "ng",
            "reason": None,
            "detections": [{"class": "bright", "score": 1.0, "box": [16.0, 8.0, 24.0, 16.0]}],
        },
        {
            "path": str(pictures / "broken.jpg"),
            "verdict": "undecided",
            "reason": "bad_image",
            "detections": [],
        },
        {
            "path": str(pictures / "good.png"),
            "verdict": "ok",
            "reason": None,
            "detections": [],
        },
        {
            "path": str(pictures / "unsure.png"),
            "verdict": "undecided",
            "reason": "uncertain",
            "detections": [{"class": "bright", "score": 0.6471, "box": [0.0, 0.0, 8.0, 8.0]}],
        },
    ]


def test_the_table_says_verdict_reason_and_worst(
    pictures: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspected(pictures, "--model", model) == 0
    told = capsys.readouterr()
    rows = [line.split() for line in told.out.splitlines()]
    assert rows[0] == ["picture", "verdict", "reason", "worst", "ms"]
    assert [row[1:-1] for row in rows[1:]] == [
        ["ng", "bright", "1.00"],
        ["undecided", "bad_image"],
        ["ok"],
        ["ng", "bright", "0.65"],
    ]
    assert "broken.jpg: cut off" in told.err
    assert "4 pictures: 1 ok, 2 ng, 1 undecided" in told.err


@pytest.mark.parametrize(("threshold", "unsure"), [(0.6, "ng"), (0.7, "ok")])
def test_the_threshold_decides_where_no_recipe_does(
    pictures: Path,
    model: Path,
    threshold: float,
    unsure: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert inspected(pictures, "--model", model, "--threshold", threshold, "--json") == 0
    told = [json.loads(line)["verdict"] for line in capsys.readouterr().out.splitlines()]
    assert told == ["ng", "undecided", "ok", unsure]


PROGRAM = """
import argparse, sys
from edge import inspect
parser = argparse.ArgumentParser()
inspect.add_arguments(parser)
sys.exit(inspect.run(parser.parse_args()))
"""


def test_annotated_pictures_are_written_only_when_asked_for(
    pictures: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert inspected(pictures, "--model", model) == 0
    assert sorted(tmp_path.iterdir()) == before
    assert inspected(pictures, "--model", model, "--out") == 0
    written = sorted(path.name for path in (tmp_path / "inspected").iterdir())
    assert written == ["bad.png.jpg", "good.png.jpg", "unsure.png.jpg"]
    drawn = decode_image(tmp_path / "inspected" / "bad.png.jpg").astype(int)
    assert (drawn[:, :, 2] - drawn[:, :, 0] > 40).any()


def test_two_pictures_of_one_name_are_both_written(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = save(tmp_path / "a" / "x.png"), save(tmp_path / "b" / "x.png", (1, 1, 255))
    out = tmp_path / "deep" / "out"
    assert inspected(first, second, "--model", model, "--out", out) == 0
    assert sorted(path.name for path in out.iterdir()) == ["x.png-2.jpg", "x.png.jpg"]
    assert "1 ok, 1 ng" in capsys.readouterr().err


def test_the_same_picture_twice_is_judged_twice(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(RECIPE)
    path = save(tmp_path / "x.png")
    assert inspected(path, path, "--model", model, "--recipe", recipe) == 0
    assert "2 pictures: 2 ok" in capsys.readouterr().err


def test_the_limits_of_the_recipe_for_pictures_are_kept(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(RECIPE.replace("5.0", "30"))
    assert inspected(save(tmp_path / "x.png"), "--model", model, "--recipe", recipe, "--json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["reason"] == "bad_image"
    assert "dark" in told.err


def test_a_long_run_tells_its_progress_on_stderr(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / "x.png")
    assert inspected(*[path] * 41, "--model", model, "--json") == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 41
    assert told.err.splitlines()[:2] == ["20 of 41", "40 of 41"]


def test_nothing_to_judge_is_a_sentence_and_2(
    tmp_path: Path, pictures: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    recipe = tmp_path / "r.toml"
    recipe.write_text('name = "x"\n[[class]]\nlabel = "other"\nthreshold = 0.5\n')
    for arguments, told in (
        ((tmp_path / "empty", "--model", model), "no picture in there"),
        ((tmp_path / "no", "--model", model), "no such picture or folder"),
        ((pictures, "--model", tmp_path / "no.onnx"), "no.onnx: cannot be read"),
        ((pictures, "--model", pictures / "good.png"), "good.png: cannot be loaded"),
        ((pictures, "--model", model, "--sha256", "0" * 64), "sha256 is"),
        ((pictures, "--model", model, "--recipe", tmp_path / "no.toml"), "cannot be read"),
        ((pictures, "--model", model, "--recipe", recipe), "does not fit"),
        ((pictures, "--model", model, "--threshold", "1.5"), "--threshold: got 1.5, expected"),
        ((pictures, "--model", model, "--threads", "-3"), "--threads: got -3, expected 0 to 64"),
    ):
        assert inspected(*arguments) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert told in err


def test_an_output_that_cannot_be_written_is_a_sentence_and_1(
    pictures: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    occupied = pictures / "good.png"
    assert inspected(pictures, "--model", model, "--out", occupied) == 1
    assert "good.png: cannot be written" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error(pictures: Path, model: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, pictures, "--model", model, "--json"],
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert found.returncode == 0
    assert b"Traceback" not in found.stderr


def test_a_name_of_odd_bytes_is_shown_and_judged(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    os.rename(save(tmp_path / "x.png"), path)  # noqa: PTH104 - the name is not UTF-8
    assert inspected(path, "--model", model) == 0
    assert "?.png" in capsys.readouterr().out
    assert inspected(path, "--model", model, "--json") == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(path)
