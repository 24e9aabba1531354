"""Full frames kept while somebody asks for it, and judged again: edge.recording, record, replay."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

from edge import clock
from edge.__main__ import main
from edge.eye import Look
from edge.flights import Flight
from edge.judging import Judged
from edge.node import Node
from edge.recorded import RecordedPart, Request, decode_part, encode
from edge.recording import QUEUE_PARTS, Recording
from edge.release import Loaded
from edge.terms import Code, Detection, Frame, Mode, Part, Reason, Trigger, Verdict
from tests.serial_peers import until
from tests.small_line import SimulatedPlc, running, wire

FAR_MS = clock.mono_ms() + 3_600_000
MB = 1_000_000


def judged(number: int, image: npt.NDArray[np.uint8] | None = None) -> Judged:
    """A part found NG for a bright spot; its second camera sent nothing."""
    if image is None:
        image = np.full((64, 64), 90, np.uint8)
        image[16:24, 32:40] = 255
    worst = Detection("bright", 0.75, (32.0, 16.0, 40.0, 24.0))
    verdict = Verdict(Code.NG, worst=worst)
    trigger = Trigger(Part("s1", 3, number), 0.0, 0.0, Mode.AUTO, 1)
    loaded = SimpleNamespace(
        recipe=SimpleNamespace(name="squares"), detector=SimpleNamespace(sha256="a" * 64)
    )
    look = Look("c1", verdict, Frame("c1", number, 0.0, image), (worst,))
    blind = Look("c2", Verdict(Code.UNDECIDED, Reason.NO_FRAME))
    flight = Flight(trigger, 1.0)
    return Judged(flight, verdict, (look, blind), cast(Loaded, loaded), 0.0, 0.1)


def ask(data: Path, max_bytes: int = 100 * MB, until_ms: int = FAR_MS) -> Path:
    path = data / "record.json"
    path.write_bytes(encode(Request(boot=clock.BOOT, until_mono_ms=until_ms, max_bytes=max_bytes)))
    path.chmod(0o600)
    return path


def lines(data: Path) -> list[RecordedPart]:
    return [
        decode_part(line)
        for path in sorted((data / "recordings").rglob("parts.jsonl"))
        for line in path.read_bytes().splitlines()
    ]


def recording_in(data: Path, keep_free_mb: int = 0) -> Recording:
    return Recording(data, {"c1": 0.25, "c2": None}, keep_free_mb)


def test_a_part_is_a_line_and_its_frames_without_loss(tmp_path: Path) -> None:
    ask(tmp_path)
    recording = recording_in(tmp_path)
    recording.look()
    recording.offer(judged(7))
    recording.start()
    recording.close()
    (part,) = lines(tmp_path)
    assert (part.station, part.epoch, part.number, part.code) == ("s1", 3, 7, Code.NG)
    assert (part.defect, part.score, part.recipe, part.model) == (
        "bright", 0.75, "squares", "a" * 64,
    )  # fmt: skip
    seen, blind = part.views
    assert (seen.file, seen.mm_per_px) == ("s1-3-7-c1.bmp", 0.25)
    assert (blind.file, blind.reason) == (None, Reason.NO_FRAME)
    (frame,) = tmp_path.rglob("*.bmp")
    assert frame.stat().st_mode & 0o777 == 0o600
    assert frame.parent.stat().st_mode & 0o777 == 0o700


def write_by_all(path: Path) -> None:
    path.chmod(0o622)


def link(path: Path) -> None:
    real = path.with_name("real.json")
    path.rename(real)
    path.symlink_to(real)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def garbage(path: Path) -> None:
    path.write_bytes(b"\xff{" * 100_000)


def of_another_boot(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(clock.BOOT.encode(), b"0" * 32))


def expired(path: Path) -> None:
    ask(path.parent, until_ms=0)


@pytest.mark.parametrize("spoil", [write_by_all, link, pipe, garbage, of_another_boot, expired])
def test_a_request_that_anybody_may_have_left_or_that_is_over_is_not_honoured(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    recording = recording_in(tmp_path)
    spoil(ask(tmp_path))
    recording.look()
    assert not recording.active
    recording.offer(judged(1))
    assert (recording.dropped, list(tmp_path.rglob("*.bmp"))) == (0, [])


def test_a_request_of_another_user_is_not_honoured(tmp_path: Path) -> None:
    ask(tmp_path)
    recording = Recording(tmp_path, {}, 0, user=os.geteuid() + 1)
    recording.look()
    assert not recording.active


def test_a_recording_ends_when_its_request_goes(tmp_path: Path) -> None:
    path = ask(tmp_path)
    recording = recording_in(tmp_path)
    recording.look()
    assert recording.active
    path.unlink()
    recording.look()
    assert not recording.active


def test_what_the_disk_cannot_follow_is_left_out_and_the_line_does_not_wait(
    tmp_path: Path,
) -> None:
    ask(tmp_path)
    recording = recording_in(tmp_path)
    recording.look()
    for number in range(20):
        recording.offer(judged(number))
    assert recording.dropped == 20 - QUEUE_PARTS
    recording.start()
    recording.close()
    assert [part.number for part in lines(tmp_path)] == list(range(QUEUE_PARTS))


def test_frames_waiting_have_a_bound_in_bytes_too(tmp_path: Path) -> None:
    ask(tmp_path)
    recording = recording_in(tmp_path)
    recording.look()
    huge = np.broadcast_to(np.uint8(90), (11_000, 11_000))
    for number in range(3):
        recording.offer(judged(number, huge))
    assert recording.dropped == 1
    larger = recording_in(tmp_path)
    larger.look()
    for number in range(2):  # the one is waiting when the other comes
        larger.offer(judged(number, np.broadcast_to(np.uint8(90), (17_000, 17_000))))
    assert larger.dropped == 1


def recorded_of(recording: Recording, parts: int) -> tuple[int, int]:
    """Offer so many parts, one at a time; how many were recorded and left out."""
    recording.look()
    recording.start()
    for number in range(parts):
        recording.offer(judged(number))
        until(lambda: recording.recorded + recording.dropped > number)  # noqa: B023 - at once
    recording.close()
    return recording.recorded, recording.dropped


def test_no_part_goes_beyond_the_cap(tmp_path: Path) -> None:
    old = tmp_path / "recordings" / "old"
    old.mkdir(parents=True)
    (old / "frame.bmp").write_bytes(bytes(100_000))
    ask(tmp_path, max_bytes=190_000)  # a line may take 64 KiB
    assert recorded_of(recording_in(tmp_path), 6) == (4, 2)
    size = sum(path.stat().st_size for path in (tmp_path / "recordings").rglob("*.*"))
    assert size <= 190_000


def test_a_nearly_full_disk_is_left_to_the_ledger(tmp_path: Path) -> None:
    ask(tmp_path)
    assert recorded_of(recording_in(tmp_path, keep_free_mb=10**9), 2) == (0, 2)
    assert list(tmp_path.rglob("*.bmp")) == []


def test_a_recording_is_deleted_after_a_week(tmp_path: Path) -> None:
    for name, days in (("young", 6.9), ("old", 7.1)):
        folder = tmp_path / "recordings" / name
        folder.mkdir(parents=True)
        (folder / "parts.jsonl").write_bytes(b"")
        (folder / "a.bmp").write_bytes(b"x")
        then_s = time.time() - days * 86_400
        os.utime(folder / "parts.jsonl", (then_s, then_s))
    stray = tmp_path / "recordings" / "a-file"
    stray.write_bytes(b"x")
    os.utime(stray, (0, 0))
    recording_in(tmp_path).clean()
    left = sorted(path.name for path in (tmp_path / "recordings").iterdir())
    assert left == ["a-file", "young"]


def test_the_last_recording_of_a_node_that_runs_on_goes_too(tmp_path: Path) -> None:
    request = ask(tmp_path)
    recording = recording_in(tmp_path)
    recording.look()
    request.unlink()
    recording.look()
    (folder,) = (tmp_path / "recordings").iterdir()
    os.utime(folder, (0, 0))
    recording.clean()
    assert not folder.exists()


# -- the commands -----------------------------------------------------------------------------


def replay(folder: Path, *words: str) -> int:
    files = ["--model", str(folder / "tiny.onnx"), "--recipe", str(folder / "squares.toml")]
    return main(["replay", str(folder / "data" / "recordings"), *files, *words])


def test_a_shift_is_recorded_and_judged_again_by_another_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = Node(wire(tmp_path, [True, False, None, True, False]), unsigned=True)
    config = ["--config", str(tmp_path / "edge.toml")]
    assert main(["record", *config, "--for", "5m", "--max-gb", "1"]) == 0
    assert "for 300 s, up to 1 GB" in capsys.readouterr().out
    with running(node):
        SimulatedPlc(tmp_path, parts=5, rate=2).summary()
    codes = [Code.NG, Code.OK, Code.UNDECIDED, Code.NG, Code.OK]
    assert [part.code for part in lines(tmp_path / "data")] == codes
    assert replay(tmp_path) == 0
    assert capsys.readouterr().out == "5 parts: 5 same, 0 differ\n"
    recipe = tmp_path / "squares.toml"
    lenient = recipe.read_text(encoding="utf-8").replace("threshold = 0.5", "min_size_px = 9\n"
        "threshold = 0.5", 1)  # fmt: skip
    recipe.write_text(lenient, encoding="utf-8")
    assert replay(tmp_path) == 0
    out = capsys.readouterr().out
    assert out.count("ng by bright 1.000 -> ok\n") == 2
    assert out.endswith("5 parts: 3 same, 2 differ (2 ng -> ok)\n")
    assert replay(tmp_path, "--json") == 0
    *differences, totals = map(json.loads, capsys.readouterr().out.splitlines())
    assert [one["after"]["verdict"] for one in differences] == ["ok", "ok"]
    assert totals == {
        "parts": 5, "same": 3, "differ": 2, "changes": {"ng -> ok": 2}, "failed": 0,
    }  # fmt: skip
    assert main(["record", *config, "--stop"]) == 0
    assert not (tmp_path / "data" / "record.json").exists()


def test_a_recording_that_somebody_spoiled_is_told_line_by_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wire(tmp_path, [])
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)
    ask(data)
    recording = recording_in(data)
    recording.look()
    for number in (1, 2, 3):
        recording.offer(judged(number))
    recording.start()
    recording.close()
    (listed,) = data.rglob("parts.jsonl")
    good = listed.read_bytes().splitlines()[0]
    elsewhere = good.replace(b"s1-3-1-c1.bmp", b"../../secret.bmp")
    listed.write_bytes(listed.read_bytes() + b'{"v": 2}\n' + elsewhere + b"\n" + b"x" * 200_000)
    (data.rglob("s1-3-2-c1.bmp").__next__()).unlink()
    broken = data.rglob("s1-3-3-c1.bmp").__next__()
    broken.write_bytes(broken.read_bytes()[:-10])
    assert replay(tmp_path, "--json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out.splitlines()[-1])["parts"] == 1
    for word in ("s1-3-2-c1.bmp: cannot be read", "s1-3-3-c1.bmp: cut off", "Expected", "file"):
        assert word in told.err


@pytest.mark.parametrize(
    "words",
    [
        ["--for", "3 weeks"],
        ["--for", "0s"],
        ["--for", "25h"],
        ["--for", "5m", "--max-gb", "0"],
        ["--for", "5m", "--max-gb", "nan"],
        ["--for", "5m", "--stop"],
        [],
    ],
)
def test_wrong_arguments_are_a_sentence(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["record", *words])
    assert left.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_without_a_node_or_a_recording_there_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wire(tmp_path, [])
    assert main(["record", "--config", str(tmp_path / "edge.toml"), "--for", "5m"]) == 1
    assert "data folder cannot be used" in capsys.readouterr().err
    assert replay(tmp_path) == 1
    assert "no recording" in capsys.readouterr().err


def test_a_model_that_the_recipe_does_not_fit_is_refused(tmp_path: Path) -> None:
    wire(tmp_path, [])
    recipe: Any = tmp_path / "squares.toml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace('"red"', '"blue"'), "utf-8")
    assert replay(tmp_path) == 2
