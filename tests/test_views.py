"""Several cameras look at one part, each in its own time: edge.eye and edge.judging."""

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edge.errors import ModelError
from edge.eye import Eye, Look
from edge.flights import Flight
from edge.judging import Judged, Judging
from edge.pairing import Pairing
from edge.release import Loaded, load
from edge.settings import Runtime
from edge.setups import Setup
from edge.terms import Code, Frame, Mode, Part, Reason, Trigger
from edge.vision.camera import KEPT, Capture
from edge.vision.shared_memory import SharedMemoryWriter
from tests.camera_source import Source
from tests.small_line import draw
from tests.test_camera import until
from tests.test_release import NG, OK, entry

WAIT_S = 20.0
PICTURE_S = 0.04  # from one picture of a camera to its next


@dataclass
class Station:
    """Cameras in shared memory, their eyes, and the judge."""

    writers: list[SharedMemoryWriter]
    eyes: list[Eye]
    judging: Judging
    judged: "queue.Queue[Judged]"
    acquired: "queue.Queue[int]"

    def put(self, number: int, edge_s: float, deadline_s: float = 10.0) -> None:
        trigger = Trigger(Part("s1", 1, number), edge_s, 0.01, Mode.AUTO, 1)
        self.judging.put(Flight(trigger, edge_s + deadline_s))

    def write(self, camera: int, exposed_s: float, spot: bool = False) -> None:
        image = np.random.default_rng().integers(60, 100, (64, 64), np.uint8)
        if spot:
            image[16:24, 32:40] = 255
        self.writers[camera].write(image, exposed_s)

    def run_on(self, camera: int, exposed_s: float) -> None:
        """Three times as many pictures as are kept, at the pace of a camera."""
        capture, picture = self.eyes[camera].capture, threading.Event()
        for n in range(3 * KEPT):
            before = capture.frames
            self.write(camera, exposed_s + n)
            assert until(lambda before=before: capture.frames > before)  # type: ignore[misc]
            picture.wait(PICTURE_S)


@contextmanager
def station(folder: Path, *windows: tuple[float, float]) -> Iterator[Station]:
    """One camera for each (offset s, tolerance s)."""
    with ExitStack() as stack:
        writers, eyes = [], []
        for n, (offset_s, tolerance_s) in enumerate(windows):
            writers.append(SharedMemoryWriter(folder / f"ring{n}", 64, 64, 1))
            stack.callback(writers[-1].close)
            capture = Capture(Source("shared_memory", str(folder / f"ring{n}"), name=f"c{n}"))
            stack.callback(capture.close)
            eyes.append(
                Eye(capture, Pairing("free_run", tolerance_s, offset_s), None, {1: Setup()})
            )
        assert until(lambda: all(eye.capture.online for eye in eyes))
        loaded = load(entry(folder, NG + OK), Runtime(), unsigned=False)
        judged: queue.Queue[Judged] = queue.Queue()
        acquired: queue.Queue[int] = queue.Queue()
        judging = Judging("s1", eyes, {1: loaded}, lambda _: True, acquired.put, judged.put)
        stack.callback(judging.close)
        judging.start()
        yield Station(writers, eyes, judging, judged, acquired)


def test_a_view_that_does_not_come_costs_the_other_camera_no_frame(tmp_path: Path) -> None:
    with station(tmp_path, (0.0, 2.0), (0.0, 5.0)) as line:
        edge_s = time.monotonic()
        line.put(1, edge_s)
        line.write(1, edge_s + 0.001, spot=True)
        assert until(lambda: line.eyes[1].capture.frames > 0)
        line.run_on(1, edge_s + 10)  # parts that follow, while the first camera is waited for
        judged = line.judged.get(timeout=WAIT_S)
    assert [look.verdict.reason for look in judged.looks] == [Reason.NO_FRAME, None]
    assert judged.looks[1].frame is not None
    assert judged.looks[1].frame.exposed_s == edge_s + 0.001
    assert judged.verdict.code is Code.NG


