"""Lines of the computer by the kernel's GPIO character device: edge.plc.gpio.

The structs are held against <linux/gpio.h> by the compiler; the lines are gpio-sim's, where the
kernel has it.
"""

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import settings
from edge.errors import PlcError
from edge.plc import gpio
from edge.plc.contacts import Level, Sight
from edge.plc.gpio import GpioLines
from tests.serial_peers import until

HEADER = Path("/usr/include/linux/gpio.h")
SIM = Path("/sys/kernel/config/gpio-sim")

SIZES = r"""
#include <linux/gpio.h>
#include <stddef.h>
#include <stdio.h>
#define P(x) printf("%lu ", (unsigned long)(x))
int main(void) {
    P(sizeof(struct gpio_v2_line_values));
    P(sizeof(struct gpio_v2_line_config_attribute));
    P(offsetof(struct gpio_v2_line_config_attribute, attr.flags));
    P(sizeof(struct gpio_v2_line_config));
    P(offsetof(struct gpio_v2_line_config, attrs));
    P(sizeof(struct gpio_v2_line_request));
    P(offsetof(struct gpio_v2_line_request, config));
    P(offsetof(struct gpio_v2_line_request, fd));
    P(sizeof(struct gpio_v2_line_event));
    P(offsetof(struct gpio_v2_line_event, line_seqno));
    P(GPIO_V2_GET_LINE_IOCTL);
    P(GPIO_V2_LINE_GET_VALUES_IOCTL);
    P(GPIO_V2_LINE_SET_VALUES_IOCTL);
    P(GPIO_V2_LINE_FLAG_ACTIVE_LOW);
    P(GPIO_V2_LINE_FLAG_INPUT);
    P(GPIO_V2_LINE_FLAG_OUTPUT);
    P(GPIO_V2_LINE_FLAG_EDGE_RISING);
    P(GPIO_V2_LINE_FLAG_EDGE_FALLING);
    P(GPIO_V2_LINE_FLAG_BIAS_PULL_UP);
    P(GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN);
    P(GPIO_V2_LINE_ATTR_ID_FLAGS);
    P(GPIO_V2_LINE_EVENT_RISING_EDGE);
    return 0;
}
"""


@pytest.mark.needs_libmodbus  # for its compiler and the kernel's headers
def test_structs_numbers_and_flags_are_the_kernels(tmp_path: Path) -> None:
    assert HEADER.exists(), "linux/gpio.h is missing: apt-get install linux-libc-dev"
    assert shutil.which("gcc"), "gcc is missing: apt-get install gcc"
    source, program = tmp_path / "sizes.c", tmp_path / "sizes"
    source.write_text(SIZES, encoding="utf-8")
    subprocess.run(["gcc", str(source), "-o", str(program)], check=True)
    told = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    assert [int(word) for word in told.split()] == [
        ctypes.sizeof(gpio.Values),
        ctypes.sizeof(gpio.Attribute),
        gpio.Attribute.value.offset,
        ctypes.sizeof(gpio.Config),
        gpio.Config.attrs.offset,
        ctypes.sizeof(gpio.Request),
        gpio.Request.config.offset,
        gpio.Request.fd.offset,
        ctypes.sizeof(gpio.Event),
        gpio.Event.line_seqno.offset,
        gpio.GET_LINE,
        gpio.GET_VALUES,
        gpio.SET_VALUES,
        gpio.ACTIVE_LOW,
        gpio.INPUT,
        gpio.OUTPUT,
        gpio.EDGE_RISING,
        gpio.EDGE_FALLING,
        gpio.PULL_UP,
        gpio.PULL_DOWN,
        gpio.ATTR_FLAGS,
        gpio.RISING_EDGE,
    ]


def wiring(port: str, **changes: object) -> settings.Io:
    keys: dict[str, object] = {
        **{"name": "box", "kind": "gpio", "port": port},
        **{"part_present": "0", "bypass_key": "!3", "ok": "1", "ready": "!4", "warning": "6"},
    }
    return settings.Io(**(keys | changes))  # type: ignore[arg-type]


def test_a_chip_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    lines = GpioLines(wiring(str(tmp_path / "gpiochip9")))
    with pytest.raises(PlcError, match=r"io box: .*gpiochip9 cannot be opened") as caught:
        lines.open()
    assert "gpioinfo" in caught.value.hint
    assert not lines.is_open
    lines.close()


