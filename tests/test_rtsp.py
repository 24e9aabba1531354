"""RTSP cameras against a real server: fresh pictures with true times, lost and found again."""

import os
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import CameraError
from edge.limits import View
from edge.terms import Frame
from edge.vision.address import redacted, with_login
from edge.vision.camera import Capture
from edge.vision.rtsp import OPEN_TIMEOUT_MS, OPTIONS, Opening, RtspCamera
from edge.vision.setup import StreamTransport
from tests.camera_source import Source
from tests.rtsp_peer import RtspServer, free_port, stamped
from tests.serial_peers import until

WAIT_S = 20.0
DELAY_S = 0.3  # from the making of a picture to its arrival, on a loaded computer
CUTS = 10


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[RtspServer]:
    peer = RtspServer(free_port(), *getattr(request, "param", ())).listening()
    yield peer
    peer.kill()


def frames_of(camera: RtspCamera, wanted: int) -> list[Frame]:
    frames: list[Frame] = []
    until_s = time.monotonic() + WAIT_S
    while len(frames) < wanted and time.monotonic() < until_s:
        frame = camera.read(0.1)
        frames += [frame] if frame is not None else []
    assert len(frames) == wanted, f"{len(frames)} pictures within {WAIT_S} s"
    return frames


def newer_than(moment_s: float) -> Callable[[Frame], bool]:
    return lambda frame: frame.exposed_s > moment_s


def open_things() -> tuple[int, int]:
    """Descriptors of this process, and threads of any language."""
    return (
        len(list(Path("/proc/self/fd").iterdir())),
        len(list(Path("/proc/self/task").iterdir())),
    )


@pytest.mark.needs_rtsp
@pytest.mark.parametrize(
    ("server", "transport"),
    [
        (("--codec", "h264", "--transport", "tcp"), "tcp"),
        (("--codec", "h265", "--transport", "udp"), "udp"),
    ],
    indirect=["server"],
)
def test_no_picture_is_said_to_be_newer_than_it_is(
    server: RtspServer, transport: StreamTransport
) -> None:
    began_s = time.monotonic()
    capture = Capture(
        Source("rtsp", server.url, delay_ms=round(DELAY_S * 1000), transport=transport)
    )
    frames: list[Frame] = []
    while len(frames) < 10:
        last_s = frames[-1].exposed_s if frames else began_s
        frame = capture.wait_for(newer_than(last_s), time.monotonic() + WAIT_S)
        assert frame is not None, capture.fault
        frames.append(frame)
    capture.close()
    made = [stamped(frame.image)[1] for frame in frames]
    assert made == sorted(made)
    for frame, made_s in zip(frames, made, strict=True):
        assert made_s - DELAY_S - 0.1 <= frame.exposed_s <= made_s
        assert frame.image.shape == (240, 320, 3)
    numbers = [frame.number for frame in frames]
    assert numbers == sorted(set(numbers))


@pytest.mark.needs_rtsp
def test_what_came_while_the_decoder_probed_is_not_delivered(server: RtspServer) -> None:
    watching = RtspCamera("c0", server.url)  # the server makes pictures already
    frames_of(watching, 1)
    camera = RtspCamera("c1", server.url, delay_s=DELAY_S)
    opened_s = time.monotonic()
    frame = frames_of(camera, 1)[0]
    camera.close()
    watching.close()
    assert stamped(frame.image)[1] >= opened_s


@pytest.mark.needs_rtsp
def test_what_a_relay_held_back_is_not_taken_for_new(server: RtspServer) -> None:
    camera = RtspCamera("c1", server.url, delay_s=DELAY_S)
    frames_of(camera, 3)
    server.tell("hold")
    held_s = time.monotonic()
    frames = frames_of(camera, 1)
    while stamped(frames[-1].image)[1] < held_s + 1.5:  # those held were made within 1 s
        frames += frames_of(camera, 1)
    camera.close()
    for frame in frames:
        assert frame.exposed_s <= stamped(frame.image)[1]


@pytest.mark.needs_rtsp
@pytest.mark.faults
def test_a_server_killed_ten_times_never_gives_a_stale_picture_and_leaves_nothing_behind() -> None:
    port = free_port()

    def started(number: int) -> RtspServer:
        codec = ("h264", "h265")[number % 2]
        return RtspServer(port, "--generation", str(number), "--codec", codec)

    serving, spare = started(0).listening(), started(1)
    capture = Capture(Source("rtsp", serving.url, delay_ms=round(DELAY_S * 1000)))
    left: list[tuple[int, int]] = []
    try:
        assert capture.wait_for(lambda _: True, time.monotonic() + WAIT_S)
        for cut in range(1, CUTS + 1):
            spare.tell("ready")
            serving.kill()
            cut_s = time.monotonic()
            until(lambda: not capture.online, WAIT_S)
            serving, spare = spare.listening(), started(cut + 1)
            frame = capture.wait_for(newer_than(cut_s), time.monotonic() + WAIT_S)
            assert frame is not None, capture.fault
            generation, made_s = stamped(frame.image)
            assert generation == cut, "a picture from before the cut"
            assert cut_s < frame.exposed_s <= made_s
            assert capture.reconnects == cut
            left.append(open_things())
    finally:
        capture.close()
        serving.kill()
        spare.kill()
    assert left[-1] == left[1], "descriptors, threads"


