"""Lines of this computer as contacts and outputs: the kernel's GPIO character device, ABI v2.

    /dev/gpiochipN   GPIO_V2_GET_LINE_IOCTL   one descriptor for the inputs, one for the outputs
    inputs           edges with the kernel's own time (CLOCK_MONOTONIC), numbered per line
    outputs          all in one step; given back by the kernel when this process ends, however

What a line does that nobody drives is the board's affair. Each line is asked for with the bias
towards "off" (down, or up where "!" stands before its number); a chip without one needs a resistor.

Source: <linux/gpio.h> and Documentation/userspace-api/gpio, Linux 5.10 and later.
"""

import contextlib
import ctypes
import errno
import fcntl
import math
import os
import select
from collections.abc import Iterable, Sequence

from edge import settings
from edge.errors import PlcError
from edge.plc.contacts import LOOK_S, Level, Sight, wired
from edge.settings import INPUTS, OUTPUTS

LINES_MAX, NAME_SIZE, ATTRS_MAX = 64, 32, 10
ACTIVE_LOW, INPUT, OUTPUT = 1 << 1, 1 << 2, 1 << 3
EDGE_RISING, EDGE_FALLING = 1 << 4, 1 << 5
PULL_UP, PULL_DOWN = 1 << 8, 1 << 9
ATTR_FLAGS = 1
RISING_EDGE = 1
EVENT_BUFFER = 1024  # a process that stood still for seconds has lost no part


class Values(ctypes.Structure):
    """struct gpio_v2_line_values"""

    _fields_ = (("bits", ctypes.c_uint64), ("mask", ctypes.c_uint64))


class Attribute(ctypes.Structure):
    """struct gpio_v2_line_config_attribute, with the attribute's union as its widest member"""

    _fields_ = (
        ("id", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
        ("value", ctypes.c_uint64),
        ("mask", ctypes.c_uint64),
    )


class Config(ctypes.Structure):
    """struct gpio_v2_line_config"""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("num_attrs", ctypes.c_uint32),
        ("padding", ctypes.c_uint32 * 5),
        ("attrs", Attribute * ATTRS_MAX),
    )


class Request(ctypes.Structure):
    """struct gpio_v2_line_request"""

    _fields_ = (
        ("offsets", ctypes.c_uint32 * LINES_MAX),
        ("consumer", ctypes.c_char * NAME_SIZE),
        ("config", Config),
        ("num_lines", ctypes.c_uint32),
        ("event_buffer_size", ctypes.c_uint32),
        ("padding", ctypes.c_uint32 * 5),
        ("fd", ctypes.c_int32),
    )


class Event(ctypes.Structure):
    """struct gpio_v2_line_event"""

    _fields_ = (
        ("timestamp_ns", ctypes.c_uint64),
        ("id", ctypes.c_uint32),
        ("offset", ctypes.c_uint32),
        ("seqno", ctypes.c_uint32),
        ("line_seqno", ctypes.c_uint32),
        ("padding", ctypes.c_uint32 * 6),
    )


def _iowr(number: int, shape: type[ctypes.Structure]) -> int:
    """_IOWR(0xB4, number, shape) of <asm-generic/ioctl.h>"""
    return 3 << 30 | ctypes.sizeof(shape) << 16 | 0xB4 << 8 | number


GET_LINE = _iowr(0x07, Request)
GET_VALUES = _iowr(0x0E, Values)
SET_VALUES = _iowr(0x0F, Values)

Line = tuple[str, int, bool]
"""Role, number on the chip, active low."""


