"""Health of a station: who may be told OK, and what the PLC hears: edge.standing."""

from types import SimpleNamespace
from typing import Any

import pytest

from edge.alerts import AlertCode
from edge.plc.blocks import StatusFlags
from edge.standing import Standing
from edge.terms import Code, Mode

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
    made.prepare()
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


@pytest.mark.parametrize(
    ("wrong", "wanted", "word", "about"),
    [
        ({}, 1, None, ""),
        ({"ledger_fault": "disk full"}, 1, "ledger", ""),
        ({"detector_s": 94.0}, 1, "detector", ""),
        ({"overdue": True}, 9, "overdue", ""),  # before what the PLC may put right
        ({}, 9, "recipe", "9"),
        ({}, 2, "change_over", "2"),
    ],
)
def test_screens_hear_what_is_wrong_as_a_word(
    wrong: dict[str, Any], wanted: int, word: str | None, about: str
) -> None:
    held = {n: SimpleNamespace(recipe=SimpleNamespace(name="r"), trust="pinned") for n in (1, 2)}
    station = standing(held)
    assert station.state().fault_word == "starting"
    station.told(line_running=True, mode=Mode.AUTO, recipe_wanted=wanted)
    station.judge_health(**(WELL | wrong))
    told = station.state()
    assert (told.fault_word, told.fault_about) == (word, about)
    assert (told.fault is None) == (word is None)
    station.plc_fault = "b1: no answer"
    station.judge_health(**WELL)
    assert station.state().fault_word == "plc"


def test_a_recipe_that_failed_its_proof_is_never_ready_but_others_are() -> None:
    station = standing({1: object(), 2: object()})
    station.judge_health(**(WELL | {"failed": frozenset({1})}))
    assert (station.ready, station.alive, station.error_code) == (False, True, 5)
    station.told(line_running=True, mode=Mode.AUTO, recipe_wanted=2)
    station.prepare()
    station.judge_health(**(WELL | {"failed": frozenset({1})}))
    assert (station.ready, station.error_code) == (True, 0)


def test_a_recipe_this_node_does_not_have_is_job_failed_and_no_part_is_judged() -> None:
    station = standing()
    station.told(line_running=True, mode=Mode.AUTO, recipe_wanted=9)
    station.judge_health(**WELL)
    assert not station.ready
    failed = StatusFlags.JOB_FAILED | StatusFlags.FAULT
    assert station.flags() & failed == failed
    assert "no recipe 9" in str(station.fault)


def test_a_station_that_stops_takes_no_part_and_still_beats() -> None:
    station = standing()
    station.judge_health(**(WELL | {"stopping": True}))
    assert (station.ready, station.alive) == (False, True)
    assert StatusFlags.TRIGGER_READY not in station.flags()


def test_a_warning_of_a_run_of_bad_parts_stays_until_a_person_resets_it() -> None:
    station = standing()
    for _ in range(5):
        station.settled(Mode.AUTO, Code.NG)
    assert StatusFlags.WARNING in station.flags()
    station.settled(Mode.AUTO, Code.OK)
    assert not station.board.active
    assert StatusFlags.WARNING in station.flags(), "the row of NG parts ended by itself"
    station.reset()
    assert StatusFlags.WARNING not in station.flags()


def test_a_camera_that_comes_back_leaves_no_warning() -> None:
    station = standing()
    station.hold(AlertCode.CAMERA_LOST, True, "cable")
    assert StatusFlags.WARNING in station.flags()
    station.hold(AlertCode.CAMERA_LOST, False, None)
    assert StatusFlags.WARNING not in station.flags()


def test_golden_samples_are_counted_apart_and_raise_no_alarm() -> None:
    station = standing()
    for _ in range(9):
        assert station.settled(Mode.SAMPLE, Code.NG) == []
    assert dict(station.counts) == {"samples": 9}
    assert StatusFlags.WARNING not in station.flags()


def test_a_line_that_stands_by_a_stop_request_is_stopped() -> None:
    loaded = SimpleNamespace(recipe=SimpleNamespace(name="r"), trust="pinned")
    station = standing({1: loaded})
    station.stop_reason = "3 NG parts one after the other, limit 3"
    station.told(line_running=False, mode=Mode.AUTO, recipe_wanted=1)
    station.judge_health(**WELL)
    assert station.state().state == "stopped"
