"""A real Chromium for tests, driven over its DevTools pipe: no driver, no port, no library.

Commands go in on the browser's file descriptor 3 and answers come out of 4, as JSON messages that
end in a zero byte (`--remote-debugging-pipe`). One tab; calls block until answered.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
DEADLINE_S = 30.0
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--remote-debugging-pipe",
)
# The browser wants its ends of the pipes at 3 and 4, wherever they are now.
_START = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Chromium:
    """One browser with one tab."""

    def __init__(self) -> None:
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        assert program is not None, "Chromium is not installed: apt-get install chromium"
        self._profile = tempfile.mkdtemp(prefix="qj-chromium-")
        commands_in, self._commands = os.pipe()
        self._answers, answers_out = os.pipe()
        start = [sys.executable, "-c", _START, str(commands_in), str(answers_out)]
        self._process = subprocess.Popen(
            [*start, program, *_FLAGS, f"--user-data-dir={self._profile}"],
            pass_fds=(commands_in, answers_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands_in)
        os.close(answers_out)
        self._buffer = b""
        self._number = 0
        self.requested: list[str] = []  # every address the tab asked for
        self.complaints: list[str] = []  # errors in the tab's console, refused content, exceptions
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def close(self) -> None:
        """End the browser and forget its profile."""
        self._process.terminate()
        self._process.wait(DEADLINE_S)
        os.close(self._commands)
        os.close(self._answers)
        shutil.rmtree(self._profile, ignore_errors=True)

    def look_like(self, width: int, height: int, dark: bool = False, phone: bool = False) -> None:
        """Size of the window in CSS px, and the person's choice of light or dark."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self._call("Emulation.setEmulatedMedia", features=[scheme, still])

    def open(self, address: str) -> None:
        """Go to a page and wait until it has loaded with its pictures."""
        self._call("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def value(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        told = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def until(self, script: str) -> None:
        """Wait until an expression in the page is true."""
        give_up_s = time.monotonic() + DEADLINE_S
        while not self._holds(script):
            assert time.monotonic() < give_up_s, f"never became true: {script}"
            self._read(0.05)

    def _holds(self, script: str) -> bool:
        """Whether it is true now; between two pages there may be nobody to ask: not yet."""
        asked = {"expression": f"Boolean({script})", "returnByValue": True}
        told = self._answer("Runtime.evaluate", asked).get("result", {})
        return told.get("result", {}).get("value") is True

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """Save what the window shows (or the whole page) as PNG."""
        told = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(told["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        answer = self._answer(method, parameters)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def _answer(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if hasattr(self, "_session"):
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        give_up_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < give_up_s:
            for answer in self._read(0.5):
                if answer.get("id") == number:
                    return answer
        raise AssertionError(f"Chromium did not answer {method} within {DEADLINE_S} s")

    def _read(self, wait_s: float) -> list[dict[str, Any]]:
        """Messages that came within `wait_s`; what the tab reports by itself is noted."""
        if not select.select([self._answers], [], [], wait_s)[0]:
            return []
        self._buffer += os.read(self._answers, 1 << 20)
        *whole, self._buffer = self._buffer.split(b"\0")
        messages = [json.loads(message) for message in whole]
        for message in messages:
            self._note(message.get("method"), message.get("params", {}))
        return messages

    def _note(self, method: str | None, told: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requested.append(told["request"]["url"])
        elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.complaints.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    """One browser for a module's tests."""
    browser = Chromium()
    yield browser
    browser.close()
