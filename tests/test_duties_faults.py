"""One duty that breaks off: the others go on, and nobody takes its silence for good news."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import psycopg
import pytest

from edge.mqtt.message import State
from hub.chains import Chains
from hub.duties import Duties
from hub.errors import StoreError
from hub.settings import Broker, Settings
from hub.store import rows, session
from tests.gate_peer import GateHub
from tests.loopback_peer import wait_for
from tests.paper_ledger import PaperLedger
from tests.test_archive import written_long_ago
from tests.test_duties import PLACE, asked, codes, settings_of


@pytest.fixture
def now() -> datetime:
    return datetime.now(timezone.utc)


def standing(database: str) -> list[str]:
    found = asked(database, "SELECT code FROM alert WHERE active ORDER BY code")
    return [row["code"] for row in found]


def duties_of(connection: session.Connection, settings: Settings) -> Duties:
    return Duties(connection, settings, Chains(settings.duties.check_rows))


def test_a_duty_that_breaks_off_silences_no_other_and_what_it_said_stands(
    connection: session.Connection, database: str, now: datetime
) -> None:
    duties = duties_of(connection, settings_of(database))
    ledger = PaperLedger()
    rows.taken(connection, PLACE, ledger.write([b'{"kind":"part"}']))
    connection.execute("UPDATE cursor SET checked = next")
    rows.heard(connection, PLACE, State(v=1, online=True), retained=False)
    assert codes(duties.round(now)) == ["quarantine"]
    connection.execute("ALTER TABLE quarantine RENAME parts TO away")
    later = now + timedelta(minutes=2)
    assert sorted(codes(duties.round(later))) == ["duty_failed", "node_offline"]
    assert standing(database) == ["duty_failed", "node_offline", "quarantine"]
    [told] = asked(database, "SELECT detail FROM alert WHERE code = 'duty_failed'")
    assert told["detail"].startswith("losses: StoreError: ")
    connection.execute("ALTER TABLE quarantine RENAME away TO parts")
    connection.execute("DELETE FROM quarantine")
    duties.round(now)
    assert standing(database) == []


def test_a_fault_of_ours_in_the_last_duty_is_an_alarm_and_logged_once(
    database: str, tmp_path: Path, now: datetime, caplog: pytest.LogCaptureFixture
) -> None:
    hub = GateHub(database, tmp_path, Broker(host="127.0.0.1", port=9))
    assert hub.settings.nodes is not None
    nodes = msgspec.structs.replace(hub.settings.nodes, certificate_file="no\0file")
    with session.connect(database, "test") as connection:
        duties = duties_of(connection, msgspec.structs.replace(hub.settings, nodes=nodes))
        for _ in range(3):
            assert codes(duties.round(now)) == ["duty_failed"]
    assert standing(database) == ["duty_failed"]
    assert len([one for one in caplog.records if one.exc_info]) == 1


def test_a_database_that_is_away_is_no_fault_of_a_duty(database: str, now: datetime) -> None:
    with session.connect(database, "test") as connection:
        duties = duties_of(connection, settings_of(database))
        with psycopg.connect(database, autocommit=True) as other:
            pid = connection.info.backend_pid
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        with pytest.raises(StoreError):
            duties.round(now)


def test_an_archive_that_broke_off_for_whatever_reason_is_an_alarm(
    connection: session.Connection, database: str, now: datetime
) -> None:
    written_long_ago(connection)
    plain = settings_of(database)
    retention = msgspec.structs.replace(plain.retention, archive_dir="no\0folder")
    duties = duties_of(connection, msgspec.structs.replace(plain, retention=retention))
    duties.round(now)
    wait_for(lambda: "archive_failed" in codes(duties.round(now)), "the archive's trouble is told")
