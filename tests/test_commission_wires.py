"""The points of a station with a bus whose verdict goes by wire, tried by the real command.

The PLC is played; its I/O module is libmodbus in C, and what its outputs did is told by itself.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge import settings
from edge.commissioning.made_with import site
from edge.plc.blocks import Control, StatusFlags
from tests.commission_peer import Person, PlayedStation, results
from tests.io_peer import Module, built
from tests.serial_peers import until
from tests.small_line import wire
from tests.test_commission_plc import without_counters
from tests.test_wires_line import LIVE, OK, wire_io

pytestmark = pytest.mark.needs_libmodbus

STOP, LAMP, BUZZER = 5, 6, 7  # outputs


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("io-module"))


@pytest.fixture
def module(program: Path, tmp_path: Path) -> Iterator[Module]:
    wire_io(tmp_path, [], alone=False)
    path = tmp_path / "edge.toml"
    text = path.read_text(encoding="utf-8")
    for old, new in {
        f'warning = "{LAMP}"': f'warning = "{LAMP}"\nstop = "{STOP}"\nbuzzer = "{BUZZER}"',
        "deadline_ms = 900": "deadline_ms = 300",
        "frame_tolerance_ms = 800": "frame_tolerance_ms = 250",
        "ok_delay_ms = 900": "ok_delay_ms = 300",
    }.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    with Module(program, tmp_path / "adapter") as module:
        yield module


class Try:
    """A person who looks at the module, and a PLC that releases by its wire alone."""

    def __init__(self, plc: PlayedStation, person: Person, module: Module) -> None:
        self.plc, self.person, self.module = plc, person, module
        self.obeys_ready = True
        self._pulses = 0

    def sees(self, words: str, output: int, on: bool) -> None:
        """It is asked whether an output is so, and says what is."""
        self.person.hears(words)
        self.module.wait_for(output, on)
        self.person.answer("y")

    def part(self, words: str, key: Control | None = None) -> None:
        """It is asked for a part, which falls where the PLC's program sends it."""
        self.person.hears(words)
        self.plc.part(control=key or Control(0))
        self.person.hears("等工件落箱")
        pulses = self.module.pulses(OK)[self._pulses :]
        self._pulses += len(pulses)
        ready = self.module.on(LIVE) or not self.obeys_ready
        passes = key in (Control.BYPASS, Control.MONITOR) or (bool(pulses) and ready)
        self.plc.lands(good=passes)


def test_every_point_of_a_wired_station_is_tried_over_its_wires_and_passed(
    module: Module, tmp_path: Path
) -> None:
    with (
        PlayedStation(tmp_path / "plc", echoing=False, bins=True) as plc,
        Person(tmp_path, "--step", "plc", "--within", "20") as person,
    ):
        tried = Try(plc, person, module)
        person.hears("每 250 ms 变一次")
        person.answer("y")
        tried.sees("节点心跳已停，“视觉就绪”（ready）也断了", LIVE, False)
        tried.part("导线照样给合格脉冲")
        tried.sees(f"导线 ready（输出 {LIVE}）通了", LIVE, True)
        tried.sees(f"导线 ready（输出 {LIVE}）断了", LIVE, False)
        tried.part("放一个件过到位传感器")
        for word in ("合格（1）", "不合格（2）", "未判定（3）"):
            tried.part(f"节点会回答{word}")
        tried.part("看剔除机构动作")
        for name, key in (("旁路", Control.BYPASS), ("观察", Control.MONITOR)):
            tried.part(f"把钥匙打到{name}", key)
            tried.part("把钥匙打回自动")
        tried.part("按一下标准件按钮", Control.SAMPLE_PART)
        person.hears("按一下复位按钮")
        plc.press_reset()
        tried.sees(f"导线 stop（输出 {STOP}）通了，产线不能启动", STOP, True)
        tried.sees(f"导线 stop（输出 {STOP}）断了。按复位：皮带能启动了", STOP, False)
        tried.sees(f"导线 warning（输出 {LAMP}）通了，报警灯亮了", LAMP, True)
        tried.sees(f"导线 warning（输出 {LAMP}）断了。报警灯灭了", LAMP, False)
        tried.sees(f"导线 buzzer（输出 {BUZZER}）通了", BUZZER, True)
        tried.sees(f"导线 buzzer（输出 {BUZZER}）断了", BUZZER, False)
        person.plays({})
        code, told = person.end()
    shown = StatusFlags.ONLINE | StatusFlags.TRIGGER_READY
    assert plc.told == shown, "the bit of a lamp would hide its wire"
    names = [point.name for point in site(settings.read(tmp_path / "edge.toml")).points("s1")]
    assert {"ready", "buzzer"} < set(names)
    assert results(told) == [(name, "passed") for name in names], person.talk[-8:]
    assert code == 0
    assert len(module.pulses(OK)) == 2, "of the node that plays dead, and of the one OK"
    figures = next(one["record"]["figures"] for one in told if one["point"] == "ok")
    assert 300 <= figures["pulse_ms"] <= 600


