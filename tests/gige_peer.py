"""Aravis' fake GigE Vision camera in a process of its own, on the loopback address.

The standard fixes its port, so only one can run on a computer; the next one waits for its turn.
"""

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.vision.aravis import connect

ADDRESS = "127.0.0.1"
SERIAL = "GVX1"
_PORT = 3956
_WAIT_S = 60.0

OUTPUTS = """
<Enumeration Name="LineSelector" NameSpace="Standard">
  <EnumEntry Name="Line0"><Value>0</Value></EnumEntry>
  <EnumEntry Name="Line1"><Value>1</Value></EnumEntry>
  <pValue>LineSelectorRegister</pValue>
</Enumeration>
<Enumeration Name="LineMode" NameSpace="Standard">
  <EnumEntry Name="Input"><Value>0</Value></EnumEntry>
  <EnumEntry Name="Output"><Value>1</Value></EnumEntry>
  <pValue>LineModeRegister</pValue>
</Enumeration>
<Enumeration Name="LineSource" NameSpace="Standard">
  <EnumEntry Name="Off"><Value>0</Value></EnumEntry>
  <EnumEntry Name="Timer1Active"><Value>1</Value></EnumEntry>
  <pValue>LineSourceRegister</pValue>
</Enumeration>
<Boolean Name="LineInverter" NameSpace="Standard">
  <pValue>LineInverterRegister</pValue><OnValue>1</OnValue><OffValue>0</OffValue>
</Boolean>
<Enumeration Name="TimerSelector" NameSpace="Standard">
  <EnumEntry Name="Timer1"><Value>0</Value></EnumEntry>
  <pValue>TimerSelectorRegister</pValue>
</Enumeration>
<Enumeration Name="TimerTriggerSource" NameSpace="Standard">
  <EnumEntry Name="Off"><Value>0</Value></EnumEntry>
  <EnumEntry Name="ExposureStart"><Value>1</Value></EnumEntry>
  <EnumEntry Name="FrameTrigger"><Value>2</Value></EnumEntry>
  <pValue>TimerTriggerSourceRegister</pValue>
</Enumeration>
<Integer Name="TimerDelay" NameSpace="Standard">
  <pValue>TimerDelayRegister</pValue><Min>0</Min><Max>100000</Max>
</Integer>
<Integer Name="TimerDuration" NameSpace="Standard">
  <pValue>TimerDurationRegister</pValue><Min>10</Min><Max>20000</Max>
</Integer>
<Integer Name="TriggerDelay" NameSpace="Standard">
  <pValue>TriggerDelayRegister</pValue><Min>0</Min><Max>100000</Max>
</Integer>
<Integer Name="Gain" NameSpace="Standard">
  <pValue>GainRegister</pValue><Min>0</Min><Max>24</Max>
</Integer>
"""
"""Features the fake camera does not have, kept in its spare memory."""


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
    """A fake camera for the time of the block; options as of arv-fake-gv-camera-0.8."""
    camera = FakeCamera(*options)
    try:
        yield camera
    finally:
        camera.kill()


@pytest.fixture(scope="session")
def outputs_xml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The description of a fake camera that also has OUTPUTS, for its option -g."""
    with fake_camera():
        xml, _ = connect("gige", ADDRESS).get_device().get_genicam_xml()
    names = [
        line.split("<pValue>")[1].split("<")[0] for line in OUTPUTS.split("\n") if "<pV" in line
    ]
    registers = [
        f'<IntReg Name="{name}"><Address>{0x2000 + 4 * place:#x}</Address><Length>4</Length>'
        "<AccessMode>RW</AccessMode><pPort>Device</pPort><Sign>Unsigned</Sign>"
        "<Endianess>BigEndian</Endianess></IntReg>"
        for place, name in enumerate(names)
    ]
    path = tmp_path_factory.mktemp("gige") / "outputs.xml"
    end = "</RegisterDescription>"
    path.write_text(xml.replace(end, OUTPUTS + "\n".join(registers) + end), encoding="utf-8")
    return path


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
