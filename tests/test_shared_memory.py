"""Frames between two programs: whole, in order, or not at all."""

import contextlib
import multiprocessing
import os
import resource
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import CameraError, ImageError
from edge.terms import Frame
from edge.vision.bell import connect
from edge.vision.shared_memory import SLOTS, SharedMemoryCamera, SharedMemoryWriter
from tests.serial_peers import until

WAIT_S = 10.0


def picture(value: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width), value % 256, np.uint8)


def until_gone(reader: SharedMemoryCamera) -> Iterator[Frame]:
    """Every frame until the writer goes."""
    while True:
        try:
            frame = reader.read(WAIT_S)
        except CameraError:
            return
        assert frame is not None, "nothing came and nobody said why"
        yield frame


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[tuple[SharedMemoryWriter, SharedMemoryCamera]]:
    writer = SharedMemoryWriter(tmp_path / "c1", 64, 48, 1)
    reader = SharedMemoryCamera("c1", tmp_path / "c1")
    yield writer, reader
    reader.close()
    writer.close()


def test_frames_arrive_in_order_with_time_and_trigger_count(
    ring: tuple[SharedMemoryWriter, SharedMemoryCamera],
) -> None:
    writer, reader = ring
    writer.write(picture(7), 1.25, 40)
    writer.write(picture(8), 1.5)
    first, second = reader.read(WAIT_S), reader.read(WAIT_S)
    assert first is not None
    assert second is not None
    assert (first.camera, first.number, first.exposed_s, first.trigger_count) == ("c1", 0, 1.25, 40)
    assert (second.number, second.exposed_s, second.trigger_count) == (1, 1.5, None)
    assert np.array_equal(first.image, picture(7))
    assert np.array_equal(second.image, picture(8))


def test_a_frame_read_does_not_change_when_its_slot_is_written_again(
    ring: tuple[SharedMemoryWriter, SharedMemoryCamera],
) -> None:
    writer, reader = ring
    writer.write(picture(1), 0.0)
    kept = reader.read(WAIT_S)
    for value in range(2, 2 + 2 * SLOTS):
        writer.write(picture(value), 0.0)
    assert kept is not None
    assert np.array_equal(kept.image, picture(1))


def test_nothing_comes_back_when_nothing_came(
    ring: tuple[SharedMemoryWriter, SharedMemoryCamera],
) -> None:
    assert ring[1].read(0.01) is None


def test_a_sleeping_reader_wakes_for_a_frame(
    ring: tuple[SharedMemoryWriter, SharedMemoryCamera],
) -> None:
    writer, reader = ring
    thread = threading.Timer(0.05, writer.write, (picture(3), time.monotonic()))
    thread.start()
    began_s = time.monotonic()
    frame = reader.read(WAIT_S)
    thread.join()
    assert frame is not None
    assert time.monotonic() - began_s < WAIT_S / 2


def test_two_readers_both_get_every_frame(
    ring: tuple[SharedMemoryWriter, SharedMemoryCamera],
) -> None:
    writer, first = ring
    second = SharedMemoryCamera("c1", writer.path)
    for value in range(5):
        writer.write(picture(value), 0.0)
        for reader in (first, second):
            frame = reader.read(WAIT_S)
            assert frame is not None
            assert frame.number == value
    second.close()


@given(written=st.integers(0, 40), read_between=st.integers(0, 40))
def test_a_late_reader_loses_the_oldest_and_never_goes_back(
    tmp_path_factory: pytest.TempPathFactory, written: int, read_between: int
) -> None:
    path = tmp_path_factory.mktemp("ring") / "c"
    writer = SharedMemoryWriter(path, 8, 8, 1)
    reader = SharedMemoryCamera("c", path)
    numbers = []
    for value in range(written):
        writer.write(picture(value, 8, 8), float(value))
        if read_between and value % read_between == 0:
            frame = reader.read(WAIT_S)
            assert frame is not None
            numbers.append(frame.number)
    while (frame := reader.read(0)) is not None:
        assert np.array_equal(frame.image, picture(frame.number, 8, 8))
        numbers.append(frame.number)
    writer.close()
    reader.close()
    assert numbers == sorted(set(numbers))
    assert numbers[-SLOTS:] == list(range(written))[-SLOTS:]


