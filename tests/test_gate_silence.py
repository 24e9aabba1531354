"""Connections to the gate on which nothing comes take nobody's place for long."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from edge.mqtt import identity
from hub import gate, registry
from hub.settings import Broker
from tests.gate_peer import GateHub
from tests.serial_peers import until


@pytest.fixture
def hub(database: str, tmp_path: Path) -> GateHub:
    registry.add(database, "p", "l", "n1")
    return GateHub(database, tmp_path, Broker(host="127.0.0.1", port=9))


def asked(hub: GateHub) -> int:
    """The status of a request that is none: 422 where it is read at all."""
    context = identity.believing(hub.authority.certificate)
    with httpx.Client(verify=context) as client:
        return client.post(f"{hub.url}/enrol", json={}).status_code


@contextlib.contextmanager
def spoken_to(hub: GateHub) -> Iterator[ssl.SSLSocket]:
    """A connection to the gate; closing it may fail, as the gate may have."""
    context = identity.believing(hub.authority.certificate)
    with socket.create_connection(("127.0.0.1", hub.port), timeout=30) as plain:
        peer = context.wrap_socket(plain, server_hostname="127.0.0.1")
        with contextlib.suppress(ConnectionError, ssl.SSLError), peer:
            yield peer


def ended(peer: ssl.SSLSocket) -> bool:
    """Wait until the gate has closed it."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while peer.recv(4096):
            pass
    return True


WHOLE = b"GET /ca HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("said", [b"", b"GET /ca HTTP/1.1\r\nHost: x", WHOLE + b"GET /c"])
def test_a_connection_on_which_no_request_comes_is_closed(
    hub: GateHub, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(gate, "SILENT_S", 1.0)
    with hub.gate(), spoken_to(hub) as peer:
        peer.sendall(said)
        assert ended(peer)
        assert asked(hub) == 422, "others are served"


def test_a_peer_that_says_no_good_bye_keeps_no_place(
    hub: GateHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "SILENT_S", 1.0)
    monkeypatch.setattr(gate, "MOST", 2)  # ours and the one that asks
    with hub.gate(), spoken_to(hub) as peer:
        peer.sendall(b"nonsense\r\n\r\n")  # answered by 400 and a close, which we do not answer
        until(lambda: asked(hub) == 422, within_s=20)  # 503 before


def test_a_request_whose_body_takes_longer_than_a_silence_is_answered(
    hub: GateHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "SILENT_S", 0.1)
    pause = threading.Event()

    def slowly() -> Iterator[bytes]:
        for _ in range(8):
            yield b" "
            pause.wait(0.05)

    context = identity.believing(hub.authority.certificate)
    with hub.gate(), httpx.Client(verify=context) as client:
        assert client.post(f"{hub.url}/enrol", content=slowly()).status_code == 422
