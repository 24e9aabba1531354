"""What a board says and draws, from rows: hub.web.board, hub.web.draw, hub.web.bureau."""

import string
from datetime import datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edge.mqtt.message import FaultWord, Mark, StationState, View
from edge.terms import Code, Mode
from hub.web import board, draw
from hub.web.bureau import safe
from hub.web.words import LANGUAGES, WORDS, sayer

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)
few = st.integers(0, 50)


def station(state: Any = "running", mode: Mode = Mode.AUTO, trust: Any = "pinned") -> StationState:
    return StationState(
        station="s", state=state, mode=mode, epoch=1, triggers=0, recipe="r", trust=trust
    )


def node(*stations: StationState, online: bool = True) -> board.NodeNow:
    return board.NodeNow("n", online, 0, NOW, stations)


@pytest.mark.parametrize(
    ("nodes", "word", "look"),
    [
        ([node(station())], "running", "running"),
        ([node(station("ready"))], "ready", "ready"),
        ([node(station(), station("error"))], "error", "alarm"),
        ([node(station("error", Mode.BYPASS))], "bypass", "alarm"),
        ([node(station(mode=Mode.BYPASS), online=False)], "offline", "alarm"),
        ([node(station()), node(station(), online=False)], "offline", "alarm"),
        ([node(station(mode=Mode.MONITOR))], "running", "monitor"),
        ([node(station("stopped"), station())], "stopped", "stopped"),
        ([board.NodeNow("n", False, 0, None, ())], "silent", "silent"),
        ([], "silent", "silent"),
    ],
)
def test_the_lines_word_is_the_one_that_a_person_must_act_on(
    nodes: list[board.NodeNow], word: str, look: str
) -> None:
    told = board.state_of(nodes)
    assert (told.word, told.look) == (word, look)
    assert f"state.{told.word}" in WORDS


@pytest.mark.parametrize("word", get_args(FaultWord))
def test_every_fault_of_a_station_is_said_in_both_languages(word: FaultWord) -> None:
    faulty = replace(station("error"), fault="c1: gone", fault_word=word, fault_about="c1")
    assert board.state_of([node(faulty, faulty)]).faults == (board.Fault(word, "c1"),)
    assert f"fault.{word}" in WORDS


def test_a_fault_of_an_older_node_is_said_as_it_came() -> None:
    faulty = replace(station("error"), fault="c1: gone")
    assert board.state_of([node(faulty)]).faults == (board.Fault("c1: gone", ""),)


def law(**columns: Any) -> dict[str, Any]:
    """A row of `law`: 100 triggers, 98 settled at the sample, 2 in flight."""
    row: dict[str, Any] = {
        "station": "s",
        "epoch": 1,
        "counted_by": "plc",
        "base": 1000,
        "counter": 1100,
        "settled": 98,
        "open": 2,
        "ok": 90,
        "ng": 5,
        "undecided": 1,
        "missed": 1,
        "bypassed": 1,
        "quarantined": 0,
        "elsewhere": 0,
        "moved_at": NOW - timedelta(hours=1),
        "passed": 91,
        "good": None,
    }
    sensors = dict.fromkeys(
        ("first_good", "first_counter", "first_settled", "first_passed", "first_reject_confirmed")
    )
    return {**row, **sensors, "reject_confirmed": None, **columns}


def total(terms: tuple[board.Term, ...]) -> tuple[int, int]:
    """Left and right side of a written sum."""
    values = [value or 0 for _, _, value in terms]
    return values[0], sum(values[1:])


@given(few, few, st.integers(-3, 3))
def test_the_sum_on_the_screen_is_off_by_exactly_the_residue(
    closed_since: int, in_flight: int, residue: int
) -> None:
    row = law(settled=100 - in_flight - residue, open=in_flight)
    row["ok"] = row["settled"] - 8 + closed_since
    shown = board.law_of(row, NOW, 30.0)
    left, right = total(shown.terms)
    assert left - right == residue == shown.residue
    assert all((value or 0) >= 0 for _, _, value in shown.terms)


def test_a_balanced_law_is_green_and_an_unbalanced_one_red() -> None:
    assert board.law_of(law(), NOW, 30.0).look == "good"
    wrong = board.law_of(law(open=1), NOW, 30.0)
    assert (wrong.look, wrong.word, wrong.residue) == ("bad", "unbalanced", 1)


def test_a_station_without_a_plc_counter_never_says_balanced() -> None:
    told = board.law_of(law(counted_by="self"), NOW, 30.0)
    assert (told.look, sayer("zh")(f"law.{told.word}")) == ("none", "自计数，无独立核对")


def test_without_reject_sensors_the_screen_says_so() -> None:
    told = board.law_of(law(), NOW, 30.0)
    assert sayer("zh")(f"law.{told.second_word}") == "剔除未确认"
    assert told.second_terms == ()


def test_rates_without_parts_are_unknown_and_not_zero() -> None:
    assert board.counts_of([]).ng_rate is None


@given(st.lists(st.none() | st.floats(0, 1e6), max_size=70))
def test_a_sparkline_stays_in_its_box(values: list[float | None]) -> None:
    drawn = draw.sparkline(values)
    numbers = [float(n) for n in drawn.line.replace("M", " ").replace("L", " ").split()]
    assert all(-0.1 <= y <= drawn.height + 0.1 for y in numbers[1::2])
    assert all(-0.1 <= x <= drawn.width + 10 * drawn.width for x in numbers[::2])


@given(st.lists(st.tuples(st.text(max_size=5), st.integers(1, 10**6)), min_size=1, max_size=20))
def test_a_pareto_counts_everything_once_and_ends_at_the_whole(
    counts: list[tuple[str, int]],
) -> None:
    drawn = draw.pareto(counts, "other", most=5)
    assert sum(bar.count for bar in drawn.bars) == drawn.total == sum(n for _, n in counts)
    assert drawn.bars[-1].cumulative == pytest.approx(1.0)
    assert len(drawn.bars) <= 6


edges = st.integers(-(2**31), 2**31 - 1)


@given(st.tuples(edges, edges, edges, edges), st.integers(1, 8000), st.integers(1, 8000))
def test_a_box_is_drawn_inside_its_picture_whatever_a_node_sends(
    box: tuple[int, int, int, int], width: int, height: int
) -> None:
    mark = Mark(label="x", score=5000, box=box)
    view = View(camera="c", code=Code.NG, width=width, height=height, marks=(mark,))
    drawn = draw.boxes(view)[0]
    assert drawn.x >= 0
    assert drawn.y >= 0
    assert drawn.x + drawn.width <= width + 1
    assert drawn.y + drawn.height <= height + 1
    assert drawn.width >= 1
    assert drawn.height >= 1
    close = draw.close_up(view, "x")
    if close is not None:
        left, top, side = close
        assert left >= -0.1
        assert top >= -0.1
        assert left + side <= width + 0.2
        assert top + side <= height + 0.2


@given(st.text(max_size=20))
def test_a_cell_of_the_report_never_starts_a_formula(text: str) -> None:
    cell = str(safe(text))
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell.endswith(text)


def test_every_word_takes_the_same_values_in_both_languages() -> None:
    for key, both in WORDS.items():
        fields = [
            {name for _, name, _, _ in string.Formatter().parse(text) if name} for text in both
        ]
        assert fields[0] == fields[1], key
    assert len(LANGUAGES) == 2
