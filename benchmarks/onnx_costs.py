"""Count what an ONNX graph asks of a machine: operations, parameters, bytes moved.

The figures come from the exported file by shape inference, node by node; nothing runs. One
multiply-add is two operations. `Cost` describes one node alone; `onnx_kernels` joins nodes into
what an engine runs in one go.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx
from onnx import TensorProto, shape_inference

Shape = tuple[int, ...]

# Operations for each element: of the output, but of the input for reductions.
_ONE = (
    'Add Sub Mul Div Relu Sqrt Exp Log Erf Tanh Sigmoid Abs Neg Pow Reciprocal Round Floor Ceil '
    'Where Greater GreaterOrEqual Less LessOrEqual Equal Not And Or Min Max Mod Softplus Sign'
)
_TWO = 'LeakyRelu PRelu Clip Elu QuantizeLinear BatchNormalization HardSigmoid HardSwish'
POINTWISE = dict.fromkeys(_ONE.split(), 1) | dict.fromkeys(_TWO.split(), 2)
POINTWISE |= {'Gelu': 4, 'Cast': 0}
REDUCTIONS = ('ReduceL2', 'ReduceMax', 'ReduceMin', 'ReduceMean', 'ReduceSum', 'ArgMax', 'ArgMin')
POOLS = ('AveragePool', 'MaxPool')
GLOBAL_POOLS = ('GlobalAveragePool', 'GlobalMaxPool')
NORMS = {'LayerNormalization': 8, 'InstanceNormalization': 8, 'Softmax': 5, 'LogSoftmax': 6}
MOVES = (
    'DepthToSpace',
    'Transpose',
    'Slice',
    'Concat',
    'Split',
    'Gather',
    'Expand',
    'Pad',
    'Tile',
)
VIEWS = ('Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Identity', 'DequantizeLinear', 'Dropout')
MATRIX = ('Conv', 'ConvTranspose', 'MatMul', 'Gemm')
RESIZE_OPERATIONS = 7  # of one value between four neighbours

TILE_OUT, TILE_IN = 32, 8  # what tensor cores round channels up to, see `Cost.padded`


class GraphError(Exception):
    """A graph that can not be counted, with what to do."""


@dataclass(frozen=True)
class Cost:
    """What one node costs alone.

    Attributes:
        kind: operator type.
        family: what kind of work it is, such as 'convolution'.
        part: part of the network.
        operations: of convolutions and matrix products; a multiply-add is two.
        padded: the same with output channels rounded up to 32 and input channels to 8, as tensor
            cores compute them. Zero for depthwise convolutions, which do not use them.
        other: operations of everything else.
        reads: activations read, by name.
        writes: results written, by name.
        weight_bytes: constants read.
    """

    kind: str
    family: str
    part: str
    operations: int
    padded: int
    other: int
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    weight_bytes: int


@dataclass
class Costs:
    """A counted graph. `widths` (bytes of an element, by tensor) may be replaced to retype it."""

    nodes: list[Cost]
    parameters: int
    elements: dict[str, int]
    widths: dict[str, int]
    outputs: frozenset[str]
    unknown: dict[str, int] = field(default_factory=dict)

    @property
    def operations(self) -> int:
        """Of convolutions and matrix products; a multiply-add is two."""
        return sum(node.operations for node in self.nodes)

    @property
    def unfused_bytes(self) -> int:
        """Bytes moved if every node ran alone."""
        return sum(
            node.weight_bytes + sum(self.bytes_of(name) for name in (*node.reads, *node.writes))
            for node in self.nodes
        )

    def bytes_of(self, name: str) -> int:
        """Size of an activation."""
        return self.elements[name] * self.widths[name]


class _Graph:
    """A graph with shapes, constants and names resolved through views."""

    def __init__(self, model: onnx.ModelProto) -> None:
        try:
            model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except shape_inference.InferenceError as err:
            msg = f'shapes can not be inferred: {str(err).splitlines()[0]}; export it again'
            raise GraphError(msg) from err
        self.graph = model.graph
        self.shapes: dict[str, Shape] = {}
        self.types: dict[str, int] = {}
        for value in (*self.graph.input, *self.graph.value_info, *self.graph.output):
            tensor = value.type.tensor_type
            self.types[value.name] = tensor.elem_type
            if tensor.HasField('shape') and all(dim.dim_value > 0 for dim in tensor.shape.dim):
                self.shapes[value.name] = tuple(dim.dim_value for dim in tensor.shape.dim)
            elif value in self.graph.input:
                msg = f'input {value.name!r} has no static shape; export with static shapes'
                raise GraphError(msg)
        self.initializers = {tensor.name: tensor for tensor in self.graph.initializer}
        for tensor in self.graph.initializer:
            self.shapes[tensor.name] = tuple(tensor.dims)
            self.types[tensor.name] = tensor.data_type
        self.constants: dict[str, str] = {name: name for name in self.initializers}
        self.root: dict[str, str] = {}
        for node in self.graph.node:
            self._resolve(node)

    def _resolve(self, node: onnx.NodeProto) -> None:
        used = [name for name in node.input if name]
        if node.op_type in ('Shape', 'Size', 'Constant') or (
            used and all(name in self.constants for name in used)
        ):
            source = self.constants.get(used[0], '') if used else ''
            if node.op_type == 'DequantizeLinear':  # what reads it takes the 8-bit values
                self.types[node.output[0]] = self.types[node.input[0]]
            self.constants.update(dict.fromkeys(node.output, source))
        elif node.op_type in VIEWS:
            self.root[node.output[0]] = self.of(node.input[0])

    def of(self, name: str) -> str:
        """Return the tensor whose memory `name` is."""
        return self.root.get(name, name)

    def shape(self, name: str) -> Shape:
        """Return a tensor's shape.

        Raises:
            GraphError: it is not known.
        """
        if name not in self.shapes:
            msg = f'the shape of {name!r} is not static; export with static shapes'
            raise GraphError(msg)
        return self.shapes[name]

    def skipped(self, node: onnx.NodeProto) -> bool:
        """Whether a node costs nothing: computed when the engine is built, or only a view."""
        return node.output[0] in self.constants or node.op_type in VIEWS


def width_of(dtype: int) -> int:
    """Return the bytes of one element of an ONNX type."""
    return {TensorProto.BOOL: 1}.get(
        dtype, int(onnx.helper.tensor_dtype_to_np_dtype(dtype).itemsize)
    )


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    for attribute in node.attribute:
        if attribute.name == name:
            return onnx.helper.get_attribute_value(attribute)
    return default


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


def _matrix(graph: _Graph, node: onnx.NodeProto) -> tuple[str, int, int]:
    """Return family, operations and padded operations of a node of `MATRIX`."""
    out = graph.shape(node.output[0])
    first, second = graph.shape(node.input[0]), graph.shape(node.input[1])
    if node.op_type in ('Conv', 'ConvTranspose'):
        groups = int(_attribute(node, 'group', 1))
        transposed = node.op_type == 'ConvTranspose'
        cout = out[1]
        cin = first[1] // groups
        places = math.prod(first if transposed else out) // (first[1] if transposed else cout)
        taps = math.prod(second[2:])
        operations = 2 * places * cout * cin * taps
        if groups > 1 and cin == 1:
            return 'depthwise convolution', operations, 0
        each = _up(cout // groups, TILE_OUT) * _up(cin, TILE_IN)
        return 'convolution', operations, 2 * places * groups * each * taps
    if node.op_type == 'Gemm':
        inner = first[0] if _attribute(node, 'transA', 0) else first[1]
    else:
        inner = first[-1]
    operations = 2 * math.prod(out) * inner
    rows = math.prod(out) // out[-1]
    padded = 2 * rows * _up(out[-1], TILE_OUT) * _up(inner, TILE_IN)
    both = node.input[0] not in graph.constants and node.input[1] not in graph.constants
    return ('attention product' if both else 'matrix product'), operations, padded


def _other(graph: _Graph, node: onnx.NodeProto) -> tuple[str, int]:
    """Return family and operations of a node outside `MATRIX`; family 'unknown' if it is."""
    made = math.prod(graph.shape(node.output[0]))
    taken = math.prod(graph.shape(node.input[0])) if node.input else 0
    kind = node.op_type
    if kind in POINTWISE:
        return 'pointwise', made * POINTWISE[kind]
    if kind in REDUCTIONS or kind in GLOBAL_POOLS:
        return 'reduction', taken
    if kind in POOLS:
        return 'pooling', made * math.prod(_attribute(node, 'kernel_shape', [1]))
    if kind in NORMS:
        return ('softmax' if 'Softmax' in kind else 'normalisation'), made * NORMS[kind]
    if kind == 'Resize':
        return 'resize', made * RESIZE_OPERATIONS
    return ('movement' if kind in MOVES else 'unknown'), 0


def count(
    model: onnx.ModelProto,
    name_parts: Callable[[onnx.GraphProto, Mapping[str, str]], list[str]] | None = None,
) -> Costs:
    """Count a model.

    Args:
        model: with static shapes. The values of large weights may be left out.
        name_parts: gives the part of the network of each node, from the graph and a map from
            constants to the initializers they are made of; None calls all of it 'network'.

    Raises:
        GraphError: a shape is not static.
    """
    graph = _Graph(model)
    parts = name_parts(graph.graph, graph.constants) if name_parts else []
    nodes: list[Cost] = []
    unknown: Counter[str] = Counter()
    elements: dict[str, int] = {}
    for place, node in enumerate(graph.graph.node):
        if graph.skipped(node):
            continue
        if node.op_type in MATRIX:
            (family, operations, padded), other = _matrix(graph, node), 0
        else:
            (family, other), operations, padded = _other(graph, node), 0, 0
        if family == 'unknown':
            unknown[node.op_type] += 1
        used = dict.fromkeys(name for name in node.input if name)
        reads = tuple(dict.fromkeys(graph.of(n) for n in used if n not in graph.constants))
        weights = sum(
            math.prod(graph.shape(n)) * width_of(graph.types[n])
            for n in used
            if n in graph.constants and n in graph.shapes
        )
        for name in (*reads, *node.output):
            elements[name] = math.prod(graph.shape(name))
        nodes.append(
            Cost(
                kind=node.op_type,
                family=family,
                part=parts[place] if parts else 'network',
                operations=operations,
                padded=padded,
                other=other,
                reads=reads,
                writes=tuple(node.output),
                weight_bytes=weights,
            )
        )
    return Costs(
        nodes,
        _parameters(graph),
        elements,
        {name: width_of(graph.types[name]) for name in elements},
        frozenset(graph.of(value.name) for value in graph.graph.output),
        dict(unknown),
    )


def _parameters(graph: _Graph) -> int:
    """Count the values of floating or 8-bit constants with more than one value."""
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.INT8)
    made_of = {
        name
        for node in graph.graph.node
        if node.op_type in ('QuantizeLinear', 'DequantizeLinear')
        for name in node.input[1:]
    }
    return sum(
        math.prod(tensor.dims)
        for tensor in graph.initializers.values()
        if tensor.data_type in kinds and math.prod(tensor.dims) > 1 and tensor.name not in made_of
    )
