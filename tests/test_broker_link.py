"""The hub's connection to its broker."""

import socket
from typing import Any

import pytest
from paho.mqtt import client as paho

from hub.broker.link import Link
from hub.settings import Broker
from tests.serial_peers import until


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every socket that paho opens."""
    sockets: list[Any] = []
    connect = paho.Client._create_socket_connection

    def remembered(client: paho.Client) -> Any:
        sockets.append(connect(client))
        return sockets[-1]

    monkeypatch.setattr(paho.Client, "_create_socket_connection", remembered)
    return sockets


def test_an_answer_leaves_at_once(broker_port: int, opened: list[Any]) -> None:
    """With Nagle's algorithm each row of a slow line waits 40 ms longer for the hub's answer."""
    with Link(Broker(host="127.0.0.1", port=broker_port)):
        until(lambda: bool(opened) and _nodelay(opened[0]), within_s=20)


def _nodelay(wire: Any) -> bool:
    return bool(wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
