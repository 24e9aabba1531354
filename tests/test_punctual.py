"""What the kernel is told of the thread of a serial port."""

import ctypes
import os
import platform
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from edge.plc import punctual

SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}


def attributes() -> tuple[int, int, int]:
    """Policy, nice and slice (ns) of this thread; the slice is 0 before Linux 6.12."""
    layout = struct.Struct("=IIQiIQQQ")
    told = ctypes.create_string_buffer(layout.size)
    call = SCHED_GETATTR[platform.machine()]
    done = ctypes.CDLL(None).syscall(call, threading.get_native_id(), told, layout.size, 0)
    assert done == 0
    _, policy, _, nice, _, slice_ns, _, _ = layout.unpack(told.raw)
    return policy, nice, slice_ns


def test_the_ports_thread_gets_a_short_slice_and_no_other_thread_does() -> None:
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as another:
        before = one.submit(attributes).result()
        one.submit(punctual.prepare_thread).result()
        policy, nice, slice_ns = one.submit(attributes).result()
        assert policy == before[0] == os.SCHED_OTHER
        assert nice <= before[1]
        assert slice_ns == min(before[2], punctual.SLICE_NS)
        assert another.submit(attributes).result() == before


def test_a_thread_that_is_realtime_already_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getscheduler", lambda thread: os.SCHED_FIFO)
    with ThreadPoolExecutor(1) as one:
        before = one.submit(attributes).result()
        one.submit(punctual.prepare_thread).result()
        assert one.submit(attributes).result()[2] == before[2]
