"""A peer: what tutorials do: numpy around the session, NMS by supervision."""

import json
import sys
from typing import Any

import cv2
import numpy as np
import onnxruntime
import supervision

from models.blocks import serve


class Textbook:
    """A raw head behind onnxruntime with its default options."""

    def __init__(self, model: str, conf: float, iou: float) -> None:
        self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        asked = self._session.get_inputs()[0]
        self._name, (_, _, self._height, self._width) = asked.name, asked.shape
        self._conf, self._iou = conf, iou

    def detect(self, picture: Any) -> Any:
        """Detections of an (H, W, 3) uint8 BGR picture."""
        height, width = picture.shape[:2]
        scale = min(self._height / height, self._width / width)
        inner = cv2.resize(picture, (round(width * scale), round(height * scale)))
        top, left = (self._height - inner.shape[0]) // 2, (self._width - inner.shape[1]) // 2
        canvas = np.full((self._height, self._width, 3), 114, np.uint8)
        canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
        blob = canvas[:, :, ::-1].astype(np.float32).transpose(2, 0, 1)[None] / 255.0
        rows = self._session.run(None, {self._name: np.ascontiguousarray(blob)})[0][0].T
        scores, kinds = rows[:, 4:].max(axis=1), rows[:, 4:].argmax(axis=1)
        kept = scores >= self._conf
        x, y, w, h = rows[kept, :4].T
        boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
        boxes = (boxes - [left, top, left, top]) / scale
        found = supervision.Detections(xyxy=boxes, confidence=scores[kept], class_id=kinds[kept])
        return found.with_nms(threshold=self._iou)


def main() -> None:
    """Serve blocks; the job names `model`, `conf`, `iou` and `labels`."""
    job = json.loads(sys.argv[1])
    peer = Textbook(job["model"], job["conf"], job["iou"])

    def rows(found: Any) -> list[list[Any]]:
        return [
            [*box, score, job["labels"][kind]]
            for box, score, kind in zip(
                found.xyxy.tolist(), found.confidence.tolist(), found.class_id.tolist(), strict=True
            )
        ]

    ready = {"supervision": supervision.__version__, "onnxruntime": onnxruntime.__version__}
    serve(peer.detect, ready, rows)


if __name__ == "__main__":
    main()
