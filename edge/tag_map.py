"""The tags of a station's PLC or of a slave, as `quanjian-edge map` prints them. Pure.

One row per tag, by area and address: what the PLC's programmer or the meter's manual must agree to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from edge.plc.devices import name_of
from edge.plc.profile import Profile
from edge.plc.transaction import AREAS
from edge.settings import Bus, Settings, Slave, Station, Tag

AREA_NAMES = {
    "holding": "保持寄存器",
    "input": "输入寄存器",
    "coil": "线圈",
    "discrete": "离散输入",
}

WORD_ORDERS = {"low_first": "低字在前", "high_first": "高字在前"}

ROLES = {"stop_cause": "停线原因，0 = 无", "line_state": "产线状态，PackML 号 0 至 17"}


@dataclass(frozen=True, slots=True)
class TagRow:
    """One tag, every value as text; "" = it has none."""

    name: str
    title: str
    device: str  # both registers of 32 bits; "" where the profile knows none
    area: str
    address: int
    type: str
    word_order: str
    scale: str
    unit: str
    period_s: str
    values: str

    @property
    def count(self) -> str:
        """What one count is."""
        return f"{self.scale} {self.unit}".strip()


def rows(
    wiring: Settings, source: Station | Slave, bus: Bus, profile: Profile | None
) -> list[TagRow]:
    """The tags that are read from this station's PLC or slave."""
    key = "slave" if isinstance(source, Slave) else "station"
    own = [tag for tag in wiring.tag if getattr(tag, key) == source.name]
    own.sort(key=lambda tag: (AREAS[tag.area], tag.address, tag.bit or 0))
    return [_row(tag, bus, profile) for tag in own]


def markdown(tags: Sequence[TagRow]) -> list[str]:
    """A table of them; [] without any."""
    if not tags:
        return []
    return [
        "",
        "数据点：节点只读，每秒最多读一次；变化超过死区、或到了周期，记一行台账。",
        "",
        "| 名称 | 显示名 | 软元件 | 区 | 地址 | 类型 | 字序 | 一个数是 | 周期 | 取值 |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *("| " + " | ".join(map(_cell, _texts(tag))) + " |" for tag in tags),
    ]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|") or "—"


def _texts(tag: TagRow) -> tuple[str, ...]:
    return (
        *(tag.name, tag.title, tag.device, tag.area, str(tag.address), tag.type),
        *(tag.word_order, tag.count, f"{tag.period_s} s", tag.values),
    )


def _row(tag: Tag, bus: Bus, profile: Profile | None) -> TagRow:
    areas = profile.area if profile is not None else ()
    devices = [name_of(areas, tag.area, tag.address + n) or "" for n in range(tag.size)]
    function = f"（FC{AREAS[tag.area]:02}）" if bus.protocol.startswith("modbus") else ""
    return TagRow(
        name=tag.name,
        title=tag.title,
        device="、".join(filter(None, devices)),
        area=AREA_NAMES[tag.area] + function,
        address=tag.address,
        type=tag.type if tag.bit is None else f"{tag.type} {tag.bit}",
        word_order=WORD_ORDERS[tag.word_order] if tag.size == 2 else "",
        scale=f"{Decimal(repr(tag.scale)).normalize():f}" if tag.type != "bit" else "",
        unit=tag.unit,
        period_s=f"{tag.period_s:g}",
        values=_values(tag),
    )


def _values(tag: Tag) -> str:
    told = [ROLES[tag.role]] if tag.role in ROLES else []
    told += ["累计，只增不减"] if tag.counts else []
    told += [f"死区 {tag.dead_band:g} {tag.unit}".rstrip()] if tag.dead_band else []
    told += ["，".join(f"{value} {word}" for value, word in tag.words.items())] if tag.words else []
    return "；".join(told)
