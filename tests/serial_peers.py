"""The other end of a line, for tests: ptys joined by a cable that can be cut, peers on a pty or a
socket that answer as a script says, pymodbus, umodbus and libmodbus as independent slaves."""

import asyncio
import contextlib
import os
import select
import shutil
import socket
import subprocess
import threading
import time
import tty
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import serial
from pymodbus import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from umodbus.server.serial import get_server
from umodbus.server.serial.rtu import RTUServer

from edge.settings import Bus
from tests.wires import ASCII, RTU, TCP, reply_to, request_in


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


Peer = TypeVar("Peer", bound="PtyPeer")


class PtyPeer:
    """Something at the far end of a serial line, in a thread of its own: `port` is our end."""

    def __init__(self, name: str) -> None:
        self._line, self._far_end = os.openpty()
        tty.setraw(self._far_end)
        self.port = os.ttyname(self._far_end)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)

    def __enter__(self: Peer) -> Peer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)
        os.close(self._line)
        os.close(self._far_end)

    def answer(self, heard: bytes) -> bytes:
        """Answer what was heard; returns what is no whole request yet."""
        raise NotImplementedError

    def say(self, said: bytes, after_s: float = 0.0) -> None:
        """Say these bytes."""
        self._stop.wait(after_s)
        os.write(self._line, said)

    def _run(self) -> None:
        heard = b""
        while not self._stop.is_set():
            if select.select([self._line], [], [], 0.02)[0]:
                heard = self.answer(heard + os.read(self._line, 512))


class ScriptedPeer(PtyPeer):
    """A slave that answers request n as `script(n, request)` says; logs requests."""

    def __init__(self, script: Script, protocol: str = RTU) -> None:
        super().__init__("scripted peer")
        self.requests: list[bytes] = []
        self.protocol = protocol
        self._script = script

    def bus(self, **changes: object) -> Bus:
        """The bus that this peer is on."""
        wiring: dict[str, object] = {"name": "b", "protocol": self.protocol, "port": self.port}
        return Bus(**(wiring | changes))  # type: ignore[arg-type]

    def answer(self, heard: bytes) -> bytes:
        if request_in(self.protocol, heard) is None:
            return heard
        self.requests.append(heard)
        for delay_s, said in self._script(len(self.requests) - 1, heard):
            self.say(said, delay_s)
        return b""


class Babbler(PtyPeer):
    """A second master, or a line that floats: bytes without a pause, whoever is asked, for 5 s."""

    def __init__(self) -> None:
        super().__init__("babbler")
        os.set_blocking(self._line, False)

    def _run(self) -> None:
        ends_s = time.monotonic() + 5.0
        while time.monotonic() < ends_s and not self._stop.wait(0.001):
            with contextlib.suppress(BlockingIOError):  # its reader has enough for now
                for _ in range(64):
                    os.write(self._line, b"\x55" * 256)


class ScriptedServer:
    """The same behind a TCP port; a master that hangs up may come again."""

    protocol = TCP

    def __init__(self, script: Script) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scripted server")

    def __enter__(self) -> "ScriptedServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)
        self._listener.close()

    def bus(self, **changes: object) -> Bus:
        """The bus that this peer is on."""
        wiring: dict[str, object] = {"name": "b", "protocol": TCP, "host": "127.0.0.1"}
        return Bus(**(wiring | {"tcp_port": self.port} | changes))  # type: ignore[arg-type]

    def _run(self) -> None:
        while not self._stop.is_set():
            if select.select([self._listener], [], [], 0.02)[0]:
                master, _ = self._listener.accept()
                self.connections += 1
                with master, contextlib.suppress(OSError):
                    self._serve(master)

    def _serve(self, master: socket.socket) -> None:
        heard = b""
        while not self._stop.is_set():
            if not select.select([master], [], [], 0.02)[0]:
                continue
            received = master.recv(512)
            if not received:
                return
            heard += received
            if request_in(TCP, heard) is None:
                continue
            self.requests.append(heard)
            asked, heard = heard, b""
            for delay_s, said in self._script(len(self.requests) - 1, asked):
                self._stop.wait(delay_s)
                master.sendall(said)


def scripted(protocol: str, script: Script) -> ScriptedPeer | ScriptedServer:
    """A peer of this protocol, on a pty or a socket."""
    return ScriptedServer(script) if protocol == TCP else ScriptedPeer(script, protocol)


def echo_registers(request: bytes) -> bytes:
    """A good RTU reply in which every register holds its own address."""
    return reply_to(RTU, request)


class Cable:
    """Two ptys joined by a thread; `near` and `far` are the ports at its ends.

    With 7 data bits the eighth of each character is lost, as between two UARTs.
    """

    def __init__(self, data_bits: int = 8) -> None:
        self._carried = bytes(code & (1 << data_bits) - 1 for code in range(256))
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
                os.write(b if line == a else a, os.read(line, 512).translate(self._carried))


@contextlib.contextmanager
def pymodbus_slave(
    port: str,
    values: list[int],
    protocol: str = RTU,
) -> Iterator[None]:
    """pymodbus serving unit 1 with `values` from register 0; over TCP `port` is a number.

    At 115200 8N1: a pty has no other form, and refuses one.
    """
    loop = asyncio.new_event_loop()
    serving = threading.Event()
    servers: list[ModbusSerialServer | ModbusTcpServer] = []

    async def serve() -> None:
        device = SimDevice(1, simdata=[SimData(0, values=values, datatype=DataType.REGISTERS)])
        server: ModbusSerialServer | ModbusTcpServer
        if protocol == TCP:
            server = ModbusTcpServer(device, address=("127.0.0.1", int(port)))
        else:
            server = ModbusSerialServer(
                device,
                framer=FramerType.ASCII if protocol == ASCII else FramerType.RTU,
                port=port,
                baudrate=115200,
            )
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


@contextlib.contextmanager
def umodbus_slave(port: str, count: int, value: int) -> Iterator[None]:
    """umodbus serving unit 1: so many registers that hold the value, at 115200 8N1.

    It looks at what came once per poll interval, which is half a second where nobody says.
    """
    held = dict.fromkeys(range(count), value)
    line = serial.Serial(port, 115200, timeout=0.05)
    app = get_server(RTUServer, line)

    def read(slave_id: int, function_code: int, address: int) -> int:
        return held[address]

    def write(slave_id: int, function_code: int, address: int, value: int) -> None:
        held[address] = value

    app.route(slave_ids=[1], function_codes=[3], addresses=list(held))(read)
    app.route(slave_ids=[1], function_codes=[16], addresses=list(held))(write)
    thread = threading.Thread(target=app.serve_forever, args=(0.03,), name="umodbus")
    thread.start()
    try:
        yield
    finally:
        app.shutdown()
        thread.join(10)
        line.close()


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
    return compiled(LIBMODBUS_SLAVE, folder, "slave")


def compiled(program: str, folder: Path, name: str) -> Path:
    """A C program against libmodbus; needs gcc, pkg-config and libmodbus-dev."""
    for tool in ("gcc", "pkg-config"):
        assert shutil.which(tool), f"{tool} is missing: apt-get install gcc pkg-config"
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libmodbus"], capture_output=True, text=True
    )
    assert flags.returncode == 0, "libmodbus is missing: apt-get install libmodbus-dev"
    source, built = folder / f"{name}.c", folder / name
    source.write_text(program, encoding="utf-8")
    subprocess.run(["gcc", "-O1", str(source), "-o", str(built), *flags.stdout.split()], check=True)
    return built


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
