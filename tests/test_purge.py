"""Pictures leave by class and age or for room: counted, logged and chained before a file goes."""

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from edge.mqtt.message import EpochRow, View
from edge.terms import Code, Reason
from hub import settings as shapes
from hub.duties import Duties
from hub.intake import Place
from hub.purge import Purge
from hub.store import chain, session
from tests.loopback_peer import wait_for
from tests.played_hub import Node, now_ms, served
from tests.played_shift import part, stamp

NOW = datetime.now(timezone.utc)


def jpeg(name: str) -> bytes:
    return b"\xff\xd8\xff\xe0" + name.encode() + b"\xff\xd9"


def sha256(name: str) -> str:
    return hashlib.sha256(jpeg(name)).hexdigest()


@dataclass
class Hub:
    """A served hub of one test."""

    address: str
    settings: shapes.Settings
    connection: session.Connection
    nodes: int = 0
    number: int = 0

    def node(self) -> Node:
        self.nodes += 1
        node = Node(Place("licheng", "plate-1", f"node-{self.nodes}"), self.connection)
        node.register()
        node.send(
            EpochRow(
                **stamp("s", now_ms()), base=0, plc_start=1, cause="first_contact", counted_by="plc"
            )
        )
        return node

    def upload(self, node: Node, name: str, code: Code, days: float, thumbnail: str = "") -> None:
        """A part `days` ago whose picture (and thumbnail) came to the hub at once."""
        self.number += 1
        at_ms = now_ms() - int(days * 86_400_000)
        view = View(
            camera="top",
            code=code,
            width=64,
            height=48,
            picture=sha256(name),
            thumbnail=sha256(thumbnail) if thumbnail else None,
        )
        reason = Reason.UNCERTAIN if code is Code.UNDECIDED else None
        node.send(part("s", self.number, at_ms, code, views=(view,), reason=reason))
        for each in filter(None, (name, thumbnail)):
            assert self.put(node, each) == 201
        self.connection.execute("UPDATE picture SET received_at = at WHERE received_at > at")

    def put(self, node: Node, name: str) -> int:
        headers = {"authorization": f"Bearer {node.token}"}
        address = f"{self.address}/pictures/{sha256(name)}"
        return httpx.put(address, content=jpeg(name), headers=headers, timeout=20).status_code

    @property
    def folder(self) -> Path:
        return Path(self.settings.web.pictures_dir)

    def has(self, name: str) -> bool:
        return (self.folder / sha256(name)[:2] / f"{sha256(name)}.jpg").is_file()

    def asked(self, statement: str) -> list[dict[str, Any]]:
        return self.connection.execute(statement.encode()).fetchall()


@pytest.fixture
def hub(database: str, tmp_path: Path) -> Iterator[Hub]:
    with (
        served(database, tmp_path / "pictures") as (address, settings, _, _),
        session.connect(database, "test") as connection,
    ):
        yield Hub(address, settings, connection)


