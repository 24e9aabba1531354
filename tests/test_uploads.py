"""Pictures reach the hub after their rows, whatever the hub answers, and are not sent twice."""

import hashlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.errors import LinkError
from edge.mqtt.message import EvictionRow, View, decode_row
from edge.mqtt.uploads import LANES, Uploads
from edge.outbox import Outbox
from edge.pictures import PictureStore
from edge.terms import Code
from tests.broker_peer import free_port
from tests.ledger_rows import STATION, epoch_row, part_row

DEADLINE_S = 20.0
TOKEN = "node-token"
KINDS = [kind for kinds in LANES.values() for kind in kinds]


class HubDouble:
    """An HTTP server with the hub's rules for pictures; its answers can be changed."""

    def __init__(self, port: int = 0) -> None:
        self.changed = threading.Condition()
        self.stored: list[str] = []  # in order of arrival
        self.asked: list[tuple[str, int]] = []  # sha256, status, in order
        self.answers: dict[str, int] = {}  # sha256 -> status instead of 201
        self.answer_all: int | None = None
        self.held: set[str] = set()  # these get no answer yet
        hub = self

        class Answers(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = hub.take(self.path, self.headers["Authorization"], body)
                self.send_response(status)
                self.send_header("Content-Length", "2000")
                self.end_headers()
                self.wfile.write(b"x" * 2000)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Answers)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def take(self, path: str, authorization: str | None, body: bytes) -> int:
        sha256 = path.removeprefix("/pictures/")
        with self.changed:
            status = self.answer_all or self.answers.get(sha256, 201)
            if authorization != f"Bearer {TOKEN}":
                status = 401
            elif hashlib.sha256(body).hexdigest() != sha256:
                status = 422
            elif status == 201:
                self.stored.append(sha256)
            self.asked.append((sha256, status))
            self.changed.notify_all()
            self.changed.wait_for(lambda: sha256 not in self.held, DEADLINE_S)
        return status

    def let_go(self) -> None:
        """Answer what was held."""
        with self.changed:
            self.held.clear()
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, DEADLINE_S), "the hub waited in vain"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def until(condition: Callable[[], bool]) -> None:
    pause, end_s = threading.Event(), time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, "waited in vain"
        pause.wait(0.01)


@pytest.fixture
def hub() -> Iterator[HubDouble]:
    double = HubDouble()
    yield double
    double.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "ledger.db", ballast_bytes=4096)
    outbox.append(epoch_row())
    yield outbox
    outbox.close()


@pytest.fixture
def store(tmp_path: Path, ledger: Outbox) -> PictureStore:
    return PictureStore(tmp_path / "pictures", ledger, 10, keep_free_mb=0)


@pytest.fixture
def start(tmp_path: Path, store: PictureStore) -> Iterator[Callable[[str], Uploads]]:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    started = []

    def begin(url: str) -> Uploads:
        uploads = Uploads(url, tmp_path / "token", store, poll_s=0.01, retry_s=(0.02, 0.05))
        started.append(uploads)
        uploads.start()
        return uploads

    yield begin
    for uploads in started:
        uploads.close()


def judged(ledger: Outbox, store: PictureStore, number: int, code: Code = Code.OK) -> list[str]:
    """A closed part with its pictures; their hashes, thumbnail first."""
    picture = store.put(b"picture %d" % number, "ok" if code is Code.OK else "not_ok")
    thumbnail = None
    if code is not Code.OK:
        thumbnail = store.put(b"thumbnail %d" % number, "thumbnail")
    view = View(camera="c1", code=code, picture=picture, thumbnail=thumbnail)
    ledger.open(part_row(number, code, views=(view,)))
    ledger.close_part(STATION, 1, number, code, None, 80)
    return [picture] if thumbnail is None else [thumbnail, picture]


def test_pictures_follow_their_acknowledged_rows_most_wanted_first(
    hub: HubDouble, ledger: Outbox, store: PictureStore, start: Callable[[str], Uploads]
) -> None:
    (good,) = judged(ledger, store, 1)
    bad_small, bad = judged(ledger, store, 2, Code.NG)
    acknowledged = ledger.head
    unknown_small, unknown = judged(ledger, store, 3, Code.NG)
    ledger.acknowledge(acknowledged)
    start(hub.url)
    hub.wait_for(lambda: len(hub.stored) == 3)
    ledger.acknowledge(ledger.head)
    hub.wait_for(lambda: len(hub.stored) == 5)
    until(lambda: store.to_send(KINDS, 10) == [])
    assert len(hub.asked) == 5
    small = [bad_small, unknown_small]
    assert [name for name in hub.stored if name in small] == small
    assert [name for name in hub.stored if name not in small] == [bad, good, unknown]


