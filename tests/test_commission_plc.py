"""The points of a PLC, tried by the real command: the simulated line, and PLCs with a fault."""

from pathlib import Path

import pytest

from edge import settings
from edge.commissioning import store
from edge.commissioning.points import POINTS
from edge.node import Node
from edge.plc.blocks import Control, StatusFlags
from tests.commission_peer import HandLine, Person, PlayedStation, Script, results
from tests.serial_peers import until
from tests.small_line import running, wire

POINT_SCRIPT: Script = {
    "每 250 ms 变一次": ("y", ()),
    "PLC 报“节点离线”": ("y", ()),
    "心跳还停着": (None, ("part",)),
    "放一个件过到位传感器": (None, ("part",)),
    "节点会回答": (None, ("part",)),
    "看剔除机构动作": (None, ("part",)),
    "把钥匙打到旁路": (None, ("bypass=1", "part")),
    "把钥匙打到观察": (None, ("monitor=1", "part")),
    "把钥匙打回自动": (None, ("bypass=0", "monitor=0", "part")),
    "按一下标准件按钮": (None, ("sample", "part")),
    "按一下复位按钮": (None, ("reset",)),
    "停线请求（状态位 6）": ("y", ()),
    "报警灯（状态位 7）": ("y", ()),
    "状态位已撤。按复位": ("y", ("reset",)),
    "状态位已撤，报警灯灭了": ("y", ()),
}


def test_every_point_of_the_simulated_plc_is_tried_and_passed(tmp_path: Path) -> None:
    wire(tmp_path, [])
    with HandLine(tmp_path) as line:
        line.do("jog=1")
        with Person(tmp_path, "--step", "plc", "--within", "20") as person:
            person.plays(POINT_SCRIPT, line, within_s=180)
            code, told = person.end()
    assert results(told) == [(point.name, "passed") for point in POINTS], person.talk[-8:]
    assert code == 0
    echoed = {one["point"]: one["record"]["figures"] for one in told}
    assert all(echoed[name]["echo_ms"] < 3000 for name in ("ok", "ng", "undecided"))
    assert echoed["reject"]["sensors"] is True


def test_what_acts_is_refused_while_the_line_runs_and_what_looks_is_not(tmp_path: Path) -> None:
    wire(tmp_path, [])
    with PlayedStation(tmp_path / "plc", running=True):
        for point, result in (
            ("plc-heartbeat", "passed"),
            ("stop", "refused"),
            ("sample", "refused"),
            ("ok", "refused"),
        ):
            with Person(tmp_path, "--step", "plc", "--point", point) as person:
                person.plays({})
                code, (told,) = person.end()
            assert (told["point"], told["result"]) == (point, result)
            assert code == (0 if result == "passed" else 1)
        assert "LineRunning" in told["text"]


def without_counters(folder: Path) -> None:
    """A station without sensors at its bins."""
    path = folder / "edge.toml"
    text = path.read_text(encoding="utf-8").replace("counters_base = 20\n", "")
    path.write_text(text, encoding="utf-8")


def test_a_dead_heartbeat_of_the_plc_is_refused(tmp_path: Path) -> None:
    wire(tmp_path, [])
    with (
        PlayedStation(tmp_path / "plc", beating=False),
        Person(tmp_path, "--step", "plc") as person,
    ):
        person.plays({})
        code, (told,) = person.end()
    assert (code, told["point"], told["result"]) == (1, "plc-heartbeat", "failed")
    assert told["text"].startswith("PLC 心跳（寄存器 6）3 秒内没有变：查 PLC")


def test_counters_that_cannot_be_read_are_a_chinese_sentence(tmp_path: Path) -> None:
    wire(tmp_path, [])
    with (
        PlayedStation(tmp_path / "plc"),  # it has none at 20
        Person(tmp_path, "--step", "plc", "--point", "ok") as person,
    ):
        person.plays({})
        code, (told,) = person.end()
    assert (code, told["result"]) == (1, "failed")
    assert told["text"] == "料箱计数器（20 起 10 个）读不到：查 counters_base"


def test_an_echo_that_does_not_come_is_refused(tmp_path: Path) -> None:
    wire(tmp_path, [])
    without_counters(tmp_path)
    with (
        PlayedStation(tmp_path / "plc", echoing=False) as plc,
        Person(tmp_path, "--step", "plc", "--point", "ok") as person,
    ):
        person.hears("节点会回答合格")
        plc.part()
        person.plays({})
        code, (told,) = person.end()
    assert (code, told["result"]) == (1, "failed")
    assert "内 PLC 没有回写寄存器 8、9" in told["text"]


