"""Opens an onnxruntime session on the providers that were asked for, and proves that they run.

onnxruntime falls back in four silent ways, and each is an error here unless `allow_fallback`:

    a provider is not in this package        get_available_providers() lists what was built in
    it did not start (driver, library)       the session's own list lacks it
    it started but took none of the work     the record of which node went where
    it failed later, in a run                the session's retry on the CPU is switched off
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state

from edge.errors import ModelError
from edge.settings import Runtime
from edge.vision import providers

log = logging.getLogger(__name__)

RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    *(
        kind
        for kind in vars(onnxruntime_pybind11_state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
    RuntimeError,
    ValueError,
    TypeError,
    MemoryError,
)  # onnxruntime has no base class of its own

_FAILURES: tuple[type[Exception], ...] = (ModelError, *RUNTIME_ERRORS)

# A node says nothing to anybody outside, and onnxruntime leaves no file of its own in a home.
onnxruntime.disable_telemetry_events()

# OpenCV's pool makes nothing faster here, and its threads spin for half a millisecond after a call,
# on the core that onnxruntime's threads are about to need: the cores are the session's.
cv2.setNumThreads(1)

_PLUGIN = "onnxruntime_ep_openvino"
_HEAVY = {"Conv", "ConvTranspose", "MatMul", "Gemm", "QLinearConv", "QLinearMatMul"}
"""Where the time goes: shape arithmetic may stay on the CPU, these may not."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A provider's share of the graph."""

    provider: str  # as in edge.toml
    device: str
    nodes: int | None  # of the graph; None: this onnxruntime keeps no record


@dataclass(frozen=True, slots=True)
class Report:
    """What really runs."""

    asked: tuple[str, ...]  # as in edge.toml, in order
    placed: tuple[Placed, ...]
    runtime: str  # onnxruntime's version
    threads: int  # inside one inference
    fallback: str = ""  # why something else runs than what was asked for; "" = it is as asked

    def __str__(self) -> str:
        shares = ", ".join(
            f"{place.provider} on {place.device}"
            + ("" if place.nodes is None else f" ({place.nodes} nodes)")
            for place in self.placed
        )
        text = f"{shares}; onnxruntime {self.runtime}, {self.threads} thread(s)"
        return f"FALLBACK, {self.fallback}: {text}" if self.fallback else text


def open_session(
    content: bytes, runtime: Runtime, model_sha256: str
) -> tuple[onnxruntime.InferenceSession, Report]:
    """Open a session and tell what runs it.

    Args:
        content: the ONNX file.
        runtime: providers in order, threads and the rest of [runtime].
        model_sha256: names the folder of its engines.

    Raises:
        ModelError: a provider is not there, did not start or took none of the work, and
            `allow_fallback` is false.
    """
    asked = providers.check_names(runtime.providers)
    try:
        return _open(content, runtime, asked, model_sha256)
    except _FAILURES as exc:
        if not runtime.allow_fallback or asked == (providers.CPU,):
            raise
        log.warning("the model runs on the CPU instead of %s: %s", list(runtime.providers), exc)
        session, report = _open(content, runtime, (providers.CPU,), model_sha256)
        shown = tuple(map(providers.short_name, asked))
        return session, Report(shown, report.placed, report.runtime, report.threads, str(exc))


def cores_less_one() -> int:
    """Threads of a node with one camera: a core is left to the camera, the PLC and the ledger."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


def _open(
    content: bytes, runtime: Runtime, asked: tuple[str, ...], model_sha256: str
) -> tuple[onnxruntime.InferenceSession, Report]:
    threads = runtime.threads or cores_less_one()
    chosen = {name: providers.options_of(name, runtime, threads, model_sha256) for name in asked}
    # An older onnxruntime keeps no record to check afterwards: nothing may go to the CPU at all.
    strict = not _keeps_record() and asked[0] != providers.CPU
    options = _session_options(threads, runtime.spinning, strict)
    if providers.OPENVINO in asked and providers.OPENVINO not in built_in():
        _add_plugin(options, asked, chosen[providers.OPENVINO])
        named = None
    else:
        missing = [name for name in asked if name not in built_in()]
        if missing:
            raise ModelError(f"provider {missing} is not in this onnxruntime; it has {built_in()}")
        _make_folder(chosen)
        named = [item for item in chosen.items() if not (strict and item[0] == providers.CPU)]
    with contextlib.redirect_stdout(sys.stderr):  # onnxruntime prints; our stdout is for data
        if {providers.FULL["cuda"], providers.FULL["tensorrt"]} & set(asked):
            _preload()
        session = onnxruntime.InferenceSession(content, options, providers=named, enable_fallback=0)
    session.disable_fallback()
    return session, _report(session, asked, chosen, threads)


def built_in() -> list[str]:
    """What this onnxruntime was built with, which says nothing about the device."""
    return list(onnxruntime.get_available_providers())


def _session_options(threads: int, spinning: bool, strict: bool) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    # weights in another file would run without having been hashed: there is no such folder
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", os.devnull
    )
    options.log_severity_level = 4  # every failure is raised; it need not be printed as well
    if _keeps_record():
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    elif strict:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def _keeps_record() -> bool:
    return hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info")


def _preload() -> None:
    """CUDA's libraries from pip's packages, where they are; the system's are found anyway."""
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()


