"""Looks at a batch before it is stored: order, hash chain, and rows that cannot be used. No IO.

A batch is taken row by row. A row below the cursor was stored before and is dropped; a wrong hash
stops the batch, and what came before it is still taken; a row whose hash is right but whose bytes
cannot be read is kept apart in quarantine, because the chain has to go on through it. A row whose
time cannot be true has its place by the time it arrived, as no minute of 1970 is looked at again.
A row whose parts another stream of a restored or copied ledger has settled goes to quarantine too
(`once`).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import msgspec

from edge.mqtt.message import (
    GENESIS,
    NAME,
    UNREADABLE,
    AnyRow,
    Batch,
    BypassedRow,
    Count,
    Entry,
    MissedRow,
    Name,
    PartRow,
    chain,
)
from edge.terms import Code
from hub.reading import RowReader

LAST_MS = 4_102_444_800_000  # 2100-01-01; near year 9999 a time zone leaves what Python can tell
NEAR_MS = 24 * 3_600_000
"""A node's clock is believed this far ahead of ours, and an unset one this far before the first
word of its ledger."""
_MOST_PARTS = 2**32  # numbers are a PLC's u32
_UNDEFINED, _UNDECIDED = Code.UNDEFINED, Code.UNDECIDED
_LONGEST_MS = 2**31
_LOOKED_AT = 16  # rows; among so many is one of every station, as they take turns
_reader = RowReader()


class _Where(msgspec.Struct):
    """Where any row counts."""

    station: Name
    epoch: Count


_where = msgspec.json.Decoder(_Where)


@dataclass(frozen=True, slots=True)
class Place:
    """Who wrote a message, as its topic says."""

    plant: str
    line: str
    node: str


@dataclass(frozen=True, slots=True)
class Told:
    """What pages are told of rows that were committed."""

    stations: frozenset[str] = frozenset()
    rows: int = 0
    not_ok: int = 0
    alerts: int = 0

    def and_then(self, other: "Told") -> "Told":
        """Both as one."""
        return Told(
            self.stations | other.stations,
            self.rows + other.rows,
            self.not_ok + other.not_ok,
            self.alerts + other.alerts,
        )


NOTHING_TOLD = Told()


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a batch came and when the hub first heard of its stream: ms since 1970, our clock."""

    at_ms: int
    began_ms: int

    def place(self, row: AnyRow) -> int:
        """Where a row stands: at its own time, or where that cannot be true at its arrival."""
        if row.at_ms > self.at_ms + NEAR_MS:
            return self.at_ms
        if row.clock == "unsynced" and row.at_ms < self.began_ms - NEAR_MS:
            return self.at_ms
        return row.at_ms


@final
class Good(msgspec.Struct, frozen=True, gc=False):
    """A row that decodes and can be stored. `at_ms` is where it stands, see Arrival."""

    seq: int
    hash: str
    raw: bytes
    row: AnyRow
    at_ms: int


@final
class Bad(msgspec.Struct, frozen=True, gc=False):
    """A chained row that cannot be used, with as much of it as could be read."""

    seq: int
    hash: str
    raw: bytes
    reason: str
    station: str | None = None
    epoch: int | None = None
    parts: int = 0  # parts it stands for
    elsewhere: int = 0  # parts it names that another stream has: they count there
    numbers: tuple[int, int] | None = None  # first and last, of a row set aside for that


@dataclass(frozen=True, slots=True)
class Settled:
    """Numbers first..last of an epoch that another stream has."""

    stream: str
    first: int
    last: int


@dataclass(slots=True)
class Intake:
    """What to store of one batch, row by row, and the cursor after the rows read so far."""

    next: int
    hash: str | None
    duplicates: int = 0
    refused: str | None = None
    new: Sequence[Entry] = ()  # entries not stored before
    condemned: str | None = None
    arrival: Arrival | None = None
    kept: list[Good | Bad] | None = None

    def reading(self) -> Iterator[Good | Bad]:
        """Each row that fits, as it is read; `refused` says why it ended before the end.

        The store copies one row while the next is read, which is why this is no list. Once `rows`
        was asked for, these are the rows.
        """
        if self.kept is not None:
            yield from self.kept
            return
        seq, before = self.next, self.hash or GENESIS
        entries, self.new = self.new, ()
        for entry in entries:
            raw, digest = bytes(entry.row), entry.hash
            if chain(before, seq, raw) != digest:
                self.refused = f"row {seq}: its hash does not follow from the row before it"
                return
            row = self._read(seq, digest, raw)
            before = digest
            seq += 1
            self.next, self.hash = seq, digest
            yield row

    @property
    def rows(self) -> list[Good | Bad]:
        """Every row, read now and kept."""
        if self.kept is None:
            self.kept = list(self.reading())
        return self.kept

    def epochs(self) -> set[tuple[str, int]]:
        """Station and epoch of the first rows to read, as far as these can be read."""
        found = set()
        for entry in self.new[:_LOOKED_AT]:
            try:
                told = _where.decode(entry.row)
            except UNREADABLE:
                continue
            found.add((told.station, told.epoch))
        return found

    def _read(self, seq: int, digest: str, raw: bytes) -> Good | Bad:
        if self.condemned is not None:
            return _bad(seq, digest, raw, self.condemned)
        try:
            row = _reader.read(raw)
        except UNREADABLE as wrong:
            return _bad(seq, digest, raw, str(wrong))
        reason = unfit(row, raw)
        if reason is not None:
            return _bad(seq, digest, raw, reason)
        at_ms = row.at_ms if self.arrival is None else self.arrival.place(row)
        return Good(seq, digest, raw, row, at_ms)


