"""Short COPYs: rows of a large batch go in by several, and a fault in one leaves nothing behind."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from edge.mqtt.message import PartRow
from hub.errors import StatementError, StoreError
from hub.intake import Good
from hub.store import copied, rows, session
from hub.store.packed import PartPacker
from tests.ingest_peer import PLACE
from tests.ledger_rows import part_row
from tests.paper_ledger import PaperLedger

COUNT = 7 * copied._TOGETHER + 3


def packed(count: int, stream: str) -> Iterator[bytes]:
    packer = PartPacker(PLACE, stream)
    for seq in range(1, count + 1):
        row: PartRow = part_row(seq)
        yield packer.pack(Good(seq, "a" * 64, b"{}", row, row.at_ms), row)


def held(connection: session.Connection) -> list[int]:
    found = connection.execute("SELECT seq FROM part ORDER BY seq").fetchall()
    return [int(row["seq"]) for row in found]


def test_rows_of_many_copies_are_all_stored_once(direct: session.Connection) -> None:
    with direct.transaction():
        copied.copy_parts(direct, packed(COUNT, uuid4().hex))
    assert held(direct) == list(range(1, COUNT + 1))


def test_without_a_row_nothing_is_copied(direct: session.Connection) -> None:
    with direct.transaction():
        copied.copy_parts(direct, iter(()))
        direct.execute("DROP TABLE quarantine")  # the transaction goes on
    assert held(direct) == []


@pytest.mark.parametrize("at", [1, copied._TOGETHER, COUNT])
def test_rows_that_cannot_be_made_leave_none_and_the_connection_as_it_was(
    direct: session.Connection, at: int
) -> None:
    def broken() -> Iterator[bytes]:
        for number, row in enumerate(packed(COUNT, uuid4().hex), 1):
            if number == at:
                raise ArithmeticError("no such row")
            yield row

    with pytest.raises(ArithmeticError), direct.transaction():
        copied.copy_parts(direct, broken())
    assert held(direct) == []
    assert direct.info.transaction_status.name == "IDLE"


@pytest.mark.parametrize("number", [1, copied._TOGETHER + 1, COUNT])
def test_a_row_that_the_database_refuses_is_told_wherever_it_stands(
    direct: session.Connection, number: int
) -> None:
    direct.execute(f"ALTER TABLE part ADD CHECK (number <> {number})".encode())
    ledger = PaperLedger(uuid4().hex)
    batch = ledger.write(part_row(n) for n in range(1, COUNT + 1))
    with pytest.raises(StatementError, match="check constraint"):
        rows.taken(direct, PLACE, batch)
    assert held(direct) == []
    assert rows.taken(direct, PLACE, ledger.batch(1, number)).stored == number - 1


def test_what_broke_off_is_told_though_the_rows_before_it_are_refused_too(
    direct: session.Connection,
) -> None:
    direct.execute("ALTER TABLE part ADD CHECK (number <> 5)")

    def broken() -> Iterator[bytes]:
        yield from packed(copied._TOGETHER, uuid4().hex)
        raise ArithmeticError("no such row")

    with pytest.raises(ArithmeticError), direct.transaction():
        copied.copy_parts(direct, broken())
    assert direct.info.transaction_status.name == "IDLE"


def test_rows_larger_than_any_buffer_are_stored(direct: session.Connection) -> None:
    raw = b'{"' + b"x" * 20_000 + b'":1}'
    packer, rows_of = PartPacker(PLACE, uuid4().hex), range(1, 2 * copied._TOGETHER + 1)
    whole = [part_row(seq) for seq in rows_of]
    made = (packer.pack(Good(row.number, "a" * 64, raw, row, 1), row) for row in whole)
    with direct.transaction():
        copied.copy_parts(direct, made)
    assert held(direct) == list(rows_of)
    found = direct.execute("SELECT DISTINCT raw FROM part").fetchall()
    assert [bytes(row["raw"]) for row in found] == [raw]


def test_a_server_that_dies_between_two_copies_is_a_store_that_is_away(
    direct: session.Connection, database: str
) -> None:
    """Not rows that cannot be used: those would be condemned."""

    def dying() -> Iterator[bytes]:
        for number, row in enumerate(packed(COUNT, uuid4().hex), 1):
            if number == 2 * copied._TOGETHER:
                with session.connect(database, "test") as other:
                    other.execute("SELECT pg_terminate_backend(%s)", [direct.info.backend_pid])
            yield row

    with pytest.raises(StoreError) as ended, session.converted("batch"), direct.transaction():
        copied.copy_parts(direct, dying())
    assert type(ended.value) is StoreError
    with session.connect(database, "test") as other:
        assert held(other) == []