def test_a_file_that_is_no_chip_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    lines = GpioLines(wiring(str(tmp_path / "plain")))
    with pytest.raises(PlcError, match="does not give its lines"):
        lines.open()
    lines.close()


class SimulatedChip:
    """A chip of gpio-sim: what the board does to its lines, and what it sees of them."""

    def __init__(self) -> None:
        self._folder = SIM / f"quanjian{os.getpid()}"
        self._bank = self._folder / "bank0"
        self._bank.mkdir(parents=True)
        (self._bank / "num_lines").write_text("8")
        (self._folder / "live").write_text("1")
        device = (self._folder / "dev_name").read_text().strip()
        chip = (self._bank / "chip_name").read_text().strip()
        self.port = f"/dev/{chip}"
        self._lines = Path("/sys/devices/platform") / device / chip

    def pull(self, line: int, up: bool) -> None:
        (self._lines / f"sim_gpio{line}" / "pull").write_text("pull-up" if up else "pull-down")

    def value(self, line: int) -> int:
        return int((self._lines / f"sim_gpio{line}" / "value").read_text())

    def remove(self) -> None:
        (self._folder / "live").write_text("0")
        self._bank.rmdir()
        self._folder.rmdir()


@pytest.fixture
def chip() -> Iterator[SimulatedChip]:
    simulated = SimulatedChip()
    yield simulated
    simulated.remove()


def first(lines: GpioLines) -> Sight:
    lines.open()
    return lines.read(1.0)


@pytest.mark.needs_gpio_sim
def test_first_come_the_levels_then_edges_with_their_time(chip: SimulatedChip) -> None:
    chip.pull(3, up=True)
    lines = GpioLines(wiring(chip.port))
    assert first(lines).levels == (
        Level("part_present", False, None),
        Level("bypass_key", False, None),
    )
    before_s = time.monotonic()
    chip.pull(0, up=True)
    chip.pull(0, up=False)
    chip.pull(3, up=False)
    after_s = time.monotonic()
    levels = [level for _ in range(3) for level in lines.read(1.0).levels]
    assert [(level.role, level.closed) for level in levels] == [
        ("part_present", True),
        ("part_present", False),
        ("bypass_key", True),
    ]
    assert all(before_s <= (level.at_s or 0) <= after_s for level in levels)
    lines.close()


@pytest.mark.needs_gpio_sim
def test_outputs_switch_by_role_and_polarity_and_are_off_when_closed(chip: SimulatedChip) -> None:
    chip.pull(4, up=True)
    lines = GpioLines(wiring(chip.port))
    first(lines)
    assert (chip.value(1), chip.value(4)) == (0, 1)
    lines.write(frozenset({"ok", "ready"}))
    assert (chip.value(1), chip.value(4), chip.value(6)) == (1, 0, 0)
    lines.close()
    assert (chip.value(1), chip.value(4)) == (0, 1)


@pytest.mark.needs_gpio_sim
def test_lines_of_a_process_that_died_fall_to_what_the_board_pulls_them_to(
    chip: SimulatedChip,
) -> None:
    lines = GpioLines(wiring(chip.port))
    first(lines)
    lines.write(frozenset({"ok", "warning"}))
    lines.abandon()
    until(lambda: chip.value(1) == 0)
    assert not lines.left_alone("ok")
    chip.pull(6, up=True)  # a board with the wrong bias
    assert lines.left_alone("warning")


@pytest.mark.needs_gpio_sim
def test_a_line_that_another_holds_is_told(chip: SimulatedChip) -> None:
    holder, second = GpioLines(wiring(chip.port)), GpioLines(wiring(chip.port))
    holder.open()
    with pytest.raises(PlcError, match="does not give its lines") as caught:
        second.open()
    assert "Another program" in caught.value.hint
    holder.close()
    second.open()
    second.close()


@pytest.mark.needs_gpio_sim
def test_edges_that_the_kernel_had_to_drop_are_an_error(chip: SimulatedChip) -> None:
    lines = GpioLines(wiring(chip.port))
    first(lines)
    for _ in range(gpio.EVENT_BUFFER):
        chip.pull(0, up=True)
        chip.pull(0, up=False)
    with pytest.raises(PlcError, match="edges of line 0 were lost"):
        drain(lines)
    lines.close()


def drain(lines: GpioLines) -> None:
    for _ in range(gpio.EVENT_BUFFER):
        lines.read(0.1)