def examine(
    batch: Batch,
    next_seq: int,
    head: str | None,
    condemned: str | None = None,
    arrival: Arrival | None = None,
) -> Intake:
    """Decide what of a batch to store.

    Args:
        batch: as decoded.
        next_seq: the first sequence not stored yet.
        head: hash of row next_seq - 1; None = not known (after a declared gap), the batch tells.
        condemned: a reason for which every new row goes to quarantine: the store refused it.
        arrival: when it came; None = the times of its rows are believed, whatever they are.

    Returns:
        The rows to store, to be read, and the cursor after them. `refused` says why the rest was
        not taken.
    """
    intake = Intake(next=next_seq, hash=head, condemned=condemned, arrival=arrival)
    if batch.first > next_seq:
        intake.refused = f"expected row {next_seq}, got rows from {batch.first}"
        return intake
    intake.duplicates = min(next_seq - batch.first, len(batch.rows))
    met = _joint(batch, next_seq)
    if met is not None and head is not None and met != head:
        intake.refused = (
            f"row {next_seq - 1} is another one here: expected hash {head[:12]}, got {met[:12]}"
        )
        return intake
    intake.hash = head or met
    intake.new = batch.rows[intake.duplicates :]
    return intake


def numbers_of(row: AnyRow) -> tuple[int, int] | None:
    """First and last number that a row settles; None if it settles none."""
    if isinstance(row, PartRow):
        return row.number, row.number
    if isinstance(row, MissedRow | BypassedRow):
        return row.first, row.last
    return None


def once(good: Good, settled: Sequence[Settled]) -> Good | Bad:
    """A row as it is, or set aside because another stream has some of its parts.

    Args:
        settled: what other streams have of the row's epoch, ordered by `first`.
    """
    numbers = numbers_of(good.row)
    if numbers is None:
        return good
    first, last = numbers
    after, elsewhere, streams = first, 0, set()
    for other in settled:
        low, high = max(after, other.first), min(last, other.last)
        if low <= high:
            elsewhere += high - low + 1
            after = high + 1
            streams.add(other.stream)
    if not elsewhere:
        return good
    reason = f"settled in stream {', '.join(sorted(streams))}: {elsewhere} of its parts"
    return Bad(
        *(good.seq, good.hash, good.raw, reason, good.row.station, good.row.epoch),
        parts=last - first + 1 - elsewhere,
        elsewhere=elsewhere,
        numbers=numbers,
    )


def _joint(batch: Batch, next_seq: int) -> str | None:
    """The hash that the batch gives row next_seq - 1, None if the batch ends before it."""
    before = next_seq - 1 - batch.first  # index of that row in the batch, -1 = batch.prev
    if before >= len(batch.rows):
        return None
    return batch.prev if before < 0 else batch.rows[before].hash


def unfit(row: AnyRow, raw: bytes) -> str | None:
    """Why a row that decodes can still not be stored or counted, or None."""
    if row.at_ms > LAST_MS:
        return f"at_ms: got {row.at_ms}, expected a time up to 2100-01-01"
    if b"\\" in raw and b"\\u0000" in raw:  # nearly every row has no escape at all
        return "text holds the character U+0000, which the database cannot store"
    if isinstance(row, PartRow):
        return _unfit_part(row)
    if isinstance(row, MissedRow | BypassedRow) and not 0 <= row.last - row.first < _MOST_PARTS:
        return f"first, last: got {row.first}, {row.last}, expected a range of part numbers"
    return None


def _unfit_part(row: PartRow) -> str | None:
    code = row.code
    if code is _UNDEFINED:
        return "code: got 0, expected a settled verdict"
    if (code is _UNDECIDED) != (row.reason is not None):
        return f"reason: {row.reason} does not go with code {int(code)}"
    if (row.latency_ms or 0) >= _LONGEST_MS or (row.inspect_ms or 0) >= _LONGEST_MS:
        return "latency_ms, inspect_ms: expected less than 2**31 ms"
    return None


def _bad(seq: int, digest: str, raw: bytes, reason: str) -> Bad:
    """Read what can be read: where the row belongs, and how many parts it stands for."""
    try:
        told = msgspec.json.decode(raw)
    except UNREADABLE:
        told = None
    if not isinstance(told, dict):
        return Bad(seq, digest, raw, reason)
    station, epoch, kind = told.get("station"), told.get("epoch"), told.get("kind")
    if not isinstance(station, str) or re.fullmatch(NAME, station) is None:
        station = None
    if type(epoch) is not int or not 0 <= epoch < 2**53:
        epoch = None
    return Bad(seq, digest, raw, reason, station, epoch, _parts(kind, told))


def _parts(kind: object, told: dict[str, object]) -> int:
    if kind == "part":
        return 1
    first, last = told.get("first"), told.get("last")
    if kind in ("missed", "bypassed") and type(first) is int and type(last) is int:
        return last - first + 1 if 0 <= last - first < _MOST_PARTS else 0
    return 0
