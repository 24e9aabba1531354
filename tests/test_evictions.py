"""Which pictures go: by class, by the order of their rows, and never by the wall clock."""

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from edge import check, settings
from edge.mqtt.message import EvictionRow, View, decode_row
from edge.outbox import Outbox
from edge.pictures import PictureStore, is_own_filesystem
from edge.terms import Code
from tests.ledger_rows import STATION, epoch_row, part_row

KB = 1000
HOUR_MS = 3_600_000
NOW_MS = 1_790_000_000_000  # a node whose clock is set; at 0 it believes in 1970


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "ledger.db", ballast_bytes=4096)
    outbox.append(epoch_row())
    yield outbox
    outbox.close()


class Belt:
    """Parts with pictures of 100 kB each, as the loop records them; the cap is 1 MB."""

    def __init__(self, folder: Path, ledger: Outbox) -> None:
        self.ledger = ledger
        self.store = PictureStore(folder / "pictures", ledger, 1, keep_free_mb=0)
        self.count = 0

    def part(
        self, code: Code, defect: str | None = None, at_ms: int = NOW_MS, mono_ms: int = 0
    ) -> str:
        """One part; returns its picture's name. A part that is not OK has a thumbnail of 1 kB."""
        self.count += 1
        picture = self.put(100 * KB, "ok" if code is Code.OK else "not_ok")
        thumbnail = None if code is Code.OK else self.put(KB, "thumbnail")
        view = View(camera="c1", code=code, picture=picture, thumbnail=thumbnail)
        row = msgspec.structs.replace(
            part_row(self.count, code, views=(view,), at_ms=at_ms), defect=defect, mono_ms=mono_ms
        )
        self.ledger.open(row)
        self.ledger.close_part(STATION, 1, self.count, code, row.reason, 80)
        return picture

    def put(self, size: int, kind: str) -> str:
        data = hashlib.sha256(f"{self.count} {kind}".encode()).digest() * (size // 32 + 1)
        return self.store.put(data[:size], kind)  # type: ignore[arg-type]

    def evicted(self) -> list[tuple[str, str]]:
        """Make room; name and cause of what went, in order."""
        before = self.ledger.head
        self.store.make_room()
        batch = self.ledger.batch(before)
        rows = [decode_row(entry.row) for entry in batch.rows] if batch else []
        return [(row.picture, row.cause) for row in rows if isinstance(row, EvictionRow)]


@pytest.fixture
def belt(tmp_path: Path, ledger: Outbox) -> Belt:
    return Belt(tmp_path, ledger)


def test_pictures_of_ok_parts_go_from_80_percent_on_and_for_their_age(belt: Belt) -> None:
    names = [belt.part(Code.OK) for _ in range(8)]
    assert belt.evicted() == []
    names.append(belt.part(Code.OK))
    assert belt.evicted() == [(names[0], "age")]


def test_pictures_of_other_parts_go_from_90_percent_on(belt: Belt) -> None:
    names = [belt.part(Code.NG, "scratch") for _ in range(8)]
    assert belt.evicted() == []
    names.append(belt.part(Code.NG, "scratch"))  # 909 kB
    assert belt.evicted() == [(names[0], "age")]


def test_the_newest_of_each_defect_and_hour_stays_until_the_cap_is_passed(belt: Belt) -> None:
    alone = belt.part(Code.NG, "crack")
    earlier = belt.part(Code.NG, "scratch", mono_ms=HOUR_MS)
    scratches = [belt.part(Code.NG, "scratch", mono_ms=2 * HOUR_MS) for _ in range(7)]
    assert belt.evicted() == [(scratches[0], "age")]
    others = [belt.part(Code.NG, f"kind-{number}") for number in range(9)]
    gone = belt.evicted()
    assert [name for name, _ in gone] == [*scratches[1:6], alone, earlier, scratches[6]]
    assert {cause for _, cause in gone} == {"space"}
    assert all(belt.store.path(name).exists() for name in others)


def test_what_is_undecided_is_told_apart_by_its_reason(belt: Belt) -> None:
    kept = belt.part(Code.UNDECIDED)
    scratches = [belt.part(Code.NG, "scratch") for _ in range(9)]
    assert [name for name, _ in belt.evicted()] == scratches[:2]
    assert belt.store.path(kept).exists()


def test_thumbnails_go_last_and_only_for_want_of_space(tmp_path: Path, ledger: Outbox) -> None:
    belt = Belt(tmp_path, ledger)
    pictures = [belt.part(Code.NG, "scratch"), belt.part(Code.OK)]
    belt.store = PictureStore(tmp_path / "pictures", ledger, 10, keep_free_mb=10**9)
    gone = belt.evicted()
    assert [name for name, _ in gone[:2]] == [pictures[1], pictures[0]]
    assert len(gone) == 3
    assert {cause for _, cause in gone} == {"space"}


@hypothesis_settings(max_examples=20, deadline=None)
@given(clocks=st.lists(st.sampled_from([0, 1, NOW_MS - HOUR_MS, NOW_MS, 2**41]), min_size=12))
def test_whatever_the_wall_clock_does_the_oldest_rows_pictures_go(clocks: list[int]) -> None:
    """A played clock: a boot in 1970, steps back and forth."""
    with tempfile.TemporaryDirectory() as folder:
        outbox = Outbox(Path(folder) / "ledger.db", ballast_bytes=4096)
        try:
            outbox.append(epoch_row())
            belt = Belt(Path(folder), outbox)
            names = [belt.part(Code.OK, at_ms=at_ms) for at_ms in clocks[:12]]
            assert [name for name, _ in belt.evicted()] == names[:4]
        finally:
            outbox.close()


def test_a_node_that_boots_in_1970_keeps_its_new_pictures(belt: Belt) -> None:
    names = [belt.part(Code.OK) for _ in range(8)]
    names += [belt.part(Code.OK, at_ms=5) for _ in range(3)]
    assert [name for name, _ in belt.evicted()] == names[:3]


def test_order_goes_on_when_the_ledger_goes_on_as_another_stream(
    belt: Belt, ledger: Outbox
) -> None:
    names = [belt.part(Code.OK) for _ in range(6)]
    ledger.begin_stream(ledger.head)
    names += [belt.part(Code.OK) for _ in range(6)]
    assert [name for name, _ in belt.evicted()] == names[:4]


OWN = """
import sys
from pathlib import Path
from edge import check, settings
from edge.mqtt.message import View
from edge.outbox import Outbox
from edge.pictures import PictureStore
from edge.terms import Code
from tests.ledger_rows import epoch_row, part_row
data, pictures = Path(sys.argv[1]) / "data", Path(sys.argv[1]) / sys.argv[2]
ledger = Outbox(data / "ledger.db", ballast_bytes=4096)
store = PictureStore(pictures, ledger, 20)
ledger.append(epoch_row())
for number in range(1, 13):
    view = View(camera="c1", code=Code.OK, picture=store.put(bytes([number]) * 1_000_000, "ok"))
    ledger.append(part_row(number, views=(view,)))
print(store.make_room(), "go")
node = settings.Node(plant="p", line="l", name="n", data_dir=str(data), pictures_dir=str(pictures))
print(check._try_pictures(node))
ledger.close()
"""


@pytest.mark.parametrize(
    ("mounted", "go", "told"),
    [("own", 0, "own is on a filesystem of its own"), ("data", 12, "on the ledger's filesystem")],
)
def test_pictures_on_a_disk_of_their_own_need_not_leave_room_for_the_ledger(
    tmp_path: Path, mounted: str, go: int, told: str
) -> None:
    """12 MB of pictures on a disk of 40 MB, which is theirs or the ledger's too."""
    for name in ("data", "own"):
        (tmp_path / name).mkdir()
    pictures = "own" if mounted == "own" else "data/pictures"
    mount = 'mount -t tmpfs -o size=40m tmpfs "$1"; shift; exec "$@"'
    done = subprocess.run(
        [
            *("unshare", "--map-root-user", "--mount", "sh", "-euc", mount, "node"),
            *(str(tmp_path / mounted), sys.executable, "-c", OWN, str(tmp_path), pictures),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{go} go\n")
    assert told in done.stdout
    assert "up to 2000 MB of pictures, more than it holds: 41 MB" in done.stdout


def test_check_says_that_pictures_share_the_ledgers_disk(tmp_path: Path) -> None:
    node = settings.Node(plant="p", line="l", name="n", data_dir=str(tmp_path))
    told = check._try_pictures(node)
    assert told.startswith(f"{tmp_path}/pictures is on the ledger's filesystem, 64 MB stay free")
    assert not is_own_filesystem(tmp_path / "pictures", tmp_path)
