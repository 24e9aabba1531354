"""The hub's connection to its broker."""

import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as paho

from hub import ingest
from hub.broker.link import Link
from hub.settings import Broker
from tests.broker_peer import free_port
from tests.loopback_peer import settings_for
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


def test_a_broker_that_cannot_be_reached_is_told_at_once_and_then_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port, now_s = free_port(), [1000]
    tries: list[int] = []

    def clock_s() -> float:
        tries.append(now_s[0])
        return now_s[0]

    with Link(Broker(host="127.0.0.1", port=port), clock_s):
        until(lambda: len(caplog.messages) == 1, within_s=20)
        now_s[0] += 59
        until(lambda: tries[-1] == 1059, within_s=20)
        assert len(caplog.messages) == 1
        now_s[0] += 1
        until(lambda: len(caplog.messages) == 2, within_s=20)
    assert set(caplog.messages) == {
        f"broker 127.0.0.1:{port} cannot be reached: [Errno 111] Connection refused; tried again. "
        "Check that the broker runs and that [broker] in hub.toml is right."
    }


def test_a_minute_without_a_broker_is_not_one_in_which_nothing_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(ingest, "_REPORT_S", 0.0)
    stop = threading.Event()
    worker = ingest.Ingest(settings_for("dbname=absent", free_port(), tmp_path), stop)
    thread = threading.Thread(target=worker.run, name="ingest")
    thread.start()
    try:
        until(lambda: any("last minute" in told for told in caplog.messages), within_s=20)
    finally:
        stop.set()
        thread.join(30)
    assert "last minute: not connected, dropped so far 0" in caplog.messages


def _nodelay(wire: Any) -> bool:
    return bool(wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
