"""How far and how blurred moving parts are, and that `check` refuses too much of it."""

import json
import urllib.request
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from edge import recipe as recipes
from edge import settings
from edge.__main__ import main
from edge.check import FRAME_S, frame_period_s
from edge.errors import CameraError
from edge.limits import Motion
from edge.motion import Line, problems
from edge.moving import unfit
from edge.mqtt.message import PartRow
from edge.node import Node
from edge.plc.plan import BusPlan
from edge.settings import Bus, Camera, Settings, Station
from edge.terms import TriggerMode
from tests import played_bus
from tests.serial_peers import until
from tests.small_line import SimulatedPlc, draw, rows_of, running, wire

LINE = Line("free_run", 500.0, 0.01, 0.03, 0.04)


@pytest.mark.parametrize(
    ("trigger", "displacement_mm"), [("hardware", 0.0), ("software", 20.0), ("free_run", 40.0)]
)
def test_a_part_moves_on_until_the_exposure(trigger: TriggerMode, displacement_mm: float) -> None:
    line = Line(trigger, 500.0, 0.01, 0.03, 0.04)
    assert line.displacement_mm == pytest.approx(displacement_mm)


def test_a_bus_thread_that_is_kept_waiting_lets_the_part_move_on_unless_the_sensor_fires() -> None:
    assert Line("software", 500.0, 0.01, 0.03, late_s=0.02).displacement_mm == pytest.approx(30.0)
    assert Line("hardware", 500.0, 0.01, 0.03, late_s=0.02).displacement_mm == 0.0


def test_a_part_moves_on_while_it_is_exposed() -> None:
    assert LINE.blur_px(exposure_us=200, mm_per_px=0.1) == pytest.approx(1.0)


def test_what_is_within_the_recipes_limits_is_no_problem() -> None:
    assert problems(LINE, Motion(margin_mm=40.1, blur_px=1.01), 200, 0.1) == []
    assert problems(LINE, Motion(blur_px=1.01), 200, 0.1) == []


def test_what_is_beyond_them_is_told_with_its_figures() -> None:
    assert problems(LINE, Motion(margin_mm=39, blur_px=0.9), 200, 0.1) == [
        "[motion] margin_mm: parts are up to 40.0 mm from their place (500 mm/s x 80 ms), "
        "expected at most 39",
        "[motion] blur_px: 1.00 px at 200 us, expected at most 0.9",
    ]


@pytest.mark.parametrize(("exposure_us", "mm_per_px"), [(None, 0.1), (200.0, None), (None, None)])
def test_a_blur_that_nobody_knows_is_a_problem(
    exposure_us: float | None, mm_per_px: float | None
) -> None:
    found = problems(LINE, Motion(), exposure_us, mm_per_px)
    assert len(found) == (exposure_us is None) + (mm_per_px is None)
    assert all("missing" in problem for problem in found)


@given(st.floats(0.1, 5000), st.floats(1, 1e6), st.floats(0.001, 10), st.floats(0.1, 100))
def test_a_faster_belt_is_never_better(
    speed_mm_s: float, exposure_us: float, mm_per_px: float, margin_mm: float
) -> None:
    limits = Motion(margin_mm=margin_mm)
    slow = problems(Line("software", speed_mm_s, 0.01, 0.03), limits, exposure_us, mm_per_px)
    fast = problems(Line("software", 2 * speed_mm_s, 0.01, 0.03), limits, exposure_us, mm_per_px)
    assert len(fast) >= len(slow)
    assert problems(Line("software", 0.0, 0.01, 0.03), limits, None, None) == []


@pytest.mark.parametrize("units", [1, 3])
@pytest.mark.parametrize("counters_base", [None, 20])
@pytest.mark.parametrize("baudrate", [9600, 115200])
def test_no_station_waits_longer_for_its_turn_than_the_plan_says(
    units: int, counters_base: int | None, baudrate: int
) -> None:
    line = played_bus.line(units, counters_base)
    line.baudrate, line.delay_s = baudrate, 0.01
    asked_s: dict[int, list[float]] = {unit: [] for unit in line.turns}
    for _ in range(400):
        begun_s = line.now_s
        (frame,) = line.run(1)
        if frame.lane == "block":
            asked_s[frame.request.unit].append(begun_s)
    longest_s = max(b - a for at_s in asked_s.values() for a, b in pairwise(at_s))
    planned_s = BusPlan(_bus(baudrate), [_station(counters_base)] * units).poll_s
    assert 0.8 * planned_s < longest_s <= planned_s + 1e-9


def _bus(baudrate: int) -> Bus:
    return replace(Bus(name="b", port="p"), baudrate=baudrate)


def _station(counters_base: int | None) -> Station:
    return Station(
        name="s", bus="b", trigger="software", cameras=("c",), counters_base=counters_base
    )


MOVING = """
[motion]
margin_mm = {margin}
"""