def test_a_thumbnail_overtakes_a_picture_under_way_as_soon_as_its_row_is_acknowledged(
    hub: HubDouble,
    ledger: Outbox,
    store: PictureStore,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (large,) = judged(ledger, store, 1)
    hub.held = {large}
    ledger.acknowledge(ledger.head)
    (tmp_path / "token").write_text(TOKEN)
    uploads = Uploads(hub.url, tmp_path / "token", store, poll_s=600)
    uploads.start()
    hub.wait_for(lambda: hub.stored == [large])
    thumbnail, picture = judged(ledger, store, 2, Code.NG)
    ledger.acknowledge(ledger.head)  # it alone wakes the lane: nobody looks for ten minutes
    hub.wait_for(lambda: hub.stored == [large, thumbnail])
    assert not caplog.records, "the large one was still under way, not given up"
    hub.let_go()
    hub.wait_for(lambda: hub.stored == [large, thumbnail, picture])
    uploads.close()


@pytest.mark.parametrize("status", [404, 409])
def test_a_picture_whose_row_is_not_there_yet_waits_and_holds_up_no_other(
    hub: HubDouble,
    ledger: Outbox,
    store: PictureStore,
    start: Callable[[str], Uploads],
    status: int,
) -> None:
    (early,), (other,) = judged(ledger, store, 1), judged(ledger, store, 2)
    ledger.acknowledge(ledger.head)
    hub.answers[early] = status
    start(hub.url)
    hub.wait_for(lambda: hub.stored == [other] and hub.asked.count((early, status)) > 2)
    hub.answers.clear()
    hub.wait_for(lambda: hub.stored == [other, early])
    assert hub.asked.count((other, 201)) == 1


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_picture_the_hub_does_not_want_is_sent_once(
    hub: HubDouble,
    ledger: Outbox,
    store: PictureStore,
    start: Callable[[str], Uploads],
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (unwanted,), (other,) = judged(ledger, store, 1), judged(ledger, store, 2)
    ledger.acknowledge(ledger.head)
    hub.answers[unwanted] = status
    start(hub.url)
    hub.wait_for(lambda: hub.stored == [other])
    until(lambda: store.to_send(KINDS, 10) == [])
    assert hub.asked == [(unwanted, status), (other, 201)]
    assert sum(unwanted in record.getMessage() for record in caplog.records) == 1
    assert store.read(unwanted), "it stays on the node"


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503, 302])
def test_trouble_that_is_not_the_pictures_fault_loses_none(
    hub: HubDouble,
    ledger: Outbox,
    store: PictureStore,
    start: Callable[[str], Uploads],
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (name,) = judged(ledger, store, 1)
    ledger.acknowledge(ledger.head)
    hub.answer_all = status
    start(hub.url)
    hub.wait_for(lambda: hub.asked.count((name, status)) > 2)
    assert sum(str(status) in record.getMessage() for record in caplog.records) == 1
    hub.answer_all = None
    hub.wait_for(lambda: hub.stored == [name])


def test_a_hub_that_is_away_gets_the_pictures_when_it_is_back(
    ledger: Outbox, store: PictureStore, start: Callable[[str], Uploads]
) -> None:
    port = free_port()
    (name,) = judged(ledger, store, 1)
    ledger.acknowledge(ledger.head)
    start(f"http://127.0.0.1:{port}")
    hub = HubDouble(port)
    hub.wait_for(lambda: hub.stored == [name])
    hub.close()


def test_one_picture_the_hub_stumbles_over_does_not_hold_up_the_others(
    hub: HubDouble, ledger: Outbox, store: PictureStore, start: Callable[[str], Uploads]
) -> None:
    names = [judged(ledger, store, number)[0] for number in range(1, 6)]
    ledger.acknowledge(ledger.head)
    hub.answers[names[0]] = 500
    start(hub.url)
    hub.wait_for(lambda: hub.stored == names[1:])


def test_a_renewed_token_needs_no_restart(
    hub: HubDouble,
    ledger: Outbox,
    store: PictureStore,
    start: Callable[[str], Uploads],
    tmp_path: Path,
) -> None:
    (name,) = judged(ledger, store, 1)
    uploads = start(hub.url)
    (tmp_path / "token").write_text("old\n")
    ledger.acknowledge(ledger.head)
    hub.wait_for(lambda: (name, 401) in hub.asked)
    (tmp_path / "token").unlink()
    (tmp_path / "token").write_text(TOKEN)
    hub.wait_for(lambda: hub.stored == [name])
    uploads.close()
    uploads.close()


def test_a_lost_picture_is_told_and_the_others_go_on(
    hub: HubDouble, ledger: Outbox, store: PictureStore, start: Callable[[str], Uploads]
) -> None:
    (lost,), (other,) = judged(ledger, store, 1), judged(ledger, store, 2)
    store.path(lost).write_bytes(b"damaged")
    ledger.acknowledge(ledger.head)
    start(hub.url)
    hub.wait_for(lambda: hub.stored == [other])
    until(lambda: store.to_send(KINDS, 10) == [])
    batch = ledger.batch(ledger.first)
    assert batch is not None
    rows = [decode_row(entry.row) for entry in batch.rows]
    assert [row.picture for row in rows if isinstance(row, EvictionRow)] == [lost]


def test_pictures_leave_no_faster_than_the_rate(
    hub: HubDouble, ledger: Outbox, store: PictureStore, tmp_path: Path
) -> None:
    for number in range(1, 6):
        judged(ledger, store, number)
    ledger.acknowledge(ledger.head)
    (tmp_path / "token").write_text(TOKEN)
    uploads = Uploads(hub.url, tmp_path / "token", store, rate_bytes_per_s=50)  # 9 bytes each
    begun_s = time.monotonic()
    uploads.start()
    hub.wait_for(lambda: len(hub.stored) == 5)
    assert time.monotonic() - begun_s > 4 * 9 / 50
    uploads.close()


@pytest.mark.parametrize(
    "url",
    ["", "ftp://x", "127.0.0.1:8080", "http://", "http://x:port", "http://[", "http://hub..lan"],
)
def test_an_address_that_is_none_is_a_sentence(store: PictureStore, url: str) -> None:
    with pytest.raises(LinkError, match="pictures_url"):
        Uploads(url, Path("token"), store)
