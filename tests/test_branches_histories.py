"""Any history of disks that are copied, set back and lost: every number counted once, residue 0."""

import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from edge.mqtt.feed import Feed
from edge.mqtt.message import AnyRow, Birth, encode
from edge.outbox import Outbox
from hub import metrics, registry
from hub.intake import Place
from hub.store import rows, session
from tests.ingest_peer import asked
from tests.ledger_rows import STATION, counter_row, epoch_row, missed_row, part_row

_nodes = count(1)
_lives = count(1)


@pytest.fixture
def hub(database: str) -> Iterator[session.Connection]:
    with session.connect(database, "test") as connection:
        yield connection


class Disk:
    """A ledger, and what its node does when it runs: settle what the PLC counted, or send."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Outbox(folder / "ledger.db", ballast_bytes=4096)
        self.at_ms = next(_lives)  # two lives never write the same bytes

    def copy(self, folder: Path) -> "Disk":
        self.ledger.close()
        shutil.copytree(self.folder, folder)
        self.ledger = Outbox(self.folder / "ledger.db", ballast_bytes=4096)
        return Disk(folder)

    def write(self, row: AnyRow) -> None:
        self.ledger.append(msgspec.structs.replace(row, at_ms=self.at_ms))

    def run(self, counter: int, judged: int) -> None:
        """The PLC stands at `counter`; the last `judged` of what is new were judged."""
        known = self.ledger.resume(STATION)
        assert known is not None
        first = max(known.counter + 1, counter - judged + 1)
        if known.counter + 1 < first:
            self.write(missed_row(known.counter + 1, first - 1))
        for number in range(first, counter + 1):
            self.write(part_row(number))
        sample = counter_row(counter, at_ms=self.at_ms)
        self.ledger.counter(sample)

    def send(self, hub: session.Connection, place: Place, messages: int) -> None:
        """So many messages to the hub, each answered; a new connection every time."""
        feed, now_s = Feed(self.ledger, answer_s=0.1), 0.0
        feed.delivery.online(now_s)
        while messages:
            told = feed.next_message(now_s, 1500)
            if told is None:
                if feed.delivery.phase == "idle":
                    return
                now_s += 0.1
                continue
            messages -= 1
            message = told[1]
            if isinstance(message, Birth):
                ack = rows.born(hub, place, message).ack
            else:
                ack = rows.taken(hub, place, message).ack
            feed.read_ack(encode(ack), now_s)


EVENTS = st.one_of(
    st.tuples(st.just("run"), st.integers(0, 5), st.integers(1, 6), st.integers(0, 6)),
    st.tuples(st.just("run"), st.integers(0, 5), st.integers(0, 6), st.integers(0, 6)),
    st.tuples(st.just("send"), st.integers(0, 5), st.integers(1, 12)),
    st.tuples(st.just("send"), st.integers(0, 5), st.just(1000)),
    st.tuples(st.just("copy"), st.integers(0, 5)),
    st.tuples(st.just("lose"), st.integers(0, 5)),
)


BEGINNING: list[tuple[object, ...]] = [
    ("run", 0, 4, 3),
    ("send", 0, 1000),
    ("run", 0, 3, 3),
    ("copy", 0),
    ("run", 0, 2, 1),
    ("send", 0, 1000),
    ("run", 1, 1, 0),
]
"""A copy that does not know what became of its original."""


@hypothesis_settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(events=st.lists(EVENTS, min_size=6, max_size=24), last=st.integers(0, 5))
def test_every_number_is_counted_once_whatever_became_of_the_disks(
    hub: session.Connection, database: str, events: list[tuple[object, ...]], last: int
) -> None:
    place = Place("jinan", "line-1", f"node-{next(_nodes)}")
    registry.add(database, place.plant, place.line, place.node)
    with tempfile.TemporaryDirectory() as folder:
        names = (Path(folder) / str(number) for number in count())
        disks = [Disk(next(names))]
        disks[0].ledger.append(epoch_row())
        counter = 0
        try:
            for event in [*BEGINNING, *events]:
                disk = disks[int(str(event[1])) % len(disks)]
                match event:
                    case ("run", _, int(more), int(seen)):
                        counter += more
                        disk.run(counter, seen)
                    case ("send", _, int(messages)):
                        disk.send(hub, place, messages)
                    case ("copy", _):
                        disks.append(disk.copy(next(names)))
                    case ("lose", _) if len(disks) > 1:
                        disk.ledger.close()
                        disks.remove(disk)
            disks[last % len(disks)].run(counter + 1, 1)
            for disk in disks:
                disk.send(hub, place, 1000)
                assert disk.ledger.waiting == 0
            judge(database, place.node, counter + 1)
        finally:
            for disk in disks:
                disk.ledger.close()


def judge(dsn: str, node: str, counter: int) -> None:
    laws = asked(dsn, "SELECT * FROM law WHERE node = %s", node)
    told = [(law["stream"][:6], metrics.first_law(law)) for law in laws]
    assert [law for _, law in told if law.residue != 0] == [], told
    own = ("ok", "ng", "undecided", "missed", "bypassed", "quarantined")
    assert sum(law[name] for law in laws for name in own) == counter, told
    double = "SELECT number FROM part WHERE node = %s GROUP BY number HAVING count(*) > 1"
    assert asked(dsn, double, node) == []
    [sums] = asked(
        dsn,
        "SELECT sum(triggers)::int triggers, sum(ok + ng + undecided + missed)::int settled "
        "FROM minute_count WHERE node = %s",
        node,
    )
    [aside] = asked(
        dsn, "SELECT coalesce(sum(parts), 0)::int n FROM quarantine WHERE node = %s", node
    )
    assert sums == {"triggers": counter, "settled": counter - aside["n"]}
