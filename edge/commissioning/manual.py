"""What a person found on the parts that the node judged in monitor mode: typed, or from a CSV.

    1207,ok           1208,不合格,划伤          3:1209,ng           (epoch 3, part 1209)

A CSV may begin with a line of headings and be UTF-8 or GB 18030, as spreadsheets write it.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from edge.commissioning.journal import Entry, Judged
from edge.commissioning.terminal import Terminal
from edge.errors import SettingsError

GOOD = ("ok", "good", "g", "合格", "好")
BAD = ("ng", "bad", "b", "不合格", "坏")
EXPECTED = "编号,合格 或 不合格,缺陷（可不写）"
_NUMBER = re.compile(r"(?:([0-9]{1,9}):)?([0-9]{1,15})")

Found = tuple[int, int, bool, str]
"""Epoch, number, good, defect."""


class Manual:
    """The entries of one person about one station."""

    def __init__(self, judged: Sequence[Judged], station: str) -> None:
        """`judged`: what the node said, of every station."""
        self._epochs: dict[int, list[int]] = {}
        for one in judged:
            if one.station == station:
                self._epochs.setdefault(one.number, []).append(one.epoch)

    def parse(self, fields: Sequence[str]) -> Found:
        """One entry: number, verdict and perhaps the defect.

        Raises:
            ValueError: with what is wrong, in a sentence.
        """
        cells = [cell.strip() for cell in fields]
        if not 2 <= len(cells) <= 3:
            raise ValueError(f"{','.join(cells)!r} 要写成 {EXPECTED}")
        match = _NUMBER.fullmatch(cells[0])
        if match is None:
            raise ValueError(f"编号 {cells[0]!r} 不是数字；PLC 重启过的写成 计数段:编号")
        word = cells[1].lower()
        if word not in (*GOOD, *BAD):
            raise ValueError(f"{cells[1]!r} 既不是合格也不是不合格；写 ok 或 ng")
        number = int(match[2])
        epoch = int(match[1]) if match[1] else self._epoch(number)
        return epoch, number, word in GOOD, cells[2][:200] if len(cells) == 3 else ""

    def _epoch(self, number: int) -> int:
        known = self._epochs.get(number, [0])
        if len(known) > 1:
            raise ValueError(f"编号 {number} 在计数段 {known} 里都有；写成 计数段:编号")
        return known[0]

    def from_csv(self, path: Path) -> list[Found]:
        """Every entry of the file.

        Raises:
            SettingsError: it cannot be read, or with every line that is wrong.
        """
        rows = list(enumerate(csv.reader(io.StringIO(_text(path))), 1))
        found, problems = [], []
        for line, cells in rows:
            if not any(cells) or (line == 1 and _is_heading(cells)):
                continue
            try:
                found.append(self.parse(cells))
            except ValueError as wrong:
                problems.append(f"第 {line} 行：{wrong}")
        problems += contradictions(found)
        if problems:
            raise SettingsError(str(path), problems)
        return found

    def typed(self, terminal: Terminal) -> list[Found]:
        """What the person types until an empty line; a line that is wrong is asked again."""
        terminal.say(f"逐件写：{EXPECTED}；空行结束")
        found: list[Found] = []
        while line := terminal.ask(f"第 {len(found) + 1} 件："):
            try:
                found.append(self.parse(re.split(r"[,，\s]+", line, maxsplit=2)))
            except ValueError as wrong:
                terminal.say(f"没有记：{wrong}")
        return found


def entries(found: Iterable[Found], station: str, who: str, at_ms: int) -> Iterator[Entry]:
    """As they are stored."""
    for epoch, number, good, defect in found:
        yield Entry(
            station=station,
            epoch=epoch,
            number=number,
            good=good,
            defect=defect,
            who=who,
            at_ms=at_ms,
        )


def contradictions(found: Iterable[Found]) -> list[str]:
    """Parts that one file calls both good and bad."""
    said: dict[tuple[int, int], set[bool]] = {}
    for epoch, number, good, _ in found:
        said.setdefault((epoch, number), set()).add(good)
    return [
        f"编号 {number} 又合格又不合格" for (_, number), words in said.items() if len(words) > 1
    ]


def _is_heading(cells: Sequence[str]) -> bool:
    return _NUMBER.fullmatch(cells[0].strip()) is None and not any(c.isdigit() for c in cells[0])


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as wrong:
        raise SettingsError(str(path), [f"cannot be read: {wrong}"]) from wrong
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise SettingsError(str(path), ["neither UTF-8 nor GB 18030: save it as CSV UTF-8"])
