"""The demo as people run it: a whole line, balanced, that leaves nothing behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest

from edge import settings
from edge.__main__ import main as node_main
from edge.recipe import read as read_recipe
from edge.simulation.belt import Layout
from edge.simulation.camera import EXPOSURE_S
from edge.simulation.line import LinePlan
from edge.vision.marks import MM_PER_PX
from hub import demo_figures
from hub.__main__ import main as hub_main
from hub.demo_figures import Run
from hub.demo_wiring import (
    FASTEST_PLATES,
    Ports,
    demo_product,
    free_ports,
    take_folder,
    write_settings,
)
from tests.loopback_peer import wait_for

WHOLE = 180.0  # s for a run, on a busy computer


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that `nobody` can reach, as PostgreSQL needs when tests run as root."""
    made = Path(tempfile.mkdtemp(prefix="qj-demo-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def command(data: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "hub", "demo", "--data", str(data), *options]


def working_in(data: Path) -> list[str]:
    """Command lines of processes that name this folder or work in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            where = (process / "cwd").readlink()
        except OSError:
            continue
        if int(process.name) != os.getpid() and f"{data}/" in f"{said} {where}/":
            found.append(said)
    return found


def left_behind(data: Path) -> list[str]:
    """Whatever of a demo still is there, except its history."""
    folder = take_folder(data)
    folder.lock.close()
    locked = [] if folder.root == data else [f"{data}/lock is held"]
    shared = folder.camera.parent.glob(f"{folder.camera.name}*")
    return [*working_in(data), *locked, *map(str, [*shared, *(data / "run").glob("plc*")])]


@pytest.fixture(scope="module")
def data(folder: Path) -> Path:
    """The folder of every run here but one: its database is laid out once, its history grows."""
    return folder / "demo"


@pytest.fixture(scope="module")
def first(data: Path) -> subprocess.CompletedProcess[str]:
    """A run that ends by itself."""
    return subprocess.run(
        command(data, "--seconds", "6", "--rate", "3"),
        capture_output=True,
        text=True,
        timeout=WHOLE,
        check=False,
    )


def test_a_run_of_some_seconds_balances_prints_one_object_and_leaves_nothing(
    data: Path, first: subprocess.CompletedProcess[str]
) -> None:
    done = first
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert 15 <= told["triggers"] <= 20
    assert told["hub_parts"] == told["triggers"]
    settled = ("ok", "ng", "undecided", "missed", "bypassed")
    assert sum(told[name] for name in settled) == told["triggers"]
    zeros = ("residue", "wrong_verdicts_at_plc", "good_bin_without_ok")
    assert [told[name] for name in zeros] == [0, 0, 0]
    assert set(told["latency_ms"]) == {"p50", "p99", "max"}
    assert told["setup_s"] > 0
    assert left_behind(data) == []


def test_a_second_run_keeps_the_history_and_another_beside_it_takes_its_own_folder(
    data: Path, first: subprocess.CompletedProcess[str]
) -> None:
    assert first.returncode == 0, first.stderr
    endless = command(data, "--seconds", "3600")
    with subprocess.Popen(
        endless, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as second:
        assert second.stderr is not None
        said = iter(second.stderr)
        assert f"data: {data}" in next(said), "the folder is taken from here on"
        beside = subprocess.run(
            command(data, "--seconds", "3"),
            capture_output=True,
            text=True,
            timeout=WHOLE,
            check=False,
        )
        assert any("station" in line for line in said), "the second one judges parts"
        second.send_signal(signal.SIGINT)
        rest = second.stderr.read()
        assert second.stdout is not None
        told = json.loads(second.stdout.read().splitlines()[-1])
    assert beside.returncode == 0, beside.stderr
    assert f"{data}-2" in beside.stderr.splitlines()[0]
    assert second.returncode == 0, rest
    assert "平衡 balanced" in rest.splitlines()[-1]
    assert (told["hub_parts"], told["residue"]) == (told["triggers"], 0), "only this run's parts"
    assert left_behind(data) == []
    assert left_behind(Path(f"{data}-2")) == []


@pytest.mark.faults
def test_a_dead_part_is_told_with_its_last_words_and_everything_stops(data: Path) -> None:
    with subprocess.Popen(command(data), stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stderr is not None
        for line in demo.stderr:
            if "station" in line:
                break
        ingest = next(
            int(process.name)
            for process in Path("/proc").glob("[0-9]*")
            if f"ingest\0--config\0{data}" in _said(process)
        )
        os.kill(ingest, signal.SIGKILL)
        rest = demo.stderr.read()
    assert demo.returncode == 1
    assert "ingest ended with code -9" in rest
    assert "connected" in rest, "its last log lines"
    assert left_behind(data) == []


@pytest.mark.faults
def test_a_demo_killed_outright_takes_everything_with_it(folder: Path) -> None:
    data = folder / "killed"
    with subprocess.Popen(command(data), stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stderr is not None
        for line in demo.stderr:
            if "station" in line:
                break
        demo.kill()
    wait_for(lambda: working_in(data) == [], "no process of it is left", 60)


def _said(process: Path) -> str:
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


def test_demos_that_start_together_never_share_a_port() -> None:
    with ExitStack() as first, ExitStack() as second:
        ports = [astuple(free_ports(first)), astuple(free_ports(second))]
    assert not set(ports[0]) & set(ports[1])


def test_two_demos_never_share_a_folder(tmp_path: Path) -> None:
    first, second = take_folder(tmp_path / "demo"), take_folder(tmp_path / "demo")
    assert (first.root.name, second.root.name) == ("demo", "demo-2")
    assert first.camera != second.camera
    first.lock.close()
    third = take_folder(tmp_path / "demo")
    assert third.root == first.root
    second.lock.close()
    third.lock.close()


def test_the_demo_says_how_its_plates_move_and_check_is_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken, product = take_folder(tmp_path / "demo"), demo_product()
    _hub, edge = write_settings(taken, Ports(1, 2, 3), "dbname=none", "token", product, 4.0)
    wiring = settings.read(edge)
    assert wiring.station[0].speed_mm_s == LinePlan(rate=4.0).speed_mm_s
    camera = wiring.camera[0]
    assert (camera.mm_per_px, camera.exposure_us) == (MM_PER_PX, EXPOSURE_S * 1e6)
    node_main(["check", "--config", str(edge)])
    told = capsys.readouterr().out
    assert "OK     recipe 1: demo-plate with base.onnx, pinned" in told
    assert "OK     motion s1 c1: 0.0 mm from its place at the most; demo-plate 1.52 px" in told
    limit = read_recipe(product.recipe).motion.blur_px
    fastest = LinePlan(rate=FASTEST_PLATES).speed_mm_s * EXPOSURE_S / MM_PER_PX
    assert 0.9 * limit < fastest <= limit
    taken.lock.close()


@pytest.mark.parametrize("rate", [1.0, 4.0, FASTEST_PLATES])
def test_the_demo_says_where_the_gate_of_its_line_is(tmp_path: Path, rate: float) -> None:
    taken = take_folder(tmp_path / "demo")
    _hub, edge = write_settings(taken, Ports(1, 2, 3), "dbname=none", "t", demo_product(), rate)
    taken.lock.close()
    own, layout = settings.read(edge).station[0], Layout().for_speed(LinePlan(rate=rate).speed_mm_s)
    assert own.gate_mm is not None
    assert own.gate_mm == pytest.approx(layout.gate_mm - layout.eye_mm, abs=0.05)
    assert own.valve_ms == 1000 * layout.gate_lag_s
    assert own.speed_mm_s
    assert own.deadline_ms + own.valve_ms <= 1000 * own.gate_mm / own.speed_mm_s


def test_plates_too_fast_for_the_demo_model_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert hub_main(["demo", "--rate", "8"]) == 2
    assert "--rate: got 8, expected at most 7.5" in capsys.readouterr().err


LAW: dict[str, Any] = {
    "epoch": 1, "counted_by": "plc", "base": 0, "counter": 3, "open": 0, "settled": 3,
    "ok": 2, "ng": 1, "undecided": 0, "missed": 0, "bypassed": 0, "quarantined": 0, "elsewhere": 0,
}  # fmt: skip
LINE: dict[str, Any] = {
    "triggers": 3, "wrong_words": 0, "good_bin_without_ok": 0, "escapes": 0, "overkills": 0,
    "defective_parts": 1, "good_parts": 2,
    "latency_ms": {"p50": 1.0, "p99": 2.0, "max": 2.0, "triggers": 3, "unanswered": 0},
}  # fmt: skip


def part(number: int, code: int, **more: object) -> dict[str, Any]:
    """A row of the hub's, or what the line says of the part."""
    return {"kind": "part", "plc_start": 7, "number": number, "code": code, "computed": code} | more


def outcome(**changed: Any) -> Run:
    """A run in which everything is right, but for what is changed."""
    codes = [part(1, 1), part(2, 2), part(3, 1)]
    right: dict[str, Any] = {
        "laws": [LAW], "parts": codes, "unjudged": 0, "line": LINE, "truth": codes, "setup_s": 1.0,
    }  # fmt: skip
    return Run(**(right | changed))


def test_a_right_run_has_no_failures() -> None:
    assert demo_figures.failures(outcome()) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"laws": []}, "no epoch reached the hub"),
        ({"line": LINE | {"triggers": 4}}, "residue: expected 0, got 1"),
        ({"laws": [LAW | {"counter": 4}]}, "epoch 1: unbalanced, residue 1"),
        ({"laws": [LAW | {"open": 1, "settled": 2, "ok": 1}]}, "1 triggers never settled"),
        ({"parts": [part(1, 1), part(2, 2)]}, "hub_parts: expected 3 as the PLC counted, got 2"),
        ({"line": LINE | {"good_bin_without_ok": 1}}, "good_bin_without_ok: expected 0, got 1"),
        ({"line": LINE | {"wrong_words": 2}}, "wrong_verdicts_at_plc: expected 0, got 2"),
        (
            {"truth": [part(1, 1), part(2, 1), part(3, 1)]},
            "wrong_verdicts_at_plc: expected 0, got 1",
        ),
        ({"truth": [part(1, 1), part(4, 2)]}, "wrong_verdicts_at_plc: expected 0, got 1"),
    ],
)
def test_every_way_in_which_line_and_hub_disagree_fails_the_run(
    changed: dict[str, Any], told: str
) -> None:
    assert told in "\n".join(demo_figures.failures(outcome(**changed)))


def test_a_verdict_taken_without_an_echo_is_compared_with_what_was_computed() -> None:
    rows = [part(1, 1), part(2, 2), part(3, 3, computed=1)]
    assert demo_figures.wrong_verdicts(outcome(parts=rows)) == 0
    assert demo_figures.wrong_verdicts(outcome(parts=[*rows[:2], part(3, 3)])) == 1


def test_the_sentence_of_the_ledger_says_when_it_does_not_balance() -> None:
    assert "平衡 balanced" in demo_figures.sentence([LAW])
    assert "OUT OF BALANCE" in demo_figures.sentence([LAW | {"counter": 5}])
    assert "first trigger" in demo_figures.sentence([])


def test_parts_settled_since_the_sample_stand_on_both_sides_of_the_sentence() -> None:
    told = demo_figures.sentence([LAW | {"ok": 4}])
    assert "触发 5 triggers = 合格 4 ok + 不合格 1 ng" in told
    assert "+ 0 in work: 平衡 balanced" in told
