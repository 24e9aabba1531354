"""Layouts of labelled pictures: what was written is read again, and what others wrote is believed
only where it can be.
"""

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given

from edge.errors import ImageError
from models import dataset_command
from models.dataset import DataSetError, Mark
from models.layouts import coco, deeppcb, voc, yolo
from tests.labelled_sets import LABELS, QUIET, SIDE, draw, fresh, marks_of_pictures, pictures


@pytest.mark.parametrize("kind", dataset_command.KINDS)
@QUIET
@given(marks_of_pictures)
def test_what_a_layout_wrote_it_reads_again(
    kind: str, tmp_path: Path, marks: list[list[Mark]]
) -> None:
    folder = fresh(tmp_path)
    folder.mkdir()
    data = pictures(folder / "pictures", marks)
    write, read = dataset_command._WRITE[kind], dataset_command._READ[kind]
    write(data, folder / "out")
    again = read(folder / "out")
    named = {picture.part.removesuffix("_test"): picture for picture in again.pictures}
    assert len(again.pictures) == len(data.pictures), "good ones among them"
    for number, picture in enumerate(data.pictures):
        found = next(p for part, p in named.items() if part in (picture.part, f"p{number}"))
        assert (found.width, found.height) == SIDE
        assert found.path.read_bytes() == picture.path.read_bytes()
        assert [mark.label for mark in found.marks] == [mark.label for mark in picture.marks]
        for one, other in zip(found.marks, picture.marks, strict=True):
            assert one.box == pytest.approx(other.box, abs=1e-3)
        if kind != "deeppcb":
            assert found.split == "train"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[", "not as COCO says"),
        ('{"images": [], "annotations": []}', "categories"),
        ("[" * 100_000, "not as COCO says"),
        (
            '{"images": [{"id": 1, "file_name": "a.png", "width": 0, "height": 9}],'
            '"annotations": [], "categories": []}',
            "width",
        ),
        (
            '{"images": [], "annotations": [{"image_id": 7, "category_id": 1,'
            '"bbox": [0, 0, 1, 1]}], "categories": [{"id": 1, "name": "x"}]}',
            "no such image",
        ),
        (
            '{"images": [{"id": 1, "file_name": "a.png", "width": 9, "height": 9}], "annotations":'
            '[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "iscrowd": 1}],'
            '"categories": [{"id": 1, "name": "x"}]}',
            "marks no single defect",
        ),
        (
            '{"images": [], "annotations": [], "categories":'
            '[{"id": 1, "name": "x"}, {"id": 2, "name": "x"}]}',
            "one id or one name",
        ),
    ],
)
def test_a_file_that_is_no_coco_is_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "labels.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataSetError, match=told):
        coco.read(tmp_path)


def test_a_picture_outside_of_the_set_is_not_reached_by_its_name(tmp_path: Path) -> None:
    draw(tmp_path, "secret.png", 1)
    said = (
        '{"images": [{"id": 1, "file_name": "%s", "width": 48, "height": 32}],'
        '"annotations": [], "categories": []}'
    )
    (tmp_path / "set").mkdir()
    for name in ("../secret.png", str(tmp_path / "secret.png")):
        (tmp_path / "set" / "labels.json").write_text(said % name, encoding="utf-8")
        with pytest.raises(DataSetError, match=r"secret\.png: no such picture"):
            coco.read(tmp_path / "set")


def test_a_picture_that_nobody_labelled_is_refused_and_named(tmp_path: Path) -> None:
    data = pictures(tmp_path / "p", [[], [Mark("pit", (1, 1, 9, 9))]])
    for kind, write, read, note in (
        ("yolo", yolo.write, yolo.read, "labels/train/p0.txt"),
        ("voc", voc.write, voc.read, "Annotations/p0.xml"),
        ("deeppcb", deeppcb.write, deeppcb.read, "p0.txt"),
    ):
        write(data, tmp_path / kind)
        (tmp_path / kind / note).unlink()
        with pytest.raises(DataSetError, match="p0"):
            read(tmp_path / kind)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda folder: (folder / "images" / "p1.png").unlink(), r"p1\.png: no such picture"),
        (lambda folder: (folder / "images" / "p1.png").write_bytes(b"no"), r"p1\.png: not a PNG"),
        (lambda folder: draw(folder / "images", "q.png", 7), r"q\.png: no JSON file speaks of it"),
        (
            lambda folder: resized(folder / "images" / "p1.png"),
            r"p1\.png: 24 x 16 px, 48 x 32 px by",
        ),
    ],
)
def test_what_a_coco_file_says_of_its_pictures_must_be_so(
    tmp_path: Path, change: Callable[[Path], object], told: str
) -> None:
    coco.write(pictures(tmp_path / "p", [[], []]), tmp_path / "coco")
    coco.read(tmp_path / "coco")
    change(tmp_path / "coco")
    with pytest.raises(DataSetError, match=told):
        coco.read(tmp_path / "coco")


