"""A copied disk that runs beside the original: broker, two workers and two links, all real."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge import settings
from edge.mqtt.link import Link
from edge.outbox import Outbox
from edge.terms import Code
from hub import metrics, registry
from tests.broker_peer import Broker
from tests.ingest_peer import asked, worker
from tests.ledger_rows import counter_row, epoch_row, part_row
from tests.loopback_peer import settings_for, wait_for

NODE = settings.Node(plant="jinan", line="line-1", name="node-1", data_dir="unused")


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def link_of(ledger: Outbox, port: int) -> Link:
    hub = settings.Hub(broker_host="127.0.0.1", broker_port=port)
    return Link(NODE, hub, ledger, answer_s=0.5, reconnect_s=(0.05, 0.5))


@pytest.mark.needs_mosquitto
def test_two_nodes_from_one_disk_lose_nothing_and_count_nothing_twice(
    database: str, tmp_path: Path, opened: ExitStack
) -> None:
    """With one client id they throw each other off the broker; rows pass all the same."""
    dsn, broker = database, Broker(tmp_path)
    broker.start()
    opened.callback(broker.kill)
    registry.add(dsn, NODE.plant, NODE.line, NODE.name)
    for _ in range(2):
        opened.enter_context(worker(settings_for(dsn, broker.port, tmp_path)))
    first = Outbox(tmp_path / "a" / "ledger.db", ballast_bytes=4096)
    first.append(epoch_row(), *(part_row(number) for number in range(1, 101)))
    first.counter(counter_row(100))
    first.close()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    ledgers = [Outbox(tmp_path / name / "ledger.db", ballast_bytes=4096) for name in "ab"]
    for ledger in ledgers:
        opened.callback(ledger.close)
        link = link_of(ledger, broker.port)
        opened.callback(link.close)
        link.start()
    for number in range(101, 301):
        ledgers[0].append(part_row(number, at_ms=1_001))
        ledgers[1].append(part_row(number, Code.NG if number > 250 else Code.OK, at_ms=1_002))
    for ledger in ledgers:
        ledger.counter(counter_row(300))
    wait_for(lambda: not any(ledger.waiting for ledger in ledgers), "both drain")
    assert sorted(ledger.follows is not None for ledger in ledgers) == [False, True]
    assert asked(dsn, "SELECT number FROM part GROUP BY number HAVING count(*) > 1") == []
    [counted] = asked(
        dsn, "SELECT (sum(ok) + sum(ng))::int n, sum(triggers)::int t FROM minute_count"
    )
    assert counted == {"n": 300, "t": 300}
    laws = asked(dsn, "SELECT * FROM law")
    assert [metrics.first_law(law).residue for law in laws] == [0, 0]
    [aside] = asked(dsn, "SELECT sum(parts)::int parts, sum(elsewhere)::int n FROM quarantine")
    assert aside == {"parts": 0, "n": 200}
