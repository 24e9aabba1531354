"""From a frame to the model's input: letterbox, then the numbers the graph wants. No IO.

Letterbox as ultralytics trains: one scale for both axes, grey 114 around (ultralytics 8.4,
`data/augment.py`, LetterBox). The buffers are made once and used for every frame, so a `Preparer`
belongs to one thread.

    frame (H, W[, 3]) u8 -- resized --> input (1, h, w, C) u8               a folded graph
                         -- as it lies in memory --> input                  the same, of that size
                         -- resized --> (h, w, 3) u8 --> planes (3, h, w) u8 -- / 255 -->
                                        input (1, 3, h, w) float RGB        as exported

A frame that is already what a folded graph takes is read where it lies: copying it would cost as
much as all the rest around the model. Nothing of ours writes into a frame (`edge.terms.Frame`).
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import ImageError

PAD = 114
"""Grey value around the frame."""

_SHARE = np.float32(1 / 255)

Element = Literal["uint8", "float16", "float32"]


Numbers = npt.NDArray[np.integer | np.floating]


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
        self._own: Numbers = np.zeros(spec.shape, spec.element)
        self.input: Numbers = self._own
        """What the graph reads: memory of this thread, or the last frame itself."""
        sides = (spec.height, spec.width)
        self._gray = np.empty(sides, np.uint8)
        self._colour = np.empty((*sides, 3), np.uint8)
        self._planes = np.empty((3, *sides), np.uint8)
        self._middle = np.empty((0,), np.uint8)  # rows of the frame
        self._placed: Fit | None = None  # what the border was drawn for

    def prepare(self, image: npt.NDArray[np.uint8]) -> Fit:
        """Make `input` show a frame.

        Args:
            image: (H, W) or (H, W, 1) gray, or (H, W, 3) BGR, uint8, not empty; must stay as it is
                until the graph has read `input`, which may be its memory.

        Returns:
            How the frame lies in the input.

        Raises:
            ImageError: another type or shape, or too large for OpenCV.
        """
        image = _checked(image)
        placed = fit(image.shape[0], image.shape[1], self.spec.height, self.spec.width)
        whole = self.spec.element == "uint8"
        if whole and self._is_ready(image):
            self.input = image.reshape(self.spec.shape)
            return placed
        self.input = self._own
        if placed != self._placed:
            self.input.fill(PAD if whole else PAD * _SHARE)
            self._placed = placed
        rows = slice(placed.top, placed.top + placed.height)
        columns = slice(placed.left, placed.left + placed.width)
        try:
            if whole:
                inside = self.input[0, rows, columns]
                self._fill(image, inside if self.spec.channels == 3 else inside[:, :, 0])
            else:
                self._fill_planes(image, self.input[0, :, rows, columns])
        except cv2.error as exc:
            raise ImageError(f"a picture of {image.shape} cannot be resized: {exc}") from exc
        return placed

    def _is_ready(self, image: npt.NDArray[np.uint8]) -> bool:
        """Whether its bytes lie as those of the input do."""
        same = image.shape[:2] == self._own.shape[1:3] and image.size == self._own.size
        return same and image.flags.c_contiguous

    def _fill(self, image: npt.NDArray[np.uint8], inside: Numbers) -> None:
        """The frame, resized, in the input's own memory; gray or colour as the input is."""
        if image.ndim == inside.ndim:
            self._resize(image, inside)
            return
        code = cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_BGR2GRAY
        cv2.cvtColor(self._resized(image, inside.shape[:2]), code, dst=inside)

    def _fill_planes(self, image: npt.NDArray[np.uint8], planes: Numbers) -> None:
        """Divide by 255 into RGB planes; a gray frame is divided once and copied."""
        small = self._resized(image, planes.shape[1:])
        if small.ndim == 3 and len(planes) == 1:
            gray = self._gray[: small.shape[0], : small.shape[1]]
            cv2.cvtColor(small, cv2.COLOR_BGR2GRAY, dst=gray)
            small = gray
        if small.ndim == 2:
            np.multiply(small, _SHARE, out=planes[0], casting="same_kind")
            planes[1:] = planes[0]
            return
        split = self._planes[:, : small.shape[0], : small.shape[1]]
        cv2.split(small, [split[2], split[1], split[0]])  # RGB from BGR
        np.multiply(split, _SHARE, out=planes, casting="same_kind")

    def _resized(
        self, image: npt.NDArray[np.uint8], sides: tuple[int, ...]
    ) -> npt.NDArray[np.uint8]:
        """The frame with these sides: itself, or in a buffer of this thread."""
        if image.shape[:2] == sides:
            return image
        room = (self._gray if image.ndim == 2 else self._colour)[: sides[0], : sides[1]]
        self._resize(image, room)
        return room

    def _resize(self, image: npt.NDArray[np.uint8], into: Numbers) -> None:
        if image.shape == into.shape:
            np.copyto(into, image)
            return
        sides = (into.shape[1], into.shape[0])
        read = self._rows_read(image, into.shape[0])
        cv2.resize(read, sides, dst=into, interpolation=cv2.INTER_LINEAR)

    def _rows_read(self, image: npt.NDArray[np.uint8], high: int) -> npt.NDArray[np.uint8]:
        """The rows that become `high` ones by linear interpolation, without those between.

        Of n rows that become one it reads the middle one, or the middle two. A new frame lies in no
        cache, and copying those rows fetches them twice as fast as the interpolation would.
        """
        times, rest = divmod(image.shape[0], high)
        if rest or times < 3:
            return image
        across = image.shape[1:]
        read = image.reshape(high, times, *across)[:, (times - 1) // 2 : times // 2 + 1]
        if self._middle.size != read.size:
            self._middle = np.empty(read.size, np.uint8)
        np.copyto(self._middle.reshape(read.shape), read)
        return self._middle.reshape(-1, *across)


def _checked(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.size == 0:
        raise ImageError(f"expected a picture of uint8, got {image.shape} {image.dtype}")
    if image.ndim == 2 or image.shape[2] == 3:
        return image
    if image.shape[2] == 1:
        return image[:, :, 0]
    raise ImageError(f"expected 1 or 3 channels, got {image.shape[2]}")
