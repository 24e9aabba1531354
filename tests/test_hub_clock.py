"""A hub whose clock is wrong takes nothing out of its day, and deletes nothing."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edge.mqtt.message import Birth
from hub.duties import Duties
from hub.errors import StatementError, StoreError
from hub.intake import Place
from hub.settings import Broker, Database, Retention, Settings, Web
from hub.store import rows, session
from hub.store.clock import DAY, JUMP, Kept, judged
from hub.web.words import WORDS
from tests.ledger_rows import counter_row, epoch_row, part_row
from tests.paper_ledger import PaperLedger

PLACE = Place("jinan", "line-1", "node-1")
NOW = datetime.now(timezone.utc)
OF_1970 = datetime(1970, 1, 1, tzinfo=timezone.utc)
FLOOR = NOW - timedelta(days=300)


@pytest.fixture
def settings(database: str, tmp_path: Path) -> Settings:
    return Settings(
        database=Database(dsn=database),
        broker=Broker(host="127.0.0.1"),
        web=Web(pictures_dir=str(tmp_path / "pictures")),
        retention=Retention(archive_dir=str(tmp_path / "archive")),
    )


def codes(duties: Duties, now: datetime) -> list[str]:
    """The alarms of a round, once its look for old weeks has ended."""
    alarms = duties.round(now)
    duties._archivist.wait()
    return [alarm.code for alarm in alarms]


def stored(connection: session.Connection) -> int:
    counted = connection.execute("SELECT count(*) AS n FROM part").fetchall()
    return int(counted[0]["n"])


def taken_long_ago(connection: session.Connection) -> None:
    """A row in a week of 1970 that came so long ago that it is due."""
    rows.taken(connection, PLACE, PaperLedger().write([part_row(1)]))
    connection.execute("UPDATE cursor SET checked = next")
    connection.execute("UPDATE part SET received_at = '1970-01-01'")


@pytest.mark.parametrize("what", ["UPDATE clock SET seen", "UPDATE migration SET applied_at"])
def test_nothing_is_taken_while_the_database_knows_of_a_later_time_than_its_clock(
    what: str, connection: session.Connection
) -> None:
    """Tried again, so nothing is acknowledged, put to blame or placed in 1970."""
    ledger = PaperLedger()
    batch = ledger.write([epoch_row(), part_row(1), counter_row(1)])
    born = Birth(v=1, stream=ledger.stream, next=1, head=4, software="t")
    connection.execute(f"{what} = now() + interval '60 years'".encode())
    for _ in range(2):
        with pytest.raises(StoreError, match=r"the clock of the database says") as refused:
            rows.taken(connection, PLACE, batch)
        assert not isinstance(refused.value, StatementError)
        with pytest.raises(StoreError, match="the clock of the database says"):
            rows.born(connection, PLACE, born)
    assert connection.execute("SELECT 1 FROM cursor").fetchall() == []
    connection.execute(f"{what} = now() + interval '23 hours'".encode())
    assert rows.taken(connection, PLACE, batch).stored == 3


def test_a_round_in_1970_makes_nothing_drops_nothing_and_is_an_alarm(
    connection: session.Connection, settings: Settings
) -> None:
    """Seen from there every row of today is absurdly far ahead."""
    taken_long_ago(connection)
    weeks = "SELECT count(*) AS n FROM pg_inherits"
    before = connection.execute(weeks).fetchall()
    duties = Duties(connection, settings)
    assert codes(duties, OF_1970) == ["hub_clock_wrong"]  # the database is another computer
    connection.execute("UPDATE clock SET seen = now() + interval '60 years'")
    assert codes(duties, NOW) == ["hub_clock_wrong"]  # both are
    assert (connection.execute(weeks).fetchall(), stored(connection)) == (before, 1)
    connection.execute("UPDATE clock SET seen = now()")
    assert codes(duties, NOW) == []
    assert stored(connection) == 0  # now it is due


def test_a_clock_that_jumps_ahead_drops_nothing_until_it_has_run_for_a_day(
    connection: session.Connection, settings: Settings
) -> None:
    taken_long_ago(connection)
    connection.execute("UPDATE clock SET seen = now() - interval '1200 days'")
    duties = Duties(connection, settings)
    assert codes(duties, NOW) == ["hub_clock_wrong"]
    assert codes(duties, NOW + timedelta(hours=23)) == ["hub_clock_wrong"]
    assert stored(connection) == 1
    connection.execute("UPDATE clock SET jumped = jumped - interval '24 hours'")
    assert codes(duties, NOW) == []
    assert stored(connection) == 0


def test_the_alarm_has_its_words() -> None:
    assert {"alert.hub_clock_wrong", "alert.hub_clock_wrong.do"} <= WORDS.keys()


def test_a_clock_that_runs_is_believed_and_kept() -> None:
    kept = Kept(NOW, None)
    for step in (timedelta(seconds=5), JUMP, -timedelta(hours=23)):
        now = kept.seen + step
        kept, state = judged(kept, FLOOR, now)
        assert (state, kept.jumped) == ("believed", None)
        assert kept.seen >= now


def test_a_clock_that_jumped_and_came_back_leaves_nothing_behind() -> None:
    for jump in (timedelta(days=400), -timedelta(days=2)):
        kept, state = judged(Kept(NOW, None), FLOOR, NOW + jump)
        assert (kept.seen, state) == (NOW, "ahead" if jump > DAY else "behind")
        assert judged(kept, FLOOR, NOW) == (Kept(NOW, None), "believed")


def test_a_clock_that_was_set_back_is_believed_after_a_day_but_never_before_the_floor() -> None:
    back = NOW - timedelta(days=100)
    kept, state = judged(Kept(NOW, None), FLOOR, back)
    assert state == "behind"
    kept, state = judged(kept, FLOOR, back + DAY)
    assert (kept, state) == (Kept(back + DAY, None), "believed")
    kept = Kept(NOW, None)
    for days in range(400):
        kept, state = judged(kept, FLOOR, OF_1970 + timedelta(days=days))
        assert (kept, state) == (Kept(NOW, None), "behind")


def test_a_clock_that_jumps_twice_starts_its_day_anew() -> None:
    kept, _ = judged(Kept(NOW, None), FLOOR, NOW + timedelta(days=100))
    kept, state = judged(kept, FLOOR, NOW + timedelta(days=200))
    assert (kept, state) == (Kept(NOW, NOW + timedelta(days=200)), "ahead")