@pytest.mark.needs_rtsp
def test_a_pulled_cable_is_noticed_although_no_connection_closes(server: RtspServer) -> None:
    camera = RtspCamera("c1", server.url, delay_s=DELAY_S, lost_after_s=2.0)
    frames_of(camera, 3)
    with pytest.raises(CameraError, match="exposure_us: a rtsp camera cannot be set so"):
        camera.apply(View(camera="c1", exposure_us=100))
    server.pull_cable()
    pulled_s = time.monotonic()
    with pytest.raises(CameraError, match="no picture for 2 s"):
        frames_of(camera, 1000)
    assert time.monotonic() - pulled_s < WAIT_S / 2
    server.kill()  # ends the read that hangs
    camera.close()


@pytest.mark.needs_rtsp
@pytest.mark.parametrize("server", [("--login", "cam:p@:/ %41s")], indirect=True)
def test_the_password_comes_from_a_file_and_stands_in_no_message(
    server: RtspServer,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    secret = tmp_path / "login"
    secret.touch(0o600)
    secret.write_text("cam:p@:/ %41s\n", encoding="utf-8")
    camera = RtspCamera("c1", server.url, password_file=secret)
    frames_of(camera, 1)
    camera.close()
    secret.write_text("cam:wrong@word\n", encoding="utf-8")
    with pytest.raises(CameraError) as refused:
        RtspCamera("c1", server.url, password_file=secret)
    with pytest.raises(CameraError) as written_out:
        RtspCamera("c1", server.url.replace("//", "//cam:wrong@word@"))
    told = f"{refused.value} {written_out.value} {capfd.readouterr()} {caplog.text}"
    assert "cannot be opened as rtsp" in told
    assert "wrong" not in told
    assert "word" not in told.replace("password", "")


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        (b"cam:secret\n", 0o644, "mode is 644, expected 600"),
        (b"camsecret\n", 0o600, "expected user:password"),
        (b"\xff\xfe:secret", 0o600, "cannot be read"),
        (None, 0, "cannot be read"),
    ],
)
def test_a_password_file_that_does_not_fit_is_a_sentence_without_the_password(
    tmp_path: Path, content: bytes | None, mode: int, told: str
) -> None:
    secret = tmp_path / "login"
    if content is not None:
        secret.write_bytes(content)
        secret.chmod(mode)
    with pytest.raises(CameraError, match=f"{re.escape(str(secret))}.*{told}") as wrong:
        RtspCamera("c1", "rtsp://127.0.0.1/live", password_file=secret)
    assert "secret" not in str(wrong.value).replace(str(secret), "")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            "rtsp://h/u=cam&password=se&ch=1",
            "rtsp://h/u=cam&password=***&ch=1",
        ),
        (
            "rtspsrc user-pw=s3 ! fakesink",
            "rtspsrc user-pw=*** ! fakesink",
        ),
        ('srtsrc passphrase = "a b" ! x', "srtsrc passphrase = *** ! x"),
    ],
)
def test_no_password_of_a_key_stands_in_a_message(source: str, told: str) -> None:
    assert redacted(source) == told


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=3))
def test_no_login_survives_in_a_message(password: str) -> None:
    with tempfile.NamedTemporaryFile(mode="w", encoding="utf-8", newline="") as secret:
        secret.write(f"cam:{password}\n")
        secret.flush()
        address = with_login("rtsp://host:554/live", Path(secret.name))
    assert address.endswith("@host:554/live")
    assert redacted(f"cannot open {address} now") == "cannot open rtsp://***@host:554/live now"
    assert unquote(address) == f"rtsp://cam:{password}@host:554/live"


@pytest.mark.parametrize("source", ["/etc/hostname", "http://host/live", "", "host/live"])
def test_a_source_that_is_no_rtsp_address_is_a_sentence(source: str) -> None:
    with pytest.raises(CameraError, match="expected an address such as rtsp://host:554/path"):
        RtspCamera("c1", source)


def test_an_address_where_nobody_listens_is_told_at_once() -> None:
    began_s = time.monotonic()
    with pytest.raises(CameraError, match="cannot be opened as rtsp"):
        RtspCamera("c1", f"rtsp://127.0.0.1:{free_port()}/live")
    assert time.monotonic() - began_s < WAIT_S


def test_an_address_that_never_answers_is_given_up_in_bounded_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        began_s = time.monotonic()
        with pytest.raises(CameraError, match="cannot be opened as rtsp"):
            RtspCamera("c1", f"rtsp://127.0.0.1:{deaf.getsockname()[1]}/live")
        assert time.monotonic() - began_s < OPEN_TIMEOUT_MS / 1000 + WAIT_S


def test_opens_with_other_options_wait_for_each_other_and_equal_ones_go_side_by_side() -> None:
    opening = Opening()
    started = threading.Barrier(2)
    seen: list[str] = []

    def open_one(options: str, meet: bool) -> None:
        with opening.options(options):
            if meet:
                started.wait(WAIT_S)
            seen.append(os.environ[OPTIONS])

    threads = [threading.Thread(target=open_one, args=("a;1", True)) for _ in range(2)]
    with opening.options("b;2"):
        for thread in threads:
            thread.start()
        assert os.environ[OPTIONS] == "b;2"
    for thread in threads:
        thread.join(WAIT_S)
    open_one("b;2", False)
    assert seen == ["a;1", "a;1", "b;2"]
