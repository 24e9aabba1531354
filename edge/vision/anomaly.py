"""What does not look like the good parts: an anomaly model, made by `quanjian-models anomaly`.

The file is an ordinary detection export whose anchors are the cells of the backbone's map, each
with the score that the cell is not as on good parts, so it is loaded, hashed and run like any other
model. Its metadata `quanjian_anomaly` says where parts lay in training:

    frame --> registered to the reference --> cells with scores --> touching cells: one detection

    {"width": px, "height": px, "max_shift_px": px, "thumbnail": PNG in base64}
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import Annotated

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from edge.errors import ImageError, ModelError
from edge.terms import Detection
from edge.vision.detector import Detector
from edge.vision.image import decode_image
from edge.vision.regions import Region, detection, moved, strong_regions
from edge.vision.registration import (
    THUMBNAIL_PX,
    Gray,
    Registration,
    gray,
    thumbnail,
    thumbnail_shape,
    upright,
)

NOTE = "quanjian_anomaly"
"""Key of the metadata."""

Side = Annotated[int, Meta(ge=1, le=100_000)]


class Reference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the good part lies that all others were registered to."""

    width: Side  # of the picture, px
    height: Side
    max_shift_px: Annotated[float, Meta(ge=0, le=1000)]
    thumbnail: Annotated[str, Meta(max_length=200_000)]  # PNG in base64


class Anomaly:
    """A loaded anomaly model. `detect` may be called from several threads at once."""

    def __init__(self, detector: Detector) -> None:
        """Read where parts have to lie.

        Raises:
            ModelError: not an anomaly model.
        """
        self._detector = detector
        self.labels = detector.labels
        self._most = detector.session.get_outputs()[0].shape[-1]  # cells told of one picture
        try:
            self._registration = _registration(detector.notes.get(NOTE, ""))
        except (ModelError, ImageError) as exc:
            raise ModelError(f"{detector.path}: {exc}") from exc

    @property
    def providers(self) -> tuple[str, ...]:
        """What really runs it."""
        return self._detector.providers

    def detect(
        self, image: npt.NDArray[np.uint8], mm_per_px: float | None = None
    ) -> list[Detection]:
        """Regions unlike the good parts, strongest first; [] = none at or above the floor.

        Args:
            image: (H, W) gray or (H, W, 3) BGR, uint8.
            mm_per_px: of the frame; without it detections have no size in mm.

        Raises:
            ImageError: not such a picture, the part is not in its place, or it is unlike the good
                ones in more cells than the model tells: nothing can be said.
            ModelError: the inference failed, or gave numbers that mean nothing.
        """
        matrix = self._registration.find(gray(image))
        cells = self._detector.detect(upright(image, matrix))
        if len(cells) == self._most:  # what it leaves out may be the one outside a mask
            raise ImageError(f"unlike the good parts in {self._most} places or more: another part?")
        label, shape = self.labels[0], image.shape
        return [
            detection(label, region.peak, moved(region.box, matrix, shape), mm_per_px)
            for region in _joined(cells, self._registration.shape)
        ]


def note(reference: Gray, max_shift_px: float) -> str:
    """The metadata of a model whose parts were registered to this picture."""
    height, width = reference.shape
    _ok, png = cv2.imencode(".png", thumbnail(reference, (height, width)))
    made = Reference(
        width=width,
        height=height,
        max_shift_px=max_shift_px,
        thumbnail=base64.b64encode(png.tobytes()).decode("ascii"),
    )
    return msgspec.json.encode(made).decode("ascii")


def _registration(text: str) -> Registration:
    """The registration that the metadata says; the inverse of `note`.

    Raises:
        ModelError: there is none, or it says nothing that can be used.
        ImageError: its thumbnail is no picture.
    """
    try:
        said = msgspec.json.decode(text, type=Reference)
        png = base64.b64decode(said.thumbnail, validate=True)
    except (msgspec.MsgspecError, binascii.Error, ValueError) as exc:
        raise ModelError(f"no anomaly model: {NOTE} in its metadata: {exc}") from exc
    shape = (said.height, said.width)
    picture = decode_image(png, max_pixels=THUMBNAIL_PX**2)
    if picture.ndim != 2 or thumbnail_shape(shape) != picture.shape:
        raise ModelError(f"thumbnail {picture.shape} does not belong to a picture of {shape}")
    return Registration(picture, said.max_shift_px, shape)


def _joined(cells: list[Detection], shape: tuple[int, int]) -> list[Region]:
    """Cells that touch as one region; its peak is the best of their scores."""
    strength = np.zeros(shape, np.float32)
    for cell in reversed(cells):  # weakest first
        left, top = (math.floor(edge) for edge in cell.box[:2])
        right, bottom = (math.ceil(edge) for edge in cell.box[2:])
        strength[top:bottom, left:right] = cell.score
    return strong_regions(strength, 1e-6, 0, 0.0)
