"""Ledger rows of one station, stamped with the time of what they tell. Scores 1e-4, times ms."""

from typing import Any

from edge import clock
from edge.alerts import Change
from edge.eye import view
from edge.judging import Judged
from edge.mqtt.message import AlertRow, CounterRow, Notice, PartRow, StateRow, StationState
from edge.plc.bus import LineCounters


class Rows:
    """Makes the rows of one station."""

    def __init__(self, station: str) -> None:
        self._station = station

    def stamp(self, epoch: int, ago_ms: int = 0) -> dict[str, Any]:
        """The fields every row carries, for something that happened `ago_ms` before now."""
        now = clock.stamp()
        return {
            "station": self._station,
            "epoch": epoch,
            "at_ms": max(0, now.at_ms - ago_ms),
            "mono_ms": max(0, now.mono_ms - ago_ms),
            "boot": now.boot,
            "clock": now.clock,
        }

    def part(self, judged: Judged) -> PartRow:
        """The open row of a judged part; its pictures are named when it is closed."""
        trigger, verdict, loaded = judged.flight.trigger, judged.verdict, judged.loaded
        worst = verdict.worst
        return PartRow(
            **self.stamp(
                trigger.part.epoch, clock.mono_ms() - round(trigger.edge_s * 1000)
            ),  # the row's time is the sensor edge
            number=trigger.part.number,
            code=verdict.code,
            reason=verdict.reason,
            computed=verdict.code,
            computed_reason=verdict.reason,
            defect=worst.label if worst else None,
            score=round(worst.score * 10_000) if worst else None,
            mode=trigger.mode,
            recipe=loaded.recipe.name if loaded else f"unknown-{trigger.recipe}",
            model=loaded.detector.sha256 if loaded else None,
            trust=loaded.trust if loaded else "unsigned",
            product=loaded.recipe.product if loaded else None,
            inspect_ms=round((judged.ended_s - judged.started_s) * 1000),
            views=tuple(view(look, trigger.edge_s) for look in judged.looks),
        )

    def notice(self, row: PartRow) -> Notice:
        """The preview of a not-OK part."""
        return Notice(
            v=1,
            station=row.station,
            epoch=row.epoch,
            number=row.number,
            code=row.code,
            reason=row.reason,
            defect=row.defect,
            at_ms=row.at_ms,
        )

    def counter(self, epoch: int, counter: int, line: LineCounters | None) -> CounterRow:
        """A sample of the PLC's counters; the ledger fills `open` when it commits."""
        return CounterRow(
            **self.stamp(epoch),
            counter=counter,
            open=0,
            good=line.good if line else None,
            rejected=line.rejected if line else None,
            reject_confirmed=line.reject_confirmed if line else None,
            bypassed=line.bypassed if line else None,
            reject_faults=line.reject_faults if line else None,
        )

    def alert(self, epoch: int, change: Change) -> AlertRow:
        """An alert raised or cleared."""
        return AlertRow(
            **self.stamp(epoch),
            code=change.code.value,
            active=change.active,
            count=change.count,
            detail=change.detail[:200] if change.detail else None,
        )

    def state(self, epoch: int, told: StationState) -> StateRow:
        """The station changed its state."""
        return StateRow(
            **self.stamp(epoch),
            state=told.state,
            mode=told.mode,
            cause=told.fault,
        )
