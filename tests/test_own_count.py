"""Stations without a PLC: own numbers, by a part finder or by the clock: edge.own_count, finder."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import settings
from edge.commissioning.line import Line
from edge.errors import CommissioningError, SettingsError
from edge.finder import PartFinder
from edge.mqtt.message import AnyRow, CounterRow, EpochRow, MissedRow, PartRow
from edge.node import Node
from edge.own_count import Count, OwnCount
from edge.plc.blocks import StatusFlags
from edge.plc.handshake import Expired, Missed, Sampled, Taken, Triggered
from edge.register_map import as_csv, as_markdown
from edge.station import _station
from edge.terms import Cause, Code, Mode
from edge.vision.shared_memory import SharedMemoryWriter
from hub import metrics
from hub.intake import Good
from hub.tally import Tally
from tests.serial_peers import until
from tests.small_line import EDGE, rows_of, running, wire

Image = npt.NDArray[np.uint8]
SIDE = 64


def belt(place: int | None = None, size: int = 24, spot: bool = False) -> Image:
    """The belt, dark, with a gray part whose left end is at `place`; None = empty."""
    image = np.full((SIDE, SIDE), 40, np.uint8)
    if place is not None:
        image[20 : 20 + size, max(0, place) : max(0, place + size)] = 110
        if spot:
            image[24:32, place : place + 8] = 255
    return image


def passing(step: int) -> list[Image]:
    """One part from before the picture to behind it."""
    return [belt(place) for place in range(-24, SIDE + step, step)]


# -- the finder ------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 7, 15])
def test_a_part_is_found_once_and_wholly_inside(step: int) -> None:
    finder = PartFinder(0.05)
    found = [
        image for _ in range(3) for image in [belt(), *passing(step), belt()] if finder.feed(image)
    ]
    assert len(found) == 3
    for image in found:
        assert (image[:, [0, -1]] == 40).all()


def test_a_part_that_stands_is_found_once() -> None:
    finder = PartFinder(0.05)
    finder.feed(belt())
    assert [finder.feed(belt(20)) for _ in range(50)].count(True) == 1


def test_a_speck_is_no_part_and_a_lamp_that_ages_is_none_either() -> None:
    finder = PartFinder(0.05)
    finder.feed(belt())
    for shade in range(40):
        image = belt() + np.uint8(shade)  # 40 grey levels in the end
        image[30:32, 30:32] = 255
        assert not any(finder.feed(image) for _ in range(25))
    assert not any(finder.feed(belt(place, size=12) + np.uint8(39)) for place in range(0, SIDE, 4))
    finder.feed(belt() + np.uint8(39))
    assert finder.feed(belt(20) + np.uint8(39))


def test_a_part_larger_than_the_picture_is_never_found() -> None:
    finder = PartFinder(0.05)
    finder.feed(belt())
    assert not any(finder.feed(belt(place, size=70)) for place in range(-70, SIDE, 5))


@given(st.lists(st.integers(0, 255), min_size=1, max_size=30), st.booleans())
def test_no_pictures_raise(shades: list[int], colour: bool) -> None:
    finder = PartFinder(0.05)
    for n, shade in enumerate(shades):
        shape = (8 + 5 * n, 8 + n, 3) if colour else (8 + 5 * n, 8 + n)
        finder.feed(np.full(shape, shade, np.uint8))


# -- the count -------------------------------------------------------------------------------


def station(**changes: Any) -> settings.Station:
    given: dict[str, Any] = {"name": "s", "trigger": "camera", "cameras": ("c",), "recipe": 1}
    return settings.Station(**{**given, **changes})


def test_every_number_becomes_exactly_one_observation() -> None:
    count = Count(station(deadline_ms=400), epoch=3)
    count.begin()
    assert count.found(10.0) == [Missed(3, 1, 1, Cause.NOT_READY)]
    count.ready = True
    (triggered,) = count.found(11.0)
    assert isinstance(triggered, Triggered)
    assert (triggered.trigger.mode, triggered.deadline_s) == (Mode.MONITOR, 11.4)
    assert count.judged(3, 2, Code.NG, 11.3) == [Taken(3, 2, Code.NG, 11.3)]
    assert count.judged(3, 2, Code.OK, 11.3) == []
    count.found(12.0)
    assert count.judged(2, 3, Code.OK, 12.1) == []  # of another epoch
    assert count.judged(3, 3, Code.OK, 12.5) == []  # too late
    assert count.tick(12.5) == [Expired(3, 3, False), Sampled(3, 3)]
    assert count.tick(12.6) == []


def test_the_clock_cuts_pieces_of_one_length_however_late_it_is_looked_at() -> None:
    nobody: Any = None  # no camera is asked when to cut
    count = OwnCount(station(trigger="interval", interval_ms=20, deadline_ms=20), 0, nobody)
    count.status(StatusFlags.TRIGGER_READY)
    edges_s: list[float] = []
    count.start()
    try:
        while len(edges_s) < 10:
            seen = count.observations.get(timeout=10)
            if isinstance(seen, Triggered):
                edges_s.append(seen.trigger.edge_s)
    finally:
        count.close()
    assert np.diff(edges_s) == pytest.approx(0.02, abs=1e-6)


def test_a_fault_of_ours_is_logged_and_parts_are_counted_after_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge.own_count.STUMBLE_S", 0.01)
    nobody: Any = None
    count = OwnCount(station(trigger="interval", interval_ms=20, deadline_ms=20), 0, nobody)
    interval = count._interval

    def stumble(due_s: float) -> float | None:
        count._interval = interval  # type: ignore[method-assign]
        raise RuntimeError(f"a fault of ours at {due_s}")

    count._interval = stumble  # type: ignore[method-assign]
    assert not count.running
    count.start()
    try:
        while not isinstance(count.observations.get(timeout=10), Missed):
            assert count.running
    finally:
        count.close()
    assert "s count: stumbled" in caplog.text
    assert not count.running


# -- a node ----------------------------------------------------------------------------------


def rewired(folder: Path, station: str, camera: str = "") -> settings.Settings:
    """`wire` with a station that has no PLC."""
    wire(folder, [False, True, False, True, False, False] * 4)
    head = EDGE.partition("[[bus]]")[0] + "[[camera]]" + EDGE.partition("[[camera]]")[2]
    text = head.partition("[[station]]")[0] + station
    if camera:
        text = text.replace('kind = "folder"\nsource = "pictures"', camera)
    (folder / "edge.toml").write_text(text, encoding="utf-8")
    return settings.read(folder / "edge.toml")


CAMERA = """[[station]]
name = "s1"
trigger = "camera"
recipe = 1
cameras = ["c1"]
deadline_ms = 3000
speed_mm_s = 0
"""
INTERVAL = CAMERA.replace('"camera"', '"interval"') + "interval_ms = 200\n"


def of(rows: list[AnyRow], kind: type[Any]) -> list[Any]:
    return [row for row in rows if isinstance(row, kind)]


def law(rows: list[AnyRow]) -> metrics.FirstLaw:
    """The first law of the newest epoch, as the hub judges it."""
    tally = Tally({})
    for seq, row in enumerate(rows, 1):
        tally.add(Good(seq, "", b"", row, row.at_ms))
    newest = max(tally.laws)
    found = tally.laws[newest]
    return metrics.first_law({name: getattr(found, name) for name in found.__slots__})


def test_parts_that_a_camera_finds_are_judged_and_self_counted(tmp_path: Path) -> None:
    ring = tmp_path / "ring"
    wiring = rewired(tmp_path, CAMERA, f'kind = "shared_memory"\nsource = "{ring}"')
    writer = SharedMemoryWriter(ring, SIDE, SIDE, 1)
    pause = threading.Event()
    spots = [False, True, False]

    def show(image: Image) -> None:
        writer.write(image, time.monotonic())
        pause.wait(0.03)

    node = Node(wiring, unsigned=True)
    told: dict[str, Any] = {}
    try:
        with running(node):
            standing = node._inspectors[0].standing
            shade = 0

            def ready() -> bool:
                nonlocal shade
                shade = 1 - shade
                show(belt() + np.uint8(shade))
                return standing.ready

            until(ready, 30)
            for spot in spots:
                for place in range(-24, SIDE + 8, 8):
                    show(belt(place, spot=spot and 0 <= place <= 56))
                for n in range(3):
                    show(belt() + np.uint8(n % 2))
            until(lambda: sum(standing.counts.values()) >= 3, 10)
            told = _station(standing)
    finally:
        writer.close()
    rows = rows_of(tmp_path)
    (epoch,) = of(rows, EpochRow)
    assert (epoch.counted_by, epoch.cause, epoch.base) == ("self", "self_counted", 0)
    parts = of(rows, PartRow)
    assert [(row.number, row.code, row.mode) for row in parts] == [
        (number, Code.NG if spot else Code.OK, Mode.MONITOR) for number, spot in enumerate(spots, 1)
    ]
    assert law(rows).state == "self_counted"
    assert (told["counted_by"], told["mode"]) == ("self", "monitor")


def test_pieces_that_the_clock_cuts_are_judged_and_a_new_run_is_a_new_epoch(
    tmp_path: Path,
) -> None:
    wiring = rewired(tmp_path, INTERVAL)
    for _ in range(2):
        node = Node(wiring, unsigned=True)
        with running(node):
            standing = node._inspectors[0].standing
            until(lambda seen=standing: seen.counts["ok"] >= 3, 30)  # type: ignore[misc]
    rows = rows_of(tmp_path)
    assert [(row.epoch, row.counted_by) for row in of(rows, EpochRow)] == [(1, "self"), (2, "self")]
    for epoch in (1, 2):
        settled = [row.number for row in of(rows, PartRow) if row.epoch == epoch]
        for row in of(rows, MissedRow):
            settled += range(row.first, row.last + 1) if row.epoch == epoch else ()
        last = [row for row in of(rows, CounterRow) if row.epoch == epoch][-1]
        assert sorted(settled) == list(range(1, len(settled) + 1))
        assert last.counter <= len(settled)  # sampled once a second, as a PLC's is
    assert law(rows).state == "self_counted"


@pytest.mark.parametrize(
    ("station", "told"),
    [
        (CAMERA + 'bus = "b1"\n', "counts for itself and has no PLC; expected no bus"),
        (CAMERA.replace("recipe = 1", "recipe = 7"), "recipe: got 7; expected the number of a"),
        (CAMERA.replace("recipe = 1\n", ""), "recipe: got None; expected the number of a"),
        (INTERVAL.replace("interval_ms = 200\n", ""), "interval_ms: missing; expected the time"),
        (
            CAMERA.replace('"camera"', '"hardware"'),
            "bus: missing; expected a [[bus]], or an `io` that counts the parts",
        ),
    ],
)
def test_a_station_without_a_plc_is_told_what_it_lacks(
    tmp_path: Path, station: str, told: str
) -> None:
    with pytest.raises(SettingsError) as wrong:
        rewired(tmp_path, station)
    assert any(told in problem for problem in wrong.value.problems)


def test_where_there_is_no_plc_there_are_no_registers_and_no_points_to_try(tmp_path: Path) -> None:
    wiring = rewired(tmp_path, INTERVAL)
    assert "## 工位 s1\n\n没有总线" in as_markdown(wiring)
    assert as_csv(wiring).count("\n") == 1
    with pytest.raises(CommissioningError, match="工位 s1 没有总线"):
        Line(wiring, wiring.station[0])
