"""docs/faults.md names each kind of fault, tests that exist, and every test of a fault."""

import ast
from pathlib import Path

from tests.faults.table import TABLE, rows, updated

ROOT = Path(__file__).parents[2]
ROWS = list(rows(TABLE.read_text(encoding="utf-8")))
ELSEWHERE = ("test_mutants.py", "test_points.py", "test_table.py", "test_payloads.py")
"""Files of this folder whose tests are of the suite itself, or named as a whole in the text."""


def functions(path: Path) -> set[str]:
    """Names of a test file's tests, and of what it assigns to such a name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            named |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {name for name in named if name.startswith("test_")}


def test_every_kind_from_1_to_33_has_a_row() -> None:
    assert {int(row.kind) for row in ROWS} == set(range(1, 34))
    assert len(ROWS) >= 35


def test_every_named_test_exists() -> None:
    for row in ROWS:
        assert row.tests, row
        for test in row.tests:
            path, name = test.split("::")
            assert name.split("[")[0] in functions(ROOT / path), test


def test_every_test_of_a_fault_is_named() -> None:
    named = {test.split("[")[0] for row in ROWS for test in row.tests}
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path.name not in ELSEWHERE:
            there = {f"tests/faults/{path.name}::{name}" for name in functions(path)}
            assert there <= named, path.name


PAGE = """
| # | fault | injected by | what must hold | tests | last run |
|---|---|---|---|---|---|
| 1 | a | b | c | `tests/a.py::test_one` `tests/a.py::test_two[x y]` | never |
| 2 | a | b | c \\| d | `tests/a.py::test_three` | held 2026-01-01 |
"""


def test_a_run_writes_the_last_cell_of_what_it_ran() -> None:
    ran = {"tests/a.py::test_one[1]": True, "tests/a.py::test_one[2]": True}
    told = [row.result for row in rows(updated(PAGE, ran, "2026-12-01"))]
    assert told == ["held 2026-12-01 (1 of 2 tests ran)", "held 2026-01-01"]
    ran |= {"tests/a.py::test_two[x y]": False, "tests/a.py::test_three": True}
    told = [row.result for row in rows(updated(PAGE, ran, "2026-12-02"))]
    assert told == ["**broke** 2026-12-02", "held 2026-12-02"]
    assert updated(PAGE, {}, "2026-12-01") == PAGE
