"""The loopback broker as a process, and a hub with one registered node on it."""

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge.mqtt.message import Ack, Batch, Wire, encode
from hub import registry, tether
from hub.broker import loopback
from hub.settings import Broker, Database, Settings, Web

DEADLINE_S = 30.0


@pytest.fixture(scope="module")
def broker_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a broker of this test file."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    folder = tmp_path_factory.mktemp("broker")
    with subprocess.Popen(tether.command(loopback.program(port, folder))) as process:
        loopback.wait_ready(port)
        yield port
        process.terminate()


def settings_for(dsn: str, port: int, folder: Path) -> Settings:
    """hub.toml of a test."""
    return Settings(
        database=Database(dsn=dsn),
        broker=Broker(host="127.0.0.1", port=port),
        web=Web(pictures_dir=str(folder)),
    )


class PlayedNode:
    """A node as the broker sees it: publishes what a test says, keeps every answer."""

    def __init__(self, port: int, name: str = "node-1") -> None:
        self.name = name
        self.acks: list[Ack] = []
        self.changed = threading.Condition()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._set_listening()
        self._client.connect("127.0.0.1", port)
        self._listening = threading.Event()
        self._client.loop_start()
        self._client.subscribe(f"qj/1/jinan/line-1/{name}/ack", 1)
        assert self._listening.wait(DEADLINE_S)

    def _set_listening(self) -> None:
        self._listening.set()

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        with self.changed:
            self.acks.append(msgspec.json.decode(message.payload, type=Ack))
            self.changed.notify_all()

    def publish(self, leaf: str, message: Wire | bytes) -> None:
        payload = message if isinstance(message, bytes) else encode(message)
        self._client.publish(f"qj/1/jinan/line-1/{self.name}/{leaf}", payload, qos=1)

    def ask(self, leaf: str, message: Wire | bytes) -> Ack:
        """Publish, and the next answer; published again, as a node does, until one comes."""
        with self.changed:
            before = len(self.acks)
            give_up_at = time.monotonic() + DEADLINE_S
            while len(self.acks) == before:
                assert time.monotonic() < give_up_at, f"no answer to {leaf}"
                self.publish(leaf, message)
                self.changed.wait(2.0)
            return self.acks[-1]

    def send(self, batch: Batch) -> Ack:
        return self.ask("parts", batch)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def played_node(port: int, dsn: str, name: str = "node-1") -> Iterator[PlayedNode]:
    """A registered node that is connected."""
    registry.add(dsn, "jinan", "line-1", name)
    node = PlayedNode(port, name)
    yield node
    node.close()


def wait_for(true: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Return once `true()`; fail after the deadline."""
    give_up_at = time.monotonic() + deadline_s
    pause = threading.Event()
    while not true():
        assert time.monotonic() < give_up_at, f"waited in vain: {what}"
        pause.wait(0.02)
