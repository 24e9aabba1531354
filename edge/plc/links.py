"""One bus as its master sees it: strict transactions, and no answer from the past.

    idle      a silence of max(what the protocol needs, the PLC's gap) after the last character
    request   one at a time, sent once
    reply     every field checked; frames of other units are skipped until the deadline
    listen    after a wrong answer: until no answer to that request can come any more; after none:
              the same, before the same unit is asked again (another's late frame names its unit)
    sound     what was not answered in that time may still come: the unit is asked for something of
              another shape first, so that the late answer shows itself (decision 0013)

Measured against faulty peers: reference page `plc`, section 5.
"""

import math
import time

from msgspec import Struct

from edge import settings
from edge.errors import PlcError, PlcTimeoutError
from edge.plc.codecs import codec_of, refusal_of
from edge.plc.echo import EchoReader
from edge.plc.line import Line
from edge.plc.system import LINUX, System
from edge.plc.transaction import (
    BITS,
    READ_HOLDING_REGISTERS,
    WRITES,
    Answer,
    Broken,
    Reader,
    Refused,
    Reply,
    Request,
)

SETTLE_S = 0.02  # longest pause inside one reply (USB adapters)


class Reading(Struct, frozen=True):  # made in an eighth of the time of a frozen dataclass
    """A good reply. The PLC made it between `sent_s` and `made_s` (monotonic)."""

    values: tuple[int, ...]  # empty for a write
    sent_s: float  # the request went out
    made_s: float  # the first character of the reply can have left no later


