"""A file that is replaced is the old one or the new one, whole, wherever the computer stops."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from edge import durable
from tests.faults.points import DIED

ROOT = Path(__file__).parent.parent
WRITES = """
import sys
from pathlib import Path
from edge import durable
from tests.faults import points
points.arm(sys.argv[2], sys.argv[3], int(sys.argv[4]))
durable.write(Path(sys.argv[1]), b"the new one")
"""
FILE, RENAME, FOLDER = ("os.fsync", 1), ("pathlib.Path.replace", 1), ("os.fsync", 2)


@pytest.mark.parametrize(
    ("when", "step", "stands"),
    [
        ("before", FILE, b"the old one"),
        ("after", FILE, b"the old one"),
        ("before", RENAME, b"the old one"),
        ("after", RENAME, b"the new one"),
        ("before", FOLDER, b"the new one"),
        ("after", FOLDER, b"the new one"),
    ],
)
def test_a_computer_that_stops_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, when: str, step: tuple[str, int], stands: bytes
) -> None:
    path = tmp_path / "file"
    durable.write(path, b"the old one")
    written = subprocess.run(
        [sys.executable, "-c", WRITES, str(path), when, step[0], str(step[1])],
        timeout=60,
        check=False,
        cwd=ROOT,
    )
    assert written.returncode == DIED
    assert path.read_bytes() == stands
    assert {*tmp_path.iterdir()} == {path, *tmp_path.glob(durable.PARTS)}


def test_a_file_has_the_mode_that_was_asked_for_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        durable.write(tmp_path / "open", b"", mode=0o644)
        durable.write(tmp_path / "closed", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "closed").stat().st_mode) == 0o600


def test_what_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        durable.write(tmp_path / "folder", b"content")
    with pytest.raises(FileNotFoundError):
        durable.write(tmp_path / "missing" / "file", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
