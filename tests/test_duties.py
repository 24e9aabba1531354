"""Duties: one leads; partitions come before their day; every kind of loss becomes an alarm."""

import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from edge.mqtt.message import Birth, CounterRow, State
from edge.terms import Code
from hub.chains import Chains
from hub.duties import Alarm, Duties
from hub.intake import Place
from hub.settings import Broker, Database, Settings, Web
from hub.settings import Duties as DutiesSettings
from hub.store import rows, session
from hub.store.partitions import make_ahead
from tests.ledger_rows import counter_row, epoch_row, part_row, stamp
from tests.loopback_peer import wait_for
from tests.paper_ledger import PaperLedger

PLACE = Place("jinan", "line-1", "node-1")


def settings_of(dsn: str, check_rows: int = 2000) -> Settings:
    return Settings(
        database=Database(dsn=dsn),
        broker=Broker(host="127.0.0.1"),
        web=Web(pictures_dir="pictures"),
        duties=DutiesSettings(check_rows=check_rows),
    )


@pytest.fixture
def now() -> datetime:
    return datetime.now(timezone.utc)


class Leader:
    """The duties with their chains, one round after the other."""

    def __init__(self, connection: session.Connection, settings: Settings) -> None:
        self.chains = Chains(settings.duties.check_rows)
        self.duties = Duties(connection, settings, self.chains)
        self.connection = connection

    def round(self, now: datetime) -> list[Alarm]:
        assert self.chains.check(self.connection, budget_s=60)
        return self.duties.round(now)


def asked(dsn: str, statement: str) -> list[dict[str, Any]]:
    with psycopg.connect(dsn, row_factory=dict_row, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def codes(alarms: list[Alarm]) -> list[str]:
    return [alarm.code for alarm in alarms]


def written(connection: session.Connection, parts: int = 9) -> PaperLedger:
    """A balanced ledger of a line that stands still."""
    ledger = PaperLedger()
    ledger.write([epoch_row(), *(part_row(n) for n in range(1, parts + 1)), counter_row(parts)])
    rows.taken(connection, PLACE, ledger.batch(1, ledger.next))
    return ledger


def test_exactly_one_process_leads_and_another_takes_over(database: str) -> None:
    settings = settings_of(database)
    with session.connect(database, "b") as second:
        with session.connect(database, "a") as first:
            assert Leader(first, settings).duties.lead()
            assert not Leader(second, settings).duties.lead()
        standby = Leader(second, settings).duties
        wait_for(standby.lead, "the lock of a closed connection is given on")


def test_a_balanced_and_unbroken_hub_raises_nothing(
    connection: session.Connection, database: str, now: datetime
) -> None:
    written(connection)
    rows.heard(connection, PLACE, State(v=1, online=True), retained=False)
    assert Leader(connection, settings_of(database)).round(now) == []
    assert asked(database, "SELECT checked, next FROM cursor") == [{"checked": 12, "next": 12}]


def test_chains_are_checked_in_slices_that_join(
    connection: session.Connection, database: str, now: datetime
) -> None:
    written(connection)
    chains = Chains(rows=5)
    for checked, left in ((6, True), (11, True), (12, True), (12, False)):
        assert chains.check(connection, budget_s=0) is not left
        assert asked(database, "SELECT checked FROM cursor") == [{"checked": checked}]


def test_rows_that_move_into_their_week_while_they_are_checked_are_not_missing(
    connection: session.Connection, database: str, now: datetime
) -> None:
    """The check was planned before the partition was there, and reads after its rows have moved."""
    at_ms = round(now.timestamp() * 1000)
    batch = PaperLedger().write([part_row(number, at_ms=at_ms) for number in range(1, 12)])
    assert rows.taken(connection, PLACE, batch).stored == 11
    chains = Chains(rows=50)
    checking = threading.Thread(target=chains.check, args=(connection, 60))
    with session.connect(database, "mover") as mover:
        with mover.transaction():
            assert make_ahead(mover, now.date(), 0)
            checking.start()
            waits = "SELECT 1 FROM pg_locks WHERE NOT granted"
            wait_for(lambda: bool(asked(database, waits)), "the check waits for the lock")
        checking.join(30)
    assert chains.broken == {}
    assert asked(database, "SELECT checked, next FROM cursor") == [{"checked": 12, "next": 12}]


def test_a_stream_waits_only_from_its_oldest_unverified_row_on(
    connection: session.Connection, database: str, now: datetime
) -> None:
    ledger = written(connection)
    asked(database, "UPDATE cursor SET unchecked_at = now() - interval '61 seconds'")
    duties = Duties(connection, settings_of(database), Chains(rows=5))
    assert codes(duties.round(now)) == ["chain_unchecked"]
    assert Chains(rows=5).check(connection, budget_s=60)
    assert duties.round(now) == []
    ledger.write([part_row(10), counter_row(10)])
    rows.taken(connection, PLACE, ledger.batch(12, 14))
    [age] = session.rows(connection, "unchecked_age", but=[])
    assert 0 <= age["age_s"] < 60
    assert duties.round(now) == []


def test_only_the_partitions_of_unverified_rows_are_looked_at(
    connection: session.Connection, database: str
) -> None:
    written(connection)
    assert Chains(rows=50).check(connection, budget_s=60)
    bounds = "SELECT unchecked_low AS low, unchecked_high AS high FROM cursor"
    assert asked(database, bounds) == [{"low": None, "high": None}]
    day = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
    ledger = PaperLedger("c" * 32)
    ledger.write([part_row(1, at_ms=int(day.timestamp() * 1000))])
    rows.taken(connection, PLACE, ledger.batch(1, 2))
    [found] = asked(database, f"{bounds} WHERE next > checked")
    assert found == {"low": day, "high": day + timedelta(minutes=1)}


def test_a_row_that_was_moved_out_of_its_time_is_missing(
    connection: session.Connection, database: str, now: datetime
) -> None:
    ledger = written(connection)
    asked(database, "UPDATE part SET at = at + interval '1 year' WHERE seq = 5 RETURNING 1")
    [alarm] = Leader(connection, settings_of(database)).round(now)
    assert alarm.detail == f"ledger {ledger.stream}: row 5 is missing"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ("UPDATE part SET raw = raw || ' ' WHERE seq = 5", "row 5 is not what was acknowledged"),
        (
            "UPDATE part SET hash = repeat('0', 64) WHERE seq = 5",
            "row 5 is not what was acknowledged",
        ),
        ("DELETE FROM part WHERE seq = 7", "row 7 is missing"),
        ("DELETE FROM ledger_row WHERE seq = 11", "row 11 is missing"),
        (
            "UPDATE part SET seq = 1000 WHERE seq = 6; UPDATE part SET seq = 6 WHERE seq = 7; "
            "UPDATE part SET seq = 7 WHERE seq = 1000",
            "row 6 is not what was acknowledged",
        ),
    ],
)
def test_a_row_changed_deleted_or_moved_in_the_database_is_found(
    spoil: str, told: str, connection: session.Connection, database: str, now: datetime
) -> None:
    ledger = written(connection)
    asked(database, spoil)
    for check_rows in (2000, 4):  # row 5 is the first of a slice
        alarms = [
            alarm
            for duties in [Leader(connection, settings_of(database, check_rows))]
            for _ in range(4)
            for alarm in duties.round(now)
        ]
        assert alarms
        assert {(a.code, a.detail) for a in alarms} == {
            ("chain_broken", f"ledger {ledger.stream}: {told}")
        }


