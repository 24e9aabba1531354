"""A release judged on a sealed set by the node's own code: the demo model on simulated plates."""

import json
from pathlib import Path

import pytest

from edge import recipe as recipes
from edge.terms import Detection
from models import evaluate, manifest
from models.__main__ import main
from models.dataset import DataSetError, Mark, renamed
from models.synth import Order, synthesise

BASE = Path(__file__).parent.parent / "models" / "base"
RECIPE, MODEL = BASE / "plate.toml", BASE / "base.onnx"
COUNT = 24


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed set of plates that the model has never seen."""
    folder = tmp_path_factory.mktemp("plates")
    synthesise(folder / "drawn", Order(COUNT, 7_700_000), lambda _: None)
    words = "--name plates --origin synth --licence CC0-1.0 --holder nobody --level 1"
    into = ["dataset", "import", "yolo", "--source", str(folder / "drawn")]
    assert main([*into, "--out", str(folder / "set"), *words.split()]) == 0
    return folder / "set"


def test_every_part_has_a_row_from_which_the_figures_come(plates: Path, tmp_path: Path) -> None:
    said: list[str] = []
    found = evaluate.evaluate(RECIPE, MODEL, plates, "train", said.append)
    assert said == [f"{len(found.parts)} of {len(found.parts)} parts"]
    assert len(found.parts) == round(COUNT * 0.86)
    bad = [part for part in found.parts if part.has]
    assert bad
    assert all(part.verdict == "ng" and part.seen == part.has for part in bad)
    assert all(part.verdict == "ok" and not part.seen for part in found.parts if not part.has)
    evaluate.write(found, tmp_path / "e.json")
    assert evaluate.read(tmp_path / "e.json") == found
    assert evaluate.figures(found)["unjudged"] == 0


def test_a_limit_that_hides_a_class_shows_in_what_is_seen(plates: Path, tmp_path: Path) -> None:
    text = RECIPE.read_text(encoding="utf-8").split("[[golden]]")[0]
    strict = text.replace('label = "scratch"', 'label = "scratch"\nmin_size_px = 4000')
    assert strict != text
    (tmp_path / "blind.toml").write_text(strict, encoding="utf-8")
    found = evaluate.evaluate(tmp_path / "blind.toml", MODEL, plates, "train", lambda _: None)
    scratched = [part for part in found.parts if "scratch" in part.has]
    assert scratched
    assert all("scratch" not in part.seen for part in scratched)
    assert all(part.passed for part in scratched if part.has == ["scratch"])


@pytest.mark.parametrize(
    ("label", "box", "found"),
    [
        ("pit", (10, 10, 20, 20), True),
        ("pit", (10, 10, 20, 14), True),
        ("pit", (10, 10, 20, 12), False),
        ("scratch", (10, 10, 20, 20), False),
    ],
)
def test_a_defect_is_seen_by_its_own_class_where_it_is(
    label: str, box: tuple[float, float, float, float], found: bool
) -> None:
    detection = Detection(label, 0.9, box)
    assert evaluate._is_found(Mark("pit", (10, 10, 20, 20)), [detection]) is found


def test_the_command_judges_and_the_gate_compares(
    plates: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "e.json"
    words = ["evaluate", "--recipe", str(RECIPE), "--model", str(MODEL), "--data", str(plates)]
    assert main([*words, "--split", "train", "--out", str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["escape"]["k"] == 0
    gate = ["gate", "--candidate", str(out), "--current", str(out), "--out", str(tmp_path / "g")]
    assert main(gate) == 1, "so few parts prove nothing"
    assert json.loads(capsys.readouterr().out)["refused_by"] == [
        *("split", "recall", "overkill", "escape")
    ]


ZONE = """
[[zone]]
name = "all"
kind = "ignored"
camera = "c1"
polygon = [[0, 0], [512, 0], [512, 512], [0, 512]]
"""


def changed(folder: Path, old: str = "", new: str = "", more: str = "") -> Path:
    text = RECIPE.read_text(encoding="utf-8").split("[[golden]]")[0]
    assert not old or old in text
    path = folder / "changed.toml"
    path.write_text(text.replace(old, new) + more if old else text + more, encoding="utf-8")
    return path


def test_a_zone_of_one_camera_is_judged_as_that_camera_sees(plates: Path, tmp_path: Path) -> None:
    blind = changed(tmp_path, more=ZONE)
    with pytest.raises(DataSetError, match=r"names cameras \(c1\): say with --camera"):
        evaluate.evaluate(blind, MODEL, plates, "train", lambda _: None)
    found = evaluate.evaluate(blind, MODEL, plates, "train", lambda _: None, camera="c1")
    assert found.camera == "c1"
    assert all(part.passed for part in found.parts), "the zone hides the whole view"


def test_limits_in_mm_and_classes_nobody_knows_are_refused(plates: Path, tmp_path: Path) -> None:
    label = 'label = "scratch"'
    large = changed(tmp_path, label, f"{label}\nmin_size_mm = 500")
    with pytest.raises(DataSetError, match="limits in mm: say with --mm-per-px"):
        evaluate.evaluate(large, MODEL, plates, "train", lambda _: None)
    found = evaluate.evaluate(large, MODEL, plates, "train", lambda _: None, mm_per_px=0.2)
    assert not any("scratch" in part.seen for part in found.parts)
    _, data = manifest.load(plates)
    other = renamed(data, {"pit": "pits"})
    recipe = recipes.read(RECIPE)
    assert evaluate.unfit(recipe, data, None, None) == []
    assert "has no class 'pits', which the set has" in evaluate.unfit(recipe, other, None, None)[0]


def test_nothing_that_was_given_is_written_over(
    plates: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = changed(tmp_path)
    words = ["evaluate", "--recipe", str(recipe), "--model", str(MODEL), "--data", str(plates)]
    for out in (recipe, plates / "manifest.json", tmp_path, tmp_path / "no" / "e.json"):
        with pytest.raises(SystemExit) as ended:
            main([*words, "--out", str(out)])
        assert ended.value.code == 2
        assert f"--out {out}: " in capsys.readouterr().err


def test_a_split_without_pictures_and_a_changed_set_are_sentences(
    plates: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataSetError, match="no pictures in split test; it has train 21, val 3"):
        evaluate.evaluate(RECIPE, MODEL, plates, "test", lambda _: None)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("evaluate --recipe r.toml --data . --out e", "--recipe r.toml: no such file"),
        ("evaluate --recipe r.toml --data d --out e", "--data d: no such folder"),
        ("evaluate --recipe r.toml --data . --out e --mm-per-px 0", "expected a number above 0"),
        ("gate --candidate c.json --out g", "--candidate c.json: no such file"),
        ("gate --candidate c.json --out g --escape 1", "expected a share above 0 and below 1"),
        ("gate --out g", "required: --candidate"),
    ],
)
def test_wrong_usage_is_exit_2_and_a_sentence(
    words: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 2
    assert told in capsys.readouterr().err
