"""Lamps are proved to light the picture before a part is judged by it."""

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import lights, settings
from edge.eye import Eye
from edge.lights import CameraLamp, Lights
from edge.limits import ClassLimits, Light, View
from edge.pairing import Pairing
from edge.plc import light_protocol
from edge.plc.light import LightController
from edge.recipe import Recipe
from edge.release import Loaded
from edge.setups import setups
from edge.standing import Standing
from edge.terms import Mode
from edge.vision.camera import Capture
from edge.vision.lamp import LEAST_STEP, SETTLE_S, fault
from edge.vision.shared_memory import SharedMemoryWriter
from edge.wiring import crossed
from tests.camera_source import Source
from tests.light_peer import PlayedController, wiring
from tests.serial_peers import until

WAIT_S = 20.0
VIEW = View(camera="c1", light=(Light(channel=1, brightness=200),))
OFF = light_protocol.Command(light_protocol.OFF, 1).encode()
ON = light_protocol.Command(light_protocol.ON, 1).encode()
READ = light_protocol.Command(light_protocol.READ, 1).encode()
AMBIENT = 20.0

grey = st.floats(0, 255)


class Bench:
    """A camera in a dark box that sees by channel 1, if the lamp is not burnt out."""

    def __init__(self, path: Path, channels: Sequence[int] = (1,)) -> None:
        self._channels = channels
        self.light = PlayedController(channels=2)
        self.burnt_out = False
        self.period_s = 0.01
        self.exposed_s: list[float] = []
        self._path = path
        self._writer = SharedMemoryWriter(path, 8, 8, 1)
        self._cut = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bench")

    def __enter__(self) -> "Bench":
        self.light.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._writer.close()
        self.light.__exit__()

    def cut(self) -> None:
        """The camera is lost and comes back."""
        self._cut.set()

    def _run(self) -> None:
        while not self._stop.wait(self.period_s):
            if self._cut.is_set():
                self._writer.close()
                self._writer = SharedMemoryWriter(self._path, 8, 8, 1)
                self._cut.clear()
            shining = [one for one in self._channels if one in self.light.on]
            light = 0 if self.burnt_out else sum(self.light.brightness[one] for one in shining)
            mean = AMBIENT + light / 2
            self.exposed_s.append(time.monotonic())
            self._writer.write(np.full((8, 8), int(mean), np.uint8), self.exposed_s[-1])


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path / "ring") as made:
        yield made


@pytest.fixture
def capture(bench: Bench, tmp_path: Path) -> Iterator[Capture]:
    controller = LightController(wiring(bench.light.port))
    lamp = CameraLamp(controller, ratio=1.5)
    made = Capture(Source("shared_memory", str(tmp_path / "ring")), lamp=lamp)
    try:
        yield made
    finally:
        made.close()
        controller.close()


def ready_with(capture: Capture, view: View) -> bool:
    """Whether a station that sees by this camera is ready for a recipe with this view."""
    recipe = Recipe(name="r", views=(view,), classes=(ClassLimits(label="x", threshold=0.5),))
    detector: Any = None  # nothing is judged here
    eye = Eye(capture, Pairing("software", 0.5), None, setups("c1", {1: recipe}))
    standing = Standing("s1", (eye,), {1: Loaded(1, recipe, "pinned", detector)}, ())
    standing.plc_fault = None
    standing.told(line_running=True, mode=Mode.AUTO, recipe_wanted=1)
    standing.prepare()
    now_s = time.monotonic()
    standing.judge_health(now_s, now_s, now_s, None, False, False, frozenset())
    assert standing.ready or "c1: the lamps do not light" in str(standing.fault)
    return standing.ready


def test_a_lamp_that_works_is_proved_once_and_left_on(bench: Bench, capture: Capture) -> None:
    capture.apply(1, VIEW)
    until(lambda: capture.setup == 1, WAIT_S)
    assert bench.light.heard.count(OFF) == 1
    assert bench.light.on == {1}
    assert bench.light.brightness[1] == 200
    frame = capture.wait_for(lambda frame: frame.setup == 1, time.monotonic() + WAIT_S)
    assert frame is not None
    assert frame.image.mean() == AMBIENT + 100
    bench.cut()
    until(lambda: capture.reconnects == 1 and capture.setup == 1, WAIT_S)
    assert bench.light.heard.count(OFF) == 1, "a reconnection turns no lamp off"
    brighter = View(camera="c1", light=(Light(channel=1, brightness=210),))
    capture.apply(2, brighter)
    until(lambda: capture.setup == 2, WAIT_S)
    assert bench.light.heard.count(OFF) == 2, "another view, another proof"


