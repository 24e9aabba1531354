"""What does not fit together in one [[bus]] though each key by itself is right. Pure.

A line is one serial port or one TCP address, never both, and a protocol decides which keys it has.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.settings import Bus

SERIAL = {
    "baudrate": 115200,
    "parity": "E",
    "stop_bits": 1,
    "data_bits": None,
    "rs485": False,
    "rs485_before_ms": 0,
    "rs485_after_ms": 0,
    "echo": False,
    "gap_ms": 0.0,
}
"""Keys of a serial line, with what they are where nobody wrote them."""

SEVEN_BITS = ("modbus_ascii", "mitsubishi_fx", "host_link", "mewtocol")
"""Protocols of text, which need no eighth bit."""


def misfits(bus: Bus) -> list[str]:
    """Keys of one bus that do not go together. What is missing or wrong is None, told already."""
    where = f"[bus {bus.name}]"
    places = [key for key in ("port", "usb", "host") if getattr(bus, key) is not None]
    if not places:
        return [
            f"{where} port: missing; expected the serial port, or usb = the adapter's number, or "
            "host = the PLC's address with protocol = 'modbus_tcp'"
        ]
    if len(places) > 1:
        return [f"{where} {places[1]}: {places[0]} stands there too; expected one of them"]
    if bus.protocol is None:
        return []
    if bus.protocol == "modbus_tcp":
        return _network(bus, where)
    return _serial(bus, where)


def _network(bus: Bus, where: str) -> list[str]:
    if bus.host is None:
        return [f"{where} host: missing; expected the PLC's IP address, as modbus_tcp needs it"]
    problems = [
        f"{where} {key}: {getattr(bus, key)!r}; expected no such key: TCP is no serial line"
        for key, unsaid in SERIAL.items()
        if getattr(bus, key) not in (unsaid, None)
    ]
    try:
        address = ipaddress.ip_address(bus.host)
        inside = address.is_private or address.is_loopback or address.is_link_local
    except ValueError:
        inside = False
    if not inside:
        problems.append(
            f"{where} host: {bus.host!r}; expected an IP address inside the plant, such as "
            "'192.168.0.10'"
        )
    return problems


def _serial(bus: Bus, where: str) -> list[str]:
    problems = []
    if bus.host is not None:
        problems.append(
            f"{where} host: {bus.host!r} needs protocol = 'modbus_tcp', and this is "
            f"{bus.protocol!r} on a serial line; expected port or usb"
        )
    if bus.tcp_port not in (502, None):
        problems.append(f"{where} tcp_port: {bus.tcp_port}; expected no such key on a serial line")
    if bus.data_bits == 7 and bus.protocol not in SEVEN_BITS:
        problems.append(f"{where} data_bits: 7; expected 8, as {bus.protocol} sends bytes")
    delayed = bus.rs485_before_ms or bus.rs485_after_ms
    if delayed and bus.rs485 is False:
        problems.append(f"{where} rs485: missing; expected true where RS-485 delays are set")
    return problems
