"""Answers of the hub as a node reads them: edge.mqtt.feed."""

from pathlib import Path

import pytest

from edge.mqtt.feed import Feed
from edge.mqtt.message import Ack, Birth, Compared, encode
from edge.outbox import Outbox
from tests.ledger_rows import epoch_row, part_row

OTHER = "f" * 64


def test_an_answer_to_the_question_of_a_copied_disk_says_nothing_of_this_one(
    tmp_path: Path,
) -> None:
    """Both nodes hear it: that the copy's row stands at the hub does not make ours stand there."""
    ledger = Outbox(tmp_path / "ledger.db", ballast_bytes=4096)
    ledger.append(epoch_row(), *(part_row(number) for number in range(1, 10)))
    feed = Feed(ledger)
    feed.delivery.online(0.0)
    hubs = Ack(v=1, stream=ledger.stream, next=9, hash=OTHER)
    feed.read_ack(encode(hubs), 0.1)  # its row 8 is not ours: somewhere before, the two part
    for seq in range(1, 8):
        copys = Compared(seq=seq, hash=OTHER, same=True)
        feed.read_ack(encode(Ack(v=1, stream=ledger.stream, next=9, compared=copys)), 0.2)
    assert (ledger.follows, feed.delivery.branch) == (None, None)
    asked = feed.next_message(0.3, 10_000)
    assert asked is not None
    birth = asked[1]
    assert isinstance(birth, Birth)
    assert birth.mark is not None
    own = Compared(seq=birth.mark.seq, hash=birth.mark.hash, same=False)
    feed.read_ack(encode(Ack(v=1, stream=ledger.stream, next=9, compared=own)), 0.4)
    again = feed.next_message(2.0, 10_000)
    assert again is not None
    assert isinstance(again[1], Birth)
    assert again[1].mark is not None
    assert again[1].mark.seq < birth.mark.seq, "its own answer narrows the place down"
    ledger.close()


@pytest.mark.parametrize(
    "noise", [b"", b"\xff", b'{"v":1,"stream":"\xff"}', b"[" * 100_000, b'{"v":' + b"[" * 100_000]
)
def test_an_answer_that_cannot_be_read_changes_nothing(noise: bytes, tmp_path: Path) -> None:
    ledger = Outbox(tmp_path / "ledger.db", ballast_bytes=4096)
    ledger.append(epoch_row())
    feed = Feed(ledger)
    feed.delivery.online(0.0)
    feed.read_ack(noise, 0.1)
    assert (ledger.first, feed.delivery.phase) == (1, "asking")
    ledger.close()
