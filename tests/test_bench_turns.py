"""Peers of a comparison: real processes that take turns; how their boxes agree."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.heads import CONF, Agreement
from bench.turns.frames import Shot, shots
from bench.turns.peer import Asked, take_turns, together
from tests import tiny_models


def asked(name: str, model: Path, **given: Any) -> Asked:
    """Our detector as a peer."""
    job = {
        "what": "detect",
        "model": str(model),
        "providers": ["cpu"],
        "threads": 1,
        "spinning": False,
        "conf": 0.05,
        "iou": 0.5,
        **given,
    }
    return Asked(name, "bench.turns.ours", Path(sys.executable), job)


@pytest.fixture
def bright(tmp_path: Path) -> list[Shot]:
    """One black picture and one with a white cell at its upper left."""
    made = []
    for number in range(2):
        image = np.zeros((64, 64, 3), np.uint8)
        image[:8, :8] = 255 * number
        path = tmp_path / f"{number}.npy"
        np.save(path, image)
        made.append(Shot(path, ()))
    return made


def test_every_peer_sees_the_same_pictures_and_tells_what_it_found(
    tmp_path: Path, bright: list[Shot]
) -> None:
    model = tiny_models.write(tmp_path / "tiny.onnx")
    peers = [asked("one", model), asked("two workers", model, workers=2)]
    with together(peers, tmp_path) as running:
        take_turns(running, bright, frames=20)
        for peer in running:
            assert len(peer.answers.ms) == len(peer.answers.boxes) == 20
            assert [bool(rows) for rows in peer.answers.boxes] == [False, True] * 10
            *box, _score, label = peer.answers.boxes[1][0]
            assert (box, label) == ([0, 0, 8, 8], "bright")
            assert peer.ready["providers"]


def test_what_is_around_the_model_answers_as_for_the_first_picture(
    tmp_path: Path, bright: list[Shot]
) -> None:
    model = tiny_models.write(tmp_path / "tiny.onnx")
    with together([asked("around", model, what="around")], tmp_path) as (peer,):
        answers = peer.block([bright[1].path, bright[0].path])
    assert [len(rows) for rows in answers.boxes] == [1, 1]


def test_a_peer_that_cannot_start_is_said_aloud_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_models.write(tmp_path / "tiny.onnx")
    elsewhere = Asked("elsewhere", "bench.turns.floor", tmp_path / "no-python", {})
    broken = asked("broken", tmp_path / "none.onnx")
    with together([elsewhere, broken, asked("ours", model)], tmp_path) as running:
        assert [peer.name for peer in running] == ["ours"]
    said = capsys.readouterr().err
    assert "NOT COMPARED: elsewhere" in said
    assert "NOT COMPARED: broken" in said


def test_frames_carry_the_truth_of_their_plates(tmp_path: Path) -> None:
    (shot,) = shots(tmp_path, (200, 400), 200, 1, first_seed=1)
    image = np.load(shot.path)
    assert image.shape == (200, 400, 3)
    assert shot.truth
    for truth in shot.truth:
        x1, y1, x2, y2 = truth.box
        assert 0 <= x1 < x2 <= 400
        assert 0 <= y1 < y2 <= 200


ROW: list[Any] = [10.0, 10.0, 50.0, 50.0, 0.8, "pit"]


def changed(**given: Any) -> list[Any]:
    """ROW with another x1, score or label."""
    row = list(ROW)
    for key, place in (("x1", 0), ("score", 4), ("label", 5)):
        row[place] = given.get(key, row[place])
    return row


def agreed(ours: list[list[Any]], theirs: list[list[Any]]) -> Agreement:
    """How one picture's rows agree."""
    agreement = Agreement()
    agreement.add(ours, theirs)
    return agreement


def test_the_same_boxes_agree_entirely() -> None:
    assert agreed([ROW], [ROW]) == Agreement(pairs=1)


def test_the_worst_pair_is_what_is_told() -> None:
    worst = agreed([changed(x1=12.0, score=0.79)], [ROW])
    assert worst.least_iou == pytest.approx(38 / 40)
    assert worst.widest_score == pytest.approx(0.01)


@pytest.mark.parametrize("sides", [([ROW], []), ([], [ROW])])
def test_a_box_of_one_side_alone_counts(sides: tuple[list[list[Any]], list[list[Any]]]) -> None:
    assert agreed(*sides).alone == 1


def test_a_box_of_theirs_that_is_clipped_to_a_line_is_counted_apart() -> None:
    line = [0.0, 459.7, 0.0, 489.8, 0.31, "missing_hole"]
    both = agreed([ROW], [ROW, line])
    assert (both.pairs, both.no_area, both.alone) == (1, 1, 0)
    assert agreed([line], []).alone == 1


def test_a_box_of_ours_whose_mask_is_empty_is_counted_apart() -> None:
    empty, full = [*changed(x1=300.0), 0.0], [*changed(x1=300.0), 7.0]
    assert (agreed([empty], []).no_area, agreed([empty], []).alone) == (1, 0)
    assert (agreed([full], []).no_area, agreed([full], []).alone) == (0, 1)


def test_a_box_at_the_very_floor_may_be_alone() -> None:
    assert agreed([changed(score=CONF + 5e-4)], []).alone == 0


def test_a_second_class_at_the_same_place_is_counted_apart() -> None:
    both = agreed([ROW, changed(label="stain", score=0.4)], [ROW])
    assert (both.pairs, both.second_class, both.alone) == (1, 1, 0)


def test_a_better_box_of_another_class_than_theirs_is_no_second_guess() -> None:
    weak = changed(score=0.4)
    both = agreed([weak, changed(label="stain", score=0.9)], [weak])
    assert (both.pairs, both.second_class, both.alone) == (1, 0, 1)
