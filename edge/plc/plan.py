"""How long one round of a bus takes, from its wiring alone. No port, no clock.

silence, request, the PLC's scan, reply      one transaction
block of station 1, another frame, block of station 2, another frame, ...      one round
"""

from collections.abc import Sequence

from edge import settings
from edge.plc import modbus
from edge.plc.blocks import BLOCK_SIZE, COUNTERS_SIZE


def poll_s(bus: settings.Bus, stations: Sequence[settings.Station]) -> float:
    """Longest time between two reads of one station's block while every PLC answers.

    Args:
        stations: those of this bus, in any order.
    """
    return sum(_block_s(bus, station) + _other_s(bus, station) for station in stations)


def _block_s(bus: settings.Bus, station: settings.Station) -> float:
    return _transaction_s(bus, station, modbus.read_registers(1, 0, BLOCK_SIZE))


def _other_s(bus: settings.Bus, station: settings.Station) -> float:
    """Every second frame may be a write of five registers, or the second law's counters."""
    write_s = _transaction_s(bus, station, modbus.write_registers(1, 0, (0,) * 5))
    counters_s = _transaction_s(bus, station, modbus.read_registers(1, 0, COUNTERS_SIZE))
    return write_s if station.counters_base is None else max(write_s, counters_s)


def _transaction_s(bus: settings.Bus, station: settings.Station, request: modbus.Request) -> float:
    silence_s = modbus.silence_s(bus.baudrate, bus.parity, bus.stop_bits)
    character_s = modbus.character_s(bus.baudrate, bus.parity, bus.stop_bits)
    characters = len(request.encode()) + request.reply_size
    gap_s = max(silence_s, bus.gap_ms / 1000)
    return gap_s + silence_s + characters * character_s + station.scan_ms / 1000
