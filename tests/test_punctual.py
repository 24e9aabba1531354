"""What the kernel is told of the thread of a serial port."""

import ctypes
import os
import platform
import resource
import socket
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge import settings
from edge.plc import punctual
from edge.plc.bus import Bus
from edge.plc.slave import PtySlave, Slave
from tests.tiny_plc import TinyPlc, ready, running, station

SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}
CAP_SYS_NICE = 23
ROOT = Path(__file__).parent.parent


def attributes() -> tuple[int, int, int, int]:
    """Policy, nice, priority and slice (ns) of this thread; the slice is 0 before Linux 6.12."""
    layout = struct.Struct("=IIQiIQQQ")
    told = ctypes.create_string_buffer(layout.size)
    call = SCHED_GETATTR[platform.machine()]
    done = ctypes.CDLL(None).syscall(call, threading.get_native_id(), told, layout.size, 0)
    assert done == 0
    _, policy, _, nice, priority, slice_ns, _, _ = layout.unpack(told.raw)
    return policy, nice, priority, slice_ns


def may_be_real_time() -> bool:
    """Whether the kernel lets threads of this process."""
    said = Path("/proc/self/status").read_text(encoding="utf-8")
    capabilities = int(said.split("CapEff:")[1].split()[0], 16)
    most, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
    return bool(capabilities >> CAP_SYS_NICE & 1) or most >= punctual.PRIORITY


def unprivileged(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python program in a process that may give its threads no priority."""
    command = ["prlimit", "--rtprio=0", sys.executable, "-c", program, *arguments]
    if os.getuid() == 0:
        command = ["setpriv", "--bounding-set=-sys_nice", *command]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)


def test_the_ports_thread_is_real_time_where_it_may_and_none_that_it_starts() -> None:
    def started() -> tuple[int, int, int, int]:
        with ThreadPoolExecutor(1) as one:
            return one.submit(attributes).result()

    with ThreadPoolExecutor(1) as one:
        before = one.submit(attributes).result()
        refused = one.submit(punctual.prepare_thread).result()
        policy, _, priority, _ = one.submit(attributes).result()
        assert started() == before
        if may_be_real_time():
            assert (refused, policy, priority) == ("", os.SCHED_FIFO, punctual.PRIORITY)
            assert one.submit(started).result()[0] == os.SCHED_OTHER
        else:
            assert refused
            assert policy == before[0]


def test_who_may_not_be_real_time_goes_ahead_by_slice_and_says_so() -> None:
    done = unprivileged(
        "from edge.plc import punctual\n"
        "from tests.test_punctual import attributes\n"
        "print(attributes()[3], punctual.prepare_thread(), *attributes(), sep='\\n')"
    )
    slice_before, refused, policy, _, _, slice_ns = done.stdout.splitlines()
    assert refused.startswith("no real-time priority (Operation not permitted)")
    assert f"LimitRTPRIO={punctual.PRIORITY}" in refused
    assert int(policy) == os.SCHED_OTHER
    assert int(slice_ns) == min(int(slice_before), punctual.SLICE_NS)


def test_a_thread_whose_other_end_never_pauses_only_goes_ahead() -> None:
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as another:
        before = one.submit(attributes).result()
        assert one.submit(lambda: punctual.prepare_thread(real_time=False)).result() == ""
        policy, nice, _, slice_ns = one.submit(attributes).result()
        assert policy == before[0] == os.SCHED_OTHER
        assert nice <= before[1]
        assert slice_ns == min(before[3], punctual.SLICE_NS)
        assert another.submit(attributes).result() == before


def test_a_thread_that_is_real_time_already_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    inherited = os.SCHED_RR | os.SCHED_RESET_ON_FORK
    monkeypatch.setattr(os, "sched_getscheduler", lambda thread: inherited)
    with ThreadPoolExecutor(1) as one:
        before = one.submit(attributes).result()
        assert one.submit(punctual.prepare_thread).result() == ""
        assert one.submit(attributes).result() == before


def test_what_a_ports_thread_would_be_refused_is_told_without_changing_this_one() -> None:
    before = attributes()
    assert (punctual.obstacle() == "") == may_be_real_time()
    assert attributes() == before


def test_a_bus_without_real_time_says_so_once_in_the_log() -> None:
    with PtySlave([Slave(1, {0: 1})]) as line:
        done = unprivileged(
            "import sys\n"
            "from edge import settings\n"
            "from edge.plc.bus import Bus\n"
            "bus = Bus(settings.Bus(name='b1', port=sys.argv[1]), [], {})\n"
            "bus.start()\n"
            "bus.close()\n",
            line.port,
        )
    assert done.stderr.count("bus b1: no real-time priority") == 1


def test_check_warns_of_a_bus_without_real_time_and_passes() -> None:
    with PtySlave([Slave(1, {0: 1})]) as line:
        done = unprivileged(
            "import sys\n"
            "from edge import buses, settings\n"
            "print(buses.tried(settings.Bus(name='b1', port=sys.argv[1], reply_timeout_s=0.1)))",
            line.port,
        )
    described, warning = done.stdout.splitlines()
    assert described.endswith("modbus_rtu 115200 8E1")
    assert warning.startswith("       WARN   no real-time priority")


def policy_of(thread_name: str) -> int:
    """How the kernel runs the thread of this name."""
    (thread,) = (one for one in threading.enumerate() if one.name == thread_name)
    assert thread.native_id is not None
    return os.sched_getscheduler(thread.native_id) & ~os.SCHED_RESET_ON_FORK


def test_the_thread_of_a_serial_bus_is_real_time_where_it_may() -> None:
    with TinyPlc() as plc, PtySlave([plc.slave]) as line, running(line.port, station()):
        ready(plc)
        assert (policy_of("bus b") == os.SCHED_FIFO) == may_be_real_time()


def test_the_thread_of_a_bus_over_tcp_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as plc:
        plc.settimeout(5)
        port = plc.getsockname()[1]
        wiring = settings.Bus(name="b", protocol="modbus_tcp", host="127.0.0.1", tcp_port=port)
        bus = Bus(wiring, [], {})
        bus.start()
        try:
            plc.accept()[0].close()
            assert policy_of("bus b") == os.SCHED_OTHER
        finally:
            bus.close()
