"""The step of one station's PLC: its points, tried one by one with a person at the line."""

import time
from collections.abc import Callable
from functools import partial

from edge.commissioning import points
from edge.commissioning.line import Line
from edge.commissioning.outcome import Outcome, judged
from edge.commissioning.points import Point
from edge.commissioning.sentences import quoted
from edge.commissioning.terminal import Terminal
from edge.errors import CommissioningError
from edge.plc.blocks import LineCounters, StatusFlags
from edge.plc.handshake import Missed, ResetPressed, Taken, Triggered
from edge.settings import Station
from edge.terms import Cause, Code, Mode

BEAT_S = 3.0  # within this the PLC's heartbeat must have been seen to move
SILENT_S = 1.5  # a heartbeat that stands so long is dead to the PLC, which allows a second
LAND_S = 20.0  # a part whose bin does not matter has landed within this, or was taken away

_WATCH = "PLC 里加“心跳 1 秒不变即离线：不取结论，每件剔除”"

KEYS = {"bypass": Mode.BYPASS, "monitor": Mode.MONITOR}
LAMPS = {
    "stop": (
        StatusFlags.STOP_REQUEST,
        "PLC 收到停线请求（状态位 6），产线不能启动？",
        "状态位已撤。按复位：皮带能启动了？",  # the PLC's program latches it until Reset
    ),
    "light": (StatusFlags.WARNING, "报警灯（状态位 7）亮了？", "状态位已撤，报警灯灭了？"),
}
"""Bit, what is asked while it is set, and what once it is withdrawn."""


