"""Frames from another program on this computer: a ring of slots in a file that both sides map.

The writer counts frames; frame n lies in slot n mod slots. A reader connects to the writer's socket
(edge/vision/bell.py), then maps the file, and sleeps in the socket until a byte says "look again".

    file    64 bytes  magic, version, slots, width, height, channels, slot size, frames written
            slots x   64 bytes  sequence, exposure start s, trigger count (-1 = none), sum
                      pixels    rows of the frame, zeros up to a multiple of 64

`sequence` is 2n + 1 while frame n is being written and 2n + 2 when it is whole (a seqlock): a
reader copies and looks again. `sum` adds the slot's 64-bit words, because a processor with weak
memory order (Jetson) may show the sequence before the pixels: half of one part and half of the
next must never be judged. Times are CLOCK_MONOTONIC, one clock for all programs of a computer.
"""

import math
import mmap
import os
import select
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.errors import CameraError, ImageError
from edge.limits import View
from edge.terms import Frame
from edge.vision import bell
from edge.vision.setup import refuse

MAGIC = b"QJFRAMES"
VERSION = 1
SLOTS = 8
_ALIGN = 64

_FILE = np.dtype(
    [
        ("magic", "S8"),
        ("version", "<u4"),
        ("slots", "<u4"),
        ("width", "<u4"),
        ("height", "<u4"),
        ("channels", "<u4"),
        ("slot_bytes", "<u4"),
        ("frames", "<u8"),
        ("", "V24"),
    ]
)
_SLOT = np.dtype(
    [("sequence", "<u8"), ("exposed_s", "<f8"), ("count", "<i8"), ("sum", "<u8"), ("", "V32")]
)


class _Ring:
    """The mapped file as arrays. Kept alive by the arrays, unmapped with the last of them."""

    def __init__(self, memory: mmap.mmap, slots: int, shape: tuple[int, ...]) -> None:
        pixels = math.prod(shape)
        stride = slot_bytes(pixels)
        self.slots, self.shape, self.pixels = slots, shape, pixels
        self.file = np.ndarray((), _FILE, memory)
        self.slot = np.ndarray(slots, _SLOT, memory, _FILE.itemsize, (stride,))
        start = _FILE.itemsize + _SLOT.itemsize
        words = (stride - _SLOT.itemsize) // 8
        self.words = np.ndarray((slots, words), "<u8", memory, start, (stride, 8))
        self.bytes = np.ndarray((slots, pixels), np.uint8, memory, start, (stride, 1))

    def take(self, number: int) -> tuple[float, int, npt.NDArray[np.uint8]] | None:
        """Exposure, trigger count (-1 = none) and a copy of frame `number`; None: overwritten."""
        slot = number % self.slots
        whole = 2 * number + 2
        if int(self.slot["sequence"][slot]) != whole:
            return None
        exposed_s, count = float(self.slot["exposed_s"][slot]), int(self.slot["count"][slot])
        expected = int(self.slot["sum"][slot])
        words = self.words[slot].copy()
        if int(self.slot["sequence"][slot]) != whole or int(words.sum()) != expected:
            return None
        return exposed_s, count, words.view(np.uint8)[: self.pixels].reshape(self.shape)