class GpioLines:
    """The lines of one `[[io]]` with kind = "gpio". Used by one thread.

    Raises (every method but `close`):
        PlcError: no such chip or line, held by another program, gone; edges were lost.
    """

    drops_itself = False
    lead_s = 0.001

    def __init__(self, io: settings.Io) -> None:
        self._io = io
        self._inputs = _lines(io, INPUTS)
        self._outputs = _lines(io, OUTPUTS)
        self._in: int | None = None
        self._out: int | None = None
        self._told_first = False
        self._numbers: dict[int, int] = {}  # line -> number of its last edge

    @property
    def is_open(self) -> bool:
        """Are the lines held?"""
        return self._in is not None or self._out is not None

    def open(self) -> None:
        """Take the lines for this process alone; every output is off."""
        try:
            chip = os.open(self._io.port, os.O_RDWR | os.O_CLOEXEC)
        except OSError as wrong:
            raise self._failed("cannot be opened", wrong) from wrong
        try:
            if self._outputs:
                self._out = self._take(chip, self._outputs, OUTPUT)
            if self._inputs:
                self._in = self._take(chip, self._inputs, INPUT | EDGE_RISING | EDGE_FALLING)
        except OSError as wrong:
            self.close()
            failed = self._failed("does not give its lines", wrong)
            if wrong.errno == errno.EBUSY:
                failed.hint = "Another program holds a line (`gpioinfo` names it): stop it."
            raise failed from wrong
        finally:
            os.close(chip)
        self._told_first, self._numbers = False, {}

    def read(self, within_s: float) -> Sight:
        """Edges as they come, at most so long waited for; first the levels as they are."""
        within_s = min(within_s, LOOK_S)
        if self._in is None:
            select.select([], [], [], within_s)
            return Sight((), 0.0)
        try:
            if not self._told_first:
                self._told_first = True
                return Sight(self._levels(self._in), 0.0)
            if not select.select([self._in], [], [], within_s)[0]:
                return Sight((), 0.0)
            return Sight(tuple(self._edges(os.read(self._in, 16 * ctypes.sizeof(Event)))), 0.0)
        except OSError as wrong:
            raise self._failed("is lost", wrong) from wrong

    def write(self, on: frozenset[str], within_s: float = math.inf) -> bool:
        """Every output in one step, and read back: no wait that `within_s` could end."""
        if self._out is None:
            return True
        bits = _bits(role in on for role, _, _ in self._outputs)
        every = (1 << len(self._outputs)) - 1
        try:
            fcntl.ioctl(self._out, SET_VALUES, Values(bits, every))
            back = Values(0, every)
            fcntl.ioctl(self._out, GET_VALUES, back, True)
        except OSError as wrong:
            raise self._failed("does not take its outputs", wrong) from wrong
        if back.bits != bits:
            differ = back.bits ^ bits
            roles = [role for n, (role, _, _) in enumerate(self._outputs) if differ >> n & 1]
            raise PlcError(f"io {self._io.name}: {', '.join(roles)} does not read as set")
        return True

    def left_alone(self, role: str) -> bool:
        """Is this output still on now that nobody holds it? Only after `close`."""
        line = [one for one in self._outputs if one[0] == role]
        try:
            chip = os.open(self._io.port, os.O_RDWR | os.O_CLOEXEC)
            try:
                held = self._take(chip, line, 0)  # neither input nor output: as it is
                value = Values(0, 1)
                fcntl.ioctl(held, GET_VALUES, value, True)
                os.close(held)
            finally:
                os.close(chip)
        except OSError as wrong:
            raise self._failed("cannot be read back", wrong) from wrong
        return bool(value.bits)

    def close(self) -> None:
        """Outputs off, lines given back. Safe to call twice."""
        if self._out is not None:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._out, SET_VALUES, Values(0, (1 << len(self._outputs)) - 1))
        self.abandon()

    def abandon(self) -> None:
        """Give the lines back as they are: what the kernel does when the process dies."""
        for held in (self._in, self._out):
            if held is not None:
                with contextlib.suppress(OSError):
                    os.close(held)
        self._in = self._out = None

    def _take(self, chip: int, lines: Sequence[Line], flags: int) -> int:
        request = Request(
            num_lines=len(lines), consumer=b"quanjian", event_buffer_size=EVENT_BUFFER
        )
        for place, (_, number, _) in enumerate(lines):
            request.offsets[place] = number
        bias = (PULL_DOWN, PULL_UP) if flags else (0, 0)
        request.config.flags = flags | bias[0]
        low = _bits(active_low for _, _, active_low in lines)
        if low:
            request.config.num_attrs = 1
            request.config.attrs[0] = Attribute(ATTR_FLAGS, 0, flags | bias[1] | ACTIVE_LOW, low)
        fcntl.ioctl(chip, GET_LINE, request, True)
        held: int = request.fd
        return held

    def _levels(self, held: int) -> tuple[Level, ...]:
        value = Values(0, (1 << len(self._inputs)) - 1)
        fcntl.ioctl(held, GET_VALUES, value, True)
        return tuple(
            Level(role, bool(value.bits >> place & 1), None)
            for place, (role, _, _) in enumerate(self._inputs)
        )

    def _edges(self, received: bytes) -> Iterable[Level]:
        roles = {number: role for role, number, _ in self._inputs}
        size = ctypes.sizeof(Event)
        for first in range(0, len(received) - size + 1, size):
            event = Event.from_buffer_copy(received, first)
            before = self._numbers.get(event.offset, 0)
            self._numbers[event.offset] = event.line_seqno
            if event.line_seqno != (before + 1) & 0xFFFFFFFF:
                lost = event.line_seqno - before - 1
                raise PlcError(f"io {self._io.name}: {lost} edges of line {event.offset} were lost")
            yield Level(roles[event.offset], event.id == RISING_EDGE, event.timestamp_ns / 1e9)

    def _failed(self, what: str, wrong: OSError) -> PlcError:
        failed = PlcError(f"io {self._io.name}: {self._io.port} {what}: {wrong}")
        failed.hint = "Check device and line numbers (`gpioinfo`), and that this user may use them."
        return failed


def _lines(io: settings.Io, roles: Iterable[str]) -> list[Line]:
    return [(role, *line) for role in roles if (line := wired(io, role)) is not None]


def _bits(on: Iterable[bool]) -> int:
    return sum(one << place for place, one in enumerate(on))
