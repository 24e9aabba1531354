"""A ledger whose disk was restored or copied: nothing counted twice, nothing lost, said aloud.

A real ledger and its delivery, the ingest transaction and PostgreSQL; only the wire is left out.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.mqtt.feed import Feed
from edge.mqtt.message import AnyRow, Batch, Birth, CounterRow, encode
from edge.outbox import Outbox
from edge.terms import Code
from hub import metrics
from hub.chains import Chains
from hub.duties import Duties
from hub.store import rows, session
from hub.store.verify import verify
from tests.ingest_peer import PLACE, asked
from tests.ledger_rows import counter_row, epoch_row, missed_row, part_row
from tests.test_duties import settings_of


@dataclass
class Node:
    """A ledger on its disk, and how it speaks to the hub: time passes only when it has to."""

    path: Path
    hub: session.Connection
    at_ms: int  # of its rows: two lives of one disk never write the same bytes
    now_s: float = 0.0

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.ledger = Outbox(self.path / "ledger.db", ballast_bytes=4096)
        self.feed = Feed(self.ledger)
        self.feed.delivery.online(self.now_s)

    def stop(self) -> None:
        self.ledger.close()

    def write(self, *rows: AnyRow) -> None:
        for row in rows:
            stamped = msgspec.structs.replace(row, at_ms=self.at_ms)
            if isinstance(stamped, CounterRow):
                self.ledger.counter(stamped)
            else:
                self.ledger.append(stamped)

    def turn(self, max_bytes: int = 4096) -> None:
        """One message to the hub and its answer; or time passes, if nothing is due."""
        told = self.feed.next_message(self.now_s, max_bytes)
        if told is None:
            self.now_s += 1.0
            return
        message = told[1]
        if isinstance(message, Birth):
            ack = rows.born(self.hub, PLACE, message).ack
        else:
            assert isinstance(message, Batch)
            ack = rows.taken(self.hub, PLACE, message).ack
        self.feed.read_ack(encode(ack), self.now_s)

    def drain(self) -> None:
        """Until the hub has everything and has said so."""
        for _ in range(300):
            self.turn()
            if self.ledger.waiting == 0 and self.feed.delivery.phase == "idle":
                return
        raise AssertionError(f"not drained: {self.feed.delivery.fault}")


@pytest.fixture
def make_node(direct: session.Connection, tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Nodes by the name of their disk; `copy_of` = a copy of another one's files, as they are."""
    made: list[Node] = []

    def make(name: str, copy_of: str | None = None) -> Node:
        folder = tmp_path / name
        if copy_of is not None:
            shutil.copytree(tmp_path / copy_of, folder)
        made.append(Node(folder, direct, at_ms=1_000 + len(made)))
        return made[-1]

    yield make
    for node in made:
        node.stop()


def judged(node: Node, *numbers: int, code: Code = Code.OK) -> None:
    node.write(*(part_row(number, code) for number in numbers))


def first_laws(dsn: str, node: Node) -> list[tuple[str, int]]:
    """State and residue of the laws of the stream that the node writes now."""
    found = asked(dsn, "SELECT * FROM law WHERE stream = %s ORDER BY epoch", node.ledger.stream)
    return [(law.state, law.residue or 0) for law in map(metrics.first_law, found)]


def sums(dsn: str) -> dict[str, Any]:
    """What the pages add up, over every stream."""
    return asked(
        dsn,
        "SELECT sum(ok)::int ok, sum(ng)::int ng, sum(missed)::int missed, "
        "sum(triggers)::int triggers FROM minute_count",
    )[0]


def set_aside(dsn: str, node: Node) -> list[tuple[int, int]]:
    """Parts counted, and parts counted elsewhere, of each row of the stream in quarantine."""
    found = asked(
        dsn,
        "SELECT parts, elsewhere FROM quarantine WHERE stream = %s ORDER BY seq",
        node.ledger.stream,
    )
    return [(row["parts"], row["elsewhere"]) for row in found]


def no_number_twice(dsn: str) -> bool:
    return not asked(
        dsn, "SELECT 1 FROM part GROUP BY node, station, epoch, number HAVING count(*) > 1"
    )


def alarms(hub: session.Connection, dsn: str, later_s: float = 0.0) -> dict[str, str]:
    """What the hub warns of, the chains verified to their ends."""
    chains = Chains(rows=10)
    assert chains.check(hub, budget_s=60)
    now = datetime.now(timezone.utc) + timedelta(seconds=later_s)
    found = Duties(hub, settings_of(dsn), chains).round(now)
    left = asked(dsn, "SELECT stream FROM cursor WHERE checked < next")
    assert not left, "chains are verified"
    assert verify(hub, lambda told: None).wrong == []
    return {alarm.code: alarm.detail for alarm in found}


@pytest.fixture
def shift(make_node: Callable[..., Node]) -> Node:
    """A node that has judged parts 1 to 100; the hub has 1 to 60, the rest waits on the disk."""
    node = make_node("disk")
    node.write(epoch_row())
    judged(node, *range(1, 61))
    node.write(counter_row(60))
    node.drain()
    judged(node, *range(61, 101))
    node.write(counter_row(100))
    node.stop()
    return node


