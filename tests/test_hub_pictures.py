"""Pictures at the hub: taken only from their own node, whole, and for a committed row."""

import hashlib
import select
import socket
from pathlib import Path

import httpx
import pytest

from edge.mqtt.message import EpochRow, View
from edge.terms import Code
from hub import pictures
from tests.played_hub import Node, PlayedHub, now_ms
from tests.played_shift import part, stamp

JPEG = b"\xff\xd8\xff\xe0" + b"a picture of a part" * 50 + b"\xff\xd9"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def named(
    hub: PlayedHub, line: str, picture: bytes | None = None, thumbnail: bytes | None = None
) -> Node:
    """A node whose only part names these pictures, its row committed."""
    node = hub.new_node(line)
    view = View(
        camera="top",
        code=Code.NG,
        width=64,
        height=48,
        picture=None if picture is None else sha256(picture),
        thumbnail=None if thumbnail is None else sha256(thumbnail),
    )
    start = EpochRow(
        **stamp("s", now_ms()), base=0, plc_start=1, cause="first_contact", counted_by="plc"
    )
    node.send(start, part("s", 1, now_ms(), Code.NG, views=(view,)))
    return node


def test_a_picture_comes_back_as_it_was_sent_and_may_be_kept_for_ever(
    played_hub: PlayedHub,
) -> None:
    node = named(played_hub, "p-back", JPEG)
    assert played_hub.put(node, sha256(JPEG), JPEG).status_code == 201
    got = played_hub.get(f"/pictures/{sha256(JPEG)}.jpg")
    assert (got.status_code, got.content) == (200, JPEG)
    assert got.headers["content-type"] == "image/jpeg"
    assert "immutable" in got.headers["cache-control"]


def test_a_picture_sent_again_is_fine(played_hub: PlayedHub) -> None:
    content = JPEG + b"again"
    node = named(played_hub, "p-again", content)
    codes = [played_hub.put(node, sha256(content), content).status_code for _ in range(2)]
    assert codes == [201, 200]


def test_a_picture_whose_row_is_not_committed_yet_is_told_to_come_later(
    played_hub: PlayedHub,
) -> None:
    content = JPEG + b"too early"
    node = played_hub.new_node("p-early")
    answer = played_hub.put(node, sha256(content), content)
    assert answer.status_code == 409
    assert played_hub.get(f"/pictures/{sha256(content)}.jpg").status_code == 404


def test_a_node_cannot_send_a_picture_of_another_node(played_hub: PlayedHub) -> None:
    content = JPEG + b"of the one"
    named(played_hub, "p-one", content)
    other = played_hub.new_node("p-other")
    assert played_hub.put(other, sha256(content), content).status_code == 409


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer nobody", "Basic bm9ib2R5", "x" * 4000]
)
def test_without_a_known_token_nothing_is_taken(
    played_hub: PlayedHub, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    address = f"{played_hub.address}/pictures/{sha256(JPEG)}"
    assert httpx.put(address, content=JPEG, headers=headers).status_code == 401


def test_other_bytes_than_the_hash_says_are_refused_and_not_kept(played_hub: PlayedHub) -> None:
    content = JPEG + b"true"
    node = named(played_hub, "p-false", content)
    assert played_hub.put(node, sha256(content), JPEG + b"false").status_code == 422
    assert played_hub.get(f"/pictures/{sha256(content)}.jpg").status_code == 404


def test_what_is_not_a_jpeg_is_refused(played_hub: PlayedHub) -> None:
    content = b"<svg onload=alert(1)>" * 20
    node = named(played_hub, "p-svg", content)
    assert played_hub.put(node, sha256(content), content).status_code == 415


def test_a_thumbnail_is_at_most_64_kib_and_a_picture_as_large_as_the_settings_say(
    played_hub: PlayedHub,
) -> None:
    small, large = JPEG.ljust(64 * 1024 + 1, b"t"), JPEG.ljust(64 * 1024 + 1, b"p")
    node = named(played_hub, "p-large", picture=large, thumbnail=small)
    assert played_hub.put(node, sha256(small), small).status_code == 413
    assert played_hub.put(node, sha256(large), large).status_code == 201
    beyond = JPEG.ljust(played_hub.settings.web.max_picture_kb * 1024 + 1, b"b")
    assert played_hub.put(node, sha256(beyond), beyond).status_code == 413


@pytest.mark.parametrize("name", ["..", "0" * 63, "0" * 65, "G" * 64, "%2e%2e%2fetc%2fpasswd"])
def test_only_a_sha256_names_a_picture(played_hub: PlayedHub, name: str) -> None:
    node = played_hub.nodes["node-1"]
    assert played_hub.put(node, name, JPEG).status_code in (404, 405, 422)
    assert played_hub.get(f"/pictures/{name}.jpg").status_code in (404, 422)


def opened(hub: PlayedHub, node: Node | None, length: int) -> socket.socket:
    """A PUT that has begun and promises so many bytes."""
    host, port = hub.address.removeprefix("http://").split(":")
    line = socket.create_connection((host, int(port)), timeout=20)
    token = "" if node is None else f"Authorization: Bearer {node.token}\r\n"
    head = f"PUT /pictures/{sha256(JPEG)} HTTP/1.1\r\nHost: {host}\r\n{token}"
    line.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode())
    return line


def answer_of(line: socket.socket) -> tuple[int, bool]:
    """The status, and whether the hub closed the connection after it."""
    answer = b""
    while chunk := line.recv(4096):
        answer += chunk
    return int(answer.split()[1]), b"connection: close" in answer.lower()


def test_of_a_sender_without_a_token_no_more_is_read_than_a_thumbnail(
    played_hub: PlayedHub,
) -> None:
    with opened(played_hub, None, 10_000_000) as line:
        line.sendall(b"x" * (64 * 1024 + 1))
        assert answer_of(line) == (401, True)


@pytest.mark.parametrize(("known", "status"), [(True, 408), (False, 401)])
def test_a_sender_that_never_is_silent_is_given_up_all_the_same(
    played_hub: PlayedHub, monkeypatch: pytest.MonkeyPatch, known: bool, status: int
) -> None:
    monkeypatch.setattr(pictures, "PATIENCE_S", 0.05)
    monkeypatch.setattr(pictures, "SLOWEST_BYTES_PER_S", 1e12)
    node = played_hub.nodes["node-1"] if known else None
    with opened(played_hub, node, 10_000_000) as line:
        for _ in range(600):
            line.sendall(b"x")
            readable, _, _ = select.select([line], [], [], 0.01)
            if readable:
                break
        else:
            pytest.fail("600 bytes, one by one, and the hub still reads")
        assert answer_of(line) == (status, True)


def test_a_sender_that_goes_away_in_the_middle_leaves_nothing_and_stops_nobody(
    played_hub: PlayedHub,
) -> None:
    content = JPEG + b"cut"
    node = named(played_hub, "p-cut", content)
    host, port = played_hub.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as line:
        line.sendall(
            f"PUT /pictures/{sha256(content)} HTTP/1.1\r\nHost: {host}\r\n"
            f"Authorization: Bearer {node.token}\r\nContent-Length: {len(content)}\r\n\r\n".encode()
            + content[:100]
        )
    assert played_hub.put(node, sha256(content), content).status_code == 201
    assert list(Path(played_hub.settings.web.pictures_dir).rglob("*.part")) == []
