"""A peer: `session.run` alone, on pictures that lie in memory as the graph wants them.

What nobody can be faster than with the same file, runtime and threads. Its pictures are those of
the others, each made ready before its block: one picture all the time would lie in the cache, as
theirs do not.
"""

import json
import sys
from typing import Any

import onnxruntime

from edge.vision.metadata import input_spec
from edge.vision.preprocess import Numbers, Preparer
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
    spec = input_spec(asked.type, asked.shape, None)

    def ready(picture: Any) -> Numbers:
        preparer = Preparer(spec)
        preparer.prepare(picture)
        return preparer.input

    def detect(blob: Numbers) -> object:
        return session.run(None, {asked.name: blob})

    said = {"onnxruntime": onnxruntime.__version__}
    serve(detect, said, lambda _found: [], kept_as=ready)


if __name__ == "__main__":
    main()
