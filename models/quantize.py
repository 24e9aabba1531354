"""8-bit models: `quanjian-models quantize`, half to a third of the time of FP32 where it pays.

    FP32 file, pictures --> ranges at every Conv --> Q/DQ before all but the head's --> compared

Only the inputs and weights of convolutions are marked (QDQ, weights signed per channel): OpenVINO
and TensorRT fuse the rest themselves; onnxruntime's own CPU provider does not, and runs such a file
slower than FP32. Activations are unsigned for OpenVINO, whose processors multiply unsigned by
signed (signed ones measured 1.0 to 1.3 x slower), and signed for TensorRT, which takes no zero
point. The detection head stays FP32: one scale for boxes of 0..320
px and scores of 0..1 rounds every score to zero, and a model that finds nothing passes everything.
So the file is written only after its decisions were held against the original's on pictures that
it was not calibrated on.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

from edge.errors import EdgeError, TrainingError
from edge.vision.detector import Detector
from edge.vision.image import decode_image
from models.accuracy import Looked, Truth, precision_by_label, rejected

SEEN = 0.25
"""Score from which a detection counts when decisions are compared."""

LEAST_AGREEMENT = 0.95
"""AP50 of the 8-bit model's detections against the FP32 model's, mean over classes."""

LEAST_DECISIONS = 0.97
"""Share of pictures on which both find something or both nothing."""

LEAST_PICTURES = 34
"""To calibrate with, and to compare on: ranges of fewer miss what the line shows, and of fewer the
LEAST_DECISIONS are simply all."""

_LEAST_OF_FEW = 2  # each, for whoever only tries the command

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
_MODULE = re.compile(r"/model\.(\d+)/")

Engine = Literal["openvino", "tensorrt"]
_ACTIVATIONS = {
    "openvino": quantization.QuantType.QUInt8,
    "tensorrt": quantization.QuantType.QInt8,
}

Blob = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the decisions of two models compare on the same pictures."""

    pictures: int
    defects: int  # the original's detections at SEEN or above
    found: int  # the candidate's
    agreement: float  # mean AP50, 0..1
    decisions: float  # share of pictures, 0..1

    @property
    def fault(self) -> str:
        """Why the candidate must not be used; "" if it may."""
        if self.defects == 0:
            return (
                f"the FP32 model finds nothing on the {self.pictures} pictures kept for comparing: "
                "give pictures with defects"
            )
        if self.found == 0:
            return f"it finds nothing where the FP32 model finds {self.defects} defects"
        if self.agreement < LEAST_AGREEMENT or self.decisions < LEAST_DECISIONS:
            return (
                f"its detections agree to {self.agreement:.3f}, its decisions to "
                f"{self.decisions:.3f}; expected {LEAST_AGREEMENT} and {LEAST_DECISIONS}"
            )
        return ""


def quantize(
    model: Path,
    pictures: Path,
    out: Path,
    count: int,
    engine: Engine,
    say: Callable[[str], None],
    few: bool = False,
) -> dict[str, object]:
    """Write the 8-bit form of `model`, folded or not, and return what was compared.

    Args:
        model: FP32, an ultralytics export.
        pictures: folder with some of what the line sees, good parts and defects; never those the
            model is accepted on. Searched to any depth.
        out: file to write.
        count: pictures to calibrate with; as many again, at the most, to compare with.
        engine: that will run it.
        say: gets one line per step.
        few: be content with fewer than LEAST_PICTURES.

    Raises:
        TrainingError: no folder for `out`, too few pictures, no head to be found, or decisions
            that differ.
        EdgeError: the model or a picture cannot be used.
    """
    if not out.parent.is_dir():
        raise TrainingError(f"{out}: there is no such folder to write to")
    original = Detector(model)
    calibration, held_out = _split(pictures, count, _LEAST_OF_FEW if few else LEAST_PICTURES)
    say(f"calibrating on {len(calibration)} pictures, comparing on {len(held_out)}")
    head = head_of(onnx.load(str(model)))
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".quantize-") as folder:
        made = Path(folder) / out.name
        feed = (original.fed(decode_image(path)) for path in calibration)
        rewrite(model, made, feed, keep=head, engine=engine)
        say("comparing decisions")
        found = compare(original, Detector(made), map(decode_image, held_out))
        if found.fault:
            raise TrainingError(f"{out}: not written: {found.fault}")
        made.replace(out)
    content = out.read_bytes()
    return {
        "out": str(out),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "fp32_bytes": model.stat().st_size,
        "engine": engine,
        "calibrated_on": len(calibration),
        "head_nodes": len(head),
        **asdict(found),
    }


