"""A node on another computer, as the manual sets it up: enrolled at the gate, rows by the shipped
broker to a real ingest worker, pictures by the gate; and then it is revoked."""

import signal
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from edge import settings
from edge.mqtt import identity
from edge.mqtt.enrol import enrol
from edge.mqtt.link import Link
from edge.mqtt.message import View
from edge.mqtt.uploads import LANES, Uploads
from edge.node import Node
from edge.outbox import Outbox
from edge.pictures import PictureStore
from edge.terms import Code
from hub import registry
from hub.authority import facts, fingerprint
from hub.store import session
from tests.gate_peer import GateHub
from tests.hub_peer import until
from tests.identity_peer import Plant, ShippedBroker, utc
from tests.ingest_peer import worker
from tests.ledger_rows import STATION, epoch_row, part_row
from tests.small_line import running, wire

pytestmark = pytest.mark.needs_mosquitto

NODE = settings.Node(plant="p", line="l", name="n1", data_dir="unused")
JPEG = b"\xff\xd8\xff a picture"
KINDS = tuple(kind for kinds in LANES.values() for kind in kinds)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "ledger.db", ballast_bytes=4096)
    outbox.append(epoch_row())
    yield outbox
    outbox.close()


def stored(dsn: str) -> list[int]:
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT number FROM part ORDER BY number").fetchall()
    return [number for (number,) in found]


def test_rows_and_pictures_arrive_until_the_node_is_revoked(
    database: str, tmp_path: Path, ledger: Outbox
) -> None:
    plant, token = Plant(tmp_path / "plant"), tmp_path / "token"
    broker = ShippedBroker(tmp_path, plant)
    hub = GateHub(database, tmp_path / "hub", broker.hub)
    hub.rules(plant)
    token.write_text(registry.add(database, "p", "l", "n1"))
    pictures = PictureStore(tmp_path / "pictures", ledger, 10, keep_free_mb=0)
    broker.start()
    with hub.gate(), hub.duties(), worker(hub.settings):
        seen, files = fingerprint(hub.authority.certificate), hub.files()
        enrol(hub.url, seen, hub.token(), files, "n1")
        upstream = settings.Hub(
            broker_host="127.0.0.1",
            broker_port=broker.port,
            ca_file=str(files.authority),
            certificate_file=str(files.certificate),
            key_file=str(files.key),
        )
        link = Link(NODE, upstream, ledger, answer_s=1.0, reconnect_s=(0.05, 0.2))
        uploads = Uploads(
            hub.url, token, pictures, poll_s=0.01, retry_s=(0.02, 0.05), authority=files.authority
        )
        try:
            with closing(link), closing(uploads):
                link.start()
                uploads.start()
                sha256 = pictures.put(JPEG, "not_ok")
                view = View(camera="c1", code=Code.NG, picture=sha256)
                ledger.open(part_row(1, Code.NG, views=(view,)))
                ledger.close_part(STATION, 1, 1, Code.NG, None, 80)
                until(lambda: stored(database) == [1] and ledger.waiting == 0)
                until(lambda: pictures.to_send(KINDS, 10) == [])
                folder = Path(hub.settings.web.pictures_dir)
                assert (folder / sha256[:2] / f"{sha256}.jpg").read_bytes() == JPEG
                before = plant.crl.read_bytes()
                registry.revoke(database, "n1")
                until(lambda: plant.crl.read_bytes() != before)
                broker.send(signal.SIGHUP)  # as the path unit does
                until(lambda: not link.online)
                ledger.append(part_row(2))
                until(lambda: not link.online)
                assert ledger.waiting == 1
            assert stored(database) == [1]
        finally:
            broker.kill()


def test_a_running_node_renews_its_certificate_before_it_ends(
    database: str, tmp_path: Path
) -> None:
    """`quanjian-edge run` with a certificate of 70 days, in a hub that hears its state."""
    registry.add(database, "test", "line-1", "node-1")
    plant = Plant(tmp_path / "plant")
    broker = ShippedBroker(tmp_path, plant)
    hub = GateHub(database, tmp_path / "hub", broker.hub)
    hub.rules(plant)
    files, key = hub.files("node-1"), identity.new_key()
    files.key.parent.mkdir()
    identity.write_key(files.key, key)
    old = hub.authority.node(identity.request(key, "node-1"), "node-1", utc() - timedelta(days=70))
    files.certificate.write_bytes(old)
    files.authority.write_bytes(hub.authority.certificate)
    with session.connect(database, "test") as connection:
        said = facts(old)
        session.rows(
            connection,
            "certificate_kept",
            node="node-1",
            serial=said.serial,
            sha256=fingerprint(old),
            not_before=said.not_before,
            not_after=said.not_after,
        )
    wire(tmp_path / "line", [False])
    (tmp_path / "token").write_text("unused")
    config = tmp_path / "line" / "edge.toml"
    with config.open("a", encoding="utf-8") as file:
        file.write(f'\n[hub]\nbroker_host = "127.0.0.1"\nbroker_port = {broker.port}\n')
        file.write(f'pictures_url = "{hub.url}"\ntoken_file = "{tmp_path / "token"}"\n')
        file.write(f'ca_file = "{files.authority}"\nkey_file = "{files.key}"\n')
        file.write(f'certificate_file = "{files.certificate}"\n')

    def online() -> bool:
        with psycopg.connect(database) as connection:
            return connection.execute("SELECT online FROM node_state").fetchall() == [(True,)]

    broker.start()
    try:
        with hub.gate(), hub.duties(), worker(hub.settings):
            with running(Node(settings.read(config), unsigned=True)):
                until(lambda: files.certificate.read_bytes() != old)
                until(online)
            new = identity.examine(files, "node-1", utc())
        assert new.not_after - utc() > timedelta(days=89)
        assert identity.read_key(files.key).private_numbers() != key.private_numbers()
    finally:
        broker.kill()