def test_a_golden_sample_whose_ok_was_not_taken_proves_nothing(tmp_path: Path) -> None:
    """Whatever the person sees: a PLC without a verdict rejects the part in any case."""
    wire(tmp_path, [])
    without_counters(tmp_path)
    with (
        PlayedStation(tmp_path / "plc", echoing=False) as plc,
        Person(tmp_path, "--step", "plc", "--point", "sample") as person,
    ):
        person.hears("按一下标准件按钮")
        plc.part(control=Control.SAMPLE_PART)
        person.plays({"标准件仍被剔除了": ("y", ())})
        code, (told,) = person.end()
    assert (code, told["result"]) == (1, "failed")
    assert "内 PLC 没有回写寄存器 8、9" in told["text"]


def test_a_plc_that_heeds_a_dead_node_is_refused(tmp_path: Path) -> None:
    """Whatever the person believes to see: it took an OK while the heartbeat stood."""
    wire(tmp_path, [])
    without_counters(tmp_path)
    with (
        PlayedStation(tmp_path / "plc", watching=False) as plc,
        Person(tmp_path, "--step", "plc", "--point", "node-heartbeat") as person,
    ):
        person.hears("每 250 ms 变一次")
        person.answer("y")
        person.hears("PLC 报“节点离线”")
        person.answer("y")
        person.hears("心跳还停着")
        plc.part()
        person.plays({"这件被剔除了": ("y", ())})
        code, (told,) = person.end()
    assert (code, told["result"]) == (1, "failed")
    assert "心跳停着，PLC 仍取走了“合格”（寄存器 8 有回写）" in told["text"]


@pytest.mark.parametrize(
    ("answers", "words"),
    [(("n",), "PLC 看不到节点心跳（寄存器 101）"), (("y", "n"), "节点心跳停了 PLC 不知道")],
)
def test_a_heartbeat_that_nobody_sees_or_misses_is_refused(
    tmp_path: Path, answers: tuple[str, ...], words: str
) -> None:
    wire(tmp_path, [])
    without_counters(tmp_path)
    with (
        PlayedStation(tmp_path / "plc"),
        Person(tmp_path, "--step", "plc", "--point", "node-heartbeat") as person,
    ):
        for question, answer in zip(("变一次？", "PLC 报“节点离线”"), answers, strict=False):
            person.hears(question)
            person.answer(answer)
        person.plays({})
        code, (told,) = person.end()
    assert (code, told["result"]) == (1, "failed")
    assert words in told["text"]


def test_a_number_that_steps_by_two_is_refused(tmp_path: Path) -> None:
    wire(tmp_path, [])
    without_counters(tmp_path)
    with (
        PlayedStation(tmp_path / "plc") as plc,
        Person(tmp_path, "--step", "plc", "--point", "trigger") as person,
    ):
        person.hears("放一个件过到位传感器")
        plc.part(2)
        person.plays({})
        code, (told,) = person.end()
    assert (code, told["result"]) == (1, "failed")
    assert "编号却从 5 到了 7" in told["text"]


KEYS = [("bypass", "旁路", Control.BYPASS), ("monitor", "观察", Control.MONITOR)]


@pytest.mark.parametrize(("point", "name", "key"), KEYS)
@pytest.mark.parametrize(("answer", "result"), [("y", "passed"), ("n", "failed")])
def test_without_sensors_a_person_says_whether_the_key_let_the_part_pass(
    tmp_path: Path, point: str, name: str, key: Control, answer: str, result: str
) -> None:
    wire(tmp_path, [])
    without_counters(tmp_path)
    with (
        PlayedStation(tmp_path / "plc") as plc,
        Person(tmp_path, "--step", "plc", "--point", point, "--within", "20") as person,
    ):
        person.hears(f"把钥匙打到{name}")
        plc.part(control=key)
        person.hears("这件放行了")
        person.answer(answer)
        if answer == "y":
            person.hears("把钥匙打回自动")
            plc.part()
        person.plays({})
        code, (told,) = person.end()
    assert (code, told["result"]) == (0 if answer == "y" else 1, result), told["text"]
    assert (f"{name}时工件应放行。人没有确认" in told["text"]) == (answer == "n")


