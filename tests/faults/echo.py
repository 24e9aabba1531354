"""A wire that says things twice and in another order: every batch comes again, some time later.

A client of the broker that hears what nodes publish and publishes it again on the same topic, the
batches of each heap in a random order. What it repeats carries a mark, so that it is said twice
and not for ever.
"""

import random
import threading
from types import TracebackType
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

AGAIN = ("again", "1")


class Echo:
    """Repeats every batch once, between `with` and its end."""

    def __init__(self, port: int, heap: int = 3, seed: int = 0) -> None:
        self.repeated = 0
        self._port = port
        self._heap = heap
        self._random = random.Random(seed)
        self._heard: list[tuple[str, bytes]] = []
        self._lock = threading.Lock()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("qj/1/+/+/+/parts", 1)
        self._client.on_message = self._on_message

    def __enter__(self) -> "Echo":
        self._client.connect_async("127.0.0.1", self._port, keepalive=5)
        self._client.loop_start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._say()
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, _client: object, _data: Any, message: paho.MQTTMessage) -> None:
        if AGAIN in getattr(message.properties, "UserProperty", []):
            return
        with self._lock:
            self._heard.append((message.topic, bytes(message.payload)))
            if len(self._heard) >= self._heap:
                self._say()

    def _say(self) -> None:
        self._random.shuffle(self._heard)
        for topic, payload in self._heard:
            marked = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            marked.UserProperty = AGAIN
            self._client.publish(topic, payload, qos=1, properties=marked)
            self.repeated += 1
        self._heard.clear()
