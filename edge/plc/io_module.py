"""An I/O module on a serial bus of its own as contacts and outputs, by Modbus RTU.

    inputs     FC02 from `inputs_base`, over and over
    outputs    FC15 of all of them in one frame when one changes, and read back by FC01
    watchdog   FC16 of `watchdog_ms` into the module's register, read back by FC03: a module that
               hears nothing for so long drops its outputs by itself

A module that is silent is asked again as the bus's other owner does: late answers are nobody's.
"""

import contextlib
import math
import threading
import time

from edge import settings
from edge.errors import PlcError, PlcTimeoutError
from edge.plc import codecs, modbus_rtu
from edge.plc.contacts import LOOK_S, Level, Sight, wired
from edge.plc.links import Link
from edge.plc.transaction import (
    READ_COILS,
    READ_DISCRETE_INPUTS,
    WRITE_COILS,
    Request,
    read_registers,
    write_registers,
)
from edge.settings import INPUTS, OUTPUTS

ANSWER_S = 0.005  # a module's own time, as far as OFF must be ordered earlier for it
RETRIES = 2  # looks and orders in a row that may fail: a damaged frame is no lost module
SPARE_S = 0.01  # an order that was not answered in twice its usual time and this is lost
REFRESH = 3  # outputs are written at least so often within the watchdog's time


