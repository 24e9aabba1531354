"""Templates on real boards: what differs from its defect-free twin is found on every board."""

import os
from pathlib import Path

import pytest

from edge.limits import TemplateLimits
from edge.terms import Detection
from edge.vision.image import decode_image
from edge.vision.template import Template
from models.deeppcb import SIDE_PX, read_board
from models.labels import Box

LIMITS = TemplateLimits(pictures=("twin.jpg",), tolerance_px=3, contrast=80, min_size_px=5)


def touches(found: Detection, defect: Box) -> bool:
    x1, y1, x2, y2 = (corner * SIDE_PX for corner in defect.corners)
    return min(found.box[2], x2) > max(found.box[0], x1) and min(found.box[3], y2) > max(
        found.box[1], y1
    )


@pytest.mark.needs_data
def test_every_defect_of_a_board_is_a_difference_and_its_twin_has_none() -> None:
    folder = Path(os.environ["QUANJIAN_TEST_DATA"]) / "deeppcb"
    boards = sorted(folder.glob("50600*_test.jpg"))[:12]
    assert len(boards) == 12
    for board in boards:
        name = board.name.removesuffix("_test.jpg")
        twin = decode_image(folder / f"{name}_temp.jpg")
        template = Template(LIMITS, [twin])
        found = template.detect(decode_image(board))
        assert all(any(touches(f, d) for f in found) for d in read_board(folder / f"{name}.txt"))
        assert template.detect(twin) == []