def head_of(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes of the last module, which is the detection head of every export.

    Raises:
        TrainingError: no node has a module's name, or the model is of 8 bit already.
    """
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        raise TrainingError("the model is of 8 bit already; expected the FP32 one")
    modules: dict[int, list[str]] = {}
    for node in model.graph.node:
        number = _MODULE.search(node.name)
        if number is not None:
            modules.setdefault(int(number[1]), []).append(node.name)
    if len(modules) < 2:
        raise TrainingError("no node is named /model.N/...; expected an ultralytics export")
    return modules[max(modules)]


def rewrite(
    model: Path,
    out: Path,
    feed: Iterable[Blob],
    keep: Sequence[str],
    engine: Engine = "openvino",
    kinds: Sequence[str] | None = ("Conv",),
) -> None:
    """Calibrate on `feed` and write the marked model, its metadata kept.

    Args:
        keep: names of nodes that stay FP32.
        kinds: of nodes to mark; None: all that onnxruntime can.

    Raises:
        TrainingError: the graph cannot be read or calibrated.
    """
    plain = out.with_suffix(".plain.onnx")
    try:
        quant_pre_process(str(model), str(plain), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(plain),
            str(out),
            _Feed(feed),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(kinds) if kinds else None,
            per_channel=True,
            activation_type=_ACTIVATIONS[engine],
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=list(keep),
            extra_options={
                "ActivationSymmetric": engine == "tensorrt",
                "WeightSymmetric": True,
                "QuantizeBias": False,  # both engines want the bias in FP32
                "OpTypesToExcludeOutputQuantization": list(kinds or ()),
            },
        )
        _keep_metadata(model, out)
    except EdgeError:
        raise
    except Exception as exc:  # neither onnx nor the quantizer has a base class
        raise TrainingError(f"{model}: cannot be quantized: {exc}") from exc
    finally:
        plain.unlink(missing_ok=True)


def compare(
    original: Detector, candidate: Detector, images: Iterable[npt.NDArray[np.uint8]]
) -> Agreement:
    """Run both on the same pictures, the original's detections taken as the truth."""
    looked, same = [], 0
    limits = dict.fromkeys(original.labels, SEEN)
    for image in images:
        truth, found = original.detect(image), candidate.detect(image)
        strong = tuple(Truth(d.label, d.box) for d in truth if d.score >= SEEN)
        looked.append(Looked(tuple(found), strong))
        same += rejected(truth, limits) == rejected(found, limits)
    seen = sorted({t.label for one in looked for t in one.truth})
    precision = precision_by_label(looked, seen)
    return Agreement(
        pictures=len(looked),
        defects=sum(len(one.truth) for one in looked),
        found=sum(d.score >= SEEN for one in looked for d in one.detections),
        agreement=round(sum(precision.values()) / max(1, len(seen)), 4),
        decisions=round(same / max(1, len(looked)), 4),
    )


class _Feed(quantization.CalibrationDataReader):  # type: ignore[misc] # it ships no types
    """Pictures one after another, as the quantizer asks for them."""

    def __init__(self, feed: Iterable[Blob]) -> None:
        self._feed: Iterator[Blob] = iter(feed)

    def get_next(self) -> Blob | None:
        return next(self._feed, None)


def _split(folder: Path, count: int, least: int) -> tuple[list[Path], list[Path]]:
    """Pictures to calibrate with and as many others to compare with, from all over the folder."""
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
    step = max(1, len(found) // (2 * count))
    chosen = found[::step][: 2 * count]
    calibration, held_out = chosen[::2], chosen[1::2]
    if len(held_out) < least:
        raise TrainingError(
            f"{folder}: {len(found)} pictures, of which {len(calibration)} would calibrate and "
            f"{len(held_out)} be compared; expected {least} or more for each: of fewer neither "
            "ranges nor decisions say anything of the line (--few, only to try the command)"
        )
    return calibration, held_out


def _keep_metadata(model: Path, out: Path) -> None:
    """Put back what the quantizer drops, class names and sizes, and note the source."""
    made = onnx.load(str(out))
    known = {entry.key: entry.value for entry in onnx.load(str(model)).metadata_props}
    known["quantized_from"] = hashlib.sha256(model.read_bytes()).hexdigest()
    onnx.helper.set_model_props(made, known)
    onnx.save(made, str(out))