def test_a_view_missing_is_never_ok(tmp_path: Path) -> None:
    with station(tmp_path, (0.0, 0.3), (0.0, 5.0)) as line:
        edge_s = time.monotonic()
        line.put(1, edge_s)
        line.write(1, edge_s + 0.001)
        judged = line.judged.get(timeout=WAIT_S)
    assert [look.verdict.code for look in judged.looks] == [Code.UNDECIDED, Code.OK]
    assert judged.verdict.code is Code.UNDECIDED


def test_each_view_waits_for_its_own_window_and_the_part_may_move_after_the_last(
    tmp_path: Path,
) -> None:
    with station(tmp_path, (0.0, 3.0), (0.2, 3.0)) as line:
        edge_s = time.monotonic()
        line.put(1, edge_s)
        line.write(0, edge_s + 0.001)
        line.write(1, edge_s + 0.001)  # of a part before, still under the second camera
        line.write(1, edge_s + 0.201)
        judged = line.judged.get(timeout=WAIT_S)
        assert line.acquired.get(timeout=WAIT_S) == 1
    frames = [look.frame for look in judged.looks]
    assert [f.exposed_s - edge_s > 0.2 for f in frames if f] == [False, True]
    assert judged.verdict.code is Code.OK


def test_a_part_at_the_first_camera_does_not_wait_for_the_one_at_the_second(
    tmp_path: Path,
) -> None:
    """Parts follow each other faster than they travel from camera to camera."""
    with station(tmp_path, (0.0, 0.2), (2.0, 0.2)) as line:
        edges_s = [time.monotonic() + 0.21 * n for n in range(2)]
        for n, edge_s in enumerate(edges_s, 1):
            line.put(n, edge_s)
            line.write(0, edge_s + 0.001)
        assert until(lambda: line.eyes[0].capture.frames > 1)
        assert until(lambda: time.monotonic() > edges_s[1] + 0.01)
        line.run_on(0, edges_s[1] + 1)  # before the first part is under the second camera
        for edge_s in edges_s:
            line.write(1, edge_s + 2.001)
        looks = [line.judged.get(timeout=WAIT_S).looks for _ in edges_s]
    exposed = [[look.frame.exposed_s for look in views if look.frame] for views in looks]
    assert exposed == [[edge_s + 0.001, edge_s + 2.001] for edge_s in edges_s]


def test_a_camera_that_waits_to_be_asked_is_asked_when_the_part_is_there(tmp_path: Path) -> None:
    draw(tmp_path / "pictures", [False])
    capture = Capture(Source("folder", str(tmp_path / "pictures")))
    assert until(lambda: capture.online)
    eye = Eye(capture, Pairing("software", 5.0, offset_s=0.3), None, {1: Setup()})
    edge_s = time.monotonic()
    trigger = Trigger(Part("s1", 1, 1), edge_s, 0.01, Mode.AUTO, 1)
    loaded = load(entry(tmp_path, NG + OK), Runtime(), unsigned=False)
    eye.expect(trigger)
    taken = eye.take(trigger, edge_s + 10, loaded, lambda: True)
    frame = capture.latest()
    capture.close()
    assert frame is not None
    assert taken is frame
    assert frame.exposed_s >= edge_s + 0.3


def test_a_frame_that_turns_out_doubtful_while_it_is_judged_is_undecided(tmp_path: Path) -> None:
    with station(tmp_path, (0.0, 5.0)) as line:
        (eye,) = line.eyes
        edge_s, judge = time.monotonic(), eye.judge
        line.put(1, edge_s)
        line.write(0, edge_s + 0.5)
        assert line.judged.get(timeout=WAIT_S).verdict.code is Code.OK

        def judge_slowly(taken: Frame | Look, loaded: Loaded) -> Look:
            look = judge(taken, loaded)
            eye.expect(Trigger(Part("s1", 1, 3), edge_s + 1.6, 0.2, Mode.AUTO, 1))
            return look

        eye.judge = judge_slowly  # type: ignore[method-assign]
        line.put(2, edge_s + 1)
        line.write(0, edge_s + 1.5)  # the next part may have been there already
        judged = line.judged.get(timeout=WAIT_S)
    assert [look.verdict.reason for look in judged.looks] == [Reason.PAIRING]
    assert judged.verdict.code is Code.UNDECIDED


