"""`quanjian-edge map`: the registers of this site, in Chinese, for the person who programs the PLC.

One line per register: direction, address, device by the bus's profile, meaning, values. After them
the wires of a station with an I/O (edge/wire_map.py; only on the page, not in the table) and the
tags of each PLC and slave (edge/tag_map.py). Reads edge.toml alone; no device is asked.
"""

import argparse
import csv
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge import settings, tag_map, wire_map
from edge.plc.codecs import data_bits_of
from edge.plc.devices import name_of
from edge.plc.profile import Profile, known, read
from edge.settings import Settings, Slave, Station
from edge.tag_map import AREA_NAMES, TagRow
from edge.terms import MAP_VERSION

TO_NODE, TO_PLC = "PLC → 节点", "节点 → PLC"

HEAD = (
    *("工位或从站", "方向", "地址", "软元件", "内容", "取值", "区"),
    *("数据点", "类型", "字序", "倍率", "单位", "周期 s"),
)
"""Of the table for a spreadsheet; what stands after the area is of tags alone."""

Meaning = tuple[str, str]
"""What a register is, and what its values say."""

BLOCK: tuple[Meaning, ...] = (
    (
        "控制位",
        "位 0 使能，1 产线运行，2 复位，3 旁路，4 观察，5 标准件，6 剔除故障"
        "（3 至 5 属于寄存器 1 的工件）",
    ),
    ("触发编号", "工件计数的低字"),
    ("该次触发锁存的配方", "配方号 1 至 65535"),
    ("触发至今", "毫秒，到 65535 不回绕"),
    ("工件计数低字", "32 位数，低字在前，只增不改"),
    ("工件计数高字", ""),
    ("PLC 心跳", "每次扫描加 1"),
    ("寄存器表版本", f"固定为 {MAP_VERSION}"),
    ("已取走的结果编号", "原样回写节点的结果编号"),
    ("已取走的结论字", "原样回写节点的结论字"),
    ("PLC 启动号", "断电保持，每次首扫加 1"),
    ("要的配方", "配方号 1 至 65535"),
)

STATUS: tuple[Meaning, ...] = (
    (
        "状态位",
        "位 0 在线，1 可触发，2 忙，3 漏采，4 来件太快，5 故障，6 请求停线，7 报警灯，8 任务失败，"
        "9 已见旁路",
    ),
    ("节点心跳", "250 ms 变一次；1 s 不变，之后每件剔除"),
    ("当前配方", "配方号；0 = 无"),
    ("已采集编号", "图已拍完，工件可以动"),
    ("错误码", "0 无，1 相机，2 台账，3 检测器，4 有工件超时未判，5 配方不可用"),
)

RESULT: tuple[Meaning, ...] = (
    ("缺陷类别", "0 = 无"),
    ("得分", "× 1000，0 至 1000"),
    ("检测用时", "毫秒"),
    ("结果编号", "工件计数的低字"),
    ("结论字", "结论 + 16 ×（编号 mod 4096）；结论 1 合格，2 不合格，3 未判定；只有 1 放行"),
)

COUNTED = ("良品", "剔除（已下令）", "剔除确认", "旁路", "剔除故障")

PROTOCOLS = {
    "modbus_rtu": "Modbus RTU",
    "modbus_ascii": "Modbus ASCII",
    "modbus_tcp": "Modbus TCP",
    "mitsubishi_fx": "三菱 FX 编程口协议",
    "host_link": "欧姆龙 Host Link（C-mode）",
    "mewtocol": "松下 MEWTOCOL-COM",
}


def counters() -> Iterator[Meaning]:
    """The second law's registers."""
    for name in COUNTED:
        yield f"{name}计数低字", "32 位数，低字在前"
        yield f"{name}计数高字", ""


@dataclass(frozen=True, slots=True)
class Row:
    """One register."""

    station: str
    direction: str
    address: int
    device: str  # "" where the profile knows none
    meaning: str
    values: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.epilog = "example: quanjian-edge map --config edge.toml > registers.md"
    parser.add_argument(
        "--config",
        type=Path,
        default=settings.DEFAULT_PATH,
        help="edge.toml (default: %(default)s)",
    )
    parser.add_argument("--csv", action="store_true", help="for a spreadsheet, instead of Markdown")


def run(asked: argparse.Namespace) -> int:
    """Print the map; 0.

    Raises:
        SettingsError: with every mistake in the file.
    """
    wiring = settings.read(asked.config)
    sys.stdout.write(as_csv(wiring) if asked.csv else as_markdown(wiring))
    return 0


def rows(station: Station, profile: Profile | None) -> Iterator[Row]:
    """The registers of one station, by address within each block."""
    blocks: list[tuple[str, int | None, Sequence[Meaning]]] = [
        (TO_NODE, station.read_base, BLOCK),
        (TO_PLC, station.write_base, (*STATUS, *RESULT)),
        (TO_NODE, station.counters_base, tuple(counters())),
    ]
    areas = profile.area if profile is not None else ()
    for direction, base, meanings in blocks:
        if base is None:
            continue
        for address, (meaning, values) in enumerate(meanings, base):
            device = name_of(areas, "holding", address) or ""
            yield Row(station.name, direction, address, device, meaning, values)


