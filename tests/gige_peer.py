"""Aravis' fake GigE Vision camera in a process of its own, on the loopback address.

The standard fixes its port, so only one can run on a computer; the next one waits for its turn.
"""

import contextlib
import fcntl
import os
import re
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.vision.aravis import connect

ADDRESS = "127.0.0.1"
SERIAL = "GVX1"
_PORT = 3956
_URL_ADDRESS, _URL_BYTES = 0x200, 512  # GigE Vision: "Local:file name;address;size", both hex
_WAIT_S = 60.0
_TURN = Path(tempfile.gettempdir()) / f"arv-fake-gv-camera.{os.getuid()}.lock"


def choice(name: str, *entries: str) -> str:
    """A feature that takes one of these, the first to begin with."""
    inner = "".join(
        f'<EnumEntry Name="{entry}"><Value>{n}</Value></EnumEntry>'
        for n, entry in enumerate(entries)
    )
    return f'<Enumeration Name="{name}">{inner}<pValue>{name}Register</pValue></Enumeration>'


def number(name: str, low: int, high: int) -> str:
    """A whole number in these limits."""
    limits = f"<Min>{low}</Min><Max>{high}</Max>"
    return f'<Integer Name="{name}"><pValue>{name}Register</pValue>{limits}</Integer>'


def rounded(name: str, step: int) -> str:
    """A number that the camera keeps in whole steps."""
    formulas = f"<FormulaTo>FROM / {step}</FormulaTo><FormulaFrom>TO * {step}</FormulaFrom>"
    return (
        f'<Float Name="{name}"><pValue>{name}Steps</pValue><Min>0</Min><Max>10000000</Max></Float>'
        f'<Converter Name="{name}Steps">{formulas}<pValue>{name}Register</pValue></Converter>'
    )


def switch(name: str) -> str:
    """On or off, off to begin with."""
    values = "<OnValue>1</OnValue><OffValue>0</OffValue>"
    return f'<Boolean Name="{name}"><pValue>{name}Register</pValue>{values}</Boolean>'


class FakeCamera:
    """Running from the start on; `kill` and `start` again for an outage."""

    def __init__(self, *options: str) -> None:
        self._options = options
        self.start()

    def start(self) -> None:
        """Wait for the port, start, wait until it listens."""
        assert _until(_port_is_free), f"port {_PORT} of {ADDRESS} is taken"
        command = ["arv-fake-gv-camera-0.8", "-i", ADDRESS, "-s", SERIAL, *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        assert _until(lambda: not _port_is_free()), "the fake camera does not listen"

    def kill(self) -> None:
        """As a pulled cable: it says nothing more."""
        self._process.kill()
        self._process.wait(10)


@contextlib.contextmanager
def fake_camera(*options: str) -> Iterator[FakeCamera]:
    """A fake camera for the time of the block; options as of arv-fake-gv-camera-0.8.

    Two that start at once would share the port and take each other's packets: by a lock on a file
    the processes that run tests take turns.
    """
    with contextlib.ExitStack() as stack:
        turn = stack.enter_context(_TURN.open("a"))
        fcntl.flock(turn, fcntl.LOCK_EX)
        camera = FakeCamera(*options)
        stack.callback(camera.kill)
        yield camera


@pytest.fixture(scope="session")
def described(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes the description of a fake camera that also has these features, for its option -g."""
    with fake_camera():
        xml = _description(connect("gige", ADDRESS).get_device())
    folder = tmp_path_factory.mktemp("gige")

    def write(features: str) -> Path:
        registers = [
            f'<IntReg Name="{name}"><Address>{0x2000 + 4 * place:#x}</Address><Length>4</Length>'
            "<AccessMode>RW</AccessMode><pPort>Device</pPort><Sign>Unsigned</Sign>"
            "<Endianess>BigEndian</Endianess></IntReg>"
            for place, name in enumerate(re.findall("<pValue>([^<]+Register)<", features))
        ]
        path = folder / f"{abs(hash(features))}.xml"
        end = "</RegisterDescription>"
        path.write_text(xml.replace(end, features + "\n".join(registers) + end), encoding="utf-8")
        return path

    return write


def _description(device: Any) -> str:
    """Its XML, read by registers: get_genicam_xml ends at a NUL that Aravis does not always put."""
    url = _memory(device, _URL_ADDRESS, _URL_BYTES).partition(b"\0")[0].decode("ascii")
    _, address, size = url.split(";")
    return _memory(device, int(address, 16), int(size, 16)).decode("utf-8")


def _memory(device: Any, address: int, size: int) -> bytes:
    words = (device.read_register(address + place) for place in range(0, size, 4))
    return b"".join(word.to_bytes(4, "big") for word in words)[:size]


def _port_is_free() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((ADDRESS, _PORT))
        except OSError:
            return False
        return True


def _until(condition: Callable[[], bool]) -> bool:
    pause, end_s = threading.Event(), time.monotonic() + _WAIT_S
    while not condition() and time.monotonic() < end_s:
        pause.wait(0.02)
    return condition()