def test_each_class_goes_at_its_age_and_every_picture_is_logged_and_chained(hub: Hub) -> None:
    node = hub.node()
    hub.upload(node, "good-young", Code.OK, 29)
    hub.upload(node, "good-old", Code.OK, 31)
    hub.upload(node, "bad-young", Code.NG, 399, "thumb-young")
    hub.upload(node, "bad-old", Code.NG, 401, "thumb-old")
    hub.upload(node, "unsure-old", Code.UNDECIDED, 500)
    hub.upload(node, "bad-ancient", Code.NG, 1200, "thumb-ancient")
    purge = Purge(hub.settings)
    assert [purge.round(hub.connection, NOW) for _ in range(3)] == [5, 0, 0]
    names = ("good-young", "bad-young", "thumb-young", "thumb-old")
    assert [name for name in names if hub.has(name)] == list(names)
    gone = ("good-old", "bad-old", "unsure-old", "bad-ancient", "thumb-ancient")
    assert [name for name in gone if hub.has(name)] == []
    logged = hub.asked(
        "SELECT sha256, class, cause, done_at IS NOT NULL AS done FROM picture_purge"
    )
    assert {(row["sha256"], row["class"]) for row in logged} == {
        (sha256("good-old"), "ok"),
        (sha256("bad-old"), "not_ok"),
        (sha256("unsure-old"), "not_ok"),
        (sha256("bad-ancient"), "not_ok"),
        (sha256("thumb-ancient"), "thumbnail"),
    }
    assert {(row["cause"], row["done"]) for row in logged} == {("age", True)}
    entries = session.rows(hub.connection, "hub_chain_entries")
    assert chain.broken_at(entries) is None
    bodies = [json.loads(entry["body"]) for entry in entries]
    assert [(body["class"], body["pictures"]) for body in bodies] == [
        ("ok", 1), ("not_ok", 3), ("thumbnail", 1),
    ]  # fmt: skip
    lines = sorted(f"{sha256(name)} {node.place.node}\n" for name in gone[1:4])
    assert bodies[1]["list"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert bodies[1]["bytes"] == sum(len(jpeg(name)) for name in gone[1:4])


def test_a_folder_that_is_too_large_loses_the_oldest_good_ones_first(hub: Hub) -> None:
    node = hub.node()
    for name, code, days in (
        ("good-1", Code.OK, 3), ("good-2", Code.OK, 2), ("good-3", Code.OK, 1),
        ("bad-1", Code.NG, 5), ("bad-2", Code.NG, 4),
    ):  # fmt: skip
        hub.upload(node, name, code, days, f"thumb-{name}")
    settings = msgspec.structs.replace(hub.settings, pictures=shapes.Pictures(max_gb=2))

    def left_over(megabytes: int) -> list[str]:
        hub.asked(f"UPDATE picture SET bytes = {megabytes} * 1000000 RETURNING 1")
        purge = Purge(settings)
        while purge.round(hub.connection, NOW):
            pass
        names = ("good-1", "good-2", "good-3", "bad-1", "bad-2")
        return [name for name in names if hub.has(name)]

    assert left_over(200) == ["good-1", "good-2", "good-3", "bad-1", "bad-2"]  # 2 GB: just fits
    assert left_over(201) == ["good-2", "good-3", "bad-1", "bad-2"]
    assert left_over(300) == ["bad-2"]
    assert left_over(1000) == []
    assert (
        len(hub.asked("SELECT 1 FROM picture WHERE class = 'thumbnail' AND purged_at IS NULL")) == 2
    )
    assert hub.asked("SELECT DISTINCT cause FROM picture_purge") == [{"cause": "space"}]


def test_a_file_that_another_nodes_row_needs_stays_until_that_row_goes(hub: Hub) -> None:
    first, second = hub.node(), hub.node()
    hub.upload(first, "same", Code.NG, 500)
    hub.number += 1
    view = View(camera="top", code=Code.NG, width=64, height=48, picture=sha256("same"))
    second.send(part("s", hub.number, now_ms(), Code.NG, views=(view,)))
    assert hub.put(second, "same") == 201
    assert Purge(hub.settings).round(hub.connection, NOW) == 1
    assert hub.has("same")
    assert hub.asked("SELECT node FROM picture WHERE purged_at IS NULL") == [{"node": "node-2"}]
    Purge(hub.settings).round(hub.connection, NOW + timedelta(days=401))
    assert not hub.has("same")


def test_a_kill_between_row_and_file_is_made_good_by_the_next_round(hub: Hub) -> None:
    node = hub.node()
    hub.upload(node, "old", Code.OK, 40)
    purge = Purge(hub.settings)
    assert purge._age(hub.connection, NOW) == 1  # and then the process was killed
    assert hub.has("old")
    Purge(hub.settings).round(hub.connection, NOW)
    assert not hub.has("old")
    assert hub.asked("SELECT 1 FROM picture_purge WHERE done_at IS NULL") == []


def test_a_page_says_that_a_picture_expired_and_an_upload_of_it_is_not_kept(hub: Hub) -> None:
    node = hub.node()
    hub.upload(node, "old", Code.NG, 401, "old-thumb")
    page = f"{hub.address}/parts/{node.stream}/{node.next - 1}"
    assert "图片已过期" not in httpx.get(page).text
    purge = Purge(hub.settings)
    purge.round(hub.connection, NOW)
    shown = httpx.get(page).text
    assert "图片已过期" not in shown  # its thumbnail is still here
    assert sha256("old-thumb") in shown
    Purge(hub.settings).round(hub.connection, NOW + timedelta(days=900))
    shown = httpx.get(page).text
    assert "图片已过期" in shown
    assert "还没有到" not in shown
    assert hub.put(node, "old") == 200
    assert not hub.has("old")


def test_a_picture_stays_as_long_from_its_arrival_as_a_young_one(hub: Hub) -> None:
    """The clock of its node is years behind, or it came late: nobody has looked at it yet."""
    node = hub.node()
    hub.upload(node, "bad", Code.NG, 800, "thumb")
    hub.connection.execute("UPDATE picture SET received_at = now()")
    assert Purge(hub.settings).round(hub.connection, NOW) == 0
    assert hub.has("bad")
    assert Purge(hub.settings).round(hub.connection, NOW + timedelta(days=401)) == 1
    assert [name for name in ("bad", "thumb") if hub.has(name)] == ["thumb"]


def test_what_went_for_its_age_makes_room_too(hub: Hub) -> None:
    node = hub.node()
    for name, days in (("old-1", 40), ("old-2", 35), ("young", 1)):
        hub.upload(node, name, Code.OK, days)
    hub.connection.execute("UPDATE picture SET bytes = 400 * 1000000")
    settings = msgspec.structs.replace(hub.settings, pictures=shapes.Pictures(max_gb=1))
    purge = Purge(settings)
    while purge.round(hub.connection, NOW):
        pass
    assert [name for name in ("old-1", "old-2", "young") if hub.has(name)] == ["young"]
    assert hub.asked("SELECT DISTINCT cause FROM picture_purge") == [{"cause": "age"}]


@pytest.mark.parametrize("empty", [False, True])
def test_nothing_is_purged_or_kept_while_the_folder_is_not_there(
    hub: Hub, tmp_path: Path, empty: bool
) -> None:
    node = hub.node()
    hub.upload(node, "old", Code.OK, 40)
    hub.upload(node, "newer", Code.OK, 40)
    (tmp_path / "pictures").rename(tmp_path / "unmounted")
    if empty:  # a mount point
        (tmp_path / "pictures").mkdir()
    assert Purge(hub.settings).round(hub.connection, NOW) == 0
    assert hub.asked("SELECT 1 FROM picture WHERE purged_at IS NOT NULL") == []
    assert hub.put(node, "old") == 503
    assert list((tmp_path / "pictures").glob("*")) == []
    (tmp_path / "pictures").mkdir(exist_ok=True)
    (tmp_path / "pictures" / "00").mkdir()  # so a person says that the pictures are lost
    assert hub.put(node, "old") == 201


def test_a_picture_that_another_node_sends_while_it_is_purged_is_here_once_it_is_received(
    hub: Hub,
) -> None:
    first, second = hub.node(), hub.node()
    hub.upload(first, "same", Code.NG, 500)
    hub.number += 1
    view = View(camera="top", code=Code.NG, width=64, height=48, picture=sha256("same"))
    second.send(part("s", hub.number, now_ms(), Code.NG, views=(view,)))
    hub.asked("UPDATE picture SET purged_at = now() WHERE node = 'node-1' RETURNING 1")
    with ThreadPoolExecutor(1) as beside:
        with hub.connection.transaction():  # as a purge between its look and its deletion
            session.rows(hub.connection, "picture_locked", sha256=sha256("same"))
            [needed] = session.rows(hub.connection, "picture_needed", sha256=sha256("same"))
            sent = beside.submit(hub.put, second, "same")
            waits = "SELECT 1 FROM pg_locks WHERE NOT granted"
            wait_for(lambda: sent.done() or bool(hub.asked(waits)), "the upload waits")
            assert not needed["needed"]
            (hub.folder / sha256("same")[:2] / f"{sha256('same')}.jpg").unlink()
        assert sent.result(30) == 201
    assert hub.has("same")


def test_a_file_is_deleted_only_if_nobody_needs_it_once_uploads_of_it_are_through(
    hub: Hub, database: str
) -> None:
    first, second = hub.node(), hub.node()
    hub.upload(first, "same", Code.NG, 500)
    hub.number += 1
    view = View(camera="top", code=Code.NG, width=64, height=48, picture=sha256("same"))
    second.send(part("s", hub.number, now_ms(), Code.NG, views=(view,)))
    with session.connect(database, "upload") as upload, ThreadPoolExecutor(1) as beside:
        with upload.transaction():  # as an upload that found the file here
            session.rows(upload, "picture_locked", sha256=sha256("same"))
            purging = beside.submit(Purge(hub.settings).round, hub.connection, NOW)
            waits = "SELECT 1 FROM pg_locks WHERE NOT granted"
            wait_for(lambda: purging.done() or bool(upload.execute(waits).fetchall()), "it waits")
            session.rows(upload, "picture_arrived", sha256=sha256("same"), node="node-2", bytes=9)
        assert purging.result(30) == 1
    assert hub.has("same")


def test_what_a_cut_off_upload_left_is_swept_and_one_under_way_is_not(hub: Hub) -> None:
    hub.upload(hub.node(), "any", Code.OK, 1)
    left, under_way = hub.folder / "part" / "left.part", hub.folder / "part" / "new.part"
    for file in (left, under_way):
        file.write_bytes(b"half a pict")
    before_s = NOW.timestamp() - 3601
    os.utime(left, (before_s, before_s))
    Purge(hub.settings).round(hub.connection, NOW)
    assert list((hub.folder / "part").iterdir()) == [under_way]


def test_a_file_that_cannot_be_deleted_is_tried_again(hub: Hub) -> None:
    node = hub.node()
    hub.upload(node, "old", Code.OK, 40)
    place = Path(hub.settings.web.pictures_dir) / sha256("old")[:2] / f"{sha256('old')}.jpg"
    place.unlink()
    place.mkdir()  # what no unlink removes, not even root's
    assert Purge(hub.settings).round(hub.connection, NOW) == 1
    assert len(hub.asked("SELECT 1 FROM picture_purge WHERE done_at IS NULL")) == 1
    place.rmdir()
    Purge(hub.settings).round(hub.connection, NOW)
    assert hub.asked("SELECT 1 FROM picture_purge WHERE done_at IS NULL") == []


def test_duties_purge(hub: Hub) -> None:
    node = hub.node()
    hub.upload(node, "old", Code.OK, 40)
    Duties(hub.connection, hub.settings).round(NOW)
    assert not hub.has("old")
