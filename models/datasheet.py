"""数据集说明书: a data set told to people, in Chinese, made from its manifest and marks alone."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from models.dataset import SPLITS, DataSet

if TYPE_CHECKING:
    from models.manifest import Manifest

NAME = "说明书.md"
_SPLIT_NAMES = {"train": "训练", "val": "验证", "test": "测试"}
_LEVEL_NAMES = {1: "一级", 2: "二级", 3: "三级"}
_LEVEL_BY = "（《工业数据分类分级指南（试行）》，由权利人自定）"
_END = (
    "没有标注框的图片表示有人看过、没有缺陷。图片按原始字节保存，文件名就是内容的 sha256；"
    "改动任何一个字节，`quanjian-models dataset check` 都会指出来。"
)


def sheet(manifest: Manifest, data: DataSet, research_only: bool) -> str:
    """The whole page, Markdown."""
    origin = manifest.origin
    good = sum(not picture.marks for picture in data.pictures)
    lots = {picture.lot for picture in data.pictures if picture.lot}
    parts = {picture.part for picture in data.pictures}
    lines = [
        f"# 数据集说明书：{origin.name}",
        "",
        "| 项目 | 内容 |",
        "|---|---|",
        f"| 来源 | {_cell(origin.source)} |",
        f"| 许可 | {_cell(origin.licence)}{_use(research_only)} |",
        f"| 权利人 | {_cell(origin.holder)} |",
        f"| 数据级别 | {_LEVEL_NAMES[origin.level]}{_LEVEL_BY} |",
        f"| 图片 | {len(manifest.pictures)} 张，其中无缺陷 {good} 张 |",
        f"| 工件 | {len(parts)} 件；{f'{len(lots)} 个批次' if lots else '批次未登记'} |",
        f"| 封存时间 | {manifest.made_at} |",
        f"| 指纹 sha256 | `{manifest.sha256}` |",
        "",
        "## 缺陷类别",
        "",
        "| 代码 | 标注框 | 有它的图片 |",
        "|---|---|---|",
        *_classes(data),
        "",
        "## 划分",
        "",
        "同一批次（批次未登记时为同一工件）的图片只在一个部分里，不按单张图片划分。",
        "",
        "| 部分 | 图片 | 无缺陷 | 工件 |",
        "|---|---|---|---|",
        *_splits(data),
        "",
        _END,
    ]
    return "\n".join(lines) + "\n"


def _use(research_only: bool) -> str:
    return "：只可研究，用它训练的模型不得用于生产" if research_only else ""


def _classes(data: DataSet) -> list[str]:
    boxes = Counter(mark.label for picture in data.pictures for mark in picture.marks)
    pictures = Counter(
        label for picture in data.pictures for label in {mark.label for mark in picture.marks}
    )
    return [f"| `{label}` | {boxes[label]} | {pictures[label]} |" for label in data.labels]


def _splits(data: DataSet) -> list[str]:
    rows = []
    for split in SPLITS:
        among = data.of(split)
        good = sum(not picture.marks for picture in among)
        parts = len({picture.part for picture in among})
        rows.append(f"| {_SPLIT_NAMES[split]} | {len(among)} | {good} | {parts} |")
    return rows


def _cell(text: str) -> str:
    """What a person typed, as a cell of a table."""
    return text.replace("|", "｜").replace("\n", " ")
