"""Health of a station: who may be told OK, and what the PLC hears: edge.standing."""

from typing import Any

import pytest

from edge.plc.blocks import StatusFlags
from edge.standing import Standing
from edge.terms import Mode

WELL: dict[str, Any] = {
    "now_s": 100.0,
    "ledger_s": 99.0,
    "detector_s": 99.0,
    "ledger_fault": None,
    "overdue": False,
    "stopping": False,
    "failed": frozenset(),
}


def standing(recipes: dict[int, Any] | None = None) -> Standing:
    held: dict[int, Any] = {1: object()} if recipes is None else recipes
    made = Standing("s1", (), held, ())
    made.plc_fault = None
    made.told(line_running=True, mode=Mode.AUTO, recipe_wanted=1)
    return made


def test_a_sound_station_is_ready_and_its_heart_beats() -> None:
    station = standing()
    station.judge_health(**WELL)
    assert (station.ready, station.alive, station.error_code, station.fault) == (
        True,
        True,
        0,
        None,
    )


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"ledger_fault": "disk full"}, 2),
        ({"ledger_s": 94.0}, 2),
        ({"detector_s": 94.0}, 3),
        ({"overdue": True}, 4),
    ],
)
def test_a_station_that_cannot_prove_itself_stops_its_heart(
    wrong: dict[str, Any], code: int
) -> None:
    station = standing()
    station.judge_health(**(WELL | wrong))
    assert (station.ready, station.alive, station.error_code) == (False, False, code)


def test_a_recipe_that_failed_its_proof_is_never_ready_but_others_are() -> None:
    station = standing({1: object(), 2: object()})
    station.judge_health(**(WELL | {"failed": frozenset({1})}))
    assert (station.ready, station.alive, station.error_code) == (False, True, 5)
    station.told(line_running=True, mode=Mode.AUTO, recipe_wanted=2)
    station.judge_health(**(WELL | {"failed": frozenset({1})}))
    assert (station.ready, station.error_code) == (True, 0)


def test_a_recipe_this_node_does_not_have_is_job_failed_and_no_part_is_judged() -> None:
    station = standing()
    station.told(line_running=True, mode=Mode.AUTO, recipe_wanted=9)
    station.judge_health(**WELL)
    assert not station.ready
    assert StatusFlags.JOB_FAILED in station.flags()
    assert "no recipe 9" in str(station.fault)


def test_a_station_that_stops_takes_no_part_and_still_beats() -> None:
    station = standing()
    station.judge_health(**(WELL | {"stopping": True}))
    assert (station.ready, station.alive) == (False, True)
    assert StatusFlags.TRIGGER_READY not in station.flags()
