"""Parts by wire, beside a bus and alone: edge.plc.tracking."""

from collections.abc import Iterator

from edge import settings
from edge.plc.contacts import Level, Sight
from edge.plc.handshake import EpochOpened, Expired, Missed, Sampled, Taken, Triggered
from edge.plc.tracking import Tracking
from edge.plc.turns import Seen
from edge.terms import Cause, Code, Mode, Part, Trigger

STATION = settings.Station(
    name="s1", bus="b1", io="box", trigger="software", cameras=("c1",), max_rate_per_s=2.0
)
IO = settings.Io(
    name="box", kind="gpio", port="/dev/gpiochip0", part_present="0", ok="1", ready="2"
)


def triggered(number: int, edge_s: float, mode: Mode = Mode.AUTO) -> Triggered:
    trigger = Trigger(Part("s1", 1, number), edge_s, 0.03, mode, 1)
    return Triggered(trigger, edge_s + 0.4)


def contact(closed: bool, at_s: float, unsure_s: float = 0.0) -> Sight:
    return Sight((Level("part_present", closed, at_s),), unsure_s)


def beside() -> Tracking:
    tracking = Tracking(STATION, IO, 0.001, None)
    tracking.looked(contact(False, 0.0), True, 0.1)
    return tracking


def one_part(tracking: Tracking, mode: Mode = Mode.AUTO) -> None:
    """Part 1 breaks the contact at 1.0 s; the bus dates it 20 ms later; its verdict is OK."""
    tracking.looked(contact(True, 1.0), True, 1.01)
    assert tracking.heard(triggered(1, 1.02, mode)) == [triggered(1, 1.02, mode)]
    tracking.settled(1.05)
    tracking.submit(1, 1, Code.OK)
    tracking.decide(1.1)


def pulse(tracking: Tracking) -> Iterator[float]:
    for at_ms in range(1000, 2000):
        if tracking.pulses.wanted(at_ms / 1000):
            tracking.pulses.seen(at_ms / 1000)
            yield at_ms / 1000


def test_the_window_counts_from_the_contact_not_from_what_the_bus_reckons() -> None:
    tracking = beside()
    one_part(tracking)
    on_s = list(pulse(tracking))
    assert (on_s[0], on_s[-1]) == (1.4, 1.448)
    assert tracking.settled(2.0) == [Taken(1, 1, Code.OK, 1.4)]


def test_what_the_bus_thinks_became_of_a_part_is_left_out() -> None:
    tracking = beside()
    one_part(tracking)
    assert tracking.heard(Taken(1, 1, Code.OK, 1.2)) == []
    assert tracking.heard(Expired(1, 1, written=True)) == []
    assert list(pulse(tracking))


def test_a_verdict_that_comes_before_the_parts_edge_is_known_waits_for_it() -> None:
    tracking = beside()
    tracking.heard(triggered(1, 1.02))
    tracking.submit(1, 1, Code.OK)
    tracking.decide(1.025)
    tracking.looked(contact(True, 1.0), True, 1.03)
    tracking.settled(1.04)
    tracking.decide(1.05)
    assert list(pulse(tracking))


def test_a_golden_sample_gets_no_pulse() -> None:
    tracking = beside()
    one_part(tracking, Mode.SAMPLE)
    assert list(pulse(tracking)) == []
    assert tracking.settled(2.0) == [Taken(1, 1, Code.OK, 1.45)]


def test_when_the_plc_counts_anew_who_is_on_the_way_is_told_before() -> None:
    tracking = beside()
    one_part(tracking)
    opened = EpochOpened(2, 7, 3, "plc_restart")
    assert tracking.heard(opened) == [Expired(1, 1, written=False), opened]
    assert list(pulse(tracking)) == []


def alone(ready: bool = True) -> Tracking:
    tracking = Tracking(STATION, IO, 0.001, 4)
    assert tracking.opened() == [EpochOpened(5, 0, 0, "self_counted")]
    tracking.looked(contact(False, 0.0), ready, 0.1)
    return tracking


def seen(told: list[Seen]) -> list[type]:
    return [type(one) for one in told]


def test_alone_every_closing_is_a_part() -> None:
    tracking = alone()
    told = tracking.looked(contact(True, 1.0, 0.01), True, 1.01)
    assert seen(told) == [Triggered]
    assert tracking.settled(1.02) == [Sampled(5, 1)]


def test_alone_a_part_that_comes_while_not_ready_is_missed() -> None:
    told = alone(ready=False).looked(contact(True, 1.0), False, 1.01)
    assert told == [Missed(5, 1, 1, Cause.NOT_READY)]


def test_inputs_unseen_for_longer_than_two_parts_are_apart_end_the_count() -> None:
    tracking = alone()
    tracking.looked(contact(True, 1.0), True, 1.01)
    assert tracking.looked(contact(True, 1.5, 0.5), True, 1.5) == []
    told = tracking.looked(contact(True, 2.1, 0.51), True, 2.1)
    assert told == [
        Sampled(5, 1),
        Expired(5, 1, written=False),
        EpochOpened(6, 0, 0, "self_counted"),
    ]
