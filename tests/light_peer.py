"""A light controller for tests: on a pty, with the common ASCII protocol, and its [[light]]."""

from edge import settings
from tests.serial_peers import PtyPeer

SIZE = 8  # characters of a request


def wiring(port: str, kind: str = "ascii", **changes: object) -> settings.Light:
    keys: dict[str, object] = {"name": "l1", "protocol": kind, "port": port, "cameras": ("c1",)}
    return settings.Light(**(keys | {"reply_timeout_s": 0.2} | changes))  # type: ignore[arg-type]


class PlayedController(PtyPeer):
    """A controller that knows the protocol; `others` are said instead, one a request."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__("light controller")
        self.brightness = dict.fromkeys(range(1, channels + 1), 0)
        self.on: set[int] = set()
        self.heard: list[bytes] = []
        self.others: list[bytes] = []

    def reboot(self) -> None:
        """The power was away for a moment."""
        self.brightness = dict.fromkeys(self.brightness, 0)
        self.on = set()

    def answer(self, heard: bytes) -> bytes:
        while len(heard) >= SIZE:
            asked, heard = heard[:SIZE], heard[SIZE:]
            self.heard.append(asked)
            self.say(self.others.pop(0) if self.others else self._carried_out(asked))
        return heard

    def _carried_out(self, asked: bytes) -> bytes:
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
