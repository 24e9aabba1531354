"""What time it is and how far to believe it: boot id, monotonic ms, UTC ms, clock quality.

Durations come from the monotonic clock of one boot; wall time is only as good as `quality` says.
The quality is the kernel's own word, adjtimex(2): a disciplined clock is `synced` while its maximum
error stays under a second, `holdover` once it was set in this boot and runs on by itself, else
`unsynced`.
"""

import ctypes
import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from edge.mqtt.message import Clock

STA_UNSYNC = 0x0040  # <linux/timex.h>: nobody disciplines the clock
EARLIEST_MS = 1_704_067_200_000  # 2024-01-01 UTC: older than this software, so of an unset clock
BELIEVED_US = 1_000_000  # the kernel lets its error estimate grow by 500 ppm without a server
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_OWN_STAT = Path("/proc/self/stat")
_STARTED = 19  # of the fields behind the name: ticks since boot, proc(5)
_ONCE_SYNCED = Path("/run/systemd/timesync/synchronized")  # systemd-timesyncd, once per boot


class _Timex(ctypes.Structure):
    """The head of struct timex; the rest is room the kernel may write to."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


@dataclass(frozen=True, slots=True)
class Stamp:
    """When something happened; the time fields every ledger row carries."""

    at_ms: int  # UTC, milliseconds since 1970, as good as `clock` says
    mono_ms: int  # monotonic clock of this boot
    boot: str  # 32 hex digits
    clock: Clock


def stamp() -> Stamp:
    """Now."""
    return Stamp(utc_ms(), mono_ms(), BOOT, quality())


def utc_ms() -> int:
    """UTC in milliseconds since 1970; 0 if the clock stands before it."""
    return max(0, time.time_ns() // 1_000_000)


def mono_ms() -> int:
    """Monotonic milliseconds of this boot."""
    return time.monotonic_ns() // 1_000_000


def since_start_s() -> tuple[float, float]:
    """How long this program runs, its loading included, and this computer; s, from /proc."""
    now_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    fields = _OWN_STAT.read_text(encoding="utf-8").rpartition(")")[2].split()
    return now_s - int(fields[_STARTED]) / os.sysconf("SC_CLK_TCK"), now_s


def quality() -> Clock:
    """What the kernel says of the wall clock; unsynced where it cannot be asked."""
    asked = _Timex()  # modes = 0: only ask
    if _LIBC is None or _LIBC.adjtimex(ctypes.byref(asked)) < 0:
        return "unsynced"
    return quality_of(asked.status, asked.maxerror, _ONCE_SYNCED.exists())


def quality_of(status: int, max_error_us: int, once_synced: bool) -> Clock:
    """Quality from the kernel's status word, its error bound (us), and whether it was ever set."""
    if not status & STA_UNSYNC:
        return "synced" if max_error_us < BELIEVED_US else "holdover"
    return "holdover" if once_synced else "unsynced"


def _boot_id() -> str:
    """This boot's id; where there is none, one per process, so that no two boots look the same."""
    try:
        return uuid.UUID(_BOOT_ID.read_text(encoding="ascii").strip()).hex
    except (OSError, ValueError):
        return uuid.uuid4().hex


def _libc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL(None)
        _ = libc.adjtimex
    except (OSError, AttributeError):
        return None
    return libc


_LIBC = _libc() if os.name == "posix" else None
BOOT = _boot_id()
