"""A station with a bus whose verdict goes by wire: what is otherwise when its points are tried.

The numbers come over the bus, and so do keys and the reset. A verdict is a pulse of the `ok`
output, or none, and what a lamp or `stop` has a wire for is shown on that wire alone: the same bit
in the register would hide a wire that is through.
"""

import time
from functools import partial

from edge.commissioning.line import ANSWER_S, BASE, LOOK_S, Line
from edge.commissioning.outcome import Outcome
from edge.commissioning.plc_step import SILENT_S, PlcStep
from edge.commissioning.points import wire_fault
from edge.commissioning.sentences import quoted
from edge.commissioning.terminal import Terminal
from edge.plc.blocks import StatusFlags
from edge.plc.bus import BusStation
from edge.plc.handshake import Taken, Triggered
from edge.plc.wires import Wires
from edge.settings import Io, Settings, Station
from edge.terms import Code

BY_ROLE = {
    "stop": StatusFlags.STOP_REQUEST,
    "warning": StatusFlags.WARNING,
    "buzzer": StatusFlags.FAULT,
}
"""What makes an output come on."""


class WiredLine(Line):
    """The station's PLC and its I/O."""

    def __init__(self, wiring: Settings, station: Station) -> None:
        """Nothing is opened before `__enter__`."""
        super().__init__(wiring, station)
        self.io: Io = next(one for one in wiring.io if one.name == station.io)
        self._wires: Wires
        wired = (flag for role, flag in BY_ROLE.items() if getattr(self.io, role) is not None)
        self._on_wires = StatusFlags(0)
        for flag in wired:
            self._on_wires |= flag

    def tell(self, flags: StatusFlags = BASE) -> None:
        """What outputs show that have a wire, and the status register the rest."""
        shown = self._wires.show(BASE | flags)
        bus_station = self._bus.station(self.station.name)
        bus_station.status(shown & ~self._on_wires, active_recipe=self._recipe)

    def _opened(self, bus_station: BusStation) -> Wires:
        self._wires = Wires(self.station, self.io, bus_station)
        self._wires.start()
        return self._wires

    def _close(self) -> None:
        self._wires.close()
        super()._close()

    def _contact_fault(self) -> str | None:
        fault = super()._contact_fault()
        deadline_s = time.monotonic() + ANSWER_S
        while self._wires.fault is not None and time.monotonic() < deadline_s:
            self.wait(lambda _: False, LOOK_S)
        if fault is None and self._wires.fault is not None:
            dead = f"导线用不了（io {self.io.name}）：查模块电源、A/B 线、地址、波特率"
            fault = quoted(dead, self._wires.fault)
        return fault

    def _settled_s(self, part: Triggered) -> float:
        """When its window is past."""
        io, edge_s = self.io, part.trigger.edge_s
        way_ms = io.ok_delay_ms + io.ok_width_ms
        if io.ok_from == "gate_eye":
            way_ms += (io.gate_after_ms or 0) + (io.gate_tolerance_ms or 0)
        return max(part.deadline_s, edge_s + way_ms / 1000)


class WiredStep(PlcStep):
    """The points of such a station."""

    _dead = "节点心跳已停"
    _anyway = "导线照样给合格脉冲"
    _seen = ("ok 没有亮，这件被剔除了？", "ok 亮了一下，这件放行了？")

    def __init__(self, line: WiredLine, terminal: Terminal, within_s: float) -> None:
        super().__init__(line, terminal, within_s)
        self._io = io = line.io
        if io.ready is not None:
            self._dead += "，“视觉就绪”（ready）也断了"
        if io.reset_button is not None:
            self._reset_by += f"，或输入 {io.reset_button}"
        self._silent_s = max(SILENT_S, 1.5 * io.watchdog_ms / 1000)  # whoever watches the beat
        self._ways |= {"ready": self._ready_wire} | {
            point: partial(self._lamp, BY_ROLE[role], there, gone)
            for point, role, there, gone in (
                ("stop", "stop", "产线不能启动？", "按复位：皮带能启动了？"),
                ("light", "warning", "报警灯亮了？", "报警灯灭了？"),
                ("buzzer", "buzzer", "蜂鸣器响了约 3 秒？", "蜂鸣器不响了？"),
            )
            if getattr(io, role) is not None
            for there, gone in [self._wired(role, there, gone)]
        }

    def _wired(self, role: str, there: str, gone: str) -> tuple[str, str]:
        output = f"导线 {role}（输出 {getattr(self._io, role)}）"
        return f"{output}通了，{there}", f"{output}断了。{gone}"

    def _ready_wire(self) -> Outcome:
        beats = self._io.watchdog_register is None
        on = "在闪（每秒两次），PLC 也看到了？" if beats else "通了，PLC 也看到了？"
        there, gone = self._wired("ready", "", "PLC 也看到了？")
        return self._lamp(StatusFlags.TRIGGER_READY, there.replace("通了，", on), gone)

    def _echo_fault(self, sent: Code, taken: Taken | None) -> str | None:
        return wire_fault(sent, taken.code if taken is not None else None, self._io.ok or "")

    def _heeded_fault(self, taken: Taken | None) -> str | None:
        """A pulse that was not given proves nothing of the PLC."""
        return self._echo_fault(Code.OK, taken)

    def _answered(self, word: str, part: Triggered, taken: Taken) -> tuple[str, dict[str, int]]:
        if taken.code is not Code.OK:
            return f"{word}：窗口过完，导线没有给脉冲", {}
        pulse_ms = round((taken.taken_s - part.trigger.edge_s) * 1000)
        return f"导线给了合格脉冲，从触发到读回得电 {pulse_ms} ms", {"pulse_ms": pulse_ms}

    def _kept_back(self) -> str:
        return "标准件按钮看到了；判了合格，导线不给脉冲，标准件被剔除"
