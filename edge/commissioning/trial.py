"""The node itself, run by the commissioning without a hub, and the rows of the parts it judged.

The whole way is the real one: PLC, camera, detector, ledger, PLC. The rows stay in the ledger and
go to the hub when the node runs with it.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType

from msgspec.structs import replace

from edge import clock
from edge.errors import ModelError
from edge.mqtt.message import PartRow, decode_row
from edge.node import Node
from edge.settings import Settings

LOOK_S = 0.5  # the PLC's mode and the person's time are looked at this often
STOP_S = 30.0


class Trial:
    """A running node, from enter to exit."""

    def __init__(self, wiring: Settings, station: str, unsigned: bool) -> None:
        """Nothing is opened before `__enter__`."""
        self._wiring = replace(wiring, hub=None)
        self._station, self._unsigned = station, unsigned
        self._stop = threading.Event()
        self._rows = threading.Event()  # rows were closed since it was last looked
        self._began_ms = clock.mono_ms()

    def __enter__(self) -> "Trial":
        """Raises LedgerError: another node has the ledger; ModelError: a recipe cannot be used."""
        self._node = Node(self._wiring, unsigned=self._unsigned)
        if self._node.recipe_faults:
            self._node.close()
            raise ModelError("; ".join(self._node.recipe_faults))
        self._next = self._node.ledger.head
        self._node.ledger.on_rows(self._rows.set)
        self._thread = threading.Thread(target=self._node.run, args=(self._stop,), name="node")
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _wrong: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(STOP_S)

    @property
    def keyed(self) -> bool:
        """Is there a PLC that calls parts golden samples, and monitored ones?"""
        return any(o.name == self._station and o.bus is not None for o in self._wiring.station)

    def unready(self, within_s: float) -> str | None:
        """Why the station cannot judge parts, when it could not within the time; None = it can."""
        deadline_s = time.monotonic() + within_s
        while (fault := self._node.unready(self._station)) and time.monotonic() < deadline_s:
            self._rows.wait(LOOK_S)
            self._rows.clear()
        return fault

    def parts(self, enough: Callable[[list[PartRow]], bool], within_s: float) -> list[PartRow]:
        """Parts of the station that are judged and closed from now on, in their order.

        Args:
            enough: ends the waiting; called with all of them so far.
            within_s: ends it, too.
        """
        found: list[PartRow] = []
        deadline_s = time.monotonic() + within_s
        while not enough(found) and (left_s := deadline_s - time.monotonic()) > 0:
            self._rows.wait(min(left_s, LOOK_S))
            self._rows.clear()
            found += self._fresh()
        return found

    def _fresh(self) -> list[PartRow]:
        """Rows closed since the last look; those that an earlier run left open do not count."""
        found: list[PartRow] = []
        while (batch := self._node.ledger.batch(self._next)) is not None:
            self._next += len(batch.rows)
            rows = [decode_row(entry.row) for entry in batch.rows]
            found += [row for row in rows if isinstance(row, PartRow) and self._is_own(row)]
        return found

    def _is_own(self, row: PartRow) -> bool:
        now = row.boot == clock.BOOT and row.mono_ms >= self._began_ms
        return now and row.station == self._station