class Clocked(CameraLamp):
    """A lamp that remembers when it was switched last."""

    switched_s = 0.0

    def apply(self, lights: Sequence[Light]) -> None:
        super().apply(lights)
        self.switched_s = time.monotonic()


def test_no_frame_is_of_a_setup_before_its_lamps_shine_steadily(
    bench: Bench, tmp_path: Path
) -> None:
    controller = LightController(wiring(bench.light.port))
    lamp = Clocked(controller, ratio=1.5)
    capture = Capture(Source("shared_memory", str(tmp_path / "ring")), lamp=lamp)
    capture.apply(1, VIEW)
    frame = capture.wait_for(lambda frame: frame.setup == 1, time.monotonic() + WAIT_S)
    capture.close()
    controller.close()
    assert frame is not None
    assert frame.exposed_s >= lamp.switched_s + SETTLE_S


def test_the_first_picture_of_a_changed_setup_is_let_go(bench: Bench, tmp_path: Path) -> None:
    bench.period_s = 0.1
    controller = LightController(wiring(bench.light.port))
    lamp = Clocked(controller, ratio=1.5)
    capture = Capture(Source("shared_memory", str(tmp_path / "ring")), lamp=lamp)
    capture.apply(1, VIEW)
    frame = capture.wait_for(lambda frame: frame.setup == 1, time.monotonic() + WAIT_S)
    dropped = capture.dropped
    capture.close()
    controller.close()
    assert frame is not None
    steady_s = lamp.switched_s + SETTLE_S
    before = [at_s for at_s in bench.exposed_s if steady_s <= at_s < frame.exposed_s]
    assert len(before) >= 1, "the change itself was judged by"
    assert dropped == 0, "let go, not lost"


def test_a_lamp_that_is_burnt_out_keeps_the_camera_away_until_it_is_replaced(
    bench: Bench, capture: Capture
) -> None:
    bench.burnt_out = True
    capture.apply(1, VIEW)
    until(lambda: "the lamps do not light the picture" in str(capture.fault), WAIT_S)
    assert "c1" in str(capture.fault)
    assert "20.0 with them on, 20.0 with them off" in str(capture.fault)
    assert (capture.online, capture.setup) == (False, None)
    assert bench.light.on == {1}, "as the recipe has it"
    assert not ready_with(capture, VIEW)
    bench.burnt_out = False
    until(lambda: capture.setup == 1 and capture.online, WAIT_S)
    assert ready_with(capture, VIEW)


def test_cameras_of_one_controller_prove_their_lamps_one_after_the_other(tmp_path: Path) -> None:
    """Each sees the lamp of the other too: switched meanwhile, it would spoil the proof."""
    with Bench(tmp_path / "ring", channels=(1, 2)) as both:
        controller = LightController(wiring(both.light.port, channels=2))
        lamp = CameraLamp(controller, ratio=1.5)
        ring = Source("shared_memory", str(tmp_path / "ring"))
        captures = [Capture(ring, lamp=lamp) for _ in range(2)]
        for channel, capture in enumerate(captures, 1):
            capture.apply(1, View(camera="c1", light=(Light(channel=channel, brightness=200),)))
        until(lambda: all(capture.setup == 1 for capture in captures), WAIT_S)
        for capture in captures:
            capture.close()
        controller.close()
    switched_off = [asked for asked in both.light.heard if asked[1:2] == b"2"]
    assert sorted(switched_off) == [OFF, light_protocol.Command(light_protocol.OFF, 2).encode()]


