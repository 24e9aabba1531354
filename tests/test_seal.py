"""The head of the ledger is sealed once a day, and signed where there is a key."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.errors import LinkError
from edge.mqtt.message import GENESIS, SealRow, decode_row, seal_content
from edge.outbox import Outbox
from edge.seal import RETRY_MS, Sealer
from tests.ledger_rows import epoch_row, part_row

DAY_MS = 86_400_000
NOON_MS = 20_000 * DAY_MS + DAY_MS // 2  # of 2024-10-04


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "ledger.db", ballast_bytes=4096)
    yield outbox
    outbox.close()


def seals(ledger: Outbox) -> list[SealRow]:
    batch = ledger.batch(ledger.first)
    rows = [decode_row(entry.row) for entry in batch.rows] if batch else []
    return [row for row in rows if isinstance(row, SealRow)]


def test_a_day_is_sealed_at_the_first_start_and_when_the_next_begins(ledger: Outbox) -> None:
    ledger.append(epoch_row(), part_row(1))
    head = ledger.hash_of(2)
    sealer = Sealer("node-1", ledger, None)
    for mono_ms in range(0, 5000, 1000):
        sealer.tend(NOON_MS + mono_ms, mono_ms)
    Sealer("node-1", ledger, None).tend(NOON_MS + 9000, 100)  # started again on the same day
    ledger.append(part_row(2))
    sealer.tend(NOON_MS + DAY_MS, DAY_MS)
    first, second = seals(ledger)
    assert (first.day, first.sealed, first.head) == ("2024-10-04", 2, head)
    assert (first.station, first.epoch, first.stream) == ("node-1", 0, ledger.stream)
    assert (second.day, second.sealed) == ("2024-10-05", 4)
    assert second.head == ledger.hash_of(4)
    assert (first.certificate, first.signature) == (None, None)


def test_an_empty_ledger_and_one_whose_rows_are_all_at_the_hub_can_be_sealed(
    ledger: Outbox,
) -> None:
    Sealer("node-1", ledger, None).tend(NOON_MS, 0)
    [first] = seals(ledger)
    assert (first.sealed, first.head) == (0, GENESIS)
    head = ledger.hash_of(1)
    ledger.acknowledge(2)
    Sealer("node-1", ledger, None).tend(NOON_MS + DAY_MS, 0)
    [second] = seals(ledger)
    assert (second.sealed, second.head) == (1, head)


def test_a_clock_that_was_set_from_1970_seals_each_day_it_shows_and_no_more(
    ledger: Outbox,
) -> None:
    sealer = Sealer("node-1", ledger, None)
    for at_ms in (5, 1000, NOON_MS, NOON_MS + 5):
        sealer.tend(at_ms, 0)
    assert [seal.day for seal in seals(ledger)] == ["1970-01-01", "2024-10-04"]


def test_what_is_signed_names_node_day_stream_row_and_head(ledger: Outbox) -> None:
    ledger.append(epoch_row())
    signed: list[bytes] = []

    def sign(content: bytes) -> tuple[str, bytes]:
        signed.append(content)
        return "a certificate", b"\x30" * 8

    Sealer("node-1", ledger, sign).tend(NOON_MS, 0)
    [seal] = seals(ledger)
    assert signed == [seal_content("node-1", "2024-10-04", ledger.stream, 1, seal.head)]
    assert (seal.certificate, seal.signature) == ("a certificate", "30" * 8)


def test_a_key_that_cannot_be_read_leaves_the_seal_unsigned_and_says_so(
    ledger: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    def sign(content: bytes) -> tuple[str, bytes]:
        raise LinkError("key_file: cannot be read")

    Sealer("node-1", ledger, sign).tend(NOON_MS, 0)
    [seal] = seals(ledger)
    assert (seal.certificate, seal.signature) == (None, None)
    assert "not signed: key_file: cannot be read" in caplog.text


def test_a_ledger_that_takes_no_row_is_sealed_later(
    ledger: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    sealer = Sealer("node-1", ledger, None)
    ledger.transact(_block)
    for mono_ms in (0, 1000, RETRY_MS - 1):
        sealer.tend(NOON_MS, mono_ms)
    assert seals(ledger) == []
    assert caplog.text.count("2024-10-04 is not sealed yet") == 1
    ledger.transact(_unblock)
    sealer.tend(NOON_MS, RETRY_MS)
    assert len(seals(ledger)) == 1


def _block(db: sqlite3.Connection) -> None:
    db.execute(
        "CREATE TEMP TRIGGER block BEFORE INSERT ON closed BEGIN SELECT RAISE(FAIL, 'no'); END"
    )


def _unblock(db: sqlite3.Connection) -> None:
    db.execute("DROP TRIGGER block")
