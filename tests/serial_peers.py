"""The other end of a serial line, for tests: ptys joined by a cable that can be cut, a peer that
answers as a script says, pymodbus as an independent slave, libmodbus as another one."""

import asyncio
import contextlib
import os
import select
import shutil
import subprocess
import threading
import time
import tty
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edge.plc import modbus


def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    """Wait until the condition holds; fail when it does not in time."""
    deadline_s = time.monotonic() + within_s
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {within_s} s"
        tick.wait(0.002)


Step = tuple[float, bytes]
"""Wait so many seconds, then say these bytes."""

Script = Callable[[int, bytes], Iterable[Step]]


class ScriptedPeer:
    """A slave on a pty that answers request n as `script(n, request)` says; logs requests."""

    def __init__(self, script: Script) -> None:
        self.requests: list[bytes] = []
        self._script = script
        self._line, self._far_end = os.openpty()
        tty.setraw(self._far_end)
        self.port = os.ttyname(self._far_end)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scripted peer")

    def __enter__(self) -> "ScriptedPeer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)
        os.close(self._line)
        os.close(self._far_end)

    def _run(self) -> None:
        heard = b""
        while not self._stop.is_set():
            if select.select([self._line], [], [], 0.02)[0]:
                heard += os.read(self._line, 512)
            if modbus.decode_request(heard) is None:
                continue
            self.requests.append(heard)
            for delay_s, said in self._script(len(self.requests) - 1, heard):
                self._stop.wait(delay_s)
                os.write(self._line, said)
            heard = b""


def echo_registers(request: bytes) -> bytes:
    """A good reply in which every register holds its own address."""
    asked = modbus.decode_request(request)
    assert isinstance(asked, modbus.Request)
    if asked.function == modbus.WRITE_REGISTERS:
        return modbus.encode_reply(asked)
    return modbus.encode_reply(asked, range(asked.address, asked.address + asked.count))


class Cable:
    """Two ptys joined by a thread; `near` and `far` are the ports at its ends."""

    def __init__(self) -> None:
        self._ends = [os.openpty(), os.openpty()]
        for _, port in self._ends:
            tty.setraw(port)
        self.near, self.far = (os.ttyname(port) for _, port in self._ends)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cable")

    def __enter__(self) -> "Cable":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)
        for line, port in self._ends:
            os.close(line)
            os.close(port)

    def _run(self) -> None:
        a, b = (line for line, _ in self._ends)
        while not self._stop.is_set():
            for line in select.select([a, b], [], [], 0.02)[0]:
                os.write(b if line == a else a, os.read(line, 512))


@contextlib.contextmanager
def pymodbus_slave(port: str, values: list[int]) -> Iterator[None]:
    """pymodbus serving unit 1 with `values` from register 0, at 115200 8N1."""
    loop = asyncio.new_event_loop()
    serving = threading.Event()
    servers: list[ModbusSerialServer] = []

    async def serve() -> None:
        device = SimDevice(1, simdata=[SimData(0, values=values, datatype=DataType.REGISTERS)])
        server = ModbusSerialServer(device, port=port, baudrate=115200)
        servers.append(server)
        await server.serve_forever(background=True)
        serving.set()
        await server.serving

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="pymodbus")
    thread.start()
    try:
        assert serving.wait(10), "pymodbus did not start"
        yield
    finally:
        stopping = servers[0].shutdown()  # type: ignore[no-untyped-call]
        asyncio.run_coroutine_threadsafe(stopping, loop).result(10)
        thread.join(10)
        loop.close()


LIBMODBUS_SLAVE = r"""
#include <modbus.h>
#include <stdio.h>
int main(int argc, char **argv) {
    modbus_t *line = modbus_new_rtu(argv[1], 115200, 'N', 8, 1);
    modbus_mapping_t *map = modbus_mapping_new(0, 0, 200, 0);
    uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
    for (int i = 0; i < 200; i++) map->tab_registers[i] = 1000 + i;
    modbus_set_slave(line, 1);
    if (argc < 2 || modbus_connect(line)) return 1;
    puts("ready");
    fflush(stdout);
    for (;;) {
        int size = modbus_receive(line, query);
        if (size > 0) modbus_reply(line, query, size, map);
    }
}
"""


def built_libmodbus_slave(folder: Path) -> Path:
    """Compile the C slave; needs gcc, pkg-config and libmodbus-dev."""
    for tool in ("gcc", "pkg-config"):
        assert shutil.which(tool), f"{tool} is missing: apt-get install gcc pkg-config"
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libmodbus"], capture_output=True, text=True
    )
    assert flags.returncode == 0, "libmodbus is missing: apt-get install libmodbus-dev"
    source, program = folder / "slave.c", folder / "slave"
    source.write_text(LIBMODBUS_SLAVE, encoding="utf-8")
    subprocess.run(
        ["gcc", "-O1", str(source), "-o", str(program), *flags.stdout.split()], check=True
    )
    return program


@contextlib.contextmanager
def libmodbus_slave(program: Path, port: str) -> Iterator[None]:
    """libmodbus serving unit 1: 200 registers that hold 1000 + address, 115200 8N1."""
    child = subprocess.Popen([str(program), port], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        yield
    finally:
        child.kill()
        child.communicate(timeout=5)