def test_a_controller_that_loses_its_power_is_a_named_fault_and_its_lamps_are_proved_again(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lights, "WATCH_S", 0.05)
    under_way = threading.Event()
    node = Lights(node_with(wiring(bench.light.port)))
    capture = Capture(Source("shared_memory", str(tmp_path / "ring")), lamp=node.lamps["c1"])
    try:
        node.watch(lambda cameras: cameras == ("c1",) and not under_way.is_set())
        capture.apply(1, VIEW)
        until(lambda: capture.setup == 1, WAIT_S)
        until(lambda: bench.light.heard[-2:] == [READ, ON], WAIT_S)
        under_way.set()
        until(lambda: silent(bench.light, 10 * lights.WATCH_S), WAIT_S)
        bench.light.reboot()
        assert silent(bench.light, 10 * lights.WATCH_S)
        assert capture.online, "nobody looks at the lamps while a part is under way"
        under_way.clear()
        told = "c1: light l1: channel 1 is at 0 and was set to 200"
        until(lambda: str(capture.fault).startswith(told), WAIT_S)
        until(lambda: capture.setup == 1 and capture.online, WAIT_S)
        assert (bench.light.brightness[1], bench.light.on) == (200, {1})
        assert bench.light.heard.count(OFF) == 2, "proved anew"
    finally:
        capture.close()
        node.close()


def test_a_watch_that_stumbles_is_a_fault_of_the_cameras_and_goes_on(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lights, "WATCH_S", 0.05)
    looks: list[str] = []

    def stumbling(cameras: Collection[str]) -> bool:
        looks.extend(cameras)
        if len(looks) == 1:
            raise ValueError("a bug of ours")
        return True

    node = Lights(node_with(wiring(bench.light.port)))
    lamp = node.lamps["c1"]
    try:
        lamp.apply(VIEW.light)
        node.watch(stumbling)
        until(lambda: lamp.fault == "light l1: ValueError: a bug of ours", WAIT_S)
        until(lambda: bench.light.heard[-2:] == [READ, ON], WAIT_S)
    finally:
        node.close()


def silent(controller: PlayedController, for_s: float) -> bool:
    """Was nothing said to it for so long?"""
    said, end_s = len(controller.heard), time.monotonic() + for_s
    until(lambda: time.monotonic() > end_s)
    return len(controller.heard) == said


def test_a_controller_that_is_away_keeps_the_camera_away(bench: Bench, capture: Capture) -> None:
    bench.light.others = [b"&"] * 3
    capture.apply(1, VIEW)
    until(lambda: "the controller refuses command 3" in str(capture.fault), WAIT_S)
    assert capture.setup is None
    until(lambda: capture.setup == 1, WAIT_S)


def test_a_view_without_light_needs_no_proof_and_turns_nothing_on(
    bench: Bench, capture: Capture
) -> None:
    capture.apply(1, View(camera="c1", light=(Light(channel=1, brightness=0),)))
    until(lambda: capture.setup == 1, WAIT_S)
    assert bench.light.on == set()
    assert set(bench.light.heard) == {OFF}


@given(grey, grey, st.floats(1.1, 100))
def test_two_pictures_prove_a_lamp_only_by_the_ratio_and_more_than_noise(
    lit: float, unlit: float, ratio: float
) -> None:
    told = fault(lit, unlit, ratio)
    assert (told is None) == (lit >= ratio * unlit and lit - unlit >= LEAST_STEP)
    assert fault(unlit, unlit, ratio) is not None


def node_with(*light: settings.Light) -> settings.Settings:
    """A node with one camera and these controllers."""
    return settings.Settings(
        node=settings.Node(plant="p", line="l", name="n", data_dir="d"),
        bus=(settings.Bus(name="b1", port="/dev/a"),),
        camera=(settings.Camera(name="c1", kind="folder", source="x"),),
        recipe=(settings.Recipe(number=1, path="r", model="m"),),
        station=(settings.Station(name="s1", bus="b1", trigger="software", cameras=("c1",)),),
        light=light,
    )


def test_lights_of_a_node_are_wired_to_their_cameras() -> None:
    problems = crossed(
        node_with(
            wiring("/dev/a", name="l1", channels=10),
            wiring("/dev/b", name="l2", cameras=("c1", "c9")),
            wiring("/dev/c", name="l2", kind="modbus", channels=32, cameras=("c2",)),
        )
    )
    told = "\n".join(problems)
    assert "[[bus]] port: '/dev/a' is used twice" in told
    assert "[[light]] name: 'l2' is used twice" in told
    assert "[[light]] cameras: 'c1' is used twice; one controller lights a camera" in told
    assert "[light l2] cameras: no [[camera]] is named 'c9'; there are ['c1']" in told
    assert "[light l1] channels: 10; the ascii protocol has 9" in told
