"""The benches' contract: bars that hold or not, one JSON object, and a page that keeps the rest."""

import json
import math
from pathlib import Path

import pytest

import bench.__main__ as benches_command
from bench import web
from bench.__main__ import benches, main, put, section
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


def test_a_run_with_options_of_its_own_is_put_on_the_page_as_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, printed = tmp_path / "benchmarks.md", tmp_path / "line.out"
    page.write_text("# Benchmarks\n", encoding="utf-8")
    monkeypatch.setattr(benches_command, "PAGE", page)
    outcome = {"bench": "line", "ok": False, "bars": [at_most("p99", 151.0, 150)]}
    printed.write_text(f"some talk\n{json.dumps(outcome)}\n", encoding="utf-8")
    assert main(["line", "--measured", str(printed)]) == 1
    assert "| p99 | 151 | <= 150 | **FAIL** |" in page.read_text(encoding="utf-8")


def test_what_another_bench_printed_never_reaches_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page, printed = tmp_path / "benchmarks.md", tmp_path / "web.out"
    page.write_text("# Benchmarks\n", encoding="utf-8")
    monkeypatch.setattr(benches_command, "PAGE", page)
    printed.write_text('{"bench": "web", "ok": true, "bars": []}\n', encoding="utf-8")
    assert main(["line", "--measured", str(printed)]) == 1
    assert "no outcome of bench.line" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == "# Benchmarks\n"


def test_a_web_that_no_speed_holds_fails_its_bar_and_is_still_flooded() -> None:
    lost = web.Outcome(summary={"rows_lost": 1})
    rate, held, tried = web.fastest(lambda _rate, _seconds: (lost, 1.0), 1000.0, 0.1)
    assert (rate, held) == (0.0, None)
    assert len(tried) > 4
    assert not at_least("sustained speed", web.m_min(rate), 1.0)["ok"]
    assert web.flooding(rate, 1000.0) > 1000.0
    assert web.flooding(400.0, 1000.0) == 1200.0
