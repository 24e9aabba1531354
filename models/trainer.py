"""The trainer as a process of its own: how `train` and `export` reach ultralytics.

It runs in another environment (`--trainer-python`, by default .venv-train beside this package),
reads one JSON job from its command line, talks on stderr and answers with one JSON object on
stdout.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from edge.errors import TrainingError

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_PYTHON = ROOT / ".venv-train" / "bin" / "python"

# Our packages come last on the path: the trainer's environment has its own numpy and cv2.
_START = (
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); "
    "runpy.run_module('models.train_ultralytics', run_name='__main__', alter_sys=True)"
)


def python_at(text: str) -> Path:
    """An interpreter as the command line names it, for a process that starts in another folder.

    Its symlink stays one: by its place, not by what it points to, a virtual environment is known.
    """
    return Path(shutil.which(text) or text).absolute()


def delegate(
    python: Path,
    job: Mapping[str, object],
    log: Path,
    progress: Callable[[dict[str, object]], None],
) -> dict[str, object]:
    """Run one job to its end and return the answer; all its other talk goes to `log`.

    Raises:
        TrainingError: no such interpreter, or the trainer ended without an answer.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-c", _START, str(ROOT), json.dumps(job)]
    answer_path = log.with_suffix(".answer")
    try:
        with (
            log.open("w", buffering=1, encoding="utf-8") as kept,
            answer_path.open("w", encoding="utf-8") as answer,
            subprocess.Popen(
                command, cwd=log.parent, stdout=answer, stderr=subprocess.PIPE, text=True
            ) as child,
        ):
            assert child.stderr is not None
            for line in child.stderr:
                kept.write(line)
                if line.startswith("{"):
                    progress(json.loads(line))
    except OSError as exc:
        made = "`make train-env` makes its environment; --trainer-python names another one."
        raise TrainingError(f"{python}: the trainer cannot be started: {exc}", made) from exc
    text = answer_path.read_text(encoding="utf-8")
    answer_path.unlink()
    if child.returncode != 0 or not text:
        last = " / ".join(log.read_text(encoding="utf-8").strip().splitlines()[-2:])
        told = f"{job['do']}: trainer ended with {child.returncode}: {last}"
        read = f"Correct what is named, or read {log}; `make train-env` makes the environment."
        raise TrainingError(told, read)
    result: dict[str, object] = json.loads(text)
    return result
