"""Writes trained weights as ONNX for the edge: `quanjian-models export`.

By default the raw head is exported, output (1, 4 + classes, anchors), and the edge does the NMS.
The trainer's metadata stays (names, imgsz, stride); `quanjian` adds the layout, the classes and the
hash of the model's card.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from edge.errors import TrainingError
from models.importer import take_in
from models.trainer import delegate

Fold = Literal["no", "bgr", "gray"]

HEADS = ("raw", "end_to_end", "nms")
"""Boxes as they come out: one per anchor; chosen by a head without NMS; after NMS in the graph."""


def export(
    weights: Path,
    out: Path,
    imgsz: tuple[int, int],
    card: Path | None,
    python: Path,
    progress: Callable[[dict[str, object]], None],
    head: str = "raw",
    fold: Fold = "no",
    pictures: Path | None = None,
) -> dict[str, object]:
    """Write `out` and return {out, sha256, bytes, ir, opset, shape}; folded, also the proof's.

    Args:
        weights: a .pt checkpoint of the trainer.
        out: the .onnx to write.
        imgsz: height and width of the network's input, px.
        card: JSON card with `classes`, `thresholds` and `licence`; None for a model without one.
        python: interpreter of the trainer's environment.
        progress: gets the trainer's notes.
        head: of HEADS; end_to_end only for a network that has such a head (yolo26).
        fold: whether the file takes uint8 BGR, or gray; see `models.importer`.
        pictures: folder of pictures that the folded file is compared on; None: simulated plates.

    Raises:
        TrainingError: no weights, a card that is no JSON, or the exporter failed.
        ModelError: the exported file cannot be folded.
    """
    if not weights.is_file():
        raise TrainingError(f"{weights}: no such weights")
    note = json.dumps(_note(card, head), ensure_ascii=False, sort_keys=True)
    made = out if fold == "no" else out.with_name(f".{out.stem}.unfolded.onnx")
    job = {
        "do": "export",
        "weights": str(weights.resolve()),
        "out": str(made.resolve()),
        "imgsz": list(imgsz),
        "head": head,
        "metadata": {"quanjian": note},
    }
    answer = delegate(python, job, out.with_suffix(".export.log").resolve(), progress)
    out.with_suffix(".export.log").unlink()
    if fold != "no":
        try:
            return {**answer, **take_in(made, out, fold == "gray", pictures)}
        finally:
            made.unlink(missing_ok=True)
    model = out.read_bytes()
    return {**answer, "sha256": hashlib.sha256(model).hexdigest(), "bytes": len(model)}


def _note(card: Path | None, head: str) -> dict[str, object]:
    """The `quanjian` metadata."""
    note: dict[str, object] = {"layout": "raw-nms" if head == "raw" else head}
    if card is None:
        return note
    try:
        text = card.read_bytes()
        known = json.loads(text)
        note.update({key: known[key] for key in ("classes", "thresholds", "licence")})
    except (OSError, ValueError, KeyError) as exc:
        raise TrainingError(f"{card}: not a model card: {exc!r}") from exc
    return {**note, "card_sha256": hashlib.sha256(text).hexdigest()}
