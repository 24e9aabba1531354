"""The loop on one node, with a real ledger and a PLC on a real serial line: edge.inspector."""

import os
from pathlib import Path

import pytest

from edge import settings
from edge.mqtt.message import AlertRow, CounterRow, EpochRow, MissedRow, PartRow
from edge.node import Node
from edge.terms import Code, Reason
from tests.small_line import NodeProcess, SimulatedPlc, add_station, rows_of, running, wire


def parts_in(rows: list[object]) -> list[PartRow]:
    return [row for row in rows if isinstance(row, PartRow)]


def test_every_part_ends_as_one_closed_row_and_the_plc_has_the_same_verdict(
    tmp_path: Path,
) -> None:
    spots: list[bool | None] = [number % 3 == 0 for number in range(24)]
    spots[7] = None  # a picture that cannot be read is one undecided part and never a traceback
    wiring = wire(tmp_path, spots)
    for number in (7, 8):  # a name that is not UTF-8 can stand in no row as it is
        odd = os.fsencode(tmp_path) + b"/pictures/%04d.png" % number
        os.rename(odd, odd.replace(b".png", b"\xff.png"))  # noqa: PTH104
    node = Node(wiring, unsigned=True)
    plc = SimulatedPlc(tmp_path, parts=len(spots), rate=4)
    with running(node):
        summary = plc.summary()
    rows = rows_of(tmp_path)
    parts = parts_in(list(rows))
    codes = {True: Code.NG, False: Code.OK, None: Code.UNDECIDED}
    assert [part.code for part in parts] == [codes[spot] for spot in spots]
    assert parts[7].reason is Reason.BAD_IMAGE
    sources = [Path(part.views[0].source or "").name for part in parts]
    assert sources[6:9] == ["0006.png", "0007?.png", "0008?.png"]
    assert [part.number for part in parts] == list(range(parts[0].number, parts[0].number + 24))
    assert all(part.trust == "unsigned" and part.latency_ms is not None for part in parts)
    kept = {path.stem for path in (tmp_path / "data" / "pictures").rglob("*.jpg")}
    named = [part.views[0] for part in parts if part.code is Code.NG]
    assert all({one.picture, one.thumbnail} <= kept for one in named)
    last = [row for row in rows if isinstance(row, CounterRow)][-1]
    epoch = next(row for row in rows if isinstance(row, EpochRow))
    assert (last.counter - epoch.base, last.open) == (24, 0)
    at_the_gate = summary["plc_counters"]
    assert (last.good, last.rejected) == (at_the_gate["good"], at_the_gate["rejected"])
    assert summary["triggers"] == 24
    assert (summary["ok"], summary["ng"], summary["undecided"]) == (15, 8, 1)
    assert summary["good_bin_without_ok"] == 0


def test_without_a_model_every_part_is_missed_and_none_is_passed(tmp_path: Path) -> None:
    wiring = wire(tmp_path, [False] * 4)
    (tmp_path / "tiny.onnx").write_bytes(b"no model")
    with running(Node(wiring, unsigned=True)):
        summary = SimulatedPlc(tmp_path, parts=4, rate=2, when_ready=False).summary()
    rows = rows_of(tmp_path)
    epoch = next(row for row in rows if isinstance(row, EpochRow))
    last = [row for row in rows if isinstance(row, CounterRow)][-1]
    missed = sum(row.last - row.first + 1 for row in rows if isinstance(row, MissedRow))
    assert missed == last.counter - epoch.base > 0
    assert parts_in(list(rows)) == []
    assert (summary["ok"], summary["good_bin_without_ok"]) == (0, 0)


def test_a_pinned_recipe_that_was_changed_does_not_run(tmp_path: Path) -> None:
    wire(tmp_path, [False])
    text = (tmp_path / "edge.toml").read_text(encoding="utf-8")
    pinned = text.replace("number = 1\n", f'number = 1\nsha256 = "{"0" * 64}"\n')
    (tmp_path / "edge.toml").write_text(pinned, encoding="utf-8")
    node = Node(settings.read(tmp_path / "edge.toml"))
    try:
        assert "expected " + "0" * 64 in node.recipe_faults[0]
    finally:
        node.close()


@pytest.mark.faults
def test_parts_in_the_hand_of_a_killed_node_are_accounted_for_at_its_next_start(
    tmp_path: Path,
) -> None:
    wiring = wire(tmp_path, [False] * 28)
    plc = SimulatedPlc(tmp_path, parts=28, rate=4)
    first = NodeProcess(tmp_path)
    first.wait_for_rows(6)
    first.kill()
    with running(Node(wiring, unsigned=True)):
        summary = plc.summary()
    rows = rows_of(tmp_path)
    epoch = next(row for row in rows if isinstance(row, EpochRow))
    last = [row for row in rows if isinstance(row, CounterRow)][-1]
    settled = [part.number for part in parts_in(list(rows))]
    for row in rows:
        if isinstance(row, MissedRow):
            settled += range(row.first, row.last + 1)
    assert sorted(settled) == list(range(epoch.base + 1, last.counter + 1))
    assert last.open == 0
    assert summary["triggers"] == 28
    assert summary["good_bin_without_ok"] == 0


def test_two_stations_on_one_node_keep_their_parts_apart(tmp_path: Path) -> None:
    wire(tmp_path, [True, False] * 6)
    wiring = add_station(tmp_path, [False, False, True] * 4)
    with running(Node(wiring, unsigned=True)):
        first = SimulatedPlc(tmp_path, parts=12, rate=3)
        second = SimulatedPlc(tmp_path, parts=12, rate=3, name="plc2")
        summaries = first.summary(), second.summary()
    rows = rows_of(tmp_path)
    codes = {
        name: [part.code for part in parts_in(list(rows)) if part.station == name]
        for name in ("s1", "s2")
    }
    assert codes["s1"] == [Code.NG, Code.OK] * 6
    assert codes["s2"] == [Code.OK, Code.OK, Code.NG] * 4
    assert [(summary["ok"], summary["ng"]) for summary in summaries] == [(6, 6), (8, 4)]


def test_pictures_that_cannot_be_judged_do_not_make_a_sound_station_unready(
    tmp_path: Path,
) -> None:
    spots = [None] * 12
    node = Node(wire(tmp_path, spots), unsigned=True)
    plc = SimulatedPlc(tmp_path, parts=len(spots), rate=2)  # over the 5 s of a proof
    with running(node):
        plc.summary()
    parts = parts_in(list(rows_of(tmp_path)))
    assert [part.reason for part in parts] == [Reason.BAD_IMAGE] * len(spots)


def test_too_many_bad_parts_stop_the_line_until_somebody_resets_the_plc(tmp_path: Path) -> None:
    spots = [True] * 8 + [False] * 8
    wiring = wire(tmp_path, spots)
    recipe = tmp_path / "squares.toml"
    rules = "[stop]\nconsecutive_ng = 3\n\n[[class]]"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("[[class]]", rules, 1), "utf-8")
    presses = [f"{second}:reset" for second in range(4, 60, 4)]  # one of them finds it stopped
    plc = SimulatedPlc(tmp_path, parts=len(spots), rate=4, at=presses)
    with running(Node(wiring, unsigned=True)):
        summary = plc.summary()
    told = [row for row in rows_of(tmp_path) if isinstance(row, AlertRow)]
    stops = [(row.active, row.detail) for row in told if row.code == "stop_request"]
    why = "3 NG parts one after the other, limit 3"
    assert stops[:2] == [(True, why), (False, why)]
    assert len(stops) % 2 == 0
    assert (summary["triggers"], summary["ng"], summary["ok"]) == (16, 8, 8)
