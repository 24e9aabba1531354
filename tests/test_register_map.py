"""`quanjian-edge map`: every register of every station, with its device's name, in Chinese."""

import csv
import io
from pathlib import Path

import pytest

from edge import settings
from edge.__main__ import main
from edge.plc.blocks import (
    BLOCK_SIZE,
    COUNTERS_SIZE,
    RESULT_OFFSET,
    RESULT_SIZE,
    Control,
    StatusFlags,
)
from edge.register_map import BLOCK, PROTOCOLS, RESULT, STATUS, as_csv, as_markdown, counters
from edge.wire_map import NAMES
from tests.test_profiled import with_keys
from tests.test_settings import WHOLE, written
from tests.test_wiring_io import ALONE, BESIDE

KEYS = 'read_base = "D100"\nwrite_base = "D120"\ncounters_base = "D4096"\n'


def delta(tmp_path: Path) -> settings.Settings:
    return settings.read(written(tmp_path, with_keys('profile = "delta-dvp"\n', KEYS)))


def table(text: str) -> list[list[str]]:
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))


def test_the_texts_are_as_many_as_the_registers_and_bits() -> None:
    assert len(BLOCK) == BLOCK_SIZE
    assert len(STATUS) == RESULT_OFFSET
    assert len(RESULT) == RESULT_SIZE
    assert len(tuple(counters())) == COUNTERS_SIZE
    for text, flags in ((BLOCK[0][1], Control), (STATUS[0][1], StatusFlags)):
        places = [flag.bit_length() - 1 for flag in flags]
        assert [f"{place} " in text for place in places] == [True] * len(places)
        assert f"{max(places) + 1} " not in text
    assert {*PROTOCOLS} == {*settings_protocols()}


def settings_protocols() -> set[str]:
    from edge.plc.codecs import PROTOCOLS as SPOKEN

    return set(SPOKEN)


def test_every_register_stands_there_once_with_its_device(tmp_path: Path) -> None:
    head, *lines = table(as_csv(delta(tmp_path)))
    assert head[:7] == ["工位或从站", "方向", "地址", "软元件", "内容", "取值", "区"]
    assert len(lines) == BLOCK_SIZE + RESULT_OFFSET + RESULT_SIZE + COUNTERS_SIZE
    found = {(line[1], line[3]): (line[2], line[4]) for line in lines}
    assert found["PLC → 节点", "D100"] == ("4196", "控制位")
    assert found["PLC → 节点", "D107"] == ("4203", "寄存器表版本")
    assert found["节点 → PLC", "D129"] == ("4225", "结论字")
    assert found["PLC → 节点", "D4096"] == ("36864", "良品计数低字")
    assert {line[0] for line in lines} == {"s1"}


def test_the_page_says_what_to_set_in_the_plc_and_whether_it_is_verified(tmp_path: Path) -> None:
    page = as_markdown(delta(tmp_path))
    assert "Modbus ASCII，/dev/ttyUSB0，9600 7E1，站号 1" in page
    assert "台达 DVP" in page
    assert "（已核实；DVP-ES2" in page
    assert "（未核实；" in page
    assert "| PLC → 节点 | 4204 | D108 | 已取走的结果编号 |" in page


def test_without_a_profile_there_are_addresses_and_no_devices(tmp_path: Path) -> None:
    wiring = settings.read(written(tmp_path, WHOLE))
    page = as_markdown(wiring)
    assert "Modbus RTU，/dev/ttyUSB0，115200 8E1，站号 1" in page
    assert "| 节点 → PLC | 109 | — | 结论字 |" in page
    assert "没有第二条账的计数器" in page
    assert [line[3] for line in table(as_csv(wiring))[1:]] == [""] * 22


def test_a_family_with_the_high_word_first_is_warned_of(tmp_path: Path) -> None:
    text = with_keys('profile = "siemens-s7-1200"\n', 'read_base = "DBW0"\nwrite_base = "DBW40"\n')
    page = as_markdown(settings.read(written(tmp_path, text)))
    assert "高字在前，寄存器块的 32 位数是低字在前" in page
    assert "| DBW58 | 结论字 |" in page


# -- tags --------------------------------------------------------------------------------------

TAGS = """
[[slave]]
name = "meter"
bus = "b1"
unit = 2
profile = "generic"

[[slave]]
name = "idle"
bus = "b1"
unit = 9

[[tag]]
name = "good"
title = "良品 | 箱"
station = "s1"
address = "D43"
type = "u32"
counts = true
dead_band = 10

[[tag]]
name = "door"
station = "s1"
address = "X17"
type = "bit"
words = { "1" = "开" }

[[tag]]
name = "why"
station = "s1"
address = "D41"
role = "stop_cause"

[[tag]]
name = "lamp"
station = "s1"
address = "D50"
type = "bit"
bit = 3

[[tag]]
name = "energy"
title = "电能"
slave = "meter"
address = "IR4"
type = "u32"
word_order = "high_first"
scale = 0.00005
unit = "kWh"
period_s = 300
"""


def with_tags(tmp_path: Path) -> settings.Settings:
    return settings.read(written(tmp_path, with_keys('profile = "delta-dvp"\n', KEYS) + TAGS))


