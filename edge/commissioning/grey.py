"""The grey values of a picture in words. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

DARK, BRIGHT, FULL = 32, 224, 255  # grey values
FLAT = 25  # from the darkest twentieth to the brightest: less and edges are hardly there


@dataclass(frozen=True, slots=True)
class Greys:
    """`low`, `middle`, `high`: grey value of the 5th, 50th and 95th percentile; shares 0..1."""

    mean: float
    low: int
    middle: int
    high: int
    dark: float  # below 32
    bright: float  # from 224 on
    full: float  # at 255

    @classmethod
    def of(cls, counts: Sequence[int]) -> "Greys":
        """From how often each of the 256 grey values comes.

        Raises:
            ValueError: not 256 of them, or no pixel at all.
        """
        total = sum(counts)
        if len(counts) != 256 or total <= 0:
            raise ValueError(f"{len(counts)} grey values with {total} pixels")
        return cls(
            mean=sum(value * count for value, count in enumerate(counts)) / total,
            low=_percentile(counts, 0.05 * total),
            middle=_percentile(counts, 0.5 * total),
            high=_percentile(counts, 0.95 * total),
            dark=sum(counts[:DARK]) / total,
            bright=sum(counts[BRIGHT:]) / total,
            full=counts[FULL] / total,
        )

    @property
    def words(self) -> str:
        """A sentence or two for whoever sets lamp and exposure."""
        if self.dark > 0.5:
            light = "大半是暗的：加长曝光、开大光圈或加光"
        elif self.full > 0.05:
            light = f"{self.full:.0%} 的像素过曝：缩短曝光、收小光圈或减光"
        elif self.bright > 0.5:
            light = "大半偏亮：亮处的缺陷会看不见，缩短曝光"
        elif self.middle < 60:
            light = "偏暗，能用；有余量就加光"
        else:
            light = "亮度合适"
        contrast = "，明暗差小，查光源角度" if self.high - self.low < FLAT else ""
        return (
            f"平均灰度 {self.mean:.0f}，90 % 的像素在 {self.low} 到 {self.high} 之间，"
            f"暗部 {self.dark:.0%}，亮部 {self.bright:.0%}，到顶 {self.full:.1%}；{light}{contrast}"
        )


def _percentile(counts: Sequence[int], wanted: float) -> int:
    seen = 0
    for value, count in enumerate(counts):
        seen += count
        if seen >= wanted and seen > 0:
            return value
    return len(counts) - 1
