"""The interpreter in which OpenVINO runs: this one, or that of `make openvino-env`.

The plugin beside onnxruntime takes Intel processors alone; on others OpenVINO comes with an
onnxruntime of its own, which cannot lie in the same environment.
"""

import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
APART = ROOT / ".venv-openvino" / "bin" / "python"
MODEL = ROOT / "models" / "base" / "base.onnx"

_TRY = (
    "import sys; from pathlib import Path; from edge.vision.detector import Detector; "
    "Detector(Path(sys.argv[1]), providers=('openvino',), threads=1)"
)
_LIMIT_S = 120.0


@cache
def find() -> Path | None:
    """None where OpenVINO runs in neither: proved by running a model, not by a list."""
    for python in (Path(sys.executable), APART):
        if python.is_file() and _runs(python):
            return python
    return None


def _runs(python: Path) -> bool:
    words = [str(python), "-c", _TRY, str(MODEL)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, timeout=_LIMIT_S, check=False)
    return done.returncode == 0
