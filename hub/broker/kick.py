"""Throws a node out of the broker: its certificate may be revoked while its session goes on.

A revocation list is asked when a node connects and never again. But a client that connects with the
id of another ends the other's session (MQTT 5, 3.1.4), and on the hub's own listener ids are free.
"""

import threading

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from hub.broker.link import KEEPALIVE_S, secure
from hub.errors import BrokerError
from hub.settings import Broker

ANSWER_S = 3.0


def kick(settings: Broker, node: str) -> None:
    """End the session of `node`; no harm if it has none.

    Raises:
        BrokerError: the broker does not let us in with this id within 3 s.
    """
    where = f"broker {settings.host}:{settings.port}"
    answered = threading.Event()
    answers: list[ReasonCode] = []
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=node,
        protocol=mqtt.MQTTv5,
        reconnect_on_failure=False,
    )

    def note(code: ReasonCode) -> None:
        answers.append(code)
        answered.set()

    client.on_connect = lambda _client, _data, _flags, code, _properties: note(code)
    client.on_disconnect = lambda _client, _data, _flags, code, _properties: note(code)
    client.connect_timeout = ANSWER_S
    try:
        secure(client, settings)
        client.connect(settings.host, settings.port, KEEPALIVE_S, clean_start=True)
    except (OSError, ValueError) as wrong:
        raise BrokerError(f"{where}: {node} cannot be thrown out: {wrong}") from wrong
    client.loop_start()
    in_time = answered.wait(ANSWER_S)
    client.disconnect()
    client.loop_stop()
    if not in_time or answers[0].is_failure:
        why = str(answers[0]) if in_time else f"no answer within {ANSWER_S:.0f} s"
        raise BrokerError(f"{where}: {node} cannot be thrown out: {why}")
