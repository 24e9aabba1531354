"""Pictures are found again by their hash, go oldest first, and each one that goes is a row."""

import contextlib
import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.errors import LedgerError
from edge.ledger.evictions import EVICT_AT_ONCE
from edge.ledger.pictures import Kind
from edge.mqtt.message import EvictionRow, View, decode_row
from edge.outbox import Outbox
from edge.pictures import BATCHES, PictureStore
from edge.terms import Code, Reason
from tests.faults.points import DIED
from tests.ledger_rows import STATION, epoch_row, missed_row, part_row
from tests.serial_peers import until

MB = 1_000_000
ROOT = Path(__file__).parent.parent
AT_A_TIME = BATCHES * EVICT_AT_ONCE
STARTS = """
import sys
from pathlib import Path
from edge.outbox import Outbox
from edge.pictures import PictureStore
from tests.faults import points
folder = Path(sys.argv[1])
ledger = Outbox(folder / "ledger.db", ballast_bytes=4096)
points.arm(sys.argv[2], "pathlib.Path.unlink", 1)
PictureStore(folder / "pictures", ledger, 10, keep_free_mb=0)
"""
"""A node that starts and dies at the first file it deletes."""
KINDS: tuple[Kind, ...] = ("thumbnail", "not_ok", "ok")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "ledger.db", ballast_bytes=4096)
    outbox.append(epoch_row())
    yield outbox
    outbox.close()


def store_in(tmp_path: Path, ledger: Outbox, max_mb: int = 10) -> PictureStore:
    return PictureStore(tmp_path / "pictures", ledger, max_mb, keep_free_mb=0)


def jpeg(number: int, size: int = 1000) -> bytes:
    """Bytes that no other number has; the store does not look inside."""
    return number.to_bytes(4, "big") * (size // 4)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def judged(
    ledger: Outbox, number: int, code: Code, picture: str, thumbnail: str | None = None
) -> None:
    """A part that names its pictures, taken by the PLC."""
    view = View(camera="c1", code=code, picture=picture, thumbnail=thumbnail)
    ledger.open(part_row(number, code, views=(view,)))
    reason = Reason.UNCERTAIN if code is Code.UNDECIDED else None
    ledger.close_part(STATION, 1, number, code, reason, 80)


def evictions(ledger: Outbox) -> list[str]:
    batch = ledger.batch(ledger.first)
    assert batch is not None
    rows = [decode_row(entry.row) for entry in batch.rows]
    return [row.picture for row in rows if isinstance(row, EvictionRow)]


def test_a_picture_is_found_by_its_hash_and_stored_once(tmp_path: Path, ledger: Outbox) -> None:
    store = store_in(tmp_path, ledger)
    name = store.put(jpeg(1), "ok")
    assert name == sha256(jpeg(1)) == store.put(jpeg(1), "ok")
    assert store.read(name) == jpeg(1)
    assert store.path(name).parent.name == name[:2]
    assert store.size_bytes == 1000
    assert [path.name for path in (tmp_path / "pictures").rglob("*.*")] == [f"{name}.jpg"]


def test_a_picture_damaged_on_disk_is_not_read(tmp_path: Path, ledger: Outbox) -> None:
    store = store_in(tmp_path, ledger)
    name = store.put(jpeg(1), "ok")
    store.path(name).write_bytes(jpeg(2))
    with pytest.raises(LedgerError, match="damaged"):
        store.read(name)
    with pytest.raises(LedgerError, match="cannot be read"):
        store.read(sha256(b"never"))


@pytest.mark.parametrize("row_first", [True, False])
def test_a_picture_is_sent_only_once_its_row_is_acknowledged(
    tmp_path: Path, ledger: Outbox, row_first: bool
) -> None:
    store = store_in(tmp_path, ledger)
    name = sha256(jpeg(1))
    if not row_first:
        store.put(jpeg(1), "not_ok")
    judged(ledger, 1, Code.NG, name)
    if row_first:
        assert store.to_send(KINDS, 10) == []
        store.put(jpeg(1), "not_ok")
    assert store.to_send(KINDS, 10) == []
    ledger.acknowledge(ledger.head)
    assert store.to_send(KINDS, 10) == [name]
    store.settle(name, "done")
    assert store.to_send(KINDS, 10) == []
    assert store.read(name) == jpeg(1)


