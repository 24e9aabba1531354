"""The gate: what may go to a line, from what two releases made of the same parts."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from models import evaluate, gate
from models.__main__ import main
from models.dataset import DataSetError
from models.evaluate import Evaluation, Outcome
from models.gate import Rules

LABELS = ["scratch", "pit"]


def part(number: int, has: str = "", seen: str = "", verdict: str = "") -> Outcome:
    words = [label for label in LABELS if label[0] in has]
    found = [label for label in LABELS if label[0] in seen]
    return Outcome(
        part=f"p{number:05d}",
        pictures=["a" * 64],
        has=words,
        seen=found,
        verdict=verdict or ("ng" if found else "ok"),  # type: ignore[arg-type]
        scores={},
        took_ms=1.0,
    )


def judged(parts: list[Outcome], **keys: Any) -> Evaluation:
    made = Evaluation(
        format=1,
        made_at="2026-12-01",
        recipe="plate",
        recipe_sha256="b" * 64,
        model_sha256=None,
        labels=LABELS,
        set_name="plates",
        set_sha256="c" * 64,
        licence="proprietary",
        split="test",
        camera=None,
        mm_per_px=None,
        parts=parts,
    )
    return replace(made, **keys)


def line(escapes: int = 0, overkills: int = 0, bad: int = 400, good: int = 600) -> list[Outcome]:
    """The first parts are the ones that go wrong."""
    found = [part(n, "s", "" if n < escapes else "s") for n in range(bad)]
    return found + [part(bad + n, verdict="ng" if n < overkills else "ok") for n in range(good)]


def refused(report: gate.Report) -> list[str]:
    return [check.name for check in report.checks if not check.ok]


def test_the_same_release_passes() -> None:
    report = gate.gate(judged(line(1)), judged(line(1)), Rules(escape=0.02))
    assert report.passed
    assert [check.name for check in report.checks] == [
        *("licence", "split", "recall", "overkill", "class scratch", "escape")
    ]


def test_a_release_that_lets_more_pass_is_refused_and_the_parts_are_named() -> None:
    report = gate.gate(judged(line(9)), judged(line(0)), Rules(escape=0.1))
    assert refused(report) == ["recall", "class scratch"]
    recall = next(check for check in report.checks if check.name == "recall")
    assert "原来剔除、现在放过 9 件" in recall.said
    assert "p00000、p00001、p00002、p00003、p00004 等 9 件" in recall.said


def test_a_release_that_rejects_more_good_parts_is_refused() -> None:
    report = gate.gate(judged(line(0, 12)), judged(line(0, 0)), Rules())
    assert refused(report) == ["overkill"]


def test_a_forgotten_class_is_named_though_another_rejects_the_same_parts() -> None:
    """What a fine-tune on one class does: pits are seen better than ever, scratches no more."""
    old = [part(n, "sp", "sp") for n in range(400)] + [part(400 + n) for n in range(600)]
    new = [part(n, "sp", "p") for n in range(400)] + [part(400 + n) for n in range(600)]
    report = gate.gate(judged(new), judged(old), Rules())
    assert refused(report) == ["class scratch"], "no part passes more than before"
    told = next(check.said for check in report.checks if check.name == "class scratch")
    assert told.startswith("忘记了 scratch：400 件中，原来看到、现在看不到 400 件")


def test_a_class_may_lose_a_few_only_where_that_is_said() -> None:
    old = [part(n, "s", "s") for n in range(2000)] + [part(2000 + n) for n in range(600)]
    new = [part(n, "s", "" if n < 2 else "s") for n in range(2000)]
    new += [part(2000 + n) for n in range(600)]
    assert refused(gate.gate(judged(new), judged(old), Rules())) == ["class scratch"]
    assert gate.gate(judged(new), judged(old), Rules(borne=("scratch",))).passed


def test_a_claim_is_refused_with_the_parts_that_would_prove_it() -> None:
    report = gate.gate(judged(line(bad=298)), judged(line(bad=298)), Rules())
    assert refused(report) == ["escape"]
    assert "要 299 件有缺陷的才能证明" in report.checks[-1].said
    assert gate.gate(judged(line(bad=299)), judged(line(bad=299)), Rules()).passed
    one = gate.gate(judged(line(1, bad=299)), judged(line(1, bad=299)), Rules())
    assert "要 473 件有缺陷的才能证明（p00000）" in one.checks[-1].said


def test_a_detector_that_sees_nothing_is_refused_whatever_it_spares() -> None:
    """A model of 8 bits throughout: no score above 0, and every part passes."""
    blind = gate.gate(judged(line(400, 0)), judged(line(2, 5)), Rules(escape=0.5))
    assert refused(blind) == ["recall", "class scratch", "escape"]


def test_a_first_release_proves_its_bound_and_every_class() -> None:
    report = gate.gate(judged(line()), None, Rules())
    assert refused(report) == ["first"]
    assert "没有这些类别：pit" in report.checks[2].said
    both = [part(n, "sp"[n % 2], "sp"[n % 2]) for n in range(400)] + [part(400)]
    assert gate.gate(judged(both), None, Rules()).passed


def test_nothing_of_research_and_nothing_unjudged_goes_to_a_line() -> None:
    research = judged(line(), licence="research-only")
    assert refused(gate.gate(research, judged(line()), Rules())) == ["licence"]
    faulty = line()
    faulty[500] = msgspec.structs.replace(faulty[500], fault="too dark", verdict="undecided")
    report = gate.gate(judged(faulty), judged(faulty), Rules())
    assert refused(report) == ["judged"]
    assert "p00500：too dark" in report.checks[2].said


def test_parts_that_were_learned_prove_nothing() -> None:
    learned = judged(line(), split="train")
    assert refused(gate.gate(learned, learned, Rules())) == ["split"]


def test_a_class_to_be_borne_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="no class 'scrach'; there are scratch, pit"):
        gate.gate(judged(line()), judged(line()), Rules(borne=("scrach",)))


def test_two_that_did_not_judge_the_same_parts_are_not_compared() -> None:
    with pytest.raises(DataSetError, match=r"set_sha256: c+ of the running"):
        gate.gate(judged(line(), set_sha256="d" * 64), judged(line()), Rules())
    with pytest.raises(DataSetError, match="split: train of the running"):
        gate.gate(judged(line()), judged(line(), split="train"), Rules())
    for key, value in (("camera", "c1"), ("mm_per_px", 0.2)):
        with pytest.raises(DataSetError, match=f"{key}: None of the running"):
            gate.gate(judged(line(), **{key: value}), judged(line()), Rules())
    with pytest.raises(DataSetError, match="same parts"):
        gate.gate(judged(line()[1:]), judged(line()), Rules())


def test_of_releases_worse_by_the_margin_about_five_in_a_hundred_pass() -> None:
    """1,000 simulated gates exactly at the margin of recall."""
    rng, bad, passed = np.random.default_rng(11), 1000, 0
    lost, won = 0.02, 0.01  # of the parts, by one of the two alone: worse by 0.01
    found = [part(n, "s", "s") for n in range(bad)]
    missed = [part(n, "s", "") for n in range(bad)]
    for _ in range(1000):
        moved = rng.choice(3, bad, p=[lost, won, 1 - lost - won])
        old = [missed[n] if kind == 1 else found[n] for n, kind in enumerate(moved)]
        new = [missed[n] if kind == 0 else found[n] for n, kind in enumerate(moved)]
        report = gate._recall(judged(new), judged(old), 0.01)
        passed += report.ok
    assert 36 <= passed <= 64


def test_the_command_writes_its_report_and_refuses_by_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate.write(judged(line(0)), tmp_path / "old.json")
    evaluate.write(judged(line(9)), tmp_path / "new.json")
    words = ["gate", "--candidate", str(tmp_path / "new.json"), "--out", str(tmp_path / "g.json")]
    assert main([*words, "--current", str(tmp_path / "old.json"), "--escape", "0.1"]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["refused_by"] == ["recall", "class scratch"]
    assert "不通过  有缺陷 400 件" in said.err
    kept = json.loads((tmp_path / "g.json").read_text(encoding="utf-8"))
    assert kept["passed"] is False
    assert kept["rules"]["escape"] == 0.1
    assert (kept["recipe_sha256"], kept["split"]) == ("b" * 64, "test")
    words[2] = str(tmp_path / "old.json")
    assert main([*words, "--current", str(tmp_path / "old.json")]) == 0
    (tmp_path / "old.json").write_text("{}", encoding="utf-8")
    assert main(words) == 1
    assert "no evaluation" in capsys.readouterr().err


def test_figures_come_from_the_rows_alone() -> None:
    told = evaluate.figures(judged(line(2, 3)))
    assert told["escape"] == {
        **{"n": 400, "k": 2, "share": 0.005, "interval": [0.00137, 0.01804]},
        "at_most": 0.01566,
    }
    assert told["overkill"] == {
        **{"n": 600, "k": 3, "share": 0.005, "interval": [0.0017, 0.0146]},
        "at_most": 0.01287,
    }
    assert told["seen"] == {
        "scratch": {
            **{"n": 400, "k": 398, "share": 0.995, "interval": [0.98196, 0.99863]},
            "at_most": 0.99911,
        }
    }
