"""How late the thread of a bus is, as `check --measure` finds it."""

import sys
import threading
import time
from collections.abc import Iterator

import pytest

from edge.plc import punctual
from edge.plc.lateness import PERIOD_S, Lateness
from tests.serial_peers import until

HELD_S = 0.2


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """A process that has a bus hands Python's lock over more often."""
    before_s = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before_s)


def more(lateness: Lateness, waits: int) -> None:
    known = lateness.waits
    until(lambda: lateness.waits >= known + waits, within_s=30)


def test_what_keeps_pythons_lock_makes_the_thread_late_by_as_much() -> None:
    count, took_s = 1_000_000, 0.0
    while took_s < HELD_S:
        count *= 2
        began_s = time.perf_counter()
        sum(range(count))  # a call that does not let go of the lock
        took_s = time.perf_counter() - began_s
    with Lateness(real_time=False) as lateness:
        more(lateness, 20)
        sum(range(count))
        more(lateness, 20)
    assert lateness.longest_s > took_s / 4


def test_it_measures_while_it_is_entered_and_no_longer() -> None:
    with Lateness(real_time=True) as lateness:
        more(lateness, 3)
    found = lateness.waits
    assert not threading.Event().wait(4 * PERIOD_S)
    assert lateness.waits == found
    assert lateness.longest_s > 0


def test_it_runs_as_the_thread_of_its_bus_does(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def noted(*, real_time: bool) -> str:
        asked.append(real_time)
        return ""

    monkeypatch.setattr(punctual, "prepare_thread", noted)
    for real_time in (True, False):
        with Lateness(real_time=real_time) as lateness:
            more(lateness, 1)
    assert asked == [True, False]