def test_thumbnails_of_bad_parts_are_sent_first_and_ok_parts_last(
    tmp_path: Path, ledger: Outbox
) -> None:
    store = store_in(tmp_path, ledger)
    judged(ledger, 1, Code.OK, store.put(jpeg(1), "ok"))
    judged(ledger, 2, Code.NG, store.put(jpeg(2), "not_ok"), store.put(jpeg(3), "thumbnail"))
    judged(ledger, 3, Code.UNDECIDED, store.put(jpeg(4), "not_ok"), store.put(jpeg(5), "thumbnail"))
    ledger.acknowledge(ledger.head)
    expected = [sha256(jpeg(number)) for number in (3, 5, 2, 4, 1)]
    assert store.to_send(KINDS, 10) == expected
    assert store.to_send(KINDS, 3) == expected[:3]


def test_an_ok_that_was_not_delivered_has_a_bad_parts_picture(
    tmp_path: Path, ledger: Outbox
) -> None:
    """The code that counts is the one the row was closed with."""
    store = store_in(tmp_path, ledger, max_mb=0)
    for number in (1, 2):
        view = View(camera="c1", code=Code.OK, picture=store.put(jpeg(number), "ok"))
        ledger.open(part_row(number, views=(view,)))
    ledger.close_part(STATION, 1, 1, Code.UNDECIDED, Reason.NOT_DELIVERED, None)
    ledger.close_part(STATION, 1, 2, Code.OK, None, 80)
    store.make_room()
    assert evictions(ledger) == [sha256(jpeg(2)), sha256(jpeg(1))]