def test_a_trigger_without_a_row_is_an_alarm_that_clears_when_it_balances(
    connection: session.Connection, database: str, now: datetime
) -> None:
    ledger = written(connection)
    ledger.write([counter_row(11)])
    rows.taken(connection, PLACE, ledger.batch(12, 13))
    duties = Leader(connection, settings_of(database))
    [alarm] = duties.round(now)
    assert (alarm.code, alarm.station) == ("residue", "s1")
    assert alarm.detail == "epoch 1: 11 triggers, 9 settled, 0 open: residue 2"
    duties.round(now)
    [kept] = asked(database, "SELECT source, code, active FROM alert")
    assert kept == {"source": "hub", "code": "residue", "active": True}
    ledger.write([part_row(10), part_row(11), counter_row(11)])
    rows.taken(connection, PLACE, ledger.batch(13, 16))
    assert duties.round(now) == []
    assert asked(database, "SELECT active FROM alert") == [{"active": False}]


def test_parts_that_were_open_when_an_epoch_ended_must_be_settled(
    connection: session.Connection, database: str, now: datetime
) -> None:
    ledger = PaperLedger()
    ledger.write([epoch_row(1), CounterRow(**stamp(1), counter=2, open=2), part_row(1)])
    ledger.write([epoch_row(2)])
    rows.taken(connection, PLACE, ledger.batch(1, 5))
    duties = Leader(connection, settings_of(database))
    assert duties.round(now) == []
    [alarm] = duties.round(now + timedelta(minutes=10))
    assert alarm.detail == "epoch 1: over, 1 triggers never settled"


def test_a_part_in_the_good_bin_that_was_not_released_is_an_alarm(
    connection: session.Connection, database: str, now: datetime
) -> None:
    def sample(counter: int, good: int) -> CounterRow:
        return CounterRow(**stamp(), counter=counter, open=0, good=good, reject_confirmed=0)

    ledger = PaperLedger()
    ledger.write([epoch_row(), sample(0, 0), part_row(1, Code.NG), sample(1, 1)])
    rows.taken(connection, PLACE, ledger.batch(1, 5))
    [alarm] = Leader(connection, settings_of(database)).round(now)
    assert (alarm.code, alarm.detail) == (
        "gate_mismatch", "epoch 1: good -1, rejects +1 parts not counted at the gate",
    )  # fmt: skip