def _make_folder(chosen: dict[str, dict[str, str]]) -> None:
    named = chosen.get(providers.FULL["tensorrt"], {}).get("trt_engine_cache_path")
    if named is None:
        return
    folder = Path(named)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.glob("*.engine")):
            log.warning(
                "%s: no engine yet, building it takes minutes; `quanjian-edge prepare` does so "
                "before a node needs it",
                folder,
            )
    except OSError as exc:
        raise ModelError(f"engine_dir: {folder} cannot be used: {exc}") from exc


def _add_plugin(
    options: onnxruntime.SessionOptions, asked: tuple[str, ...], chosen: dict[str, str]
) -> None:
    """Add OpenVINO from its plugin package, which has no place in a list of names.

    Raises:
        ModelError: no such package, or it finds no device.
    """
    other = [name for name in asked if name not in (providers.OPENVINO, providers.CPU)]
    if other:
        raise ModelError(f"openvino cannot be mixed with {other}; expected openvino and cpu alone")
    try:
        library = importlib.import_module(_PLUGIN).get_library_path()
    except (ImportError, OSError) as exc:
        raise ModelError(
            "provider ['OpenVINOExecutionProvider'] is not in this onnxruntime; install "
            "onnxruntime-ep-openvino (Intel) or onnxruntime-openvino (any x86-64)"
        ) from exc
    if not _plugin_devices():
        with contextlib.suppress(*RUNTIME_ERRORS):  # registered before: once per process
            onnxruntime.register_execution_provider_library(_PLUGIN, library)
    wanted = chosen.get("device_type", "CPU")
    found = _plugin_devices()
    fitting = [device for device in found if device.ep_metadata.get("ov_device") == wanted]
    if not fitting:
        raise ModelError(
            f"onnxruntime-ep-openvino finds no {wanted} here, only "
            f"{[device.ep_metadata.get('ov_device') for device in found]}: it takes Intel "
            "processors alone; on others install onnxruntime-openvino in place of onnxruntime"
        )
    given = {key: value for key, value in chosen.items() if key != "device_type"}
    options.add_provider_for_devices(fitting[:1], given)


def _plugin_devices() -> list[onnxruntime.OrtEpDevice]:
    return [d for d in onnxruntime.get_ep_devices() if d.ep_name == providers.OPENVINO]


def _report(
    session: onnxruntime.InferenceSession,
    asked: tuple[str, ...],
    chosen: dict[str, dict[str, str]],
    threads: int,
) -> Report:
    """Hold what runs against what was asked for.

    Raises:
        ModelError: they differ.
    """
    active = session.get_providers()
    inactive = [name for name in asked if name not in active]
    if inactive:
        raise ModelError(f"provider {inactive} did not start; active: {active}")
    given = [name for name in asked if name == asked[0] or name != providers.CPU]
    shares = _shares(session) if _keeps_record() else dict.fromkeys(given)
    if _keeps_record():
        check_shares(asked, {name: kinds or [] for name, kinds in shares.items()})
    placed = tuple(
        Placed(
            providers.short_name(name),
            providers.device_of(name, chosen.get(name, {})),
            None if kinds is None else len(kinds),
        )
        for name, kinds in shares.items()
    )
    shown = tuple(map(providers.short_name, asked))
    return Report(shown, placed, onnxruntime.__version__, threads)


def _shares(session: onnxruntime.InferenceSession) -> dict[str, list[str] | None]:
    """Kinds of the nodes that each provider runs."""
    shares: dict[str, list[str] | None] = {}
    for part in session.get_provider_graph_assignment_info():
        kinds = shares.setdefault(part.ep_name, [])
        assert kinds is not None
        kinds += [node.op_type for node in part.get_nodes()]
    return shares


def check_shares(asked: tuple[str, ...], shares: dict[str, list[str]]) -> None:
    """The first provider does the heavy work, and none of that is done by one not asked for.

    Raises:
        ModelError: it is otherwise.
    """
    heavy = {name: sum(kind in _HEAVY for kind in kinds) for name, kinds in shares.items()}
    strangers = {name: count for name, count in heavy.items() if count and name not in asked}
    first = heavy if any(heavy.values()) else {name: len(kinds) for name, kinds in shares.items()}
    if strangers or not first.get(asked[0]):
        told = {name: f"{len(kinds)} nodes, {heavy[name]} heavy" for name, kinds in shares.items()}
        raise ModelError(f"provider {asked[0]} did not take the work; it went to {told}")
