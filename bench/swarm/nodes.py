"""Played nodes in one process, each with a ledger in memory; the process that bench.fleet starts.

    python -m bench.swarm.nodes '{"port": 1883, "nodes": 50, "rate": 20, "seconds": 20}'

Each node writes parts at its rate and sends them as a node does: one batch under way, of at most
500 rows, the next after the hub's answer; a batch without an answer goes again. At the end each
writes a sample of the PLC's counter and waits for the last answer. The last line on stdout is what
was seen, as JSON.
"""

import asyncio
import json
import sys
import time
from collections import deque

import msgspec
import numpy as np

from bench.swarm import mqtt
from edge.mqtt.message import MAX_BATCH_ROWS, Ack, Birth, encode, topic
from tests.ledger_rows import counter_row, epoch_row, part_row
from tests.paper_ledger import PaperLedger

KEEPALIVE_S = 60
ANSWER_S = 15.0  # then the batch goes again
DRAIN_S = 120.0  # after the last part
PLANT = "fleet"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to play."""

    port: int
    nodes: int
    rate: float  # parts/s of each
    seconds: float


def place(number: int) -> tuple[str, str, str]:
    """Plant, line and node of one played node: ten nodes a line."""
    return PLANT, f"line-{number // 10}", f"node-{number}"


class PlayedNode:
    """One node: its ledger, what is under way, and how long rows waited for the hub's answer."""

    def __init__(self, number: int, order: Order) -> None:
        self._order = order
        self._names = place(number)
        self._ledger = PaperLedger(f"{number:032x}")
        self._written_s: deque[tuple[int, float]] = deque()  # sequence and when, not yet answered
        self._acknowledged = 0
        self._parts = 0
        self._sent_s = 0.0
        self._under_way = False
        self.lags_s: list[float] = []
        self.batches = self.resent = 0

    async def run(self) -> None:
        """Connect, play, and wait for the last answer."""
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self._order.port)
        self._writer.write(mqtt.connect(self._names[2], KEEPALIVE_S))
        self._answers = asyncio.Event()
        listening = asyncio.create_task(self._listen(reader))
        self._writer.write(mqtt.subscribe(1, topic(*self._names, "ack")))
        self._ledger.write([epoch_row()])
        birth = Birth(v=1, stream=self._ledger.stream, next=1, head=2, software="fleet")
        self._publish("birth", encode(birth))
        began_s = time.monotonic()
        while (now_s := time.monotonic()) < began_s + self._order.seconds:
            self._write_parts(int((now_s - began_s) * self._order.rate), now_s)
            self._send(now_s)
            await self._pause(began_s + (self._parts + 1) / self._order.rate - now_s)
        self._ledger.write([counter_row(self._parts)])
        while self.waiting and time.monotonic() < began_s + self._order.seconds + DRAIN_S:
            self._send(time.monotonic())
            await self._pause(0.2)
        listening.cancel()
        self._writer.close()

    @property
    def waiting(self) -> int:
        """Rows without an answer."""
        return self._ledger.next - 1 - self._acknowledged

    @property
    def parts(self) -> int:
        """Parts written."""
        return self._parts

    def _write_parts(self, due: int, now_s: float) -> None:
        new = range(self._parts + 1, due + 1)
        if new:
            at_ms = int(time.time() * 1000)
            self._ledger.write([part_row(number, at_ms=at_ms) for number in new])
            self._written_s.append((self._ledger.next - 1, now_s))
            self._parts = due

    def _send(self, now_s: float) -> None:
        if self._under_way and now_s - self._sent_s < ANSWER_S:
            return
        if not self.waiting:
            return
        self.resent += self._under_way
        first = self._acknowledged + 1
        batch = self._ledger.batch(first, min(first + MAX_BATCH_ROWS, self._ledger.next))
        self._publish("parts", encode(batch))
        self.batches += 1
        self._under_way, self._sent_s = True, now_s

    def _publish(self, leaf: str, payload: bytes) -> None:
        self._writer.write(
            mqtt.publish(2 + self.batches % 60_000, topic(*self._names, leaf), payload)
        )

    async def _pause(self, seconds: float) -> None:
        """Until the next part is due or an answer has come."""
        self._answers.clear()
        try:
            await asyncio.wait_for(self._answers.wait(), max(seconds, 0.0))
        except asyncio.TimeoutError:
            return

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        parser = mqtt.Parser()
        while received := await reader.read(65536):
            for packet in parser.feed(received):
                if packet.refused:
                    raise ConnectionError(f"{self._names[2]}: the broker refused {packet}")
                if packet.kind == mqtt.PUBLISH:
                    self._answered(packet)

    def _answered(self, packet: mqtt.Packet) -> None:
        number, payload = packet.published()
        if number:
            self._writer.write(mqtt.puback(number))
        ack = msgspec.json.decode(payload, type=Ack)
        if ack.refused is not None:
            raise ConnectionError(f"{self._names[2]}: refused: {ack.refused}")
        now_s = time.monotonic()
        self._acknowledged = ack.next - 1
        self._under_way = False
        while self._written_s and self._written_s[0][0] <= self._acknowledged:
            self.lags_s.append(now_s - self._written_s.popleft()[1])
        self._answers.set()


async def play(order: Order) -> dict[str, object]:
    """Run all of them side by side."""
    nodes = [PlayedNode(number, order) for number in range(order.nodes)]
    began_s, cpu_s = time.monotonic(), time.process_time()
    await asyncio.gather(*(node.run() for node in nodes))
    took_s = time.monotonic() - began_s
    lags_s = np.concatenate([node.lags_s for node in nodes])
    quantiles = np.percentile(lags_s, [50, 99, 100]).round(3)
    parts = sum(node.parts for node in nodes)
    return {
        "parts": parts,
        "waiting": sum(node.waiting for node in nodes),
        "seconds": round(took_s, 2),
        "rows_per_s": round(parts / took_s),
        "lag_s": dict(zip(("p50", "p99", "max"), map(float, quantiles), strict=True)),
        "batches": sum(node.batches for node in nodes),
        "resent": sum(node.resent for node in nodes),
        "cpu_s": round(time.process_time() - cpu_s, 2),
    }


if __name__ == "__main__":
    seen = asyncio.run(play(msgspec.json.decode(sys.argv[1], type=Order)))
    sys.stdout.write(json.dumps(seen) + "\n")
