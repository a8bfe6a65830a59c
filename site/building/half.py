"""Half-precision storage: weights travel as 16 bits and are widened to 32 when the file is opened."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SMALLEST = 64  # numbers; what is smaller is not worth a node


def stored_in_half(file: bytes) -> bytes:
    """An ONNX file that computes the very same, its weights stored in half precision wherever that loses nothing.

    Each is followed by a Cast, which onnxruntime works out once, at loading.
    """
    model = onnx.load_from_string(file)
    graph = model.graph
    _lift_constants(graph)
    kept, casts = [], []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        narrow = _narrowed(values)
        if narrow is None:
            kept.append(tensor)
            continue
        kept.append(numpy_helper.from_array(narrow, f"{tensor.name}_half"))
        casts.append(helper.make_node("Cast", [f"{tensor.name}_half"], [tensor.name], to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.initializer[:], graph.node[:], graph.value_info[:]
    graph.initializer.extend(kept)
    graph.node.extend([*casts, *nodes])
    for node in graph.node:
        node.doc_string = ""  # the tracer's: lines of source and where they lay
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _narrowed(values: np.ndarray) -> np.ndarray | None:
    """The same numbers in half precision, or None where some would change."""
    if values.dtype != np.float32 or values.size < SMALLEST:
        return None
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float16)
    return narrow if np.array_equal(narrow.astype(np.float32), values) else None


def _lift_constants(graph) -> None:
    """Make Constant nodes initializers, as the weights are."""
    for node in [node for node in graph.node if node.op_type == "Constant" and node.attribute[0].name == "value"]:
        tensor = TensorProto()
        tensor.CopyFrom(node.attribute[0].t)
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
        graph.node.remove(node)
