"""A peer: `session.run` alone, on a picture that lies in memory as the graph wants it.

What nobody can be faster than with the same model, runtime and threads. It runs the file as
exported; ours runs the folded one beside it, whose graph begins with the frame's own bytes and so
does a little of the work that this floor leaves out.
"""

import json
import sys
from typing import Any

import numpy as np
import onnxruntime

from models.blocks import serve


def main() -> None:
    """Serve blocks; the job names `model`, `threads` and `spinning`."""
    job = json.loads(sys.argv[1])
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    options.inter_op_num_threads = 1
    spinning = str(int(job["spinning"]))
    options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    session = onnxruntime.InferenceSession(
        job["model"], options, providers=["CPUExecutionProvider"]
    )
    asked = session.get_inputs()[0]
    blob = np.random.default_rng(0).random(asked.shape, np.float32)

    def detect(_picture: Any) -> object:
        return session.run(None, {asked.name: blob})

    serve(detect, {"onnxruntime": onnxruntime.__version__}, lambda _found: [])


if __name__ == "__main__":
    main()
