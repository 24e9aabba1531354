"""A GigE Vision camera over a real network link: Aravis' fake camera on the loopback address."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from edge.errors import CameraError
from edge.limits import Strobe, View
from edge.terms import Frame, TriggerMode
from edge.vision.aravis import search
from edge.vision.camera import BadFrame, Capture
from edge.vision.connection import open_camera
from edge.vision.genicam_camera import GenicamCamera
from tests.camera_source import Source
from tests.gige_peer import ADDRESS, SERIAL, choice, fake_camera, number, rounded, switch
from tests.test_camera import until

pytestmark = pytest.mark.needs_aravis

WAIT_S = 20.0
SOURCE = Source("gige", ADDRESS)


def opened(source: Source = SOURCE, trigger: TriggerMode = "free_run") -> GenicamCamera:
    camera = open_camera(source, trigger)
    assert isinstance(camera, GenicamCamera)
    return camera


def frames_of(camera: GenicamCamera, count: int) -> list[Frame]:
    frames: list[Frame] = []
    until_s = time.monotonic() + WAIT_S
    while len(frames) < count and time.monotonic() < until_s:
        frame = camera.read(0.2)
        frames += [frame] if frame is not None else []
    assert len(frames) == count
    return frames


def requested(camera: GenicamCamera) -> Frame:
    """A picture asked for; again each second, as the fake camera's packets may get lost."""
    until_s = time.monotonic() + WAIT_S
    while time.monotonic() < until_s:
        camera.request()
        for _ in range(5):
            frame = camera.read(0.2)
            if frame is not None:
                return frame
    raise AssertionError("no picture, however often asked")


def under(capture: Capture, setup: int) -> bool:
    return capture.setup == setup


def test_a_free_running_camera_gives_every_frame_with_its_exposure() -> None:
    with fake_camera():
        camera = opened()
        began_s = time.monotonic()
        frames = frames_of(camera, 5)
        camera.close()
        camera.close()
    assert [frame.number for frame in frames] == list(range(5))
    assert {frame.image.shape for frame in frames} == {(512, 512)}
    assert all(frame.image.any() and frame.trigger_count is None for frame in frames)
    times = [frame.exposed_s for frame in frames]
    assert times == sorted(times)
    assert began_s - 0.1 < times[0] < times[-1] < time.monotonic()


LINES = choice("LineSelector", "Line0", "Line1") + switch("LineInverter")
TIMER = (
    choice("LineMode", "Input", "Output")
    + choice("LineSource", "Off", "Timer1Active")
    + choice("TimerSelector", "Timer1")
    + choice("TimerTriggerSource", "Off", "ExposureStart", "FrameTrigger")
    + number("TimerDelay", 0, 100_000)
    + number("TimerDuration", 10, 20_000)
    + number("TriggerDelay", 0, 100_000)
)
PULSE = (
    choice("LineMode", "Input", "Strobe")
    + switch("StrobeEnable")
    + number("StrobeLineDuration", 0, 20_000)
    + number("StrobeLineDelay", 0, 10_000)
    + number("StrobeLinePreDelay", 0, 5_000)
)
BEFORE = Strobe(polarity="low", delay_us=-50, width_us=1200)
WITH = Strobe(width_us=1000)


@pytest.mark.parametrize(
    ("features", "strobe", "expected"),
    [
        (
            TIMER,
            BEFORE,
            {
                "LineMode": "Output",
                "LineInverter": True,
                "LineSource": "Timer1Active",
                "TimerTriggerSource": "FrameTrigger",
                "TriggerDelay": 50,
                "TimerDelay": 0,
                "TimerDuration": 1200,
            },
        ),
        (TIMER, WITH, {"LineInverter": False, "TimerTriggerSource": "ExposureStart"}),
        (
            PULSE,
            BEFORE,
            {
                "LineMode": "Strobe",
                "LineInverter": True,
                "StrobeLineDuration": 1200,
                "StrobeLineDelay": 0,
                "StrobeLinePreDelay": 50,
                "StrobeEnable": True,
            },
        ),
    ],
)
def test_the_recipe_sets_exposure_gain_region_and_strobe(
    described: Callable[[str], Path], features: str, strobe: Strobe, expected: dict[str, object]
) -> None:
    view = View(camera="c1", exposure_us=1000, gain_db=6, region=(8, 16, 256, 128), strobe=strobe)
    expected = {"ExposureTimeAbs": 1000, "Gain": 6, "LineSelector": "Line1", **expected}
    expected["ExposureMode"] = "Timed"
    features += number("Gain", 0, 24) + choice("ExposureMode", "TriggerWidth", "Timed")
    with fake_camera("-g", str(described(LINES + features))):
        camera = opened(Source("gige", ADDRESS, strobe_line="Line1"), "software")
        camera.apply(view)
        took = {name: camera.features.get(name) for name in expected}
        frame = requested(camera)
        camera.close()
    assert frame.image.shape == (128, 256)
    assert took == expected


