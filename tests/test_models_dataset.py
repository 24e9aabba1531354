"""Data sets: sealed for good, split by lot, taken in and handed out by one command."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import dataset_command, manifest
from models.__main__ import main
from models.dataset import DataSet, DataSetError, Mark, Picture, parted, problems, renamed, split
from models.layouts import yolo
from models.manifest import Origin, seal
from tests.labelled_sets import LABELS, QUIET, SIDE, draw, fresh, marks_of_pictures, pictures

ORIGIN = Origin(name="试样", source="line 1", licence="proprietary", holder="Plant 1", level=1)


@QUIET
@given(marks_of_pictures)
def test_a_sealed_set_is_what_it_was_and_the_same_set_has_the_same_hash(
    tmp_path: Path, marks: list[list[Mark]]
) -> None:
    folder = fresh(tmp_path)
    folder.mkdir()
    data = pictures(folder / "pictures", marks)
    sealed, _ = seal(data, ORIGIN, folder / "set", lambda _: None)
    again, read = manifest.load(folder / "set")
    assert again == sealed
    told = {(p.part, p.lot, p.split, p.marks, p.path.read_bytes()) for p in read.pictures}
    assert told == {(p.part, p.lot, p.split, p.marks, p.path.read_bytes()) for p in data.pictures}
    backwards = dataclasses.replace(data, pictures=data.pictures[::-1])
    assert seal(backwards, ORIGIN, folder / "other", lambda _: None)[0].sha256 == sealed.sha256
    other = Origin(name="试样", source="line 1", licence="research-only", holder="P", level=1)
    assert seal(data, other, folder / "third", lambda _: None)[0].sha256 != sealed.sha256


def change_picture(folder: Path) -> None:
    path = sorted((folder / "images").iterdir())[0]
    path.write_bytes(path.read_bytes() + b"\0")


def change_label(folder: Path) -> None:
    path = folder / "coco.json"
    path.write_text(path.read_text(encoding="utf-8").replace("scratch", "pit"), encoding="utf-8")


def change_licence(folder: Path) -> None:
    path = folder / "manifest.json"
    said = json.loads(path.read_text(encoding="utf-8"))
    said["origin"]["licence"] = "MIT"
    path.write_text(json.dumps(said), encoding="utf-8")


def lose_picture(folder: Path) -> None:
    sorted((folder / "images").iterdir())[0].unlink()


def add_picture(folder: Path) -> None:
    draw(folder / "images", "other.png", 99)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (change_picture, r"images/[0-9a-f]{64}\.png: was changed"),
        (change_label, r"coco\.json was changed"),
        (change_licence, r"manifest\.json was changed"),
        (lose_picture, r"images/[0-9a-f]{64}\.png: No such file"),
        (add_picture, r"images/other\.png: not of this set"),
        (lambda folder: (folder / "说明书.md").write_text("许可"), "说明书.md was changed"),
        (lambda folder: (folder / "coco.json").unlink(), r"coco\.json: .*\n.*cannot be read"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"{}"), "no manifest of a set"),
    ],
)
def test_a_set_that_is_not_as_it_was_sealed_is_refused(
    tmp_path: Path, change: Callable[[Path], object], told: str
) -> None:
    marks = [[Mark("scratch", (1, 1, 9, 9))], []]
    seal(pictures(tmp_path / "p", marks), ORIGIN, tmp_path / "set", lambda _: None)
    manifest.load(tmp_path / "set")
    change(tmp_path / "set")
    with pytest.raises(DataSetError, match=told):
        manifest.load(tmp_path / "set")


def test_a_set_is_never_written_over_nor_left_half_done(tmp_path: Path) -> None:
    data = pictures(tmp_path / "p", [[], []])
    seal(data, ORIGIN, tmp_path / "set", lambda _: None)
    with pytest.raises(DataSetError, match="is there already"):
        seal(data, ORIGIN, tmp_path / "set", lambda _: None)
    data.pictures[1].path.unlink()
    with pytest.raises(DataSetError, match="cannot be written"):
        seal(data, ORIGIN, tmp_path / "half", lambda _: None)
    assert {path.name for path in tmp_path.iterdir()} == {"p", "set"}


def test_the_same_picture_twice_is_kept_once_unless_its_marks_differ(tmp_path: Path) -> None:
    data = pictures(tmp_path / "p", [[Mark("pit", (1, 1, 9, 9))]])
    [one] = data.pictures
    copy = dataclasses.replace(one, path=draw(tmp_path / "p", "copy.png", 1))
    both = dataclasses.replace(data, pictures=(one, copy))
    sealed, doubles = seal(both, ORIGIN, tmp_path / "set", lambda _: None)
    assert (len(sealed.pictures), doubles) == (1, 1)
    torn = dataclasses.replace(data, pictures=(one, dataclasses.replace(copy, marks=())))
    with pytest.raises(DataSetError, match=r"copy\.png and p0\.png are the same picture"):
        seal(torn, ORIGIN, tmp_path / "other", lambda _: None)


# -- splits ----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8)), max_size=60), st.integers(0, 9))
def test_no_lot_and_no_part_is_ever_divided(rows: list[tuple[int, int]], seed: int) -> None:
    lot_of = dict(rows)
    made = tuple(
        Picture(Path(f"{n}.png"), *SIDE, (), f"p{part}", f"l{lot_of[part]}" if part % 2 else "")
        for n, (part, _) in enumerate(rows)
    )
    data = split(DataSet(LABELS, made), {"val": 0.3, "test": 0.3}, seed)
    by_group: dict[str, set[str | None]] = {}
    for picture in data.pictures:
        for group in (picture.group, picture.part):
            by_group.setdefault(group, set()).add(picture.split)
    assert all(len(among) == 1 for among in by_group.values())


def test_groups_fall_into_the_splits_by_their_shares_and_stay_there() -> None:
    made = tuple(Picture(Path(f"{n}.png"), *SIDE, (), f"p{n}") for n in range(4000))
    data = split(DataSet(LABELS, made), {"val": 0.1, "test": 0.2}, 1)
    assert len(data.of("val")) / 4000 == pytest.approx(0.1, abs=0.02)
    assert len(data.of("test")) / 4000 == pytest.approx(0.2, abs=0.02)
    fewer = split(DataSet(LABELS, made[:100]), {"val": 0.1, "test": 0.2}, 1)
    assert fewer.pictures == data.pictures[:100], "more pictures move none of the others"
    assert split(data, {"val": 0.9}, 7) == data, "who has a split keeps it"


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"split": "test"}, "lot lot0: in test and train"),
        ({"lot": "other", "part": "part0"}, "part part0: in lots 'lot0', 'other'"),
        ({"lot": "", "part": "part0"}, "part part0: in lots '', 'lot0'"),
        ({"marks": (Mark("dent", (1, 1, 2, 2)),)}, "class 'dent' is none of the set's"),
        ({"marks": (Mark("pit", (40, 1, 50, 2)),)}, "is not inside its 48 x 32 px"),
        ({"marks": (Mark("pit", (4, 1, 4, 2)),)}, "or has no area"),
        ({"marks": (Mark("pit", (float("nan"), 1, 4, 2)),)}, "is not inside"),
    ],
)
def test_what_makes_a_set_useless_is_told(tmp_path: Path, keys: dict[str, Any], told: str) -> None:
    data = pictures(tmp_path, [[], [], [], []])
    changed = dataclasses.replace(data.pictures[3], **keys)
    wrong = problems(dataclasses.replace(data, pictures=(*data.pictures[:3], changed)))
    assert any(told in problem for problem in wrong)
    assert problems(data) == []


def test_parts_and_lots_come_from_names(tmp_path: Path) -> None:
    names = ("L1-0007-front.png", "L1-0007-back.png", "L2-0008-front.png")
    made = tuple(Picture(draw(tmp_path, name, n), *SIDE, (), name) for n, name in enumerate(names))
    data = DataSet(LABELS, made)
    told = parted(data, re.compile(r"(?P<lot>L\d+)-(?P<part>\d+)"))
    assert [(p.lot, p.part) for p in told.pictures] == [
        *(("L1", "L1-0007"), ("L1", "L1-0007"), ("L2", "L2-0008"))
    ], "numbers may begin anew with each lot"
    with pytest.raises(DataSetError, match="no part in its name"):
        parted(data, re.compile(r"(?P<part>X\d+)"))


def test_classes_get_codes_and_two_may_become_one() -> None:
    mark = Mark("划伤", (1, 1, 2, 2))
    data = DataSet(("划伤", "刮伤"), (Picture(Path("a.png"), *SIDE, (mark,), "a"),))
    assert "give it a code with --rename 划伤=CODE" in problems(data)[0]
    told = renamed(data, {"划伤": "scratch", "刮伤": "scratch"})
    assert told.labels == ("scratch",)
    assert told.pictures[0].marks[0].label == "scratch"
    assert problems(told) == []
    with pytest.raises(DataSetError, match="no class '划痕'; there are 划伤, 刮伤"):
        renamed(data, {"划痕": "scratch"})


# -- the command -----------------------------------------------------------------------------------

OF = "--name 板 --origin line-1 --licence proprietary --holder Plant-1 --level 1"
IMPORT = f"{OF} --val 0.2 --test 0.2"


def test_a_set_goes_in_is_proved_and_comes_out_in_every_layout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = [[Mark("scratch", (1, 1, 9, 9))], [], [Mark("pit", (2, 2, 8, 8))], []] * 5
    data = pictures(tmp_path / "p", marks)
    yolo.write(data, tmp_path / "yolo")
    into = ["dataset", "import", "yolo", "--source", str(tmp_path / "yolo")]
    assert main([*into, "--out", str(tmp_path / "set"), *IMPORT.split()]) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert (told["pictures"], told["good"], told["train"]) == (20, 10, 20)
    assert "each picture is taken for a part of its own" in said.err
    sheet = (tmp_path / "set" / "说明书.md").read_text(encoding="utf-8")
    assert "| 图片 | 20 张，其中无缺陷 10 张 |" in sheet
    assert "| `scratch` | 5 | 5 |" in sheet
    anew = ["--split-anew", "--out", str(tmp_path / "anew")]
    assert main([*into, *anew, *OF.split(), "--test", "0.5"]) == 0
    assert json.loads(capsys.readouterr().out)["test"] > 2
    assert main(["dataset", "check", "--data", str(tmp_path / "set")]) == 0
    assert json.loads(capsys.readouterr().out)["sha256"] == told["sha256"]
    for kind in dataset_command.KINDS:
        out = tmp_path / f"out-{kind}"
        given = ["dataset", "export", kind, "--data", str(tmp_path / "set"), "--out", str(out)]
        assert main(given) == 0
        assert main(given) == 1, "never over what is there"
        assert "is there already" in capsys.readouterr().err
        assert any(out.rglob("*.png"))


def test_an_export_that_breaks_off_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = [[Mark("scratch", (1, 1, 9, 9))], []]
    seal(pictures(tmp_path / "p", marks), ORIGIN, tmp_path / "set", lambda _: None)

    def broken(data: DataSet, out: Path) -> None:
        yolo.write(data, out)
        raise KeyboardInterrupt

    monkeypatch.setitem(dataset_command._WRITE, "yolo", broken)
    words = ["dataset", "export", "yolo", "--data", str(tmp_path / "set"), "--out"]
    assert main([*words, str(tmp_path / "out")]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"p", "set"}


@pytest.mark.parametrize(
    ("licence", "research"),
    [
        *(("research-only", True), ("Research_Only", True), ("CC-BY-NC-4.0", True)),
        *(("proprietary", False), ("CC-BY-4.0", False), ("Apache-2.0", False)),
    ],
)
def test_a_licence_for_research_is_known_however_it_is_written(
    licence: str, research: bool
) -> None:
    assert manifest.for_research_only(licence) is research


def test_a_licence_for_research_stands_in_the_sheet(tmp_path: Path) -> None:
    origin = Origin(
        name="DeepPCB", source="arXiv", licence="research-only", holder="| x\ny", level=2
    )
    seal(pictures(tmp_path / "p", [[]]), origin, tmp_path / "set", lambda _: None)
    sheet = (tmp_path / "set" / "说明书.md").read_text(encoding="utf-8")
    assert "用它训练的模型不得用于生产" in sheet
    assert "| 权利人 | ｜ x y |" in sheet
    assert "| 数据级别 | 二级" in sheet


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("import coco --out x", "required: --source"),
        (f"import coco --source nowhere --out x {IMPORT}", "--source nowhere: no such file"),
        (f"import coco --source . --out x {IMPORT} --part-from (", "no regular expression"),
        (f"import coco --source . --out x {IMPORT} --part-from a", "expected a group (?P<part>"),
        (f"import coco --source . --out x {IMPORT} --rename a", "expected OLD=CODE, got a"),
        (f"import coco --source . --out x {IMPORT} --test 1", "expected a share from 0"),
        (f"import coco --source . --out x {IMPORT} --level 4", "invalid choice"),
        ("export csv --data . --out x", "invalid choice"),
        ("check --data nowhere", "--data nowhere: no such folder"),
    ],
)
def test_wrong_usage_is_exit_2_and_a_sentence(
    words: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["dataset", *words.split()])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err
