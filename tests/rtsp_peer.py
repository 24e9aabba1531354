"""A real RTSP server that can be killed, stopped and held up: `tests/rtsp_server.py` as a child.

It runs under the system's own Python, whatever this one is: Debian's bindings are built for that.
"""

import os
import signal
import socket
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt

PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).parent / "rtsp_server.py"
BLOCK, ACROSS, DOWN, TIME_BITS = 40, 8, 6, 40  # as the server draws


def free_port() -> int:
    """A port of the loopback that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class RtspServer:
    """One server process. `start` and `listen` apart: a spare is ready the moment another dies."""

    def __init__(self, port: int, *options: str) -> None:
        """Start the process; nobody can connect before `listen`."""
        self.url = f"rtsp://127.0.0.1:{port}/live"
        self._process = subprocess.Popen(
            [PYTHON, str(SERVER), str(port), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
        )

    def tell(self, word: str) -> None:
        """Give a command and wait until it is carried out."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == f"{word}\n", "the RTSP server does not run"

    def listening(self) -> "RtspServer":
        """Open the port."""
        self.tell("listen")
        return self

    def pull_cable(self) -> None:
        """It sends nothing any more and closes nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """As a power cut does."""
        self._process.kill()
        self._process.communicate(timeout=10)


def stamped(image: npt.NDArray[np.uint8]) -> tuple[int, float]:
    """Generation of the server and time.monotonic() at which this picture was made."""
    gray = image if image.ndim == 2 else image[:, :, 1]
    blocks = gray.reshape(DOWN, BLOCK, ACROSS, BLOCK).mean(axis=(1, 3)) > 127
    word = int("".join("01"[bit] for bit in blocks.ravel().astype(int)), 2)
    return word >> TIME_BITS, (word & (1 << TIME_BITS) - 1) / 1000
