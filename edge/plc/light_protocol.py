"""The ASCII protocol that most Chinese light controllers speak, without a port or a clock.

    request           | "$" | command | channel | value 3 hex digits | check 2 hex digits |
    answer to 1, 2, 3 | "$" | done             or | "&" | refused
    answer to 4       | the request 4 with the channel's brightness as its value, or "&" |

Command: 1 on, 2 off, 3 set brightness, 4 read brightness. Channel: 1 to 9. Value: 000 to 0FF, high
digit first. Check: the exclusive or of the six characters before it. For example, brightness 128 of
channel 2 is "$320801D". 9600 baud, 8N1 as delivered; no line ends.
"""

from dataclasses import dataclass
from enum import Enum

ON, OFF, SET, READ = 1, 2, 3, 4
CHANNELS = 9
"""The most that one digit can say."""

SIZE = 8  # characters of a request, and of the answer to READ
DONE, REFUSED = b"$", b"&"


@dataclass(frozen=True, slots=True)
class Command:
    """One request.

    Raises:
        ValueError: a field is out of range; that is a fault of the program, never of the line.
    """

    command: int
    channel: int
    value: int = 0

    def __post_init__(self) -> None:
        if self.command not in (ON, OFF, SET, READ):
            raise ValueError(f"command {self.command}")
        if not (1 <= self.channel <= CHANNELS and 0 <= self.value <= 255):
            raise ValueError(f"channel {self.channel}, value {self.value}")

    def encode(self) -> bytes:
        """The eight characters."""
        body = f"${self.command}{self.channel}{self.value:03X}".encode("ascii")
        return body + f"{check(body):02X}".encode("ascii")


class Outcome(Enum):
    """What a controller said."""

    DONE = "done"
    REFUSED = "refused"
    SHORT = "short"  # not all has come yet
    WRONG = "wrong"  # no answer to this request


def check(body: bytes) -> int:
    """Exclusive or of all characters."""
    result = 0
    for character in body:
        result ^= character
    return result


def answered(asked: Command, heard: bytes) -> tuple[Outcome, int]:
    """The outcome, and the brightness where one was asked for (else 0). Never raises.

    `heard` is everything since the request, until the line was silent. Only "$" alone means done:
    an adapter that echoes sends the whole request back, which begins with "$" too.
    """
    if heard == REFUSED:
        return Outcome.REFUSED, 0
    if asked.command != READ:
        if heard == DONE:
            return Outcome.DONE, 0
        return (Outcome.SHORT if heard == b"" else Outcome.WRONG), 0
    value = _value(asked, heard)
    if value is not None:
        return Outcome.DONE, value
    return (Outcome.SHORT if len(heard) < SIZE else Outcome.WRONG), 0


def _value(asked: Command, heard: bytes) -> int | None:
    """The brightness in an answer to READ; None if it is no such answer."""
    head = f"${READ}{asked.channel}0".encode("ascii")
    if len(heard) != SIZE or not heard.startswith(head):
        return None
    try:
        value, told = int(heard[4:6], 16), int(heard[6:8], 16)
    except ValueError:
        return None
    return value if told == check(heard[:6]) else None
