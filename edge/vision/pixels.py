"""Bytes of a GenICam camera as a picture, by the name of their pixel format (PFNC).

Mono8               gray
BayerRG8 and so on  colour, one colour filter per pixel; named by the first two of the first row
RGB8, BGR8, RGBa8   colour
"""

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import CameraError, ImageError

_CHANNELS = {"Mono8": 1, "RGB8": 3, "BGR8": 3, "RGBa8": 4}
_CHANNELS |= dict.fromkeys(("BayerRG8", "BayerGR8", "BayerGB8", "BayerBG8"), 1)

_TO_BGR = {
    "RGB8": cv2.COLOR_RGB2BGR,
    "RGBa8": cv2.COLOR_RGBA2BGR,
    "BayerRG8": cv2.COLOR_BayerRGGB2BGR,
    "BayerGR8": cv2.COLOR_BayerGRBG2BGR,
    "BayerGB8": cv2.COLOR_BayerGBRG2BGR,
    "BayerBG8": cv2.COLOR_BayerBGGR2BGR,
}


def check_format(source: str, name: str) -> None:
    """Refuse a pixel format that cannot be read, before the first picture.

    Raises:
        CameraError: says which can.
    """
    if name not in _CHANNELS:
        raise CameraError(
            f"{source}: pixel format {name}; expected one of {', '.join(_CHANNELS)}: set "
            'pixel_format = "Mono8" in [[camera]]'
        )


def to_image(
    content: bytes | npt.NDArray[np.uint8], width: int, height: int, name: str
) -> npt.NDArray[np.uint8]:
    """A picture from the camera's bytes.

    Args:
        content: an array may become the picture itself: it must not be used any more.

    Returns:
        (H, W) uint8 for gray formats, (H, W, 3) uint8 BGR for colour.

    Raises:
        ImageError: an unknown format, or too few bytes for the size.
    """
    channels = _CHANNELS.get(name)
    if channels is None:
        raise ImageError(f"pixel format {name}; expected one of {', '.join(_CHANNELS)}")
    size = width * height * channels
    raw = np.frombuffer(content, np.uint8) if isinstance(content, bytes) else content.reshape(-1)
    if size < 1 or raw.size < size:
        raise ImageError(f"{raw.size} bytes; {width} x {height} {name} needs {size}")
    shape = (height, width) if channels == 1 else (height, width, channels)
    pixels = raw[:size].reshape(shape)
    if name not in _TO_BGR:
        return pixels.copy() if isinstance(content, bytes) else pixels
    try:
        return np.asarray(cv2.cvtColor(pixels, _TO_BGR[name]), np.uint8)
    except cv2.error as exc:
        raise ImageError(f"{width} x {height} {name} cannot be converted: {exc}") from exc
