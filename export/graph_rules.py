"""What a graph must keep to so that TensorRT parses, builds and computes it well.

Each rule was seen to fail or to cost on real parsers and builders (uint8 is legal only beside a
Cast; CumSum becomes a loop before TensorRT 10.8; a decomposed LayerNorm breaks in FP16; operators
of ONNX Runtime's own domain are unknown elsewhere).
"""

from __future__ import annotations

import onnx

OPSET = 18
FORBIDDEN = ('CumSum', 'Loop', 'If', 'Scan', 'ScatterND', 'Attention')


def broken_rules(model: onnx.ModelProto, layer_norms: int) -> list[str]:  # noqa: PLR0912 - a list of rules
    """Return the rules that a model breaks, as sentences; empty when it keeps them all.

    Args:
        model: the exported model.
        layer_norms: LayerNorm modules of the network; each must be one node.
    """
    graph = model.graph
    broken = []
    for entry in model.opset_import:
        if entry.domain not in ('', 'ai.onnx'):
            broken.append(f'uses the operator domain {entry.domain!r}')
        elif entry.version != OPSET:
            broken.append(f'has opset {entry.version}, not {OPSET}')
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
