"""V4L2: the controls of a driver, byte by byte, and sentences where there is no camera."""

import errno
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import CameraError
from edge.vision import v4l2_controls as v4l2
from edge.vision.v4l2 import V4l2Camera, exposure
from edge.vision.v4l2_controls import Control, Controls, Device

EXPOSURE, GAIN, HEADING = v4l2.EXPOSURE_ABSOLUTE, 0x980913, 0x9A0001
INACTIVE = 0x10


class PlayedDriver:
    """A driver's side of the three requests: it clamps to steps and inactivates what is automatic.

    Its bytes are laid out as in linux/videodev2.h; `test_the_numbers_are_those_of_the_header` holds
    that.
    """

    def __init__(self, rows: Sequence[tuple[int, str, int, int, int, int]]) -> None:
        self.rows = {row[0]: row[1:] for row in rows}
        self.values = {row[0]: row[5] for row in rows}
        self.deaf: set[int] = set()  # takes a value and keeps the old one

    def ioctl(self, request: int, answer: bytearray) -> None:
        number = struct.unpack_from("=I", answer)[0]
        if request == v4l2.QUERYCTRL:
            answer[:] = self._described(number)
            return
        if number not in self.rows:
            raise OSError(errno.EINVAL, "no such control")
        if request == v4l2.S_CTRL and number not in self.deaf:
            step = self.rows[number][3]
            self.values[number] = struct.unpack_from("=i", answer, 4)[0] // step * step
        struct.pack_into("=Ii", answer, 0, number, self.values[number])

    def _described(self, number: int) -> bytes:
        if number & 0x80000000:
            later = sorted(one for one in self.rows if one > number & 0x7FFFFFFF)
            number = later[0] if later else 0
        if number not in self.rows:
            raise OSError(errno.EINVAL, "no such control")
        name, low, high, step, default = self.rows[number]
        automatic = self.values.get(v4l2.EXPOSURE_AUTO) == 3
        flags = INACTIVE if number == EXPOSURE and automatic else 0
        kind = 6 if number == HEADING else 1
        text = name.encode().ljust(32, b"\0")
        return struct.pack("=II32siiiiI8x", number, kind, text, low, high, step, default, flags)


@pytest.fixture
def driver() -> PlayedDriver:
    return PlayedDriver(
        [
            (GAIN, "Gain", 0, 100, 1, 50),
            (HEADING, "Camera Controls", 0, 0, 0, 0),
            (v4l2.EXPOSURE_AUTO, "Auto Exposure", 0, 3, 1, 3),
            (EXPOSURE, "Exposure Time, Absolute", 3, 2047, 1, 250),
            (v4l2.EXPOSURE_AUTO_PRIORITY, "Exposure, Dynamic Framerate", 0, 1, 1, 1),
        ]
    )


def test_controls_have_the_names_that_v4l2_ctl_shows(driver: PlayedDriver) -> None:
    controls = Controls("/dev/video0", driver.ioctl)
    assert sorted(controls.by_name) == [
        "auto_exposure",
        "exposure_dynamic_framerate",
        "exposure_time_absolute",
        "gain",
    ]
    gain = controls.by_name["gain"]
    assert (gain.minimum, gain.maximum, gain.step, gain.default) == (0, 100, 1, 50)


def test_a_fixed_exposure_turns_the_automatic_off_first(driver: PlayedDriver) -> None:
    Controls("/dev/video0", driver.ioctl).set_exposure(1230.0)
    assert driver.values[v4l2.EXPOSURE_AUTO] == v4l2.EXPOSURE_MANUAL
    assert driver.values[v4l2.EXPOSURE_AUTO_PRIORITY] == 0
    assert driver.values[EXPOSURE] == 12


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("gain", 101, "gain: 101 is outside 0 to 100"),
        ("focus", 1, "no control 'focus'; there are: auto_exposure, .*gain"),
        ("exposure_time_absolute", 5, "cannot be set now"),
    ],
)
def test_what_cannot_be_set_is_a_sentence(
    driver: PlayedDriver, name: str, value: int, told: str
) -> None:
    with pytest.raises(CameraError, match=f"/dev/video0.*{told}"):
        Controls("/dev/video0", driver.ioctl).set(name, value)