def checked(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    speed: str,
    margin: str = "100",
    exposure: str = "exposure_us = 100\n",
    own: str = "",
) -> list[str]:
    """What `check` says about motion; `exposure` of the recipe, `own` of edge.toml."""
    wire(tmp_path, [False] * 3)
    edge, recipe = tmp_path / "edge.toml", tmp_path / "squares.toml"
    text = edge.read_text(encoding="utf-8").replace("speed_mm_s = 0\n", speed)
    more = "mm_per_px = 0.1\n" + (f"exposure_us = {own}\n" if own else "")
    text = text.replace('source = "pictures"\n', f'source = "pictures"\n{more}')
    edge.write_text(text, encoding="utf-8")
    moving = MOVING.format(margin=margin)
    view = 'camera = "c1"\n'
    product = recipe.read_text(encoding="utf-8").replace(view, view + exposure)
    recipe.write_text(product + moving, encoding="utf-8")
    assert main(["check", "--unsigned", "--config", str(edge)]) == 1  # there is no PLC
    told = capsys.readouterr().out.split("motion s1 c1: ")[1]
    return told.split("\n")


def test_check_prints_displacement_and_blur(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = checked(tmp_path, capsys, "speed_mm_s = 500\n")[0]
    assert told == "22.3 mm from its place at the most; squares 0.50 px blur"


def test_check_refuses_more_than_the_recipes_margin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = checked(tmp_path, capsys, "speed_mm_s = 500\n", margin="10")
    assert "squares: [motion] margin_mm: parts are up to 22.3 mm from their place" in told[1]


def test_an_exposure_that_no_recipe_can_set_stands_in_edge_toml(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = checked(tmp_path, capsys, "speed_mm_s = 500\n", exposure="")
    assert "[[view]] exposure_us: missing" in told[1]
    told = checked(tmp_path / "again", capsys, "speed_mm_s = 500\n", exposure="", own="200")
    assert told[0] == "22.3 mm from its place at the most; squares 1.00 px blur"


def test_check_is_not_content_until_somebody_says_how_fast_parts_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "speed_mm_s: missing" in checked(tmp_path, capsys, "")[1]


def test_the_frame_period_of_a_camera_that_runs_freely_is_measured(tmp_path: Path) -> None:
    entry = Camera(name="c1", kind="folder", source=str(tmp_path / "pictures"))
    draw(tmp_path / "pictures", [False] * 2)
    assert 0 < frame_period_s(entry) < FRAME_S
    one = replace(entry, source=str(tmp_path / "one"))
    draw(tmp_path / "one", [False])
    with pytest.raises(CameraError, match="no second picture"):
        frame_period_s(one, within_s=0.2)


def wired(tmp_path: Path, speed: str, margin: str, exposure: str) -> Settings:
    """One station with a folder of pictures, its parts and its recipe as said."""
    wire(tmp_path, [False] * 3)
    edge, recipe = tmp_path / "edge.toml", tmp_path / "squares.toml"
    text = edge.read_text(encoding="utf-8").replace("speed_mm_s = 0\n", speed)
    optics = 'source = "pictures"\nmm_per_px = 0.1\n' + exposure
    edge.write_text(text.replace('source = "pictures"\n', optics), encoding="utf-8")
    moving = MOVING.format(margin=margin) if margin else ""
    recipe.write_text(recipe.read_text(encoding="utf-8") + moving, encoding="utf-8")
    return settings.read(edge)


@pytest.mark.parametrize(
    ("speed", "margin", "exposure", "told"),
    [
        ("speed_mm_s = 500\n", "100", "exposure_us = 100\n", None),
        ("speed_mm_s = 0\n", "0.1", "", None),
        ("", "", "", None),
        ("speed_mm_s = 500\n", "10", "exposure_us = 100\n", "parts are up to 22.3 mm from"),
        ("speed_mm_s = 500\n", "", "exposure_us = 300\n", "c1: [motion] blur_px: 1.50 px"),
        ("speed_mm_s = 500\n", "", "", "[[view]] exposure_us: missing"),
        ("", "10", "exposure_us = 100\n", "speed_mm_s: missing, [motion] margin_mm needs it"),
    ],
)
def test_a_station_is_unfit_for_a_recipe_whose_parts_move_too_far(
    tmp_path: Path, speed: str, margin: str, exposure: str, told: str | None
) -> None:
    wiring = wired(tmp_path, speed, margin, exposure)
    found = unfit(wiring.station[0], wiring, {1: recipes.read(tmp_path / "squares.toml")})
    if told is None:
        assert found == {}
    else:
        assert found[1].startswith("recipe 1: [station s1] ")
        assert told in found[1]


def test_a_node_is_not_ready_for_a_recipe_whose_parts_move_too_far(tmp_path: Path) -> None:
    wiring = wired(tmp_path, "speed_mm_s = 500\n", "10", "exposure_us = 100\n")
    plc = SimulatedPlc(tmp_path, parts=2, rate=2)  # its first part waits for TriggerReady
    node = Node(wiring, unsigned=True)
    with running(node):
        until(lambda: "margin_mm" in str(node.unready("s1")), within_s=30)
        assert str(node.unready("s1")).startswith(
            "recipe 1: [station s1] c1: [motion] margin_mm: parts are up to"
        )
        until(lambda: station_of(node)["state"] == "error", within_s=30)
        assert station_of(node)["fault"] == {"word": "recipe", "about": "1"}
    plc.process.kill()
    plc.process.wait(10)
    assert [row for row in rows_of(tmp_path) if isinstance(row, PartRow)] == []


def station_of(node: Node) -> dict[str, object]:
    """The first station as its page tells it."""
    with urllib.request.urlopen(f"{node.page_url}state.json", timeout=5) as answer:
        found: dict[str, object] = json.load(answer)["stations"][0]
    return found
