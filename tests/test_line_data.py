"""Line data on its way: from a meter on the line through the bus into the ledger, exactly once."""

import time
from pathlib import Path
from typing import Any

import pytest

from edge import settings
from edge.errors import LedgerError
from edge.line_data import LINE_WORDS, MOST_ROWS, LineData
from edge.mqtt.message import GENESIS, AnyRow, LineRow, TagRow
from edge.node import Node
from edge.outbox import Outbox
from edge.plc.bus import Bus, LinkLost
from edge.plc.handshake import Taken, Triggered
from edge.plc.line_state import STATES, LineSeen
from edge.plc.slave import PtySlave
from edge.plc.slave import Slave as PlcSlave
from edge.plc.tag_lane import Reading
from edge.settings import Bus as BusSettings
from edge.settings import Slave, Tag
from tests.ledger_rows import drain
from tests.serial_peers import until
from tests.small_line import SimulatedPlc, rows_of, running, wire
from tests.tiny_plc import READY, TinyPlc, Watcher, answer, ready, station

METER = Slave(name="meter", bus="b", unit=7)
ENERGY = Tag(
    name="energy", slave="meter", address=0, type="u32", word_order="high_first", scale=0.001,
    unit="kWh", counts=True, title="电能",
)  # fmt: skip


def reading(value: int | None = 1, tag: Tag = ENERGY, fault: str | None = None) -> Reading:
    return Reading("meter", tag, value, fault, time.monotonic())


def rows(ledger: Outbox) -> list[AnyRow]:
    return drain(ledger, GENESIS)[0]


# -- rows --------------------------------------------------------------------------------------


def test_a_reading_is_a_row_of_whole_numbers_in_the_chain(tmp_path: Path) -> None:
    ledger, words = Outbox(tmp_path / "ledger.db"), {"4": "换刀"}
    data = LineData(ledger)
    data.start()
    data.keep(reading(12_345))
    data.keep(reading(4, Tag(name="why", slave="meter", address=9, words=words)))
    data.keep(reading(None, fault="no answer " * 40))
    data.keep(LineSeen("s1", 2, 4, "换刀"))
    data.close()
    energy, why, lost, line = rows(ledger)
    ledger.close()
    assert isinstance(energy, TagRow)
    assert (energy.station, energy.epoch, energy.name, energy.title) == (
        *("meter", 0, "energy", "电能"),
    )
    assert (energy.value, energy.exponent, energy.unit, energy.counts) == (12_345, -3, "kWh", True)
    assert isinstance(why, TagRow)
    assert (why.value, why.word, why.exponent) == (4, "换刀", 0)
    assert isinstance(lost, TagRow)
    assert lost.value is None
    assert len(lost.fault or "") == 200
    assert isinstance(line, LineRow)
    assert (line.state, line.cause, line.word) == ("stopped", 4, "换刀")


def test_the_time_of_a_row_is_that_of_its_reading(tmp_path: Path) -> None:
    ledger = Outbox(tmp_path / "ledger.db")
    data = LineData(ledger)
    made_s = time.monotonic() - 5
    data.keep(Reading("meter", ENERGY, 1, None, made_s))
    data.start()
    data.close()
    (row,) = rows(ledger)
    ledger.close()
    assert abs(row.mono_ms - 1000 * made_s) <= 2


class Refusing:
    """A ledger whose disk is full while `full` is set."""

    def __init__(self, ledger: Outbox) -> None:
        self.full = True
        self.tried = 0
        self._ledger = ledger

    def append(self, *rows: AnyRow) -> None:
        self.tried += 1
        if self.full:
            raise LedgerError("disk full")
        self._ledger.append(*rows)