def test_a_node_that_is_gone_or_silent_is_an_alarm_until_it_is_back(
    connection: session.Connection, database: str, now: datetime
) -> None:
    duties = Leader(connection, settings_of(database))
    rows.heard(connection, PLACE, State(v=1, online=True), retained=False)
    assert duties.round(now) == []
    assert codes(duties.round(now + timedelta(minutes=2))) == ["node_offline"]
    rows.heard(connection, PLACE, State(v=1, online=False), retained=False)
    assert codes(duties.round(now)) == ["node_offline"]
    rows.heard(connection, PLACE, State(v=1, online=True), retained=False)
    assert duties.round(now) == []


def test_lost_and_quarantined_rows_are_alarms_and_the_chain_is_checked_around_them(
    connection: session.Connection, database: str, now: datetime
) -> None:
    ledger = PaperLedger()
    ledger.write([b'{"kind":"part"}', part_row(2), part_row(3), part_row(4), part_row(5)])
    rows.taken(connection, PLACE, ledger.batch(1, 3))
    rows.born(connection, PLACE, Birth(v=1, stream=ledger.stream, next=4, head=6, software="t"))
    rows.taken(connection, PLACE, ledger.batch(4, 6))
    duties = Leader(connection, settings_of(database, check_rows=2))
    for _ in range(5):
        alarms = duties.round(now)
    assert sorted(codes(alarms)) == ["quarantine", "rows_lost"]
    assert asked(database, "SELECT checked FROM cursor") == [{"checked": 6}]


def test_only_the_newest_refused_messages_are_kept_and_the_others_are_counted(
    connection: session.Connection, database: str, now: datetime
) -> None:
    asked(
        database,
        "INSERT INTO refused (topic, reason, head) "
        "SELECT 't', i::text, '' FROM generate_series(1, 1200) AS i RETURNING 1",
    )
    Leader(connection, settings_of(database)).round(now)
    [kept] = asked(database, "SELECT count(*) AS n, min(reason::int) AS first FROM refused")
    assert kept == {"n": 1000, "first": 201}
    [counted] = asked(database, "SELECT sum(times)::int AS n FROM refused_hour")
    assert counted == {"n": 200}


def refused(database: str, topic: str, reason: str) -> None:
    """1,300 messages, by SQL text over i = 1, 2, ..."""
    asked(
        database,
        f"INSERT INTO refused (received_at, topic, reason, head) SELECT date_trunc('hour', now()), "
        f"{topic}, {reason}, '' FROM generate_series(1, 1300) AS i RETURNING 1",
    )


def test_refused_messages_that_differ_by_a_ledger_or_a_row_are_counted_together(
    connection: session.Connection, database: str, now: datetime
) -> None:
    reason = "'ledger ' || md5(i::text) || ' is not known, and row ' || i || ' is not its first'"
    refused(database, "'t'", reason)
    Leader(connection, settings_of(database)).round(now)
    assert asked(database, "SELECT topic, reason, times FROM refused_hour") == [
        {"topic": "t", "reason": "ledger # is not known, and row # is not its first", "times": 300}
    ]


def test_who_makes_up_topics_and_reasons_does_not_fill_the_disk_with_them(
    connection: session.Connection, database: str, now: datetime
) -> None:
    duties = Leader(connection, settings_of(database))
    for _ in range(2):
        refused(database, "'t' || i", "translate(i::text, '0123456789', 'ghijklmnop')")
        duties.round(now)
    counted = "SELECT count(*) AS rows, sum(times)::int AS n FROM refused_hour"
    assert asked(database, counted) == [{"rows": 51, "n": 1600}]
    others = "SELECT times::int FROM refused_hour WHERE topic = '' AND reason = 'others'"
    [rest] = asked(database, others)
    assert rest["times"] >= 1500


def test_chains_are_checked_again_after_a_look_that_broke_off(
    connection: session.Connection,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    written(connection)
    monkeypatch.setattr("hub.chains._RETRY_S", 0.01)
    chains, stop = Chains(rows="a fault of ours"), threading.Event()  # type: ignore[arg-type]
    thread = threading.Thread(target=chains.run, args=(database, stop, 0.01))
    thread.start()
    wait_for(lambda: "a look broke off" in caplog.text, "the fault")
    monkeypatch.setattr(chains, "_rows", 5)
    checked = "SELECT 1 AS one FROM cursor WHERE checked = next"
    wait_for(lambda: bool(asked(database, checked)), "the chains are checked")
    stop.set()
    thread.join(30)
