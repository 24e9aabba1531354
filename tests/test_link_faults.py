"""A link whose broker is strict, silent, talks nonsense or is not there: no row is lost."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import settings
from edge.mqtt.link import Link
from edge.mqtt.message import Notice, State, encode
from edge.outbox import Outbox
from edge.terms import Code
from tests.broker_peer import broker, free_port
from tests.hub_peer import DEADLINE_S, NODE, HubPeer, link_to, until
from tests.ledger_rows import STATION, epoch_row, part_row


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "ledger.db", ballast_bytes=4096)
    outbox.append(epoch_row())
    yield outbox
    outbox.close()


@pytest.mark.needs_mosquitto
def test_a_broker_that_takes_only_small_messages_gets_smaller_batches(
    tmp_path: Path, ledger: Outbox
) -> None:
    ledger.append(*(part_row(n) for n in range(1, 401)))
    folder = tmp_path / "strict"
    folder.mkdir()
    with broker(folder, "message_size_limit 60000\n") as strict:
        hub = HubPeer(strict.port)
        link = link_to(strict.port, ledger)
        link.start()
        hub.wait_for(lambda: hub.next(ledger.stream) == 402)
        link.close()
        hub.close()
    assert max(len(encode(batch)) for batch in hub.batches) <= 60_000


@pytest.mark.needs_mosquitto
def test_a_broker_that_forbids_the_topic_deletes_nothing(
    tmp_path: Path, ledger: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "strict"
    folder.mkdir()
    (folder / "acl").write_text("topic readwrite qj/1/p/l/n1/ack\ntopic read qj/#\n")
    with broker(folder, f"acl_file {folder / 'acl'}\n") as strict:
        link = link_to(strict.port, ledger)
        link.start()
        until(lambda: any("Not authorized" in r.getMessage() for r in caplog.records))
        link.close()
    assert ledger.waiting == 1


def test_without_a_broker_the_link_tries_on_and_every_call_returns_at_once(ledger: Outbox) -> None:
    link = link_to(free_port(), ledger)
    link.start()
    begun_s = time.monotonic()
    for number in range(1, 20):
        link.publish_state(State(v=1, online=True))
        link.publish_notice(
            Notice(v=1, station=STATION, epoch=1, number=number, code=Code.NG, at_ms=1)
        )
    assert time.monotonic() - begun_s < 0.1
    assert not link.online
    link.close(drain_s=30)
    link.close()
    assert time.monotonic() - begun_s < 10


def test_an_address_that_cannot_be_one_is_a_sentence_in_the_log(
    ledger: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    for host in ("", "a" * 70 + ".example", "nobody.invalid"):
        link = Link(NODE, settings.Hub(broker_host=host), ledger)
        link.start()
        until(lambda: any("down" in r.getMessage() for r in caplog.records))
        link.close()
        caplog.clear()


def test_a_peer_that_talks_nonsense_is_left_and_tried_again(ledger: Outbox) -> None:
    connected = b"\x20\x03\x00\x00\x00"
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(DEADLINE_S)
        link = link_to(listener.getsockname()[1], ledger)
        link.start()
        for nonsense in (
            b"\x20\x06\x00\x00\x03\x99\x00\x00",  # a property that does not exist
            connected + b"\x90\x04\x00\x01\x00\x7f",  # an unknown reason code
            connected + b"\x30\x05\x00\x50ab\x00",  # a topic that is longer than its packet
            connected + b"\x90\x01\x00",  # no packet number
        ):
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(DEADLINE_S)
                connection.recv(4096)
                connection.sendall(nonsense)
                while connection.recv(4096):
                    pass
        link.close()