def test_a_row_that_no_ledger_takes_costs_no_other_row(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Outbox(tmp_path / "ledger.db")
    data = LineData(ledger)
    for value in (1, 2, 10**30, 4):
        data.keep(reading(value))
    data.start()
    data.close()
    assert [row.value for row in rows(ledger) if isinstance(row, TagRow)] == [1, 2, 4]
    ledger.close()
    (told,) = [record.getMessage() for record in caplog.records]
    assert "a row was refused" in told
    assert "energy" in told


def test_what_a_full_disk_refuses_waits_and_is_written_once_and_in_order(tmp_path: Path) -> None:
    ledger = Outbox(tmp_path / "ledger.db")
    disk = Refusing(ledger)
    data = LineData(disk)  # type: ignore[arg-type]
    data.start()
    data.keep(reading(1))
    until(lambda: disk.tried >= 1)
    data.keep(reading(2))
    disk.full = False
    until(lambda: ledger.head == 3)
    data.close()
    data.close()
    assert [row.value for row in rows(ledger) if isinstance(row, TagRow)] == [1, 2]
    ledger.close()


def test_what_a_full_disk_refuses_to_the_end_is_told_as_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Outbox(tmp_path / "ledger.db")
    disk = Refusing(ledger)
    data = LineData(disk)  # type: ignore[arg-type]
    data.start()
    data.keep(reading(1))
    until(lambda: disk.tried >= 1)
    data.keep(reading(2))
    data.close()
    data.close()
    told = [record.getMessage() for record in caplog.records]
    assert told[1:] == ["line data: 2 rows are lost: stopped while the ledger took none"]
    assert ledger.head == 1
    ledger.close()


def test_the_oldest_readings_go_when_too_many_wait_and_the_log_counts_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Outbox(tmp_path / "ledger.db")
    disk = Refusing(ledger)
    data = LineData(disk)  # type: ignore[arg-type]
    data.start()
    data.keep(reading(0))
    until(lambda: disk.tried >= 1)
    for value in range(1, MOST_ROWS + 8):
        data.keep(reading(value))
    disk.full = False
    caplog.set_level("INFO")
    until(lambda: ledger.head == MOST_ROWS + 2, within_s=60)
    data.close()
    assert "line data: the ledger takes rows again, 7 were dropped" in caplog.text
    values = [row.value for row in rows(ledger) if isinstance(row, TagRow)]
    assert values == [0, *range(8, MOST_ROWS + 8)]
    ledger.close()


def test_the_words_of_a_line_are_packmls_by_number() -> None:
    assert len(LINE_WORDS) == STATES
    assert (LINE_WORDS[0], LINE_WORDS[2], LINE_WORDS[6], LINE_WORDS[17]) == (
        *("undefined", "stopped", "execute", "complete"),
    )


# -- the bus -----------------------------------------------------------------------------------


def kept(all_: list[Any], name: str) -> list[Reading]:
    return [one for one in all_ if isinstance(one, Reading) and one.tag.name == name]


def test_a_meter_is_read_and_a_dead_one_delays_no_verdict() -> None:
    told: list[Any] = []
    meter = PlcSlave(7, {0: 1, 1: 2})
    with TinyPlc() as plc, PtySlave([plc.slave, meter]) as line:
        wiring = BusSettings(name="b", port=line.port, reply_timeout_s=0.1)
        bus = Bus(wiring, [station()], {}, [METER], [ENERGY], told.append)
        watcher = Watcher(bus.station("s1"))
        watcher.station.status(READY, active_recipe=1)
        watcher.station.alive(1e9)
        bus.start()
        try:
            ready(plc)
            until(lambda: len(kept(told, "energy")) == 1)
            assert kept(told, "energy")[0].value == 65538
            meter.answering = False
            until(lambda: len(kept(told, "energy")) == 2)
            assert "no answer" in (kept(told, "energy")[1].fault or "")
            for made in range(1, 9):
                plc.part()
                triggered = watcher.wait(Triggered, made)[-1]
                answer(watcher, triggered)
                taken = watcher.wait(Taken, made)[-1]
                assert taken.taken_s - triggered.trigger.edge_s < 0.1  # less than one timeout
            assert not watcher.of(LinkLost)
            meter.answering = True
            until(lambda: len(kept(told, "energy")) == 3, within_s=20)
            assert kept(told, "energy")[2].value == 65538
        finally:
            bus.close()
    lines = [one for one in told if isinstance(one, LineSeen)]
    assert [one.state for one in lines][:1] == [6]  # execute: the tiny PLC runs


def test_a_bus_with_meters_and_no_station_is_read() -> None:
    told: list[Any] = []
    with PtySlave([PlcSlave(7, {0: 0, 1: 9})]) as line:
        bus = Bus(BusSettings(name="b", port=line.port), [], {}, [METER], [ENERGY], told.append)
        bus.start()
        try:
            until(lambda: bool(kept(told, "energy")))
        finally:
            bus.close()
    assert kept(told, "energy")[0].value == 9


def test_a_lost_port_is_a_fault_of_the_meters_tags() -> None:
    told: list[Any] = []
    bus = Bus(BusSettings(name="b", port="/dev/no-such"), [], {}, [METER], [ENERGY], told.append)
    bus.start()
    try:
        until(lambda: bool(kept(told, "energy")))
    finally:
        bus.close()
    assert "cannot be opened" in (kept(told, "energy")[0].fault or "")


# -- a whole node ------------------------------------------------------------------------------

TAGS = """
[[slave]]
name = "meter"
bus = "b1"
unit = 2

[[tag]]
name = "speed"
station = "s1"
address = 40
unit = "mm/s"

[[tag]]
name = "why"
station = "s1"
address = 41
role = "stop_cause"
words = { "1" = "reject fault" }

[[tag]]
name = "energy"
slave = "meter"
address = 0
type = "u32"
word_order = "high_first"
scale = 0.001
unit = "kWh"
counts = true

[[tag]]
name = "power"
slave = "meter"
address = 2
type = "f32"
word_order = "high_first"
unit = "kW"
"""


def test_the_simulated_line_tells_speed_energy_and_why_it_stands(tmp_path: Path) -> None:
    wire(tmp_path, [False] * 8)
    with (tmp_path / "edge.toml").open("a", encoding="utf-8") as file:
        file.write(TAGS)
    node = Node(settings.read(tmp_path / "edge.toml"), unsigned=True)
    plc = SimulatedPlc(tmp_path, parts=8, rate=2, at=("1.5:full_bin",))
    with running(node):
        plc.summary()
    found = rows_of(tmp_path)
    by_name: dict[str, list[TagRow]] = {}
    for row in found:
        if isinstance(row, TagRow) and row.value is not None:
            by_name.setdefault(row.name, []).append(row)
    assert max(row.value or 0 for row in by_name["speed"]) == 380  # 2 parts/s, 190 mm apart
    assert by_name["power"][0].exponent == -3
    assert {row.station for row in by_name["energy"]} == {"meter"}
    energies = [row.value or 0 for row in by_name["energy"]]
    assert energies == sorted(energies)
    lines = [(row.state, row.word) for row in found if isinstance(row, LineRow)]
    assert lines[0] == ("execute", None)
    assert ("stopped", "reject fault") in lines
