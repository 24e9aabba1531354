"""A node on another computer, as the manual sets it up: enrolled at the gate, rows by the shipped
broker to a real ingest worker, pictures by the gate; and then it is revoked."""

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from edge import settings
from edge.mqtt.enrol import enrol
from edge.mqtt.link import Link
from edge.mqtt.message import View
from edge.mqtt.uploads import LANES, Uploads
from edge.outbox import Outbox
from edge.pictures import PictureStore
from edge.terms import Code
from hub import registry
from hub.authority import fingerprint
from tests.gate_peer import GateHub
from tests.hub_peer import until
from tests.identity_peer import Plant, ShippedBroker
from tests.ingest_peer import worker
from tests.ledger_rows import STATION, epoch_row, part_row

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
