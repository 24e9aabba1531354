"""`quanjian-edge cameras`: what is connected stands there once, with a picture."""

import json
from pathlib import Path
from typing import Any

import cv2
import pytest

from edge.__main__ import main
from edge.vision.found import FoundCamera, search_v4l2
from tests.gige_peer import ADDRESS, SERIAL, fake_camera
from tests.small_line import wire
from tests.test_gentl import PRODUCER


def listed(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, list[dict[str, Any]]]:
    code = main(["cameras", "--json", *options])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def asking(folder: Path, more: str, view: str = "") -> Path:
    """An edge.toml with one more camera, and what the recipe asks of it."""
    wire(folder, [False])
    recipe, path = folder / "squares.toml", folder / "edge.toml"
    recipe.write_text(f"{recipe.read_text(encoding='utf-8')}\n{view}", encoding="utf-8")
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{more}", encoding="utf-8")
    return path


@pytest.mark.needs_aravis
def test_a_camera_of_edge_toml_is_shown_as_its_recipe_sets_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    camera = f'[[camera]]\nname = "top"\nkind = "gige"\nsource = "{SERIAL}"\n'
    view = '[[view]]\ncamera = "top"\nregion = [0, 0, 64, 32]\n'
    path = asking(tmp_path, camera, view)
    with fake_camera():
        code, found = listed(capsys, "--config", str(path), "--out", str(tmp_path / "out"))
    gige = [one for one in found if one["kind"] == "gige"]
    assert code == 0
    assert [(one["name"], one["serial"], one["address"], one["size"]) for one in gige] == [
        ("top", SERIAL, ADDRESS, "64 x 32")
    ]
    assert gige[0]["model"] == "Aravis Fake"
    snapshot = cv2.imread(str(tmp_path / "out" / "top.png"), cv2.IMREAD_UNCHANGED)
    assert snapshot is not None
    assert snapshot.shape == (32, 64)


def test_cameras_of_a_producer_and_a_folder_are_listed_with_their_faults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENICAM_GENTL64_PATH", str(Path(PRODUCER).parent))
    camera = f'[[camera]]\nname = "top"\nkind = "gentl"\nsource = "{PRODUCER}"\ndevice = "1"\n'
    path = asking(tmp_path, camera + 'pixel_format = "Mono9"\n')
    code, found = listed(capsys, "--config", str(path))
    producers = [one for one in found if one["kind"] == "gentl"]
    assert code == 1
    assert found[0]["size"] == "64 x 64", "the folder's first picture"
    assert [(one["name"], one["device"], one["size"]) for one in producers] == [
        ("top", "1", ""),
        ("", "0", "400 x 400"),
        ("", "2", "400 x 400"),
    ]
    assert "PixelFormat cannot be Mono9" in producers[0]["fault"]


def test_the_list_is_readable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = asking(tmp_path, "")
    assert main(["cameras", "--config", str(path)]) == 0
    assert f"c1  folder  {tmp_path / 'pictures'}  64 x 64\n" in capsys.readouterr().out


def test_the_kernels_cameras_are_named_by_what_they_say_of_themselves(tmp_path: Path) -> None:
    usb = tmp_path / "usb" / "1-4"
    (usb / "1-4.0").mkdir(parents=True)
    for name, text in (("serial", "A17\n"), ("busnum", "1\n"), ("devnum", "5\n")):
        (usb / name).write_text(text, encoding="ascii")
    for place, index in (("video0", "0"), ("video1", "1"), ("video10", "0"), ("video2", "0")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "index").write_text(index, encoding="ascii")
        (tmp_path / place / "name").write_text(f"cam {place}\n", encoding="ascii")
    (tmp_path / "video0" / "device").symlink_to(usb / "1-4.0")
    found = search_v4l2(tmp_path)
    assert found == [
        FoundCamera("v4l2", "/dev/video0", "cam video0", "A17", "usb 1:5"),
        FoundCamera("v4l2", "/dev/video2", "cam video2"),
        FoundCamera("v4l2", "/dev/video10", "cam video10"),
    ]
    assert found[1].answers_to("v4l2", "2", None)
    assert not found[1].answers_to("v4l2", "10", None)
    assert search_v4l2(tmp_path / "none") == []
