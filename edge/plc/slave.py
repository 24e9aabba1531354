"""A PLC's side of the line: the register image, and a pty that carries it at wire speed.

    scan      program -> exchange(outputs) -> what the master wrote since the last scan
    request   complete after its characters' time, and the silence where the protocol needs one
    reply     handed over when its characters have crossed the wire, a few milliseconds at a time

The simulated line answers with this; nothing here knows what the registers mean.
"""

import contextlib
import fcntl
import os
import select
import termios
import threading
import time
import tty
from collections.abc import Mapping, Sequence
from pathlib import Path

from edge.errors import PlcError
from edge.plc.codecs import PROTOCOLS, wire_s
from edge.plc.modbus import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION
from edge.plc.transaction import (
    READ_HOLDING_REGISTERS,
    READ_INPUT_REGISTERS,
    WRITE_REGISTERS,
    Answer,
    Refusal,
    Refused,
    Request,
)

CHUNK_S = 0.004  # a reply is handed over in pieces of this much wire time
QUIET_S = 0.5  # a master that said nothing for this long has gone
LOOK_S = 0.05  # how often the thread looks whether it shall stop


class Slave:
    """One unit with holding registers, exchanged with its program once per scan.

    `registers` are all that exist, with their first values; any other address is refused with
    code 2, any function but 03, 04 and 16 with code 1. Safe from two threads. A slave with
    `answering` off is a PLC whose cable is out.
    """

    def __init__(self, unit: int, registers: Mapping[int, int]) -> None:
        self.unit = unit
        self.answering = True
        self.requests = 0
        self._image = dict(registers)
        self._arrived: dict[int, int] = {}
        self._lock = threading.Lock()

    def exchange(self, outputs: Mapping[int, int]) -> dict[int, int]:
        """End of a scan: show `outputs` to the master, get every register as the master left it.

        What the program puts out wins over what the master wrote to the same register.

        Raises:
            KeyError: an output that is no register of this unit.
        """
        with self._lock:
            strange = [address for address in outputs if address not in self._image]
            if strange:
                raise KeyError(f"unit {self.unit} has no registers {strange}")
            self._image.update(self._arrived)
            self._arrived.clear()
            self._image.update({address: value & 0xFFFF for address, value in outputs.items()})
            return dict(self._image)

    def answer(self, asked: Request | Refusal) -> Answer | Refused | None:
        """What it says to one request; None for other units, or when dead."""
        if asked.unit != self.unit or not self.answering:
            return None
        self.requests += 1
        if isinstance(asked, Refusal):
            return Refused(asked.code)
        if asked.function not in (READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS, WRITE_REGISTERS):
            return Refused(ILLEGAL_FUNCTION)
        addresses = range(asked.address, asked.address + asked.count)
        with self._lock:
            if any(address not in self._image for address in addresses):
                return Refused(ILLEGAL_ADDRESS)
            if asked.function == WRITE_REGISTERS:
                self._arrived.update(zip(addresses, asked.values, strict=True))
                return Answer()
            return Answer(tuple(self._image[address] for address in addresses))


class Slaves:
    """All units of one line; where two answer to the same number, nobody is understood."""

    def __init__(self, slaves: Sequence[Slave]) -> None:
        self._slaves = tuple(slaves)

    def answer(self, asked: Request | Refusal) -> Answer | Refused | None:
        """What the one unit that is asked says."""
        said = [reply for slave in self._slaves if (reply := slave.answer(asked)) is not None]
        return said[0] if len(said) == 1 else None


class PtySlave:
    """Slaves on one serial line that is a pty; the thread runs from `start` to `close`.

    The master opens `port` (the symlink `link` if one is given), may close it and open it again.
    Its settings must be those given here: a pty itself has no baud rate.

    Raises:
        PlcError: no pty is to be had, or the link cannot be made.
    """

    def __init__(
        self,
        slaves: Sequence[Slave],
        baudrate: int = 115200,
        parity: str = "E",
        stop_bits: int = 1,
        link: Path | None = None,
        reply_delay_s: float = 0.0,
        protocol: str = "modbus_rtu",
    ) -> None:
        spoken = PROTOCOLS[protocol]
        self._codec = spoken.slave(Slaves(slaves).answer)
        self._character_s = wire_s(baudrate, parity, stop_bits, spoken.data_bits)
        self._silence_s = self._codec.silence_s(self._character_s)
        self._reply_delay_s = reply_delay_s
        self._link = link
        self._line, self._far_end, self._device = _new_pty(link)
        self.port = self._device if link is None else str(link)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"pty {self.port}", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering, take the pty and its link away; the master sees its port go."""
        if self._stop.is_set():
            return
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=5)
        if self._link is not None:
            with contextlib.suppress(OSError):
                if str(self._link.readlink()) == self._device:
                    self._link.unlink()
        os.close(self._far_end)
        os.close(self._line)

    def __enter__(self) -> "PtySlave":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        under_way = False  # bytes came that no silence has ended yet
        ends_s = time.monotonic()  # when the last character heard has crossed the wire
        heard_s = ends_s
        while not self._stop.is_set():
            left_s = ends_s + self._silence_s - time.monotonic() if under_way else LOOK_S
            received = self._hear(min(LOOK_S, max(0.0, left_s)))
            now_s = time.monotonic()
            if received:
                heard_s = now_s
                ends_s = max(ends_s, now_s) + len(received) * self._character_s
                under_way = True
                self._reply(self._codec.feed(received), ends_s)
            elif under_way and now_s >= ends_s + self._silence_s:
                under_way = False
                self._reply(self._codec.silence(), now_s)
            elif now_s - heard_s > QUIET_S:
                heard_s = now_s
                self._free()

    def _hear(self, wait_s: float) -> bytes:
        if not select.select([self._line], [], [], wait_s)[0]:
            return b""
        try:
            return os.read(self._line, 4096)
        except OSError:  # nothing to read after all
            return b""

    def _reply(self, reply: bytes, from_s: float) -> None:
        begins_s = from_s + self._reply_delay_s
        size = max(1, int(CHUNK_S / self._character_s))
        for first in range(0, len(reply), size):
            chunk = reply[first : first + size]
            due_s = begins_s + (first + len(chunk)) * self._character_s
            if self._stop.wait(max(0.0, due_s - time.monotonic())):
                return
            with contextlib.suppress(OSError):  # nobody reads and the pty is full: lost, as on wire
                os.write(self._line, chunk)

    def _free(self) -> None:
        """Let a new master in after one was killed: its exclusive lock outlives it on a pty."""
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._far_end, termios.TIOCNXCL)


def _new_pty(link: Path | None) -> tuple[int, int, str]:
    """Our end, the master's end (kept open so that no master ever finds a hung-up line), name."""
    opened: tuple[int, ...] = ()
    try:
        line, far_end = opened = os.openpty()
        tty.setraw(far_end)  # else the kernel echoes what we say until a master comes
        os.set_blocking(line, False)
        device = os.ttyname(far_end)
        if link is not None:
            _point(link, device)
    except (OSError, termios.error) as wrong:
        for descriptor in opened:
            os.close(descriptor)
        raise PlcError(f"no pty for the simulated serial line ({link}): {wrong}") from wrong
    return line, far_end, device


def _point(link: Path, device: str) -> None:
    """Make `link` a symlink to `device` in one step, over an old one."""
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(device)
    fresh.replace(link)
