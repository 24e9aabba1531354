"""Pictures for people: boxes drawn, JPEG, and a thumbnail small enough to travel first."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import ImageError
from edge.terms import Detection

THUMBNAIL_BYTES = 64 * 1024
"""Largest thumbnail."""

_THUMBNAIL_PX = 320  # longer side
RED, GRAY = (40, 40, 230), (110, 110, 110)  # BGR
_WHITE = (255, 255, 255)
_ZONES = {"forbidden": (160, 0, 160), "tolerant": (0, 130, 200), "ignored": GRAY}
_FONT = cv2.FONT_HERSHEY_SIMPLEX

Image = npt.NDArray[np.uint8]


def draw(
    image: Image, detections: Sequence[Detection], colour: tuple[int, int, int] = RED
) -> Image:
    """A colour copy, (H, W, 3) uint8 BGR, with a box, class and score for each detection.

    A class name outside ASCII is left out, as the font has no such letters, and a box that is no
    number.

    Raises:
        ImageError: the picture is empty or not one.
    """
    drawn = _colour(image)
    longer = max(drawn.shape[:2])
    line = max(1, round(longer / 320))
    scale = max(0.35, longer / 1000)
    finite = [found for found in detections if found.is_finite]
    for found in sorted(finite, key=lambda d: d.score):  # the worst on top
        x1, y1, x2, y2 = (round(edge) for edge in found.box)
        cv2.rectangle(drawn, (x1, y1), (x2, y2), colour, line)
        name = f"{found.label} " if found.label.isascii() else ""
        _write(drawn, f"{name}{found.score:.2f}", (x1, y1), scale, line, colour)
    return drawn


def outline(image: Image, zones: Sequence[tuple[Sequence[tuple[float, float]], str, str]]) -> Image:
    """A colour copy with the outline and the name of each zone, in the colour of its kind.

    Args:
        zones: corners (x, y) in px, kind (forbidden, tolerant or ignored), name.

    Raises:
        ImageError: the picture is empty or not one.
    """
    drawn = _colour(image)
    longer = max(drawn.shape[:2])
    line, scale = max(1, round(longer / 640)), max(0.35, longer / 1200)
    for corners, kind, name in zones:
        colour = _ZONES.get(kind, _WHITE)
        points = np.round(np.array(corners)).astype(np.int32)
        cv2.polylines(drawn, [points], True, colour, line, cv2.LINE_AA)
        text = f"{name} ({kind})" if name.isascii() else kind
        _write(drawn, text, (int(points[0][0]), int(points[0][1])), scale, line, colour)
    return drawn


def jpeg(image: Image, quality: int = 90) -> bytes:
    """The picture as JPEG.

    Args:
        image: (H, W) or (H, W, 3) uint8 BGR.
        quality: 1..100.

    Raises:
        ImageError: it cannot be encoded: empty, or a side longer than 65500 px.
    """
    try:
        done, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error as exc:
        raise ImageError(f"{image.shape} {image.dtype} cannot be made a JPEG") from exc
    if not done:
        raise ImageError(f"{image.shape} {image.dtype} cannot be made a JPEG")
    return content.tobytes()


def bitmap(image: Image) -> bytes:
    """The picture without loss, as BMP: large, and quick to write; `image` as for `jpeg`.

    Raises:
        ImageError: it cannot be encoded.
    """
    return _encoded(image, ".bmp")


def png(image: Image) -> bytes:
    """The picture as PNG, nothing lost; `image` as for `jpeg`.

    Raises:
        ImageError: it cannot be encoded: empty.
    """
    return _encoded(image, ".png")


def _encoded(image: Image, suffix: str) -> bytes:
    try:
        done, content = cv2.imencode(suffix, image)
    except cv2.error as exc:
        raise ImageError(f"{image.shape} {image.dtype} cannot be made a {suffix[1:]}") from exc
    if not done:
        raise ImageError(f"{image.shape} {image.dtype} cannot be made a {suffix[1:]}")
    return content.tobytes()


def thumbnail(image: Image, detections: Sequence[Detection] = ()) -> bytes:
    """A small JPEG of at most 64 KiB with the boxes on it; the longer side is 320 px or less.

    Raises:
        ImageError: the picture is empty or not one.
    """
    colour = _colour(image)
    scale = min(1.0, _THUMBNAIL_PX / max(colour.shape[:2]))
    height, width = (max(1, round(side * scale)) for side in colour.shape[:2])
    small = np.asarray(cv2.resize(colour, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    drawn = draw(small, [_scaled(found, scale) for found in detections])
    for quality in (85, 70, 50, 30, 10):
        content = jpeg(drawn, quality)
        if len(content) <= THUMBNAIL_BYTES:
            break
    return content


def _colour(image: Image) -> Image:
    if image.size == 0 or image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise ImageError(f"expected a picture of uint8, got {image.shape} {image.dtype}")
    if image.ndim == 3 and image.shape[2] == 3:
        return image.copy()
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)


def _write(
    drawn: Image,
    text: str,
    corner: tuple[int, int],
    scale: float,
    line: int,
    ground: tuple[int, int, int],
) -> None:
    """White on `ground` above the corner, moved so that all of it is in the picture."""
    (width, height), below = cv2.getTextSize(text, _FONT, scale, line)
    left = max(0, min(corner[0], drawn.shape[1] - width))
    base = max(height + below, corner[1] - below)
    cv2.rectangle(drawn, (left, base - height - below), (left + width, base + below), ground, -1)
    cv2.putText(drawn, text, (left, base), _FONT, scale, _WHITE, line, cv2.LINE_AA)


def _scaled(found: Detection, scale: float) -> Detection:
    x1, y1, x2, y2 = (edge * scale for edge in found.box)
    return Detection(found.label, found.score, (x1, y1, x2, y2))
