"""DeepPCB becomes a data set of ours: whole groups apart, templates as good parts."""

from pathlib import Path

import pytest

from edge.errors import ImageError
from models.deeppcb import CLASSES, convert
from models.labels import read_labels


@pytest.fixture
def boards(tmp_path: Path) -> Path:
    """Four boards of three groups in the layout of the data set; the pictures are only bytes."""
    source = tmp_path / "deeppcb"
    source.mkdir()
    for name in ("00041000", "00041001", "13000007", "77000012"):
        (source / f"{name}_test.jpg").write_bytes(b"test" + name.encode())
        (source / f"{name}_temp.jpg").write_bytes(b"temp" + name.encode())
        (source / f"{name}.txt").write_text("64 128 96 192 4\n0 0 640 640 1")
    return source


def test_whole_groups_are_held_out_and_every_board_brings_its_template(
    boards: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    manifest = convert(boards, out, holdout=["00041"], validation=["77000"])
    held = sorted(p.name for p in (out / "images" / "test").iterdir())
    assert held == [f"0004100{i}_{kind}.jpg" for i in (0, 1) for kind in ("temp", "test")]
    assert {p.name[:5] for p in (out / "images" / "train").iterdir()} == {"13000"}
    assert {p.name[:5] for p in (out / "images" / "val").iterdir()} == {"77000"}
    assert manifest["counts"] == {
        "train": {"boards": 1, "templates": 1, "defects": 2},
        "val": {"boards": 1, "templates": 1, "defects": 2},
        "test": {"boards": 2, "templates": 2, "defects": 4},
    }
    assert manifest["licence"] == "research-only"


def test_a_template_has_an_empty_label_file_and_a_board_its_defects(
    boards: Path, tmp_path: Path
) -> None:
    convert(boards, tmp_path / "out", holdout=["00041"], validation=[])
    labels = tmp_path / "out" / "labels" / "train"
    assert (labels / "13000007_temp.txt").read_bytes() == b""
    first, second = read_labels(labels / "13000007_test.txt")
    assert CLASSES[first.kind] == "spur"
    assert first.corners == pytest.approx((0.1, 0.2, 0.15, 0.3))
    assert CLASSES[second.kind] == "open"
    assert second.corners == pytest.approx((0, 0, 1, 1))


def test_fewer_templates_are_left_out_of_training_only(boards: Path, tmp_path: Path) -> None:
    counts = convert(boards, tmp_path / "out", ["77000"], [], templates=0.34)["counts"]
    assert counts == {
        "train": {"boards": 3, "templates": 1, "defects": 6},
        "val": {"boards": 0, "templates": 0, "defects": 0},
        "test": {"boards": 1, "templates": 1, "defects": 2},
    }


def test_the_manifest_s_hash_changes_with_any_label(boards: Path, tmp_path: Path) -> None:
    before = convert(boards, tmp_path / "a", ["00041"], [])["sha256"]
    assert convert(boards, tmp_path / "b", ["00041"], [])["sha256"] == before
    (boards / "13000007.txt").write_text("64 128 96 192 5\n0 0 640 640 1")
    assert convert(boards, tmp_path / "c", ["00041"], [])["sha256"] != before


def test_an_unknown_group_is_named_with_those_there_are(boards: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no board group \['99999'\].*'00041', '13000', '77000'"):
        convert(boards, tmp_path / "out", ["99999"], [])


@pytest.mark.parametrize("line", ["1 2 3 4", "5 5 5 9 1", "1 2 3 4 7", "1 2 900 4 1", "a b c d e"])
def test_a_malformed_label_is_named_with_file_and_line(
    line: str, boards: Path, tmp_path: Path
) -> None:
    (boards / "13000007.txt").write_text(f"64 128 96 192 4\n{line}\n")
    with pytest.raises(ImageError, match=r"13000007\.txt:2: "):
        convert(boards, tmp_path / "out", ["00041"], [])


def test_a_folder_without_boards_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no NAME_test"):
        convert(tmp_path, tmp_path / "out", ["00041"], [])
