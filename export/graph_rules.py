"""What a graph must keep to so that TensorRT parses, builds and computes it well.

Each rule was seen to fail or to cost on real parsers and builders (uint8 is legal only beside a
Cast; CumSum becomes a loop before TensorRT 10.8; a decomposed LayerNorm breaks in FP16; operators
of ONNX Runtime's own domain are unknown elsewhere).
"""

from __future__ import annotations

from collections import Counter

import onnx
from onnx import TensorProto

OPSET = 18
FORBIDDEN = ('CumSum', 'Loop', 'If', 'Scan', 'ScatterND', 'Attention')


def broken_rules(  # noqa: PLR0912 - a list of rules
    model: onnx.ModelProto, layer_norms: int, opset: int = OPSET
) -> list[str]:
    """Return the rules that a model breaks, as sentences; empty when it keeps them all.

    Args:
        model: the exported model.
        layer_norms: LayerNorm modules of the network; each must be one node.
        opset: what it must have.
    """
    graph = model.graph
    broken = []
    for entry in model.opset_import:
        if entry.domain not in ('', 'ai.onnx'):
            broken.append(f'uses the operator domain {entry.domain!r}')
        elif entry.version != opset:
            broken.append(f'has opset {entry.version}, not {opset}')
    for value in graph.input:
        users = {node.op_type for node in graph.node if value.name in node.input}
        if users != {'Cast'}:
            broken.append(f'input {value.name!r} goes to {sorted(users)} before a Cast')
    for value in graph.output:
        makers = {node.op_type for node in graph.node if value.name in node.output}
        if makers != {'Cast'}:
            broken.append(f'output {value.name!r} comes from {sorted(makers)}, not from a Cast')
    for value in (*graph.input, *graph.output):
        if any(dim.dim_param or dim.dim_value < 1 for dim in value.type.tensor_type.shape.dim):
            broken.append(f'{value.name!r} has a shape that is not static')
    kinds = [node.op_type for node in graph.node]
    broken += [f'has a {kind} node' for kind in FORBIDDEN if kind in kinds]
    if kinds.count('LayerNormalization') != layer_norms:
        broken.append(
            f'has {kinds.count("LayerNormalization")} LayerNormalization nodes '
            f'for {layer_norms} LayerNorms'
        )
    for node in graph.node:
        if node.op_type == 'AveragePool':
            kernel = next(list(a.ints) for a in node.attribute if a.name == 'kernel_shape')
            padded = any(a.name == 'count_include_pad' and a.i for a in node.attribute)
            if padded or all(side > 1 for side in kernel):
                broken.append(
                    f'has an AveragePool of {kernel}, padding counted: {padded}; '
                    'separable ones leave it out'
                )
    if any(tensor.external_data for tensor in graph.initializer):
        broken.append('keeps weights in a second file')
    return broken


def computed_in(model: onnx.ModelProto) -> dict[str, Counter[str]]:
    """Count the nodes of each operator by the type of their first floating input.

    Returns:
        Such as {'Conv': Counter({'FLOAT16': 60, 'FLOAT': 2})}; nodes over integers are left out,
        Casts too, which compute nothing.
    """
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        types[value.name] = value.type.tensor_type.elem_type
    found: dict[str, Counter[str]] = {}
    for node in graph.node:
        kinds = [types.get(name) for name in node.input]
        floating = [k for k in kinds if k in (TensorProto.FLOAT, TensorProto.FLOAT16)]
        if floating and node.op_type != 'Cast':
            name = TensorProto.DataType.Name(floating[0])
            found.setdefault(node.op_type, Counter())[name] += 1
    return found


# Operators that the mixed model computes in FP32 alone: confidence, rounding, classes, stretch.
ONLY_FP32 = ('ArgMax', 'Exp', 'ReduceMin', 'Reciprocal', 'Round')
COLOUR_CONVERSIONS = 2  # 1x1 convolutions of three channels for luma and chroma
STATISTICS_POOLS = 10  # 2 modalities x 2 means x 2 directions, 1 for both guides x 2 directions


def broken_precision(model: onnx.ModelProto, precision: str, network: str = 'paif') -> list[str]:
    """Return what of a graph is not in the type it must be in, as sentences.

    Args:
        model: the exported model.
        precision: 'fp32', 'mixed' or 'safe'.
        network: name of the exported network. Only PAIF has box means, a form 'safe', and no
            convolution in FP32 but those of colours.
    """
    found = computed_in(model)
    half = {kind: count['FLOAT16'] for kind, count in found.items() if count['FLOAT16']}
    if precision == 'fp32':
        return [f'is to be FP32 and computes {half} in FP16'] if half else []
    broken = [f'computes {half[kind]} {kind} in FP16' for kind in ONLY_FP32 if kind in half]
    pools = found.get('AveragePool', Counter())['FLOAT']
    if network == 'paif' and pools < STATISTICS_POOLS:
        broken.append(
            f'computes {pools} box means in FP32, but variance and covariance take '
            f'{STATISTICS_POOLS}'
        )
    if precision != 'mixed':  # 'safe' has some of them in FP32 on purpose
        return broken
    full = found.get('MatMul', Counter())['FLOAT']
    if network == 'paif':
        full += found.get('Conv', Counter())['FLOAT'] - COLOUR_CONVERSIONS
    if full > 0:
        broken.append(f'computes {full} convolutions and matrix products in FP32')
    return broken
