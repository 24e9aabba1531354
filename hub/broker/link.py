"""The hub's connection to the MQTT 5 broker: messages in, acknowledgements out. Owns paho.

paho's own thread puts what arrives into a bounded queue; a full queue drops the newest, because
every node sends again what was not acknowledged. A lost or absent broker is tried again with
growing pauses.
"""

import logging
import queue
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from hub.errors import BrokerError
from hub.settings import Broker

log = logging.getLogger(__name__)

SHARED = ("parts", "birth", "notice")
"""Leaves that one of several ingest workers takes; `state` is retained, and retained messages are
not sent to shared subscriptions, so every worker hears it."""

KEEPALIVE_S = 5  # a dead broker is noticed within twice this
_WAITING = 1000  # messages
_TELL_AWAY_S = 60.0  # how often a broker that cannot be reached is told


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it came."""

    topic: str
    payload: bytes
    retained: bool


def secure(client: mqtt.Client, settings: Broker) -> None:
    """Give a client the name, password and certificates of [broker]; TLS is 1.3 or none.

    Raises:
        OSError, ValueError: a file of these cannot be used.
    """
    if settings.username is not None and settings.password_file is not None:
        password = Path(settings.password_file).read_text(encoding="utf-8").strip()
        client.username_pw_set(settings.username, password)
    if settings.ca_file is not None:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if settings.certificate_file is not None:
            context.load_cert_chain(settings.certificate_file, settings.key_file)
        client.tls_set_context(context)


class Link:
    """Messages of every node of this broker, in the order in which they came."""

    def __init__(self, settings: Broker, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self._clock_s = clock_s
        self._tell_away_at_s = float("-inf")
        self.connected = threading.Event()  # and listening
        self.dropped = 0
        self._queue: queue.Queue[Message] = queue.Queue(_WAITING)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.reconnect_delay_set(1, 30)
        self._client.on_socket_open = _send_at_once
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._started = False

    def __enter__(self) -> "Link":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start connecting; does not wait for the broker.

        Raises:
            BrokerError: a password or certificate file cannot be used.
        """
        try:
            secure(self._client, self.settings)
            self._client.connect_async(self.settings.host, self.settings.port, KEEPALIVE_S)
        except (OSError, ValueError) as wrong:  # ssl.SSLError is an OSError
            raise BrokerError(f"broker {self._where}: {wrong}") from wrong
        self._client.loop_start()
        self._started = True

    def next(self, timeout_s: float) -> Message | None:
        """The next message, or None if none came in time."""
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None

    @property
    def waiting(self) -> int:
        """Messages that came and were not taken yet."""
        return self._queue.qsize()

    def publish(self, topic: str, payload: bytes) -> None:
        """Send with QoS 1; kept for the next connection if there is none now.

        Raises:
            BrokerError: the message cannot be sent at all.
        """
        try:
            self._client.publish(topic, payload, qos=1)
        except (ValueError, RuntimeError) as wrong:
            raise BrokerError(f"broker {self._where}: {topic}: {wrong}") from wrong

    def close(self) -> None:
        """Say goodbye and end the thread; may be called twice."""
        if self._started:
            self._started = False
            self._client.disconnect()
            self._client.loop_stop()

    @property
    def _where(self) -> str:
        return f"{self.settings.host}:{self.settings.port}"

    def _on_connect(
        self,
        client: mqtt.Client,
        userdata: Any,
        flags: mqtt.ConnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if code.is_failure:
            log.warning("broker %s refuses the hub: %s", self._where, code)
            return
        self._tell_away_at_s = float("-inf")
        possible = getattr(properties, "SharedSubscriptionAvailable", 1) != 0
        shared = self.settings.shared and possible
        # a group per leaf: rumqttd mixes up the filters of one group and loses messages
        wanted = [
            (f"$share/ingest-{leaf}/qj/1/+/+/+/{leaf}" if shared else f"qj/1/+/+/+/{leaf}", 1)
            for leaf in SHARED
        ]
        client.subscribe([*wanted, ("qj/1/+/+/+/state", 1)])
        log.info("broker %s connected%s", self._where, ", work is shared" if shared else "")

    def _on_connect_fail(self, client: mqtt.Client, userdata: Any) -> None:
        now_s = self._clock_s()
        if now_s >= self._tell_away_at_s:
            self._tell_away_at_s = now_s + _TELL_AWAY_S
            wrong = sys.exc_info()[1]  # paho calls from where it catches it, and hands over nothing
            told = "broker %s cannot be reached: %s; tried again. %s"
            log.warning(told, self._where, wrong, BrokerError.hint)

    def _on_subscribe(
        self,
        client: mqtt.Client,
        userdata: Any,
        mid: int,
        codes: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        refused = [str(code) for code in codes if code.is_failure]
        if refused:
            log.error("broker %s does not let the hub listen: %s", self._where, refused[0])
        else:
            self.connected.set()

    def _on_disconnect(
        self,
        client: mqtt.Client,
        userdata: Any,
        flags: mqtt.DisconnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self.connected.clear()
        if code.is_failure:
            log.warning("broker %s lost: %s; it is tried again", self._where, code)

    def _on_message(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        try:
            self._queue.put_nowait(Message(message.topic, bytes(message.payload), message.retain))
        except queue.Full:
            self.dropped += 1


def _send_at_once(_client: mqtt.Client, _data: Any, wire: Any) -> None:
    """No Nagle: an answer behind a PUBACK would wait 40 ms for the other end's delayed TCP ack."""
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
