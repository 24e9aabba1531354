"""Label files keep what was labelled, and above all keep "nothing wrong"."""

import json
from pathlib import Path

import cv2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ImageError
from edge.vision.plates import CLASSES
from models.labels import Box, format_labels, parse_labels, read_labels, write_labels
from models.synth import Order, scene, synthesise

span = st.tuples(st.floats(0, 0.9), st.floats(0.001, 0.1))
some_boxes = st.lists(
    st.builds(
        lambda kind, x, y: Box(kind, (x[0], y[0], x[0] + x[1], y[0] + y[1])),
        st.integers(0, 30),
        span,
        span,
    )
)


@given(some_boxes)
def test_boxes_survive_the_round_trip_to_a_millionth_of_the_picture(boxes: list[Box]) -> None:
    back = parse_labels(format_labels(boxes), "test")
    assert [b.kind for b in back] == [b.kind for b in boxes]
    for before, after in zip(boxes, back, strict=True):
        assert after.corners == pytest.approx(before.corners, abs=1.1e-6)


def test_a_good_part_keeps_its_empty_label_file(tmp_path: Path) -> None:
    path = tmp_path / "good.txt"
    write_labels(path, [])
    assert path.read_bytes() == b""
    assert read_labels(path) == []


def test_a_missing_label_file_is_not_a_good_part(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="label file cannot be read"):
        read_labels(tmp_path / "nobody.txt")


@pytest.mark.parametrize(
    "line",
    [
        "0 0.5 0.5 0.1",
        "pit 0.5 0.5 0.1 0.1",
        "0 0.5 0.5 0 0.1",
        "0 0.99 0.5 0.1 0.1",
        "-1 .5 .5 .1 .1",
    ],
)
def test_a_malformed_line_is_named_with_file_and_number(line: str) -> None:
    with pytest.raises(ImageError, match=r"part\.txt:2: "):
        parse_labels(f"0 0.5 0.5 0.1 0.1\n{line}\n", "part.txt")


def test_a_data_set_has_a_label_file_for_every_picture_and_the_same_seed_gives_the_same_one(
    tmp_path: Path,
) -> None:
    order = Order(count=14, seed=5, defect_rate=0.5)
    said: list[str] = []
    first = synthesise(tmp_path / "a", order, said.append)
    second = synthesise(tmp_path / "b", order, said.append)
    other = synthesise(tmp_path / "c", Order(14, 6, 0.5), said.append)
    assert first == second
    assert first["sha256"] != other["sha256"]
    pictures = sorted((tmp_path / "a" / "images").rglob("*.png"))
    labels = sorted((tmp_path / "a" / "labels").rglob("*.txt"))
    assert [p.stem for p in pictures] == [p.stem for p in labels]
    assert len(pictures) == 14
    empty = sum(p.read_bytes() == b"" for p in labels)
    assert empty == first["good_pictures"]
    assert 0 < empty < 14
    assert json.loads((tmp_path / "a" / "manifest.json").read_text()) == first
    names = [
        line.split()[1] for line in (tmp_path / "a" / "data.yaml").read_text().splitlines()[3:]
    ]
    assert tuple(names) == CLASSES
    shape = cv2.imread(str(pictures[0]), cv2.IMREAD_UNCHANGED).shape  # type: ignore[union-attr]
    assert shape == (512, 512)


def test_labels_fixed_by_the_caller_are_the_picture_s_truth() -> None:
    shot = scene(3, 0.0, labels=("stain", "pit"))
    assert sorted(d.label for d in shot.defects) == ["pit", "stain"]
    assert scene(3, 1.0, labels=()).defects == ()
