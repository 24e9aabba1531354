"""From a frame to the model's input: letterbox, then the numbers the graph wants. No IO.

Letterbox as ultralytics trains: one scale for both axes, grey 114 around (ultralytics 8.4,
`data/augment.py`, LetterBox). The buffers are made once and used for every frame, so a `Preparer`
belongs to one thread.

    frame (H, W[, 3]) u8 --> canvas (h, w, C) u8, with Fit --> float NCHW RGB / 255, or the canvas
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import ImageError

PAD = 114
"""Grey value around the frame."""

Element = Literal["uint8", "float16", "float32"]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What the graph takes: float = NCHW, RGB, 0..1; uint8 = NHWC, BGR as captured, 0..255."""

    height: int
    width: int
    channels: Literal[1, 3]
    element: Element

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the input with a batch of one."""
        if self.element == "uint8":
            return (1, self.height, self.width, self.channels)
        return (1, self.channels, self.height, self.width)


@dataclass(frozen=True, slots=True)
class Fit:
    """How a frame lies in the model's input: `width` x `height` px of it, from (left, top) on.

    Whole pixels make the two scales differ a little; boxes come back by the true ones.
    """

    left: int
    top: int
    width: int
    height: int
    frame_width: int
    frame_height: int

    @property
    def scale(self) -> tuple[float, float]:
        """Input px per frame px, along x and y."""
        return self.width / self.frame_width, self.height / self.frame_height


def fit(frame_height: int, frame_width: int, height: int, width: int) -> Fit:
    """Largest scale at which the frame fits, centred (the odd pixel goes right and below)."""
    scale = min(height / frame_height, width / frame_width)
    inner_width = max(1, round(frame_width * scale))
    inner_height = max(1, round(frame_height * scale))
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    return Fit(left, top, inner_width, inner_height, frame_width, frame_height)


class Preparer:
    """Buffers for one model, used by one thread."""

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec
        shape = (spec.height, spec.width)
        self._gray = np.full(shape, PAD, np.uint8)
        self._colour = np.full((*shape, 3), PAD, np.uint8)
        self._filled: tuple[int, Fit] | None = None  # what the canvas' border was drawn for
        self._input: npt.NDArray[np.generic] = np.zeros(spec.shape, spec.element)

    def prepare(self, image: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.generic], Fit]:
        """Put a frame into the input.

        Args:
            image: (H, W) or (H, W, 1) gray, or (H, W, 3) BGR, uint8, not empty.

        Returns:
            The input, valid until the next call, and how the frame lies in it.

        Raises:
            ImageError: another type or shape.
        """
        image = _checked(image)
        spec = self.spec
        if spec.channels == 1 and image.ndim == 3:
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
        placed = fit(image.shape[0], image.shape[1], spec.height, spec.width)
        canvas = self._place(image, placed)
        if spec.element == "uint8":
            self._input[0] = canvas[:, :, None] if canvas.ndim == 2 else canvas
        else:
            self._to_float(canvas)
        return self._input, placed

    def _place(self, image: npt.NDArray[np.uint8], placed: Fit) -> npt.NDArray[np.uint8]:
        """The frame on its canvas; the border is drawn again only when the frame's size changed."""
        canvas = self._gray if image.ndim == 2 else self._colour
        if self._filled != (image.ndim, placed):
            canvas.fill(PAD)
            self._filled = (image.ndim, placed)
        width, height = placed.width, placed.height
        inside = canvas[placed.top : placed.top + height, placed.left : placed.left + width]
        if image.shape[:2] == (height, width):
            inside[:] = image
        else:
            inside[:] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        return canvas

    def _to_float(self, canvas: npt.NDArray[np.uint8]) -> None:
        """Divide by 255 into NCHW; a gray canvas is divided once and copied."""
        planes, share = self._input[0], np.float32(1 / 255)
        if canvas.ndim == 2:
            np.multiply(canvas, share, out=planes[0], casting="same_kind")
            planes[1:] = planes[0]
            return
        for plane in range(3):  # RGB from BGR
            np.multiply(canvas[:, :, 2 - plane], share, out=planes[plane], casting="same_kind")


def _checked(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.size == 0:
        raise ImageError(f"expected a picture of uint8, got {image.shape} {image.dtype}")
    if image.ndim == 2 or image.shape[2] == 3:
        return image
    if image.shape[2] == 1:
        return image[:, :, 0]
    raise ImageError(f"expected 1 or 3 channels, got {image.shape[2]}")
