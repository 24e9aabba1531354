"""The hub's connection to its broker."""

import socket
from collections.abc import Iterator

import pytest
from paho.mqtt import client as paho

from hub.broker.link import Link
from hub.settings import Broker
from tests.serial_peers import until


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """Every socket that paho opens."""
    sockets: list[socket.socket] = []
    connect = paho.Client._create_socket_connection

    def remembered(client: paho.Client) -> socket.socket:
        sockets.append(connect(client))
        return sockets[-1]

    monkeypatch.setattr(paho.Client, "_create_socket_connection", remembered)
    return sockets


def test_an_answer_leaves_at_once(broker_port: int, opened: list[socket.socket]) -> None:
    """With Nagle's algorithm each row of a slow line waits 40 ms longer for the hub's answer."""
    with Link(Broker(host="127.0.0.1", port=broker_port)):
        until(lambda: bool(opened) and _nodelay(opened[0]), within_s=20)


def _nodelay(wire: socket.socket) -> bool:
    return wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
