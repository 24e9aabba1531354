"""Change-over: between two parts the cameras are set up for the recipe that the PLC wants."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import SettingsError
from edge.eye import Eye, Look
from edge.limits import ClassLimits, View
from edge.pairing import Pairing
from edge.plc.blocks import StatusFlags
from edge.recipe import Recipe
from edge.release import Loaded, load_all
from edge.settings import Recipe as Entry
from edge.settings import Runtime
from edge.setups import setups
from edge.standing import Standing
from edge.terms import Frame, Mode, Part, Reason, Trigger
from edge.vision.camera import Capture
from edge.vision.shared_memory import SharedMemoryWriter
from tests import tiny_models
from tests.camera_source import Source
from tests.small_line import RECIPE
from tests.test_camera import until

VIEWS = {
    1: (View(camera="c1"),),
    2: (),
    3: (View(camera="c1", exposure_us=50),),  # no ring of frames can be set so
}


class Line:
    """A station with one camera that this test writes the frames of."""

    def __init__(self, path: Path) -> None:
        limits = (ClassLimits(label="hole", threshold=0.5),)
        recipes = {n: Recipe(name=f"r{n}", views=v, classes=limits) for n, v in VIEWS.items()}
        detector: Any = None  # nothing is judged here
        self.loaded = {n: Loaded(n, one, "pinned", detector) for n, one in recipes.items()}
        self.writer = SharedMemoryWriter(path, 8, 8, 1)
        self.capture = Capture(Source("shared_memory", str(path)))
        pairing = Pairing("software", 0.5)
        self.eye = Eye(self.capture, pairing, None, setups("c1", recipes))
        self.standing = Standing("s1", (self.eye,), self.loaded, ())
        self.standing.plc_fault = None
        self._shade = 90

    def wants(self, recipe: int) -> None:
        """The PLC asks for a recipe; no part is on its way."""
        self.standing.told(line_running=True, mode=Mode.AUTO, recipe_wanted=recipe)

    def turn(self) -> None:
        """As the loop does it, every 0.1 s."""
        now_s = time.monotonic()
        self.standing.prepare()
        self.standing.judge_health(now_s, now_s, now_s, None, False, False, frozenset())

    def ready(self) -> bool:
        self.turn()
        return self.standing.ready

    def take(self, recipe: int) -> Frame | Look:
        """The frame of a part that the PLC triggered under this recipe."""
        now_s = time.monotonic()
        trigger = Trigger(Part("s1", 1, 1), now_s, 0.0, Mode.AUTO, recipe)
        self._shade += 1  # two equal pictures would be a frozen camera
        self.writer.write(np.full((8, 8), self._shade, np.uint8), time.monotonic())
        return self.eye.take(trigger, now_s + 5.0, self.loaded[recipe], lambda: True)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path / "ring")
    yield made
    made.capture.close()
    made.writer.close()


def test_a_station_is_ready_once_its_cameras_are_set_up_for_the_recipe(line: Line) -> None:
    line.wants(1)
    assert until(line.ready)
    assert isinstance(line.take(1), Frame)
    line.wants(2)
    line.standing.judge_health(0, 0, 0, None, False, False, frozenset())
    assert not line.standing.ready, "nothing is set up yet"
    assert line.standing.fault == "c1: being set up for recipe 2"
    assert until(line.ready)
    assert line.standing.fault is None
    assert isinstance(line.take(2), Frame)


def test_a_part_of_another_recipe_than_the_cameras_are_set_up_for_is_undecided(line: Line) -> None:
    line.wants(1)
    assert until(line.ready)
    look = line.take(2)
    assert isinstance(look, Look)
    assert (look.verdict.reason, look.fault) == (
        Reason.BAD_IMAGE,
        "taken under another recipe's setup",
    )


def test_a_camera_that_cannot_be_set_so_is_a_fault_until_another_recipe_is_wanted(
    line: Line,
) -> None:
    line.wants(3)
    assert until(lambda: not line.ready() and "[[view]] exposure_us" in str(line.standing.fault))
    assert line.standing.error_code == 1
    line.wants(1)
    assert until(line.ready)


def test_the_old_recipe_stays_active_until_the_cameras_are_set_up_and_no_part_is_on_its_way(
    line: Line,
) -> None:
    line.wants(1)
    assert until(line.ready)
    line.wants(2)
    now_s = time.monotonic()
    for _ in range(3):  # a part is on its way: the loop prepares nothing
        line.standing.judge_health(now_s, now_s, now_s, None, False, False, frozenset())
        assert (line.standing.active_recipe, line.standing.ready) == (1, False)
        assert StatusFlags.TRIGGER_READY not in line.standing.flags()
        assert line.eye.is_prepared(1)
    assert isinstance(line.take(1), Frame), "finished under its own recipe"
    assert until(line.ready)
    assert line.standing.active_recipe == 2


def test_a_recipe_that_cannot_be_had_is_job_failed_and_fault_and_never_the_old_one(
    line: Line,
) -> None:
    line.wants(1)
    assert until(line.ready)
    line.wants(9)
    now_s = time.monotonic()  # before anything is prepared: a part is on its way
    line.standing.judge_health(now_s, now_s, now_s, None, False, False, frozenset())
    assert (line.standing.active_recipe, line.standing.ready) == (0, False)
    line.turn()
    failed = StatusFlags.JOB_FAILED | StatusFlags.FAULT
    assert line.standing.flags() & (failed | StatusFlags.TRIGGER_READY) == failed
    assert (line.standing.active_recipe, line.standing.alive) == (0, True)
    assert line.standing.state().state == "error"
    line.wants(1)
    assert until(line.ready)
    assert StatusFlags.JOB_FAILED not in line.standing.flags()
    assert line.standing.active_recipe == 1


def test_the_log_tells_what_became_of_each_cameras_frames(line: Line) -> None:
    line.wants(1)
    assert until(line.ready)
    line.take(1)
    assert line.standing.sentence().endswith("; c1 1 frames, 0 bad, 0 dropped, 0 reconnects")


def test_a_recipe_that_leaves_what_another_one_sets_is_not_run(tmp_path: Path) -> None:
    tiny_models.write(tmp_path / "tiny.onnx")
    more = RECIPE.replace('camera = "c1"', 'camera = "c1"\nexposure_us = 500.0')
    entries = []
    for number, text in ((1, more), (2, RECIPE)):
        path = tmp_path / f"{number}.toml"
        path.write_text(text, encoding="utf-8")
        entries.append(Entry(number=number, path=str(path), model=str(tmp_path / "tiny.onnx")))
    loaded, failed = load_all(tuple(entries), Runtime(), unsigned=True)
    assert list(loaded) == [1]
    (wrong,) = failed
    assert isinstance(wrong, SettingsError)
    assert wrong.problems == ["[[view]] c1: exposure_us missing; recipe 1 of this node sets it"]
