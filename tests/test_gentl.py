"""Cameras behind a GenTL producer: the simulated one that the `genicam` wheel brings."""

import time
from pathlib import Path

import genicam
import pytest

from edge.errors import CameraError
from edge.limits import View
from edge.terms import Frame, TriggerMode
from edge.vision import gentl
from edge.vision.camera import Capture
from edge.vision.connection import Camera, open_camera
from tests.camera_source import Source
from tests.test_camera import until

PRODUCER = str(Path(genicam.__file__).parent / "viky.cti")
WAIT_S = 20.0


def green(pixel_format: str = "Mono8") -> Source:
    return Source("gentl", PRODUCER, device="1", pixel_format=pixel_format)


def held(what: str) -> int:
    """Open files (fd) or threads (task) of this process."""
    return len(list(Path(f"/proc/self/{what}").iterdir()))


def frames_of(camera: Camera, count: int) -> list[Frame]:
    frames: list[Frame] = []
    until_s = time.monotonic() + WAIT_S
    while len(frames) < count and time.monotonic() < until_s:
        frame = camera.read(0.2)
        frames += [frame] if frame is not None else []
    return frames


@pytest.mark.parametrize(("name", "shape"), [("Mono8", (400, 400)), ("RGBa8", (400, 400, 3))])
def test_a_producers_camera_gives_its_frames(name: str, shape: tuple[int, ...]) -> None:
    camera = open_camera(green(name))
    frames = frames_of(camera, 3)
    camera.close()
    camera.close()
    assert [frame.number for frame in frames] == [0, 1, 2]
    assert {frame.image.shape for frame in frames} == {shape}
    assert all(frame.image.any() for frame in frames)
    times = [frame.exposed_s for frame in frames]
    assert times == sorted(times)


def test_two_cameras_share_one_producer_and_the_last_one_closes_it() -> None:
    first = open_camera(green())
    second = open_camera(Source("gentl", PRODUCER, device="2"))
    first.close()
    assert len(frames_of(second, 2)) == 2
    second.close()
    assert gentl._opened == {}


@pytest.mark.parametrize(
    ("source", "trigger", "told"),
    [
        (Source("gentl", "/no/such.cti"), "free_run", "/no/such.cti: there is no such GenTL"),
        (Source("gentl", __file__), "free_run", "test_gentl.py"),
        (Source("gentl", PRODUCER), "free_run", r"expected one camera.*\['0', '1', '2'\]"),
        (Source("gentl", PRODUCER, device="9"), "free_run", r"device '9'.*\['0', '1', '2'\]"),
        (green("Mono12"), "free_run", "PixelFormat cannot be Mono12; this camera has .*Mono8"),
        (green(), "software", "trigger software: this camera has no feature TriggerMode"),
    ],
)
def test_a_camera_that_is_not_there_or_does_not_fit_is_a_sentence(
    source: Source, trigger: TriggerMode, told: str
) -> None:
    with pytest.raises(CameraError, match=told):
        open_camera(source, trigger)
    assert gentl._opened == {}


@pytest.mark.parametrize(
    ("view", "told"),
    [
        (View(camera="c1", exposure_us=10), "exposure_us: this camera has no feature ExposureTime"),
        (View(camera="c1", region=(0, 0, 200, 200)), "region: this camera has no feature OffsetX"),
    ],
)
def test_what_the_camera_cannot_do_is_told_by_the_key_of_the_recipe(view: View, told: str) -> None:
    camera = open_camera(green())
    with pytest.raises(CameraError, match=rf"viky.cti 1: \[\[view\]\] {told}"):
        camera.apply(view)
    with pytest.raises(CameraError, match="not sending"):
        camera.read(0.1)
    camera.close()


def test_numbers_and_choices_are_read_and_written_in_their_own_type() -> None:
    transport = gentl.GentlTransport(Path(PRODUCER), "1")
    features = transport.features
    features.set("Width", 320.0)
    features.set("AcquisitionFrameRate", 10)
    features.set("PixelFormat", "Mono8")
    took = [features.get(name) for name in ("Width", "AcquisitionFrameRate", "PixelFormat")]
    limits = features.limits("Width")
    with pytest.raises(CameraError, match="Width = 3"):
        features.set("Width", 3)
    transport.close()
    assert (took, limits) == ([320, 10.0, "Mono8"], (100, 800, 1))


def test_nothing_is_left_of_ten_connections() -> None:
    before, files = held("task"), []
    for _ in range(10):
        capture = Capture(green())
        assert capture.wait_for(lambda _: True, time.monotonic() + WAIT_S)
        capture.close()
        files.append(held("fd"))
    # what a test before this one left to the garbage collector may still go
    assert files == sorted(files, reverse=True), "none more than after the first"
    assert until(lambda: held("task") <= before)


def test_the_search_names_each_camera_of_the_producer() -> None:
    found = gentl.search(Path(PRODUCER))
    assert [(one.kind, one.source, one.serial) for one in found] == [
        ("gentl", PRODUCER, serial) for serial in "012"
    ]
    assert {one.model for one in found} == {"Machine Vision Games Ltd. Viky"}
