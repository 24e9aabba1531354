"""`quanjian-edge check`, a bus at a time: the port is there, ours alone, and nothing spoils it."""

from edge import settings
from edge.errors import PlcError
from edge.plc.codecs import data_bits_of
from edge.plc.hindrances import braille_runs, hindrances
from edge.plc.links import Link
from edge.plc.punctual import obstacle
from edge.plc.serial_port import device_of
from edge.plc.system import LINUX, System
from edge.plc.usb import adapters


def tried(bus: settings.Bus, system: System = LINUX) -> str:
    """Open the line for a moment; what it is.

    Raises:
        PlcError: it cannot be had, or something on this computer or another master spoils it.
    """
    spoiling = [] if bus.host is not None else _spoiling(bus, system)
    link = Link(bus, system)
    try:
        link.open()
    except PlcError as wrong:
        if spoiling:
            wrong.hint = "; ".join(spoiling)
        raise
    finally:
        link.close()
    if spoiling:
        failed = PlcError(f"{bus.place}: {len(spoiling)} thing(s) on this computer spoil the port")
        failed.hint = "; ".join(spoiling)
        raise failed
    if link.stray:
        failed = PlcError(f"{bus.place}: {link.stray} bytes came though nobody was asked")
        failed.hint = "Another master talks on this line, or a node was stopped a moment ago."
        raise failed
    return _described(bus, system)


def _spoiling(bus: settings.Bus, system: System) -> list[str]:
    try:
        device = device_of(bus, system)
    except PlcError:
        device = None
    if device is None or not device.exists():
        missing = braille_runs(system)
        return [missing] if missing else []
    return hindrances(device.resolve(), system)


def _described(bus: settings.Bus, system: System) -> str:
    if bus.host is not None:
        return f"{bus.place} takes connections, {bus.protocol}"
    device = device_of(bus, system).resolve()
    adapter = next((str(one) for one in adapters(system) if one.tty == device.name), "no USB")
    form = f"{bus.baudrate} {data_bits_of(bus)}{bus.parity}{bus.stop_bits}"
    refused = obstacle()
    warning = f"\n       WARN   {refused}" if refused else ""
    return f"{bus.place} is {device} ({adapter}), {bus.protocol} {form}{warning}"
