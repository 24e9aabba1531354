"""The walk as a process, against the simulated line and folders of pictures."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.commissioning import store
from edge.commissioning.journal import Step
from tests.commission_peer import HandLine, Person, done_before, results
from tests.small_line import EDGE, wire
from tests.test_own_count import INTERVAL
from tests.test_wires_line import wire_io

ROOT = Path(__file__).parent.parent

DEMO = """
[node]
plant = "test"
line = "line-1"
name = "node-1"
data_dir = "data"

[page]
port = 0

[[bus]]
name = "b1"
port = "{folder}/plc"

[[camera]]
name = "c1"
kind = "shared_memory"
source = "cam"
mm_per_px = 0.25
exposure_us = 500.0

[[recipe]]
number = 1
path = "{root}/models/base/plate.toml"
model = "{root}/models/base/base.onnx"

[[station]]
name = "s1"
bus = "b1"
counters_base = 20
trigger = "hardware"
cameras = ["c1"]
deadline_ms = 3000
frame_tolerance_ms = 900
max_rate_per_s = 1.0
"""


def demo(folder: Path) -> None:
    """The simulated line's own camera and the demo model."""
    text = DEMO.format(folder=folder, root=ROOT)
    (folder / "edge.toml").write_text(text, encoding="utf-8")


# -- camera, focus, region --------------------------------------------------------------------


def test_the_camera_of_the_simulated_line_is_seen_and_told_in_words(tmp_path: Path) -> None:
    demo(tmp_path)
    with HandLine(tmp_path, str(tmp_path / "cam")) as line:
        with Person(tmp_path, "--step", "camera") as person:
            person.plays({"等 c1 的一张图": (None, ("part",))}, line)
            code, (told,) = person.end()
        assert (code, told["result"]) == (0, "passed")
        figures = told["record"]["figures"]
        assert (figures["width"], figures["height"], figures["exposure_us"]) == (512, 512, 500.0)
        assert "平均灰度" in told["text"]
        assert Path(figures["picture"]).exists()
        line.do("lamp=0.02")
        with Person(tmp_path, "--step", "camera") as person:
            person.plays({"等 c1 的一张图": (None, ("part",))}, line)
            code, (told,) = person.end()
        assert (code, told["result"]) == (1, "failed")
        assert "不能用来判定：太暗（dark: mean grey value" in told["text"]
    journal = store.read(tmp_path / "data")
    assert journal is not None
    assert [record.result for record in journal.records] == ["passed", "failed"]
    assert {record.who for record in journal.records} == {"李娜"}


def test_a_camera_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    demo(tmp_path)
    with Person(tmp_path, "--step", "camera", "--within", "0.5") as person:
        code, (told,) = person.end()
    assert (code, told["result"]) == (1, "failed")
    assert "no picture within 0.5 s" in told["text"]


