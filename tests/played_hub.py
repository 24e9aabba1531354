"""A hub with a played shift in it: a node's rows go in by the ingest transaction, pages come out.

`played_hub` serves real pages on a loopback port over a real database. The rows are what a node
would send for the last 70 minutes: two stations of one line that makes plates, a line in bypass and
a line whose node is gone. It is played once per run; tests that change something bring their own
node.
"""

import hashlib
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from msgspec import Raw
from psycopg import sql

from edge.mqtt.message import GENESIS, AnyRow, Batch, Entry, State, StationState, chain, encode
from edge.terms import Mode
from hub.intake import Place
from hub.serve import HubServer, make_server
from hub.settings import Broker, Database, Settings, Web
from hub.store import rows, session
from hub.store.embedded import EmbeddedServer
from hub.store.pool import Store
from hub.tellings import payload
from tests.played_shift import WATCH_MIN, PlayedStation, short_shift, station_now

SITE_WORDS = ("电能", "缺料")
"""Names that tests give in rows as a site would; a page shows them as they are in any language."""


@dataclass
class Node:
    """A node as the hub sees it: one stream of closed rows, and a token for pictures."""

    place: Place
    connection: session.Connection
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    stream: str = field(default_factory=lambda: secrets.token_hex(16))
    next: int = 1
    prev: str = GENESIS

    def register(self) -> None:
        """Make the node known to the hub."""
        session.rows(
            self.connection,
            "node_added",
            node=self.place.node,
            plant=self.place.plant,
            line=self.place.line,
            token_hash=hashlib.sha256(self.token.encode()).hexdigest(),
        )

    def send(self, *sent: AnyRow) -> None:
        """Send rows in batches; returns when the last is committed."""
        for first in range(0, len(sent), 500):
            entries, start, prev = [], self.next, self.prev
            for row in sent[first : first + 500]:
                raw = encode(row)
                self.prev = chain(self.prev, self.next, raw)
                entries.append(Entry(hash=self.prev, row=Raw(raw)))
                self.next += 1
            batch = Batch(v=1, stream=self.stream, first=start, prev=prev, rows=entries)
            taken = rows.taken(self.connection, self.place, batch)
            assert (taken.ack.next, taken.quarantined) == (self.next, 0), taken
            rows.tell(self.connection, [payload(self.place, taken.told)])

    def say(self, *stations: StationState, online: bool = True, waiting: int = 0) -> None:
        """Publish the node's State."""
        state = State(
            v=1,
            online=online,
            stream=self.stream,
            waiting=waiting,
            at_ms=now_ms(),
            stations=stations,
        )
        rows.heard(self.connection, self.place, state, retained=False)


@dataclass
class PlayedHub:
    """A served hub: its address, its database, and the nodes that wrote into it."""

    address: str
    settings: Settings
    store: Store
    server: HubServer
    nodes: dict[str, Node]
    pictures: dict[str, bytes]  # by sha256: what has been taken of the plates line
    connection: session.Connection

    def new_node(self, line: str) -> Node:
        """A registered node on a line of its own, for a test that changes something."""
        node = Node(Place("licheng", line, f"{line}-node"), self.connection)
        node.register()
        return node

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET as a browser does."""
        headers = {"accept": "text/html,*/*;q=0.8", **options.pop("headers", {})}
        return httpx.get(self.address + path, headers=headers, timeout=20, **options)

    def put(self, node: Node, sha256: str, jpeg: bytes, token: str | None = None) -> httpx.Response:
        """PUT a picture as a node does."""
        headers = {"authorization": f"Bearer {token or node.token}"}
        return httpx.put(
            f"{self.address}/pictures/{sha256}", content=jpeg, headers=headers, timeout=20
        )


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@contextmanager
def served(
    dsn: str, pictures_dir: Path, port: int = 0
) -> Iterator[tuple[str, Settings, Store, HubServer]]:
    """A hub that serves pages on a port (0 = a free one) until the end of the block."""
    with closing(socket.create_server(("127.0.0.1", port))) as listening:
        port = listening.getsockname()[1]
        settings = Settings(
            database=Database(dsn=dsn),
            broker=Broker(host="127.0.0.1"),
            web=Web(port=port, pictures_dir=str(pictures_dir)),
        )
        store = Store(dsn)
        store.open()
        server = make_server(settings, store)
        thread = threading.Thread(target=server.run, args=([listening],), name="hub-serve")
        thread.start()
        try:
            yield f"http://127.0.0.1:{port}", settings, store, server
        finally:
            server.handle_exit(15, None)
            thread.join(20)
            store.close()
            assert not thread.is_alive(), "the hub did not stop within 20 s"


@pytest.fixture(scope="session")
def played_hub(
    postgres: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PlayedHub]:
    """A hub with the played shift, shared by the tests that only look."""
    admin = postgres.dsn.replace("dbname=quanjian", "dbname=postgres")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS played WITH (FORCE)")
        connection.execute(sql.SQL("CREATE DATABASE played TEMPLATE quanjian"))
    dsn = postgres.dsn.replace("dbname=quanjian", "dbname=played")
    folder = tmp_path_factory.mktemp("pictures")
    with (
        served(dsn, folder) as (address, settings, store, server),
        session.connect(dsn, "played-node") as connection,
    ):
        hub = PlayedHub(address, settings, store, server, {}, {}, connection)
        play(hub)
        yield hub


def play(hub: PlayedHub) -> None:
    """Three lines: one that works, one in bypass, one whose node is gone."""
    for name, line in (("node-1", "plate-1"), ("node-2", "plate-2"), ("node-3", "cover-1")):
        node = Node(Place("licheng", line, name), hub.connection)
        node.register()
        hub.nodes[name] = node
    start_ms = now_ms() - WATCH_MIN * 60_000
    _play_plates(hub, hub.nodes["node-1"], start_ms)
    bypassed, gone = hub.nodes["node-2"], hub.nodes["node-3"]
    bypassed.send(*short_shift("a", start_ms, bypassed=40))
    bypassed.say(station_now("a", "running", Mode.BYPASS, "unsigned"))
    gone.send(*short_shift("a", start_ms))
    gone.say(station_now("a", "stopped", Mode.AUTO, "pinned"), online=False, waiting=128)


def _play_plates(hub: PlayedHub, node: Node, start_ms: int) -> None:
    """Two stations: `front` with every sensor, `back` without rejects confirmed."""
    for station, sensors, seed in (("front", True, 11), ("back", False, 23)):
        played = PlayedStation(station, sensors, seed, start_ms)
        node.send(*played.rows())
        hub.pictures.update(played.pictures)
        for sha256, jpeg in played.pictures.items():
            assert hub.put(node, sha256, jpeg).status_code == 201
    node.say(
        station_now("front", "running", Mode.AUTO, "pinned"),
        station_now("back", "running", Mode.AUTO, "pinned"),
    )
