"""Which part of PAIF a node of an exported graph belongs to.

Exported files keep the names of convolutions' weights (`fusion.chain_visible.0.conv1.weight`), and
few others. So a node with a named weight belongs to the part that the name says, one without to
the part of the input that is made last; before the guided filter's mixes, to the filter.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx

RESULTS = 'colour, stretch, results'
GUIDED = 'guided filter'
STEMS = 'stems, gate, luma out'
# Prefix of the weight's name; the part it is in; the part of the nameless nodes after it.
PARTS = (
    ('fusion.stem_', STEMS, STEMS),
    ('fusion.mix_', GUIDED, GUIDED),
    ('fusion.chain', 'fusion cells', 'fusion cells'),
    ('fusion.gate', STEMS, STEMS),
    ('fusion.out.1', STEMS, RESULTS),
    ('fusion.out', STEMS, STEMS),
    ('segmenter.encoder', 'encoder', 'encoder'),
    ('segmenter.decoder.predict', 'decoder', RESULTS),
    ('segmenter.decoder', 'decoder', 'decoder'),
)
FUSION = (STEMS, GUIDED, 'fusion cells')
ACTIVATIONS = ('LeakyRelu', 'PRelu', 'Relu')


def paif_parts(graph: onnx.GraphProto, constants: Mapping[str, str]) -> list[str]:
    """Return the part of every node.

    Args:
        graph: of an exported PAIF. Of another network, the parts are the first words of its
            weights' names.
        constants: each constant, and the initializer it is made of.
    """
    mixes = _before(graph, 'fusion.mix_', constants)
    after: dict[str, str] = {}  # tensor to the part of nameless nodes that read it
    made: dict[str, int] = {}
    parts = []
    for place, node in enumerate(graph.node):
        known = _named(node, constants)
        if known is None:
            used = [name for name in node.input if name in made]
            part = after[max(used, key=lambda name: made[name])] if used else RESULTS
            if part == STEMS and node.output[0] in mixes and node.op_type not in ACTIVATIONS:
                part = GUIDED
            known = (part, part)
        parts.append(known[0])
        if any(name in constants for name in node.output):
            continue
        for name in node.output:
            after[name], made[name] = known[1], place
    return parts


def _named(node: onnx.NodeProto, constants: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the part a node's weight names, and that of the nameless nodes after it."""
    for name in node.input:
        source = constants.get(name, '')
        if '.' not in source:
            continue
        for prefix, part, rest in PARTS:
            if source.startswith(prefix):
                return part, rest
        first = source.split('.')[0]
        return first, first
    return None


def _before(graph: onnx.GraphProto, prefix: str, constants: Mapping[str, str]) -> set[str]:
    """Return all tensors that the nodes with weights of this prefix depend on."""
    wanted: set[str] = set()
    for node in reversed(graph.node):
        named = any(constants.get(name, '').startswith(prefix) for name in node.input)
        if named or any(name in wanted for name in node.output):
            wanted.update(node.input)
    return wanted
