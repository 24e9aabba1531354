"""One connection of a node to the broker: paho lives here and nowhere else on the node.

What happens on it is left as notes, from paho's own thread; nothing here decides.
"""

import logging
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import msgspec
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge import settings
from edge.errors import LinkError
from edge.mqtt import identity
from edge.mqtt.message import MAX_BATCH_BYTES, Sent, State, encode, topic

log = logging.getLogger(__name__)

KEEPALIVE_S = 5  # a dead broker is noticed within twice this
IN_FLIGHT = 4  # messages paho may hold: the outbox is the queue
DISCARD_S = 2.0
PACKET_MARGIN_BYTES = 1024  # topic and header of a publish
UNGREETED = "the broker hung up after the TLS greeting: it does not take this node's certificate"
UNGREETED_HINT = (
    "It is revoked, of another authority, or over by the broker's clock: `quanjian-edge check` "
    "says when it ends; after a revocation the administrator enrols the node anew."
)
"""TLS 1.3 refuses a client only after the greeting, and paho says no more than that it is over."""


@dataclass(frozen=True, slots=True)
class Up:
    """Connected, and subscribed to the hub's answers."""

    largest_bytes: int  # of a packet, as the broker says


@dataclass(frozen=True, slots=True)
class Down:
    """Not connected any more, or not yet."""

    why: str
    hint: str = LinkError.hint


@dataclass(frozen=True, slots=True)
class Passed:
    """The broker has a message: not delivery, but its reason code may explain a silence."""

    code: int  # MQTT 5 reason code
    told: str


Note = Up | Down | Passed | bytes  # bytes: an acknowledgement as it came


class Session:
    """One connection, with a paho client that goes with it.

    A client that lives on would send again what it holds at each reconnect, and a message over
    which the broker hangs up would come for ever.
    """

    def __init__(
        self, node: settings.Node, hub: settings.Hub, will: State, note: Callable[[Note], None]
    ) -> None:
        """Raises LinkError: no one answers at the broker's address within 5 s, or TLS fails."""
        self._node = node
        self._note = note
        self._largest_bytes = MAX_BATCH_BYTES + PACKET_MARGIN_BYTES
        files = identity.files_of(hub)
        self._encrypted, self._greeted = files is not None, False
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=node.name,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(IN_FLIGHT)
        client.max_queued_messages_set(4 * IN_FLIGHT)
        client.will_set(self._topic("state"), self._named(will), qos=1, retain=True)
        client.on_socket_open = _send_at_once
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        if files is not None:
            # made anew for every connection, so that a renewed certificate needs no restart
            now = datetime.now(timezone.utc)
            client.tls_set_context(identity.context(files, node.name, now))
        try:
            client.connect(hub.broker_host, hub.broker_port, KEEPALIVE_S, clean_start=True)
            client.loop_start()
        except ssl.SSLError as wrong:
            raise identity.refusal(wrong) from wrong
        except (OSError, ValueError) as wrong:
            raise LinkError(str(wrong)) from wrong

    def broke_off(self) -> bool:
        """Did paho's thread end on bytes it cannot read? (It says so only to stderr.)"""
        return self._client.loop_start() == MQTTErrorCode.MQTT_ERR_SUCCESS

    def publish(
        self, leaf: str, message: Sent, qos: int, retain: bool = False
    ) -> paho.MQTTMessageInfo:
        """Hand a message to paho.

        Raises:
            LinkError: it cannot take it now.
        """
        try:
            info = self._client.publish(self._topic(leaf), self._named(message), qos, retain)
        except (OSError, ValueError, RuntimeError) as wrong:
            raise LinkError(f"{leaf} was not sent: {wrong}") from wrong
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkError(f"{leaf} was not sent: {info.rc.name}")
        return info

    def _named(self, message: Sent) -> bytes:
        return encode(msgspec.structs.replace(message, node=self._node.name))

    def goodbye(self, state: State) -> None:
        """A clean disconnect drops the last will, so the state is told in so many words."""
        try:
            self.publish("state", state, qos=1, retain=True).wait_for_publish(1.0)
        except (LinkError, ValueError, RuntimeError) as wrong:
            log.warning("no good-bye: %s", wrong)

    def discard(self) -> None:
        """Disconnect. A peer that hangs does not hold this up: its thread ends when it can."""
        self._client.disconnect()
        stopper = threading.Thread(target=self._client.loop_stop, name="link stop", daemon=True)
        stopper.start()
        stopper.join(DISCARD_S)

    def _topic(self, leaf: str) -> str:
        return topic(self._node.plant, self._node.line, self._node.name, leaf)

    def _on_connect(
        self,
        client: paho.Client,
        _data: Any,
        _flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._greeted = True
        if reason.is_failure:
            self._note(Down(f"refused: {reason}"))
            return
        self._largest_bytes = getattr(properties, "MaximumPacketSize", self._largest_bytes)
        client.subscribe(self._topic("ack"), qos=1)

    def _on_subscribe(
        self,
        _client: paho.Client,
        _data: Any,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            self._note(Down(f"the hub's answers may not be heard: {refused[0]}"))
        else:
            self._note(Up(self._largest_bytes))

    def _on_disconnect(
        self,
        _client: paho.Client,
        _data: Any,
        _flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._encrypted and not self._greeted:
            self._note(Down(UNGREETED, UNGREETED_HINT))
        else:
            self._note(Down(str(reason)))

    def _on_publish(
        self,
        _client: paho.Client,
        _data: Any,
        _mid: int,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._note(Passed(reason.value, str(reason)))

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self._note(bytes(message.payload))


def _send_at_once(_client: paho.Client, _data: Any, wire: Any) -> None:
    """No Nagle: a batch behind a PUBACK would wait 40 ms for the other end's delayed TCP ack."""
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
