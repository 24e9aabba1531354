"""The names of onnxruntime's execution providers and the options each is opened with.

    edge.toml      onnxruntime                     comes with
    cpu            CPUExecutionProvider            every onnxruntime
    openvino       OpenVINOExecutionProvider       onnxruntime-ep-openvino (Intel processors) or
                                                   onnxruntime-openvino (any x86-64, brings CPU too)
    cuda           CUDAExecutionProvider           onnxruntime-gpu
    tensorrt       TensorrtExecutionProvider       onnxruntime-gpu and TensorRT, JetPack's own
    others         as listed below                 the maker's own onnxruntime

No onnxruntime is needed to read this file.
"""

import ctypes
import json
from collections.abc import Mapping
from pathlib import Path

from edge.errors import ModelError
from edge.settings import Runtime

FULL = {
    "cpu": "CPUExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "tensorrt_rtx": "NvTensorRTRTXExecutionProvider",
    "cann": "CANNExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "vitisai": "VitisAIExecutionProvider",
    "rknpu": "RknpuExecutionProvider",
    "dml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}
CPU = FULL["cpu"]
OPENVINO = FULL["openvino"]
_SHORT = {full: short for short, full in FULL.items()}

_TENSORRT_LIBRARIES = ("libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer.so.8")


def full_name(name: str) -> str:
    """onnxruntime's name; a name that is not listed is taken as onnxruntime's own."""
    return FULL.get(name.lower(), name)


def short_name(name: str) -> str:
    """The name as edge.toml has it."""
    return _SHORT.get(name, name)


def options_of(name: str, runtime: Runtime, threads: int, model_sha256: str) -> dict[str, str]:
    """How provider `name` (onnxruntime's) is opened; what edge.toml sets goes over ours.

    Args:
        threads: inside one inference.
        model_sha256: names the folder of engines, which fit one model only.
    """
    given = {full_name(key): value for key, value in (runtime.provider_options or {}).items()}.get(
        name, {}
    )
    ours: dict[str, str] = {}
    if name == OPENVINO:
        ours = {"device_type": "CPU"}
        if given.get("device_type", "CPU") == "CPU":
            ours["load_config"] = _openvino(runtime, threads)
    elif name == FULL["cuda"]:
        # Half the mantissa is worth no millisecond on a small network and moves scores by 1e-3.
        ours = {"use_tf32": "0", "cudnn_conv_algo_search": "EXHAUSTIVE"}
    elif name == FULL["tensorrt"]:
        ours = _tensorrt(runtime, model_sha256)
    return {**ours, **given}


def _openvino(runtime: Runtime, threads: int) -> str:
    """f32: left alone, OpenVINO takes bf16 where a processor has it, measured 1.4 x slower."""
    return json.dumps(
        {
            "CPU": {
                "INFERENCE_PRECISION_HINT": "f32",
                "INFERENCE_NUM_THREADS": threads * runtime.workers,
                "NUM_STREAMS": str(runtime.workers),
            }
        }
    )


def _tensorrt(runtime: Runtime, model_sha256: str) -> dict[str, str]:
    """Engines and timings are kept, so that only the first start builds: minutes on a Jetson."""
    options = {"trt_fp16_enable": str(int(runtime.fp16)), "trt_int8_enable": "1"}
    # int8 builds only what the model itself marks as quantized; a plain model is not touched.
    folder = engine_folder(runtime, model_sha256)
    if folder is not None:
        options |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(folder),
        }
    return options


def engine_folder(runtime: Runtime, model_sha256: str) -> Path | None:
    """Where the engines of one model lie: they fit one model, TensorRT, precision and card."""
    if runtime.engine_dir is None:
        return None
    precision = "fp16" if runtime.fp16 else "fp32"
    return Path(runtime.engine_dir) / f"{model_sha256[:16]}-trt{tensorrt_version()}-{precision}"


def tensorrt_version() -> str:
    """Of the library that would be loaded, such as 10.3.0; "0" where there is none."""
    for library in _TENSORRT_LIBRARIES:
        try:
            number = int(ctypes.CDLL(library).getInferLibVersion())
        except (OSError, AttributeError):
            continue
        # TensorRT 8 counts in thousands (8601), later ones in ten thousands (100300).
        major, rest = divmod(number, 10_000) if number >= 100_000 else divmod(number, 1000)
        return f"{major}.{rest // 100}.{rest % 100}"
    return "0"


def check_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Asked providers by onnxruntime's names, in order.

    Raises:
        ModelError: none, or one twice.
    """
    full = tuple(full_name(name) for name in names)
    if not full or len(set(full)) < len(full):
        raise ModelError(f"providers {list(names)}; expected at least one, each once")
    return full


def device_of(name: str, options: Mapping[str, str]) -> str:
    """The hardware behind a provider, as far as this computer says."""
    if name == OPENVINO:
        return options.get("device_type", "CPU")
    if name in (FULL["cuda"], FULL["tensorrt"], FULL["tensorrt_rtx"]):
        return nvidia_device()
    return "CPU" if name == CPU else "device 0"


def nvidia_device() -> str:
    """Name of the first card, or of the Jetson board; "NVIDIA" where neither says."""
    for place in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in _text(place).splitlines():
            if line.startswith("Model:"):
                return line.removeprefix("Model:").strip()
    return _text(Path("/proc/device-tree/model")).strip("\0\n ") or "NVIDIA"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
