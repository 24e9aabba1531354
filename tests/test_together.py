"""Batches in one transaction: of several nodes, of several stations; counted as if row by row."""

from typing import Any

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.mqtt.message import AnyRow, Birth, CounterRow, EpochRow, TagRow
from edge.terms import Code
from hub import registry
from hub.errors import RegistryError
from hub.intake import Place, Told
from hub.settings import Settings
from hub.store import rows, session
from hub.tellings import APART_S, Tellings
from tests.ingest_peer import PLACE, asked, shift_of_rows, worker
from tests.ledger_rows import epoch_row, part_row, stamp
from tests.loopback_peer import PlayedNode, played_node, wait_for
from tests.paper_ledger import PaperLedger

STATIONS = ("s1", "s2", "s3")
SUMS = {
    "law_hour": "station, epoch, hour, ok, ng, counter, open",
    "law": "station, epoch, base, ok, ng, missed, quarantined, released, counter, open, settled",
    "minute_count": "station, recipe, mode, minute, ok, ng, missed, triggers",
    "tag": "station, name, value, known",
    "tag_growth": "station, name, minute, grown",
}

SHARED = [HealthCheck.function_scoped_fixture]  # one database for every example
EMPTIED = ("part", "ledger_row", "quarantine", "minute_cause", "minute_seen", "cursor")

stations = st.sampled_from(STATIONS)
numbers = st.integers(1, 40)
written = st.one_of(
    st.builds(
        lambda station, number, code: part_row(number, code, station=station),
        *(stations, numbers, st.sampled_from([Code.OK, Code.NG])),
    ),
    st.builds(lambda station, epoch: epoch_row(epoch, 3, station), stations, st.integers(1, 2)),
    st.builds(
        lambda station, epoch, counter: CounterRow(
            **stamp(epoch, station=station), counter=counter, open=1
        ),
        *(stations, st.integers(1, 2), numbers),
    ),
    st.builds(
        lambda station, value: TagRow(
            **stamp(0, station=station),
            **{"name": "energy", "value": value, "exponent": -3, "unit": "kWh", "counts": True},
        ),
        *(stations, numbers),
    ),
    st.just(b'{"kind":"part","station":"s2","epoch":1}'),
    st.just(b'{"kind":"part"}'),
)


def sums(connection: session.Connection) -> dict[str, list[Any]]:
    """Everything that rows were counted in; forgets it."""
    found: dict[str, list[Any]] = {}
    for table, columns in SUMS.items():
        told = connection.execute(f"SELECT {columns} FROM {table} ORDER BY {columns}".encode())
        found[table] = told.fetchall()
    for table in (*SUMS, *EMPTIED):
        connection.execute(f"DELETE FROM {table}".encode())
    return found


@settings(max_examples=12, deadline=None, suppress_health_check=SHARED)
@given(st.lists(written, min_size=1, max_size=40))
def test_a_batch_counts_what_its_rows_count_one_by_one(
    direct: session.Connection, sent: list[AnyRow | bytes]
) -> None:
    ledger = PaperLedger()
    ledger.write(sent)
    direct.execute("SET synchronous_commit = off")
    rows.taken(direct, PLACE, ledger.batch(1, ledger.next))
    together = sums(direct)
    for seq in range(1, ledger.next):
        rows.taken(direct, PLACE, ledger.batch(seq, seq + 1))
    assert together == sums(direct)


def test_batches_of_several_nodes_are_taken_together_and_a_stranger_stops_nobody(
    direct: session.Connection, database: str
) -> None:
    registry.add(database, "jinan", "line-1", "node-2")
    places = [Place("jinan", "line-1", name) for name in ("node-2", "node-9", "node-1")]
    ledgers = [PaperLedger(letter * 32) for letter in "cba"]
    for ledger in ledgers:
        shift_of_rows(ledger)
    sent = [(place, one.batch(1, 14)) for place, one in zip(places, ledgers, strict=True)]
    second, stranger, first = rows.taken_many(direct, sent)
    assert isinstance(stranger, RegistryError)
    assert "node node-9 of jinan/line-1 is not registered" in str(stranger)
    for taken, ledger in ((second, ledgers[0]), (first, ledgers[2])):
        assert isinstance(taken, rows.Taken)
        assert (taken.ack.stream, taken.ack.next, taken.stored) == (ledger.stream, 14, 13)
    assert asked(database, "SELECT stream, ok FROM law ORDER BY stream") == [
        {"stream": "a" * 32, "ok": 7}, {"stream": "c" * 32, "ok": 7},
    ]  # fmt: skip


