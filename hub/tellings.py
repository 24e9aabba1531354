"""What pages are told of committed batches: collected, and told at most five times a second. No IO.

A page that hears of a line asks the store again, so several batches of a node are one telling with
their counts added up. The first after a pause is told at once.
"""

from typing import Any

from hub.intake import Place, Told

APART_S = 0.2


class Tellings:
    """What is still to be told, by place."""

    def __init__(self) -> None:
        self._pending: dict[Place, Told] = {}
        self._last_s = float("-inf")

    def add(self, place: Place, told: Told) -> None:
        """A batch was committed; one without new rows is nothing to tell."""
        if told.rows:
            before = self._pending.get(place)
            self._pending[place] = told if before is None else before.and_then(told)

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until something is due, None if nothing is pending."""
        return max(0.0, self._last_s + APART_S - now_s) if self._pending else None

    def due(self, now_s: float) -> list[dict[str, Any]]:
        """What to tell now; it stays pending until it `was_told`."""
        if self.wait_s(now_s) != 0.0:
            return []
        return [payload(place, told) for place, told in self._pending.items()]

    def was_told(self, now_s: float) -> None:
        """Everything that was due is told."""
        self._pending.clear()
        self._last_s = now_s


def payload(place: Place, told: Told) -> dict[str, Any]:
    """One telling as pages read it."""
    return {
        "kind": "rows", "stations": sorted(told.stations)[:32], "rows": told.rows,
        "not_ok": told.not_ok, "alerts": told.alerts,
        "plant": place.plant, "line": place.line, "node": place.node,
    }  # fmt: skip
