"""What known parts prove: a bad one is found every time, a good one passed every time. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edge.terms import Code

Expect = Literal["good", "bad"]
EXPECTED = {"good": "合格", "bad": "不合格"}
VERDICTS = {Code.OK: "合格", Code.NG: "不合格", Code.UNDECIDED: "未判定"}
LEAST_TIMES = 5


@dataclass(frozen=True, slots=True)
class Pass:
    """One passage of the part: the detector's own verdict, whatever the PLC made of it."""

    number: int
    code: Code
    reason: str | None = None
    defect: str | None = None
    score: float | None = None  # 0..1


def fault(name: str, expect: Expect, passes: Sequence[Pass], times: int) -> str | None:
    """Why the part does not prove the detector; None = it does."""
    codes = Counter(one.code for one in passes)
    if expect == "bad" and codes[Code.OK]:
        return (
            f"坏件 {name} 放行了 {codes[Code.OK]} 次（共 {len(passes)} 次）：这套配方和模型会漏检，"
            "不能上线。改光源、阈值或重新训练，再用同一件重做"
        )
    if codes[Code.UNDECIDED]:
        reasons = "、".join(sorted({one.reason or "?" for one in passes if one.reason}))
        return (
            f"{name} 有 {codes[Code.UNDECIDED]} 次没有判成（{reasons}）：先解决图像和配对，再重做"
        )
    if expect == "good" and codes[Code.NG]:
        labels = "、".join(sorted({one.defect or "?" for one in passes if one.code is Code.NG}))
        return (
            f"好件 {name} 被判不合格 {codes[Code.NG]} 次（{labels}）：会误剔，改阈值或光源，再重做"
        )
    if len(passes) < times:
        return f"{name} 只过了 {len(passes)} 次，要 {times} 次"
    return None


def table(name: str, expect: Expect, passes: Sequence[Pass]) -> list[str]:
    """A line per passage."""
    head = f"标准件 {name}（已知{EXPECTED[expect]}）"
    return [head, *(f"  第 {place} 次  {_told(one)}" for place, one in enumerate(passes, 1))]


def _told(one: Pass) -> str:
    text = f"编号 {one.number}  {VERDICTS[one.code]}"
    if one.defect is not None:
        text += f"  {one.defect} {one.score or 0.0:.2f}"
    return text + (f"  {one.reason}" if one.reason else "")
