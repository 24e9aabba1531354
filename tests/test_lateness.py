"""How late the thread of a bus is, as `check --measure` finds it."""

import threading
import time

import pytest

from edge.plc import punctual
from edge.plc.lateness import Lateness
from tests.serial_peers import until

HELD_S = 0.05


def test_what_keeps_pythons_lock_makes_the_thread_late_by_as_much() -> None:
    held = sum  # of so many numbers: a call that does not let go of the lock
    count = 1_000_000
    took_s = 0.0
    while took_s < HELD_S:
        count *= 2
        began_s = time.perf_counter()
        held(range(count))
        took_s = time.perf_counter() - began_s
    with Lateness(real_time=False) as lateness:
        until(lambda: len(lateness.late_s) > 20)
        quiet = len(lateness.late_s)
        held(range(count))
        until(lambda: len(lateness.late_s) > quiet + 20)
    assert min(lateness.late_s) >= 0
    assert max(lateness.late_s) > took_s / 4
    assert sorted(lateness.late_s)[len(lateness.late_s) // 2] < HELD_S / 4


def test_it_measures_while_it_is_entered_and_no_longer() -> None:
    with Lateness(real_time=True) as lateness:
        until(lambda: len(lateness.late_s) > 3)
    found = len(lateness.late_s)
    assert "lateness" not in {thread.name for thread in threading.enumerate()}
    assert len(lateness.late_s) == found


def test_it_runs_as_the_thread_of_its_bus_does(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def noted(*, real_time: bool) -> str:
        asked.append(real_time)
        return ""

    monkeypatch.setattr(punctual, "prepare_thread", noted)
    for real_time in (True, False):
        with Lateness(real_time=real_time) as lateness:
            until(lateness.late_s.__len__)
    assert asked == [True, False]
