"""GStreamer pipelines as cameras, with GStreamer's own test source; the CSI pipeline as text."""

import itertools
import time
from pathlib import Path

import numpy as np
import pytest

from edge.errors import CameraError
from edge.limits import View
from edge.terms import Frame
from edge.vision.connection import open_camera
from edge.vision.csi import CsiCamera, pipeline, sensor_properties
from edge.vision.gstreamer import GstreamerCamera
from tests.camera_source import Source
from tests.rtsp_peer import free_port
from tests.serial_peers import until

WAIT_S = 20.0
LIVE = "videotestsrc is-live=true"


def frames_of(camera: GstreamerCamera, wanted: int) -> list[Frame]:
    frames: list[Frame] = []
    until_s = time.monotonic() + WAIT_S
    while len(frames) < wanted and time.monotonic() < until_s:
        frame = camera.read(0.1)
        frames += [frame] if frame is not None else []
    return frames


@pytest.mark.needs_gstreamer
def test_a_live_source_gives_pictures_with_the_time_of_its_own_clock() -> None:
    camera = GstreamerCamera("c1", f"{LIVE} ! video/x-raw,framerate=50/1", delay_s=0.02)
    began_s = time.monotonic()
    frames = frames_of(camera, 10)
    ended_s = time.monotonic()
    camera.close()
    camera.close()
    times = [frame.exposed_s for frame in frames]
    places = [round((time_s - times[0]) / 0.02) for time_s in times]
    assert [frame.number for frame in frames] == places, "what nobody fetched is a gap"
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(round(step / 0.02, 3) % 1 == 0 and step > 0 for step in steps), "whole frames apart"
    assert began_s - 0.2 < times[0]
    assert times[-1] <= ended_s - 0.02


@pytest.mark.needs_gstreamer
@pytest.mark.parametrize(
    ("made", "shape"),
    [
        ("format=I420,width=322,height=241", (241, 322, 3)),
        ("format=GRAY8,width=321,height=240", (240, 321)),
        ("format=BGR,width=101,height=50", (50, 101, 3)),
    ],
)
def test_pictures_have_the_shape_and_colour_of_the_source(
    made: str, shape: tuple[int, ...]
) -> None:
    blue = "pattern=solid-color foreground-color=0xff0000ff"
    camera = GstreamerCamera("c1", f"{LIVE} {blue} ! video/x-raw,{made}")
    image = frames_of(camera, 1)[0].image
    camera.close()
    assert image.shape == shape
    assert image.flags.writeable
    assert np.ptp(image.reshape(-1, *shape[2:]), axis=0).max() <= 2, "one colour, no skewed rows"
    if len(shape) == 3:
        assert image[0, 0, 0] > 240
        assert image[0, 0, 2] < 15


@pytest.mark.needs_gstreamer
def test_what_a_pipeline_tells_of_itself_does_not_pile_up() -> None:
    camera = GstreamerCamera("c1", LIVE)
    frames_of(camera, 3)
    left = camera.pipeline.get_bus().have_pending()
    camera.close()
    assert not left


@pytest.mark.needs_gstreamer
def test_a_slow_reader_gets_the_newest_picture() -> None:
    camera = GstreamerCamera("c1", f"{LIVE} ! video/x-raw,framerate=100/1")
    first = frames_of(camera, 1)[0]
    until(lambda: time.monotonic() > first.exposed_s + 0.3)  # nobody reads what comes meanwhile
    asked_s = time.monotonic()
    newest = frames_of(camera, 1)[0]
    camera.close()
    assert asked_s - newest.exposed_s < 0.15
    apart_s = newest.exposed_s - first.exposed_s
    assert newest.number - first.number == round(apart_s / 0.01) > 10


@pytest.mark.needs_gstreamer
def test_pictures_lost_before_the_pipeline_are_gaps_where_the_source_numbers_them() -> None:
    lossy = "video/x-raw,framerate=200/1 ! identity drop-probability=0.5"
    camera = GstreamerCamera("c1", f"{LIVE} ! {lossy}")
    numbers = [frame.number for frame in frames_of(camera, 40)]
    camera.close()
    assert numbers == sorted(set(numbers))
    assert numbers[-1] > 45, "half of them are missing"


