"""The bench for a card says what it needs where there is none; its measuring works on any."""

from pathlib import Path

import pytest

from bench import gpu
from bench.report import EXIT_CANNOT_RUN
from edge.settings import Runtime
from tests import tiny_models


def test_without_a_card_it_says_what_it_needs_and_has_not_passed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert gpu.main(["--json"]) == EXIT_CANNOT_RUN
    said = capsys.readouterr()
    assert "a machine with an NVIDIA card is needed" in said.err
    assert said.out == ""
    assert gpu.needed(["CUDAExecutionProvider", "CPUExecutionProvider"]) == ""


def test_it_measures_the_session_alone_and_the_whole_way(tmp_path: Path) -> None:
    model = tiny_models.write(tmp_path / "m.onnx")
    detector, opened_s = gpu.opened(model, Runtime(threads=1))
    cells = gpu.measure({"CPU": detector}, frames=20)
    assert opened_s > 0
    assert list(cells) == ["CPU: session.run", "CPU: frame to boxes"]
    for cell in cells.values():
        assert cell["frames"] == 20
        assert 0 < cell["median_ms"] <= cell["p99_ms"]
    assert gpu.differing(detector, detector, 2) == 0
