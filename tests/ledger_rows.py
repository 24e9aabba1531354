"""Rows for tests, with plausible values where a test does not care."""

from typing import Any

from edge.mqtt.message import (
    AnyRow,
    BypassedRow,
    CounterRow,
    EpochRow,
    MissedRow,
    PartRow,
    View,
    chain,
    decode_batch,
    decode_row,
    encode,
)
from edge.outbox import Outbox
from edge.terms import Cause, Code, Mode, Reason

BOOT = "b" * 32
STATION = "s1"


def stamp(epoch: int = 1, at_ms: int = 1_000, station: str = STATION) -> dict[str, Any]:
    """The fields every row carries."""
    return {
        "station": station,
        "epoch": epoch,
        "at_ms": at_ms,
        "mono_ms": at_ms,
        "boot": BOOT,
        "clock": "synced",
    }


def epoch_row(epoch: int = 1, base: int = 0, station: str = STATION) -> EpochRow:
    """A new run of the PLC's counter."""
    return EpochRow(
        **stamp(epoch, station=station),
        base=base,
        plc_start=7,
        cause="first_contact",
        counted_by="plc",
    )


def part_row(
    number: int,
    code: Code = Code.OK,
    epoch: int = 1,
    views: tuple[View, ...] = (),
    station: str = STATION,
    at_ms: int = 1_000,
) -> PartRow:
    """A judged part."""
    reason = Reason.UNCERTAIN if code is Code.UNDECIDED else None
    return PartRow(
        **stamp(epoch, at_ms, station),
        number=number,
        code=code,
        reason=reason,
        computed=code,
        computed_reason=reason,
        mode=Mode.AUTO,
        recipe="plate",
        trust="unsigned",
        views=views,
    )


def missed_row(first: int, last: int, epoch: int = 1) -> MissedRow:
    """Parts nobody judged."""
    return MissedRow(**stamp(epoch), first=first, last=last, cause=Cause.NO_TRIGGER)


def bypassed_row(first: int, last: int, epoch: int = 1) -> BypassedRow:
    """Parts that went by under the key switch."""
    return BypassedRow(**stamp(epoch), first=first, last=last)


def counter_row(counter: int, epoch: int = 1, at_ms: int = 1_000) -> CounterRow:
    """A sample of the PLC's counter."""
    return CounterRow(**stamp(epoch, at_ms), counter=counter, open=0)


def drain(outbox: Outbox, prev: str, max_rows: int = 500) -> tuple[list[AnyRow], str]:
    """Every row the ledger holds, its chain followed from `prev`; and the last hash."""
    rows: list[AnyRow] = []
    seq = outbox.first
    while (batch := outbox.batch(seq, max_rows)) is not None:
        assert (batch.first, batch.prev, batch.stream) == (seq, prev, outbox.stream)
        assert decode_batch(encode(batch)) == batch
        for entry in batch.rows:
            prev = chain(prev, seq, bytes(entry.row))
            assert entry.hash == prev
            rows.append(decode_row(entry.row))
            seq += 1
    assert seq == outbox.head
    return rows, prev
