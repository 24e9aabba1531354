"""Any history of a ledger: rows there once, in order, chained, and counted as they were settled."""

import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from edge.errors import LedgerError
from edge.mqtt.message import (
    GENESIS,
    AnyRow,
)
from edge.outbox import Outbox
from edge.terms import Code, Reason
from tests.ledger_rows import (
    STATION,
    bypassed_row,
    counter_row,
    drain,
    epoch_row,
    missed_row,
    part_row,
)

ENDINGS = (
    (Code.OK, None),
    (Code.NG, None),
    (Code.UNDECIDED, Reason.NOT_DELIVERED),
)
TOTAL = {Code.OK: "ok", Code.NG: "ng", Code.UNDECIDED: "undecided"}


class LedgerMachine(RuleBasedStateMachine):
    """Any sequence of what a node, a hub and a power cut may do to a ledger."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "ledger.db"
        self.outbox = Outbox(self.path, ballast_bytes=4096)
        self.stream = self.outbox.stream
        self.epoch = 0
        self.base = self.counter = self.next = 0
        self.ends: dict[int, dict[int, str]] = {}  # epoch -> number -> how it was settled
        self.open: set[int] = set()
        self.written: list[tuple[int, AnyRow]] = []  # sequence, row
        self.acknowledged = 1
        self.kept_hash = GENESIS  # of the last acknowledged row

    def teardown(self) -> None:
        self.outbox.close()
        self.folder.cleanup()

    def wrote(self, row: AnyRow) -> None:
        self.written.append((len(self.written) + 1, row))

    def settled(self, first: int, last: int, how: str) -> None:
        self.ends[self.epoch].update(dict.fromkeys(range(first, last + 1), how))

    @initialize(base=st.integers(0, 5))
    def first_epoch(self, base: int) -> None:
        self.begin(base)

    @precondition(lambda self: not self.open)
    @rule(base=st.integers(0, 2**32))
    def begin(self, base: int) -> None:
        self.epoch += 1
        self.base = self.counter = self.next = base
        self.ends[self.epoch] = {}
        row = epoch_row(self.epoch, base)
        self.outbox.append(row)
        self.wrote(row)

    @rule(skip=st.integers(0, 2))
    def open_a_part(self, skip: int) -> None:
        self.next += 1 + skip
        row = part_row(self.next, epoch=self.epoch)
        self.outbox.open(row)
        self.open.add(self.next)
        with pytest.raises(LedgerError):
            self.outbox.open(row)

    @precondition(lambda self: self.open)
    @rule(pick=st.randoms(use_true_random=False), ending=st.sampled_from(ENDINGS))
    def close_a_part(self, pick: "object", ending: tuple[Code, Reason | None]) -> None:
        code, reason = ending
        number = pick.choice(sorted(self.open))  # type: ignore[attr-defined]
        self.outbox.close_part(STATION, self.epoch, number, code, reason, 80)
        self.open.remove(number)
        self.settled(number, number, TOTAL[code])
        row = msgspec.structs.replace(
            part_row(number, epoch=self.epoch), code=code, reason=reason, latency_ms=80
        )
        self.wrote(row)
        with pytest.raises(LedgerError):
            self.outbox.close_part(STATION, self.epoch, number, code, reason, 80)
        with pytest.raises(LedgerError):
            self.outbox.open(part_row(number, epoch=self.epoch))

    @rule(code=st.sampled_from(list(TOTAL)))
    def append_a_part(self, code: Code) -> None:
        self.next += 1
        row = part_row(self.next, code, self.epoch)
        self.outbox.append(row)
        self.settled(self.next, self.next, TOTAL[code])
        self.wrote(row)

    @rule(length=st.integers(1, 40), how=st.sampled_from(["missed", "bypassed"]))
    def pass_by(self, length: int, how: str) -> None:
        first, last = self.next + 1, self.next + length
        make = missed_row if how == "missed" else bypassed_row
        self.next = last
        self.outbox.append(make(first, last, self.epoch))
        self.settled(first, last, how)
        self.wrote(make(first, last, self.epoch))

    @precondition(lambda self: self.ends[self.epoch])
    @rule(pick=st.randoms(use_true_random=False), reach=st.integers(0, 3))
    def settle_again(self, pick: "object", reach: int) -> None:
        number = pick.choice(sorted(self.ends[self.epoch]))  # type: ignore[attr-defined]
        low = max(self.base + 1, number - reach)
        with pytest.raises(LedgerError):
            self.outbox.append(missed_row(low, number + reach, self.epoch))
        with pytest.raises(LedgerError):
            self.outbox.append(part_row(number, epoch=self.epoch))

    @rule(all_held=st.booleans())
    def sample_the_counter(self, all_held: bool) -> None:
        holes = set(range(self.base + 1, self.next + 1)) - set(self.ends[self.epoch])
        row = counter_row(self.next, self.epoch)
        held = [range(number, number + 1) for number in holes]
        self.outbox.counter(row, unseen=[range(self.base + 1, self.next + 5)] if all_held else held)
        self.counter = self.next
        self.wrote(msgspec.structs.replace(row, open=len(holes)))
        totals = self.outbox.totals(STATION, self.epoch)
        assert totals.triggers == totals.settled + len(holes), "the law, at this very row"

    @rule(rows=st.integers(1, 30))
    def acknowledge(self, rows: int) -> None:
        batch = self.outbox.batch(self.outbox.first, rows)
        if batch is None:
            return
        self.outbox.acknowledge(batch.first + len(batch.rows))
        self.acknowledged = batch.first + len(batch.rows)
        self.kept_hash = batch.rows[-1].hash
        self.outbox.acknowledge(max(1, self.acknowledged - 2))  # an old one changes nothing
        with pytest.raises(LedgerError):
            self.outbox.acknowledge(self.outbox.head + 1)

    @rule()
    def restart(self) -> None:
        self.outbox.close()
        self.outbox = Outbox(self.path, ballast_bytes=4096)
        assert self.outbox.stream == self.stream
        last = self.outbox.resume(STATION)
        assert last is not None
        assert (last.epoch, last.base, last.counter) == (self.epoch, self.base, self.next)

    @invariant()
    def ledger_is_whole(self) -> None:
        if not self.epoch:
            return
        assert (self.outbox.first, self.outbox.head) == (self.acknowledged, len(self.written) + 1)
        rows, _ = drain(self.outbox, self.kept_hash, max_rows=7)
        assert rows == [row for seq, row in self.written if seq >= self.acknowledged]
        assert {row.number for row in self.outbox.open_parts()} == self.open

    @invariant()
    def totals_are_sums(self) -> None:
        for epoch, ends in self.ends.items():
            totals = self.outbox.totals(STATION, epoch)
            how = list(ends.values())
            for word in ("ok", "ng", "undecided", "missed", "bypassed"):
                assert getattr(totals, word) == how.count(word)
        if self.epoch:
            numbers = set(range(self.base + 1, self.next + 1))
            holes = numbers - set(self.ends[self.epoch]) - self.open
            assert _numbers(self.outbox.gaps(STATION), self.epoch) == holes


def _numbers(gaps: list[tuple[int, int, int]], epoch: int) -> set[int]:
    return {n for of, first, last in gaps if of == epoch for n in range(first, last + 1)}


LedgerMachine.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
test_any_history_leaves_every_row_once_in_order_and_chained = LedgerMachine.TestCase