def test_a_value_that_the_camera_did_not_take_is_told(driver: PlayedDriver) -> None:
    driver.deaf = {GAIN}
    with pytest.raises(CameraError, match="gain: set to 7, but the camera says 50"):
        Controls("/dev/video0", driver.ioctl).set("gain", 7)


def test_an_exposure_between_two_steps_is_taken_as_the_camera_rounds_it() -> None:
    driver = PlayedDriver([(EXPOSURE, "Exposure", 5, 1000, 5, 100)])
    Controls("/dev/video0", driver.ioctl).set_exposure(1230.0)
    assert driver.values[EXPOSURE] == 10


def test_a_camera_without_exposure_control_refuses_the_view() -> None:
    controls = Controls("/dev/video0", PlayedDriver([]).ioctl)
    assert controls.by_name == {}
    with pytest.raises(CameraError, match=r"\[\[view\]\] exposure_us: it has no exposure control"):
        controls.set_exposure(100)


@given(st.binary(min_size=68, max_size=68))
def test_any_answer_of_a_driver_is_read_and_the_list_ends(answer: bytes) -> None:
    control = Control.decode(answer)
    assert control.name == control.name.strip("_")

    def ioctl(_: int, place: bytearray) -> None:
        place[:] = answer

    assert len(Controls("/dev/video0", ioctl).by_name) <= 1


HEADER = """
#include <linux/videodev2.h>
#include <stdio.h>
int main(void) {
    printf("%lu %lu %lu %u %u %u %d %lu", VIDIOC_QUERYCTRL, VIDIOC_G_CTRL, VIDIOC_S_CTRL,
        V4L2_CID_EXPOSURE_AUTO, V4L2_CID_EXPOSURE_ABSOLUTE, V4L2_CID_EXPOSURE_AUTO_PRIORITY,
        V4L2_EXPOSURE_MANUAL, sizeof(struct v4l2_queryctrl));
}
"""


@pytest.mark.needs_libmodbus  # its C compiler
def test_the_numbers_are_those_of_the_header(tmp_path: Path) -> None:
    (tmp_path / "h.c").write_text(HEADER, encoding="ascii")
    subprocess.run(["gcc", "-o", tmp_path / "h", tmp_path / "h.c"], check=True)
    printed = subprocess.run([tmp_path / "h"], capture_output=True, text=True, check=True).stdout
    ours = [v4l2.QUERYCTRL, v4l2.G_CTRL, v4l2.S_CTRL]
    ours += [v4l2.EXPOSURE_AUTO, v4l2.EXPOSURE_ABSOLUTE, v4l2.EXPOSURE_AUTO_PRIORITY]
    assert list(map(int, printed.split())) == [*ours, v4l2.EXPOSURE_MANUAL, 68]


def test_the_kernels_stamp_is_taken_where_it_is_one() -> None:
    assert exposure(100.0, 99.95) == 99.95
    assert exposure(100.0, 1.7e9) == 100.0, "wall time"
    assert exposure(100.0, 0.0) == 100.0, "none"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("/dev/null", "/dev/null: cannot be opened as v4l2"),
        ("/dev/video97", "there is no /dev/video97"),
        ("97", "there is no /dev/video97"),
    ],
)
def test_a_device_that_is_no_camera_is_a_sentence(source: str, told: str) -> None:
    with pytest.raises(CameraError, match=told):
        V4l2Camera("c1", source)


def test_a_device_without_controls_has_none_and_a_missing_one_is_a_sentence() -> None:
    device = Device(Path("/dev/null"))
    assert Controls("/dev/null", device.ioctl).by_name == {}
    device.close()
    device.close()
    with pytest.raises(CameraError, match="/dev/video97: cannot be opened"):
        Device(Path("/dev/video97"))
