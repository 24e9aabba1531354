"""What an ultralytics export says about itself, believed only as far as its graph agrees. No IO.

The words are those of the file's metadata (ultralytics 8.4, `engine/exporter.py`): names, task,
imgsz, end2end, args. From 8.4.142 on `nms=None` exports the raw head even of a model that needs no
NMS, `nms=False` its end-to-end head, `nms=True` a graph with NMS inside; before, `end2end` did.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edge.errors import ModelError
from edge.vision.preprocess import Element, InputSpec

Task = Literal["detect", "segment"]

NMS_FLOOR = 0.25
"""Lower scores are gone where NMS is in the graph: the exporter's `conf`, which no file tells."""

_MAX_SIDE_PX = 8192
_MAX_INPUT_PX = 4096 * 4096
_MAX_WORDS = 100_000  # characters of one entry: 80 classes take 1,500
_ELEMENTS: dict[str, Element] = {
    "tensor(uint8)": "uint8",
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
}


@dataclass(frozen=True, slots=True)
class Metadata:
    """An export's own words."""

    task: Task
    labels: tuple[str, ...]  # class names in the order of the outputs
    imgsz: tuple[int, int] | None  # height and width, px; None = it does not say
    end_to_end: bool | None  # boxes come chosen by the graph; None = it does not say
    lowest_score: float = 0.0  # that the graph lets through


def read(words: Mapping[str, str]) -> Metadata:
    """Read the metadata of a file.

    Raises:
        ModelError: no class names, another task, or entries that cannot be read.
    """
    task = words.get("task", "detect")
    if task not in ("detect", "segment"):
        raise ModelError(f"a model for {task!r}; expected one for 'detect' or 'segment'")
    chosen: Task = "segment" if task == "segment" else "detect"
    labels, imgsz, end_to_end = _labels(words), _imgsz(words), _end_to_end(words)
    lowest = NMS_FLOOR if _nms_inside(words) else 0.0
    return Metadata(chosen, labels, imgsz, end_to_end, lowest)


def _labels(words: Mapping[str, str]) -> tuple[str, ...]:
    names = _literal(words, "names")
    if isinstance(names, list | tuple):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or set(names) != set(range(len(names))) or not names:
        raise ModelError("no class names 0..n in its metadata: not an ultralytics export?")
    labels = tuple(str(names[number]) for number in range(len(names)))
    if len(set(labels)) < len(labels):
        raise ModelError(f"two classes have one name: {list(labels)}")
    return labels


def _imgsz(words: Mapping[str, str]) -> tuple[int, int] | None:
    if "imgsz" not in words:
        return None
    value = _literal(words, "imgsz")
    sides = [value, value] if isinstance(value, int) else value
    if isinstance(sides, list | tuple) and len(sides) == 2:
        height, width = sides
        if isinstance(height, int) and isinstance(width, int):
            return height, width
    raise ModelError(f"imgsz in its metadata is {value!r}; expected two whole numbers")


def _end_to_end(words: Mapping[str, str]) -> bool | None:
    """NMS in the graph counts too: its boxes are as finished as those of an end-to-end head."""
    if _nms_inside(words):
        return True
    said = words.get("end2end")
    if said not in (None, "True", "False"):
        raise ModelError(f"end2end in its metadata is {said!r}; expected True or False")
    return None if said is None else said == "True"


def _nms_inside(words: Mapping[str, str]) -> bool:
    arguments = _literal(words, "args") if "args" in words else {}
    return isinstance(arguments, dict) and arguments.get("nms") is True


def _literal(words: Mapping[str, str], key: str) -> object:
    text = words.get(key, "None")
    try:
        if len(text) > _MAX_WORDS:
            raise ValueError
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as exc:
        raise ModelError(f"{key} in its metadata cannot be read") from exc


def input_spec(kind: str, dims: Sequence[object], imgsz: tuple[int, int] | None) -> InputSpec:
    """What the graph takes; sides that it leaves open are those of `imgsz`.

    Args:
        kind: of its input, as onnxruntime writes it, e.g. "tensor(float)".
        dims: of its input; numbers, or names of open ones.
        imgsz: height and width by the metadata, px.

    Raises:
        ModelError: not one picture, or the metadata says another size.
    """
    element = _ELEMENTS.get(kind)
    if element is None or len(dims) != 4:
        raise ModelError(
            f"takes {kind} {list(dims)}; expected one picture, float NCHW or uint8 NHWC"
        )
    batch, *rest = dims
    channels, height, width = (rest[2], *rest[:2]) if element == "uint8" else rest
    if isinstance(batch, int) and batch != 1:
        raise ModelError(f"takes {batch} pictures at a time; expected 1")
    if channels not in (1, 3):
        raise ModelError(f"takes {channels} channels; expected 1 or 3")
    said_height, said_width = imgsz or (0, 0)
    height = height if isinstance(height, int) else said_height
    width = width if isinstance(width, int) else said_width
    if imgsz is not None and (height, width) != imgsz:
        raise ModelError(f"takes {height} x {width} px, but its metadata says {list(imgsz)}")
    if not (1 <= height <= _MAX_SIDE_PX and 1 <= width <= _MAX_SIDE_PX):
        raise ModelError(f"takes {height} x {width} px; expected 1 to {_MAX_SIDE_PX} each")
    if height * width > _MAX_INPUT_PX:
        raise ModelError(f"takes {height * width} px; expected at most {_MAX_INPUT_PX}")
    return InputSpec(height, width, 1 if channels == 1 else 3, element)
