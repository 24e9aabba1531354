"""Rows from the outbox to the hub: which message is next, and what an acknowledgement does to it.

Joins the delivery rules (no IO) to the source of the rows. A disk that fails here only pauses the
sending: the row stays where it is.
"""

import logging
from collections.abc import Callable
from importlib import metadata
from typing import Protocol

import msgspec

from edge.errors import LedgerError
from edge.mqtt.delivery import ANSWER_S, Delivery, SendBatch
from edge.mqtt.message import MAX_BATCH_ROWS, UNREADABLE, Ack, Batch, Birth, Compared, RowMark

log = logging.getLogger(__name__)

_acks = msgspec.json.Decoder(Ack)


class RowSource(Protocol):
    """Where the rows are: the outbox, which this package does not import."""

    @property
    def stream(self) -> str:
        """Its id, 32 hex digits."""

    @property
    def follows(self) -> str | None:
        """The stream that this one branched off from, if its disk was restored or copied."""

    @property
    def begins(self) -> int:
        """The first sequence of this stream."""

    @property
    def first(self) -> int:
        """Lowest sequence that is not acknowledged."""

    @property
    def head(self) -> int:
        """Sequence the next row will get."""

    @property
    def waiting(self) -> int:
        """Rows not acknowledged."""

    def batch(self, from_seq: int, max_rows: int, max_bytes: int) -> Batch | None:
        """Rows from `from_seq` on, at least one if there is one; raises LedgerError."""

    def hash_of(self, seq: int) -> str | None:
        """Hash of a row that is here, else None; raises LedgerError."""

    def acknowledge(self, next_seq: int) -> None:
        """Delete the rows below `next_seq`; raises LedgerError."""

    def begin_stream(self, from_seq: int) -> str:
        """Go on as another stream from this row; raises LedgerError."""

    def on_rows(self, wake: Callable[[], None]) -> None:
        """Have `wake` called after every commit; it must not block."""


class Feed:
    """One stream of rows towards one hub, for one thread."""

    def __init__(self, source: RowSource, answer_s: float = ANSWER_S) -> None:
        self.source = source
        self.delivery = Delivery(answer_s)

    def next_message(self, now_s: float, max_bytes: int) -> tuple[str, Birth | Batch] | None:
        """Topic leaf and message to send now, or None; it counts as sent."""
        step = self.delivery.due(now_s, self.source.head)
        if step is None:
            return None
        try:
            if not isinstance(step, SendBatch):
                return "birth", self._birth(step.mark)
            batch = self.source.batch(step.from_seq, MAX_BATCH_ROWS, max_bytes)
        except LedgerError as wrong:
            self.delivery.pause(str(wrong), now_s)
            return None
        return None if batch is None else ("parts", batch)

    def read_ack(self, data: bytes, now_s: float) -> None:
        """Take an acknowledgement as it came from the wire; a malformed one changes nothing."""
        try:
            ack = _acks.decode(data)
        except UNREADABLE as wrong:
            log.warning("an acknowledgement cannot be read: %s", wrong)
            return
        if ack.stream != self.source.stream:
            return  # for a ledger this node had before
        first, head = self.source.first, self.source.head
        try:
            same = ack.hash is not None and ack.hash == self.source.hash_of(ack.next - 1)
            told = self._compared(ack.compared)
            gone = self.delivery.heard(ack.next, ack.refused, first, head, now_s, same, told)
            if self.delivery.branch is not None:
                self._branch_off(self.delivery.branch, now_s)
            elif gone is not None:
                self.source.acknowledge(gone)
        except LedgerError as wrong:
            self.delivery.pause(str(wrong), now_s)

    def _compared(self, said: Compared | None) -> tuple[int, bool] | None:
        """What the hub says of a row of ours; the question may have been that of a copied disk."""
        if said is None or said.hash != self.source.hash_of(said.seq):
            return None
        return said.seq, said.same

    def _branch_off(self, from_seq: int, now_s: float) -> None:
        """The disk was restored or copied: what the hub has not seen goes on as a new stream."""
        old, kept = self.source.stream, self.source.head - from_seq
        new = self.source.begin_stream(from_seq)
        self.delivery.begun(now_s)
        log.error(
            "the ledger's disk was restored or copied: stream %s goes on as %s from row %d, with "
            "%d rows that the hub has not seen", old, new, from_seq, kept,
        )  # fmt: skip

    def _birth(self, mark: int) -> Birth:
        source = self.source
        digest = source.hash_of(mark) if mark > 0 else None
        return Birth(
            v=1,
            stream=source.stream,
            next=source.first,
            head=source.head,
            software=_software(),
            follows=source.follows,
            begins=source.begins,
            mark=None if digest is None else RowMark(seq=mark, hash=digest),
        )


def _software() -> str:
    try:
        return f"quanjian {metadata.version('quanjian')}"
    except metadata.PackageNotFoundError:
        return "quanjian, not installed"
