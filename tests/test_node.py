"""A node as it is built, before it runs: edge.node."""

import socket
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge import clock, settings
from edge.errors import LinkError
from edge.ledger.epochs import LastEpoch
from edge.mqtt.message import Clock
from edge.node import Node, _age_s
from edge.outbox import Outbox
from tests.ledger_rows import BOOT, STATION, epoch_row, missed_row
from tests.small_line import wire


def test_a_node_that_cannot_be_built_leaves_nothing_open_and_the_next_one_runs(
    tmp_path: Path,
) -> None:
    wire(tmp_path, [False])
    file = tmp_path / "edge.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("port = 0", f"port = {port}"), encoding="utf-8")
        with pytest.raises(LinkError, match="cannot listen"):
            Node(settings.read(file), unsigned=True)
    node = Node(settings.read(file), unsigned=True)
    node.close()
    node.close()


@pytest.mark.parametrize(
    ("at_ms", "quality", "age_s"),
    [
        (60_000, "synced", None),  # a minute after the start of a computer without a clock
        (0, "synced", None),
        (clock.EARLIEST_MS, "synced", 90.0),
        (clock.EARLIEST_MS, "unsynced", None),
        (clock.EARLIEST_MS + 90_001, "synced", None),  # that row's clock or this one is wrong
    ],
)
def test_a_counter_is_as_old_as_two_clocks_say_that_were_set_or_nobody_knows(
    monkeypatch: pytest.MonkeyPatch, at_ms: int, quality: Clock, age_s: float | None
) -> None:
    monkeypatch.setattr(clock, "quality", lambda: quality)
    monkeypatch.setattr(clock, "utc_ms", lambda: clock.EARLIEST_MS + 90_000)
    assert _age_s(LastEpoch(1, 0, 5, 1, at_ms, 60_000, BOOT)) == age_s


def test_the_ledger_keeps_no_time_of_a_clock_that_was_not_set(tmp_path: Path) -> None:
    ledger, late_ms = Outbox(tmp_path / "ledger.db", ballast_bytes=4096), clock.EARLIEST_MS
    told = []
    for epoch, quality in enumerate(("synced", "unsynced", "holdover"), 1):
        for row in (epoch_row(epoch), missed_row(1, 4, epoch)):
            ledger.append(replace(row, at_ms=late_ms + epoch, clock=quality))
            last = ledger.resume(STATION)
            told.append(last.at_ms - late_ms if last is not None and last.at_ms else 0)
    ledger.close()
    assert told == [1, 1, 0, 0, 3, 3]
