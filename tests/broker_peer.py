"""A mosquitto process on loopback, which tests may kill and start again."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


class Broker:
    """One broker on one port. `extra` are lines for its configuration."""

    def __init__(self, folder: Path, extra: str = "") -> None:
        self._program = shutil.which("mosquitto", path=_PATH)
        if self._program is None:
            raise FileNotFoundError("mosquitto is not installed: apt-get install mosquitto")
        self.port = free_port()
        self._log = folder / "mosquitto.log"
        self._settings = folder / "mosquitto.conf"
        self._settings.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
            "log_dest stderr\nlog_type error\nlog_type notice\nlog_type information\n"
            f"user {_user()}\n{extra}"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def said(self) -> str:
        """Its log since it was started last."""
        return self._log.read_text()

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns when it listens. What it says goes into mosquitto.log beside its settings."""
        assert self._program is not None
        with self._log.open("w") as log:
            self._process = subprocess.Popen([self._program, "-c", str(self._settings)], stderr=log)
        pause = threading.Event()
        while "running" not in self.said:
            if self._process.poll() is not None:
                raise RuntimeError(f"mosquitto did not start: {self.said}")
            pause.wait(0.01)

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut would; safe to call twice."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait(10)
        self._process = None


@contextmanager
def broker(folder: Path, extra: str = "") -> Iterator[Broker]:
    """A running broker, gone afterwards."""
    peer = Broker(folder, extra)
    peer.start()
    try:
        yield peer
    finally:
        peer.kill()


def free_port() -> int:
    """A port of loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name
