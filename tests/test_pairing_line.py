"""Never another part's picture, in 10,000 parts of a line where everything goes wrong.

The parts carry their identity in the frame; a frame that was judged must show the part it was
judged for. Mutants that were planted in edge/pairing.py and seen to fail here:

    windows without their lower bound          frames of the part before, on standing parts
    a standing part from its earliest edge on  the same
    an offset that is left out                 every part of the second camera
    a window longer than the shortest takt     the next part, where the own frame is lost
    the trigger count left out, or a new one   frames with a wrong exposure time
    believed at once
    doubts left out, or the next part's        the next part that follows too closely
    window left out of them
"""

from collections import Counter
from dataclasses import replace

import pytest

from edge.pairing import Pairing
from edge.terms import Reason, TriggerMode
from tests.played_camera import RATE, Outcome, PlayedCamera, PlayedLine, Trouble

SECOND_S = 0.2 / 0.76  # two cameras 200 mm apart at 760 mm/s: always a part between them
TROUBLE = Trouble(
    not_fired=0.02,
    lost=0.02,
    stray=0.01,
    not_told=0.01,
    late=0.05,
    mistimed=0.01,
    near=0.03,
    reconnect=0.001,
    plc_restart=0.001,
)
# parts that stop cannot come closer than that takes; and of theirs the time is all that tells
STANDING = replace(TROUBLE, near=0.0, mistimed=0.0)
LINES: list[tuple[TriggerMode, float, Trouble, int]] = [
    ("hardware", 0.0, TROUBLE, 10_000),
    ("hardware", SECOND_S, TROUBLE, 10_000),
    ("software", 0.0, STANDING, 2000),
    ("software", SECOND_S, STANDING, 2000),
    ("free_run", 0.0, STANDING, 2000),
    ("free_run", SECOND_S, STANDING, 2000),
]


def outcomes(
    mode: TriggerMode, offset_s: float, trouble: Trouble, parts: int, seed: int = 1
) -> list[Outcome]:
    tolerance_s = 0.03 if mode == "hardware" else 1 / RATE
    pairing = Pairing(mode, tolerance_s, offset_s, 1 / RATE)
    return PlayedCamera(PlayedLine(parts, trouble, seed), mode, offset_s, pairing).run()


@pytest.mark.parametrize(("mode", "offset_s", "trouble", "parts"), LINES)
def test_no_part_is_judged_by_another_parts_picture(
    mode: TriggerMode, offset_s: float, trouble: Trouble, parts: int
) -> None:
    seen = outcomes(mode, offset_s, trouble, parts)
    wrong = [one for one in seen if one.shown is not None and one.shown != one.real]
    assert wrong == []
    assert sum(one.shown is not None for one in seen) > 0.8 * len(seen) > 0.78 * parts


@pytest.mark.parametrize(("mode", "offset_s"), [line[:2] for line in LINES])
def test_where_nothing_goes_wrong_hardly_a_part_is_undecided(
    mode: TriggerMode, offset_s: float
) -> None:
    seen = outcomes(mode, offset_s, Trouble(late=0.05), parts=500)
    assert Counter(one.reason for one in seen)[None] >= len(seen) - 1
    assert all(one.shown in (one.real, None) for one in seen)


def test_a_camera_that_counts_anew_costs_its_outage_and_one_part() -> None:
    seen = outcomes("hardware", 0.0, Trouble(reconnect=0.002), parts=2000)
    reasons = Counter(one.reason for one in seen)
    outages = reasons[Reason.PAIRING]
    assert 1 <= outages <= 12
    assert reasons[Reason.NO_FRAME] <= 6 * outages
