"""A node's ledger on paper: chains rows as an outbox does, without a disk, for tests of the hub."""

from collections.abc import Iterable

from msgspec import Raw

from edge.mqtt.message import GENESIS, AnyRow, Batch, Entry, chain, encode


class PaperLedger:
    """Rows 1, 2, ... of one stream with their hashes."""

    def __init__(self, stream: str = "a" * 32) -> None:
        self.stream = stream
        self.entries: list[Entry] = []

    @property
    def next(self) -> int:
        return len(self.entries) + 1

    def hash_before(self, seq: int) -> str:
        return GENESIS if seq == 1 else self.entries[seq - 2].hash

    def write(self, rows: Iterable[AnyRow | bytes]) -> Batch:
        """Close rows (bytes = as they are, for rows no honest node writes); the batch of them."""
        first = self.next
        for row in rows:
            raw = row if isinstance(row, bytes) else encode(row)
            digest = chain(self.hash_before(self.next), self.next, raw)
            self.entries.append(Entry(hash=digest, row=Raw(raw)))
        return self.batch(first, self.next)

    def batch(self, first: int, after: int) -> Batch:
        """Rows [first, after) as they travel."""
        return Batch(
            v=1,
            stream=self.stream,
            first=first,
            prev=self.hash_before(first),
            rows=self.entries[first - 1 : after - 1],
        )
