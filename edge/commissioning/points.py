"""The points between PLC and node that are tried one by one, and what passes each. Pure.

A point that acts makes the PLC do something with the line (a verdict, a stop, a lamp): it is tried
only while the line does not run. The others are only looked at.
"""

from collections.abc import Collection
from dataclasses import dataclass

from edge.plc.blocks import LineCounters
from edge.terms import Code


@dataclass(frozen=True, slots=True)
class Point:
    """One point. `zh` is its name on screen, `acts` = only while LineRunning is off."""

    name: str
    zh: str
    acts: bool


POINTS = (
    Point("plc-heartbeat", "PLC 心跳", False),
    Point("node-heartbeat", "节点心跳", True),
    Point("trigger", "触发编号", False),
    Point("ok", "结论：合格", True),
    Point("ng", "结论：不合格", True),
    Point("undecided", "结论：未判定", True),
    Point("reject", "剔除确认", True),
    Point("bypass", "旁路钥匙", False),
    Point("monitor", "观察钥匙", False),
    Point("sample", "标准件按钮", True),
    Point("reset", "复位按钮", False),
    Point("stop", "停线请求", True),
    Point("light", "报警灯", True),
)

READY = Point("ready", "视觉就绪导线", True)
BUZZER = Point("buzzer", "蜂鸣器", True)
"""Only where the station's I/O has that output."""

BY_NAME = {point.name: point for point in (*POINTS, READY, BUZZER)}


def beside_wires(outputs: Collection[str]) -> tuple[Point, ...]:
    """The points of a station with a bus whose verdict goes by wire, by the outputs wired."""
    first = POINTS.index(BY_NAME["trigger"])
    ready, buzzer = ((p,) if p.name in outputs else () for p in (READY, BUZZER))
    return (*POINTS[:first], *ready, *POINTS[first:], *buzzer)


VERDICTS = {"ok": Code.OK, "ng": Code.NG, "undecided": Code.UNDECIDED}
"""Points that send a verdict, with the code that the PLC must echo."""


def running_fault(point: Point, line_running: bool) -> str | None:
    """Why the point may not be tried now."""
    if point.acts and line_running:
        return (
            f"“{point.zh}”会让 PLC 动作，产线在运行（控制位 1 LineRunning = 1）时不试；"
            "请停线、打到手动或点动，再来一次"
        )
    return None


def step_fault(before: int, first: int, last: int) -> str | None:
    """Whether one part made the part counter step by one: numbers first..last came after before."""
    if (first, last) == (before + 1, before + 1):
        return None
    return (
        f"只放了一个件，编号却从 {before} 到了 {last}（应为 {before + 1}）："
        "查到位传感器抖动、PLC 计数程序（寄存器 1、4、5）"
    )


def echo_fault(sent: Code, taken: Code | None, deadline_ms: int, read_base: int) -> str | None:
    """Whether the PLC's program took the verdict and said so; None taken = no echo came."""
    if taken is sent:
        return None
    where = f"寄存器 {read_base + 8}、{read_base + 9}"
    if taken is None:
        return (
            f"结论已写给 PLC，但 {deadline_ms} ms 内 PLC 没有回写{where}：查 PLC 取结果的程序，"
            "以及它是否看到节点心跳和“可触发”"
        )
    return f"写的是 {int(sent)}，PLC 在{where}回写的却是 {int(taken)}：查 PLC 程序"


def wire_fault(sent: Code, taken: Code | None, output: str) -> str | None:
    """Whether the wire said the verdict: a pulse read back for OK, nothing for another code."""
    if taken is sent:
        return None
    if sent is Code.OK:
        return (
            f"导线上没有给出合格脉冲（输出 {output} 没有读回得电，或这件没有自己的到位沿）："
            "查模块、part_present 的接线、ok_delay_ms"
        )
    return f"写的是 {int(sent)}，这件在它的窗口里却没有了结：查 gate_eye、part_present 的接线"


def bin_fault(before: LineCounters, after: LineCounters, passes: bool) -> str | None:
    """Whether exactly one part went where it was told, by the sensors of the bins."""
    good = (after.good - before.good) % (1 << 32)
    rejected = (after.reject_confirmed - before.reject_confirmed) % (1 << 32)
    if (good, rejected) == ((1, 0) if passes else (0, 1)):
        return None
    wanted = "良品箱" if passes else "剔除箱"
    told = f"良品 +{good}、剔除确认 +{rejected}"
    if good == rejected == 0:
        return f"没有工件到{wanted}（{told}）：查剔除机构、气源、料箱传感器"
    return f"这件应进{wanted}，计数器却是{told}：查剔除机构、跟踪、料箱传感器"


def counted_anything(before: LineCounters, after: LineCounters) -> bool:
    """Has a bin's sensor seen a part?"""
    return (before.good, before.reject_confirmed) != (after.good, after.reject_confirmed)