def section(page: str, heading: str) -> str:
    return page[page.index(f"## {heading}\n") :].split("\n## ")[0]


def test_every_tag_stands_with_its_plc_or_slave(tmp_path: Path) -> None:
    page = as_markdown(with_tags(tmp_path))
    plc, meter = section(page, "工位 s1"), section(page, "从站 meter")
    assert (
        "| good | 良品 \\| 箱 | D43、D44 | 保持寄存器（FC03） | 4139 | u32 | 低字在前 | 1 | 60 s "
        "| 累计，只增不减；死区 10 |"
    ) in plc
    assert "| door | — | X17 | 离散输入（FC02） | 1039 | bit | — | — | 60 s | 1 开 |" in plc
    assert "| D41 | 保持寄存器（FC03） | 4137 | u16 | — | 1 | 60 s | 停线原因，0 = 无 |" in plc
    assert "| D50 | 保持寄存器（FC03） | 4146 | bit 3 | — | — | 60 s | — |" in plc
    assert "Modbus ASCII，/dev/ttyUSB0，9600 7E1，站号 2。节点只读它的数据点，不写。" in meter
    assert 'profile = "generic"' in meter
    assert (
        "| energy | 电能 | IR4、IR5 | 输入寄存器（FC04） | 4 | u32 | 高字在前 | 0.00005 kWh "
        "| 300 s | — |"
    ) in meter
    assert "没有写它的 [[tag]]：不读。" in section(page, "从站 idle")
    assert "数据点：" not in as_markdown(delta(tmp_path))


def test_tags_stand_in_the_table_for_a_spreadsheet(tmp_path: Path) -> None:
    head, *lines = table(as_csv(with_tags(tmp_path)))
    assert {len(line) for line in lines} == {len(head)}
    tags = [dict(zip(head, line, strict=True)) for line in lines if line[7]]
    assert [tag["数据点"] for tag in tags] == ["door", "why", "good", "lamp", "energy"]
    assert tags[2]["工位或从站"] == "s1"
    assert tags[4] == {
        **{"工位或从站": "meter", "方向": "PLC → 节点", "地址": "4", "软元件": "IR4、IR5"},
        **{"内容": "电能", "取值": "", "区": "输入寄存器（FC04）", "数据点": "energy"},
        **{"类型": "u32", "字序": "高字在前", "倍率": "0.00005", "单位": "kWh", "周期 s": "300"},
    }


def test_protocols_without_function_codes_are_not_given_any(tmp_path: Path) -> None:
    tag = '[[tag]]\nname = "good"\nstation = "s1"\naddress = "D43"\n'
    text = with_keys('profile = "omron-cp"\n', 'read_base = "D0"\nwrite_base = "D20"\n') + tag
    page = as_markdown(settings.read(written(tmp_path, text)))
    assert "| good | — | D43 | 保持寄存器 | 43 | u16 |" in page


def test_the_wires_of_a_station_stand_below_its_registers(tmp_path: Path) -> None:
    page = as_markdown(settings.read(written(tmp_path, BESIDE)))
    wires = page.partition("导线：")[2].splitlines()
    assert "io box，开关量模块 /dev/ttyUSB1，Modbus RTU，9600 8N1，站号 1" in wires[0]
    assert wires[4:] == [
        "| part_present | 工件到位 | 进节点 | 输入 0（FC02，地址 0） | — |",
        "| gate_eye | 剔除口光电 | 进节点 | 输入 1（FC02，地址 1） | — |",
        "| ok | 合格脉冲 | 出节点 | 输出 0（FC15，地址 0） | 从“工件到位”的沿起 400 ms，得电 50 "
        'ms，只给合格件；按上升沿取（ok_taken = "rising_edge"） |',
        "| ready | 视觉就绪 | 出节点 | 输出 1（FC15，地址 1） | 每 250 ms 翻转一次；1000 ms 不翻转 "
        "= 节点死了，不取 ok |",
        "| warning | 报警灯 | 出节点 | 输出 2（FC15，地址 2） | 低电平有效 |",
    ]
    alone = as_markdown(settings.read(written(tmp_path, ALONE)))
    assert "没有总线：没有寄存器，节点自己计数。" in alone
    assert "按电平取" in alone


def test_every_wire_has_the_name_that_the_manual_gives_it() -> None:
    manual = (Path(__file__).parent.parent / "docs" / "electrician.zh-CN.md").read_text("utf-8")
    assert list(NAMES) == [*settings.INPUTS, *settings.OUTPUTS]
    for role, name in NAMES.items():
        (row,) = [
            line
            for line in manual.splitlines()
            if line.startswith("| `")
            and f"`{role}`" in line.split("|")[1]
            and line.split("|")[2].strip() in "入出"
        ]
        assert name in row.split("|")[3]


@pytest.mark.parametrize("form", [[], ["--csv"]])
def test_the_command_prints_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: list[str]
) -> None:
    path = written(tmp_path, with_keys('profile = "delta-dvp"\n', KEYS))
    assert main(["map", "--config", str(path), *form]) == 0
    assert "已取走的结论字" in capsys.readouterr().out
