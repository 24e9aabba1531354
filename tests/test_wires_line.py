"""A whole node whose verdicts go by wire, beside a PLC and alone, and what it does when it dies.

Promise 3 at the wire: whatever happens to the node, no OK stands for a part that was not judged OK.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge import settings
from edge.__main__ import main
from edge.mqtt.message import CounterRow, EpochRow, MissedRow, PartRow
from edge.node import Node
from edge.terms import Code
from tests.io_peer import WATCHDOG_REGISTER, Module, built
from tests.serial_peers import until
from tests.small_line import NodeProcess, SimulatedPlc, rows_of, running, wire

pytestmark = [pytest.mark.needs_libmodbus, pytest.mark.faults]

EYE, OK, LIVE = 0, 1, 4
DELAY_S, WIDTH_S = 0.9, 0.3
TAKT_S = 1.5
SLACK_S = 0.04  # an edge is known to one look of the module
WATCHDOG_S = 0.9 + 0.1  # the module's, and what the test needs to tell it

BOX = f"""
[[io]]
name = "box"
kind = "modbus"
port = "adapter"
baudrate = 115200
watchdog_register = {WATCHDOG_REGISTER}
watchdog_ms = 900
reply_timeout_s = 0.5
part_present = "{EYE}"
ok = "{OK}"
ready = "{LIVE}"
warning = "6"
ok_delay_ms = {DELAY_S * 1000:.0f}
ok_width_ms = {WIDTH_S * 1000:.0f}
"""
BUS = '[[bus]]\nname = "b1"\nport = "{port}"\n'


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("io-module"))


@pytest.fixture
def module(program: Path, tmp_path: Path) -> Iterator[Module]:
    with Module(program, tmp_path / "adapter") as module:
        yield module


@pytest.fixture
def dying() -> Iterator[Callable[[Path], NodeProcess]]:
    """Starts a node in its own process, killed at the latest when the test ends."""
    started: list[NodeProcess] = []

    def start(folder: Path) -> NodeProcess:
        started.append(NodeProcess(folder))
        return started[-1]

    yield start
    for node in started:
        node.kill()


def wire_io(folder: Path, spots: Sequence[bool | None], alone: bool = True) -> settings.Settings:
    """The small line with an [[io]], alone or beside its PLC."""
    wire(folder, spots)
    path = folder / "edge.toml"
    text = path.read_text(encoding="utf-8")
    changes = {
        "deadline_ms = 3000\nframe_tolerance_ms = 2900": 'deadline_ms = 900\nio = "box"\n'
        "frame_tolerance_ms = 800\nmax_rate_per_s = 0.8"
    }
    if alone:
        changes |= {
            f'[[bus]]\nname = "b1"\nport = "{folder / "plc"}"\n': "",
            'bus = "b1"\ncounters_base = 20': "recipe = 1",
        }
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    box = BOX if alone else BOX.replace(f'part_present = "{EYE}"\n', "")
    path.write_text(text + box.replace('"adapter"', f'"{folder / "adapter"}"'), encoding="utf-8")
    return settings.read(path)


class Belt:
    """Parts that break the module's eye, one a takt, until stopped or through."""

    def __init__(self, module: Module, parts: int) -> None:
        self.edges_s: list[float] = []
        self._module = module
        self._parts = parts
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="belt")

    @contextmanager
    def moving(self) -> Iterator["Belt"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join(10)

    def wait(self) -> None:
        """Until the last part's window is past."""
        self._thread.join(self._parts * TAKT_S + 10)
        self._stop.wait(DELAY_S + WIDTH_S + 0.3)

    def _run(self) -> None:
        for _ in range(self._parts):
            self.edges_s.append(self._module.input(EYE, True))
            if self._stop.wait(TAKT_S / 4):
                return
            self._module.input(EYE, False)
            if self._stop.wait(TAKT_S * 3 / 4):
                return


def passed(module: Module, belt: Belt) -> list[int]:
    """Which parts, from 0, had a pulse; each lies inside its part's window."""
    found = []
    for on_s, off_s in module.pulses(OK):
        windows = [(s + DELAY_S, s + DELAY_S + WIDTH_S + SLACK_S) for s in belt.edges_s]
        inside = [n for n, (first, last) in enumerate(windows) if first <= on_s and off_s <= last]
        assert len(inside) == 1, "a pulse is inside the window of exactly one part"
        found += inside
    return found


def parts_of(folder: Path) -> list[PartRow]:
    return [row for row in rows_of(folder) if isinstance(row, PartRow)]


def test_alone_a_node_counts_its_parts_and_pulses_for_the_good_ones_only(
    module: Module, tmp_path: Path
) -> None:
    spots = [False, True, False, False, None, True, False, False]
    with running(Node(wire_io(tmp_path, spots), unsigned=True)):
        module.wait_for(LIVE, True, within_s=30)
        with Belt(module, len(spots)).moving() as belt:
            belt.wait()
    assert passed(module, belt) == [n for n, spot in enumerate(spots) if spot is False]
    rows = rows_of(tmp_path)
    codes = {True: Code.NG, False: Code.OK, None: Code.UNDECIDED}
    parts = [row for row in rows if isinstance(row, PartRow)]
    assert [(part.number, part.code) for part in parts] == [
        (number, codes[spot]) for number, spot in enumerate(spots, 1)
    ]
    epoch = next(row for row in rows if isinstance(row, EpochRow))
    assert (epoch.counted_by, epoch.cause, epoch.base) == ("self", "self_counted", 0)
    last = [row for row in rows if isinstance(row, CounterRow)][-1]
    assert (last.counter, last.open, last.good) == (8, 0, None)
    assert all(900 <= (part.latency_ms or 0) <= 1300 for part in parts)


def test_a_node_killed_under_a_pulse_gives_no_other_and_the_next_run_counts_anew(
    module: Module, tmp_path: Path, dying: Callable[[Path], NodeProcess]
) -> None:
    wire_io(tmp_path, [False] * 40)
    first = dying(tmp_path)
    module.wait_for(LIVE, True, within_s=30)
    with Belt(module, 6).moving() as belt:
        until(lambda: len(module.pulses(OK)) == 3, within_s=30)
        first.kill()
        dead_by_s = time.monotonic() + WATCHDOG_S
        module.wait_for(LIVE, False)
        belt.wait()
    assert len(module.pulses(OK)) == 3
    assert all(off_s < dead_by_s for _, off_s in (*module.pulses(OK), *module.pulses(LIVE)))
    with running(Node(settings.read(tmp_path / "edge.toml"), unsigned=True)):
        module.wait_for(LIVE, True, within_s=30)
        with Belt(module, 2).moving() as again:
            again.wait()
    rows = rows_of(tmp_path)
    assert [row.epoch for row in rows if isinstance(row, EpochRow)] == [1, 2]
    parts = [row for row in rows if isinstance(row, PartRow)]
    late = [(part.number, part.code) for part in parts if part.epoch == 2]
    assert late == [(1, Code.OK), (2, Code.OK)]
    settled = [part.number for part in parts if part.epoch == 1]
    for row in rows:
        if isinstance(row, MissedRow):
            settled += range(row.first, row.last + 1)
    assert sorted(settled) == list(range(1, len(settled) + 1))
    ok = [part.number for part in parts if part.epoch == 1 and part.code is Code.OK]
    assert set(ok) <= {1, 2, 3}, "no more than had a pulse"
    assert set(ok) >= {1, 2}


def test_a_node_stopped_under_a_pulse_loses_its_ready_and_gives_none_until_it_goes_on(
    module: Module, tmp_path: Path, dying: Callable[[Path], NodeProcess]
) -> None:
    wire_io(tmp_path, [False] * 40)
    node = dying(tmp_path)
    module.wait_for(LIVE, True, within_s=30)
    with Belt(module, 8).moving() as belt:
        until(lambda: len(module.pulses(OK)) == 2, within_s=30)
        node.signal(signal.SIGSTOP)
        dead_by_s = time.monotonic() + WATCHDOG_S
        module.wait_for(LIVE, False)
        threading.Event().wait(2.0)
        assert len(module.pulses(OK)) == 2
        assert all(off_s < dead_by_s for _, off_s in (*module.pulses(OK), *module.pulses(LIVE)))
        node.signal(signal.SIGCONT)
        went_on_s = time.monotonic()
        module.wait_for(LIVE, True)
        belt.wait()
    node.kill()
    after = [on_s for on_s, _ in module.pulses(OK)[2:]]
    windows = [(s + DELAY_S, s + DELAY_S + WIDTH_S + SLACK_S) for s in belt.edges_s]
    assert len(after) >= 2
    assert after[0] - went_on_s < 5.0
    assert all(any(first <= on_s <= last for first, last in windows) for on_s in after)


def test_beside_a_plc_the_wire_says_the_verdict_and_closes_the_row_and_the_bus_has_the_rest(
    module: Module, tmp_path: Path
) -> None:
    spots = [False, True, False, True, False, False]
    node = Node(wire_io(tmp_path, spots, alone=False), unsigned=True)
    plc = SimulatedPlc(tmp_path, parts=len(spots), rate=0.6)
    with running(node):
        summary = plc.summary()
        threading.Event().wait(DELAY_S)
    assert len(module.pulses(OK)) == 4
    assert all(off_s - on_s <= WIDTH_S + SLACK_S for on_s, off_s in module.pulses(OK))
    parts = parts_of(tmp_path)
    assert [part.code for part in parts] == [Code.NG if spot else Code.OK for spot in spots]
    assert all(900 <= (part.latency_ms or 0) <= 1300 for part in parts)
    assert (summary["ok"], summary["ng"]) == (4, 2)
    epoch = next(row for row in rows_of(tmp_path) if isinstance(row, EpochRow))
    assert epoch.counted_by == "plc"


def test_without_its_io_a_station_beside_a_plc_is_not_ready_and_every_part_is_missed(
    module: Module, tmp_path: Path
) -> None:
    node = Node(wire_io(tmp_path, [False] * 4, alone=False), unsigned=True)
    module.cut()
    plc = SimulatedPlc(tmp_path, parts=3, rate=1, when_ready=False)
    with running(node):
        summary = plc.summary()
    assert (summary["ok"], module.pulses(OK), parts_of(tmp_path)) == (0, [], [])


def test_check_tries_the_io_and_shows_that_its_outputs_die_with_the_node(
    module: Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wire_io(tmp_path, [False])
    config = ["check", "--unsigned", "--config", str(tmp_path / "edge.toml")]
    module.input(EYE, True)
    assert main(config) == 0
    told = capsys.readouterr().out
    assert "OK     io box: " in told
    assert "inputs part_present on (edges known to" in told
    assert "OK     io box left alone: warning went off by itself" in told
    assert module.pulses(OK) == module.pulses(LIVE) == []
    module.cut()
    assert main(config) == 1
    assert "FAULT  io box: bus of io box: unit 1" in capsys.readouterr().out


def test_check_refuses_a_module_that_keeps_its_outputs_though_it_should_drop_them(
    module: Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wire_io(tmp_path, [False])
    path = tmp_path / "edge.toml"
    text = path.read_text(encoding="utf-8")
    other = text.replace(f"watchdog_register = {WATCHDOG_REGISTER}", "watchdog_register = 7")
    path.write_text(other, encoding="utf-8")
    assert main(["check", "--unsigned", "--config", str(path)]) == 1
    told = capsys.readouterr().out
    assert "FAULT  io box left alone: io box: warning stays on when the node is gone" in told
    path.write_text(text.replace(f"watchdog_register = {WATCHDOG_REGISTER}\n", ""), "utf-8")
    assert main(["check", "--unsigned", "--config", str(path)]) == 0
    assert "`ready` beats" in capsys.readouterr().out