class Link:
    """The master's end of one bus. Used by one thread.

    Raises (every method but `close`):
        PlcError: port missing, held by another program, lost; wrong or refused answer.
        PlcTimeoutError: no complete answer in time.
    """

    def __init__(self, bus: settings.Bus, system: System = LINUX) -> None:
        self._bus = bus
        self._codec = codec_of(bus)
        self._line = Line(bus, self._codec, system)
        self._late: dict[int, tuple[Reader, float]] = {}  # by unit: may come until
        self._owing: dict[int, Request] = {}  # by unit: what was never answered
        self._skipped = 0
        self.foreign = 0  # intact frames of other units and masters

    @property
    def is_open(self) -> bool:
        """Whether the port is held; a lost port closes itself."""
        return self._line.port.is_open

    @property
    def stray(self) -> int:
        """Bytes that answered nothing."""
        return self._line.stray + self._skipped

    def open(self) -> None:
        """Take the port for this process alone and listen out what a former master asked."""
        if self._line.port.is_open:
            return
        self._late.clear()
        self._owing.clear()
        self._line.open()

    def close(self) -> None:
        """Give the port back. Safe to call twice, and on a port that is gone."""
        self._line.close()

    def transact(
        self, request: Request, *, at_once: bool = False, until_s: float = math.inf
    ) -> Reading:
        """Ask one unit and get the answer, or fail; a request is sent once and never repeated.

        Args:
            at_once: not after what may still come. Only for an order that is read back then, as a
                late answer to another one may be taken for its own; and for that reading, which no
                late answer to an order is taken for.
            until_s: back by then (monotonic), with an answer or without: something else must go
                out. What may still come is listened out before the next request that can wait.
        """
        if (self._late or self._owing) and not at_once:
            self.sound(request, until_s)
        elif not self._line.port.is_open:
            self.open()
        said = self._ask(request, request, until_s)
        if self._owing:
            owed = self._owing.get(request.unit)
            if owed is not None and owed.function != request.function:
                self._late.pop(request.unit, None)  # who answers this has dropped the other
                self._owing.pop(request.unit, None)
        if isinstance(said, Refused):
            why = refusal_of(self._bus, said.code)
            refused = PlcError(f"{self._named(request)}: the PLC refuses with {why}", refused=True)
            refused.code = said.code
            raise refused
        return said

    def sound(self, request: Request, until_s: float = math.inf) -> bool:
        """Before a unit that owes an answer is asked again, make sure that it cannot come any more.

        After the quarantine one register is read: the owed answer has another shape, and a slave
        that answers this has dropped the other. `transact` begins with this. Who has planned the
        time of the bus does it in a turn of its own: a sounding is no longer than the request.

        Returns:
            Whether a register was read.
        """
        self.open()
        if not (self._late or self._owing):
            return False
        reader, end_s = self._late.get(request.unit, (None, 0.0))
        if reader is not None and self._line.listen(reader, min(end_s, until_s)):
            self._owing.pop(request.unit, None)
        elif until_s < end_s:
            raise PlcTimeoutError(f"{self._named(request)}: an answer from before is still owed")
        self._late.pop(request.unit, None)
        owed = self._owing.get(request.unit)
        sounding = None if owed is None else _sounding(request, owed)
        if sounding is not None:
            self._ask(sounding, request, until_s)
        self._owing.pop(request.unit, None)
        return sounding is not None

    def owed(self, unit: int) -> bool:
        """Whether an answer of this unit may still come: its next request has to wait for that."""
        return unit in self._late or unit in self._owing

    def _ask(self, request: Request, meant: Request, until_s: float) -> Reading | Refused:
        """One request and its reply; `meant` is what a failure is said of."""
        frame = self._codec.encode(request)
        sent_s, ends_s = self._line.say(frame)
        # what the answer is to be needs no more than the time until it comes
        reader: Reader = self._codec.reader(request)
        if self._bus.echo:
            reader = EchoReader(frame, reader)
        reply_s = self._codec.reply_size(request) * self._line.character_s
        within_s = self._bus.reply_timeout_s
        if ends_s + within_s > until_s:
            within_s = max(0.0, until_s - ends_s)
        reply = self._await(reader, ends_s + within_s)
        self.foreign += reader.foreign
        self._skipped += reader.stray
        if isinstance(reply, Answer):
            made_s = self._line.active_s - reply_s
            return Reading(reply.values, sent_s, made_s if made_s > sent_s else sent_s)
        if isinstance(reply, Refused):
            return reply
        raise self._failure(meant, reply, reader, ends_s, within_s)

    def _await(self, reader: Reader, deadline_s: float) -> Reply | None:
        """What the reader makes of the line until the deadline; None: nothing came."""
        pause_s = math.inf  # while no reply is under way
        while (left_s := deadline_s - time.monotonic()) > 0:
            received = self._line.hear(left_s if left_s < pause_s else pause_s)
            if received:
                reply = reader.feed(received)
                if reply is not None:
                    return reply
                pause_s = self._codec.pause_s if reader.end() else math.inf
            elif pause_s < left_s:
                break
        return reader.end()

    def _failure(
        self,
        meant: Request,
        broken: Broken | None,
        reader: Reader,
        ends_s: float,
        within_s: float,
    ) -> PlcError:
        """The error to raise, with the line listened out where it must be."""
        asked = self._named(meant)
        timeout_s = self._bus.reply_timeout_s
        quiet_s = ends_s + 2 * timeout_s  # no answer to this request can come any more
        hurried = self._line.serial and within_s < timeout_s  # a connection is cleared at once
        if broken is not None and broken.cause == "checksum" and not self._line.hear(SETTLE_S):
            return PlcError(f"{asked}: damaged answer (checksum)")
        if self._line.serial:  # over TCP an old answer is known by its number
            self._owing.setdefault(meant.unit, meant)
        if broken is None or hurried:
            self._late[meant.unit] = (reader, quiet_s)
        if broken is None:
            return PlcTimeoutError(f"{asked}: no answer within {within_s:.3f} s")
        if not hurried:
            self._line.clear(quiet_s)
        if self._line.serial and self._line.echoed and not self._bus.echo:
            return self._echoes(asked)
        kind = PlcTimeoutError if broken.cause == "short" else PlcError
        return kind(f"{asked}: wrong answer ({broken.cause})")

    def _named(self, request: Request) -> str:
        return (
            f"bus {self._bus.name}: unit {request.unit}, function {request.function}, "
            f"registers {request.address} to {request.address + request.count - 1}"
        )

    def _echoes(self, asked: str) -> PlcError:
        wrong = PlcError(f"{asked}: what is sent comes back, so the adapter echoes")
        wrong.hint = (
            f"Set echo = true in [[bus]] {self._bus.name}, or switch the adapter's echo off."
        )
        return wrong


def _sounding(request: Request, owed: Request) -> Request | None:
    """A read that the answer to `owed` cannot answer; None where no register can be read."""
    if request.function in BITS or (owed.function not in WRITES and owed.count == 1):
        return None
    function = READ_HOLDING_REGISTERS if request.function in WRITES else request.function
    return Request(request.unit, function, request.address, 1)
