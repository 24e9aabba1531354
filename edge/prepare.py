"""`quanjian-edge prepare`: builds what the models of edge.toml need, before the node needs it.

A TensorRT engine takes minutes to build, and a node that builds one at its start looks dead. So it
is built ahead, by a process of low priority beside the running node, into `engine_dir`; the node
then finds it there. Exit 0 all warm, 1 a model failed, 2 settings.
"""

import argparse
import os
import sys
import threading
import time
from pathlib import Path

from edge import recipe as recipes
from edge import settings
from edge.errors import EdgeError
from edge.settings import Runtime
from edge.vision.detector import Detector

SIGN_S = 5.0  # a line on stderr at least so often
_NICE = 10


def run(asked: argparse.Namespace) -> int:
    """Load every model once, with the providers of the settings.

    Raises:
        SettingsError: with every mistake in the file, or in a recipe.
    """
    wiring = settings.read(asked.config)
    os.nice(_NICE)  # the line that runs meanwhile goes first
    models = {entry.model: entry.model_sha256 for entry in wiring.recipe if entry.model}
    for entry in wiring.recipe:
        path = Path(entry.path)
        models |= {str(path.parent / a.file): a.sha256 for a in recipes.read(path).anomalies}
    failed = 0
    for number, (model, sha256) in enumerate(models.items(), 1):
        where = f"{number} of {len(models)}: {model}"
        try:
            sys.stdout.write(f"OK     {where}: {_warm(Path(model), sha256, wiring.runtime)}\n")
        except EdgeError as wrong:
            failed += 1
            sys.stdout.write(f"FAULT  {where}: {wrong}\n       {wrong.hint}\n")
        sys.stdout.flush()
    return 1 if failed else 0


def _warm(model: Path, sha256: str | None, runtime: Runtime) -> str:
    """Load one model while a thread shows that it lives; what runs it, and how long it took.

    Raises:
        ModelError: it cannot be used.
    """
    done = threading.Event()
    started_s = time.monotonic()

    def show() -> None:
        while not done.wait(SIGN_S):
            sys.stderr.write(f"{model.name}: {time.monotonic() - started_s:.0f} s\n")
            sys.stderr.flush()

    sign = threading.Thread(target=show, name="prepare sign", daemon=True)
    sign.start()
    try:
        report = Detector(model, sha256, runtime=runtime).report
    finally:
        done.set()
        sign.join()
    return f"{report}, {time.monotonic() - started_s:.1f} s"
