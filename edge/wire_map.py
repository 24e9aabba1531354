"""The wires of a station's I/O, as `quanjian-edge map` prints them. Pure.

One row per line that is wired: what the electrician connects, and what it means when it has power.
"""

from collections.abc import Iterator

from edge.settings import INPUTS, OUTPUTS, Io

NAMES = {
    "part_present": "工件到位",
    "gate_eye": "剔除口光电",
    "bypass_key": "旁路钥匙",
    "reset_button": "复位按钮",
    "ok": "合格脉冲",
    "ready": "视觉就绪",
    "stop": "请求停线",
    "warning": "报警灯",
    "buzzer": "蜂鸣器",
}
"""As docs/electrician.zh-CN.md calls them."""


def markdown(io: Io) -> list[str]:
    """A table of them, with what carries them."""
    return [
        "",
        f"导线：{_carrier(io)}。结论只走导线：得电才是合格，断线、节点死机、不合格、未判定都没有电。",
        "",
        "| 线 | 内容 | 方向 | 接在 | 说明 |",
        "|---|---|---|---|---|",
        *(
            f"| {role} | {NAMES[role]} | {way} | {_terminal(io, role, way)} | {_told(io, role)} |"
            for way, roles in (("进节点", INPUTS), ("出节点", OUTPUTS))
            for role in roles
            if getattr(io, role) is not None
        ),
    ]


def _carrier(io: Io) -> str:
    if io.kind == "gpio":
        return f"io {io.name}，本机 {io.port}"
    form = f"{io.baudrate} 8{io.parity}{io.stop_bits}"
    return f"io {io.name}，开关量模块 {io.port}，Modbus RTU，{form}，站号 {io.unit}"


def _terminal(io: Io, role: str, way: str) -> str:
    number = int(getattr(io, role).lstrip("!"))
    if io.kind == "gpio":
        return f"线 {number}"
    inward = way == "进节点"
    base, function = (io.inputs_base, "FC02") if inward else (io.outputs_base, "FC15")
    return f"{'输入' if inward else '输出'} {number}（{function}，地址 {base + number}）"


def _told(io: Io, role: str) -> str:
    told = list(_meaning(io, role))
    told += ["低电平有效"] if getattr(io, role).startswith("!") else []
    return "；".join(told) or "—"


def _meaning(io: Io, role: str) -> Iterator[str]:
    if role == "ok":
        begins = NAMES[io.ok_from]
        yield f"从“{begins}”的沿起 {io.ok_delay_ms} ms，得电 {io.ok_width_ms} ms，只给合格件"
        taken = "上升沿" if io.ok_taken == "rising_edge" else "电平"
        yield f'按{taken}取（ok_taken = "{io.ok_taken}"）'
    elif role == "ready" and io.watchdog_register is None:
        yield f"每 250 ms 翻转一次；{io.watchdog_ms} ms 不翻转 = 节点死了，不取 ok"
    elif role == "ready":
        yield f"常电平；节点死了 {io.watchdog_ms} ms 后由模块断开，断开时不取 ok"
    elif role == "buzzer":
        yield "新的故障或停线请求响 3 秒"
