"""`check --measure` and the timetable that `check` prints from it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from edge import measure, measured, settings
from edge.__main__ import main
from edge.bus_check import plan_of
from edge.errors import EdgeError, LedgerError
from edge.outbox import Outbox
from tests.serial_peers import until
from tests.small_line import SimulatedPlc, add_station, wire
from tests.test_line_data import TAGS


def checked(
    folder: Path, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, str, str]:
    """What `check` says of a line without a PLC: exit code, stdout, stderr."""
    code = main(["check", "--unsigned", "--config", str(folder / "edge.toml"), *options])
    told = capsys.readouterr()
    return code, told.out, told.err


def station_with(folder: Path, *keys: str) -> None:
    path = folder / "edge.toml"
    text = path.read_text(encoding="utf-8").replace("speed_mm_s = 0\n", "")
    path.write_text(text + "\n".join(keys) + "\n", encoding="utf-8")


def test_what_was_measured_is_kept_and_believed_while_nothing_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wiring = wire(tmp_path, [False] * 3)
    _, out, _ = checked(tmp_path, capsys, "--measure", "--seconds", "1")
    assert "OK     measure: " in out
    assert "with pictures being written" in out
    assert "not measured" not in out
    kept = json.loads((tmp_path / "data" / "timetable.json").read_text(encoding="utf-8"))
    own = kept["stations"]["s1"]
    assert own["parts"] >= 1
    assert 0 < own["inference_median_ms"] <= own["inference_ms"]
    assert 0 < own["commit_median_ms"] <= own["commit_ms"]
    assert own["mean_ms"] < own["inference_ms"] + own["commit_ms"]
    assert f"s1, inference                        {own['inference_ms']:7.1f} ms longest of " in out
    assert f"c1, exposure to arrival              {kept['frames_ms']['c1']:7.1f} ms at" in out
    late = f"b1, late thread of the bus           {kept['late_ms']['b1']:7.1f} ms"
    assert f"{late} at the longest" in out
    assert list((tmp_path / "data").glob(".measure-*")) == []

    _, again, _ = checked(tmp_path, capsys)
    step = f"inference, longest of {own['parts']}"
    assert f"{step:36} {own['inference_ms']:7.1f} ms" in again
    assert measured.read(wiring) is not None
    threads = replace(wiring.runtime, threads=7)
    assert measured.read(replace(wiring, runtime=threads)) is None
    by_net = (replace(wiring.bus[0], port=None, host="192.0.2.1", protocol="modbus_tcp"),)
    assert measured.read(replace(wiring, bus=by_net)) is None
    (tmp_path / "squares.toml").write_text("name = 'other'\n", encoding="utf-8")
    assert measured.read(wiring) is None


def test_without_a_measurement_the_table_says_how_to_get_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wire(tmp_path, [False])
    _, out, _ = checked(tmp_path, capsys)
    lines = [line for line in out.splitlines() if "not measured" in line]
    assert [line.split("  ")[3].strip() or line for line in lines]
    assert len(lines) == 4
    assert all("quanjian-edge check --measure" in line for line in lines)


def test_a_gate_that_is_too_near_is_refused_with_the_table_and_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wire(tmp_path, [False])
    station_with(tmp_path, "speed_mm_s = 1000", "gate_mm = 135", "valve_ms = 30")
    code, out, _ = checked(tmp_path, capsys)
    told = out[out.index("FAULT  timetable s1") :]
    assert code == 1
    assert told.startswith(
        "FAULT  timetable s1: [station s1]: 1 problem(s)\n"
        "  gate_mm: a part is at the gate 135 ms after the sensor edge"
    )
    assert "verdict by FC16, behind a poll" in told
    assert "TOO LATE BY " in told
    assert "discrete I/O" in told


def test_what_a_frame_lost_on_the_line_costs_is_told_and_is_no_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wire(tmp_path, [False])
    station_with(tmp_path, "max_rate_per_s = 3")
    _, out, _ = checked(tmp_path, capsys)
    assert "OK     timetable s1" in out
    told = next(line for line in out.splitlines() if "a frame lost on the line costs" in line)
    assert told.strip().startswith("WARN")
    assert "reply_timeout_s: 0.15; expected at most 0.1" in told


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (("speed_mm_s = 0",), "parts stand: there is no travel to compare with"),
        (("speed_mm_s = 500",), "gate_mm is not given: not compared with the travel to the gate"),
        (("gate_mm = 500",), "speed_mm_s is not given: not compared with the travel to the gate"),
        (("speed_mm_s = 100", "gate_mm = 500"), " ms before the part is there; 4 of 9 steps not"),
    ],
)
def test_check_says_what_the_way_is_compared_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: tuple[str, ...], told: str
) -> None:
    wire(tmp_path, [False])
    station_with(tmp_path, *keys)
    _, out, _ = checked(tmp_path, capsys)
    (line,) = [line for line in out.splitlines() if line.startswith("OK     timetable s1: ")]
    assert told in line


def test_a_takt_the_bus_cannot_carry_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wire(tmp_path, [False])
    station_with(tmp_path, "max_rate_per_s = 100")
    _, out, _ = checked(tmp_path, capsys)
    assert "FAULT  takt b1" in out
    assert "two polls and a result take" in out


def test_check_reads_every_tag_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wire(tmp_path, [False])
    with (tmp_path / "edge.toml").open("a", encoding="utf-8") as file:
        file.write(TAGS)
    plc = SimulatedPlc(tmp_path, parts=1, rate=1)
    until((tmp_path / "plc").exists, within_s=30)
    _, out, _ = checked(tmp_path, capsys)
    plc.process.kill()
    plc.process.wait(10)
    assert "OK     tags meter: unit 2 on " in out
    assert " kW" in out[out.index("tags meter") :]
    assert "OK     tags s1: unit 1 on " in out
    assert "why 0" in out
    wiring = settings.read(tmp_path / "edge.toml")
    probe_ms = 1000 * plan_of(wiring, wiring.bus[0]).probe_s
    assert probe_ms > 2000 * wiring.bus[0].reply_timeout_s
    assert f"a silent slave may delay the first part after a pause by {probe_ms:.0f} ms" in out


def test_check_names_every_tag_that_is_refused_and_reads_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wire(tmp_path, [False])
    with (tmp_path / "edge.toml").open("a", encoding="utf-8") as file:
        file.write(TAGS.replace("address = 41", "address = 500"))
        file.write('[[tag]]\nname = "door"\nstation = "s1"\narea = "coil"\ntype = "bit"\n')
        file.write("address = 7\n")
    plc = SimulatedPlc(tmp_path, parts=1, rate=1)
    until((tmp_path / "plc").exists, within_s=30)
    _, out, _ = checked(tmp_path, capsys)
    plc.process.kill()
    plc.process.wait(10)
    told = out[out.index("FAULT  tags s1: ") :]
    assert "why: bus b1: unit 1, function 3, registers 500 to 500: the PLC refuses with " in told
    assert "door: bus b1: unit 1, function 1, " in told
    assert "read: speed " in told
    assert "Compare area and address" in told
    assert "OK     tags meter: unit 2 on " in out


def test_seconds_out_of_range_are_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        checked(tmp_path, capsys, "--measure", "--seconds", "0")
    assert left.value.code == 2


def test_a_node_whose_recipes_do_not_run_cannot_be_measured(tmp_path: Path) -> None:
    wiring = wire(tmp_path, [False])
    (tmp_path / "tiny.onnx").write_bytes(b"no model")
    with pytest.raises(EdgeError):
        measure.measure(wiring, True, 1.0, lambda _: None)


def test_stations_are_measured_at_once_and_each_for_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wire(tmp_path, [False])
    add_station(tmp_path, [False])
    path = tmp_path / "edge.toml"
    text = path.read_text(encoding="utf-8")
    for camera, rate in (("c1", 2), ("c2", 20)):
        named = f'cameras = ["{camera}"]'
        text = text.replace(named, f"{named}\nmax_rate_per_s = {rate}")
    path.write_text(text, encoding="utf-8")
    _, out, err = checked(tmp_path, capsys, "--measure", "--seconds", "2")
    assert "2 parts/s at s1, 20 parts/s at s2" in err
    for name in ("s1", "s2"):
        assert f"{name}, commit to the ledger" in out
    wiring = settings.read(path)
    kept = measured.read(wiring)
    assert kept is not None
    assert kept.of(wiring.station[1]).parts > kept.of(wiring.station[0]).parts > 1
    slower = tuple(replace(station, max_rate_per_s=5.0) for station in wiring.station)
    assert measured.read(replace(wiring, station=slower)) is None


def test_a_running_node_is_not_measured_with(tmp_path: Path) -> None:
    wiring = wire(tmp_path, [False])
    ledger = Outbox(tmp_path / "data" / "ledger.db")
    with pytest.raises(LedgerError, match="a node runs here") as refused:
        measure.measure(wiring, True, 1.0, lambda _: None)
    assert "Stop the node" in refused.value.hint
    ledger.close()
    measure.measure(wiring, True, 1.0, lambda _: None)
    Outbox(tmp_path / "data" / "ledger.db").close()  # and the lock is given back


def test_while_it_measures_it_says_how_far_it_is_and_the_longest_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wiring = wire(tmp_path, [False])
    monkeypatch.setattr(measure, "TOLD_S", 0.2)
    told: list[str] = []
    measure.measure(wiring, True, 1.0, told.append)
    assert told[0] == "1 s with pictures being written, 10 parts/s at s1"
    pattern = r"\d of 1 s, \d+ parts; the longest: inference \d+\.\d ms, commit \d+\.\d ms"
    assert all(re.fullmatch(pattern, text) for text in told[1:])
    assert len(told) >= 3


LIMITED = """
import resource
import sys
from edge.__main__ import main
from edge.bus_check import plan_of
resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))  # a picture of noise is larger
sys.exit(main(["check", "--unsigned", "--config", sys.argv[1], "--measure"]))
"""


def test_a_disk_that_takes_no_pictures_ends_the_measurement(tmp_path: Path) -> None:
    wire(tmp_path, [False])
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "edge.toml")],
        capture_output=True,
        text=True,
        timeout=50,  # of the 60 s that it would measure
        check=False,
    )
    assert "FAULT  measure: " in ran.stdout, ran.stderr
    assert "picture cannot be written" in ran.stdout
    assert list((tmp_path / "data").glob(".measure-*")) == []
    assert not (tmp_path / "data" / "timetable.json").exists()


def test_a_file_of_an_older_measurement_is_not_believed(tmp_path: Path) -> None:
    wiring = wire(tmp_path, [False])
    measure.measure(wiring, True, 1.0, lambda _: None)
    path = tmp_path / "data" / "timetable.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    for lacking in ("stations", "late_ms"):
        path.write_text(json.dumps({**kept, lacking: {}}), encoding="utf-8")
        assert measured.read(wiring) is None
    path.write_text(json.dumps(kept), encoding="utf-8")
    assert measured.read(wiring) is not None


def test_every_part_has_another_picture_though_the_golden_one_is_the_same() -> None:
    picture = np.full((64, 64, 3), 90, np.uint8)
    made = {measure.marked(picture, number).tobytes() for number in range(300)}
    assert len(made) == 300
    assert (picture == 90).all()
