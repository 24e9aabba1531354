"""Flat-field correction of a line-scan camera: each pixel of its one row, made equal. A JSON file.

    corrected = (row - dark) x gain         dark: with the cap on; gain: from a white reference

Lamp, lens and sensor give every column its own brightness, and it stays the same for miles of web.
`quanjian-calibration flatfield` makes the file; whatever else calls itself one is refused, because
a wrong gain can hide a whole column.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from edge.errors import ImageError, SettingsError

MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_GAIN = 8.0
MAX_DARK = 128.0
MAX_COLUMNS = 65_536 * 3

LEAST_SIGNAL = 8.0
"""Grey values between dark and white; a column with less sees nothing."""

_FULL = 250.0  # a white reference this bright is cut off by the sensor

Image = npt.NDArray[np.uint8]
Row = npt.NDArray[np.float64]


class FlatField(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file. Its lists hold width x channels numbers, as the pixels of one row."""

    version: Literal[1]
    width: Annotated[int, Meta(ge=1, le=65_536)]
    channels: Literal[1, 3]
    dark: Annotated[list[float], Meta(max_length=MAX_COLUMNS)]  # grey values
    gain: Annotated[list[float], Meta(max_length=MAX_COLUMNS)]

    def __post_init__(self) -> None:
        for name, values, low, high in (
            ("dark", self.dark, 0.0, MAX_DARK),
            ("gain", self.gain, 1 / MAX_GAIN, MAX_GAIN),
        ):
            if len(values) != self.width * self.channels:
                raise ValueError(
                    f"{name}: {len(values)} numbers, expected {self.width} x {self.channels}"
                )
            wrong = [v for v in values if not low <= v <= high]  # NaN is wrong, too
            if wrong:
                raise ValueError(f"{name}: {wrong[0]:g}, expected {low:g} to {high:g}")


def read(path: Path) -> FlatField:
    """Read and check a file.

    Raises:
        SettingsError: it cannot be read, or is no flat field.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise SettingsError(str(path), [f"cannot be read: {exc}"]) from exc
    return parse(content, str(path))


def parse(content: bytes, name: str) -> FlatField:
    """The flat field in `content`; `name` is for messages.

    Raises:
        SettingsError: it is none.
    """
    if len(content) > MAX_FILE_BYTES:
        raise SettingsError(name, [f"more than {MAX_FILE_BYTES} bytes"])
    try:
        return msgspec.json.decode(content, type=FlatField)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise SettingsError(name, [f"is no flat field: {exc}"]) from exc


def from_references(dark: Iterable[Image], white: Iterable[Image]) -> FlatField:
    """The correction that makes the white reference flat at its own mean brightness.

    Args:
        dark: pictures with the cap on, (H, W) or (H, W, 3), one size; `white`: of an even, bright
            surface that moves, so that its own grain is averaged away.

    Raises:
        ImageError: sizes differ, the sensor is cut off, or a column sees nothing.
    """
    low, shape = _mean_row(dark, "dark")
    high, other = _mean_row(white, "white")
    if shape != other:
        raise ImageError(f"dark rows are {shape}, white ones {other}; expected the same")
    signal = high - low
    blind = np.flatnonzero(signal < LEAST_SIGNAL)
    if blind.size:
        raise ImageError(
            f"column {blind[0] // shape[1]} and {blind.size - 1} more: white is less than "
            f"{LEAST_SIGNAL:g} grey values above dark"
        )
    full = np.flatnonzero(high > _FULL)
    if full.size:
        raise ImageError(
            f"column {full[0] // shape[1]} and {full.size - 1} more: white is {high.max():.0f}, "
            f"expected at most {_FULL:g}: shorten the exposure"
        )
    gain = signal.mean() / signal
    if gain.max() > MAX_GAIN or gain.min() < 1 / MAX_GAIN or low.max() > MAX_DARK:
        raise ImageError(
            f"gains from {gain.min():.2f} to {gain.max():.2f}, dark up to {low.max():.0f}; "
            f"expected {1 / MAX_GAIN:g} to {MAX_GAIN:g} and at most {MAX_DARK:g}"
        )
    rounded = [round(float(v), 3) for v in low], [round(float(v), 5) for v in gain]
    return FlatField(1, shape[0], 1 if shape[1] == 1 else 3, *rounded)


def _mean_row(pictures: Iterable[Image], name: str) -> tuple[Row, tuple[int, int]]:
    """Mean of all rows, flat, and its width and channels."""
    total: Row = np.zeros(0)
    rows, shape = 0, (0, 0)
    for picture in pictures:
        here = picture.shape[1], (1 if picture.ndim == 2 else picture.shape[2])
        if rows and here != shape:
            raise ImageError(f"{name} rows are {shape} and {here}; expected one size")
        shape = here
        added = picture.reshape(picture.shape[0], -1).sum(axis=0, dtype=np.float64)
        total = added if rows == 0 else total + added
        rows += picture.shape[0]
    if rows == 0:
        raise ImageError(f"no {name} reference")
    return total / rows, shape


class Flattener:
    """Applies one flat field; may be used from several threads at once."""

    def __init__(self, field: FlatField) -> None:
        self.width, self.channels = field.width, field.channels
        self._dark = np.round(np.array(field.dark)).astype(np.uint8)[None]
        # one byte a gain, in steps so that the largest is 255: half a grey value at the most
        self._step = max(field.gain) / 255
        gain = np.array(field.gain) / self._step
        self._gain = np.clip(np.round(gain), 1, 255).astype(np.uint8)[None]
        self._rows = (self._dark, self._gain)

    def check(self, picture: Image) -> None:
        """Refuse a whole picture that is not of the columns that this flat field was made of.

        A field of a wider row would lie over it shifted, and be wrong in every column.

        Raises:
            ImageError: of another width, or of other channels.
        """
        channels = 1 if picture.ndim == 2 else picture.shape[2]
        if (picture.shape[1], channels) != (self.width, self.channels):
            raise ImageError(
                f"{picture.shape[1]} columns of {channels} channels, but the flat field is of "
                f"{self.width} columns of {self.channels}: make it anew with this camera and region"
            )

    def apply(self, part: Image, left: int = 0) -> Image:
        """Correct a part of a picture whose leftmost column is `left`.

        Raises:
            ImageError: it does not fit into the row that the flat field is of.
        """
        channels = 1 if part.ndim == 2 else part.shape[2]
        if channels != self.channels or left + part.shape[1] > self.width:
            raise ImageError(
                f"columns {left} to {left + part.shape[1]} of {channels} channels, but the flat "
                f"field is of {self.width} columns of {self.channels}"
            )
        height = part.shape[0]
        dark, gain = self._tall(height)
        columns = slice(left * channels, (left + part.shape[1]) * channels)
        flat = part.reshape(height, -1)
        lifted = cv2.subtract(flat, dark[:height, columns])
        cv2.multiply(lifted, gain[:height, columns], dst=lifted, scale=self._step)
        return np.asarray(lifted, np.uint8).reshape(part.shape)

    def _tall(self, height: int) -> tuple[Image, Image]:
        """Dark and gain, repeated for at least so many rows; a larger pair replaces the smaller."""
        rows = self._rows
        if rows[0].shape[0] < height:
            rows = np.repeat(self._dark, height, axis=0), np.repeat(self._gain, height, axis=0)
            self._rows = rows
        return rows
