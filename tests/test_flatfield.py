"""Flat field: columns become equal, a bad reference is refused, and so is any other file."""

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.__main__ import main
from edge.errors import ImageError, SettingsError
from edge.limits import Spots, Tiles
from edge.vision import flat
from edge.vision.flat import FlatField, Flattener
from edge.vision.spots import SpotDetector
from edge.vision.tiled import Tiled

Image = npt.NDArray[np.uint8]
WIDTH = 300


def light(width: int = WIDTH) -> npt.NDArray[np.float64]:
    """Share of the light that each column gets: dark ends, and a dirty column."""
    x = np.linspace(-1, 1, width)
    share = 1 - 0.4 * x * x
    share[70] *= 0.8
    return share


def sensed(grey: float, rows: int, seed: int, width: int = WIDTH) -> Image:
    """What the camera gives of an even surface: offsets, light, noise."""
    rng = np.random.default_rng(seed)
    offset = 4 + np.arange(width) % 3
    values = offset + grey * light(width) + rng.normal(0, 1.5, (rows, width))
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def field() -> FlatField:
    """As calibrated."""
    return flat.from_references([sensed(0, 200, 1)], [sensed(200, 300, 2), sensed(200, 300, 3)])


@pytest.mark.parametrize("grey", [60, 120, 180])
def test_an_even_surface_becomes_even(grey: int) -> None:
    picture = sensed(grey, 400, 9)
    corrected = Flattener(field()).apply(picture).mean(axis=0)
    assert np.ptp(picture.mean(axis=0)) > 0.3 * grey
    assert np.ptp(corrected) < 2.5


def test_a_part_of_a_picture_is_corrected_as_in_the_whole() -> None:
    flattener = Flattener(field())
    picture = sensed(120, 50, 9)
    whole = flattener.apply(picture)
    assert np.array_equal(flattener.apply(picture[10:30, 65:200], 65), whole[10:30, 65:200])


def test_colour_is_corrected_channel_by_channel() -> None:
    def stacked(grey: float, seed: int) -> Image:
        return np.dstack(
            [sensed(grey * share, 300, seed + n) for n, share in enumerate((1, 0.8, 0.6))]
        )

    colour = flat.from_references([stacked(0, 1)], [stacked(200, 5)])
    assert (colour.width, colour.channels) == (WIDTH, 3)
    corrected = Flattener(colour).apply(stacked(120, 9))
    assert corrected.shape == (300, WIDTH, 3)
    assert np.ptp(corrected.mean(axis=0)) < 3


def test_what_does_not_fit_the_row_is_refused() -> None:
    flattener = Flattener(field())
    with pytest.raises(ImageError, match="columns 0 to 400"):
        flattener.apply(np.zeros((5, 400), np.uint8))
    with pytest.raises(ImageError, match="of 3 channels"):
        flattener.apply(np.zeros((5, WIDTH, 3), np.uint8))


def test_a_picture_of_fewer_columns_than_the_flat_field_is_not_corrected_shifted() -> None:
    limits = Spots(contrast=20, smallest_px=8, largest_px=32)
    sees = Tiled(SpotDetector(limits), Tiles(overlap_px=32), prepare=Flattener(field()))
    assert sees.detect(sensed(120, 64, 9)) == []
    with pytest.raises(ImageError, match=r"290 columns of 1 channels, .* of 300 columns of 1"):
        sees.detect(sensed(120, 64, 9)[:, :290])
    with pytest.raises(ImageError, match="300 columns of 3 channels"):
        sees.detect(np.zeros((64, WIDTH, 3), np.uint8))


@pytest.mark.parametrize(
    ("dark", "white", "why"),
    [
        ([], [sensed(200, 9, 1)], "no dark reference"),
        ([sensed(0, 9, 1)], [sensed(2, 9, 2)], "above dark"),
        ([sensed(0, 9, 1)], [np.full((9, WIDTH), 255, np.uint8)], "shorten the exposure"),
        ([sensed(0, 9, 1)], [sensed(200, 9, 2, width=200)], "expected the same"),
        ([sensed(0, 9, 1), sensed(0, 9, 1, width=200)], [sensed(200, 9, 2)], "one size"),
    ],
)
def test_a_reference_that_tells_nothing_is_refused(
    dark: list[Image], white: list[Image], why: str
) -> None:
    with pytest.raises(ImageError, match=why):
        flat.from_references(dark, white)


GOOD = {"version": 1, "width": 2, "channels": 1, "dark": [1, 2], "gain": [1.0, 1.5]}


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 2},
        {"width": 3},
        {"width": 10**9},
        {"channels": 2},
        {"dark": [1]},
        {"dark": [1, -1]},
        {"dark": [1, "x"]},
        {"gain": [1, 0]},
        {"gain": [1, 1e308]},
        {"gain": None},
        {"extra": 1},
    ],
)
def test_a_file_that_is_no_flat_field_is_refused(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    path = tmp_path / "flat.json"
    path.write_text(json.dumps(GOOD), encoding="utf-8")
    assert flat.read(path).gain == [1.0, 1.5]
    path.write_text(json.dumps({**GOOD, **changed}), encoding="utf-8")
    with pytest.raises(SettingsError, match=r"flat\.json"):
        flat.read(path)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_ours(content: bytes) -> None:
    with pytest.raises(SettingsError):
        flat.parse(content, "flat.json")


@pytest.mark.parametrize("content", [b'{"gain":[NaN]}', b"[" * 200_000, b" " * (17 * 1024 * 1024)])
def test_hostile_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "flat.json"
    path.write_bytes(content)
    with pytest.raises(SettingsError):
        flat.read(path)
    with pytest.raises(SettingsError):
        flat.read(tmp_path)


def test_the_command_makes_a_file_that_a_node_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, grey in (("dark", 0), ("white", 200)):
        (tmp_path / name).mkdir()
        for number in range(2):
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), sensed(grey, 100, number))
    out = tmp_path / "flat.json"
    asked = ["flatfield", "--dark", str(tmp_path / "dark"), "--white", str(tmp_path / "white")]
    assert main([*asked, "--out", str(out)]) == 0
    assert json.loads(capsys.readouterr().out)["width"] == WIDTH
    assert flat.read(out).width == WIDTH
    assert main([*asked[:-1], str(tmp_path / "dark"), "--out", str(out)]) == 1
    assert "above dark" in capsys.readouterr().err
