# SPDX-License-Identifier: AGPL-3.0-or-later
# This file uses ultralytics, which is AGPL-3.0, and is itself under the GNU Affero General Public
# License, version 3 or later: https://www.gnu.org/licenses/agpl-3.0.html. It runs only as a process
# of its own, in an environment of its own; the rest of this repository exchanges files with it and
# does not import it.
"""The one file that uses ultralytics: trains a detector, writes its graph as ONNX, predicts.

    python -m models.train_ultralytics '{"do": "train", "data": "...", "out": "...", ...}'

`models.train` and `models.export` start it and say what each key means. Progress is one JSON object
per line on stderr; the answer is one JSON object on stdout. Nothing is downloaded and nothing is
sent anywhere. `bench` has it predict, to be compared with: then it answers blocks (models.blocks).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def _quiet_environment(scratch: str) -> None:
    """What is read at import: no network, no installs, nothing in the user's home."""
    os.environ.update(
        YOLO_OFFLINE="true",
        YOLO_AUTOINSTALL="false",
        YOLO_CONFIG_DIR=scratch,
        YOLO_VERBOSE="false",
        MPLCONFIGDIR=scratch,
        OMP_WAIT_POLICY="passive",  # threads that spin starve each other beside other work
    )


def _progress(**figures: Any) -> None:
    sys.stderr.write(json.dumps(figures) + "\n")
    sys.stderr.flush()


def _train(job: dict[str, Any]) -> dict[str, Any]:
    import torch
    from ultralytics import YOLO, __version__, settings

    settings.update({"sync": False})
    began = time.monotonic()
    random.seed(job["seed"])
    torch.manual_seed(job["seed"])
    model = YOLO(job["base"] or f"{job['architecture']}.yaml")
    if job["transfer"]:
        model.load(job["transfer"])
    history: list[dict[str, float]] = []

    def all_cores(_trainer: Any) -> None:
        torch.set_num_threads(os.cpu_count() or 1)  # ultralytics leaves one core out

    def step(trainer: Any) -> None:
        done = trainer.batch_done = getattr(trainer, "batch_done", 0) + 1
        if done % 50 == 0:
            losses = {k: round(float(v), 3) for k, v in trainer.loss_items.items()}
            _progress(batches=done, seconds=round(time.monotonic() - began), **losses)

    def epoch_end(trainer: Any) -> None:
        figures = {
            k.split("/")[-1].rstrip(")").replace("(", "_"): round(float(v), 4)
            for k, v in trainer.metrics.items()
        }
        if "box_loss" not in figures:  # after the last epoch: the best weights once more
            _progress(note="best weights", **figures)
            return
        history.append(figures)
        _progress(
            epoch=trainer.epoch + 1,
            of=trainer.epochs,
            seconds=round(time.monotonic() - began),
            **figures,
        )

    model.add_callback("on_train_start", all_cores)
    model.add_callback("on_train_batch_end", step)
    model.add_callback("on_fit_epoch_end", epoch_end)
    out = Path(job["out"]).resolve()
    model.train(
        data=job["data"],
        imgsz=job["imgsz"],
        batch=job["batch"],
        nbs=job["batch"],
        epochs=job["epochs"],
        time=job["minutes"] / 60 if job["minutes"] else None,
        patience=0,
        seed=job["seed"],
        project=str(out),
        name="run",
        exist_ok=True,
        device=job["device"],
        amp=False,
        workers=job["workers"],
        cache="ram",
        plots=False,
        verbose=False,
        optimizer="AdamW",
        lr0=job["lr"],
        lrf=0.01,
        cos_lr=True,
        warmup_epochs=1.0,
        mosaic=0.0,
        degrees=0.0,
        translate=0.03,
        scale=0.08,
        fliplr=0.5,
        flipud=0.5,
        hsv_h=0.0,
        hsv_s=0.0,
        hsv_v=0.15,
        erasing=0.0,
    )
    for name in ("best.pt", "last.pt"):
        _hand_over(out / "run" / "weights" / name, out / name)
    return {
        "best": str(out / "best.pt"),
        "epochs": len(history),
        "validation": history,
        "train_s": round(time.monotonic() - began),
        "environment": {
            "ultralytics": __version__,
            "torch": torch.__version__,
            "python": sys.version.split()[0],
            "threads": os.cpu_count(),
            "device": job["device"],
        },
    }


