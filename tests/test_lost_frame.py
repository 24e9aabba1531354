"""A frame lost on the line: what it costs, and the `reply_timeout_s` that makes it good."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edge.plc.plan import BusPlan
from edge.plc.timetable import Measured, lost_frame, timetable
from tests import even_line
from tests.even_line import conveyor
from tests.played_line import STATION, Wire
from tests.test_timetable import KNOWN, METER, bus, rates, station


@dataclass
class OneInFive(Wire):
    """After every fifth part one frame is lost, each time a little later after it was counted."""

    part: Callable[[], int] = lambda: 0
    lost: int = 0
    frames: int = 0  # since that part came

    def carry(self, frame: bytes) -> bytes:
        """The bytes that arrive."""
        number = self.part()
        self.frames += number >= 5 * (self.lost + 1)
        if self.frames <= number // 8:
            return frame
        self.lost, self.frames = self.lost + 1, 0
        return b""


@pytest.mark.parametrize(("baudrate", "rate"), [(115200, 8.0), (38400, 7.0), (19200, 4.0)])
def test_the_longest_reply_timeout_that_is_named_makes_a_lost_frame_good_and_twice_that_does_not(
    baudrate: int, rate: float
) -> None:
    own = replace(STATION, max_rate_per_s=rate)

    def played(timeout_s: float) -> tuple[int, str]:
        plan = BusPlan(bus(baudrate, reply_timeout_s=timeout_s), [own])
        told = lost_frame(plan, timetable(plan, own, [("c", 0.0)], Measured(0.06, 0.0, {"c": 0})))
        wire, belt = OneInFive(), conveyor(rate=rate)
        wire.part = lambda: belt.program.counter
        line = even_line.line(
            station=own, wire=wire, baudrate=baudrate, reply_timeout_s=timeout_s, belt=belt
        )
        line.parts(230)
        assert wire.lost > 40
        return 230 - len(line.passed()), told

    _, told = played(0.15)
    longest_s = float(told.partition("expected at most ")[2][:5])
    rejected, told = played(longest_s)
    assert rejected == 0
    assert told.endswith(": it is made good")
    rejected, told = played(2 * longest_s)
    assert rejected > 0
    assert told.startswith("WARN")


@given(rates, st.floats(0.02, 3), st.floats(1, 100))
def test_with_the_longest_reply_timeout_a_lost_frame_costs_the_room_there_is(
    rate: Any, room_s: float, scan_ms: float
) -> None:
    own = station(scan_ms=scan_ms)
    plan = BusPlan(bus(rate), [own, station("s2", 2)])
    assert plan.lost_s(own, plan.longest_timeout_s(own, room_s)) == pytest.approx(room_s)
    assert plan.lost_s(own, 0.2) > plan.lost_s(own, 0.1) > 0.1


def test_an_answer_may_take_two_scans_or_what_a_slave_takes_and_its_own_length() -> None:
    alone = BusPlan(bus(), [station(scan_ms=20)])
    assert alone.least_timeout_s == pytest.approx(0.00175 + 0.04 + 29 * 11 / 115200 + 0.0005)
    beside = BusPlan(bus(), [station(scan_ms=20)], [replace(METER, answer_ms=90)])
    assert beside.least_timeout_s == pytest.approx(alone.least_timeout_s + 0.05)
    elsewhere = BusPlan(bus(), [station(scan_ms=20)], [replace(METER, answer_ms=90, bus="b2")])
    assert elsewhere.least_timeout_s == alone.least_timeout_s


def lost(baudrate: Any = 115200, timeout_s: float = 0.03, **keys: Any) -> str:
    own = station(**keys)
    plan = BusPlan(bus(baudrate, reply_timeout_s=timeout_s), [own])
    return lost_frame(plan, timetable(plan, own, [("c", 0.0)], KNOWN))


def test_what_a_lost_frame_costs_is_told_and_how_often_in_a_row_it_is_made_good() -> None:
    assert lost(max_rate_per_s=1, deadline_ms=900) == (
        "a frame lost on the line costs 113 ms of the 735 ms that a verdict has to spare, with a "
        "part every 1000 ms: 6 in a row are made good"
    )
    assert lost(max_rate_per_s=8).endswith("with a part every 125 ms: it is made good")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"timeout_s": 0.15, "max_rate_per_s": 5}, "at most 0.073, and no less than the 0.025"),
        ({"timeout_s": 0.15, "max_rate_per_s": 1, "deadline_ms": 300}, "expected at most 0.040"),
        ({"max_rate_per_s": 10}, "faster bus or a lower max_rate_per_s"),
        ({"max_rate_per_s": 1, "deadline_ms": 200}, "faster bus or a later deadline_ms"),
    ],
)
def test_a_lost_frame_that_costs_parts_is_warned_of_with_what_would_make_it_good(
    keys: dict[str, Any], told: str
) -> None:
    found = lost(**keys)
    assert found.startswith("WARN   a frame lost on the line costs")
    assert told in found
