"""quanjian-models as people call it: wrong usage is exit 2 and a sentence, failure is exit 1."""

import json
import sys
from pathlib import Path

import pytest

from models.__main__ import main
from models.trainer import delegate, python_at


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("synth --out x", "required: --count"),
        ("synth --out x --count 0", "expected a whole number of 1 or more, got 0"),
        ("synth --out x --count many", "expected a whole number of 1 or more, got many"),
        ("synth --out x --count 5 --seed -1", "expected a whole number of 0 or more, got -1"),
        ("synth --out x --count 5 --defect-rate 3", "expected a share from 0 to 1, got 3"),
        ("synth --out x --count 5 --sizes 2,1", "expected LOW,HIGH from 0.2 to 3, got 2,1"),
        ("train --data d --out x --imgsz 300", "expected a multiple of 32 px, got 300"),
        ("train --data d --out x --minutes 0", "expected a number above 0, got 0"),
        ("train --data d --out x --minutes 5 --epochs 5", "not allowed with argument"),
        ("export --weights w", "required: --out"),
        ("convert coco --source s --out x --holdout-groups 1", "invalid choice: 'coco'"),
        ("import m.onnx --out m.onnx", "--out: m.onnx is the model itself"),
        ("quantize m.onnx --pictures p --out m.onnx", "--out: m.onnx is the model itself"),
        ("export --weights w --out x --pictures p", "--pictures: means nothing without --fold"),
        ("export --weights w --out x --gray --pictures p", "--pictures p: no such folder"),
        ("import m.onnx --out x --pictures p", "--pictures p: no such folder"),
        ("quantize m.onnx --out x --pictures p", "--pictures p: no such folder"),
        ("anomaly --good p --model m.onnx --out x", "--good p: no such folder"),
        ("convert deeppcb --source p --out x --holdout-groups 1", "--source p: no such folder"),
        ("train --data d.yaml --out x", "--data d.yaml: no such file"),
        ("paint", "invalid choice: 'paint'"),
    ],
)
def test_wrong_usage_is_exit_2_and_a_sentence(
    words: str,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir()), "something was made before the mistake was told"


def test_synth_prints_its_manifest_and_talks_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synth", "--out", str(tmp_path / "set"), "--count", "3", "--seed", "4"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["count"] == 3
    assert "3 of 3 pictures" in said.err


def test_a_folder_that_cannot_be_made_is_exit_1_and_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    card = ["--card", "models/base/card.json"]
    (tmp_path / "data.yaml").write_text("", encoding="utf-8")
    for command in (
        ["synth", "--count", "1"],
        ["recipe", *card],
        ["train", "--data", str(tmp_path / "data.yaml")],
        ["convert", "deeppcb", "--source", str(tmp_path), "--holdout-groups", "1"],
    ):
        for out in (tmp_path / "file", Path("/proc/nowhere")):
            assert main([*command, "--out", str(out)]) == 1
            told = capsys.readouterr().err
            assert told.startswith(f"--out {out}: cannot be made: [Errno ")
            assert told.endswith("; name a folder this user may write\n")


@pytest.mark.parametrize("card", ["5", '{"classes": 5}', '{"classes": [], "thresholds": {}}'])
def test_a_card_that_is_none_is_told_with_what_was_expected(
    card: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text(card, encoding="utf-8")
    assert main(["recipe", "--card", str(bad), "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert f"{bad}: no model card: expected `classes` with `code` and `zh`" in told
    assert "object" not in told


def test_only_what_needs_the_trainer_speaks_of_its_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, out = "models/base/base.onnx", str(tmp_path / "out.onnx")
    assert main(["quantize", base, "--pictures", str(tmp_path), "--out", out]) == 1
    assert main(["anomaly", "--good", str(tmp_path), "--model", base, "--out", out]) == 1
    assert "train-env" not in capsys.readouterr().err


def test_a_folder_that_is_no_data_set_is_exit_1_with_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["convert", "deeppcb", "--source", str(tmp_path), "--out", str(tmp_path / "o")]
    assert main([*words, "--holdout-groups", "00041"]) == 1
    assert "no NAME_test.jpg" in capsys.readouterr().err


def test_without_the_trainer_s_environment_training_is_one_sentence_not_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--data", "models/base/plate.toml", "--out", str(tmp_path / "run")]
    assert main([*words, "--trainer-python", str(tmp_path / "nobody")]) == 1
    said = capsys.readouterr()
    assert "the trainer cannot be started" in said.err
    assert "make train-env" in said.err
    assert said.out == ""


def test_a_trainer_that_fails_is_told_with_its_last_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # this interpreter has no ultralytics: the trainer starts and ends at once
    words = ["train", "--data", "models/base/plate.toml", "--out", str(tmp_path / "run")]
    assert main([*words, "--trainer-python", sys.executable]) == 1
    assert "No module named" in capsys.readouterr().err
    assert "No module named" in (tmp_path / "run" / "trainer.log").read_text()


def test_an_interpreter_named_from_here_is_started_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, link = tmp_path / "real" / "python", tmp_path / "env" / "bin" / "python"
    for folder in (real.parent, link.parent):
        folder.mkdir(parents=True)
    real.write_text("#!/bin/sh\necho '{\"by\": \"'$0'\"}'\n", encoding="utf-8")
    real.chmod(0o755)
    link.symlink_to(real)
    monkeypatch.chdir(tmp_path)
    named = python_at("env/bin/python")
    answer = delegate(named, {"do": "nothing"}, tmp_path / "logs" / "log.txt", lambda _: None)
    assert answer == {"by": str(link)}, "the link, not what it points to"
    assert python_at("sh").is_absolute(), "a name alone is looked for as a shell does"


def test_export_without_weights_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", "--weights", str(tmp_path / "w.pt"), "--out", str(tmp_path / "m.onnx")]
    assert main(words) == 1
    assert f"{tmp_path / 'w.pt'}: no such weights" in capsys.readouterr().err