class PlcStep:
    """The points of one station."""

    _dead = "节点心跳已停"
    _anyway = "节点会照样回答合格"
    _seen = ("这件被剔除了？", "这件放行了？")  # by whether it passes
    _reset_by = "控制位 2"
    _silent_s = SILENT_S

    def __init__(self, line: Line, terminal: Terminal, within_s: float) -> None:
        """`within_s`: how long a person may take for what is asked."""
        self._line = line
        self._terminal = terminal
        self._within_s = within_s
        self._ways: dict[str, Callable[[], Outcome]] = {
            "plc-heartbeat": self._plc_heartbeat,
            "node-heartbeat": self._node_heartbeat,
            "trigger": self._trigger,
            **{name: partial(self._verdict, code) for name, code in points.VERDICTS.items()},
            "reject": self._reject,
            **{name: partial(self._key, mode) for name, mode in KEYS.items()},
            "sample": self._sample,
            "reset": self._reset,
            **{name: partial(self._lamp, *lamp) for name, lamp in LAMPS.items()},
        }

    def attempt(self, point: Point) -> Outcome:
        """Try one point; the node's registers are quiet again afterwards."""
        self._line.forget()
        self._terminal.say(f"—— {point.zh}")
        refused = points.running_fault(point, self._line.line_running)
        if refused is not None:
            return Outcome("refused", refused)
        try:
            outcome = self._ways[point.name]()
        finally:
            self._line.hang(on=False)
            self._line.tell()
        if self._line.lost is not None and outcome.passed:
            return Outcome("failed", quoted("试的时候 PLC 断了", self._line.lost))
        if point.acts and self._line.line_running:
            return Outcome("refused", "试的时候产线开始运行了（LineRunning = 1），不算")
        return outcome

    # -- heartbeats ---------------------------------------------------------------------------

    def _plc_heartbeat(self) -> Outcome:
        line = self._line
        if not line.back:
            line.wait(lambda _: line.back, BEAT_S)
        register = line.station.read_base + 6
        still = (
            f"PLC 心跳（寄存器 {register}）{BEAT_S:g} 秒内没有变："
            "查 PLC 是否在 RUN、心跳程序是否每个扫描都执行"
        )
        fault = None if line.back else quoted(still, line.lost)
        return judged(fault, f"寄存器 {register} 在变")

    def _node_heartbeat(self) -> Outcome:
        line, station = self._line, self._line.station
        register = station.write_base + 1
        if not self._terminal.confirms(f"PLC 里看寄存器 {register}：每 250 ms 变一次？"):
            return Outcome("failed", f"PLC 看不到节点心跳（寄存器 {register}）：查地址、写区映射")
        self._be_ready()
        line.hang(on=True)
        line.wait(lambda _: False, self._silent_s)
        if not self._terminal.confirms(f"{self._dead}。PLC 报“节点离线”？"):
            return Outcome("failed", f"节点心跳停了 PLC 不知道：{_WATCH}")
        before = self._before()
        part = self._part(f"心跳还停着。放一个件过去，{self._anyway}：它必须被剔除")
        if part is None:
            return self._no_part()
        fault = self._heeded_fault(line.judge(part, Code.OK))
        fault = fault or self._went(before, passes=False)
        return judged(fault, "心跳停 1 秒后 PLC 判离线，不再取结论，工件被剔除")

    def _heeded_fault(self, taken: Taken | None) -> str | None:
        """Whether the PLC took the OK of a node that is dead to it."""
        if taken is None:
            return None
        register = self._line.station.read_base + 8
        return f"心跳停着，PLC 仍取走了“合格”（寄存器 {register} 有回写）：{_WATCH}"

    # -- parts --------------------------------------------------------------------------------

    def _trigger(self) -> Outcome:
        line = self._line
        number, bins = line.counter, self._before()
        self._terminal.say(f"现在的编号是 {number}。放一个件过到位传感器")
        part = line.part(self._within_s)
        if part is None:
            return self._no_part()
        first, last = _numbers(part)
        self._landed(bins, LAND_S)
        fault = points.step_fault(number, first, last)
        return judged(fault, f"编号 {number} → {last}", before=number, after=last)

    def _verdict(self, code: Code) -> Outcome:
        word = {Code.OK: "合格（1）", Code.NG: "不合格（2）", Code.UNDECIDED: "未判定（3）"}[code]
        before = self._before()
        part = self._triggered(f"放一个件过去，节点会回答{word}")
        if part is None:
            return self._no_part()
        taken = self._line.judge(part, code)
        fault = self._echo_fault(code, taken)
        if fault is not None or taken is None:
            return Outcome("failed", fault or "")
        text, figures = self._answered(word, part, taken)
        return judged(self._went(before, code is Code.OK), text, number=taken.number, **figures)

    def _answered(self, word: str, part: Triggered, taken: Taken) -> tuple[str, dict[str, int]]:
        """How the PLC was told, in a sentence and in figures."""
        echo_ms = round((taken.taken_s - part.trigger.edge_s) * 1000)
        return f"PLC 取走并回写{word}，从触发到看见回写 {echo_ms} ms", {"echo_ms": echo_ms}

    def _echo_fault(self, sent: Code, taken: Taken | None) -> str | None:
        station, echo = self._line.station, taken.code if taken is not None else None
        return points.echo_fault(sent, echo, station.deadline_ms, station.read_base)

    def _reject(self) -> Outcome:
        """The rejector itself: with sensors their count, without them a person's eyes."""
        before = self._before()
        part = self._triggered("放一个件过去，节点判不合格；看剔除机构动作、工件落进剔除箱")
        if part is None:
            return self._no_part()
        self._line.judge(part, Code.NG)
        fault = self._went(before, passes=False, question="工件落进剔除箱了？")
        confirmed = "传感器已确认" if before is not None else "由人确认，没有传感器：剔除未确认"
        return judged(fault, f"剔除到位，{confirmed}", sensors=before is not None)

    def _triggered(self, prompt: str, mode: Mode | None = None) -> Triggered | None:
        """The next part, while the node says that it is ready."""
        self._be_ready()
        return self._part(prompt, mode)

    def _be_ready(self) -> None:
        """The PLC is told that parts can be judged.

        Raises:
            CommissioningError: it cannot be.
        """
        if not self._line.ready(BEAT_S):
            base = self._line.station.write_base
            written = f"状态寄存器（{base} 起）写不进去：查 write_base 和 PLC 里的写区"
            raise CommissioningError(quoted(written, self._line.lost))

    def _part(self, prompt: str, mode: Mode | None = None) -> Triggered | None:
        """The next part; `mode`: the next one in that."""
        self._terminal.say(prompt)
        deadline_s = time.monotonic() + self._within_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            part = self._line.part(left_s)
            if isinstance(part, Triggered) and mode in (None, part.trigger.mode):
                return part
            if isinstance(part, Missed) and part.cause is Cause.NOT_READY:
                self._terminal.say("这件没算：PLC 没有使能（控制位 0）；置位后再放一个")
        return None

    def _before(self) -> LineCounters | None:
        """The bins' counters before the part; None: this station has no sensors there.

        Raises:
            CommissioningError: it should have them, and they cannot be read.
        """
        base = self._line.station.counters_base
        if base is None:
            return None
        counters = self._line.counted(lambda _: True, BEAT_S)
        if counters is None:
            raise CommissioningError(f"料箱计数器（{base} 起 10 个）读不到：查 counters_base")
        return counters

    def _went(
        self, before: LineCounters | None, passes: bool, question: str | None = None
    ) -> str | None:
        """Did the part end where it should? By the sensors, else by the person."""
        question = question or self._seen[passes]
        if before is None:
            return None if self._terminal.confirms(question) else f"人没有确认：{question}"
        return points.bin_fault(before, self._landed(before, self._within_s) or before, passes)

    def _landed(self, before: LineCounters | None, within_s: float) -> LineCounters | None:
        """The counters when a part has come to a bin, so that it is not taken for the next one."""
        if before is None:
            return None
        self._terminal.say("等工件落箱……")
        return self._line.counted(partial(points.counted_anything, before), within_s)

    def _no_part(self) -> Outcome:
        return Outcome("failed", f"{self._within_s:g} 秒内没有这样的工件触发：查传感器、PLC 计数")

    # -- keys, buttons, lamps -----------------------------------------------------------------

    def _key(self, mode: Mode) -> Outcome:
        name = "旁路" if mode is Mode.BYPASS else "观察"
        before = self._before()
        self._terminal.say(f"把钥匙打到{name}，再放一个件过去")
        if not self._comes(mode):
            return Outcome(
                "failed", f"{self._within_s:g} 秒内没有{name}的工件触发：查钥匙接线、控制位、传感器"
            )
        fault = self._went(before, passes=True, question="这件放行了？")  # without a verdict
        if fault is not None:
            return Outcome("failed", f"{name}时工件应放行。{fault}")
        self._line.forget()  # parts that came while the person looked are none of the next
        before = self._before()
        self._terminal.say(f"看到{name}了。把钥匙打回自动，再放一个件过去")
        if not self._comes(Mode.AUTO):
            return Outcome("failed", f"{name}没有退出来：查钥匙、PLC 是否按件锁存控制位")
        self._landed(before, LAND_S)
        return Outcome("passed", f"{name}进得去，这件被放行，退得出")

    def _comes(self, mode: Mode) -> bool:
        """Does a part come, from now on, that carries this mode?"""
        deadline_s = time.monotonic() + self._within_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            if self._line.next_mode(left_s) is mode:
                return True
        return False

    def _sample(self) -> Outcome:
        """The OK must be taken: a PLC that has none rejects the part whatever it is."""
        before = self._before()
        prompt = "按一下标准件按钮，放一个件过去：它必须被剔除"
        part = self._triggered(prompt, Mode.SAMPLE)
        if part is None:
            return Outcome("failed", f"{self._within_s:g} 秒内没有看到标准件（控制位 5）")
        taken = self._line.judge(part, Code.OK)
        fault = self._echo_fault(Code.OK, taken) or self._went(
            before, passes=False, question="判了合格，标准件仍被剔除了？"
        )
        return judged(fault, self._kept_back())

    def _kept_back(self) -> str:
        return "标准件按钮看到了；PLC 取走了合格，标准件仍被剔除"

    def _reset(self) -> Outcome:
        self._terminal.say("按一下复位按钮")
        seen = self._line.wait(lambda seen: isinstance(seen, ResetPressed), self._within_s)
        fault = f"{self._within_s:g} 秒内没有看到复位（{self._reset_by}）：至少要保持 200 ms"
        return judged(None if seen else fault, "复位看到了")

    def _lamp(self, flag: StatusFlags, there: str, gone: str) -> Outcome:
        for flags, question in ((flag, there), (StatusFlags(0), gone)):
            self._line.tell(flags)
            if not self._terminal.confirms(question):
                return Outcome("failed", f"人没有确认：{question}")
        return Outcome("passed", "写得上，撤得掉，人已确认")


def by_hand(station: Station, terminal: Terminal) -> Outcome:
    """A station without a bus has no PLC to ask: who tried its wires answers for them."""
    if station.io is None:
        text = "没有 PLC，也没有导线：这个工位自己数，什么也不剔除，没有点位可试"
        return Outcome("passed", text, {"by_hand": False})
    terminal.say("没有总线：这里试不了它的点位，只记下人试的结果")
    question = "手册“逐点调试”里“没有总线的工位：用手逐条试”的每一条都试过，都对？"
    if not terminal.confirms(question):
        return Outcome("failed", f"人没有确认：{question}")
    return Outcome("passed", "没有总线：点位由人按手册用手逐条试过", {"by_hand": True})


def _numbers(part: Triggered | Missed) -> tuple[int, int]:
    if isinstance(part, Triggered):
        number = part.trigger.part.number
        return number, number
    return part.first, part.last