@pytest.mark.parametrize(
    ("strobe", "told"),
    [
        (BEFORE, "a camera that runs freely cannot light before it exposes"),
        (Strobe(width_us=30_000), "TimerDuration 30000: expected 10 to 20000"),
    ],
)
def test_a_pulse_that_the_camera_cannot_make_is_a_sentence(
    described: Callable[[str], Path], strobe: Strobe, told: str
) -> None:
    with fake_camera("-g", str(described(LINES + TIMER))):
        camera = opened(Source("gige", ADDRESS, strobe_line="Line1"))
        with pytest.raises(CameraError, match=rf"\[\[view\]\] strobe: {told}"):
            camera.apply(View(camera="c1", exposure_us=1000, strobe=strobe))
        camera.close()


@pytest.mark.parametrize(
    ("view", "told"),
    [
        (View(camera="c1", gain_db=3), "gain_db: this camera has no feature Gain or GainAbs"),
        (
            View(camera="c1", exposure_us=5),
            "exposure_us: ExposureTimeAbs 5: expected 10 to 1",
        ),
        (View(camera="c1", region=(0, 0, 4000, 9)), "region: Width 4000: expected 1 to 2048"),
        (
            View(camera="c1", exposure_us=50, strobe=Strobe(width_us=60)),
            r"strobe: which output .* strobe_line",
        ),
    ],
)
def test_what_the_camera_cannot_do_is_told_by_the_key_of_the_recipe(view: View, told: str) -> None:
    with fake_camera():
        camera = opened()
        with pytest.raises(CameraError, match=rf"{ADDRESS}: \[\[view\]\] {told}"):
            camera.apply(view)
        with pytest.raises(CameraError, match="not sending"):
            camera.read(0.1)
        camera.close()


def test_a_camera_that_takes_another_exposure_says_which(
    described: Callable[[str], Path],
) -> None:
    with fake_camera("-g", str(described(rounded("ExposureTime", 100)))):
        camera = opened()
        camera.apply(View(camera="c1", exposure_us=1200))
        with pytest.raises(CameraError, match=r"exposure_us: .* the camera takes 1200 instead"):
            camera.apply(View(camera="c1", exposure_us=1250))
        camera.close()


def test_a_software_trigger_makes_one_frame_and_a_wired_one_waits_for_the_sensor() -> None:
    with fake_camera():
        camera = opened(trigger="software")
        camera.apply(View(camera="c1", exposure_us=100))
        assert camera.read(0.2) is None
        for number in range(3):
            asked_s = time.monotonic()
            camera.request()
            (frame,) = frames_of(camera, 1)
            assert frame.number == number
            assert asked_s <= frame.exposed_s <= time.monotonic()
        assert camera.read(0.2) is None
        camera.close()
        camera = opened(Source("gige", ADDRESS, trigger_line="Line0"), "hardware")
        trigger = [camera.features.get(f"Trigger{x}") for x in ("Mode", "Source")]
        camera.request()
        assert camera.read(0.2) is None
        camera.close()
    assert trigger == ["On", "Line0"]


def test_a_request_to_a_camera_that_was_let_go_meanwhile_asks_nothing() -> None:
    with fake_camera():
        camera = opened(SOURCE, "software")
        camera.close()
        camera.request()
        with pytest.raises(CameraError):
            camera.read(0.0)


