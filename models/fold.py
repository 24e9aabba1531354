"""Preprocessing folded into the first convolution of an export. No IO.

    images float (1, 3, h, w) RGB / 255  --> Conv(W) ...
    images uint8 (1, h, w, 3) BGR        --> Cast --> Reshape (1, 1, h, 3 w) --> Conv(W") ...
                                         --> Cast --> Transpose --> Conv(W') ...

W' = W / 255 with its input channels turned round; for a gray camera also summed over them, since
all three would see the same picture: (1, h, w, 1). Padding of the convolution stays right, because
0 is 0 on either scale. The node then hands over bytes, where it had to make floats.

W" is W' with its channels side by side: a row of pixels is a row of numbers, three to a pixel, and
a step, a kernel and a padding of n pixels are 3 n numbers wide. Nothing is moved in memory then:
Transpose and the first convolution together took 1.5 times as long. Where a convolution leaves out
pixels, pads by a rule or the graph does not state its width, the channels are taken apart instead.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edge.errors import ModelError

_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)


def fold(model: onnx.ModelProto, gray: bool = False) -> onnx.ModelProto:
    """A copy of the model that takes uint8 (1, h, w, 3) BGR, or (1, h, w, 1) gray.

    Args:
        model: an export of ultralytics, FP32 or FP16, weights inside.
        gray: for cameras without colour; exact only for pictures whose channels are the same.

    Raises:
        ModelError: the picture does not go straight into one convolution.
    """
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    graph = folded.graph
    picture = _picture(graph)
    first, cast = _first(graph, picture.name)
    weights = _weights(graph, first)
    old, new = first.input[1], f"{first.input[1]} folded"
    wide, ready, rows = (f"{picture.name} {word}" for word in ("wide", "ready", "rows"))
    scaled = _scaled(weights, gray)
    batch, _, height, width = picture.type.tensor_type.shape.dim
    if width.dim_value and _is_plain(first):
        numbers = width.dim_value * scaled.shape[1]
        flat = numpy_helper.from_array(np.array([0, 1, -1, numbers], np.int64), rows)
        graph.initializer.append(flat)
        lay = helper.make_node("Reshape", [wide, rows], [ready])
        scaled = _widened(first, scaled)
    else:
        lay = helper.make_node("Transpose", [wide], [ready], perm=[0, 3, 1, 2])
    graph.initializer.append(numpy_helper.from_array(scaled, new))
    element = helper.np_dtype_to_tensor_dtype(weights.dtype)
    nodes = [helper.make_node("Cast", [picture.name], [wide], to=element), lay]
    first.input[0], first.input[1] = ready, new
    nodes += [node for node in graph.node if node is not cast]
    kept = [tensor for tensor in graph.initializer if tensor.name != old or reads(graph, old)]
    for entries, stay in ((graph.node, nodes), (graph.initializer, kept)):
        stay = [type(entry).FromString(entry.SerializeToString()) for entry in stay]
        del entries[:]
        entries.extend(stay)
    sides = [side.dim_param or side.dim_value for side in (batch, height, width)]
    sides.append(1 if gray else 3)
    picture.CopyFrom(helper.make_tensor_value_info(picture.name, onnx.TensorProto.UINT8, sides))
    for entry in folded.metadata_props:
        if entry.key == "channels" and gray:
            entry.value = "1"
    return folded


def _picture(graph: onnx.GraphProto) -> onnx.ValueInfoProto:
    """The one input, float NCHW with three channels."""
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise ModelError(f"takes {len(inputs)} inputs; expected one picture")
    kind = inputs[0].type.tensor_type
    if kind.elem_type == onnx.TensorProto.UINT8:
        raise ModelError("takes uint8 already: it is folded")
    sides = kind.shape.dim
    if kind.elem_type not in _FLOATS or len(sides) != 4 or sides[1].dim_value != 3:
        shown = [side.dim_param or side.dim_value for side in sides]
        raise ModelError(f"takes {shown}; expected float [1, 3, height, width]")
    picture: onnx.ValueInfoProto = inputs[0]
    return picture


def _first(graph: onnx.GraphProto, picture: str) -> tuple[onnx.NodeProto, onnx.NodeProto | None]:
    """The convolution that reads the picture, and the cast to half precision before it, if any."""
    readers = [node for node in graph.node if reads(onnx.GraphProto(node=[node]), picture)]
    cast = None
    if len(readers) == 1 and readers[0].op_type == "Cast":
        cast = readers[0]
        readers = [
            node for node in graph.node if reads(onnx.GraphProto(node=[node]), cast.output[0])
        ]
    if len(readers) != 1 or readers[0].op_type != "Conv" or readers[0].input[1] == picture:
        shown = ", ".join(node.op_type for node in readers) or "nothing"
        raise ModelError(
            f"the picture goes into {shown}; it can be folded only where it goes into one Conv"
        )
    return readers[0], cast


def _weights(graph: onnx.GraphProto, first: onnx.NodeProto) -> np.ndarray:
    found = [tensor for tensor in graph.initializer if tensor.name == first.input[1]]
    groups = next((a.i for a in first.attribute if a.name == "group"), 1)
    if not found or len(found[0].dims) != 4 or found[0].dims[1] != 3 or groups != 1:
        raise ModelError(
            f"the weights of the first Conv ({first.input[1]}) are no constant [n, 3, k, k]"
        )
    if found[0].data_location == onnx.TensorProto.EXTERNAL:
        raise ModelError("its weights lie in another file; expected them inside")
    if found[0].data_type not in _FLOATS:
        raise ModelError("the weights of the first Conv are neither FP32 nor FP16")
    return numpy_helper.to_array(found[0])


def _scaled(weights: np.ndarray, gray: bool) -> np.ndarray:
    exact = weights.astype(np.float64)[:, ::-1] / 255
    if gray:
        exact = exact.sum(axis=1, keepdims=True)
    return np.ascontiguousarray(exact, weights.dtype)


def _is_plain(conv: onnx.NodeProto) -> bool:
    """Whether its kernel is whole and its padding in numbers."""
    given = {entry.name: helper.get_attribute_value(entry) for entry in conv.attribute}
    return given.get("auto_pad", b"NOTSET") == b"NOTSET" and set(given.get("dilations", [1])) == {1}


def _widened(conv: onnx.NodeProto, weights: np.ndarray) -> np.ndarray:
    """Have it read rows in which a pixel is as many numbers as the weights have channels.

    Returns (n, 1, k, k x channels) of (n, channels, k, k). What it says of itself besides steps and
    padding is what every convolution is that says nothing; see `_is_plain` and `_weights`.
    """
    count, channels, high, across = weights.shape
    given = {entry.name: helper.get_attribute_value(entry) for entry in conv.attribute}
    down, right = given.get("strides", [1, 1])
    top, left, bottom, after = given.get("pads", [0, 0, 0, 0])
    said = {
        "kernel_shape": [high, across * channels],
        "strides": [down, right * channels],
        "pads": [top, left * channels, bottom, after * channels],
    }
    del conv.attribute[:]
    conv.attribute.extend(helper.make_attribute(name, value) for name, value in said.items())
    return np.ascontiguousarray(weights.transpose(0, 2, 3, 1)).reshape(count, 1, high, -1)


def reads(graph: onnx.GraphProto, name: str) -> bool:
    """Whether a node reads it, also inside the branches of a node."""
    return any(
        name in node.input or any(reads(part.g, name) for part in node.attribute)
        for node in graph.node
    )