def test_a_restored_disk_that_wrote_nothing_goes_on_as_a_new_stream(
    shift: Node, make_node: Callable[..., Node], direct: session.Connection, database: str
) -> None:
    original, restored = make_node("original", "disk"), None
    old = original.ledger.stream
    original.drain()
    judged(original, *range(101, 151))
    original.write(counter_row(150))
    original.drain()
    restored = make_node("restored", "disk")
    assert (restored.ledger.stream, restored.ledger.waiting) == (old, 41)
    restored.drain()
    assert restored.ledger.stream != old
    assert (restored.ledger.follows, restored.ledger.begins) == (old, 104)
    assert "0 rows" in str(restored.ledger.restored)
    # the PLC has counted on: the node knows of nothing since part 100, the hub has up to 150
    restored.write(missed_row(101, 180), counter_row(180))
    judged(restored, 181, code=Code.NG)
    restored.write(counter_row(181))
    restored.drain()
    assert set_aside(database, restored) == [(30, 50)]
    assert sums(database) == {"ok": 150, "ng": 1, "missed": 0, "triggers": 181}
    assert first_laws(database, restored) == [("balanced", 0)]
    assert no_number_twice(database)
    told = alarms(direct, database, later_s=3600.0)
    assert set(told) == {"stream_forked", "quarantine"}
    assert old in told["stream_forked"]


def test_a_restored_disk_that_wrote_on_loses_nothing_and_counts_nothing_twice(
    shift: Node, make_node: Callable[..., Node], direct: session.Connection, database: str
) -> None:
    original, restored = make_node("original", "disk"), make_node("restored", "disk")
    old = original.ledger.stream
    original.ledger.open(part_row(151))  # under way when its disk died
    judged(original, *range(101, 151))
    original.write(counter_row(151))
    original.drain()
    # no network yet: the restored node writes past all that the hub has of the old stream
    restored.write(missed_row(101, 170), counter_row(170))
    judged(restored, *range(171, 260))
    judged(restored, 260, code=Code.NG)
    restored.write(counter_row(260))
    assert restored.ledger.head > original.ledger.head
    restored.drain()
    assert (restored.ledger.follows, restored.ledger.begins) == (old, 104)
    assert set_aside(database, restored) == [(20, 50)]
    assert sums(database) == {"ok": 239, "ng": 1, "missed": 0, "triggers": 260}
    assert first_laws(database, restored) == [("balanced", 0)]
    assert no_number_twice(database)
    assert set(alarms(direct, database, later_s=3600.0)) == {"stream_forked", "quarantine"}


def test_parts_that_both_have_judged_count_where_they_came_first(
    shift: Node, make_node: Callable[..., Node], database: str
) -> None:
    """A live copy: both disks run, each says what it saw, in turn."""
    original, clone = make_node("original", "disk"), make_node("clone", "disk")
    judged(clone, 101, 102)
    judged(original, 101)
    original.drain()
    clone.drain()
    assert clone.ledger.follows == original.ledger.stream
    judged(original, 102, 103)
    original.write(counter_row(103))
    original.drain()
    judged(clone, 103, 104)
    clone.write(counter_row(104))
    clone.drain()
    assert set_aside(database, clone) == [(0, 1), (0, 1)]
    assert set_aside(database, original) == [(0, 1)]
    assert sums(database)["ok"] == 104
    assert no_number_twice(database)
    for node in (original, clone):
        assert first_laws(database, node) == [("balanced", 0)]
    original.drain()
    assert original.ledger.follows is None


def test_an_epoch_opened_after_the_restore_is_a_run_of_its_own(
    shift: Node, make_node: Callable[..., Node], database: str
) -> None:
    """Both lives call it epoch 2: its numbers are other parts."""
    original, restored = make_node("original", "disk"), make_node("restored", "disk")
    for node, parts in ((original, 10), (restored, 7)):
        node.write(epoch_row(2))
        node.write(*(part_row(number, epoch=2) for number in range(1, parts + 1)))
        node.write(counter_row(parts, epoch=2))
        node.drain()
    assert set_aside(database, restored) == []
    assert sums(database)["ok"] == 117
    assert first_laws(database, restored) == [("balanced", 0)]


def test_a_disk_restored_twice_branches_twice(
    shift: Node, make_node: Callable[..., Node], direct: session.Connection, database: str
) -> None:
    original, first = make_node("original", "disk"), make_node("first", "disk")
    judged(original, *range(101, 111))
    original.write(counter_row(110))
    original.drain()
    first.write(missed_row(101, 120), counter_row(120))
    first.drain()
    judged(first, 121)
    first.stop()
    second = make_node("second", "first")
    first.start()
    judged(first, 122)
    first.write(counter_row(122))
    first.drain()
    second.write(missed_row(122, 130), counter_row(130))
    second.drain()
    assert second.ledger.follows == first.ledger.stream
    assert set_aside(database, second) == [(8, 1)]
    assert sums(database) == {"ok": 112, "ng": 0, "missed": 0, "triggers": 130}
    third = make_node("third", "disk")
    third.write(missed_row(101, 132), counter_row(132))
    third.drain()
    assert third.ledger.follows == original.ledger.stream
    assert set_aside(database, third) == [(2, 30)], "some of them stand in quarantine only"
    assert sums(database) == {"ok": 112, "ng": 0, "missed": 0, "triggers": 132}
    for node in (second, third):
        assert first_laws(database, node) == [("balanced", 0)]
    assert set(alarms(direct, database, later_s=3600.0)) == {"stream_forked", "quarantine"}


def test_a_power_cut_between_the_branch_and_its_first_row_changes_nothing(
    shift: Node, make_node: Callable[..., Node], database: str
) -> None:
    original, restored = make_node("original", "disk"), make_node("restored", "disk")
    judged(original, 101, 102)
    original.drain()
    judged(restored, 101)
    while restored.ledger.follows is None:
        restored.turn()
    branch = restored.ledger.stream
    restored.stop()
    restored.start()
    restored.drain()
    assert (restored.ledger.stream, restored.ledger.restored) == (branch, None)
    assert asked(database, "SELECT follows FROM cursor WHERE stream = %s", branch) == [
        {"follows": original.ledger.stream}
    ]
    assert set_aside(database, restored) == [(0, 1)]