@pytest.mark.parametrize(
    ("source", "trigger", "told"),
    [
        (Source("gige", "no-such"), "free_run", "no-such"),
        (Source("usb3", ADDRESS), "free_run", "kind = 'usb3' in .* but it is 'gige'"),
        (Source("gige", ADDRESS, pixel_format="Mono16"), "free_run", r"Mono16; .* BayerRG8"),
        (Source("gige", ADDRESS, pixel_format="YUV422"), "free_run", r"cannot be YUV422; .*Mono8"),
        (Source("gige", ADDRESS, trigger_line="Line7"), "hardware", r"Line7; .*Line0"),
    ],
)
def test_a_camera_that_does_not_fit_its_settings_is_a_sentence(
    source: Source, trigger: TriggerMode, told: str
) -> None:
    with fake_camera(), pytest.raises(CameraError, match=told):
        open_camera(source, trigger)


def test_a_camera_that_another_program_controls_is_a_sentence() -> None:
    with fake_camera():
        camera = opened()
        with pytest.raises(CameraError, match="another program controls"):
            opened()
        camera.close()
        opened().close()


@pytest.mark.parametrize("name", ["RGB8", "BayerGB8"])
def test_colour_comes_as_three_channels(name: str) -> None:
    with fake_camera():
        camera = opened(Source("gige", ADDRESS, pixel_format=name))
        (frame,) = frames_of(camera, 1)
        camera.close()
    assert frame.image.shape == (512, 512, 3)
    assert frame.image.any()


def test_a_picture_that_lost_packets_is_counted_and_never_used() -> None:
    with fake_camera("-r", "8"):
        camera = opened()
        frames = frames_of(camera, 30)
        camera.close()
    bad = [frame for frame in frames if isinstance(frame, BadFrame)]
    assert 0 < len(bad) < 30
    assert all("not whole: missing-packets" in frame.text for frame in bad)
    assert all(frame.image.size == 0 for frame in bad)
    numbers = [frame.number for frame in frames]
    assert numbers == sorted(set(numbers)), "also where the packet with the number was lost"
    assert numbers[-1] < 60


def packets_without_buffer(camera: GenicamCamera) -> int:
    stream = camera._transport._stream  # type: ignore[attr-defined]
    return int(stream.get_info_uint64_by_name("n_underruns"))


def test_frames_nobody_took_in_time_are_counted_as_dropped() -> None:
    with fake_camera():
        camera = opened()
        camera.features.set("AcquisitionFrameRate", 200.0)
        (first,) = frames_of(camera, 1)
        # no buffer is left: Aravis counts the packets of some five frames that found none
        assert until(lambda: packets_without_buffer(camera) > 1000)
        late = frames_of(camera, 30)
        camera.close()
    numbers = [first.number, *(frame.number for frame in late)]
    assert numbers[-1] - numbers[0] > len(late) + 2, "the gap is in the numbers"


def test_a_camera_that_was_without_power_comes_back_set_up() -> None:
    with fake_camera() as peer:
        capture = Capture(SOURCE)
        capture.apply(3, View(camera="c1", region=(0, 0, 64, 32)))
        assert until(lambda: capture.setup == 3)
        peer.kill()
        peer.start()
        assert until(lambda: not capture.online)
        assert "does not answer" in str(capture.fault)
        assert until(lambda: capture.setup == 3)
        frame = capture.wait_for(lambda frame: frame.setup == 3, time.monotonic() + WAIT_S)
        capture.close()
    assert frame is not None
    assert frame.image.shape == (32, 64)
    assert capture.reconnects == 1


def test_nothing_is_left_of_ten_connections() -> None:
    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    with fake_camera():
        files = []
        before = threads()
        for setup in range(10):
            capture = Capture(SOURCE)
            assert capture.wait_for(lambda _: True, time.monotonic() + WAIT_S)
            capture.apply(setup, View(camera="c1", exposure_us=200))
            assert until(partial(under, capture, setup))
            capture.close()
            files.append(len(list(Path("/proc/self/fd").iterdir())))
        assert files == sorted(files, reverse=True), "none more than after the first"
        assert until(lambda: threads() <= before + 1)  # GLib keeps one of its own


def test_the_search_names_each_camera() -> None:
    with fake_camera():
        found = [camera for camera in search() if camera.address == ADDRESS]
    assert [(camera.kind, camera.source, camera.model) for camera in found] == [
        ("gige", SERIAL, "Aravis Fake")
    ]