@pytest.mark.parametrize(("point", "name", "key"), KEYS)
def test_a_key_that_stands_there_already_proves_nothing_without_a_part(
    tmp_path: Path, point: str, name: str, key: Control
) -> None:
    wire(tmp_path, [])
    without_counters(tmp_path)
    with PlayedStation(tmp_path / "plc") as plc:
        plc.part(control=key)
        with Person(tmp_path, "--step", "plc", "--point", point, "--within", "1") as person:
            person.plays({"这件放行了": ("y", ())})
            code, (told,) = person.end()
    assert (code, told["result"]) == (1, "failed")
    assert f"1 秒内没有{name}的工件触发" in told["text"]


def test_a_lamp_that_nobody_sees_is_refused(tmp_path: Path) -> None:
    wire(tmp_path, [])
    with PlayedStation(tmp_path / "plc"):
        for answer in ("n", None):  # None: nobody is there
            with Person(tmp_path, "--step", "plc", "--point", "light") as person:
                if answer is not None:
                    person.hears("报警灯（状态位 7）亮了")
                    person.answer(answer)
                code, (told,) = person.end()
            assert (code, told["result"]) == (1, "failed")
            assert "人没有确认：报警灯" in told["text"]


@pytest.mark.parametrize(
    ("point", "bit", "there", "gone"),
    [
        # latched by docs/plc/station.st
        ("stop", StatusFlags.STOP_REQUEST, "产线不能启动", "按复位：皮带能启动了"),
        ("light", StatusFlags.WARNING, "报警灯（状态位 7）亮了", "灯灭了"),
    ],
)
def test_what_is_asked_of_a_lamp_is_what_the_plc_program_does(
    tmp_path: Path, point: str, bit: StatusFlags, there: str, gone: str
) -> None:
    wire(tmp_path, [])
    with (
        PlayedStation(tmp_path / "plc") as plc,
        Person(tmp_path, "--step", "plc", "--point", point) as person,
    ):
        person.hears(there)
        until(lambda: bit in plc.status)
        person.answer("y")
        person.hears(gone)
        until(lambda: bit not in plc.status)
        person.answer("y")
        person.plays({})
        code, (told,) = person.end()
    assert plc.told == StatusFlags.ONLINE | bit
    assert (code, told["result"]) == (0, "passed"), told["text"]
    asked = [line for line in person.talk if "(y/n)" in line]
    assert [there in asked[0], gone in asked[1], len(asked)] == [True, True, 2]


def test_a_port_that_the_node_holds_is_told_in_a_sentence(tmp_path: Path) -> None:
    wire(tmp_path, [False])
    with PlayedStation(tmp_path / "plc"):
        node = Node(settings.read(tmp_path / "edge.toml"), unsigned=True)
        with running(node):
            until(lambda: "no answer" not in (node.unready("s1") or ""), within_s=20)
            with Person(tmp_path, "--step", "plc") as person:
                code, (told,) = person.end()
    assert (code, told["result"], told["record"]) == (1, "refused", None)
    assert told["text"].startswith("PLC 或它的端口用不了：")
    assert "is held by process" in told["text"]
    assert "Stop that program, such as a running node" in told["text"]


def test_after_a_power_cut_the_points_go_on_where_they_were(tmp_path: Path) -> None:
    wire(tmp_path, [])
    without_counters(tmp_path)
    with PlayedStation(tmp_path / "plc") as plc:
        with Person(tmp_path, "--step", "plc") as person:
            person.hears("每 250 ms 变一次")
            person.answer("y")
            person.hears("PLC 报“节点离线”")
            person.answer("y")
            person.hears("心跳还停着")
            plc.part()
            person.hears("这件被剔除了")
            person.answer("y")
            person.hears("放一个件过到位传感器")
            person.kill()
        with Person(tmp_path, "--step", "plc") as person:
            person.hears("接着上次：2 个点已通过，还有 11 个")
            person.hears("—— 触发编号")
            person.hears("放一个件过到位传感器")
            plc.part()
            person.hears("放一个件过去，节点会回答合格")
            person.kill()
    journal = store.read(tmp_path / "data")
    assert journal is not None
    assert [(r.point, r.result) for r in journal.records] == [
        ("plc-heartbeat", "passed"),
        ("node-heartbeat", "passed"),
        ("trigger", "passed"),
    ]
