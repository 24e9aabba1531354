"""`quanjian-edge web`: from strips to metres, verdicts and what `check` says about speed."""

import hashlib
import json
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge import settings, speed
from edge.__main__ import main
from edge.errors import CameraError, ModelError, SettingsError
from edge.release import load
from edge.vision.flat import from_references
from edge.vision.shared_memory import SharedMemoryCamera, SharedMemoryWriter
from edge.web import Told, WebInspection
from tests import small_web
from tests.small_web import ROWS_PER_MM, STRIP, WIDTH, Defect, seams


def places(defects: list[dict[str, object]]) -> list[tuple[int, int]]:
    """Centre of each defect told, px and rows, to 4."""
    found = []
    for one in defects:
        across, along = one["across_mm"], (one["from_m"], one["to_m"])
        assert isinstance(across, list)
        x = sum(across) / 2 * ROWS_PER_MM
        row = sum(float(str(m)) for m in along) / 2 * 1000 * ROWS_PER_MM
        found.append((round(x / 8), round(row / 8)))
    return sorted(found)


def expected(defects: list[Defect]) -> list[tuple[int, int]]:
    """The same of the truth."""
    return sorted((round(d.x / 8), round(d.row / 8)) for d in defects)


def close(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> bool:
    """The same places, one step of 8 px apart at the most."""
    return len(one) == len(other) and all(
        abs(a - c) <= 1 and abs(b - d) <= 1 for (a, b), (c, d) in zip(one, other, strict=True)
    )


def inspect(config: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str, str]:
    """Run the command."""
    code = main(["web", "--config", str(config), "--unsigned", "--recipe", "3", "--json", *more])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize(
    ("view", "code", "told"),
    [
        ("exposure_us = 50", 1, "[[view]] exposure_us: a folder camera cannot be set so"),
        ("light = [{channel = 1, brightness = 9}]", 2, "[[view]] line: light"),
    ],
)
def test_a_view_that_cannot_be_carried_out_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], view: str, code: int, told: str
) -> None:
    small_web.write_strips(tmp_path / "strips", small_web.web(200, []))
    config = small_web.write_node(tmp_path)
    with (tmp_path / "foil.toml").open("a", encoding="utf-8") as file:
        file.write(f'[[view]]\ncamera = "line"\n{view}\n')
    exit_code, _out, err = inspect(config, capsys)
    assert (exit_code, told in err) == (code, True), err