def _hammer(path: Path, ready: Event, go: Event) -> None:
    writer = SharedMemoryWriter(path, 640, 480, 1, slots=2)
    ready.set()
    go.wait(WAIT_S)
    for value in range(4000):
        writer.write(np.full((480, 640), value % 251, np.uint8), float(value), value)
    writer.close()


def test_a_reader_overrun_by_a_writer_in_another_program_never_gets_a_torn_frame(
    tmp_path: Path,
) -> None:
    path, spawn = tmp_path / "c", multiprocessing.get_context("spawn")
    ready, go = spawn.Event(), spawn.Event()
    program = spawn.Process(target=_hammer, args=(path, ready, go))
    program.start()
    assert ready.wait(WAIT_S)
    reader = SharedMemoryCamera("c", path)
    go.set()
    frames = list(until_gone(reader))
    program.join(WAIT_S)
    reader.close()
    assert program.exitcode == 0
    assert len(frames) > 10
    for frame in frames:
        assert frame.trigger_count == frame.number == frame.exposed_s
        assert np.all(frame.image == frame.number % 251)


def _wait_to_be_killed(path: Path, ready: Event) -> None:
    writer = SharedMemoryWriter(path, 64, 48, 1)
    ready.set()
    signal.pause()
    writer.close()


def test_a_killed_writer_is_noticed_at_once_and_the_next_one_takes_over(tmp_path: Path) -> None:
    path, spawn = tmp_path / "c", multiprocessing.get_context("spawn")
    ready = spawn.Event()
    program = spawn.Process(target=_wait_to_be_killed, args=(path, ready))
    program.start()
    assert ready.wait(WAIT_S)
    reader = SharedMemoryCamera("c", path)
    program.kill()
    began_s = time.monotonic()
    assert list(until_gone(reader)) == []
    assert time.monotonic() - began_s < WAIT_S / 2
    reader.close()
    program.join(WAIT_S)
    with pytest.raises(CameraError, match="no program writes"):
        SharedMemoryCamera("c", path)
    writer = SharedMemoryWriter(path, 64, 48, 1)
    again = SharedMemoryCamera("c", path)
    writer.write(picture(9), 1.0)
    assert again.read(WAIT_S) is not None
    again.close()
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_a_camera_that_takes_no_picture_can_be_opened_any_number_of_times(
    ring: tuple[SharedMemoryWriter, SharedMemoryCamera],
) -> None:
    """A line that stands: nothing is written, and `check` opens a camera several times a run."""
    writer, reader = ring
    for _ in range(300):
        SharedMemoryCamera("c1", writer.path).close()
    last = SharedMemoryCamera("c1", writer.path)
    until(lambda: writer.readers == 2)  # those that left are forgotten, without a frame
    writer.write(picture(5), 0.0)
    for one in (reader, last):
        frame = one.read(WAIT_S)
        assert frame is not None
        assert np.array_equal(frame.image, picture(5))
    last.close()


def _read_when_told(path: Path, go: Event) -> None:
    go.wait(WAIT_S)
    reader = SharedMemoryCamera("c", path)
    while (frame := reader.read(WAIT_S)) is not None and frame.image[0, 0] != 6:
        continue  # one that came before it first looked
    assert frame is not None
    reader.close()


def test_a_reader_that_no_descriptor_is_left_for_is_taken_as_soon_as_there_is_one(
    ring: tuple[SharedMemoryWriter, SharedMemoryCamera],
) -> None:
    writer, reader = ring
    until(lambda: writer.readers == 1)
    spawn = multiprocessing.get_context("spawn")
    go = spawn.Event()
    program = spawn.Process(target=_read_when_told, args=(writer.path, go))
    program.start()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    comes = select.poll()
    comes.register(writer._bell._listening, select.POLLIN)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        go.set()
        assert comes.poll(WAIT_S * 1000)
        writer.write(picture(5), 0.0)  # goes to those who are there
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in taken:
            os.close(descriptor)
    assert reader.read(WAIT_S) is not None
    until(lambda: writer.readers == 2)
    writer.write(picture(6), 0.0)
    program.join(WAIT_S)
    assert program.exitcode == 0


