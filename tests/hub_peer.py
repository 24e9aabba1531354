"""The hub's side of the protocol, small: a cursor per stream, rows checked against their chain."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge import settings
from edge.mqtt.link import Link
from edge.mqtt.message import (
    GENESIS,
    Ack,
    AnyRow,
    Batch,
    Birth,
    Compared,
    Notice,
    PartRow,
    State,
    chain,
    decode_batch,
    decode_row,
    encode,
)
from edge.outbox import Outbox

DEADLINE_S = 30.0
NODE = settings.Node(plant="p", line="l", name="n1", data_dir="unused")


class HubPeer:
    """Takes batches, keeps rows once and in order, and acknowledges what it keeps."""

    def __init__(
        self, port: int, subscribe: bool = True, login: tuple[str, Path] | None = None
    ) -> None:
        self.changed = threading.Condition()
        self.rows: dict[str, list[AnyRow]] = {}  # what was kept, by stream
        self.hashes: dict[str, dict[int, str]] = {}  # of the rows kept, by sequence
        self.begins: dict[str, int] = {}  # of streams that branched off another
        self.batches: list[Batch] = []  # every arrival, also what was not new
        self.births: list[Birth] = []
        self.states: list[State] = []
        self.notices: list[Notice] = []
        self.broken: list[str] = []  # anything a node must never do
        self.deaf = False  # takes nothing and answers nothing
        self.mute = False  # takes rows and answers nothing
        self.refuse: str | None = None  # takes nothing and says why
        self.cursor_lie = 0  # added to every acknowledgement
        self._subscribe = subscribe
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="hub", protocol=MQTTProtocolVersion.MQTTv5
        )
        if login is not None:
            self._client.username_pw_set(login[0], login[1].read_text())
        self._client.reconnect_delay_set(0.05, 0.2)  # type: ignore[arg-type]
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.connect_async("127.0.0.1", port, keepalive=5, clean_start=True)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait_for(self, condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
        """Return once `condition` holds; fail after the deadline."""
        with self.changed:
            assert self.changed.wait_for(condition, deadline_s), "the hub waited in vain"

    def next(self, stream: str) -> int:
        return len(self.rows.get(stream, [])) + self.begins.get(stream, 1)

    def hash_of(self, stream: str, seq: int) -> str:
        return self.hashes.get(stream, {}).get(seq, GENESIS)

    def send(self, node: str, payload: bytes) -> None:
        """Say anything on a node's `ack` topic."""
        self._client.publish(f"qj/1/p/l/{node}/ack", payload, qos=1)

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        if self._subscribe:
            client.subscribe("qj/1/+/+/+/#", qos=1)

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        *_, node, leaf = message.topic.split("/")
        with self.changed:
            if leaf == "parts" and not self.deaf:
                self._on_batch(node, decode_batch(bytes(message.payload)))
            elif leaf == "birth" and not self.deaf:
                birth = msgspec.json.decode(message.payload, type=Birth)
                self.births.append(birth)
                self._same_node(node, birth)
                self._born(node, birth)
            elif leaf == "state":
                self.states.append(msgspec.json.decode(message.payload, type=State))
            elif leaf == "notice":
                self.notices.append(msgspec.json.decode(message.payload, type=Notice))
            self.changed.notify_all()

    def _born(self, node: str, birth: Birth) -> None:
        stream = birth.stream
        if birth.follows is not None and stream not in self.hashes:
            self.begins[stream] = birth.begins
            past = birth.begins - 1
            self.hashes[stream] = {past: self.hash_of(birth.follows, past)}
        compared = None
        if birth.mark is not None and birth.mark.seq < self.next(stream) + self.cursor_lie:
            same = self.hash_of(stream, birth.mark.seq) == birth.mark.hash
            compared = Compared(seq=birth.mark.seq, hash=birth.mark.hash, same=same)
        self._acknowledge(node, stream, compared=compared)

    def _same_node(self, node: str, told: Batch | Birth) -> None:
        if told.node != node:
            self.broken.append(f"a message of {told.node} under the topic of {node}")

    def _on_batch(self, node: str, batch: Batch) -> None:
        self._same_node(node, batch)
        self.batches.append(batch)
        if self.refuse is None:
            self._keep(batch)
        self._acknowledge(node, batch.stream, self.refuse)

    def _keep(self, batch: Batch) -> None:
        next_seq = self.next(batch.stream)
        if batch.first > next_seq:
            self.broken.append(f"row {next_seq} was left out: the batch begins at {batch.first}")
            return
        before = batch.prev
        for seq, entry in enumerate(batch.rows, batch.first):
            digest = chain(before, seq, bytes(entry.row))
            if digest != entry.hash:
                self.broken.append(f"row {seq}: wrong hash")
            if seq == next_seq:
                if before != self.hash_of(batch.stream, seq - 1):
                    self.broken.append(f"row {seq}: does not follow the row before it")
                self.rows.setdefault(batch.stream, []).append(decode_row(entry.row))
                self.hashes.setdefault(batch.stream, {})[seq] = digest
                next_seq += 1
            before = digest

    def _acknowledge(
        self,
        node: str,
        stream: str,
        refused: str | None = None,
        compared: Compared | None = None,
    ) -> None:
        if not self.mute:
            last = self.next(stream) - 1
            next_seq = last + 1 + self.cursor_lie
            digest = self.hash_of(stream, last) if next_seq > 1 else None
            ack = Ack(
                v=1, stream=stream, next=next_seq, hash=digest, refused=refused, compared=compared
            )
            self.send(node, encode(ack))


def link_to(port: int, ledger: Outbox, answer_s: float = 0.5) -> Link:
    """The link of node n1, quick enough for a test."""
    return Link(
        NODE,
        settings.Hub(broker_host="127.0.0.1", broker_port=port),
        ledger,
        answer_s=answer_s,
        reconnect_s=(0.05, 0.2),
    )


def until(condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Return once `condition` holds."""
    pause = threading.Event()
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, "waited in vain"
        pause.wait(0.01)


def numbers(hub: HubPeer, ledger: Outbox) -> list[int]:
    """The parts of this ledger that the hub has, in the order it took them."""
    return [row.number for row in hub.rows.get(ledger.stream, []) if isinstance(row, PartRow)]
