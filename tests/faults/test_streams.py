"""Any history of one node and its hub: PLC's counter, ledger, delivery, wire, cursor, database.

Everything but the wire is the product's own: handshake, outbox, feed, and the ingest transaction on
a real PostgreSQL. The wire holds what was said and gives it out in any order, twice, or never. Some
batches are sent by a sender that waits for no answer, which the node itself never is: only so can
a batch reach the hub before the one it follows.
"""

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from edge.mqtt.feed import Feed
from edge.mqtt.message import MAX_BATCH_BYTES, Ack, Batch, Birth, EpochRow, MissedRow, encode
from edge.outbox import Outbox
from edge.plc.handshake import EpochOpened, Handshake, Missed, Resume, Sampled, Triggered
from edge.terms import Code
from hub import registry
from hub.errors import RegistryError
from hub.intake import Place
from hub.store import rows, session
from tests.faults.oracle import asked
from tests.faults.plc import WRAP
from tests.ledger_rows import STATION, counter_row, part_row, stamp
from tests.played_plc import START, Plc
from tests.played_plc import STATION as PLC_STATION

STEPS_TO_DRAIN = 400
_nodes = itertools.count(1)
_dsn = ""
"""The database of this file's tests: a state machine is made by hypothesis, without arguments."""


@pytest.fixture
def on_database(database: str) -> Iterator[str]:
    global _dsn
    _dsn = database
    yield database
    _dsn = ""