def test_a_writer_that_hangs_is_named_and_keeps_its_place(tmp_path: Path) -> None:
    path, spawn = tmp_path / "c", multiprocessing.get_context("spawn")
    ready = spawn.Event()
    program = spawn.Process(target=_wait_to_be_killed, args=(path, ready))
    program.start()
    assert ready.wait(WAIT_S)
    assert program.pid is not None
    os.kill(program.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, program.pid, os.WSTOPPED)
    waiting: list[socket.socket] = []
    with contextlib.suppress(BlockingIOError):
        while len(waiting) < 500:
            waiting.append(connect(path))
    with pytest.raises(CameraError, match="writes frames hangs"):
        SharedMemoryCamera("c", path)
    with pytest.raises(CameraError, match="already writes"):
        SharedMemoryWriter(path, 64, 48, 1)
    for one in waiting:
        one.close()
    program.kill()
    program.join(WAIT_S)


def test_frames_written_before_the_writer_left_are_still_read(
    ring: tuple[SharedMemoryWriter, SharedMemoryCamera],
) -> None:
    writer, reader = ring
    writer.write(picture(1), 0.0)
    writer.close()
    writer.close()
    assert reader.read(WAIT_S) is not None
    with pytest.raises(CameraError, match="gone"):
        reader.read(WAIT_S)


def test_two_writers_on_one_path_are_refused(
    ring: tuple[SharedMemoryWriter, SharedMemoryCamera],
) -> None:
    with pytest.raises(CameraError, match="already writes"):
        SharedMemoryWriter(ring[0].path, 64, 48, 1)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((48, 63), np.uint8),
        np.zeros((48, 64, 3), np.uint8),
        np.zeros((48, 64), np.uint16),
    ],
)
def test_an_image_of_another_shape_is_refused(
    ring: tuple[SharedMemoryWriter, SharedMemoryCamera], image: np.ndarray
) -> None:
    with pytest.raises(ImageError, match="expected"):
        ring[0].write(image, 0.0)


def test_a_colour_ring_carries_colour(tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(0, 256, (7, 5, 3), np.uint8)
    writer = SharedMemoryWriter(tmp_path / "c", 5, 7, 3)
    reader = SharedMemoryCamera("c", tmp_path / "c")
    writer.write(image, 0.0)
    frame = reader.read(WAIT_S)
    reader.close()
    writer.close()
    assert frame is not None
    assert np.array_equal(frame.image, image)


@pytest.mark.parametrize(("channels", "width", "slots"), [(2, 8, 8), (1, 0, 8), (1, 8, 1)])
def test_an_impossible_ring_is_refused(
    tmp_path: Path, channels: int, width: int, slots: int
) -> None:
    with pytest.raises(CameraError, match="expected"):
        SharedMemoryWriter(tmp_path / "c", width, 8, channels, slots)


@pytest.mark.parametrize("content", [b"", b"x" * 10, b"x" * 5000, None])
def test_a_file_that_is_no_ring_is_a_sentence(
    ring: tuple[SharedMemoryWriter, SharedMemoryCamera], content: bytes | None
) -> None:
    path = ring[0].path
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[:-1] if content is None else content)
    with pytest.raises(CameraError, match=r"c1: .*ring of frames"):
        SharedMemoryCamera("c1", path)


def test_a_path_longer_than_a_socket_address_works(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 120)
    folder.mkdir()
    writer = SharedMemoryWriter(folder / "c", 8, 8, 1)
    reader = SharedMemoryCamera("c", folder / "c")
    writer.write(picture(1, 8, 8), 0.0)
    assert reader.read(WAIT_S) is not None
    reader.close()
    writer.close()


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="cannot be shared"):
        SharedMemoryWriter(tmp_path / "no" / "c", 8, 8, 1)
    with pytest.raises(CameraError, match="no program writes"):
        SharedMemoryCamera("c", tmp_path / "no" / "c")