def _hand_over(source: Path, target: Path) -> None:
    """Copy a checkpoint without the folders of this machine that the trainer wrote into it."""
    import torch

    held = torch.load(source, map_location="cpu", weights_only=False)
    held.pop("git", None)
    model = held.get("ema") or held["model"]
    model.pt_path = None  # where the weights it started from lay
    for words in (held["train_args"], model.args):
        for key, value in words.items():
            if isinstance(value, str) and os.sep in value:
                words[key] = Path(value).name
    torch.save(held, target)


def _export(job: dict[str, Any]) -> dict[str, Any]:
    import onnx
    from ultralytics import YOLO, __version__, settings

    settings.update({"sync": False})
    out = Path(job["out"]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "model.pt"  # the exporter writes beside its input
        shutil.copyfile(job["weights"], weights)
        # ultralytics from 8.4.142 on: nms None = raw boxes, False = the head without NMS
        nms = {"raw": None, "end_to_end": False, "nms": True}[job["head"]]
        made = YOLO(str(weights)).export(
            format="onnx",
            imgsz=job["imgsz"],
            opset=17,
            simplify=False,
            dynamic=False,
            device="cpu",
            nms=nms,
        )
        graph = onnx.load(made)
    kept = {p.key: p.value for p in graph.metadata_props}
    kept.pop("date", None)  # the same weights give the same bytes
    kept["description"] = kept["description"].partition(" trained on ")[0]  # names a folder here
    kept.update(job["metadata"])
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, kept)
    graph.ir_version = min(graph.ir_version, 10)
    onnx.checker.check_model(graph)
    onnx.save(graph, str(out))
    output = graph.graph.output[0]
    return {
        "out": str(out),
        "ir": graph.ir_version,
        "opset": max(o.version for o in graph.opset_import if o.domain in ("", "ai.onnx")),
        "shape": [d.dim_value for d in output.type.tensor_type.shape.dim],
        "ultralytics": __version__,
    }


def _predict(job: dict[str, Any]) -> None:
    """Serve blocks: `predict` as its users call it, with the model's work left out, or its NMS.

    NMS alone is ultralytics' own, in torch, or with `compiled` the one it takes where torchvision
    has been imported, as `predict` does.
    """
    import onnxruntime
    import torch
    from ultralytics import YOLO, __version__, settings
    from ultralytics.utils.nms import non_max_suppression

    from models import torchvision_cpu
    from models.blocks import serve

    if job["what"] != "nms" or job["compiled"]:
        torchvision_cpu.install()
        import torchvision  # noqa: F401
    settings.update({"sync": False})
    ready = {
        "ultralytics": __version__,
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "nms": "torchvision" if "torchvision" in sys.modules else "TorchNMS",
    }
    if job["what"] == "nms":
        serve(
            lambda output: non_max_suppression(
                torch.from_numpy(output), job["conf"], job["iou"], max_det=job["max_det"]
            ),
            ready,
            lambda found: found[0].tolist(),
        )
        return
    model = YOLO(job["model"], task=job["task"])
    keys = ("imgsz", "conf", "iou", "max_det")
    asked = {**{key: job[key] for key in keys}, "device": "cpu", "verbose": False}

    def detect(picture: Any) -> Any:
        return model.predict(picture, **asked)[0]

    def rows(found: Any) -> list[list[Any]]:
        names, boxes = found.names, found.boxes
        return [
            [*box, score, names[int(kind)]]
            for box, score, kind in zip(
                boxes.xyxy.tolist(), boxes.conf.tolist(), boxes.cls.tolist(), strict=True
            )
        ]

    if job["what"] == "around":
        detect(torch.zeros(*job["imgsz"], 3, dtype=torch.uint8).numpy())  # makes the predictor
        backend = model.predictor.model.backend
        run = backend.forward
        kept: list[Any] = []

        def replay(*inputs: Any, **options: Any) -> Any:
            """The model's answer to the first picture, again for every other one."""
            if not kept:
                kept.append(run(*inputs, **options))
            return [part.copy() for part in kept[0]]  # what comes after it writes into them

        backend.forward = replay
    serve(detect, ready, rows)


def main() -> int:
    """Do the one job that argv names."""
    job = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        _quiet_environment(scratch)
        if job["do"] == "predict":
            _predict(job)
            return 0
        from models import torchvision_cpu

        if torchvision_cpu.install():
            _progress(
                note="torchvision's own kernels do not load with this torch: using ours for NMS"
            )
        with contextlib.redirect_stdout(sys.stderr):
            answer = _train(job) if job["do"] == "train" else _export(job)
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
