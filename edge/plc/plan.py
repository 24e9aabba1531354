"""How long a bus takes, from its wiring alone. No port, no clock.

    silence, request, silence, the slave's scan, reply          one transaction
    block of station 1, another frame, block of station 2, another frame, ...       one round

The frames between the blocks are verdicts, status, the second law's counters or tags; the longest
of them is reckoned with every time. A unit that owes an answer is sounded with one register first
(decision 0013): that takes the turn of the frame it goes before, is no longer than it, and so costs
nobody else more than was reckoned.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from edge.plc.blocks import BLOCK_SIZE, COUNTERS_SIZE, RESULT_SIZE
from edge.plc.codecs import character_s, codec_of, silence_s, speaks
from edge.plc.tag_lane import LEFT_ALONE_S, groups
from edge.plc.transaction import Request, read_registers, write_registers
from edge.plc.turns import RETRY_S
from edge.settings import Bus, Slave, Station, Tag

SOFTWARE_S = 0.0005
"""Ours, in each transaction: from the end of the silence that begins with the last byte of a reply
to the first byte of the next request, so that the reading of the reply is in it; bench.plc holds
the p99 to it, and that of the reading alone. A thread that is kept waiting for longer, once in a
while, is the timetable's matter (`late_s`)."""


@dataclass(frozen=True, slots=True)
class BusPlan:
    """What talks on one bus.

    Args:
        stations: those of this bus, in any order.
        slaves, tags: all of edge.toml; those of other buses are left out.
    """

    bus: Bus
    stations: Sequence[Station]
    slaves: Sequence[Slave] = ()
    tags: Sequence[Tag] = ()

    @property
    def poll_s(self) -> float:
        """Longest time between two reads of one station's block while every PLC answers."""
        blocks_s = sum(self.block_s(station) for station in self.stations)
        return blocks_s + len(self.stations) * self.other_s

    def block_s(self, station: Station) -> float:
        """One read of a station's block, with the silence before it."""
        return self._transaction_s(_block(), station.scan_ms)

    @property
    def other_s(self) -> float:
        """The longest frame that may stand between two reads of blocks."""
        frames_s = [self._status_s(station) for station in self.stations]
        frames_s += [self._counters_s(s) for s in self.stations if s.counters_base is not None]
        return max([*frames_s, *self._tags_s()], default=0.0)

    def seen_s(self, station: Station) -> float:
        """From a change in the PLC's registers until the node knows it, at the most.

        The change just missed one read: it is in the next, and that answer has to come.
        """
        answer = codec_of(self.bus).reply_size(_block()) * self._character_s
        return self.poll_s + station.scan_ms / 1000 + answer + SOFTWARE_S

    def verdict_s(self, station: Station) -> float:
        """From a verdict until it lies in the PLC's registers, at the most.

        It comes when another frame has just begun; then a block is read. Other stations' verdicts
        may be due before it.
        """
        before_s = sum(
            self._transaction_s(_result(), other.scan_ms) + self.block_s(other)
            for other in self.stations
            if other.name != station.name
        )
        out_s = (
            self._gap_s
            + codec_of(self.bus).request_size(_result()) * self._character_s
            + self._silence_s
        )
        return self.other_s + self.block_s(station) + before_s + out_s + SOFTWARE_S

    @property
    def probe_s(self) -> float:
        """How long a request to somebody silent keeps the bus, at the most.

        First its last answer is listened for where that may still come, and a wrong answer is
        listened out for as long as it was waited for.
        """
        late_s = max(0.0, self.bus.reply_timeout_s - LEFT_ALONE_S)
        return late_s + self._gap_s + self._request_s(_block()) + 2 * self.bus.reply_timeout_s

    @property
    def brief_s(self) -> float:
        """How long a request keeps the bus that is given up when a PLC that lives would have
        answered: the read of a block, or the sounding before it."""
        return self._gap_s + self._request_s(_block()) + self.least_timeout_s

    @property
    def used(self) -> float:
        """Share of the bus that the parts alone need at their highest rate: two block reads and one
        result a part. Above 1 it cannot be."""
        return sum(self.part_s(station) * station.max_rate_per_s for station in self.stations)

    def part_s(self, station: Station) -> float:
        """What one part needs: the read that shows it, its result, the read that shows the echo."""
        return 2 * self.block_s(station) + self._transaction_s(_result(), station.scan_ms)

    def lost_s(self, station: Station, timeout_s: float | None = None) -> float:
        """What a frame lost on the line adds to the way of the part it belongs to, at the most.

        No answer comes, the unit is left alone for as long again and sounded (decision 0013), the
        block is read before anything is written, and the frame has its turn once more.

        Args:
            timeout_s: in place of the bus's `reply_timeout_s`.
        """
        wait_s = self.bus.reply_timeout_s if timeout_s is None else timeout_s
        return self._out_s + wait_s + max(RETRY_S, wait_s + self._again_s(station))

    def longest_timeout_s(self, station: Station, room_s: float) -> float:
        """The `reply_timeout_s` with which a lost frame costs no more than this; may be below 0."""
        room_s -= self._out_s
        return min(room_s - RETRY_S, (room_s - self._again_s(station)) / 2)

    @property
    def least_timeout_s(self) -> float:
        """Below this `reply_timeout_s` gives up a good answer: it, and two scans of its PLC."""
        codec = codec_of(self.bus)
        characters = max(map(codec.reply_size, (_block(), _counters(), _result())))
        own = [slave.answer_ms for slave in self.slaves if slave.bus == self.bus.name]
        scans = (2 * station.scan_ms for station in self.stations)
        wait_ms = max([*own, *scans], default=0.0)
        return self._silence_s + wait_ms / 1000 + characters * self._character_s + SOFTWARE_S

    @property
    def _out_s(self) -> float:
        """Until the last character of a result is out."""
        return self._gap_s + self._request_s(_result())

    def _again_s(self, station: Station) -> float:
        """From the end of the listening until a frame that was lost has its turn once more."""
        one = self._transaction_s(read_registers(1, 0, 1), station.scan_ms)
        return self.poll_s + (one if self.bus.host is None else 0.0)

    def _status_s(self, station: Station) -> float:
        """Status and result are five registers each."""
        return self._transaction_s(_result(), station.scan_ms)

    def _counters_s(self, station: Station) -> float:
        return self._transaction_s(_counters(), station.scan_ms)

    def _tags_s(self) -> list[float]:
        """Each frame of tags; a slave begins to answer within `answer_ms`, a PLC in its scan."""
        own = [slave for slave in self.slaves if slave.bus == self.bus.name]
        wait_ms = {slave.name: slave.answer_ms for slave in own}
        wait_ms |= {station.name: station.scan_ms for station in self.stations}
        return [
            self._transaction_s(group.request, wait_ms[group.source])
            for group in groups(self.tags, self.stations, own, partial(speaks, self.bus))
        ]

    def _transaction_s(self, request: Request, wait_ms: float) -> float:
        codec = codec_of(self.bus)
        characters = codec.request_size(request) + codec.reply_size(request)
        wire_s = self._gap_s + self._silence_s + characters * self._character_s
        return wire_s + wait_ms / 1000 + SOFTWARE_S

    def _request_s(self, request: Request) -> float:
        return codec_of(self.bus).request_size(request) * self._character_s

    @property
    def _character_s(self) -> float:
        return character_s(self.bus)

    @property
    def _silence_s(self) -> float:
        """After a request, by which the slave knows its end."""
        return codec_of(self.bus).silence_s(self._character_s)

    @property
    def _gap_s(self) -> float:
        """Before a request: what this PLC needs."""
        return silence_s(self.bus, codec_of(self.bus))


def _block() -> Request:
    return read_registers(1, 0, BLOCK_SIZE)


def _counters() -> Request:
    return read_registers(1, 0, COUNTERS_SIZE)


def _result() -> Request:
    return write_registers(1, 0, (0,) * RESULT_SIZE)
