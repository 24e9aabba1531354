"""Workers judge the views of a part side by side in one session: the verdicts stay the same."""

import queue
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge import settings
from edge.eye import Eye
from edge.flights import Flight
from edge.judging import Judged, Judging
from edge.pairing import Pairing
from edge.release import load
from edge.setups import Setup
from edge.terms import Code, Mode, Part, Trigger
from edge.vision.camera import Capture
from tests import tiny_models
from tests.serial_peers import until

RECIPE = """
name = "squares"

[[class]]
label = "bright"
threshold = 0.5

[[class]]
label = "red"
threshold = 0.5
"""
CAMERAS, PARTS = 3, 4
WAIT_S = 20.0


@pytest.fixture
def captures(tmp_path: Path) -> Iterator[list[Capture]]:
    """Three cameras; part n has its defect before camera n, and part 3 none."""
    made = []
    for camera in range(CAMERAS):
        folder = tmp_path / f"camera{camera}"
        folder.mkdir()
        for part in range(PARTS):
            image = np.random.default_rng(part).integers(60, 90, (64, 64), np.uint8)
            if part == camera:
                image[16:24, 8 * camera : 8 * camera + 8] = 255
            cv2.imwrite(str(folder / f"{part}.png"), image)
        made.append(Capture(settings.Camera(name=f"c{camera}", kind="folder", source=str(folder))))
    until(lambda: not any(capture.fault for capture in made), within_s=WAIT_S)
    yield made
    for capture in made:
        capture.close()


def judged(tmp_path: Path, captures: list[Capture], workers: int) -> list[Judged]:
    recipe = tmp_path / "squares.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    model = tiny_models.write(tmp_path / "tiny.onnx")
    entry = settings.Recipe(number=1, path=str(recipe), model=str(model))
    loaded = load(entry, settings.Runtime(threads=1, workers=workers), unsigned=True)
    eyes = [Eye(capture, Pairing("software", WAIT_S), None, {1: Setup()}) for capture in captures]
    delivered: queue.Queue[Judged] = queue.Queue()
    judging = Judging(
        "s", eyes, {1: loaded}, lambda _number: True, lambda _number: None, delivered.put
    )
    judging.start()
    done = []
    for number in range(1, PARTS + 1):
        now_s = time.monotonic()
        trigger = Trigger(Part("s", 1, number), now_s, 0.0, Mode.AUTO, 1)
        judging.put(Flight(trigger, now_s + WAIT_S))
        done.append(delivered.get(timeout=WAIT_S))
    judging.close()
    return done


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_gives_the_same_verdicts_in_the_cameras_order(
    tmp_path: Path, captures: list[Capture], workers: int
) -> None:
    parts = judged(tmp_path, captures, workers)
    assert [part.verdict.code for part in parts] == [Code.NG, Code.NG, Code.NG, Code.OK]
    for number, part in enumerate(parts):
        assert [look.camera for look in part.looks] == ["c0", "c1", "c2"]
        found = [[(d.label, d.box) for d in look.detections] for look in part.looks]
        left = 8.0 * number
        expected = [("bright", (left, 16.0, left + 8, 24.0))]
        assert found == [expected if camera == number else [] for camera in range(CAMERAS)]
