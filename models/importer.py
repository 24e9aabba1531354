"""`quanjian-models import`: a detector made ready for the line, and proved to be the same.

The preprocessing goes into the first convolution (`models/fold.py`), the edges of boxes are laid
along memory (`models/distribution.py`); then both files look at the same pictures, through the
node's own code, and the new one is written only if they agree.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx

from edge.errors import ModelError
from edge.vision import lens, plates
from edge.vision.detector import Detector
from edge.vision.image import decode_image
from models.distribution import along_memory
from models.fold import fold
from models.sameness import Limits, prove

Picture = npt.NDArray[np.uint8]

FP32 = Limits(box_px=0.01, score=1e-4)
"""Ten times what rounding makes of a trained model (8.5e-4 px, 1.4e-6)."""

FP16 = Limits(box_px=2.0, score=5e-3)
"""FP16 has 11 bits: edges come in steps of 0.25 px up to 512 px, 0.5 px up to 1024, and the
unfolded file rounds the picture itself (measured at 320 px: 0.5 px, 1e-3)."""

_PICTURES = 8
_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp")


def take_in(source: Path, out: Path, gray: bool, folder: Path | None) -> dict[str, object]:
    """Fold `source`, prove it, write `out`; return {out, sha256, bytes, input, pictures, ...}.

    Args:
        source: an ONNX export of ultralytics.
        out: the file to write.
        gray: one channel in, for cameras without colour.
        folder: of pictures to compare on; None = simulated plates.

    Raises:
        ModelError: no such model, it cannot be folded, or the two do not agree.
        ImageError: a picture cannot be read.
    """
    before = Detector(source, threads=1)
    looked = _given(folder, gray) if folder else _simulated(gray)
    model = _read(source, before.sha256)
    half = any(t.data_type == onnx.TensorProto.FLOAT16 for t in model.graph.initializer)
    trial = out.with_name(f".{out.name}.trial")
    try:
        folded = along_memory(fold(model, gray))
        note = {"from_sha256": before.sha256, "input": "uint8 gray" if gray else "uint8 BGR"}
        words = onnx.StringStringEntryProto(key="quanjian_folded", value=json.dumps(note))
        folded.metadata_props.append(words)
        content = folded.SerializeToString(deterministic=True)
        trial.write_bytes(content)
        proof = prove(before, Detector(trial, threads=1), looked, FP16 if half else FP32)
        trial.replace(out)
    except OSError as exc:
        raise ModelError(f"{out}: cannot be written: {exc}") from exc
    except ModelError as exc:
        raise ModelError(f"{source}: not folded: {exc}") from exc
    finally:
        trial.unlink(missing_ok=True)
    sha256 = hashlib.sha256(content).hexdigest()
    return {"out": str(out), "sha256": sha256, "bytes": len(content), **note, **proof}


def _read(path: Path, sha256: str) -> onnx.ModelProto:
    """The file that the detector has just loaded."""
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise ModelError(f"{path}: cannot be read: {exc}") from exc
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(f"{path}: changed while it was read")
    return onnx.load_model_from_string(content)


def _given(folder: Path, gray: bool) -> list[Picture]:
    """Pictures of a folder, by name, as the camera would give them."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _ENDINGS)
    if not paths:
        raise ModelError(f"{folder}: no PNG, JPEG or BMP picture in it")
    return [_gray(image) if gray else image for image in map(decode_image, paths[:200])]


def _simulated(gray: bool) -> list[Picture]:
    """Plates with defects, in tints, so that a channel in the wrong place would be seen."""
    pictures = []
    for seed in range(800_000, 800_000 + _PICTURES):
        rng = np.random.default_rng(seed)
        label = plates.CLASSES[seed % len(plates.CLASSES)]
        plate = plates.make_plate(seed, (label,), sizes=(1.8, 2.2))
        image = lens.expose([(plate, 0.0, 0.0)], lens.Optics(), rng)
        tint = rng.uniform(0.5, 1.0, 3)
        pictures.append(image if gray else (image[:, :, None] * tint).astype(np.uint8))
    return pictures


def _gray(image: Picture) -> Picture:
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
