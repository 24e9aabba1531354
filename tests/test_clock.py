"""The clock says how far it can be believed, and never more."""

import time

import pytest

from edge import clock
from tests.ledger_rows import BOOT


@pytest.mark.parametrize(
    ("status", "max_error_us", "once_synced", "expected"),
    [
        (0, 20_000, True, "synced"),
        (0x2000, 999_999, False, "synced"),
        (0, 1_000_000, True, "holdover"),
        (clock.STA_UNSYNC, 20_000, True, "holdover"),
        (clock.STA_UNSYNC, 16_000_000, False, "unsynced"),
    ],
)
def test_quality_follows_the_kernel(
    status: int, max_error_us: int, once_synced: bool, expected: str
) -> None:
    assert clock.quality_of(status, max_error_us, once_synced) == expected


def test_a_stamp_fits_a_row_and_lies_between_two_looks_at_the_clock() -> None:
    before = time.monotonic_ns() // 1_000_000
    stamp = clock.stamp()
    assert before <= stamp.mono_ms <= time.monotonic_ns() // 1_000_000
    assert stamp.at_ms > 1_600_000_000_000
    assert stamp.clock in ("synced", "holdover", "unsynced")
    assert len(stamp.boot) == len(BOOT)
    assert int(stamp.boot, 16) > 0
    assert clock.stamp().boot == stamp.boot


def test_how_long_program_and_computer_run_is_told_in_their_order() -> None:
    program_s, computer_s = clock.since_start_s()
    assert 0 < program_s < computer_s
    later_s, _ = clock.since_start_s()
    assert program_s <= later_s < program_s + 5