def resized(path: Path) -> None:
    assert cv2.imwrite(str(path), np.zeros((16, 24), np.uint8))


def test_pictures_of_one_name_in_two_folders_are_two_parts(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        draw(tmp_path / folder, "1.png", ord(folder))
    said = ",".join(
        f'{{"id": {n}, "file_name": "{name}/1.png", "width": 48, "height": 32}}'
        for n, name in enumerate("ab")
    )
    text = f'\ufeff{{"images": [{said}], "annotations": [], "categories": []}}'
    (tmp_path / "labels.json").write_text(text, encoding="utf-8")  # as Windows tools begin it
    assert [picture.part for picture in coco.read(tmp_path).pictures] == ["a/1", "b/1"]


@pytest.mark.parametrize("kind", ["yolo", "voc"])
def test_labels_that_would_be_of_two_pictures_are_refused(tmp_path: Path, kind: str) -> None:
    data = pictures(tmp_path / "p", [[], []])
    dataset_command._WRITE[kind](data, tmp_path / kind)
    place = next((tmp_path / kind).rglob("p0.png")).parent
    draw(place, "p0.bmp", 9)
    with pytest.raises(DataSetError, match=r"p0\.png and p0\.bmp: labels would be of both"):
        dataset_command._READ[kind](tmp_path / kind)


def test_yolo_reads_folders_in_folders_and_names_labels_without_a_picture(tmp_path: Path) -> None:
    yolo.write(pictures(tmp_path / "p", [[]]), tmp_path / "yolo")
    draw(tmp_path / "yolo" / "images" / "train" / "L1", "x.png", 7)
    label = tmp_path / "yolo" / "labels" / "train" / "L1" / "x.txt"
    label.parent.mkdir()
    label.write_text("")
    assert {picture.part for picture in yolo.read(tmp_path / "yolo").pictures} == {"p0", "L1/x"}
    (tmp_path / "yolo" / "labels" / "train" / "gone.txt").write_text("")
    with pytest.raises(DataSetError, match=r"gone\.txt: no picture of that name"):
        yolo.read(tmp_path / "yolo")


def test_deeppcb_keeps_names_of_classes_beside_it_and_makes_no_lots_up(tmp_path: Path) -> None:
    data = pictures(tmp_path / "p", [[Mark("pit", (1, 1, 9, 9))]])
    deeppcb.write(data, tmp_path / "out")
    again = deeppcb.read(tmp_path / "out")
    assert (again.labels, again.pictures[0].lot) == (LABELS, "")
    (tmp_path / "out" / "classes.txt").unlink()
    assert deeppcb.read(tmp_path / "out").pictures[0].marks[0].label == "short"


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("names: 5", "expected a list of classes"),
        ("names: {0: a, 2: b}", "expected a list of classes"),
        ("names: [a]\ntrain: nowhere", "no such folder"),
        ("- a", "expected keys"),
        ("{", "cannot be read"),
        ("!!python/object/apply:os.system ['true']", "cannot be read"),
    ],
)
def test_a_data_yaml_that_is_none_is_a_sentence(tmp_path: Path, names: str, told: str) -> None:
    (tmp_path / "data.yaml").write_text(names, encoding="utf-8")
    with pytest.raises(DataSetError, match=told):
        yolo.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<annotation>", "not as VOC says"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><annotation/>', "declares entities"),
        ("<annotation><object/></annotation>", "without a name"),
        (
            "<annotation><object><name>a</name><bndbox><xmin>5</xmin><ymin>1</ymin>"
            "<xmax>2</xmax><ymax>3</ymax></bndbox></object></annotation>",
            "in order",
        ),
        ("<annotation><object><name>a</name></object></annotation>", "in order"),
    ],
)
def test_a_file_that_is_no_voc_is_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    draw(tmp_path / "JPEGImages", "a.png", 1)
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text(text, encoding="utf-8")
    with pytest.raises(DataSetError, match=told):
        voc.read(tmp_path)


def test_a_voc_box_counts_from_one_and_includes_its_ends(tmp_path: Path) -> None:
    data = pictures(tmp_path / "p", [[Mark("pit", (0, 0, 48, 32))]])
    voc.write(data, tmp_path / "voc")
    text = (tmp_path / "voc" / "Annotations" / "p0.xml").read_text(encoding="utf-8")
    assert [re.search(f"<{key}>(.*)</{key}>", text) for key in ("xmin", "ymin")]
    found = [re.findall(f"<{key}>(.*)</{key}>", text)[0] for key in ("xmin", "ymin", "xmax")]
    assert found == ["1", "1", "48"]


def test_a_picture_that_is_none_is_named(tmp_path: Path) -> None:
    data = pictures(tmp_path / "p", [[]])
    yolo.write(data, tmp_path / "yolo")
    (tmp_path / "yolo" / "images" / "train" / "p0.png").write_bytes(b"no picture")
    with pytest.raises((DataSetError, ImageError), match="p0"):
        yolo.read(tmp_path / "yolo")
