"""Which part-present edge of the I/O belongs to which trigger of the bus. No port, no clock.

The bus says that the edge lies in [edge - error, edge]; the contact says when edges were. One that
fits, and fits no other trigger, is the part's own. None or several: nobody knows, and the part gets
no pulse. Without the contact the bus's own time is the edge.
"""

from dataclasses import dataclass, field

from edge.plc.handshake import Expired
from edge.terms import Trigger

KEPT_S = 60.0  # longest deadline


@dataclass(slots=True)
class Ties:
    """Triggers waiting for their edge."""

    has_contact: bool
    scan_s: float  # the PLC sees its sensor so much later than the contact does, at the most
    _edges_s: list[float] = field(default_factory=list)
    _waiting: list[tuple[Trigger, float]] = field(default_factory=list)

    def saw(self, edge_s: float) -> None:
        """The contact closed."""
        self._edges_s = [one for one in self._edges_s if one > edge_s - KEPT_S] + [edge_s]

    def expect(self, trigger: Trigger, deadline_s: float) -> None:
        """The bus reported a part."""
        self._waiting.append((trigger, deadline_s))

    def tied(self, now_s: float) -> list[tuple[Trigger, float, float | None]]:
        """Triggers with their deadline and edge, as far as they can be told by now."""
        if not self.has_contact:
            ready, self._waiting = self._waiting, []
            return [(trigger, deadline_s, trigger.edge_s) for trigger, deadline_s in ready]
        ready = [one for one in self._waiting if now_s > one[0].edge_s + self.scan_s]
        self._waiting = [one for one in self._waiting if one not in ready]
        return [(trigger, deadline_s, self._own(trigger)) for trigger, deadline_s in ready]

    def waits(self, epoch: int, number: int) -> bool:
        """Is this part not yet tied?"""
        parts = (trigger.part for trigger, _ in self._waiting)
        return any((part.epoch, part.number) == (epoch, number) for part in parts)

    def clear(self) -> list[Expired]:
        """The count begins anew; who was not tied gets nothing."""
        waiting = [trigger.part for trigger, _ in self._waiting]
        self._edges_s, self._waiting = [], []
        return [Expired(part.epoch, part.number, written=False) for part in waiting]

    def _own(self, trigger: Trigger) -> float | None:
        first_s = trigger.edge_s - trigger.edge_error_s - self.scan_s
        last_s = trigger.edge_s + self.scan_s
        near = [edge_s for edge_s in self._edges_s if first_s <= edge_s <= last_s]
        self._edges_s = [edge_s for edge_s in self._edges_s if edge_s not in near]
        return near[0] if len(near) == 1 else None
