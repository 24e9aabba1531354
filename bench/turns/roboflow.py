"""A peer: Roboflow's inference-models on the same ONNX file, in an environment of its own.

Its models are folders; one is laid around the file, with letterbox and NMS as the others have them.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["OFFLINE_MODE"] = "true"  # nothing is downloaded and nothing told

import inference_models
import numpy as np
import onnx
from inference_models import AutoModel

from models.blocks import serve


def package(model: Path, labels: list[str], folder: Path) -> None:
    """Lay a model folder around an ONNX file."""
    shape = onnx.load(model, load_external_data=False).graph.input[0].type.tensor_type.shape
    height, width = (side.dim_value for side in shape.dim[2:])
    (folder / "weights.onnx").symlink_to(model.resolve())
    (folder / "class_names.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    wiring = {
        "project_id": "quanjian",
        "model_architecture": "yolov8",
        "task_type": "object-detection",
        "backend_type": "onnx",
    }
    (folder / "model_config.json").write_text(json.dumps(wiring), encoding="utf-8")
    inference = {
        "network_input": {
            "training_input_size": {"height": height, "width": width},
            "dynamic_spatial_size_supported": False,
            "color_mode": "rgb",
            "resize_mode": "letterbox",
            "padding_value": 114,
            "input_channels": 3,
            "scaling_factor": 255,
        },
        "post_processing": {"type": "nms", "fused": False},
    }
    (folder / "inference_config.json").write_text(json.dumps(inference), encoding="utf-8")


def main() -> None:
    """Serve blocks; the job names `model`, `conf`, `iou` and `labels`."""
    job = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        package(Path(job["model"]), job["labels"], Path(name))
        model = AutoModel.from_pretrained(
            name, onnx_execution_providers=["CPUExecutionProvider"], device="cpu"
        )

        def detect(picture: Any) -> Any:
            return model.infer(
                np.asarray(picture),
                input_color_format="bgr",
                confidence=job["conf"],
                iou_threshold=job["iou"],
            )[0]

        def rows(found: Any) -> list[list[Any]]:
            return [
                [*box, score, job["labels"][kind]]
                for box, score, kind in zip(
                    found.xyxy.tolist(),
                    found.confidence.tolist(),
                    found.class_id.tolist(),
                    strict=True,
                )
            ]

        serve(detect, {"inference-models": inference_models.__version__}, rows)


if __name__ == "__main__":
    main()