def one_point(folder: Path, point: str) -> Person:
    return Person(folder, "--step", "plc", "--point", point, "--within", "20")


def ended(person: Person) -> dict[str, Any]:
    """What became of the one point."""
    person.plays({})
    code, (told,) = person.end()
    assert (code == 0) == (told["result"] == "passed")
    return dict(told)


def test_an_output_that_does_not_come_on_is_no_verdict(module: Module, tmp_path: Path) -> None:
    without_counters(tmp_path)
    module.jam(OK)
    with PlayedStation(tmp_path / "plc") as plc, one_point(tmp_path, "ok") as person:
        person.hears("节点会回答合格")
        plc.part()
        told = ended(person)
    assert told["result"] == "failed"
    assert f"导线上没有给出合格脉冲（输出 {OK} 没有读回得电" in told["text"]


@pytest.mark.parametrize(("answer", "result"), [("y", "passed"), ("n", "failed")])
def test_without_sensors_a_person_says_that_ok_flashed_and_the_part_passed(
    module: Module, tmp_path: Path, answer: str, result: str
) -> None:
    without_counters(tmp_path)
    with PlayedStation(tmp_path / "plc") as plc, one_point(tmp_path, "ok") as person:
        person.hears("节点会回答合格")
        plc.part()
        person.hears("ok 亮了一下，这件放行了")
        assert len(module.pulses(OK)) == 1
        person.answer(answer)
        told = ended(person)
    assert told["result"] == result, told["text"]


def test_a_plc_that_takes_ok_without_ready_is_refused(module: Module, tmp_path: Path) -> None:
    with (
        PlayedStation(tmp_path / "plc", bins=True) as plc,
        one_point(tmp_path, "node-heartbeat") as person,
    ):
        tried = Try(plc, person, module)
        tried.obeys_ready = False
        person.hears("每 250 ms 变一次")
        person.answer("y")
        tried.sees("也断了", LIVE, False)
        tried.part("导线照样给合格脉冲")
        told = ended(person)
    assert told["result"] == "failed"
    assert "这件应进剔除箱，计数器却是良品 +1" in told["text"]


def test_a_lamp_whose_wire_nobody_sees_is_refused(module: Module, tmp_path: Path) -> None:
    with PlayedStation(tmp_path / "plc"), one_point(tmp_path, "stop") as person:
        person.hears("通了，产线不能启动")
        person.answer("n")
        told = ended(person)
    assert told["result"] == "failed"
    assert f"人没有确认：导线 stop（输出 {STOP}）" in told["text"]
    until(lambda: not module.on(STOP))


def test_wires_that_nobody_answers_at_are_told_before_a_point_is_tried(
    module: Module, tmp_path: Path
) -> None:
    module.cut()
    with PlayedStation(tmp_path / "plc"), one_point(tmp_path, "ok") as person:
        told = ended(person)
    assert (told["result"], told["record"]) == ("refused", None)
    assert told["text"].startswith("导线用不了（io box）：查模块电源")


def test_a_point_that_the_station_has_no_wire_for_is_exit_2(tmp_path: Path) -> None:
    wire(tmp_path, [])
    with one_point(tmp_path, "ready") as person:
        person.plays({})
        assert person.end() == (2, [])
    assert any("ready: station s1 has plc-heartbeat, " in line for line in person.talk), person.talk
