"""Rows as a station at 20 parts/s writes them: 3 % not OK with pictures, a counter row a second."""

import time
from typing import Any

from msgspec import Raw

from edge.mqtt.message import (
    GENESIS,
    AnyRow,
    Batch,
    CounterRow,
    Entry,
    EpochRow,
    Mark,
    PartRow,
    View,
    chain,
    encode,
)
from edge.terms import Code, Mode

APART_MS = 50
PER_COUNTER = 20
NOT_OK_OF = 33


class Shift:
    """The ledger of one node, made as it is asked for; its parts begin now."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._began_ms = time.time_ns() // 1_000_000
        self._part = 0
        self._hash = GENESIS
        self.written = 0

    def batch(self, rows: int) -> Batch:
        """The next `rows` rows as they travel, or as they would if the wire took so many."""
        first, before = self.written + 1, self._hash
        entries = []
        for _ in range(rows):
            self.written += 1
            raw = encode(self._row())
            self._hash = chain(self._hash, self.written, raw)
            entries.append(Entry(hash=self._hash, row=Raw(raw)))
        return Batch(v=1, stream=self._stream, first=first, prev=before, rows=entries)

    def _row(self) -> AnyRow:
        if self.written == 1:
            return EpochRow(
                **self._stamp(), base=0, plc_start=1, cause="first_contact", counted_by="plc"
            )
        if self.written % (PER_COUNTER + 1) == 0:
            return CounterRow(**self._stamp(), counter=self._part, open=0)
        self._part += 1
        return self._judged(self._part)

    def _stamp(self) -> dict[str, Any]:
        at_ms = self._began_ms + self._part * APART_MS
        return {
            "station": "s1", "epoch": 1, "at_ms": at_ms, "mono_ms": self._part * APART_MS,
            "boot": "b" * 32, "clock": "synced",
        }  # fmt: skip

    def _judged(self, number: int) -> PartRow:
        bad = number % NOT_OK_OF == 0
        code = Code.NG if bad else Code.OK
        view = View(
            camera="c1", code=code, frame=number, exposed_ms=12, width=1920, height=1080,
            marks=(Mark(label="scratch", score=9321, box=(100, 200, 900, 1200)),) if bad else (),
            picture=f"{number:064x}" if bad else None,
            thumbnail=f"{number + 2**40:064x}" if bad else None,
        )  # fmt: skip
        return PartRow(
            **self._stamp(), number=number, code=code, computed=code,
            defect="scratch" if bad else None, score=9321 if bad else 412, mode=Mode.AUTO,
            recipe="plate", model="c" * 64, trust="pinned", inspect_ms=31, latency_ms=64,
            views=(view,),
        )  # fmt: skip