class IoModule:
    """The module of one `[[io]]` with kind = "modbus". Used by one thread.

    Raises (every method but `close` and `abandon`):
        PlcError: port or module not there, wrong or refused answer, output not as set.
        PlcTimeoutError: no answer in time.
    """

    def __init__(self, io: settings.Io) -> None:
        """Nothing is opened before `open`."""
        self._io = io
        self._inputs = {role: line for role in INPUTS if (line := wired(io, role)) is not None}
        self._outputs = {role: line for role in OUTPUTS if (line := wired(io, role)) is not None}
        bus = settings.Bus(
            name=f"of io {io.name}",
            port=io.port,
            baudrate=io.baudrate,
            parity=io.parity,
            stop_bits=io.stop_bits,
            reply_timeout_s=io.reply_timeout_s,
        )
        self._link = Link(bus)
        self._open = False
        self._told_off = threading.Event()
        self._looked_s: float | None = None  # the last look at the inputs was asked for then
        self._failed = 0  # looks in a row
        self._doubted = 0  # orders in a row
        self._only_orders_owed = False  # of what may still be answered
        self._order_s: float | None = None  # how long orders took, at the most
        self._written_s = float("-inf")
        self._on: frozenset[str] = frozenset()
        self.drops_itself = io.watchdog_register is not None
        codec = modbus_rtu.Rtu()
        character_s = codecs.character_s(bus)
        silence_s = codec.silence_s(character_s)
        order = self._order(frozenset())
        self.lead_s = 2 * silence_s + codec.request_size(order) * character_s + ANSWER_S
        asked = Request(io.unit, READ_DISCRETE_INPUTS, io.inputs_base, self._width)
        characters = codec.request_size(asked) + codec.reply_size(asked)
        self._took_s = 2 * silence_s + characters * character_s + ANSWER_S

    @property
    def is_open(self) -> bool:
        """Has the module answered, and not failed since?"""
        return self._open and self._link.is_open

    def open(self) -> None:
        """Set the watchdog, every output off."""
        self._link.open()
        self._looked_s, self._failed, self._doubted = None, 0, 0
        self._order_s = None
        self._set_watchdog()
        self._on = frozenset()
        self._put_surely()
        self._open = True

    def read(self, within_s: float) -> Sight:
        """One look; none where its answer would come later than `within_s`."""
        idle_s = time.monotonic() - self._written_s
        if idle_s > self._io.watchdog_ms / 1000 / REFRESH and within_s > 2 * self._took_s:
            self._put()
            return Sight((), 0.0)
        if not self._inputs or within_s < self._took_s:
            self._told_off.wait(min(within_s, max(LOOK_S, self._took_s)))
            return Sight((), 0.0)
        began_s = time.monotonic()
        io = self._io
        asked = Request(io.unit, READ_DISCRETE_INPUTS, io.inputs_base, self._width)
        try:
            if not self._may_ask(asked, began_s + within_s):
                return Sight((), 0.0)
            reading = self._link.transact(asked, until_s=began_s + within_s)
        except PlcError:
            self._failed += 1
            if self._lost:
                raise
            return Sight((), 0.0)  # the next look says how long nobody saw
        self._failed = 0
        since_s = reading.sent_s if self._looked_s is None else self._looked_s
        self._looked_s = reading.sent_s
        took_s = time.monotonic() - began_s
        self._took_s = max(took_s, self._took_s + (took_s - self._took_s) / 16)
        levels = tuple(
            Level(role, bool(reading.values[number]) != low, reading.made_s)
            for role, (number, low) in self._inputs.items()
        )
        return Sight(levels, reading.made_s - since_s)

    def write(self, on: frozenset[str], within_s: float = math.inf) -> bool:
        """Exactly these outputs are on, read back; False where a frame was damaged."""
        self._on = on
        return self._put(time.monotonic() + within_s)

    def left_alone(self, role: str) -> bool:
        """Is it still on? Asked without a write, so that nothing holds it up."""
        self._link.open()
        number, low = self._outputs[role]
        asked = Request(self._io.unit, READ_COILS, self._io.outputs_base + number, 1)
        return bool(self._link.transact(asked).values[0]) != low

    def abandon(self) -> None:
        """Say nothing more."""
        self._open = False
        self._link.close()

    def close(self) -> None:
        """Every output off as far as the module can be reached."""
        if self.is_open:
            with contextlib.suppress(PlcError):  # else its watchdog does it
                self._on = frozenset()
                self._put_surely()
        self.abandon()

    @property
    def _lost(self) -> bool:
        return self._failed + self._doubted > RETRIES or not self._link.is_open

    @property
    def _width(self) -> int:
        return max((number for number, _ in self._inputs.values()), default=0) + 1

    def _order(self, on: frozenset[str]) -> Request:
        """All outputs up to the last one wired, in one frame; those without a role are off."""
        values = [0] * (max((number for number, _ in self._outputs.values()), default=0) + 1)
        for role, (number, low) in self._outputs.items():
            values[number] = int((role in on) != low)
        return Request(
            self._io.unit, WRITE_COILS, self._io.outputs_base, len(values), tuple(values)
        )

    def _put_surely(self) -> None:
        """Where nothing else can be wanted meanwhile."""
        while not self._put():
            pass

    def _may_ask(self, asked: Request, until_s: float) -> bool:
        """Has what may still come of a request before been listened out by then?"""
        try:
            self._link.sound(asked, until_s)
        except PlcTimeoutError:
            return False
        return True

    def _put(self, until_s: float = math.inf) -> bool:
        """Order the outputs and read them back; False where a frame was damaged.

        An order without `ok` is repeated as soon as it should have been answered: its request was
        damaged, and an OK that it ends stands meanwhile. The last try waits as long as any.
        """
        if not self._outputs:
            return True
        order, began_s = self._order(self._on), time.monotonic()
        self._only_orders_owed |= not self._link.owed(order.unit)
        asked = Request(order.unit, READ_COILS, order.address, order.count)
        soon_s = until_s
        if "ok" not in self._on and self._order_s is not None and self._doubted < RETRIES:
            soon_s = began_s + 2 * self._order_s + SPARE_S
        try:
            self._link.transact(order, at_once=True, until_s=soon_s)  # OFF waits for nothing owed
            took_s = time.monotonic() - began_s
            self._order_s = max(took_s, (self._order_s or 0.0) * 15 / 16)
            at_once, self._only_orders_owed = self._only_orders_owed, False
            found = self._link.transact(asked, at_once=at_once, until_s=until_s).values
        except PlcError:
            self._doubted += 1
            if self._lost:
                raise
            return False
        self._doubted, self._written_s = 0, time.monotonic()
        if found != order.values:
            raise PlcError(
                f"io {self._io.name}: outputs read back as {found}, set were {order.values}"
            )
        return True

    def _set_watchdog(self) -> None:
        register, io = self._io.watchdog_register, self._io
        if register is None:
            return
        ticks = io.watchdog_ms // io.watchdog_unit_ms  # without a rest: edge/wiring_io.py
        self._link.transact(write_registers(io.unit, register, [ticks]))
        found = self._link.transact(read_registers(io.unit, register, 1)).values[0]
        if found != ticks:
            raise PlcError(
                f"io {io.name}: watchdog register {register} reads {found}, {ticks} was written"
            )
