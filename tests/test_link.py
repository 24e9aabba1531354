"""The link against a real broker: only the hub's acknowledgement deletes, and nothing gets lost."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from edge.mqtt.link import TURN_S, Link
from edge.mqtt.message import (
    Notice,
    State,
)
from edge.outbox import Outbox
from edge.terms import Code
from tests.broker_peer import Broker, broker
from tests.hub_peer import HubPeer, link_to, numbers, until
from tests.ledger_rows import STATION, epoch_row, part_row

pytestmark = pytest.mark.needs_mosquitto


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Broker]:
    with broker(tmp_path) as running:
        yield running


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "ledger.db", ballast_bytes=4096)
    outbox.append(epoch_row())
    yield outbox
    outbox.close()


@pytest.fixture
def hub(peer: Broker) -> Iterator[HubPeer]:
    running = HubPeer(peer.port)
    yield running
    running.close()


@pytest.fixture
def link(peer: Broker, ledger: Outbox) -> Iterator[Link]:
    running = link_to(peer.port, ledger)
    yield running
    running.close()


def test_rows_arrive_once_in_order_and_are_deleted_here(
    hub: HubPeer, ledger: Outbox, link: Link
) -> None:
    ledger.append(*(part_row(n) for n in range(1, 1201)))
    link.start()
    hub.wait_for(lambda: hub.next(ledger.stream) == 1202)
    ledger.append(part_row(1201))
    until(lambda: ledger.waiting == 0)
    assert numbers(hub, ledger) == list(range(1, 1202))
    assert hub.broken == []
    assert max(len(batch.rows) for batch in hub.batches) == 500
    assert link.fault is None


def test_a_new_row_wakes_the_link_at_once(hub: HubPeer, ledger: Outbox, peer: Broker) -> None:
    link = link_to(peer.port, ledger, answer_s=60.0)
    link.start()
    for number in range(1, 6):
        until(lambda: ledger.waiting == 0)
        ledger.append(part_row(number))
        hub.wait_for(lambda: hub.next(ledger.stream) == ledger.head, deadline_s=0.8 * TURN_S)
    link.close(drain_s=10)
    assert ledger.waiting == 0


def test_a_puback_deletes_nothing(hub: HubPeer, ledger: Outbox, link: Link) -> None:
    hub.mute = True
    link.start()
    hub.wait_for(lambda: len(hub.births) > 2)
    assert hub.batches == []
    hub.mute = False
    hub.wait_for(lambda: len(hub.batches) == 1)
    until(lambda: ledger.waiting == 0)
    hub.mute = True
    ledger.append(part_row(1))
    births = len(hub.births)
    hub.wait_for(lambda: len(hub.births) > births + 1)  # the hub has it and was asked twice
    assert numbers(hub, ledger) == [1]
    assert ledger.waiting == 1
    hub.mute = False
    until(lambda: ledger.waiting == 0)
    assert numbers(hub, ledger) == [1]


def test_without_a_hub_nothing_is_deleted(ledger: Outbox, link: Link, peer: Broker) -> None:
    """The broker says "no matching subscribers", and a hub that comes later gets every row."""
    link.start()
    until(lambda: link.online)
    ledger.append(*(part_row(n) for n in range(1, 50)))
    hub = HubPeer(peer.port)
    hub.wait_for(lambda: hub.next(ledger.stream) == 51)
    hub.close()
    assert numbers(hub, ledger) == list(range(1, 50))


def test_a_broker_killed_again_and_again_costs_no_row_and_doubles_none(
    hub: HubPeer, ledger: Outbox, link: Link, peer: Broker
) -> None:
    link.start()
    stop = threading.Event()
    written: list[int] = []

    def produce() -> None:
        while not stop.is_set():
            written.append(len(written) + 1)
            ledger.append(part_row(written[-1]))

    producer = threading.Thread(target=produce)
    producer.start()
    for _ in range(4):
        reached = hub.next(ledger.stream)
        hub.wait_for(lambda upto=reached: hub.next(ledger.stream) > upto + 20)  # type: ignore[misc]
        peer.kill()
        until(lambda: not link.online)
        peer.start()
    stop.set()
    producer.join(10)
    hub.wait_for(lambda: hub.next(ledger.stream) == len(written) + 2)
    until(lambda: ledger.waiting == 0)
    assert numbers(hub, ledger) == written
    assert hub.broken == []


def test_a_broker_that_hangs_is_noticed_by_keepalive_and_costs_no_row(
    hub: HubPeer, ledger: Outbox, link: Link, peer: Broker
) -> None:
    """A half-open connection: the socket is there and nobody answers."""
    link.start()
    hub.wait_for(lambda: hub.next(ledger.stream) == 2)
    peer.send(signal.SIGSTOP)
    ledger.append(*(part_row(n) for n in range(1, 100)))
    until(lambda: not link.online, deadline_s=15.0)
    peer.send(signal.SIGCONT)
    hub.wait_for(lambda: hub.next(ledger.stream) == 101)
    assert numbers(hub, ledger) == list(range(1, 100))


def test_a_restarted_node_goes_on_where_the_hub_stands(
    hub: HubPeer, tmp_path: Path, peer: Broker, ledger: Outbox
) -> None:
    first = link_to(peer.port, ledger)
    first.start()
    hub.wait_for(lambda: hub.next(ledger.stream) == 2)
    hub.mute = True
    ledger.append(part_row(1))
    hub.wait_for(lambda: numbers(hub, ledger) == [1])  # taken, and the node never hears of it
    first.close()
    ledger.close()
    hub.mute = False
    again = Outbox(tmp_path / "ledger.db")
    assert again.waiting >= 1
    again.append(part_row(2))
    second = link_to(peer.port, again)
    second.start()
    until(lambda: again.waiting == 0)
    second.close()
    again.close()
    assert numbers(hub, ledger) == [1, 2]
    assert hub.broken == []


def test_a_refusal_is_an_error_in_the_log_and_tried_again(
    hub: HubPeer, ledger: Outbox, link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    hub.refuse = "the database is read-only"
    link.start()
    hub.wait_for(lambda: len(hub.batches) >= 2)
    assert link.fault is not None
    assert "read-only" in link.fault
    assert ledger.waiting == 1
    hub.refuse = None
    until(lambda: ledger.waiting == 0)
    until(lambda: link.fault is None)
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(told) == 1, "once, not at every try"
    assert "read-only" in told[0]


def restored(peer: Broker, tmp_path: Path, written_after: int) -> Outbox:
    """The ledger of a disk that was set back to rows 1 to 4 of the 9 that the hub has."""
    path, backup = tmp_path / "ledger.db", tmp_path / "backup.db"
    with closing(Outbox(path, ballast_bytes=4096)) as ledger:
        ledger.append(epoch_row(), *(part_row(n) for n in range(1, 4)))
    shutil.copy(path, backup)
    with closing(Outbox(path, ballast_bytes=4096)) as ledger:
        ledger.append(*(part_row(n) for n in range(4, 9)))
        with closing(link_to(peer.port, ledger)) as link:
            link.start()
            until(lambda: ledger.waiting == 0)
    for beside in ("ledger.db-wal", "ledger.db-shm"):
        (tmp_path / beside).unlink(missing_ok=True)
    shutil.copy(backup, path)
    ledger = Outbox(path, ballast_bytes=4096)
    if written_after:  # other rows than the hub has
        ledger.append(*(part_row(n, Code.NG) for n in range(4, 4 + written_after)))
    return ledger


@pytest.mark.parametrize("written_after", [0, 2, 16])
def test_a_restored_ledger_goes_on_as_a_stream_of_its_own(
    peer: Broker,
    hub: HubPeer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    written_after: int,
) -> None:
    with closing(restored(peer, tmp_path, written_after)) as ledger:
        old = ledger.stream
        with closing(link_to(peer.port, ledger)) as link:
            link.start()
            until(lambda: ledger.stream != old and ledger.waiting == 0)
            until(lambda: link.fault is None)
        assert (ledger.follows, ledger.begins) == (old, 5)
        assert len(hub.rows[old]) == 9, "no row went into the stream of the other life"
        assert numbers(hub, ledger) == list(range(4, 4 + written_after))
    assert hub.broken == []
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len([text for text in told if f"{old} goes on as {ledger.stream}" in text]) == 1


def test_nonsense_from_the_hub_changes_nothing(hub: HubPeer, ledger: Outbox, link: Link) -> None:
    link.start()
    until(lambda: ledger.waiting == 0)
    other = msgspec.json.encode({"v": 1, "stream": "0" * 32, "next": 7})
    for payload in (b"", b"\xff", b"{}", b'{"v":1,"stream":"x","next":-1}', other):
        hub.send("n1", payload)
    ledger.append(part_row(1))
    until(lambda: ledger.waiting == 0)
    assert numbers(hub, ledger) == [1]


def test_rows_damaged_on_disk_are_a_fault_and_not_sent(
    hub: HubPeer, ledger: Outbox, link: Link
) -> None:
    ledger.append(part_row(1))
    ledger.transact(lambda db: db.execute("UPDATE closed SET hash = ? ", ("0" * 64,)).close())
    link.start()
    until(lambda: link.fault is not None)
    assert "does not match its hash" in str(link.fault)
    assert hub.batches == []


def test_the_state_is_retained_and_says_offline_after_a_good_bye(
    hub: HubPeer, ledger: Outbox, link: Link, peer: Broker
) -> None:
    link.publish_state(State(v=1, online=True, stream=ledger.stream, waiting=3, at_ms=5))
    link.start()
    hub.wait_for(lambda: any(state.at_ms == 5 for state in hub.states))
    late = HubPeer(peer.port)
    late.wait_for(lambda: any(state.online and state.at_ms == 5 for state in late.states))
    link.publish_state(State(v=1, online=True, stream=ledger.stream, at_ms=6))
    late.wait_for(lambda: late.states[-1].at_ms == 6)
    link.close(drain_s=10)
    late.wait_for(lambda: not late.states[-1].online)
    late.close()
    assert ledger.waiting == 0, "closing drains first"
    later = HubPeer(peer.port)
    later.wait_for(lambda: [state.online for state in later.states] == [False])
    later.close()


def test_notices_pass_while_connected_and_are_not_kept_for_later(
    hub: HubPeer, ledger: Outbox, link: Link
) -> None:
    def notice(number: int) -> Notice:
        return Notice(v=1, station=STATION, epoch=1, number=number, code=Code.NG, at_ms=1)

    link.publish_notice(notice(1))
    link.start()
    hub.wait_for(lambda: hub.next(ledger.stream) == 2)
    link.publish_notice(notice(2))
    hub.wait_for(lambda: bool(hub.notices))
    assert [n.number for n in hub.notices] == [2]


CHILD = """
import sys
from pathlib import Path
from edge import settings
from edge.mqtt.link import Link
from edge.outbox import Outbox
node = settings.Node(plant="p", line="l", name="n1", data_dir="unused")
outbox = Outbox(Path(sys.argv[1]))
link = Link(node, settings.Hub(broker_host="127.0.0.1", broker_port=int(sys.argv[2])), outbox)
link.start()
sys.stdin.read()
"""


def test_the_last_will_tells_that_a_node_died(hub: HubPeer, tmp_path: Path, peer: Broker) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "other.db"), str(peer.port)],
        stdin=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    hub.wait_for(lambda: bool(hub.states) and hub.states[-1].online)
    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    assert child.stdin is not None
    child.stdin.close()
    hub.wait_for(lambda: not hub.states[-1].online)


# paho drops the wake-up sockets of the thread that ended; the collector closes them.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_network_thread_that_ended_by_itself_is_replaced(
    hub: HubPeer, ledger: Outbox, link: Link
) -> None:
    """Without it pings and acknowledgements stop, and nothing else would tell."""
    link.start()
    until(lambda: ledger.waiting == 0)
    session = link._session
    assert session is not None
    session._client.loop_stop()
    ledger.append(part_row(1))
    until(lambda: ledger.waiting == 0)
    assert numbers(hub, ledger) == [1]
    assert link._session is not session