def test_every_defect_on_any_seam_is_told_once_with_its_metre(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_web.write_strips(tmp_path / "strips", small_web.web(900, seams()))
    code, out, err = inspect(small_web.write_node(tmp_path), capsys)
    told = small_web.told(out)
    assert code == 0
    assert close(places(told["defect"]), expected(seams()))
    assert "measure" in err
    (summary,) = told["summary"]
    assert (summary["length_m"], summary["undecided_m"], summary["defects"]) == (0.09, 0.0, 9)
    assert [i["verdict"] for i in told["interval"]] == ["ng", "ng", "ng", "ng", "ng"]
    assert sum(int(str(i["defects"])) for i in told["interval"]) == 9
    assert [i["to_m"] for i in told["interval"]] == [0.02, 0.04, 0.06, 0.08, 0.09]


def test_good_material_is_ok_and_a_bad_strip_is_an_undecided_stretch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = small_web.web(900, [])
    image[400:500] = 2
    small_web.write_strips(tmp_path / "strips", image)
    (tmp_path / "strips" / "0006.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    _, out, _ = inspect(small_web.write_node(tmp_path), capsys)
    told = small_web.told(out)
    assert "defect" not in told
    stretches = [(s["from_m"], s["to_m"], s["reason"]) for s in told["undecided"]]
    assert stretches == [(0.04, 0.05, "bad_image"), (0.06, 0.07, "bad_image")]
    verdicts = [i["verdict"] for i in told["interval"]]
    assert verdicts == ["ok", "ok", "undecided", "undecided", "ok"]


def test_the_stop_rules_of_the_recipe_are_told_with_the_metre_and_begin_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_web.write_strips(tmp_path / "strips", small_web.web(900, seams()))
    config = small_web.write_node(tmp_path, more="[stop]\nconsecutive_ng = 2\n")
    code, out, _ = inspect(config, capsys)
    assert code == 0
    why = "2 NG parts one after the other, limit 2"
    assert small_web.told(out)["stop"] == [
        {"kind": "stop", "at_m": 0.04, "interval": 1, "text": why},
        {"kind": "stop", "at_m": 0.08, "interval": 3, "text": why},
    ]
    small_web.write_node(tmp_path, more="[stop]\nconsecutive_ng = 6\n")
    assert "stop" not in small_web.told(inspect(config, capsys)[1])


def test_the_flat_field_of_the_recipe_is_applied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    light = np.ones(WIDTH)
    light[500:520] = 0.6  # a dirty column is a streak, unless it is known
    light[700:710] = 0.3  # and one so dark that defects hide in it
    white = np.clip(np.full((50, WIDTH), 200.0) * light, 0, 255).astype(np.uint8)
    field = from_references([np.full((4, WIDTH), 2, np.uint8)], [white])
    (tmp_path / "flat.json").write_bytes(msgspec.json.encode(field))
    image = (small_web.web(600, [Defect(705, 250), Defect(300, 300)]) * light).astype(np.uint8)
    small_web.write_strips(tmp_path / "strips", image)
    config = small_web.write_node(tmp_path, web_keys='flat_field = "flat.json"')
    _, out, _ = inspect(config, capsys)
    told = small_web.told(out)
    assert close(places(told["defect"]), expected([Defect(705, 250), Defect(300, 300)]))
    (tmp_path / "flat.json").write_text("{}", encoding="utf-8")
    code, _, err = inspect(config, capsys)
    assert code == 2
    assert "is no flat field" in err


def test_a_flat_field_is_held_to_the_pins_for_it_can_hide_a_column(tmp_path: Path) -> None:
    sha256 = "0" * 64
    keys = 'flat_field = "flat.json"'
    small_web.write_node(tmp_path, web_keys=keys)
    (tmp_path / "flat.json").write_text("{}", encoding="utf-8")
    path = tmp_path / "foil.toml"
    pin = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = settings.Recipe(number=3, path=str(path), sha256=pin)
    with pytest.raises(ModelError, match=r"flat\.json: not pinned"):
        load(entry, settings.Runtime(), unsigned=False)
    small_web.write_node(tmp_path, web_keys=f'{keys}\nflat_field_sha256 = "{sha256}"')
    with pytest.raises(ModelError, match=r"flat\.json: sha256 is .* expected 000"):
        load(settings.Recipe(number=3, path=str(path)), settings.Runtime(), unsigned=True)


def test_rows_and_columns_that_do_not_fit_are_refused_with_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_web.write_strips(tmp_path / "strips", small_web.web(200, []))
    code, out, err = inspect(small_web.write_node(tmp_path, mm_per_px=0.11), capsys)
    assert (code, out) == (2, "")
    assert "makes a row 0.1 mm" in err
    assert "is 0.11 mm" in err
    assert "9.0909 rows per mm" in err


def test_measuring_lets_check_accept_what_this_computer_can_do_and_nothing_faster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_web.write_strips(tmp_path / "strips", small_web.web(400, []))
    config = small_web.write_node(tmp_path)
    wiring = settings.read(config)
    (entry,) = wiring.recipe
    web = speed.web_of(entry)
    assert web is not None
    with pytest.raises(SettingsError, match="never measured"):
        speed.fits(wiring, entry, web)
    code, out, err = inspect(config, capsys, "--measure", "--seconds", "0.5")
    assert code == 0, err
    reached = json.loads(out)["speed_m_min"]
    assert speed.fits(wiring, entry, web) == "10 rows per mm, up to 5 m/min"
    faster = msgspec.structs.replace(web, speed_m_min=reached * 1.01)
    with pytest.raises(SettingsError, match="was measured for"):
        speed.fits(wiring, entry, faster)
    slower = msgspec.structs.replace(wiring, runtime=settings.Runtime(threads=1))
    with pytest.raises(SettingsError, match="changed since then"):
        speed.fits(slower, entry, web)
    with Path(entry.path).open("a", encoding="utf-8") as recipe:
        recipe.write("# another recipe\n")
    with pytest.raises(SettingsError, match="changed since then"):
        speed.fits(wiring, entry, web)


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff" * 100, b"[" * 20_000])
def test_a_spoiled_measurement_is_none(tmp_path: Path, content: bytes) -> None:
    small_web.write_strips(tmp_path / "strips", small_web.web(100, []))
    wiring = settings.read(small_web.write_node(tmp_path))
    (entry,) = wiring.recipe
    web = speed.web_of(entry)
    assert web is not None
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "web-speed-3.json").write_bytes(content)
    with pytest.raises(SettingsError, match="never measured"):
        speed.fits(wiring, entry, web)


def test_check_tries_the_web_and_names_a_camera_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_web.write_strips(tmp_path / "strips", small_web.web(200, []))
    config = small_web.write_node(tmp_path)
    assert main(["check", "--config", str(config), "--unsigned"]) == 1
    assert "FAULT  web 3:" in capsys.readouterr().out
    recipe = (tmp_path / "foil.toml").read_text(encoding="utf-8")
    (tmp_path / "foil.toml").write_text(recipe.replace('"line"', '"other"'), encoding="utf-8")
    assert main(["check", "--config", str(config), "--unsigned"]) == 1
    assert "no [[camera]] is named 'other'" in capsys.readouterr().out


def test_rows_lost_on_the_way_are_undecided_and_what_comes_after_keeps_its_metre(
    tmp_path: Path,
) -> None:
    """A live source that overruns its ring: nothing is bridged, nothing is shifted."""
    config = small_web.write_node(tmp_path, kind="shared_memory", source="ring")
    entry = settings.read(config).recipe[0]
    loaded = load(entry, settings.Runtime(), unsigned=True)
    writer = SharedMemoryWriter(tmp_path / "ring", WIDTH, STRIP, 1, slots=4)
    camera = SharedMemoryCamera("line", tmp_path / "ring")
    image = small_web.web(1600, [Defect(300, 150), Defect(300, 1250)])
    told: list[Told] = []
    stop = threading.Event()
    web = WebInspection(camera, loaded.detector, loaded.recipe, 0.1)
    for number in range(3):
        writer.write(image[number * STRIP : (number + 1) * STRIP], time.monotonic())
    first = threading.Event()

    def keep(one: Told) -> None:
        told.append(one)
        first.set()

    runner = threading.Thread(target=lambda: _run(web, stop, keep, told))
    runner.start()
    assert first.wait(10)
    # twelve strips at once: a ring of four keeps the last four
    for number in range(3, 16):
        writer.write(image[number * STRIP : (number + 1) * STRIP], time.monotonic())
    writer.close()
    runner.join(20)
    camera.close()
    kinds = [one["kind"] for one in told]
    assert kinds[-1] == "lost"
    (summary,) = [one for one in told if one["kind"] == "summary"]
    lost_rows = int(str(summary["rows_lost"]))
    assert lost_rows > 0
    assert lost_rows % STRIP == 0
    assert summary["length_m"] == 0.16
    stretches = [one for one in told if one["kind"] == "undecided"]
    lengths_m = sum(float(str(s["to_m"])) - float(str(s["from_m"])) for s in stretches)
    assert lengths_m == pytest.approx(lost_rows / 10_000)
    defects = [one for one in told if one["kind"] == "defect"]
    assert close(places([dict(d) for d in defects]), [(38, 19), (38, 156)])
    for interval in (one for one in told if one["kind"] == "interval"):
        blind = any(
            float(str(s["from_m"])) < float(str(interval["to_m"]))
            and float(str(s["to_m"])) > float(str(interval["from_m"]))
            for s in stretches
        )
        assert not (blind and interval["verdict"] == "ok")


def _run(web: WebInspection, stop: threading.Event, keep: object, told: list[Told]) -> None:
    """As the command does: the loss of the camera comes after everything else."""
    assert callable(keep)
    try:
        web.run(stop, keep)
    except CameraError as lost:
        told.append({"kind": "lost", "text": str(lost)})


def test_a_web_without_end_stops_when_its_time_is_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_web.write_strips(tmp_path / "strips", small_web.web(300, []))
    config = small_web.write_node(tmp_path)
    wiring = config.read_text(encoding="utf-8")
    config.write_text(wiring.replace('kind = "folder"', 'kind = "folder"\nloop = true'), "utf-8")
    code, out, _ = inspect(config, capsys, "--seconds", "0.5")
    told = small_web.told(out)
    assert code == 0
    assert told["summary"][0]["length_m"] == told["interval"][-1]["to_m"]
    # the same three strips again and again: a camera that repeats itself is never believed
    assert "repeated" in str(told["undecided"][0]["text"])


def test_a_time_that_is_none_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = inspect(small_web.write_node(tmp_path), capsys, "--seconds", "-2")
    assert (code, out) == (2, "")
    assert "--seconds: got -2, expected above 0" in err