@pytest.mark.needs_gstreamer
def test_a_decoder_that_loses_the_numbers_is_counted_by_what_comes() -> None:
    camera = GstreamerCamera("c1", f"{LIVE} ! jpegenc ! jpegdec")
    numbers = [frame.number for frame in frames_of(camera, 5)]
    camera.close()
    assert numbers == [0, 1, 2, 3, 4]


@pytest.mark.needs_gstreamer
def test_bytes_of_a_file_are_no_counter(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.write_bytes(bytes(64 * 64 * 500))
    parsed = "rawvideoparse format=gray8 width=64 height=64 framerate=50/1 ! clocksync"
    camera = GstreamerCamera("c1", f"filesrc location={raw} ! {parsed}")
    numbers = [frame.number for frame in frames_of(camera, 3)]
    camera.close()
    assert numbers == [0, 1, 2]


@pytest.mark.needs_gstreamer
@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("no-such-element", "no pipeline: .*no-such-element"),
        ("videotestsrc !", "no pipeline"),
        ("", "no pipeline"),
        ("filesrc location=/no/such/file ! decodebin", "/no/such/file"),
        ("audiotestsrc", "no pipeline: could not link"),
        ("videotestsrc num-buffers=0", "end|no picture"),
    ],
)
def test_a_text_that_is_no_running_pipeline_is_a_sentence(source: str, told: str) -> None:
    with pytest.raises(CameraError, match=told):
        frames_of(GstreamerCamera("c1", source, lost_after_s=0.3), 1)


@pytest.mark.needs_gstreamer
def test_a_pipeline_that_ends_or_falls_silent_is_lost() -> None:
    ending = GstreamerCamera("c1", f"{LIVE} num-buffers=3")
    with pytest.raises(CameraError, match="come to its end"):
        frames_of(ending, 4)
    ending.close()
    silent = GstreamerCamera("c1", f"{LIVE} ! valve drop=true", lost_after_s=0.2)
    with pytest.raises(CameraError, match=r"no picture for 0\.2 s"):
        frames_of(silent, 1)
    silent.close()


@pytest.mark.needs_gstreamer
def test_the_login_of_a_pipeline_comes_from_a_file_and_stands_in_no_message(tmp_path: Path) -> None:
    secret = tmp_path / "login"
    secret.touch(0o600)
    secret.write_text("cam:se cret\n", encoding="utf-8")
    source = f"rtspsrc location=rtsp://{{login}}@127.0.0.1:{free_port()}/live ! fakesink"
    with pytest.raises(CameraError) as wrong:
        GstreamerCamera("c1", source, password_file=secret)
    assert "cret" not in str(wrong.value)


@pytest.mark.needs_gstreamer
def test_a_sensor_where_there_is_none_is_a_sentence() -> None:
    with pytest.raises(CameraError, match="nvarguscamerasrc"):
        open_camera(Source("csi", "0"))


@pytest.mark.needs_gstreamer
def test_a_view_is_refused_where_a_pipeline_cannot_be_set() -> None:
    camera = open_camera(Source("gstreamer", LIVE))
    with pytest.raises(CameraError, match="gain_db: a gstreamer camera cannot be set so"):
        camera.apply(View(camera="c1", gain_db=3))
    camera.close()


def test_the_pipeline_of_a_csi_sensor() -> None:
    text = pipeline("1", (1920, 1080), 29.97)
    assert text.startswith("nvarguscamerasrc name=sensor sensor-id=1 ")
    assert "video/x-raw(memory:NVMM),width=1920,height=1080,framerate=29970/1000 !" in text
    assert text.endswith("nvvidconv ! video/x-raw,format=BGRx")
    assert "width" not in pipeline("0", None, None)
    with pytest.raises(CameraError, match="sensor0: a csi camera has a number"):
        CsiCamera("c1", "sensor0")


def test_a_csi_sensor_is_set_by_ranges_of_one_value() -> None:
    assert sensor_properties(View(camera="c1")) == {}
    assert sensor_properties(View(camera="c1", exposure_us=500, gain_db=6)) == {
        "exposuretimerange": "500000 500000",
        "gainrange": "1.9953 1.9953",
        "ispdigitalgainrange": "1 1",
    }
