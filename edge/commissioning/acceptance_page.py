"""The acceptance record as a page of Markdown, in Chinese, to be printed and filed. Pure."""

from datetime import datetime, timezone

from edge.commissioning.golden import EXPECTED
from edge.commissioning.journal import GoLive, Record
from edge.commissioning.points import BY_NAME
from edge.commissioning.rules import NAMES

CLOCKS = {"synced": "时钟已同步", "holdover": "时钟曾同步", "unsynced": "时钟未同步，时间仅供参考"}

NOTE = (
    "本记录是现场调试与验收的记录，由签字的两人对其内容负责。它不是任何认证、检定或安全评定，"
    "不证明机械安全（SIL、PL）或防爆、计量合规；PLC 计数和人工录入的真实性不在本记录证明之内。"
)


def page(going: GoLive) -> str:
    """The whole page."""
    lines = [
        f"# 验收记录：{going.plant} / {going.line} / {going.node}",
        "",
        f"上线时间：{shown(going.at_ms)}（{CLOCKS[going.clock]}）",
        "",
        "| 步骤 | 对象 | 结果 | 时间 | 操作人 |",
        "|---|---|---|---|---|",
        *(_row(record) for record in going.records),
        "",
        "## 上线的内容（sha256）",
        "",
        *(f"- {_key(key)}：`{digest}`" for key, digest in going.made_with.items() if _is_told(key)),
        "",
        "## 签字",
        "",
        f"1. {going.first.name}（{going.first.role}）　　　　签名：________________",
        f"2. {going.second.name}（{going.second.role}）　　　　签名：________________",
        "",
        f"记录 sha256：`{going.sha256}`",
        "",
        NOTE,
        "",
    ]
    return "\n".join(lines)


def shown(at_ms: int) -> str:
    """Local time, to the minute."""
    at = datetime.fromtimestamp(at_ms / 1000, timezone.utc).astimezone()
    return f"{at:%Y-%m-%d %H:%M} (UTC{at:%z})"


def _row(record: Record) -> str:
    subject = record.subject
    if record.step == "plc":
        subject += f"：{BY_NAME[record.point].zh}" if record.point in BY_NAME else ""
    elif record.step == "golden":
        expect = EXPECTED.get(record.figures.get("expect", ""), "")
        subject += f"：{record.point}（{expect}）"
    cells = (NAMES[record.step], subject, record.text, shown(record.at_ms), record.who)
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _is_told(key: str) -> bool:
    return key == "wiring" or key.startswith(("recipe ", "model "))


def _key(key: str) -> str:
    kind, _, name = key.partition(" ")
    return {"wiring": "接线（edge.toml）", "recipe": f"配方 {name}", "model": f"模型 {name}"}[kind]
