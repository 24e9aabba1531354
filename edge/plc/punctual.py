"""Makes the thread of a serial port punctual beside an inference that takes every core.

    Python's lock      a thread that wants it back waits until its holder is told to let go: 5 ms by
                       default, 0.1 ms here
    timer slack        the kernel rounds a sleep up by 50 us; here by nothing
    real time          who wakes up goes at once, whatever else runs, where this user may say so
                       (LimitRTPRIO= of the unit)
    nice, slice        where not: the port's thread goes before the detector's (LimitNICE=), and, on
                       Linux 6.12 and later, without waiting for the end of another's slice
    the last stretch   a sleep ends late by what the scheduler and the lock take; so it ends early,
                       and the rest is waited out awake, with the lock in hand

Measured by `bench.plc --only silence`; decision 0019 has the figures and what else was tried.
"""

import contextlib
import ctypes
import os
import platform
import struct
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

SWITCH_S = 0.0001  # at 5 us the threads do little but hand the lock over
AWAKE_S = 0.0003  # waited out awake, at the most
PRIORITY = (
    5  # of SCHED_FIFO: before all that is not real time, behind the kernel's own threads (50)
)
AHEAD = 10  # so much nicer to itself than the rest of the process
SLICE_NS = 100_000  # the shortest there is

_PR_SET_TIMERSLACK = 29
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}  # glibc has a function for it only since 2.41
_POLICY = ~os.SCHED_RESET_ON_FORK  # what of sched_getscheduler's answer is the policy


def prepare_process() -> None:
    """For the whole process, once: no thread keeps Python's lock longer than this."""
    sys.setswitchinterval(SWITCH_S)


def prepare_thread(*, real_time: bool = True) -> str:
    """For the calling thread, which owns a port. What this user may not do is left out.

    Args:
        real_time: not for a port whose other end can send without a pause (TCP): such a thread
            must not go before everything.

    Returns:
        Why it is not real time though it should be, and what to do; empty if nothing is wrong.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    if os.sched_getscheduler(0) & _POLICY in (os.SCHED_FIFO, os.SCHED_RR):  # as the unit wants it
        return ""
    refused = _go_at_once() if real_time else ""
    if refused or not real_time:
        _go_ahead()
    return refused


def obstacle() -> str:
    """What `prepare_thread` would say to a port's thread of this user."""
    with ThreadPoolExecutor(1) as one:
        return one.submit(prepare_thread).result()


def _go_at_once() -> str:
    """Real time, for this thread and none that it starts."""
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
    try:
        os.sched_setscheduler(0, policy, os.sched_param(PRIORITY))
    except OSError as wrong:
        return (
            f"no real-time priority ({wrong.strerror}): beside an inference requests and answers "
            f"are late by milliseconds; expected LimitRTPRIO={PRIORITY} and RestrictRealtime=no, "
            f"as in systemd/quanjian-edge.service; in a container --ulimit rtprio={PRIORITY}"
        )
    return ""


def _go_ahead() -> None:
    with contextlib.suppress(OSError):  # needs root or LimitNICE= of the unit
        ours = os.getpriority(os.PRIO_PROCESS, os.getpid())
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), max(-20, ours - AHEAD))
    with contextlib.suppress(OSError, AttributeError):
        _shorten_slice(threading.get_native_id())


def _shorten_slice(thread: int) -> None:
    """Without privileges; a kernel that knows no slices ignores it."""
    call = _SCHED_SETATTR.get(platform.machine())
    if call is None:
        return
    nice = os.getpriority(os.PRIO_PROCESS, thread)
    layout = struct.Struct("=IIQiIQQQ")  # size, policy, flags, nice, priority, slice, two of others
    wanted = layout.pack(layout.size, os.SCHED_OTHER, 0, nice, 0, SLICE_NS, 0, 0)
    ctypes.CDLL(None).syscall(call, thread, wanted, 0)


def wait_until(due_s: float) -> None:
    """Return at `due_s` (monotonic), never before it."""
    left_s = due_s - time.monotonic()
    if left_s > AWAKE_S:
        time.sleep(left_s - AWAKE_S)
    while time.monotonic() < due_s:
        pass
