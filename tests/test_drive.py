"""What the simulated line's PLC and meter say of its drive."""

import struct
from collections.abc import Sequence

import pytest

from edge.plc.blocks import Control, StatusFlags
from edge.plc.images import Outputs
from edge.simulation.drive import METER_SIZE, TAGS_SIZE, Drive

NODE = (0,) * 10


def outputs(run: bool, control: int = 0) -> Outputs:
    return Outputs((control, *(0,) * 11), (7, 1, *(0,) * 8), False, run, ())


def meter(drive: Drive) -> tuple[int, float]:
    """Energy in Wh, power in kW."""
    words = drive.meter()
    assert len(words) == METER_SIZE
    energy_wh, power_kw = struct.unpack(">If", struct.pack(">4H", *words))
    return energy_wh, power_kw


def test_power_rises_with_the_speed_and_energy_is_its_sum() -> None:
    drive = Drive(0.0)
    drive.step(1.0, 0.0)
    _, standing_kw = meter(drive)
    drive.step(2.0, 1000.0)
    _, running_kw = meter(drive)
    assert running_kw > standing_kw > 0
    drive.step(2.0 + 3600.0, 1000.0)
    energy_wh, _ = meter(drive)
    assert energy_wh == pytest.approx(1000 * running_kw, abs=2)


@pytest.mark.parametrize(
    ("run", "control", "node", "cause"),
    [
        (True, 0, NODE, 0),
        (False, Control.REJECT_FAULT, NODE, 1),
        (False, 0, (StatusFlags.STOP_REQUEST, *NODE[1:]), 2),
        (False, 0, NODE, 3),
    ],
)
def test_the_plc_says_why_it_stands(
    run: bool, control: int, node: Sequence[int], cause: int
) -> None:
    drive = Drive(0.0)
    drive.step(1.0, 760.4)
    words = drive.tags(outputs(run, control), node)
    assert len(words) == TAGS_SIZE
    assert words == (760, cause, 6 if run else 2, 7, 1)