def test_a_stream_is_waited_for_as_long_as_its_pictures_are_on_their_way(tmp_path: Path) -> None:
    with station(tmp_path, (0.0, 0.1)) as line:
        loaded = load(entry(tmp_path, NG + OK), Runtime(), unsigned=False)
        pairing, edge_s = Pairing("free_run", 5.1, delay_s=5.0), time.monotonic()
        eye = Eye(line.eyes[0].capture, pairing, None, {1: Setup()})
        arrives = threading.Timer(0.4, line.write, (0, edge_s + 0.05))
        arrives.start()
        trigger = Trigger(Part("s1", 1, 1), edge_s, 0.01, Mode.AUTO, 1)
        taken = eye.take(trigger, edge_s + WAIT_S, loaded, lambda: True)
        arrives.join()
    assert isinstance(taken, Frame)


def test_a_part_that_waits_while_a_golden_picture_goes_wrong_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with station(tmp_path, (0.0, 5.0)) as line:
        edge_s = time.monotonic()

        def blinded(loaded: Loaded, place: int) -> None:
            line.put(1, edge_s)
            line.write(0, edge_s + 0.001)
            assert until(lambda: not line.acquired.empty())
            raise ModelError("it does not see any more")

        monkeypatch.setattr("edge.judging.prove", blinded)
        judged = line.judged.get(timeout=WAIT_S)
    assert (judged.verdict.code, judged.verdict.reason) == (Code.UNDECIDED, Reason.MODEL_FAULT)


def test_a_part_of_a_recipe_that_is_not_here_may_move_at_once(tmp_path: Path) -> None:
    with station(tmp_path, (0.0, 5.0)) as line:
        trigger = Trigger(Part("s1", 1, 7), time.monotonic(), 0.01, Mode.AUTO, 9)
        line.judging.put(Flight(trigger, trigger.edge_s + 10))
        assert line.acquired.get(timeout=WAIT_S) == 7
        assert line.judged.get(timeout=WAIT_S).verdict.reason is Reason.MODEL_FAULT


def test_a_camera_that_hangs_is_a_missing_view_by_the_deadline(tmp_path: Path) -> None:
    with station(tmp_path, (0.0, 5.0), (0.0, 5.0)) as line:
        hung = threading.Event()
        line.eyes[0].capture.request = lambda: hung.wait(WAIT_S)  # type: ignore[method-assign]
        edge_s = time.monotonic()
        line.put(1, edge_s, deadline_s=0.5)
        line.write(1, edge_s + 0.001)
        judged = line.judged.get(timeout=WAIT_S)
        hung.set()
    assert [look.verdict.reason for look in judged.looks] == [Reason.VIEW_MISSING, None]
    assert judged.verdict.code is Code.UNDECIDED


def test_a_late_part_whose_picture_could_not_be_taken_is_undecided_and_judging_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with station(tmp_path, (0.0, 5.0)) as line:

        def broken(*_: object) -> Frame:
            raise RuntimeError("a library's own fault")

        def held_up(_loaded: Loaded, _place: int) -> None:
            line.put(1, time.monotonic() - 11)
            assert until(lambda: not line.acquired.empty())

        line.eyes[0].take = broken  # type: ignore[method-assign, assignment]
        monkeypatch.setattr("edge.judging.prove", held_up)
        judged = line.judged.get(timeout=WAIT_S)
        assert line.judging.running
    assert (judged.verdict.code, judged.verdict.reason) == (Code.UNDECIDED, Reason.LATE)
    assert judged.looks == ()
