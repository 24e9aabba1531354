"""The benches' contract: bars that hold or not, one JSON object, and a page that keeps the rest."""

import json
import math

import pytest

from bench.__main__ import benches, put, section
from bench.report import EXIT_FAILED, at_least, at_most, exactly, finish


def test_a_bar_says_whether_its_figure_holds() -> None:
    assert [bar["ok"] for bar in (at_most("p99", 150, 150), at_least("AP", 0.9, 0.9))] == [True] * 2
    assert [bar["ok"] for bar in (at_most("p99", 151, 150), at_least("AP", 0.89, 0.9))] == [
        False,
        False,
    ]
    assert exactly("residue", 0, 0)["ok"]
    assert not exactly("residue", -1, 0)["ok"]


def test_what_was_never_answered_fails_and_is_still_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = finish("line", [at_most("p99", math.inf, 150)], {"parts": 3}, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert code == EXIT_FAILED
    assert told["bars"] == [{"name": "p99", "value": None, "rule": "<=", "limit": 150, "ok": False}]
    assert (told["parts"], told["ok"]) == (3, False)


def test_a_bench_replaces_its_own_section_and_no_other() -> None:
    page = put(put("# Benchmarks\n", "line", "first"), "base_model", "model")
    again = put(page, "line", r"second \1")
    assert "first" not in again
    assert r"second \1" in again
    assert "model" in again
    assert again.count("<!-- bench line -->") == 1


def test_a_failed_bar_stands_out_on_the_page() -> None:
    text = section("line", {"bars": [at_most("p99", 151.0, 150)], "parts": 3})
    assert "| p99 | 151 | <= 150 | **FAIL** |" in text
    assert '"parts": 3' in text


def test_every_bench_is_found() -> None:
    assert {"base_model", "line"} <= set(benches())
    assert not {"report", "__main__", "__init__"} & set(benches())
