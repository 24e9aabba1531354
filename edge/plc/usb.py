"""USB adapters by serial number, or by the socket they are in: names that survive a re-plug.

    usb = "A50285BI"        serial number: the adapter, whatever socket it is in
    usb = "1-1.4"           USB path: whatever adapter is in that socket; CH340 have no number
    usb = "A50285BI:1.1"    one port of an adapter that has several, by its interface

Source: the folders below /sys/class/tty (Linux kernel, Documentation/ABI/stable/sysfs-bus-usb).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.errors import PlcError
from edge.plc.system import System

_INTERFACE = re.compile(r"(\d+-\d+(?:\.\d+)*):(\d+\.\d+)")


@dataclass(frozen=True, slots=True)
class Adapter:
    """One serial port of a USB adapter."""

    tty: str  # such as ttyUSB0
    path: str  # USB path, such as 1-1.4
    interface: str  # such as 1.0
    serial: str | None
    identity: str  # vendor:product, such as 1a86:7523
    product: str
    driver: str

    def answers_to(self, usb: str) -> bool:
        """Whether `usb` of a [[bus]] means this port."""
        names = [name for name in (self.serial, self.path) if name]
        return usb in (*names, *(f"{name}:{self.interface}" for name in names))

    def __str__(self) -> str:
        number = f"serial number {self.serial}" if self.serial else "no serial number"
        return f"{self.path}:{self.interface} ({self.product or self.identity}, {number})"


def adapters(system: System) -> Iterator[Adapter]:
    """Every serial port that is on USB, by name."""
    for entry in sorted((system.sys / "class" / "tty").glob("tty*")):
        place = (entry / "device").resolve()
        for folder in (place, *place.parents):
            found = _INTERFACE.fullmatch(folder.name)
            if found:
                device = folder.parent
                yield Adapter(
                    entry.name,
                    found.group(1),
                    found.group(2),
                    _said(device / "serial"),
                    f"{_said(device / 'idVendor')}:{_said(device / 'idProduct')}",
                    _said(device / "product") or "",
                    (folder / "driver").resolve().name,
                )
                break


def find(usb: str, system: System) -> Path:
    """The device of the adapter that `usb` means.

    Raises:
        PlcError: none is there, or several answer to it.
    """
    there = list(adapters(system))
    meant = [adapter for adapter in there if adapter.answers_to(usb)]
    if len(meant) == 1:
        return system.dev / meant[0].tty
    if meant:
        wrong = PlcError(f"usb {usb!r} means several ports: {', '.join(map(str, meant))}")
        wrong.hint = "Name one of them by its USB path and interface."
        raise wrong
    listed = ", ".join(map(str, there)) or "none"
    wrong = PlcError(f"no USB adapter is {usb!r}; there are: {listed}")
    wrong.hint = "Plug the adapter in, or write the serial number or path of one that is there."
    raise wrong


def _said(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None
