"""Disks that fail: an ext4 of its own whose power goes, and a small one that is full. Root only.

The power cut is real to the file system: EXT4_IOC_SHUTDOWN without a flush of its journal drops
everything that was not synced, and every call fails with EIO until the disk is mounted anew.
"""

import fcntl
import os
import struct
import subprocess
from pathlib import Path
from types import TracebackType

_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN, <linux/ext4.h>
_NO_LOG_FLUSH = 2


class Filled:
    """A folder on a file system of its own, which can be full."""

    place: Path

    def fill(self) -> None:
        """Leave not one block free."""
        with (self.place / "filler").open("wb", buffering=0) as filler:
            for size in (1 << 20, 1 << 12, 512):
                try:
                    while True:
                        filler.write(bytes(size))
                except OSError:
                    continue

    def empty(self) -> None:
        """Give the space back."""
        (self.place / "filler").unlink()


class Disk(Filled):
    """An ext4 in a file of `size_mb`, mounted on `place`."""

    def __init__(self, folder: Path, size_mb: int = 64) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.place = folder / "mounted"
        self.place.mkdir()
        self._image = folder / "image"
        with self._image.open("wb") as image:
            image.truncate(size_mb * 1024 * 1024)
        # lazy_itable_init: no thread of the kernel writes on after the cut
        _run("mkfs.ext4", "-qF", "-E", "lazy_itable_init=0", str(self._image))

    def __enter__(self) -> "Disk":
        self.mount()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.unmount()

    def mount(self) -> None:
        _run("mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.place))

    def unmount(self) -> None:
        _run("umount", str(self.place))

    def turn_read_only(self) -> None:
        """What the kernel does to a file system in which it finds an error."""
        number = self.place.stat().st_dev
        device = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").resolve().name
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("a test\n", encoding="ascii")

    def repair(self) -> None:
        """Check it and mount it anew; nobody may have a file open."""
        self.unmount()
        done = subprocess.run(["e2fsck", "-fy", str(self._image)], capture_output=True, check=False)
        assert done.returncode in (0, 1), done.stdout  # 1: errors were corrected
        self.mount()

    def cut(self) -> None:
        """The power goes: what is not on disk now never will be."""
        folder = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(folder)


class MemoryDisk(Filled):
    """A tmpfs of `size_mb` on `place`: full when it says so, and quick."""

    def __init__(self, place: Path, size_mb: int) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.place = place
        self._size_mb = size_mb

    def __enter__(self) -> "MemoryDisk":
        _run("mount", "-t", "tmpfs", "-o", f"size={self._size_mb}m", "tmpfs", str(self.place))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        _run("umount", "-l", str(self.place))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
