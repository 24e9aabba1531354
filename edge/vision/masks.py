"""Areas of segmented defects: prototypes and coefficients to pixels. No IO.

A segmentation head gives 32 prototypes (1, 32, h / 4, w / 4) for the picture and 32 coefficients
for each box. Their sum, enlarged to the model's input (bilinear, as ultralytics does by default),
is the mask where it is above 0, and it ends at the box and at the frame. Only the prototypes under
a box are touched, so that a speck costs microseconds.
"""

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import ModelError
from edge.vision.postprocess import Found
from edge.vision.preprocess import Fit

Array = npt.NDArray[np.float32]


def step_of(prototypes: tuple[int, ...], height: int, width: int) -> int:
    """Input px per prototype px, from the shape of the prototypes' output.

    Raises:
        ModelError: no prototypes, or they do not cover the input evenly.
    """
    if len(prototypes) == 4 and prototypes[0] == 1 and min(prototypes) > 0:
        step = height // prototypes[2]
        if step > 0 and (prototypes[2] * step, prototypes[3] * step) == (height, width):
            return step
    raise ModelError(
        f"output {list(prototypes)} is no set of mask prototypes for {height} x {width} px; "
        "expected [1, masks, height / n, width / n]"
    )


def areas_px(found: Found, prototypes: Array, placed: Fit, step: int) -> list[float]:
    """Area of each detection's mask in square px of the frame; 0 = its mask is empty.

    Args:
        found: with one row of coefficients for each box.
        prototypes: (masks, height, width).
        placed: how the frame lies in the input.
        step: input px per prototype px.

    Raises:
        ModelError: a mask that is not finite.
    """
    frame = (placed.left, placed.top, placed.left + placed.width, placed.top + placed.height)
    one_px = placed.scale[0] * placed.scale[1]
    areas = []
    for box, coefficients in zip(found.input_boxes, found.coefficients, strict=True):
        left, top, right, bottom = (
            max(frame[0], _up(box[0])),
            max(frame[1], _up(box[1])),
            min(frame[2], _up(box[2])),
            min(frame[3], _up(box[3])),
        )
        inside = 0
        if left < right and top < bottom:
            inside = _pixels(prototypes, coefficients, (left, top, right, bottom), step)
        areas.append(inside / one_px)
    return areas


def _up(edge: np.float32) -> int:
    """Pixel n belongs to a box from n on: the first inside, and the first behind."""
    return int(np.ceil(edge))


def _pixels(
    prototypes: Array, coefficients: Array, inside: tuple[int, int, int, int], step: int
) -> int:
    """Input px above 0. One prototype more on each side, for the bilinear enlargement."""
    left, top, right, bottom = inside
    first_x, first_y = max(left // step - 1, 0), max(top // step - 1, 0)
    last_x, last_y = -(-right // step) + 1, -(-bottom // step) + 1
    heights = np.tensordot(coefficients, prototypes[:, first_y:last_y, first_x:last_x], 1)
    if not np.isfinite(heights).all():
        raise ModelError("the model gave a mask that is not a number")
    sides = (heights.shape[1] * step, heights.shape[0] * step)
    large = cv2.resize(heights, sides, interpolation=cv2.INTER_LINEAR)
    shift_x, shift_y = first_x * step, first_y * step
    cut = large[top - shift_y : bottom - shift_y, left - shift_x : right - shift_x]
    return int(np.count_nonzero(cut > 0))
