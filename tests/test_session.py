"""What was asked for is what runs; else it is an error, or a warning where that is allowed."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from edge.errors import ModelError
from edge.settings import Runtime
from edge.vision import providers
from edge.vision.detector import Detector
from edge.vision.session import check_shares
from tests import tiny_models


def open_it(tmp_path: Path, *names: str, **more: object) -> Detector:
    runtime = Runtime(providers=names, threads=1, **more)  # type: ignore[arg-type]
    return Detector(tiny_models.write(tmp_path / "m.onnx"), runtime=runtime)


@pytest.mark.parametrize("name", ["cpu", "CPU", "CPUExecutionProvider"])
def test_a_provider_goes_by_its_short_name_or_by_onnxruntime_s(tmp_path: Path, name: str) -> None:
    report = open_it(tmp_path, name).report
    assert report.asked == ("cpu",)
    assert [(place.provider, place.device) for place in report.placed] == [("cpu", "CPU")]
    assert report.placed[0].nodes != 0  # None: an older onnxruntime keeps no record
    assert report.fallback == ""
    assert str(report).startswith("cpu on CPU")


@pytest.mark.parametrize("names", [(), ("cpu", "CPUExecutionProvider")])
def test_providers_are_named_once_each(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(ModelError, match="expected at least one, each once"):
        open_it(tmp_path, *names)


@pytest.mark.parametrize("name", ["cuda", "tensorrt", "cann", "no_such"])
def test_a_provider_that_is_not_there_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="is not in this onnxruntime"):
        open_it(tmp_path, name, "cpu")


def test_a_fallback_that_is_allowed_is_loud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        report = open_it(tmp_path, "cuda", "cpu", allow_fallback=True).report
    assert "the model runs on the CPU instead of ['cuda', 'cpu']" in caplog.text
    assert report.asked == ("cuda", "cpu")
    assert [place.provider for place in report.placed] == ["cpu"]
    assert "is not in this onnxruntime" in report.fallback
    assert str(report).startswith("FALLBACK, provider ")


def test_a_model_that_is_broken_is_not_saved_by_a_fallback(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ModelError):
        Detector(path, runtime=Runtime(providers=("cuda", "cpu"), allow_fallback=True))


CUDA, CPU = providers.FULL["cuda"], providers.CPU


@pytest.mark.parametrize(
    ("asked", "shares", "good"),
    [
        ((CUDA,), {CUDA: ["Conv", "Conv", "Sigmoid"]}, True),
        ((CUDA,), {CUDA: ["Conv"], CPU: ["Shape", "Gather"]}, True),  # arithmetic on shapes
        ((CUDA,), {CUDA: ["Conv"], CPU: ["Conv"]}, False),  # nobody asked for the CPU
        ((CUDA, CPU), {CUDA: ["Conv"], CPU: ["Conv"]}, True),
        ((CUDA, CPU), {CPU: ["Conv"]}, False),  # the first took nothing
        ((CUDA, CPU), {CUDA: ["Shape"], CPU: ["Conv"]}, False),
        ((CUDA, CPU), {CUDA: ["Add"], CPU: ["Mul"]}, True),  # no heavy work at all
        ((CUDA, CPU), {CPU: ["Mul"]}, False),
        ((CUDA,), {}, False),
    ],
)
def test_the_first_provider_must_do_the_heavy_work(
    asked: tuple[str, ...], shares: dict[str, list[str]], good: bool
) -> None:
    if good:
        check_shares(asked, shares)
        return
    with pytest.raises(ModelError, match="did not take the work; it went to"):
        check_shares(asked, shares)


def test_openvino_computes_in_f32_with_the_threads_of_all_workers() -> None:
    runtime = Runtime(providers=("openvino",), workers=2)
    chosen = providers.options_of(providers.OPENVINO, runtime, 3, "ab" * 32)
    assert chosen["device_type"] == "CPU"
    assert '"INFERENCE_PRECISION_HINT": "f32"' in chosen["load_config"]
    assert '"INFERENCE_NUM_THREADS": 6' in chosen["load_config"]
    assert '"NUM_STREAMS": "2"' in chosen["load_config"]


def test_engines_lie_in_a_folder_of_their_model_and_tensorrt(tmp_path: Path) -> None:
    runtime = Runtime(providers=("tensorrt",), engine_dir=str(tmp_path), fp16=True)
    name = providers.FULL["tensorrt"]
    chosen = providers.options_of(name, runtime, 1, "ab" * 32)
    folder = tmp_path / f"abababababababab-trt{providers.tensorrt_version()}-fp16"
    assert chosen["trt_engine_cache_path"] == chosen["trt_timing_cache_path"] == str(folder)
    assert (chosen["trt_engine_cache_enable"], chosen["trt_fp16_enable"]) == ("1", "1")


def test_options_of_the_settings_go_over_ours_by_either_name() -> None:
    for key in ("cuda", "CUDAExecutionProvider"):
        runtime = Runtime(providers=("cuda",), provider_options={key: {"use_tf32": "1"}})
        assert providers.options_of(CUDA, runtime, 1, "ab" * 32)["use_tf32"] == "1"


def test_opencv_leaves_the_cores_to_the_session() -> None:
    asked = "import edge.vision.session, cv2; print(cv2.getNumThreads())"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]