def test_ok_parts_go_first_then_the_oldest_and_each_is_a_row(
    tmp_path: Path, ledger: Outbox
) -> None:
    store = store_in(tmp_path, ledger, max_mb=1)
    codes = [Code.NG, Code.OK, Code.NG, Code.OK, Code.NG]
    names = []
    for number, code in enumerate(codes, 1):
        kind: Kind = "ok" if code is Code.OK else "not_ok"
        names.append(store.put(jpeg(number, MB // 2), kind))
        judged(ledger, number, code, names[-1])
    assert store.make_room() == 4
    assert evictions(ledger) == [names[1], names[3], names[0], names[2]]
    assert store.size_bytes == MB // 2
    assert [store.path(name).exists() for name in names] == [False] * 4 + [True]
    assert store.make_room() == 0
    assert ledger.totals(STATION, 1).settled == 5


def test_no_picture_of_an_open_part_goes(tmp_path: Path, ledger: Outbox) -> None:
    store = store_in(tmp_path, ledger, max_mb=0)
    unnamed = store.put(jpeg(1), "ok")
    name = store.put(jpeg(2), "ok")
    view = View(camera="c1", code=Code.OK, picture=name)
    ledger.open(part_row(1, views=(view,)))
    assert store.make_room() == 0
    assert store.path(unnamed).exists()
    ledger.close_part(STATION, 1, 1, Code.OK, None, 80)
    ledger.open(part_row(2, views=(view,)))  # the same picture again, as folder cameras have it
    assert store.make_room() == 0
    ledger.close_part(STATION, 1, 2, Code.OK, None, 80)
    assert store.make_room() == 1
    assert evictions(ledger) == [name]


def test_many_pictures_go_in_several_transactions(tmp_path: Path, ledger: Outbox) -> None:
    store = store_in(tmp_path, ledger, max_mb=0)
    for number in range(1, 121):
        judged(ledger, number, Code.OK, store.put(jpeg(number, 100), "ok"))
    assert store.make_room() == 120
    assert len(set(evictions(ledger))) == 120
    assert list((tmp_path / "pictures").rglob("*.jpg")) == []


def test_one_look_evicts_only_so_many_and_the_next_ones_get_there(
    tmp_path: Path, ledger: Outbox
) -> None:
    """The thread that looks also feeds the watchdog: a cap that was lowered must not starve it."""
    store = store_in(tmp_path, ledger, max_mb=0)
    for number in range(1, 2 * AT_A_TIME + 11):
        judged(ledger, number, Code.OK, store.put(jpeg(number, 100), "ok"))
    ledger.acknowledge(ledger.head)
    left = []
    for _ in range(3):
        store.keep_room()
        left.append(len(list((tmp_path / "pictures").rglob("*.jpg"))))
    assert left == [AT_A_TIME + 10, 10, 0]
    assert len(set(evictions(ledger))) == 2 * AT_A_TIME + 10 == ledger.waiting
    assert store.size_bytes == 0


def test_a_picture_that_two_drop_at_once_is_evicted_once(tmp_path: Path, ledger: Outbox) -> None:
    """One that makes room, and an upload that finds the file gone before its row."""
    store = store_in(tmp_path, ledger, max_mb=0)
    name = store.put(jpeg(1), "ok")
    judged(ledger, 1, Code.OK, name)
    began, go = threading.Event(), threading.Event()

    def keep_busy(_: object) -> None:
        began.set()
        go.wait(20)

    busy = threading.Thread(target=lambda: ledger.transact(keep_busy))
    dropping = [
        threading.Thread(target=store.make_room),
        threading.Thread(target=lambda: store.settle(name, "lost")),
    ]
    busy.start()
    assert began.wait(20)
    for thread in dropping:
        thread.start()
    until(lambda: len(ledger._queue) == 2)  # both will read its row before one deletes it
    go.set()
    for thread in (busy, *dropping):
        thread.join(20)
    assert evictions(ledger) == [name]
    assert store.size_bytes == 0


def test_a_free_disk_is_kept_for_the_ledger(tmp_path: Path, ledger: Outbox) -> None:
    store = PictureStore(tmp_path / "pictures", ledger, 10, keep_free_mb=10**9)
    judged(ledger, 1, Code.OK, store.put(jpeg(1), "ok"))
    assert store.make_room() == 1


def test_after_a_restart_pictures_are_counted_and_strays_are_gone(
    tmp_path: Path, ledger: Outbox
) -> None:
    store = store_in(tmp_path, ledger)
    kept = store.put(jpeg(1), "ok")
    judged(ledger, 1, Code.OK, kept)
    stray = store.put(jpeg(2), "ok")  # its row never came
    judged(ledger, 2, Code.OK, sha256(jpeg(3)))  # its file never came
    half = store.path(kept).with_name(".x.part")
    half.write_bytes(b"half")
    again = store_in(tmp_path, ledger)
    assert again.size_bytes == 1000
    assert not store.path(stray).exists()
    assert not half.exists()
    ledger.acknowledge(ledger.head)
    assert again.to_send(KINDS, 10) == [kept]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_power_cut_while_strays_go_leaves_no_file_behind(
    tmp_path: Path, ledger: Outbox, when: str
) -> None:
    store = store_in(tmp_path, ledger)
    for number in (1, 2):
        store.put(jpeg(number), "ok")  # their rows never came
    ledger.close()
    starts = subprocess.run(
        [sys.executable, "-c", STARTS, str(tmp_path), when], timeout=60, check=False, cwd=ROOT
    )
    assert starts.returncode == DIED
    again = Outbox(tmp_path / "ledger.db", ballast_bytes=4096)
    assert store_in(tmp_path, again).size_bytes == 0
    again.close()
    assert list((tmp_path / "pictures").rglob("*.jpg")) == []


def test_a_lost_picture_is_told_like_an_evicted_one(tmp_path: Path, ledger: Outbox) -> None:
    store = store_in(tmp_path, ledger)
    name = store.put(jpeg(1), "ok")
    judged(ledger, 1, Code.OK, name)
    store.path(name).unlink()
    store.settle(name, "lost")
    assert evictions(ledger) == [name]
    assert store.size_bytes == 0


def test_a_picture_that_cannot_be_written_is_an_error_and_leaves_nothing(
    tmp_path: Path, ledger: Outbox
) -> None:
    store = store_in(tmp_path, ledger)
    name = sha256(jpeg(1))
    (tmp_path / "pictures" / name[:2]).write_bytes(b"a file where a folder should be")
    with pytest.raises(LedgerError, match="cannot be written"):
        store.put(jpeg(1), "ok")
    assert store.size_bytes == 0


def test_a_full_ledger_is_said_once_and_that_there_is_room_again_once(
    tmp_path: Path, ledger: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    def limit(pages: int) -> None:  # SQLite takes the present size as the least
        ledger.transact(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone())

    caplog.set_level("INFO")
    store = store_in(tmp_path, ledger)
    for number in range(1, 41):  # 400 kB too many
        judged(ledger, number, Code.OK, store.put(jpeg(number, 260_000), "ok"))
    limit(1)
    with contextlib.suppress(LedgerError):  # to the last page
        for number in range(1001, 9000, 2):
            ledger.append(missed_row(number, number))
    for _ in range(3):
        store.keep_room()
    limit(2**30)
    for _ in range(3):
        store.keep_room()
    told = [one.getMessage() for one in caplog.records if one.name == "edge.pictures"]
    assert len(told) == 2
    assert "database or disk is full" in told[0]
    assert told[1] == "pictures: there is room again"
