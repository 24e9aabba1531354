"""The node's own page: edge.station."""

import json
import logging
import socket
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from edge.errors import LinkError
from edge.eye import Look
from edge.mqtt.message import PartRow
from edge.standing import Standing
from edge.station import StationPage
from edge.terms import Code, Mode, Reason, Verdict
from tests.serial_peers import until


@pytest.fixture
def standing() -> Standing:
    return Standing("s1", (), {}, ())


@pytest.fixture
def page(standing: Standing) -> Iterator[StationPage]:
    page = StationPage("127.0.0.1", 0, "node-1", [standing], lambda: (False, 7))
    page.start()
    yield page
    page.close()


def get(page: StationPage, path: str) -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(page.url.rstrip("/") + path, timeout=5) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, dict(refused.headers), refused.read()


def undecided(number: int) -> PartRow:
    return PartRow(
        station="s1",
        epoch=1,
        at_ms=1,
        mono_ms=1,
        boot="0" * 32,
        clock="unsynced",
        number=number,
        code=Code.UNDECIDED,
        reason=Reason.NO_FRAME,
        computed=Code.UNDECIDED,
        mode=Mode.AUTO,
        recipe="r",
        trust="pinned",
    )


def test_the_page_comes_with_its_style_and_script_and_nothing_from_outside(
    page: StationPage,
) -> None:
    status, headers, body = get(page, "/")
    assert status == 200
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "泉检" in body.decode()
    assert b"http://" not in body
    assert b"https://" not in body
    assert [get(page, path)[0] for path in ("/page.css", "/page.js")] == [200, 200]


def test_the_state_tells_counts_and_the_last_part_that_was_not_ok(
    page: StationPage, standing: Standing
) -> None:
    standing.settled(Mode.AUTO, Code.OK)
    standing.settled(Mode.AUTO, Code.UNDECIDED)
    standing.settled(Mode.SAMPLE, Code.NG)
    standing.passed("missed", 3)
    fault = "frozen: the same picture as before"
    look = Look("c1", Verdict(Code.UNDECIDED, Reason.BAD_IMAGE), fault=fault)
    standing.saw(undecided(12), (look,))
    state = json.loads(get(page, "/state.json")[2])
    assert (state["hub"], state["waiting"]) == ("offline", 7)
    (station,) = state["stations"]
    assert station["counts"] == {
        "ok": 1,
        "ng": 0,
        "undecided": 1,
        "missed": 3,
        "bypassed": 0,
        "samples": 1,
    }
    assert station["last_not_ok"]["number"] == 12
    assert station["last_not_ok"]["has_picture"] is False
    assert station["last_not_ok"]["faults"] == ["frozen: the same picture as before"]


def test_a_station_that_counts_itself_says_that_nobody_checks_it(
    page: StationPage, standing: Standing
) -> None:
    assert json.loads(get(page, "/state.json")[2])["stations"][0]["counted_by"] == "plc"
    standing.counted_by = "self"
    assert json.loads(get(page, "/state.json")[2])["stations"][0]["counted_by"] == "self"
    assert "自计数，无独立核对" in get(page, "/")[2].decode()


@pytest.mark.parametrize(
    "path", ["/nothing", "/last/s9.jpg", "/last/s1.jpg", "/../edge.toml", "/page.js/..", "/%00"]
)
def test_what_is_not_there_is_404_and_nothing_outside_the_page_is_served(
    page: StationPage, path: str
) -> None:
    assert get(page, path)[0] == 404


def test_a_foreign_name_that_points_here_is_refused(page: StationPage) -> None:
    request = urllib.request.Request(page.url + "state.json", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=5)
    assert refused.value.code == 421
    refused.value.close()


@pytest.mark.parametrize(
    "head", [b"GET / HTTP/1.1\r\nHost: [\r\n", b"GET http://[ HTTP/1.1\r\nHost: 127.0.0.1\r\n"]
)
def test_an_address_that_is_none_is_a_bad_request(page: StationPage, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(page.url).port or 0), 5) as client:
        client.sendall(head + b"\r\n")
        assert client.makefile("rb").readline().split()[1] == b"400"


def test_a_client_that_leaves_without_its_answer_leaves_no_traceback(
    page: StationPage, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with socket.create_connection(("127.0.0.1", urlsplit(page.url).port or 0), 5) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: "a client left" in caplog.text)
    assert capfd.readouterr().err == ""


def test_nothing_can_be_written(page: StationPage) -> None:
    request = urllib.request.Request(page.url, data=b"x", method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=5)
    assert refused.value.code == 501
    refused.value.close()


def test_a_port_that_is_taken_is_a_sentence(page: StationPage) -> None:
    port = int(page.url.rsplit(":", 1)[1].strip("/"))
    with pytest.raises(LinkError, match="cannot listen on"):
        StationPage("127.0.0.1", port, "node-2", [], lambda: (False, 0))
