"""Lets PyPI's torchvision, built for CUDA, be imported beside a CPU build of torch.

Its compiled kernels then do not load, and `import torchvision` fails because it describes two
operators, `nms` and `qnms`, that nobody declared (pytorch/vision#9085). Declared here, with a CPU
kernel for `nms`, the only one a detector's validation calls. Where the kernels load, nothing is
done.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

_declared: list[Any] = []  # the declaration lives as long as the process


def install() -> bool:
    """Declare the operators if torchvision's own do not load; True if that was needed."""
    import torch

    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None or _declared:
        return bool(_declared)
    kernels = next(Path(found.origin).parent.glob("_C*.so"), None)
    if kernels is not None:
        try:
            torch.ops.load_library(str(kernels))
        except OSError:
            pass
        else:
            return False
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", _nms, "CPU")
    _declared.append(library)
    from torchvision import extension

    extension._has_ops = lambda: True
    return True


def _nms(boxes: Any, scores: Any, overlap: float) -> Any:
    """Indices kept, best first: (n, 4) x1 y1 x2 y2 and (n,) scores above 0 in, (k,) int64 out."""
    import cv2
    import torch

    corners = boxes.detach().double().numpy().copy()
    corners[:, 2:] -= corners[:, :2]
    if not len(corners):
        return torch.empty(0, dtype=torch.int64)
    kept = cv2.dnn.NMSBoxes(corners, scores.detach().float().numpy(), 0.0, overlap)
    return torch.as_tensor(kept, dtype=torch.int64).reshape(-1)
