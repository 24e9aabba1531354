"""A light controller for tests: on a pty, with the common ASCII protocol, and its [[light]]."""

import os
import select
import threading
import tty

from edge import settings

SIZE = 8  # characters of a request


def wiring(port: str, kind: str = "ascii", **changes: object) -> settings.Light:
    keys: dict[str, object] = {"name": "l1", "protocol": kind, "port": port, "cameras": ("c1",)}
    return settings.Light(**(keys | {"reply_timeout_s": 0.2} | changes))  # type: ignore[arg-type]


class PlayedController:
    """A controller on a pty that knows the protocol; `say` gives other answers, one a request."""

    def __init__(self, channels: int = 4) -> None:
        self.brightness = dict.fromkeys(range(1, channels + 1), 0)
        self.on: set[int] = set()
        self.heard: list[bytes] = []
        self.say: list[bytes] = []
        self._line, self._far_end = os.openpty()
        tty.setraw(self._far_end)
        self.port = os.ttyname(self._far_end)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="light controller")

    def __enter__(self) -> "PlayedController":
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
                heard += os.read(self._line, 64)
            while len(heard) >= SIZE:
                asked, heard = heard[:SIZE], heard[SIZE:]
                self.heard.append(asked)
                os.write(self._line, self.say.pop(0) if self.say else self._answer(asked))

    def _answer(self, asked: bytes) -> bytes:
        """Written against the page of the protocol, not with our own encoder."""
        check = 0
        for character in asked[:6]:
            check ^= character
        channel = asked[2] - ord("0")
        if f"{check:02X}".encode() != asked[6:] or channel not in self.brightness:
            return b"&"
        if asked[1:2] == b"4":
            body = f"$4{channel}0{self.brightness[channel]:02X}".encode()
            check = 0
            for character in body:
                check ^= character
            return body + f"{check:02X}".encode()
        if asked[1:2] == b"3":
            self.brightness[channel] = int(asked[3:6], 16)
        if asked[1:2] == b"1":
            self.on.add(channel)
        if asked[1:2] == b"2":
            self.on.discard(channel)
        return b"$"
