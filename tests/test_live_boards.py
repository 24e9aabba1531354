"""Live boards: what happens on a line reaches an open screen by itself (hub.web.feed)."""

import hashlib
import json
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge.mqtt.message import AlertRow, EpochRow, View
from edge.terms import Code
from tests.played_hub import PlayedHub, now_ms, served
from tests.played_shift import part, stamp

DEADLINE_S = 20.0


def start_row() -> EpochRow:
    return EpochRow(
        **stamp("s", now_ms()), base=0, plc_start=1, cause="first_contact", counted_by="plc"
    )


class Listener:
    """Reads a board's live feed in a thread; `wait_for` a condition on what came."""

    def __init__(self, address: str) -> None:
        self.blocks: dict[str, str] = {}
        self.kinds: list[str] = []
        self.ended = False
        self._changed = threading.Condition()
        self._address = address
        self._thread = threading.Thread(target=self._read, name="listener", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with httpx.stream("GET", self._address, timeout=None) as answer:  # ends with the hub
            assert answer.headers["content-type"].startswith("text/event-stream")
            kind = ""
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    self._take(kind, json.loads(value))
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def _take(self, kind: str, blocks: dict[str, str]) -> None:
        with self._changed:
            self.kinds.append(kind)
            self.blocks.update(blocks)
            self._changed.notify_all()

    def wait_for(self, condition: Any) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, DEADLINE_S), (self.kinds, list(self.blocks))


def test_a_board_hears_of_new_parts_alerts_and_pictures_as_they_come(
    played_hub: PlayedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.web.feed.MOST_S", 10 * DEADLINE_S)  # no look without a NOTIFY
    node = played_hub.new_node("w-live")
    heard = Listener(played_hub.address + "/events/licheng/w-live")
    heard.wait_for(lambda: "还没有非合格件" in heard.blocks.get("last", ""))
    jpeg = next(iter(played_hub.pictures.values())) + b"live"
    sha256 = hashlib.sha256(jpeg).hexdigest()
    view = View(camera="c", code=Code.NG, width=512, height=512, picture=sha256)
    node.send(start_row(), part("s", 1, now_ms(), Code.NG, defect="chip", views=(view,)))
    heard.wait_for(lambda: "崩边" in heard.blocks["last"])
    assert "图片尚未传到" in heard.blocks["last"]
    assert played_hub.put(node, sha256, jpeg).status_code == 201
    heard.wait_for(lambda: f"/pictures/{sha256}.jpg" in heard.blocks["last"])
    node.send(AlertRow(**stamp("s", now_ms()), code="camera_lost", active=True, count=1))
    heard.wait_for(lambda: "相机断开" in heard.blocks["alerts"])


def test_a_burst_of_commits_reaches_a_screen_as_a_few_changes(played_hub: PlayedHub) -> None:
    node = played_hub.new_node("w-burst")
    node.send(start_row())
    heard = Listener(played_hub.address + "/events/licheng/w-burst")
    heard.wait_for(lambda: "counts" in heard.blocks)
    began_ms = now_ms()
    for number in range(1, 101):
        node.send(part("s", number, now_ms(), Code.OK))
    heard.wait_for(lambda: ">100<" in heard.blocks["counts"])
    took_s = (now_ms() - began_ms) / 1000
    assert len(heard.kinds) <= 2 * took_s + 3


def test_a_board_in_english_is_fed_in_english(played_hub: PlayedHub) -> None:
    heard = Listener(played_hub.address + "/events/licheng/plate-2?lang=en")
    heard.wait_for(lambda: "state" in heard.blocks)
    assert "Bypass" in heard.blocks["state"]


def test_the_hub_stops_at_once_though_boards_are_open(database: str, tmp_path: Path) -> None:
    with served(database, tmp_path) as (address, _, store, _):
        place = {"node": "n", "plant": "p", "line": "l", "token_hash": "h"}
        store.rows("node_added", **place)
        heard = Listener(address + "/events/p/l")
        heard.wait_for(lambda: "state" in heard.blocks)
    heard.wait_for(lambda: heard.ended)


def test_the_command_serves_until_sigterm_and_ends_with_0(database: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = tmp_path / "hub.toml"
    settings.write_text(
        f'[database]\ndsn = "{database}"\n[broker]\nhost = "127.0.0.1"\n'
        f'[web]\nport = {port}\npictures_dir = "{tmp_path}"\n'
    )
    command = [sys.executable, "-m", "hub", "serve", "--config", str(settings)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as hub:
        with httpx.Client(transport=httpx.HTTPTransport(retries=6)) as browser:  # it is starting
            answer = browser.get(f"http://127.0.0.1:{port}/healthz", timeout=DEADLINE_S)
        assert answer.status_code == 200
        hub.send_signal(signal.SIGTERM)
        _, told = hub.communicate(timeout=DEADLINE_S)
    assert hub.returncode == 0, told
    assert f"http://127.0.0.1:{port}" in told
    assert "Traceback" not in told