def test_what_waits_shares_a_transaction_and_a_row_that_is_refused_stops_no_other_node(
    wired: Settings, node: PlayedNode, broker_port: int
) -> None:
    dsn, ledgers = wired.database.dsn, [PaperLedger("a" * 32), PaperLedger("b" * 32)]
    for ledger in ledgers:
        ledger.write([epoch_row(), *(part_row(number) for number in range(1, 30))])
    birth = Birth(v=1, stream="b" * 32, next=1, head=31, software="test")
    with (
        psycopg.connect(dsn, autocommit=True) as connection,
        worker(wired) as ingest,
        played_node(broker_port, dsn, "node-2") as other,
    ):
        for played, ledger in zip((node, other), ledgers, strict=True):
            played.send(ledger.batch(1, 4))

        def both(first: int, after: int) -> None:
            """Sent while the database keeps the worker busy with a third message."""
            with connection.transaction():
                connection.execute("LOCK TABLE node IN ACCESS EXCLUSIVE MODE")
                other.publish("birth", birth)
                held = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                wait_for(lambda: len(asked(dsn, held)) == 1, "the worker is held")
                for played, ledger in zip((node, other), ledgers, strict=True):
                    played.publish("parts", ledger.batch(first, after))
                wait_for(lambda: ingest.waiting >= 2, "both batches wait")
            rows_of = "SELECT stream FROM cursor WHERE next = %s"
            wait_for(lambda: len(asked(dsn, rows_of, after)) == 2, "both are taken")

        both(4, 10)
        told = "SELECT DISTINCT received_at FROM part WHERE seq >= 4"
        assert len(asked(dsn, told)) == 1, "one transaction"
        connection.execute("ALTER TABLE part ADD CHECK (stream <> repeat('b', 32) OR seq <> 12)")
        both(10, 20)
    kept = asked(dsn, "SELECT stream, seq FROM quarantine")
    assert kept == [{"stream": "b" * 32, "seq": 12}]
    assert asked(dsn, "SELECT stream, ok FROM law ORDER BY stream") == [
        {"stream": "a" * 32, "ok": 18}, {"stream": "b" * 32, "ok": 17},
    ]  # fmt: skip


def test_pages_are_told_at_once_and_then_of_everything_since_five_times_a_second() -> None:
    tellings, other = Tellings(), Place("jinan", "line-2", "node-2")
    tellings.add(PLACE, Told(frozenset({"s1"}), rows=0))
    assert (tellings.wait_s(0.0), tellings.due(0.0)) == (None, [])
    tellings.add(PLACE, Told(frozenset({"s1"}), 3, 1, 0))
    [first] = tellings.due(10.0)
    assert (first["rows"], first["stations"]) == (3, ["s1"])
    assert tellings.due(10.0) == [first]  # not told yet
    tellings.was_told(10.0)
    for _ in range(5):
        tellings.add(PLACE, Told(frozenset({"s2"}), 2, 1, 1))
        tellings.add(other, Told(frozenset({"s1"}), 1, 0, 0))
    assert tellings.due(10.0 + APART_S / 2) == []
    assert tellings.wait_s(10.0 + APART_S / 2) is not None
    late = {one["line"]: one for one in tellings.due(10.0 + 2 * APART_S)}
    assert (late["line-1"]["rows"], late["line-1"]["not_ok"], late["line-1"]["alerts"]) == (
        10,
        5,
        5,
    )
    assert (late["line-2"]["rows"], late["line-2"]["node"]) == (5, "node-2")


def test_an_epoch_that_begins_inside_a_batch_is_an_epoch_of_its_own(
    direct: session.Connection, database: str
) -> None:
    ledger = PaperLedger()
    again = EpochRow(**stamp(2), base=0, plc_start=8, cause="plc_restart", counted_by="plc")
    old = (part_row(n) for n in range(1, 9))
    ledger.write([epoch_row(1), *old, again, *(part_row(n, epoch=2) for n in range(1, 6))])
    rows.taken(direct, PLACE, ledger.batch(1, ledger.next))
    assert asked(database, "SELECT epoch, ok FROM law ORDER BY epoch") == [
        {"epoch": 1, "ok": 8}, {"epoch": 2, "ok": 5},
    ]  # fmt: skip
