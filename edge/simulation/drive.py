"""The drive of the simulated line: what a PLC and an energy meter say of it, for tags. Pure.

    PLC, TAGS registers             0 belt speed, mm/s     1 why it stands     2 PackML state
                                    3-4 parts in the good bin, low word first
    meter, a unit of its own        0-1 energy, Wh, high word first     2-3 power, kW, float

Why it stands: 0 it runs, 1 reject fault, 2 the node asks for it, 3 the node is silent.
"""

import struct
from collections.abc import Sequence

from edge.plc.images import Outputs

TAGS_SIZE = 5
METER_SIZE = 4

REJECT_FAULT, ASKED, SILENT = 1, 2, 3
STOPPED, EXECUTE = 2, 6  # PackML

_IDLE_KW = 0.4  # control cabinet, lamps, compressor
_KW_PER_M_S = 2.2
_STOP_REQUEST = 1 << 6
_REJECT_FAULT = 1 << 6  # bit of the control word


class Drive:
    """Adds up the energy; everything else is as it is in this scan."""

    def __init__(self, now_s: float) -> None:
        self._energy_kwh = 0.0
        self._power_kw = _IDLE_KW
        self._at_s = now_s
        self._speed_mm_s = 0.0

    def step(self, now_s: float, speed_mm_s: float) -> None:
        """The belt has run so fast until now."""
        self._energy_kwh += self._power_kw * max(0.0, now_s - self._at_s) / 3600
        self._at_s, self._speed_mm_s = now_s, abs(speed_mm_s)
        self._power_kw = _IDLE_KW + _KW_PER_M_S * self._speed_mm_s / 1000

    def tags(self, outputs: Outputs, node: Sequence[int]) -> tuple[int, ...]:
        """The PLC's registers."""
        return (
            min(0xFFFF, round(self._speed_mm_s)),
            _cause(outputs, node),
            EXECUTE if outputs.run else STOPPED,
            *outputs.counters[:2],
        )

    def meter(self) -> tuple[int, ...]:
        """The meter's registers."""
        energy_wh = int(self._energy_kwh * 1000) & 0xFFFFFFFF
        return struct.unpack(">4H", struct.pack(">If", energy_wh, self._power_kw))


def _cause(outputs: Outputs, node: Sequence[int]) -> int:
    if outputs.run:
        return 0
    if outputs.block[0] & _REJECT_FAULT:
        return REJECT_FAULT
    return ASKED if node[0] & _STOP_REQUEST else SILENT