def as_csv(wiring: Settings) -> str:
    """All in one table; begins with the mark by which spreadsheets know UTF-8."""
    text = io.StringIO()
    text.write("\ufeff")
    out = csv.writer(text, lineterminator="\n")
    out.writerow(HEAD)
    sources: list[Station | Slave] = [*wiring.station, *wiring.slave]
    for source in sources:
        bus = _bus(wiring, source)
        if bus is None:
            continue
        profile = _profile(bus, source)
        if isinstance(source, Station):
            out.writerows(_register_cells(row) for row in rows(source, profile))
        tags = tag_map.rows(wiring, source, bus, profile)
        out.writerows(_tag_cells(source.name, row) for row in tags)
    return text.getvalue()


def _register_cells(row: Row) -> tuple[object, ...]:
    blank = ("",) * (len(HEAD) - 7)
    told = (row.station, row.direction, row.address, row.device, row.meaning, row.values)
    return (*told, AREA_NAMES["holding"], *blank)


def _tag_cells(source: str, row: TagRow) -> tuple[object, ...]:
    return (
        *(source, TO_NODE, row.address, row.device, row.title or row.name, row.values),
        *(row.area, row.name, row.type, row.word_order, row.scale, row.unit, row.period_s),
    )


def as_markdown(wiring: Settings) -> str:
    """A page for the PLC's programmer."""
    node = wiring.node
    lines = [f"# 寄存器表 {node.plant}/{node.line}/{node.name}", ""]
    lines.append(
        "地址从 0 数（手册写 40001 的就是 0）。寄存器块的 32 位数低字在前，数据点的见各行。"
    )
    lines.append("程序见 docs/plc-program.md。")
    for station in wiring.station:
        bus = _bus(wiring, station)
        if bus is None:
            lines += ["", f"## 工位 {station.name}", "", "没有总线：没有寄存器，节点自己计数。"]
            lines += _wires(wiring, station)
            continue
        profile = _profile(bus, station)
        lines += ["", f"## 工位 {station.name}", "", _connection(bus, station)]
        if profile is not None:
            lines += ["", *_family(bus, profile)]
        lines += ["", "| 方向 | 地址 | 软元件 | 内容 | 取值 |", "|---|---|---|---|---|"]
        lines += [
            f"| {row.direction} | {row.address} | {row.device or '—'} | {row.meaning} "
            f"| {row.values or '—'} |"
            for row in rows(station, profile)
        ]
        if station.counters_base is None:
            lines += ["", "没有第二条账的计数器（counters_base 未写）：剔除未确认。"]
        lines += _wires(wiring, station)
        lines += tag_map.markdown(tag_map.rows(wiring, station, bus, profile))
    for slave in wiring.slave:
        lines += ["", *_slave(wiring, slave)]
    return "\n".join(lines) + "\n"


def _wires(wiring: Settings, station: Station) -> list[str]:
    """The station's I/O; [] without one."""
    ios = [io for io in wiring.io if io.name == station.io]
    return [line for io in ios for line in wire_map.markdown(io)]


def _slave(wiring: Settings, slave: Slave) -> Iterator[str]:
    yield f"## 从站 {slave.name}"
    bus = next(bus for bus in wiring.bus if bus.name == slave.bus)
    profile = _profile(bus, slave)
    yield ""
    yield f"{_connection(bus, slave)}节点只读它的数据点，不写。"
    if profile is not None and slave.profile is not None:
        yield ""
        yield f'系列：{profile.family}（profile = "{slave.profile}"）。'
    yield from tag_map.markdown(tag_map.rows(wiring, slave, bus, profile)) or (
        "",
        "没有写它的 [[tag]]：不读。",
    )


def _connection(bus: settings.Bus, source: Station | Slave) -> str:
    protocol = PROTOCOLS[bus.protocol]
    if bus.host is not None:
        return f"{protocol}，{bus.place}，站号 {source.unit}。"
    form = f"{bus.baudrate} {data_bits_of(bus)}{bus.parity}{bus.stop_bits}"
    return f"{protocol}，{bus.place}，{form}，站号 {source.unit}。"


def _family(bus: settings.Bus, profile: Profile) -> Iterator[str]:
    """What to set in the PLC."""
    yield f'PLC 系列：{profile.family}（profile = "{bus.profile}"）。在 PLC 里要设的：'
    yield ""
    for step in profile.set_up:
        yield f"- {step.text}（{known(step.verified)}；{profile.source[step.source]}）"
    if profile.word_order is not None and profile.word_order.value == "high_first":
        yield "- 注意：这一系列自己的 32 位数是高字在前，寄存器块的 32 位数是低字在前"


def _bus(wiring: Settings, source: Station | Slave) -> settings.Bus | None:
    """None: the station has no PLC to talk to."""
    return next((bus for bus in wiring.bus if bus.name == source.bus), None)


def _profile(bus: settings.Bus, source: Station | Slave) -> Profile | None:
    """A station's PLC is of the bus's family, a slave of its own or none."""
    name = source.profile if isinstance(source, Slave) else bus.profile
    return read(name) if name is not None else None
