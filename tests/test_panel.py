"""Ready, lamps and buzzer: edge.plc.panel."""

import pytest

from edge.plc.blocks import StatusFlags
from edge.plc.panel import Panel

READY = StatusFlags.ONLINE | StatusFlags.TRIGGER_READY


def test_ready_stands_where_the_output_drops_by_itself_and_beats_where_it_does_not() -> None:
    looks_s = [n / 20 for n in range(20)]
    stands = ["ready" in Panel(drops_itself=True).on(READY, True, at_s) for at_s in looks_s]
    beats = ["ready" in Panel(drops_itself=False).on(READY, True, at_s) for at_s in looks_s]
    assert stands == [True] * 20
    assert beats == ([True] * 5 + [False] * 5) * 2


def test_ready_is_a_lease_and_a_dead_lease_lights_the_lamp() -> None:
    panel = Panel(drops_itself=True)
    assert panel.on(READY, True, 0.0) == {"ready"}
    assert panel.on(READY, False, 0.1) == {"warning"}
    assert panel.on(StatusFlags.ONLINE, True, 0.2) == set()


@pytest.mark.parametrize("cause", [StatusFlags.FAULT, StatusFlags.STOP_REQUEST])
def test_the_buzzer_sounds_three_seconds_at_each_new_cause(cause: StatusFlags) -> None:
    panel = Panel(drops_itself=True)
    panel.on(READY, True, 0.0)
    assert "buzzer" in panel.on(READY | cause, True, 1.0)
    assert "buzzer" in panel.on(READY | cause, True, 3.9)
    assert "buzzer" not in panel.on(READY | cause, True, 4.0)
    panel.on(READY, True, 5.0)
    assert "buzzer" in panel.on(READY | cause, True, 6.0)


def test_a_stop_request_stands_until_it_is_reset() -> None:
    panel = Panel(drops_itself=True)
    assert "stop" in panel.on(READY | StatusFlags.STOP_REQUEST, True, 60.0)
    assert "stop" not in panel.on(READY, True, 61.0)
