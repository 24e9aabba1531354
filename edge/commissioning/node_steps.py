"""The steps for which the node itself runs: golden parts, and monitor mode."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from edge.commissioning import golden
from edge.commissioning.golden import EXPECTED, Expect, Pass
from edge.commissioning.journal import Judged
from edge.commissioning.options import Options
from edge.commissioning.outcome import Outcome, judged
from edge.commissioning.sentences import quoted
from edge.commissioning.terminal import Terminal
from edge.commissioning.trial import Trial
from edge.mqtt.message import PartRow
from edge.terms import Code, Mode

READY_S = 60.0  # cameras set up, models proved, the PLC's heartbeat seen


def prove(trial: Trial, terminal: Terminal, name: str, expect: Expect, options: Options) -> Outcome:
    """One golden part through camera and detector, so many times; a PLC rejects it each time."""
    fault = trial.unready(READY_S)
    if fault is not None:
        return Outcome("failed", quoted("工位没有就绪", fault))
    passes: list[Pass] = []
    way = "按标准件按钮，放上线" if trial.keyed else "只放它一件；没有标准件按钮，判合格就放行"
    for place in range(1, options.times + 1):
        terminal.say(f"{name}（已知{EXPECTED[expect]}）第 {place}/{options.times} 次：{way}")
        row = _sample(trial, terminal, options.within_s)
        if row is None:
            break
        passes.append(_pass(row))
    for line in golden.table(name, expect, passes):
        terminal.say(line)
    codes = Counter(one.code for one in passes)
    return judged(
        golden.fault(name, expect, passes, options.times),
        f"{name}（已知{EXPECTED[expect]}）{len(passes)} 次都判对",
        expect=expect,
        times=len(passes),
        ok=codes[Code.OK],
        ng=codes[Code.NG],
        undecided=codes[Code.UNDECIDED],
        numbers=[one.number for one in passes],
    )


def _sample(trial: Trial, terminal: Terminal, within_s: float) -> PartRow | None:
    """The next part that the PLC calls a golden sample; others are told and left out.

    Without a PLC nobody can call it so, and it is the next part.
    """
    if not trial.keyed:
        return next(iter(trial.parts(bool, within_s)), None)
    told = 0

    def come(rows: list[PartRow]) -> bool:
        nonlocal told
        for row in rows[told:]:
            if row.mode is not Mode.SAMPLE:
                terminal.say(f"编号 {row.number} 不是标准件，不计：先按标准件按钮")
        told = len(rows)
        return any(row.mode is Mode.SAMPLE for row in rows)

    rows = trial.parts(come, within_s)
    return next((row for row in rows if row.mode is Mode.SAMPLE), None)


def _pass(row: PartRow) -> Pass:
    return Pass(
        number=row.number,
        code=row.computed,
        reason=row.computed_reason.value if row.computed_reason else None,
        defect=row.defect,
        score=row.score / 10_000 if row.score is not None else None,
    )


def watch(trial: Trial, terminal: Terminal, station: str, options: Options) -> Outcome:
    """Parts in monitor mode until there are enough, the time is over, or Ctrl-C."""
    fault = trial.unready(READY_S)
    if fault is not None:
        return Outcome("failed", quoted("工位没有就绪", fault))
    key = "PLC 钥匙打到观察，" if trial.keyed else "没有观察钥匙，结论照样起作用；"
    terminal.say(
        f"{key}照常生产；{options.parts} 件后结束，Ctrl-C 提前结束。每件记下编号，留着做人工检验"
    )
    kept: list[PartRow] = []
    told = -1

    def enough(rows: list[PartRow]) -> bool:
        nonlocal told
        kept[:] = [row for row in rows if row.mode is Mode.MONITOR or not trial.keyed]
        if len(rows) == told:
            return len(kept) >= options.parts
        told = len(rows)
        others = len(rows) - len(kept)
        note = f"，{others} 件不在观察模式，不计" if others else ""
        terminal.live(f"观察 {len(kept)}/{options.parts} 件{note}")
        return len(kept) >= options.parts

    try:
        trial.parts(enough, options.monitor_s)
    except KeyboardInterrupt:
        terminal.say("提前结束")
    return _watched(station, kept, options)


def _watched(station: str, rows: Sequence[PartRow], options: Options) -> Outcome:
    codes = Counter(row.code for row in rows)
    short = f"只观察到 {len(rows)} 件，要 {options.parts} 件：查产线是否在走、PLC 钥匙（控制位 4）"
    outcome = judged(
        short if len(rows) < options.parts else None,
        f"观察 {len(rows)} 件：会放行 {codes[Code.OK]}，会剔除 {codes[Code.NG]}，"
        f"未判定 {codes[Code.UNDECIDED]}；接着做人工比对：quanjian-edge commission manual",
        parts=len(rows),
        ok=codes[Code.OK],
        ng=codes[Code.NG],
        undecided=codes[Code.UNDECIDED],
    )
    return replace(outcome, judged=tuple(_judged(station, row) for row in rows))


def _judged(station: str, row: PartRow) -> Judged:
    return Judged(
        station=station,
        epoch=row.epoch,
        number=row.number,
        code=int(row.code),
        reason=row.reason.value if row.reason else None,
        defect=row.defect,
    )
