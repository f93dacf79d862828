"""Make an exported file smaller without changing a bit of what it computes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SMALLEST = 256  # values; below this a Cast node costs more than it saves


def compact(model: onnx.ModelProto) -> None:
    """Store weights that float16 holds exactly as such, and drop the exporter's notes.

    Shipped weights are rounded to float16 before export, so nearly all of them are held exactly;
    engines fold the Cast when they load the file.

    Args:
        model: changed in place.
    """
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        value = numpy_helper.to_array(tensor)
        if value.size < SMALLEST:
            continue
        half = value.astype(np.float16)
        if np.array_equal(half.astype(np.float32), value):
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(half, f'{name}_half'))
            casts.append(
                helper.make_node(
                    'Cast', [f'{name}_half'], [name], name=f'{name}_cast', to=TensorProto.FLOAT
                )
            )
    for node in model.graph.node:
        node.ClearField('doc_string')
        del node.metadata_props[:]
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.value_info[:]  # shapes are inferred again by whoever reads the file
