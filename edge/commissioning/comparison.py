"""The node's verdicts against what a person found on the same parts. Pure.

                  person: bad        person: good
    node OK       escape  漏检        agreed
    node not OK   agreed             overkill 过检

Undecided counts as not OK: the part is rejected.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge.commissioning.journal import Entry, Judged
from edge.stats import kappa, wilson
from edge.terms import Code

LEAST_PARTS = 50
MOST_OVERKILL = 0.05  # share of the good parts

Key = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Parts that both judged."""

    escapes: tuple[Judged, ...]
    overkills: tuple[Judged, ...]
    bad: int  # by the person
    good: int
    undecided: int  # by the node, of those compared
    unknown: tuple[Entry, ...]  # entries of parts that the node never judged

    @property
    def parts(self) -> int:
        """Compared."""
        return self.bad + self.good

    @property
    def escape_share(self) -> tuple[float, float]:
        """95 % Wilson interval of the share of bad parts that would have been passed."""
        return wilson(len(self.escapes), self.bad)

    @property
    def overkill_share(self) -> tuple[float, float]:
        """The same of the good parts that would have been rejected."""
        return wilson(len(self.overkills), self.good)

    @property
    def kappa(self) -> float | None:
        """Cohen's; None where all parts were alike to both."""
        caught = self.bad - len(self.escapes)
        passed = self.good - len(self.overkills)
        return kappa(((passed, len(self.overkills)), (len(self.escapes), caught)))

    def fault(self, least_parts: int, most_escapes: int, most_overkill: float) -> str | None:
        """Why this is not enough to go live; None = it is."""
        if len(self.escapes) > most_escapes:
            numbers = "、".join(str(part.number) for part in self.escapes[:10])
            return f"漏检 {len(self.escapes)} 件（编号 {numbers}），最多允许 {most_escapes} 件"
        if self.good and len(self.overkills) > most_overkill * self.good:
            share = len(self.overkills) / self.good
            return (
                f"过检 {len(self.overkills)} 件，占好件 {share:.1%}，最多允许 {most_overkill:.1%}"
            )
        if self.parts < least_parts:
            return f"只比对了 {self.parts} 件，至少要 {least_parts} 件"
        return None

    def lines(self) -> list[str]:
        """As it is printed."""
        missed, wasted = len(self.escapes), len(self.overkills)
        low, high = self.escape_share
        lines = [
            f"比对 {self.parts} 件：人工判不合格 {self.bad} 件，合格 {self.good} 件；"
            f"节点未判定 {self.undecided} 件，按不合格计",
            f"漏检 {missed} / {self.bad} 件，95 % 区间 {low:.1%} 到 {high:.1%}（Wilson）",
        ]
        low, high = self.overkill_share
        lines.append(f"过检 {wasted} / {self.good} 件，95 % 区间 {low:.1%} 到 {high:.1%}（Wilson）")
        agreed = self.kappa
        told = f"{agreed:.2f}" if agreed is not None else "无法计算（两边都只有一种结论）"
        lines.append(f"一致性 kappa {told}")
        if self.bad == 0:
            lines.append("没有一件人工判不合格：漏检率还什么也说明不了，请混入已知坏件")
        if self.unknown:
            numbers = "、".join(str(entry.number) for entry in self.unknown[:10])
            lines.append(f"{len(self.unknown)} 件没有判定记录，不计：编号 {numbers}")
        return lines


def compare(judged: Iterable[Judged], entries: Sequence[Entry], station: str) -> Comparison:
    """Every part of the station that a person looked at; of several entries the newest counts."""
    verdicts: dict[Key, Judged] = {
        (one.station, one.epoch, one.number): one for one in judged if one.station == station
    }
    newest: dict[Key, Entry] = {
        (one.station, one.epoch, one.number): one for one in entries if one.station == station
    }
    met = [(entry, verdicts[key]) for key, entry in newest.items() if key in verdicts]
    return Comparison(
        escapes=tuple(v for entry, v in met if not entry.good and v.code == Code.OK),
        overkills=tuple(v for entry, v in met if entry.good and v.code != Code.OK),
        bad=sum(not entry.good for entry, _ in met),
        good=sum(entry.good for entry, _ in met),
        undecided=sum(v.code == Code.UNDECIDED for _, v in met),
        unknown=tuple(entry for key, entry in newest.items() if key not in verdicts),
    )
