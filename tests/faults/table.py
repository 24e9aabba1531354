"""docs/faults.md: one row per kind of fault, with the tests that inject it and how they last went.

`make test-faults` gives `--faults-table docs/faults.md`: at the end of the run the last cell of
each row whose tests ran is written anew. A row's other cells are written by people.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import pytest

TABLE = Path(__file__).parents[2] / "docs" / "faults.md"
_CELL = re.compile(r"(?<!\\)\|")
_TEST = re.compile(r"`(tests/[\w/]+\.py::[^`]+)`")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    kind: str
    fault: str
    tests: tuple[str, ...]
    result: str


def row_of(line: str) -> Row | None:
    """The row in a line of the page, if it is one."""
    cells = [cell.strip() for cell in _CELL.split(line)[1:-1]]
    if len(cells) != 6 or not cells[0].isdigit():
        return None
    return Row(cells[0], cells[1], tuple(_TEST.findall(cells[4])), cells[5])


def rows(text: str) -> Iterator[Row]:
    """Every row of the page."""
    return filter(None, map(row_of, text.splitlines()))


def updated(text: str, outcomes: Mapping[str, bool], day: str) -> str:
    """The page after a run: `outcomes` says of each test that ran whether it passed."""
    lines = []
    for line in text.splitlines():
        row = row_of(line)
        told = None if row is None else _result(row, outcomes, day)
        if told is not None:
            line = f"{line.rstrip().removesuffix('|').rpartition('|')[0]}| {told} |"
        lines.append(line)
    return "\n".join(lines) + "\n"


def _result(row: Row, outcomes: Mapping[str, bool], day: str) -> str | None:
    """What a row says after a run; None if nothing of it ran."""
    of_test = {
        test: [passed for ran, passed in outcomes.items() if _is(ran, test)] for test in row.tests
    }
    ran = [passed for passed in of_test.values() if passed]
    if not ran:
        return None
    word = "held" if all(map(all, ran)) else "**broke**"
    part = "" if len(ran) == len(of_test) else f" ({len(ran)} of {len(of_test)} tests ran)"
    return f"{word} {day}{part}"


def _is(ran: str, test: str) -> bool:
    """Is this the test, or the test with one of its parameters?"""
    return ran == test or ran.startswith(f"{test}[")


class Recorder:
    """Collects how tests went, and writes the page when the run is over."""

    def __init__(self, page: Path) -> None:
        self._page = page
        self._outcomes: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.failed:
            before = self._outcomes.get(report.nodeid, True)
            if not report.skipped:
                self._outcomes[report.nodeid] = before and report.passed

    def pytest_sessionfinish(self) -> None:
        day = datetime.now(timezone.utc).strftime("%Y-%m-%d")
        text = self._page.read_text(encoding="utf-8")
        self._page.write_text(updated(text, self._outcomes, day), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    page = config.getoption("--faults-table")
    if page is not None:
        config.pluginmanager.register(Recorder(Path(page)), "faults table")
