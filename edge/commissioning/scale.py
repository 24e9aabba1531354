"""Where the part lies in the picture and how large a pixel is, from a known width. Pure."""

from dataclasses import dataclass
from typing import Literal

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2, px of the picture."""

Axis = Literal["x", "y"]
LEAST_PX = 20  # a narrower part makes the scale a guess: one pixel is 5 %
LEAST_SHARE = 0.01  # of the picture's side that must be free around the part
AGREES = 0.02  # measured and written scale may differ so much


@dataclass(frozen=True, slots=True)
class Region:
    """The part in a picture of `width` x `height` px; `width_mm` is known along `axis`."""

    box: Box
    width: int
    height: int
    width_mm: float
    axis: Axis = "x"

    @property
    def side_px(self) -> float:
        """Of the box, along the axis."""
        x1, y1, x2, y2 = self.box
        return x2 - x1 if self.axis == "x" else y2 - y1

    @property
    def mm_per_px(self) -> float:
        """To be asked only of a region without fault."""
        return self.width_mm / self.side_px

    def fault(self) -> str | None:
        """Why this is no measurement; None = it is one."""
        x1, y1, x2, y2 = self.box
        if not (0 <= x1 < x2 <= self.width and 0 <= y1 < y2 <= self.height):
            return f"框 {_shown(self.box)} 不在 {self.width} x {self.height} 的图里，或没有面积"
        if self.width_mm <= 0:
            return f"已知宽度要大于 0 mm，写的是 {self.width_mm:g}"
        if self.side_px < LEAST_PX:
            return f"工件只有 {self.side_px:.0f} 像素宽，至少要 {LEAST_PX}：镜头换近一些"
        free_x, free_y = LEAST_SHARE * self.width, LEAST_SHARE * self.height
        if min(x1, self.width - x2) < free_x or min(y1, self.height - y2) < free_y:
            return f"工件 {_shown(self.box)} 碰到画面边缘：移动相机或工件，让四周都留出空"
        return None

    def against(self, written: float | None) -> str | None:
        """Why mm_per_px of edge.toml cannot be right; None = it agrees, or none is written."""
        if written is None or abs(self.mm_per_px / written - 1) <= AGREES:
            return None
        off = abs(self.mm_per_px / written - 1)
        return (
            f"量得 {self.mm_per_px:.4f} mm/像素，edge.toml 写的是 {written:g}，"
            f"相差 {off:.1%}（最多 {AGREES:.0%}）：改 edge.toml，重做本步"
        )


def box_of(text: str) -> Box:
    """The box in `x1,y1,x2,y2`.

    Raises:
        ValueError: not four numbers.
    """
    x1, y1, x2, y2 = (float(edge) for edge in text.replace("，", ",").split(","))
    return x1, y1, x2, y2


def _shown(box: Box) -> str:
    return "({:.0f}, {:.0f}) 到 ({:.0f}, {:.0f})".format(*box)
