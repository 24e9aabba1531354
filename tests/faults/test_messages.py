"""Messages that no honest node sends, and one node's word in another's mouth."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from hub import registry
from tests.faults.oracle import asked
from tests.faults.plant import NODE, Plant, wait_until
from tests.faults.runs import ended, plant_on

pytestmark = [pytest.mark.faults, pytest.mark.needs_mosquitto]

POISON = (
    b"",
    b"\x00",
    b"\xff\xfe{}",
    b'{"v":1}',
    b'{"v":2,"stream":"' + b"a" * 32 + b'","first":1,"prev":"' + b"0" * 64 + b'","rows":[]}',
    b'{"v":1,"stream":"' + b"a" * 32 + b'","first":1e999,"prev":"","rows":[]}',
    b'{"v":1,"stream":"' + b"a" * 32 + b'","first":9223372036854775808,"prev":"","rows":[]}',
    b"[" * 100_000,
    b'{"v":1,"rows":[{"row":' + b"[" * 50_000 + b"]" * 50_000 + b"}]}",
    b'{"v":1,"first":NaN}',
    b'{"stream":"\xed\xa0\x80"}',
    b"\x00" * 200_000,
)


@contextmanager
def stranger(port: int, name: str = "") -> Iterator[paho.Client]:
    """Any client of the broker."""
    client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5)
    listening = threading.Event()
    client.on_connect = lambda *_: listening.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert listening.wait(30)
    yield client
    client.disconnect()
    client.loop_stop()


@pytest.fixture
def plant(database: str, tmp_path: Path) -> Iterator[Plant]:
    with plant_on(database, tmp_path, rate_per_s=40.0) as made:
        yield made


def refused(plant: Plant, words: str) -> int:
    """Messages that the hub kept aside for a reason with these words."""
    [found] = asked(plant.dsn, "SELECT count(*) n FROM refused WHERE reason LIKE %s", f"%{words}%")
    return int(found["n"])


def _more(plant: Plant, words: str, than: int) -> bool:
    return refused(plant, words) > than


def test_poison_is_kept_aside_and_the_rows_behind_it_are_taken(plant: Plant) -> None:
    plant.plc.feed(True)
    with stranger(plant.broker.port) as client:
        for _ in range(3):
            for leaf in ("parts", "birth", "state", "notice"):
                for payload in POISON:
                    client.publish(f"qj/1/jinan/line-1/{NODE}/{leaf}", payload, qos=1)
        wait_until(lambda: refused(plant, "") >= 3 * 4 * len(POISON), "all of it is refused")
    assert ended(plant) == []


def test_a_message_that_is_too_large_for_the_broker_stops_no_row(
    database: str, tmp_path: Path
) -> None:
    limit = "message_size_limit 20000\n"
    with plant_on(database, tmp_path, rate_per_s=60.0, broker_settings=limit) as plant:
        plant.feed(20)
        plant.broker.kill()
        plant.feed(200)  # more than one message may hold
        plant.broker.start()
        with stranger(plant.broker.port) as client:
            client.publish(f"qj/1/jinan/line-1/{NODE}/parts", bytes(300_000), qos=1)
        assert ended(plant) == []


def test_a_node_that_sends_another_nodes_rows_as_its_own_is_refused(plant: Plant) -> None:
    """Without certificates nothing but the ledger itself stands between two nodes of a broker."""
    registry.add(plant.dsn, "jinan", "line-1", "node-2")
    heard: list[bytes] = []
    with stranger(plant.broker.port) as client:
        client.on_message = lambda _client, _data, message: heard.append(bytes(message.payload))
        client.subscribe(f"qj/1/jinan/line-1/{NODE}/parts", 1)
        plant.feed(60)
        wait_until(lambda: len(heard) > 3, "rows of the node are heard")
        for payload in heard:
            client.publish("qj/1/jinan/line-1/node-2/parts", payload, qos=1)
            for other in ("node-2", "node-9"):  # one is registered, one is nobody
                lie = payload.replace(b'"node":"node-1"', f'"node":"{other}"'.encode())
                client.publish(f"qj/1/jinan/line-1/{other}/parts", lie, qos=1)
        for words in ("the message is of node", "belongs to node node-1", "not registered"):
            wait_until(partial(_more, plant, words, 3), f"refused: {words}")
    assert ended(plant) == []


def test_a_client_that_takes_a_nodes_name_costs_it_time_and_no_row(plant: Plant) -> None:
    plant.plc.feed(True)
    for _ in range(5):
        with stranger(plant.broker.port, NODE):
            threading.Event().wait(0.3)
    assert ended(plant) == []
