"""When a lens is in focus: a figure that only compares with its like needs both sides. Pure.

    sharpness      low ... HIGH ... low ... HIGH HIGH HIGH HIGH HIGH HIGH HIGH HIGH
                   turned through the sharpest place        back, and held there

The same part stands under the lens meanwhile: on the simulated line plates that pass differ from
each other by twice the figure, at one setting of the lens.

Without having gone through it nobody knows that there was no sharper place. Where the recipe has a
reference and a share of its sharpness to reach, reaching and holding that is enough.
"""

from dataclasses import dataclass, field
from itertools import groupby

HELD = 8
"""Pictures in a row that must be sharp."""

HIGH_SHARE = 0.95
LOW_SHARE = 0.9
KEPT = 3000
"""Readings remembered: more than a person turns."""


@dataclass(slots=True)
class Focusing:
    """What was seen so far. `wanted` is the sharpness to reach; None = nobody knows it."""

    wanted: float | None = None
    best: float = 0.0
    readings: list[float] = field(default_factory=list)

    def see(self, sharpness: float) -> None:
        """One more picture."""
        self.best = max(self.best, sharpness)
        self.readings = [*self.readings, sharpness][-KEPT:]

    @property
    def share(self) -> float:
        """Of the newest picture, of the best; 0 before any."""
        return self.readings[-1] / self.best if self.readings and self.best > 0 else 0.0

    @property
    def done(self) -> bool:
        """Held at the sharpest place."""
        held = self.readings[-HELD:]
        if len(held) < HELD or self.best <= 0:
            return False
        if self.wanted is not None:
            return min(held) >= self.wanted
        return min(held) >= HIGH_SHARE * self.best and self.turned

    @property
    def turned(self) -> bool:
        """Has the lens gone through the sharpest place, from blurred to blurred?"""
        runs = self._runs()
        return any(runs[at : at + 3] == [False, True, False] for at in range(len(runs)))

    def _runs(self) -> list[bool]:
        """Sharp and blurred by turns; what lies between counts for neither."""
        marks = [v >= HIGH_SHARE * self.best for v in self.readings if self._is_clear(v)]
        return [mark for mark, _ in groupby(marks)]

    def _is_clear(self, sharpness: float) -> bool:
        return sharpness >= HIGH_SHARE * self.best or sharpness <= LOW_SHARE * self.best

    def fault(self) -> str | None:
        """What is still to be done, in a sentence; None = done."""
        if self.done:
            return None
        if self.wanted is not None:
            return f"清晰度要连续 {HELD} 张不低于 {self.wanted:.3f}，现在最好 {self.best:.3f}"
        if not self.readings or self.best <= 0:
            return "图上没有边缘，量不出清晰度：放一件有纹理的工件，查光源"
        if not self.turned:
            return "还没有转过最清晰处：向一边转到变糊，再转回来，经过最清晰处到另一边变糊，再转回"
        return (
            f"转回最清晰处，停住：连续 {HELD} 张不低于最好的 {HIGH_SHARE:.0%}；"
            "不转时也忽高忽低，是工件在换、在动：让同一件停在镜头下"
        )
