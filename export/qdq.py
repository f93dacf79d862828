"""Write INT8 into a graph: QuantizeLinear and DequantizeLinear around convolutions and products.

TensorRT takes symmetric INT8 alone: zero points of 0, weights with one scale for each output
channel, biases not quantised. The nodes read and give the type of the tensor they stand on, FP16
in a mixed graph, which needs opset 19.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.int8_search import LEVELS, Layer

OPSET_INT8 = 19  # QuantizeLinear of FP16; TensorRT's parser documents 9 to 20
SCOPES = 'pkg.torch.onnx.name_scopes'


def module_of(node: onnx.NodeProto) -> str:
    """Return the module that a node was exported from, '' where the exporter did not say."""
    notes = {note.key: note.value for note in node.metadata_props}
    scopes = ast.literal_eval(notes.get(SCOPES, '[]'))
    return str(scopes[-2]) if len(scopes) >= 2 else ''


def weighted(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """Return the convolutions and products with weights of a graph by their module's path.

    Args:
        model: exported with `small=False`: the exporter's notes name the modules.
    """
    weights = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) >= 2}
    return {
        module_of(node): node
        for node in model.graph.node
        if node.op_type in ('Conv', 'MatMul') and node.input[1] in weights
    }


def quantise_weight(
    weight: NDArray[np.floating], axis: int
) -> tuple[NDArray[np.int8], NDArray[np.floating]]:
    """Return a weight as INT8 and its scales, one for each index of `axis`, in its own type."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    top = np.abs(weight.astype(np.float32)).max(others)
    scale = np.where(top > 0, top / LEVELS, 1).astype(weight.dtype)
    # In FP16 a step can round to less than a 127th of the largest value, or to nothing.
    scale = np.maximum(scale, np.finfo(weight.dtype).smallest_subnormal)
    shape = [-1 if i == axis else 1 for i in range(weight.ndim)]
    steps = np.rint(weight.astype(np.float32) / scale.astype(np.float32).reshape(shape))
    return np.clip(steps, -LEVELS, LEVELS).astype(np.int8), scale


def insert(model: onnx.ModelProto, layers: Mapping[str, Layer]) -> list[str]:
    """Put INT8 into a graph in place.

    Args:
        model: exported with `small=False`.
        layers: what becomes INT8, by the path of its module.

    Returns:
        The paths that became INT8.

    Raises:
        ValueError: a layer is not in the graph.
    """
    graph = model.graph
    nodes = weighted(model)
    missing = sorted(layers.keys() - nodes.keys())
    if missing:
        msg = f'no node for the modules {missing}: export the graph with its notes'
        raise ValueError(msg)
    held = {tensor.name: tensor for tensor in graph.initializer}
    new: list[onnx.TensorProto] = []
    before: dict[str, list[onnx.NodeProto]] = {}  # new nodes by the name of the node they feed
    shared: dict[tuple[str, float], str] = {}

    def add(name: str, value: NDArray[np.generic]) -> str:
        new.append(numpy_helper.from_array(value, name))
        return name

    # In the order of the graph: the first that reads a tensor brings the nodes that others share.
    for path, node in nodes.items():
        layer = layers.get(path)
        if layer is None:
            continue
        weight = numpy_helper.to_array(held[node.input[1]])
        axis = 0 if node.op_type == 'Conv' else weight.ndim - 1
        data, scales = quantise_weight(weight, axis)
        dequantised = f'{path}.weight_int8'
        before[node.name] = [
            helper.make_node(
                'DequantizeLinear',
                [
                    add(f'{path}.weight_q', data),
                    add(f'{path}.weight_scale', scales),
                    add(f'{path}.weight_zero', np.zeros(scales.shape, np.int8)),
                ],
                [dequantised],
                name=f'{path}.weight_dequantise',
                axis=axis,
            )
        ]
        source = node.input[0]
        if (source, layer.scale) not in shared:
            scale = add(f'{path}.scale', np.array(layer.scale, weight.dtype))
            zero = add(f'{path}.zero', np.array(0, np.int8))
            shared[source, layer.scale] = f'{path}.input_int8'
            before[node.name] += [
                helper.make_node(
                    'QuantizeLinear',
                    [source, scale, zero],
                    [f'{path}.input_q'],
                    name=f'{path}.quantise',
                ),
                helper.make_node(
                    'DequantizeLinear',
                    [f'{path}.input_q', scale, zero],
                    [f'{path}.input_int8'],
                    name=f'{path}.dequantise',
                ),
            ]
        node.input[0], node.input[1] = shared[source, layer.scale], dequantised
    ordered = [part for node in graph.node for part in (*before.get(node.name, []), node)]
    del graph.node[:]
    graph.node.extend(ordered)
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend([*kept, *new])
    if any(tensor.data_type == TensorProto.FLOAT16 for tensor in new):
        model.opset_import[0].version = OPSET_INT8
    return sorted(layers)
