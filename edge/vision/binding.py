"""One thread's way through a shared session: its own memory, used for every frame.

    frame -- Preparer --> input (bound) -- session --> outputs (bound) -- postprocess --> detections

Without binding, every run would make outputs anew; with it nothing is allocated after the first
frame, and a device gets one copy in and one out. The input is bound again for every frame: a device
that is not the CPU gets its copy when it is bound, and would go on seeing the first frame for ever.
"""

import math

import numpy as np
import numpy.typing as npt
import onnxruntime

from edge.errors import ModelError
from edge.vision.preprocess import Fit, InputSpec, Numbers, Preparer

Array = npt.NDArray[np.float32]

_MAX_OUTPUT = 64_000_000
"""Numbers in one output: 256 MB. 8,400 anchors of 80 classes are 0.7 million."""

_ELEMENTS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class Binding:
    """Input and outputs of one session, for one thread."""

    def __init__(self, session: onnxruntime.InferenceSession, spec: InputSpec) -> None:
        """Bind memory.

        Raises:
            ModelError: an output is not a tensor of floats, or larger than any head.
        """
        self._session = session
        self._preparer = Preparer(spec)
        self._name = session.get_inputs()[0].name
        self._bound = session.io_binding()
        self._outputs = [_output(node) for node in session.get_outputs()]
        self._open: list[str] = []  # outputs whose shape the graph does not state
        for node, room in zip(session.get_outputs(), self._outputs, strict=True):
            if room is None:
                self._open.append(node.name)
                self._bound.bind_output(node.name)
                continue
            value = onnxruntime.OrtValue.ortvalue_from_numpy(room)
            self._bound.bind_ortvalue_output(node.name, value)

    @property
    def input(self) -> Numbers:
        """What the session reads; `prepare` makes it show a frame."""
        return self._preparer.input

    def prepare(self, image: npt.NDArray[np.uint8]) -> Fit:
        """Make the input show a frame, which must not change before `run`; see `Preparer`."""
        placed = self._preparer.prepare(image)
        self._bound.bind_cpu_input(self._name, self._preparer.input)
        return placed

    def run(self) -> list[Array]:
        """Run the session on the input; its outputs as float32, valid until the next run."""
        for room in self._outputs:
            if room is not None:  # what a provider did not write is not the last part's answer
                room.fill(math.nan)
        self._session.run_with_iobinding(self._bound)
        if not self._open:
            return [np.asarray(room, np.float32) for room in self._outputs]
        values = self._bound.get_outputs()
        for name in self._open:  # else the next run must give the same shape
            self._bound.bind_output(name)
        return [np.asarray(value.numpy(), np.float32) for value in values]


def _output(node: onnxruntime.NodeArg) -> Numbers | None:
    """Memory for an output whose shape the graph states; None where it does not."""
    element = _ELEMENTS.get(node.type)
    if element is None:
        raise ModelError(f"gives {node.name} {node.type}; expected a tensor of floats")
    if not all(isinstance(side, int) and side >= 0 for side in node.shape or [""]):
        return None
    if math.prod(node.shape) > _MAX_OUTPUT:
        raise ModelError(f"gives {node.name} {node.shape}; expected at most {_MAX_OUTPUT} numbers")
    return np.zeros(node.shape, element)