def slot_bytes(pixels: int) -> int:
    """Bytes of one slot with its header for a frame of `pixels` bytes."""
    return _SLOT.itemsize + -(-pixels // _ALIGN) * _ALIGN


def _shape(width: int, height: int, channels: int) -> tuple[int, ...]:
    return (height, width) if channels == 1 else (height, width, channels)


class SharedMemoryWriter:
    """The program that has the pictures: a simulated line, a vendor's SDK in a process of its own.

    One writer per path, used from one thread. A writer that was killed leaves its files behind; the
    next one on the same path replaces them.
    """

    def __init__(
        self, path: Path, width: int, height: int, channels: int, slots: int = SLOTS
    ) -> None:
        """Make the ring and let readers connect.

        Args:
            path: of the ring, e.g. in /dev/shm; its folder exists.
            channels: 1 = gray, 3 = BGR.
            slots: frames kept; a reader may be that many frames late.

        Raises:
            CameraError: another writer lives on this path, or it cannot be made.
        """
        if channels not in (1, 3) or min(width, height) < 1 or slots < 2:
            raise CameraError(
                f"{path}: expected 1 or 3 channels, a size from 1 x 1 and 2 slots or more, "
                f"got {channels}, {width} x {height}, {slots}"
            )
        self.path = path
        if bell.writer_lives(path):
            raise CameraError(f"{path}: another program already writes frames here")
        try:
            self._ring = _create(path, width, height, channels, slots)
            self._bell = bell.Bell(path)
        except OSError as exc:
            raise CameraError(f"{path}: frames cannot be shared here: {exc}") from exc
        self._next = 0
        self._closed = False

    def write(
        self, image: npt.NDArray[np.uint8], exposed_s: float, trigger_count: int | None = None
    ) -> int:
        """Hand over one frame and return its number, from 0; never waits for a reader.

        Args:
            image: (H, W) or (H, W, 3) uint8 as the ring was made.
            exposed_s: time.monotonic() at the start of exposure.
            trigger_count: the camera's own hardware-trigger counter, if it has one.

        Raises:
            ImageError: another shape or type than the ring's.
        """
        ring = self._ring
        if image.shape != ring.shape or image.dtype != np.uint8:
            raise ImageError(
                f"{self.path}: expected {ring.shape} uint8, got {image.shape} {image.dtype}"
            )
        number, slot = self._next, self._next % ring.slots
        ring.slot["sequence"][slot] = 2 * number + 1
        ring.bytes[slot] = image.reshape(-1)
        ring.slot["exposed_s"][slot] = exposed_s
        ring.slot["count"][slot] = -1 if trigger_count is None else trigger_count
        ring.slot["sum"][slot] = ring.words[slot].sum()
        ring.slot["sequence"][slot] = 2 * number + 2
        self._next = number + 1
        ring.file["frames"] = self._next
        self._bell.ring()
        return number

    @property
    def readers(self) -> int:
        """Programs that read the ring now."""
        return self._bell.readers

    def close(self) -> None:
        """Tell the readers that no more will come and remove the files; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._bell.close()
        self.path.unlink(missing_ok=True)


class SharedMemoryCamera:
    """Reader of the ring: every frame written from now on, in order; late = the oldest are lost."""

    def __init__(self, name: str, path: Path) -> None:
        """Connect to the writer.

        Raises:
            CameraError: no writer lives at `path`, it hangs, or the file is not such a ring.
        """
        self.name, self.path = name, path
        try:
            self._bell = bell.connect(path)
        except BlockingIOError as exc:
            raise CameraError(f"{path}: the program that writes frames hangs") from exc
        except OSError as exc:
            raise CameraError(f"{path}: no program writes frames here: {exc}") from exc
        try:
            self._ring = _map(path)
        except (OSError, ValueError) as exc:
            self._bell.close()
            raise CameraError(f"{path}: cannot be mapped: {exc}") from exc
        except CameraError:
            self._bell.close()
            raise
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)
        self._next = int(self._ring.file["frames"])

    def read(self, timeout_s: float) -> Frame | None:
        """Wait for the next frame; None when none came within `timeout_s`.

        Raises:
            CameraError: the writer has gone.
        """
        until_s = time.monotonic() + timeout_s
        while True:
            frame = self._take()
            if frame is not None:
                return frame
            left_s = until_s - time.monotonic()
            if left_s <= 0 or not self._poll.poll(left_s * 1000):
                return None
            try:
                told = self._bell.recv(4096)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError:  # killed before it took our connection: reset
                told = b""
            if not told and int(self._ring.file["frames"]) <= self._next:
                raise CameraError(f"{self.path}: the program that writes frames has gone")

    def request(self) -> None:
        """Nothing to do: the writer decides when to expose."""

    def apply(self, view: View) -> None:
        """Refuse everything: the ring has no way back to the writer.

        Raises:
            CameraError: names the key.
        """
        refuse(view, str(self.path), "shared_memory")

    def close(self) -> None:
        """Let the writer go; safe to call twice."""
        self._bell.close()

    def _take(self) -> Frame | None:
        """The next whole frame that is still there."""
        written = int(self._ring.file["frames"])
        self._next = max(self._next, written - self._ring.slots)
        while self._next < written:
            number = self._next
            self._next += 1
            found = self._ring.take(number)
            if found is not None:
                exposed_s, count, image = found
                return Frame(self.name, number, exposed_s, image, None if count < 0 else count)
        return None


def _create(path: Path, width: int, height: int, channels: int, slots: int) -> _Ring:
    """A new file, moved into place whole: a reader of the old one keeps its own."""
    shape = _shape(width, height, channels)
    stride = slot_bytes(math.prod(shape))
    size = _FILE.itemsize + slots * stride
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    handle = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.posix_fallocate(handle, 0, size)  # a full disk says so here, not as SIGBUS later
        ring = _Ring(mmap.mmap(handle, size), slots, shape)
        ring.file[...] = (MAGIC, VERSION, slots, width, height, channels, stride, 0, b"")
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    return ring


def _map(path: Path) -> _Ring:
    """Map an existing ring for reading.

    Raises:
        CameraError: it is not such a ring, or not as long as it says.
    """
    with path.open("rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        if size < _FILE.itemsize:
            raise CameraError(f"{path}: not a ring of frames: only {size} bytes")
        memory = mmap.mmap(opened.fileno(), size, access=mmap.ACCESS_READ)
    head = np.ndarray((), _FILE, memory)
    if bytes(head["magic"]) != MAGIC or int(head["version"]) != VERSION:
        raise CameraError(f"{path}: not a ring of frames of version {VERSION}")
    slots, channels = int(head["slots"]), int(head["channels"])
    shape = _shape(int(head["width"]), int(head["height"]), channels)
    stride = slot_bytes(math.prod(shape))
    whole = _FILE.itemsize + slots * stride
    if channels not in (1, 3) or slots < 2 or stride != int(head["slot_bytes"]) or size < whole:
        raise CameraError(
            f"{path}: ring of frames with wrong sizes: {size} bytes, expected {whole}"
        )
    return _Ring(memory, slots, shape)