def blurred(folder: Path, sigmas: list[float]) -> None:
    """Pictures of one scene at these blurs, a lens being turned."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(7)
    scene = cv2.resize(rng.integers(40, 200, (24, 24), np.uint8), (192, 192), interpolation=0)
    for number, sigma in enumerate(sigmas):
        image = cv2.GaussianBlur(scene, (0, 0), sigma) if sigma else scene
        cv2.imwrite(str(folder / f"{number:04d}.png"), image)


def test_a_lens_is_in_focus_when_it_went_through_the_best_place_and_is_held(
    tmp_path: Path,
) -> None:
    wire(tmp_path, [])
    done_before(tmp_path, "focus")
    turned = [6.0, 4.0, 2.0, 0.0, 2.0, 4.0, 2.0]
    blurred(tmp_path / "pictures", [*turned, *[0.0] * 8])
    with Person(tmp_path, "--step", "focus") as person:
        person.plays({})
        code, (told,) = person.end()
    assert (code, told["result"]) == (0, "passed")
    assert told["record"]["figures"]["pictures"] == 15
    assert sum("清晰度" in line for line in person.talk) >= 15


def test_a_lens_that_nobody_turns_is_not_in_focus(tmp_path: Path) -> None:
    wire(tmp_path, [])
    wiring = (tmp_path / "edge.toml").read_text(encoding="utf-8")
    endless = wiring.replace('kind = "folder"', 'kind = "folder"\nloop = true')
    (tmp_path / "edge.toml").write_text(endless, encoding="utf-8")
    done_before(tmp_path, "focus")
    blurred(tmp_path / "pictures", [2.0] * 20)
    with Person(tmp_path, "--step", "focus", "--within", "1") as person:
        person.plays({})
        code, (told,) = person.end()
    assert (code, told["result"]) == (1, "failed")
    assert "还没有转过最清晰处" in told["text"]


def placed(folder: Path, *boxes: tuple[int, int, int, int] | None) -> None:
    """Pictures of a bright part at these places, or of no part."""
    for number, box in enumerate(boxes):
        image = np.full((200, 300), 60, np.uint8)
        if box is not None:
            x1, y1, x2, y2 = box
            image[y1:y2, x1:x2] = 180
        cv2.imwrite(str(folder / f"{number:04d}.png"), image)


def test_the_part_is_found_by_itself_and_its_width_gives_the_scale(tmp_path: Path) -> None:
    wire(tmp_path, [])
    done_before(tmp_path, "region")
    placed(tmp_path / "pictures", None, (50, 40, 250, 160))
    with Person(tmp_path, "--step", "region") as person:
        person.hears("工件的框")
        person.answer("")
        person.hears("把工件拿开")
        person.answer("")
        person.hears("把工件放到位")
        person.answer("")
        person.hears("已知宽度是多少")
        person.answer("100")
        person.plays({})
        code, (told,) = person.end()
    assert (code, told["result"]) == (0, "passed")
    assert told["record"]["figures"]["box_px"] == [50, 40, 250, 160]
    assert told["record"]["figures"]["mm_per_px"] == 0.5
    assert "mm_per_px = 0.5000" in told["text"]


def test_a_scale_that_edge_toml_contradicts_is_refused(tmp_path: Path) -> None:
    wire(tmp_path, [])
    path = tmp_path / "edge.toml"
    text = path.read_text(encoding="utf-8").replace(
        'kind = "folder"', 'kind = "folder"\nmm_per_px = 0.4'
    )
    path.write_text(text, encoding="utf-8")
    done_before(tmp_path, "region")
    placed(tmp_path / "pictures", (50, 40, 250, 160))
    box = ("--box", "50,40,250,160", "--width-mm", "100")
    with Person(tmp_path, "--step", "region", *box) as person:
        code, (told,) = person.end()
    assert (code, told["result"]) == (1, "failed")
    assert "相差 25.0%" in told["text"]


# -- golden parts, monitor mode, manual inspection --------------------------------------------


def golden(folder: Path, line: HandLine, name: str, expect: str, *first: str) -> dict[str, Any]:
    """A golden part twice through the line; `first` is typed before each."""
    arguments = ("--unsigned", "--step", "golden", "--part", name, "--expect", expect)
    with Person(folder, *arguments, "--times", "2", "--within", "30") as person:
        person.plays({"按标准件按钮，放上线": (None, (*first, "sample", "part"))}, line)
        code, (told,) = person.end()
    assert code == (0 if told["result"] == "passed" else 1)
    return told


def test_golden_parts_go_through_the_real_detector_of_the_simulated_line(tmp_path: Path) -> None:
    demo(tmp_path)
    done_before(tmp_path, "golden")
    with HandLine(tmp_path, str(tmp_path / "cam"), rate=2.0) as line:
        good = golden(tmp_path, line, "good-1", "good")
        assert (good["result"], good["record"]["figures"]["ok"]) == ("passed", 2), good["text"]
        bad = golden(tmp_path, line, "bad-1", "bad", "defective")
        assert (bad["result"], bad["record"]["figures"]["ng"]) == ("passed", 2), bad["text"]


def test_a_bad_golden_part_that_passes_is_refused(tmp_path: Path) -> None:
    wire(tmp_path, [True, False])
    done_before(tmp_path, "golden")
    with HandLine(tmp_path) as line:
        told = golden(tmp_path, line, "bad-1", "bad")
    assert told["result"] == "failed"
    assert "坏件 bad-1 放行了 1 次（共 2 次）" in told["text"]


def test_a_person_names_the_golden_parts_and_only_yes_calls_one_good(tmp_path: Path) -> None:
    wire(tmp_path, [True, False, False])
    done_before(tmp_path, "golden")
    arguments = ("--unsigned", "--step", "golden", "--times", "1", "--within", "30")
    with HandLine(tmp_path) as line, Person(tmp_path, *arguments) as person:
        for name, answer in (("bad-1", "n"), ("good-1", "y"), ("good-2", "")):
            person.hears("标准件的名称")
            person.answer(name)
            person.hears(f"{name} 是已知合格件")
            person.answer(answer)
            person.hears("按标准件按钮，放上线")
            line.do("sample", "part")
        person.hears("标准件的名称")
        person.answer("")
        code, told = person.end()
    assert results(told) == [("bad-1", "passed"), ("good-1", "passed"), ("good-2", "failed")]
    assert code == 1
    assert "坏件 good-2 放行了 1 次" in told[2]["text"]


def test_monitored_parts_are_compared_with_what_a_person_found(tmp_path: Path) -> None:
    wire(tmp_path, [False, True, False, True])
    done_before(tmp_path, "monitor")
    with HandLine(tmp_path) as line:
        line.do("monitor=1")
        with Person(tmp_path, "--unsigned", "--step", "monitor", "--parts", "4") as person:
            person.plays({f"观察 {n}/4 件": (None, ("part",)) for n in range(4)}, line)
            code, (told,) = person.end()
    assert (code, told["result"]) == (0, "passed"), told["text"]
    assert (told["record"]["figures"]["ok"], told["record"]["figures"]["ng"]) == (2, 2)
    found = tmp_path / "found.csv"
    found.write_text("编号,结论,缺陷\n1,合格\n2,不合格,亮点\n3,不合格,裂纹\n4,不合格\n", "gb18030")
    with Person(tmp_path, "manual", "--csv", str(found), "--parts", "4") as person:
        code, (told,) = person.end()
    assert (code, told["result"]) == (1, "failed")
    assert "漏检 1 件（编号 3）" in told["text"]
    with Person(tmp_path, "manual", "--parts", "4") as person:
        person.plays({"第 1 件": ("3 ok", ()), "第 2 件": ("", ())})
        code, (told,) = person.end()
    assert (code, told["result"]) == (0, "passed")
    assert told["record"]["figures"]["kappa"] == 1.0
    assert "漏检 0 / 2 件，95 % 区间 0.0% 到 65.8%（Wilson）" in told["text"]


def test_parts_judged_by_another_recipe_are_not_compared(tmp_path: Path) -> None:
    wire(tmp_path, [False])
    recipe = tmp_path / "squares.toml"
    with HandLine(tmp_path) as line:
        line.do("monitor=1")
        for comment in ("# as it was", "# other limits"):
            recipe.write_text(f"{recipe.read_text(encoding='utf-8')}{comment}\n", "utf-8")
            done_before(tmp_path, "monitor")
            with Person(tmp_path, "--unsigned", "--step", "monitor", "--parts", "1") as person:
                person.plays({"打到观察": (None, ("part",))}, line)
                assert person.end()[0] == 0
    journal = store.read(tmp_path / "data")
    assert journal is not None
    assert [part.number for part in journal.judged] == [2]


# -- stations without a bus -------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "result"), [("y", "passed"), ("n", "failed")])
def test_the_wires_of_a_station_without_a_bus_are_tried_by_hand_and_recorded_so(
    tmp_path: Path, answer: str, result: str
) -> None:
    wire_io(tmp_path, [False])
    with Person(tmp_path, "--step", "plc") as person:
        person.plays({"用手逐条试": (answer, ())})
        code, (told,) = person.end()
    assert (code, told["result"], told["point"]) == (0 if answer == "y" else 1, result, "")
    if answer == "y":
        assert told["record"]["figures"] == {"by_hand": True}
        assert "用手逐条试过" in told["text"]


def counting_for_itself(folder: Path) -> None:
    """A piece by the clock: no PLC, no key, no button; every picture is good."""
    wire(folder, [False] * 8)
    text = EDGE.partition("[[bus]]")[0] + "[[camera]]" + EDGE.partition("[[camera]]")[2]
    text = text.partition("[[station]]")[0].replace('"folder"', '"folder"\nloop = true')
    (folder / "edge.toml").write_text(text + INTERVAL, encoding="utf-8")


@pytest.mark.parametrize(
    ("step", "options", "figures"),
    [
        ("plc", (), {"by_hand": False}),
        ("golden", ("--part", "g", "--expect", "good", "--times", "2"), {"ok": 2, "times": 2}),
        ("monitor", ("--parts", "3"), {"parts": 3, "ok": 3}),
    ],
)
def test_a_station_without_a_plc_waits_for_no_key_and_no_button(
    tmp_path: Path, step: Step, options: tuple[str, ...], figures: dict[str, Any]
) -> None:
    counting_for_itself(tmp_path)
    done_before(tmp_path, step)
    arguments = ("--unsigned", "--step", step, "--within", "20", *options)
    with Person(tmp_path, *arguments) as person:
        person.plays({})
        code, (told,) = person.end()
    assert (code, told["result"]) == (0, "passed"), told["text"]
    assert figures.items() <= told["record"]["figures"].items()


# -- the walk ---------------------------------------------------------------------------------


def test_the_walk_begins_at_the_first_open_step_and_says_how_all_stand(tmp_path: Path) -> None:
    wire(tmp_path, [])
    done_before(tmp_path, "focus")
    with Person(tmp_path) as person:
        person.hears("完成　  相机（c1）")
        person.hears("下一步：对焦（c1）")
        person.answer("飞")
        person.hears("没有这一步：飞")
        person.answer("标准件")
        person.hears("先做完前面的步骤：“对焦”（c1）还没有做")
        person.hears("下一步：对焦（c1）")
        code, told = person.end()
    assert code == 1
    assert results(told) == [("golden", "refused")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--step", "golden", "--part", "x"], "--part and --expect"),
        (["--step", "region", "--box", "1,2,3"], "--box: got '1,2,3'"),
        (["--step", "camera", "--camera", "c9"], "--camera"),
        (["manual", "--csv", "no-such.csv"], "no-such.csv"),
        (["--within", "0"], "--within"),
    ],
)
def test_a_wrong_option_is_a_sentence_and_exit_2(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    wire(tmp_path, [])
    done_before(tmp_path, "manual")
    with Person(tmp_path, *arguments) as person:
        person.plays({})
        code, told = person.end()
    assert (code, told) == (2, [])
    assert any(words in line for line in person.talk), person.talk
    assert not any("Traceback" in line for line in person.talk)