class Streams(RuleBasedStateMachine):
    """One node with its ledger on a real disk, and the hub's transaction behind a bad wire."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.disk = Path(self.folder.name) / "ledger.db"
        self.copied = self.disk.with_name("copy.db")
        self.place = Place("jinan", "line-1", f"node-{next(_nodes)}")
        registry.add(_dsn, *(self.place.plant, self.place.line, self.place.node))
        self.database = session.connect(_dsn, "streams")
        self.to_hub: list[tuple[str, Birth | Batch]] = []
        self.to_node: list[Ack] = []
        self.outbox = Outbox(self.disk, ballast_bytes=4096)
        self.counter = WRAP - 3  # of the PLC, its register shows it modulo 2**32
        self.base: int | None = None
        self.plc = Plc(Handshake(PLC_STATION, None), START, now_s=50.0)
        self.feed = Feed(self.outbox)
        self.feed.delivery.online(self.plc.now_s)
        self.parts(0, [])

    def teardown(self) -> None:
        try:
            if self.base is not None:
                self.drain()
                self.judge()
        finally:
            self.outbox.close()
            self.database.close()
            self.folder.cleanup()

    # -- the line and its ledger ----------------------------------------------------------------

    @rule(count=st.integers(1, 4), codes=st.lists(st.sampled_from(Code), min_size=4, max_size=4))
    def parts(self, count: int, codes: list[Code]) -> None:
        """So many parts came since the last read: the newest is judged, the others went by."""
        self.counter += count
        self.plc.handshake.ready = True
        for _ in range(3):  # a jump is believed the second time
            seen = self.plc.read(0.5, counter=self.counter % WRAP, trigger_age_ms=5)
            for one in seen:
                self.record(one, codes)

    def record(self, one: object, codes: list[Code]) -> None:
        match one:
            case EpochOpened(epoch, base, plc_start, cause):
                self.base = base
                row = EpochRow(
                    **stamp(epoch), base=base, plc_start=plc_start, cause=cause, counted_by="plc"
                )
                self.outbox.append(row)
            case Missed(epoch, first, last, cause):
                self.outbox.append(MissedRow(**stamp(epoch), first=first, last=last, cause=cause))
            case Triggered(trigger):
                code = codes[0] if codes[0] is not Code.UNDEFINED else Code.OK
                part = part_row(trigger.part.number, code, trigger.part.epoch)
                self.outbox.open(part)
                self.outbox.close_part(STATION, part.epoch, part.number, part.code, part.reason, 80)
            case Sampled(epoch, counter):
                self.outbox.counter(counter_row(counter, epoch))

    @rule()
    def restart(self) -> None:
        """The node's process ends and starts; what the wire held for it is gone."""
        self.outbox.close()
        self.begin_again()

    def begin_again(self) -> None:
        self.outbox = Outbox(self.disk, ballast_bytes=4096)
        last = self.outbox.resume(STATION)
        resume = None
        if last is not None:
            resume = Resume(last.epoch, last.base, last.counter, last.plc_start, 1000.0)
        self.plc = Plc(Handshake(PLC_STATION, resume), self.plc.block, self.plc.now_s)
        self.feed = Feed(self.outbox)
        self.feed.delivery.online(self.plc.now_s)
        self.to_node.clear()
        self.parts(0, [Code.OK])

    # -- the wire -------------------------------------------------------------------------------

    @rule(turns=st.integers(1, 4))
    def flow(self, turns: int) -> None:
        """For a while the wire behaves."""
        for _ in range(turns):
            self.send()
            while self.to_hub:
                self.arrive(0, False)
            while self.to_node:
                self.hear(0, False)
            self.plc.now_s += self.feed.delivery.wait_s(self.plc.now_s, 1.0)

    @rule()
    def send(self) -> None:
        """What the node says now."""
        step = self.feed.next_message(self.plc.now_s, MAX_BATCH_BYTES)
        if step is not None:
            self.to_hub.append(step)

    @precondition(lambda self: self.outbox.waiting > 1)
    @rule(ahead=st.integers(0, 20), size=st.integers(1, 6))
    def send_ahead(self, ahead: int, size: int) -> None:
        """A batch from anywhere, by a sender that waits for nobody."""
        first, head = self.outbox.first, self.outbox.head
        batch = self.outbox.batch(first + ahead % (head - first), size)
        if batch is not None:
            self.to_hub.append(("parts", batch))

    @precondition(lambda self: self.to_hub)
    @rule(pick=st.integers(0, 50), again=st.booleans())
    def arrive(self, pick: int, again: bool) -> None:
        """One of the messages on their way reaches the hub, which answers after its commit."""
        place = pick % len(self.to_hub)
        leaf, message = self.to_hub[place] if again else self.to_hub.pop(place)
        if isinstance(message, Birth):
            self.to_node.append(rows.born(self.database, self.place, message).ack)
            return
        assert leaf == "parts"
        try:
            self.to_node.append(rows.taken(self.database, self.place, message).ack)
        except RegistryError as wrong:  # as ingest answers it
            refused = Ack(v=1, stream=message.stream, next=1, refused=str(wrong))
            self.to_node.append(refused)

    @precondition(lambda self: self.to_node)
    @rule(pick=st.integers(0, 50), again=st.booleans())
    def hear(self, pick: int, again: bool) -> None:
        """One of the answers on their way reaches the node."""
        place = pick % len(self.to_node)
        ack = self.to_node[place] if again else self.to_node.pop(place)
        self.feed.read_ack(encode(ack), self.plc.now_s)

    @rule(what=st.sampled_from(["to_hub", "to_node"]), pick=st.integers(0, 50))
    def lose(self, what: str, pick: int) -> None:
        """One message never arrives."""
        held: list[object] = getattr(self, what)
        if held:
            held.pop(pick % len(held))

    @rule(seconds=st.floats(0.1, 8.0))
    def pass_time(self, seconds: float) -> None:
        self.plc.now_s += seconds

    @rule()
    def cut(self) -> None:
        """The connection goes and comes."""
        self.to_node.clear()
        self.feed.delivery.offline()
        self.feed.delivery.online(self.plc.now_s)

    # -- the end --------------------------------------------------------------------------------

    def drain(self) -> None:
        """The wire behaves: everything is delivered."""
        self.parts(1, [Code.NG])
        for _ in range(STEPS_TO_DRAIN):
            if not self.outbox.waiting:
                return
            self.flow(1)
        raise AssertionError(f"{self.outbox.waiting} rows wait: {self.feed.delivery.fault}")

    def judge(self) -> None:
        """Each number of the PLC once, and the sums of the law say the same."""
        node = self.place.node
        found = [p["number"] for p in asked(_dsn, "SELECT number FROM part WHERE node = %s", node)]
        gone = asked(
            _dsn,
            "SELECT (body->>'first')::bigint AS first, (body->>'last')::bigint AS last"
            " FROM ledger_row WHERE node = %s AND kind = 'missed'",
            node,
        )
        for row in gone:
            found.extend(range(row["first"], row["last"] + 1))
        assert self.base is not None
        wanted = set(range(self.base + 1, self.counter + 1))
        assert len(found) == len(set(found)), "no number twice"
        assert set(found) <= wanted
        aside = "SELECT coalesce(sum(parts), 0)::bigint AS n FROM quarantine WHERE node = %s"
        assert len(wanted - set(found)) == asked(_dsn, aside, node)[0]["n"], "none without a row"
        counted = "SELECT ok + ng + undecided + missed + quarantined AS n FROM law WHERE node = %s"
        assert sum(law["n"] for law in asked(_dsn, counted, node)) == self.counter - self.base
        lost = "SELECT 1 FROM gap JOIN cursor USING (stream) WHERE node = %s AND held_by IS NULL"
        assert asked(_dsn, lost, node) == []


class RestoredStreams(Streams):
    """The same, and a copy of the disk is put back now and then."""

    @rule()
    def copy(self) -> None:
        """A backup of the disk, of a node that stands still."""
        self.outbox.close()
        shutil.copy(self.disk, self.copied)
        self.begin_again()

    @precondition(lambda self: self.copied.exists())
    @rule()
    def restore(self) -> None:
        """The disk is what it was; the PLC counted on meanwhile."""
        self.outbox.close()
        for left in ("ledger.db-wal", "ledger.db-shm"):
            self.disk.with_name(left).unlink(missing_ok=True)
        shutil.copy(self.copied, self.disk)
        self.begin_again()


def play(machine: type[Streams], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


def test_some_histories_of_wire_and_disk_store_every_row_once(on_database: str) -> None:
    play(Streams, 8)


@pytest.mark.faults
def test_whatever_the_wire_and_the_disk_do_every_row_is_stored_once(
    on_database: str, request: pytest.FixtureRequest
) -> None:
    play(Streams, 150 if request.config.getoption("--short") else 1_000)


@pytest.mark.faults
def test_whatever_a_restored_disk_does_every_part_counts_once(
    on_database: str, request: pytest.FixtureRequest
) -> None:
    play(RestoredStreams, 100 if request.config.getoption("--short") else 800)
