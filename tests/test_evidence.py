"""The PLC hears before a picture is encoded; the closed row still names it: edge.evidence."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.errors import LedgerError
from edge.evidence import Evidence
from edge.eye import Look, view
from edge.mqtt.message import PartRow, decode_row
from edge.outbox import Outbox
from edge.pictures import PictureStore
from edge.terms import Code, Detection, Frame, Reason, Verdict
from edge.vision.image import decode_image
from tests.ledger_rows import STATION, epoch_row, part_row


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "ledger.db", ballast_bytes=4096)
    outbox.append(epoch_row())
    yield outbox
    outbox.close()


def look(code: Code, camera: str = "c1", side: int = 48) -> Look:
    image = np.full((side, 64), 90, np.uint8)
    reason = Reason.UNCERTAIN if code is Code.UNDECIDED else None
    spot = Detection("pit", 0.9, (8.0, 8.0, 16.0, 16.0))
    return Look(camera, Verdict(code, reason), Frame(camera, 1, 0.0, image), (spot,))


def opened(ledger: Outbox, number: int, looks: list[Look]) -> PartRow:
    """An open row as the loop writes it: no picture is named yet."""
    row = part_row(number, looks[0].verdict.code, views=tuple(view(one, 0.0) for one in looks))
    ledger.open(row)
    return row


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_has_no_mark(place: int, number: float) -> None:
    values = [0.5, 1.0, 2.0, 3.0, 4.0]
    values[place] = number
    score, x1, y1, x2, y2 = values
    bad, good = Detection("pit", score, (x1, y1, x2, y2)), Detection("pit", 0.25, (1, 2, 3, 4))
    seen = view(Look("c1", Verdict(Code.UNDECIDED, Reason.MODEL_FAULT), None, (bad, good)), 0.0)
    assert [mark.score for mark in seen.marks] == [2500]


def closed(ledger: Outbox, row: PartRow, evidence: Evidence) -> PartRow:
    """Its row, closed with the names of its pictures."""
    names = evidence.name(row)
    reason = Reason.UNCERTAIN if row.computed is Code.UNDECIDED else None
    ledger.close_part(STATION, 1, row.number, row.computed, reason, 80, names)
    batch = ledger.batch(ledger.first)
    assert batch is not None
    last = decode_row(batch.rows[-1].row)
    assert isinstance(last, PartRow)
    return last


def on_disk(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.rglob("*.jpg"))


def test_a_closed_row_names_its_pictures_and_the_files_follow(
    tmp_path: Path, ledger: Outbox
) -> None:
    store = PictureStore(tmp_path / "pictures", ledger, 10, keep_free_mb=0)
    evidence = Evidence(store)
    looks = [look(Code.NG), look(Code.OK, "c2")]
    row = opened(ledger, 1, looks)
    evidence.hold(row, looks)
    assert on_disk(tmp_path) == []
    done = closed(ledger, row, evidence)
    named = [name for v in done.views for name in (v.picture, v.thumbnail)]
    assert None not in named
    assert on_disk(tmp_path) == []  # named, not yet written
    evidence.store(row)
    assert on_disk(tmp_path) == sorted(set(map(str, named)))
    picture = store.read(str(done.views[0].picture))
    assert hashlib.sha256(picture).hexdigest() == done.views[0].picture
    assert decode_image(picture).shape == (48, 64)
    assert evidence.name(row) == ()  # nothing is held any more


def test_of_good_parts_one_in_twenty_is_kept_without_a_thumbnail(
    tmp_path: Path, ledger: Outbox
) -> None:
    evidence = Evidence(PictureStore(tmp_path / "pictures", ledger, 10, keep_free_mb=0))
    for number in (19, 20):
        looks = [look(Code.OK)]
        row = opened(ledger, number, looks)
        evidence.hold(row, looks)
        seen = closed(ledger, row, evidence).views[0]
        assert (seen.picture is not None, seen.thumbnail) == (number == 20, None)


def test_a_part_larger_than_the_bound_is_kept_where_nothing_else_waits(
    tmp_path: Path, ledger: Outbox
) -> None:
    evidence = Evidence(
        PictureStore(tmp_path / "pictures", ledger, 10, keep_free_mb=0), held_bytes=9
    )
    looks = [look(Code.NG)]
    row = opened(ledger, 1, looks)
    evidence.hold(row, looks)
    assert evidence.name(row) != ()


@pytest.mark.parametrize("bound", [{"held_parts": 2}, {"held_bytes": 2 * 48 * 64}])
def test_what_is_held_has_a_bound_and_what_goes_beyond_it_is_counted(
    tmp_path: Path, ledger: Outbox, bound: dict[str, int]
) -> None:
    store = PictureStore(tmp_path / "pictures", ledger, 10, keep_free_mb=0)
    evidence = Evidence(store, **bound)
    rows = []
    for number in (1, 2, 3):
        looks = [look(Code.NG)]
        rows.append(opened(ledger, number, looks))
        evidence.hold(rows[-1], looks)
    assert evidence.dropped == 1
    pictures = [closed(ledger, row, evidence).views[0].picture for row in rows]
    assert [picture is not None for picture in pictures] == [True, True, False]
    evidence.store(rows[0])
    looks = [look(Code.NG)]
    row = opened(ledger, 4, looks)
    evidence.hold(row, looks)
    assert evidence.name(row) != ()


def test_a_picture_that_cannot_be_encoded_or_written_leaves_the_row_alone(
    tmp_path: Path, ledger: Outbox
) -> None:
    store = PictureStore(tmp_path / "pictures", ledger, 10, keep_free_mb=0)
    evidence = Evidence(store)
    looks = [look(Code.UNDECIDED, side=70_000), look(Code.NG, "c2")]  # no JPEG is so high
    row = opened(ledger, 1, looks)
    evidence.hold(row, looks)
    done = closed(ledger, row, evidence)
    assert [v.picture is not None for v in done.views] == [False, True]
    name = str(done.views[1].thumbnail)
    (tmp_path / "pictures" / name[:2]).write_bytes(b"a file where a folder should be")
    evidence.store(row)
    with pytest.raises(LedgerError):
        store.read(name)


def test_parts_without_a_view_take_no_place_from_those_that_have_one(
    tmp_path: Path, ledger: Outbox
) -> None:
    """A recipe that the node does not have: undecided, and no camera was asked."""
    store = PictureStore(tmp_path / "pictures", ledger, 10, keep_free_mb=0)
    evidence = Evidence(store, held_parts=2)
    for number in (1, 2, 3):
        row = part_row(number, Code.UNDECIDED)
        ledger.open(row)
        evidence.hold(row, ())
        assert closed(ledger, row, evidence).views == ()
    looks = [look(Code.NG)]
    row = opened(ledger, 4, looks)
    evidence.hold(row, looks)
    assert closed(ledger, row, evidence).views[0].picture is not None
    assert evidence.dropped == 0
