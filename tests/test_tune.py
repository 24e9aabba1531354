"""Tuning picks what was measured fastest and changes nothing of edge.toml but what it picked."""

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.__main__ import main
from edge.errors import SettingsError
from edge.runtime_section import replaced, section
from edge.settings import Runtime
from edge.tune import write
from edge.tuning import Trial, candidates, choose
from edge.vision.detector import Detector
from tests import tiny_models

KEYS: dict[str, object] = {
    "providers": ["openvino"],
    "threads": 1,
    "spinning": False,
    "workers": 2,
}
BEFORE = """# a node
[node]
plant = "a"  # [runtime] is below

[runtime]   # the detector
# providers: see the manual
providers = [
  "cuda",  # the card
  "cpu",
]
threads=4\t# four
fp16 = true

[runtime.provider_options.cuda]
threads = "not ours"
[[bus]]
name = "b"
threads = 9
"""
AFTER = """# a node
[node]
plant = "a"  # [runtime] is below

[runtime]   # the detector
spinning = false
workers = 2
# providers: see the manual
providers = ["openvino"]
threads = 1\t# four
fp16 = true

[runtime.provider_options.cuda]
threads = "not ours"
[[bus]]
name = "b"
threads = 9
"""


def test_only_the_tuned_keys_change_and_every_comment_stays() -> None:
    assert replaced(BEFORE, KEYS) == AFTER
    assert replaced(AFTER, KEYS) == AFTER
    windows = BEFORE.replace("\n", "\r\n")
    assert replaced(windows, KEYS) == AFTER.replace("\n", "\r\n")


@pytest.mark.parametrize("text", ["", "[node]\nplant = 1", "[node]\nplant = 1\n", "[runtime]"])
def test_a_file_without_the_keys_gets_them(text: str) -> None:
    made = replaced(text, KEYS)
    assert made is not None
    assert made.startswith(text)
    assert made.replace(text, "").replace("[runtime]", "").split() == section(KEYS).split()[1:]


@pytest.mark.parametrize(
    "text",
    [
        "runtime.threads = 1\n",  # dotted keys
        "runtime = {threads = 1}\n",
        '[runtime]\nproviders = ["a]", "b"]\n',
        'note = """\n[runtime]\n"""\n',  # a heading that is text
        "[runtime\n",
    ],
)
def test_a_file_written_in_another_way_is_refused_not_spoiled(text: str) -> None:
    assert replaced(text, KEYS) is None


@given(
    before=st.sampled_from(["", "# x\n", "[node]\nname = 'n'\n"]),
    body=st.lists(
        st.sampled_from(
            [
                "threads = 3",
                "threads=0 # none",
                "workers  =  5",
                "fp16 = true",
                "",
                "# spinning = 1",
            ]
        ),
        unique_by=lambda line: line.split("=")[0].split("#")[0].strip() or line,
    ),
    after=st.sampled_from(["", "[page]\nport = 1\n", "[[bus]]\nthreads = 7\n"]),
)
def test_whatever_the_section_holds_the_rest_stays(
    before: str, body: list[str], after: str
) -> None:
    made = replaced(before + "[runtime]\n" + "".join(f"{line}\n" for line in body) + after, KEYS)
    assert made is not None
    assert made.startswith(before + "[runtime]\n")
    assert made.endswith(after)
    assert all(line in made for line in body if "#" in line[:1] or "fp16" in line)


def trial(tmp_path: Path, cost_ms: float, rounds: int = 3) -> Trial:
    detector = Detector(tiny_models.write(tmp_path / "m.onnx"), threads=1)
    rates = [1000 / cost_ms] * rounds
    return Trial(detector.path, Runtime(), detector, [cost_ms] * rounds, rates)


@pytest.mark.parametrize("goal", ["latency", "throughput"])
def test_the_fastest_is_chosen_and_a_close_one_that_asks_for_less(
    tmp_path: Path, goal: str
) -> None:
    costs_ms = [20.0, 10.2, 10.0, 30.0]
    trials = [trial(tmp_path, cost_ms) for cost_ms in costs_ms]
    assert choose(trials, goal) is trials[1]  # type: ignore[arg-type]
    early = trial(tmp_path, 1.0, rounds=1)  # one lucky block, then it was left out
    assert choose([early, *trials], goal) is trials[1]  # type: ignore[arg-type]


def test_candidates_never_ask_for_more_threads_than_cores() -> None:
    for cores in (1, 2, 3, 16):
        for order in (("cpu",), ("openvino",)):
            for goal in ("latency", "throughput"):
                made = candidates(Runtime(), order, goal, cores)
                assert made
                assert all(r.threads * r.workers <= cores for r in made)
                assert len({str(r) for r in made}) == len(made)


def test_the_command_prints_a_choice_that_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_models.write(tmp_path / "m.onnx")
    words = ["tune", "--model", str(model), "--providers", "cpu", "--rounds", "2", "--json"]
    assert main([*words, "--goal", "throughput", "--neighbour"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["model"] == str(model)
    assert told["runtime"] in [one["runtime"] for one in told["measured"]]
    assert 0 < told["median_ms"] <= told["p99_ms"]
    assert Detector(model, runtime=Runtime(**told["runtime"])).report.fallback == ""


def test_nothing_that_runs_is_exit_1_and_no_model_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_models.write(tmp_path / "m.onnx")
    assert main(["tune", "--model", str(model), "--providers", "cann"]) == 1
    assert "no provider runs" in capsys.readouterr().err
    assert main(["tune"]) == 2
    assert main(["tune", "--model", str(model), "--write"]) == 2


def test_a_file_is_replaced_whole_with_its_mode_or_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(BEFORE, encoding="utf-8")
    path.chmod(0o640)
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    write(link, KEYS)
    assert link.is_symlink()
    assert path.read_text(encoding="utf-8") == AFTER
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.write_text("runtime.threads = 1\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="paste it by hand"):
        write(path, KEYS)
    assert path.read_text(encoding="utf-8") == "runtime.threads = 1\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["edge.toml", "link.toml"]


@pytest.mark.parametrize("named", ["", ",,"])
def test_an_order_of_no_providers_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], named: str
) -> None:
    command = ["tune", "--model", str(tmp_path / "m.onnx"), "--providers", named]
    assert main(command) == 2
    assert f"--providers: got {named!r}, expected names" in capsys.readouterr().err
