"""The roofline's counts against torch's own counter, hand-made graphs, and its calibration."""

from __future__ import annotations

import io
import json
import math
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip('onnx', reason='onnx is a development dependency')

from onnx import TensorProto, helper, numpy_helper

from benchmarks.boards import BOARDS
from benchmarks.onnx_costs import Costs, GraphError, count
from benchmarks.onnx_kernels import kernels
from benchmarks.onnx_parts import GUIDED, RESULTS, paif_parts
from benchmarks.roofline import HOST_MS, main, of_file, verdict
from benchmarks.roofline_graphs import exported_size, without_weights
from benchmarks.roofline_model import (
    CASES,
    Efficiency,
    calibrate,
    fit_tensor,
    floor_seconds,
    halved,
    kernel_seconds,
    load_anchors,
    median,
    quantised,
    save_anchors,
    seconds,
)

SHIPPED = Path(__file__).resolve().parents[1] / 'models' / 'weights' / 'paif_small.onnx'
FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


def graph(nodes: list, inputs: dict, outputs: dict, constants: dict, kind: int = FLOAT) -> object:
    """A model of nodes; inputs and outputs by name and shape, constants by name and array."""
    return helper.make_model(
        helper.make_graph(
            nodes,
            'g',
            [helper.make_tensor_value_info(n, kind, shape) for n, shape in inputs.items()],
            [helper.make_tensor_value_info(n, kind, shape) for n, shape in outputs.items()],
            [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
        ),
        opset_imports=[helper.make_opsetid('', 18)],
        ir_version=10,
    )


def node(kind: str, inputs: str, outputs: str, **attributes: object) -> object:
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


# One node, its inputs, constants, output shape; family, operations, padded ones, others.
SINGLE = {
    'conv': (
        node('Conv', 'x w b', 'y', pads=[1] * 4),
        {'x': [2, 3, 10, 12]},
        {'w': ones(5, 3, 3, 3), 'b': ones(5)},
        [2, 5, 10, 12],
        ('convolution', 2 * 2 * 120 * 5 * 3 * 9, 2 * 2 * 120 * 32 * 8 * 9, 0),
    ),
    'strided conv': (
        node('Conv', 'x w', 'y', strides=[2, 2]),
        {'x': [1, 4, 8, 8]},
        {'w': ones(32, 4, 2, 2)},
        [1, 32, 4, 4],
        ('convolution', 2 * 16 * 32 * 4 * 4, 2 * 16 * 32 * 8 * 4, 0),
    ),
    'grouped conv': (
        node('Conv', 'x w', 'y', group=2),
        {'x': [1, 16, 4, 4]},
        {'w': ones(64, 8, 1, 1)},
        [1, 64, 4, 4],
        ('convolution', 2 * 16 * 64 * 8, 2 * 16 * 64 * 8, 0),
    ),
    'depthwise conv': (
        node('Conv', 'x w', 'y', group=6, pads=[1] * 4),
        {'x': [1, 6, 4, 4]},
        {'w': ones(6, 1, 3, 3)},
        [1, 6, 4, 4],
        ('depthwise convolution', 2 * 16 * 6 * 9, 0, 0),
    ),
    'transposed conv': (
        node('ConvTranspose', 'x w', 'y', strides=[2, 2]),
        {'x': [1, 4, 3, 3]},
        {'w': ones(4, 5, 2, 2)},
        [1, 5, 6, 6],
        ('convolution', 2 * 9 * 4 * 5 * 4, 2 * 9 * 32 * 8 * 4, 0),
    ),
    'linear': (
        node('MatMul', 'x w', 'y'),
        {'x': [2, 7, 16]},
        {'w': ones(16, 10)},
        [2, 7, 10],
        ('matrix product', 2 * 14 * 16 * 10, 2 * 14 * 16 * 32, 0),
    ),
    'attention': (
        node('MatMul', 'x z', 'y'),
        {'x': [2, 3, 7, 16], 'z': [2, 3, 16, 64]},
        {},
        [2, 3, 7, 64],
        ('attention product', 2 * 6 * 7 * 16 * 64, 2 * 6 * 7 * 16 * 64, 0),
    ),
    'gemm': (
        node('Gemm', 'x w b', 'y', transA=1),
        {'x': [8, 7]},
        {'w': ones(8, 32), 'b': ones(32)},
        [7, 32],
        ('matrix product', 2 * 7 * 8 * 32, 2 * 7 * 8 * 32, 0),
    ),
    'pool': (
        node('AveragePool', 'x', 'y', kernel_shape=[9, 1], pads=[4, 0, 4, 0]),
        {'x': [1, 2, 10, 10]},
        {},
        [1, 2, 10, 10],
        ('pooling', 0, 0, 200 * 9),
    ),
    'norm': (
        node('LayerNormalization', 'x w b', 'y'),
        {'x': [1, 5, 8]},
        {'w': ones(8), 'b': ones(8)},
        [1, 5, 8],
        ('normalisation', 0, 0, 40 * 8),
    ),
    'reduction': (
        node('ReduceMax', 'x axes', 'y', keepdims=1),
        {'x': [1, 4, 5, 5]},
        {'axes': np.array([1])},
        [1, 1, 5, 5],
        ('reduction', 0, 0, 100),
    ),
    'add': (
        node('Add', 'x z', 'y'),
        {'x': [1, 4, 5, 5], 'z': [1, 1, 5, 5]},
        {},
        [1, 4, 5, 5],
        ('pointwise', 0, 0, 100),
    ),
    'transpose': (
        node('Transpose', 'x', 'y', perm=[1, 0]),
        {'x': [3, 4]},
        {},
        [4, 3],
        ('movement', 0, 0, 0),
    ),
}


@pytest.mark.parametrize('name', SINGLE)
def test_single_nodes(name: str) -> None:
    made, inputs, constants, shape, expected = SINGLE[name]
    costs = count(graph([made], inputs, {'y': shape}, constants))
    (found,) = costs.nodes
    assert (found.family, found.operations, found.padded, found.other) == expected
    floats = [value for value in constants.values() if value.dtype == np.float32]
    assert costs.parameters == sum(value.size for value in floats)
    values = sum(math.prod(s) for s in inputs.values()) + math.prod(shape)
    moved = 4 * values + sum(value.nbytes for value in constants.values())
    assert costs.unfused_bytes == moved
    assert [kernel.moved for kernel in kernels(costs)] == [moved]
    assert costs.unknown == {}


def test_pointwise_nodes_join_the_kernel_before_them() -> None:
    """Convolution, activation and sum run as one; what two nodes read is written."""
    model = graph(
        [
            node('Conv', 'x w', 'a', pads=[1] * 4),
            node('LeakyRelu', 'a', 'b'),
            node('Add', 'b x', 'c'),
            node('Relu', 'c', 'd'),
            node('Transpose', 'c', 'e', perm=[0, 1, 3, 2]),
            node('Add', 'd e', 'y'),
        ],
        {'x': [1, 4, 8, 8]},
        {'y': [1, 4, 8, 8]},
        {'w': ones(4, 4, 3, 3)},
    )
    joined = kernels(count(model))
    tensor = 4 * 256
    weights = 4 * 4 * 4 * 9
    assert [(k.family, k.nodes) for k in joined] == [
        ('convolution', 3),  # x and weights in, c out
        ('pointwise', 1),  # c has two readers: nothing joins
        ('movement', 2),  # of d and e, both read once, e is made last
    ]
    assert [k.moved for k in joined] == [2 * tensor + weights, 2 * tensor, 3 * tensor]
    assert sum(k.operations for k in joined) == count(model).operations


def test_an_output_is_written_even_if_it_is_read() -> None:
    model = graph(
        [node('Relu', 'x', 'a'), node('Exp', 'a', 'y')],
        {'x': [1, 64]},
        {'a': [1, 64], 'y': [1, 64]},
        {},
    )
    assert [k.nodes for k in kernels(count(model))] == [1, 1]


def test_two_results_of_one_node_are_both_written() -> None:
    model = graph(
        [
            node('Split', 'x', 'a b', axis=1, num_outputs=2),
            node('Relu', 'a', 'c'),
            node('Relu', 'b', 'd'),
        ],
        {'x': [1, 64]},
        {'c': [1, 32], 'd': [1, 32]},
        {},
    )
    joined = kernels(count(model))
    assert [k.nodes for k in joined] == [2, 1]
    assert [k.moved for k in joined] == [4 * (64 + 32 + 32), 4 * (32 + 32)]


def test_views_constants_and_dead_shapes_cost_nothing() -> None:
    model = graph(
        [
            node('Cast', 'half', 'w', to=FLOAT),
            node('Shape', 'x', 's'),
            node('Reshape', 'x s', 'a'),
            node('Unsqueeze', 'a axis', 'b'),
            node('MatMul', 'b w', 'y'),
        ],
        {'x': [6, 8]},
        {'y': [1, 6, 4]},
        {'half': np.ones((8, 4), np.float16), 'axis': np.array([0])},
    )
    costs = count(model)
    assert [cost.kind for cost in costs.nodes] == ['MatMul']
    assert costs.nodes[0].reads == ('x',)  # through both views
    assert costs.nodes[0].weight_bytes == 4 * 32  # in the width it computes in
    assert costs.parameters == 32


def qdq() -> object:
    """A convolution between two that are quantised, as export writes Q/DQ."""
    quantised_weights = np.ones((8, 8, 1, 1), np.int8)
    scale, zero = np.float32(0.1), np.int8(0)
    return graph(
        [
            node('QuantizeLinear', 'x s z', 'q'),
            node('DequantizeLinear', 'q s z', 'd'),
            node('DequantizeLinear', 'wq s z', 'w'),
            node('Conv', 'd w', 'a'),
            node('Relu', 'a', 'b'),
            node('QuantizeLinear', 'b s z', 'q2'),
            node('DequantizeLinear', 'q2 s z', 'd2'),
            node('Conv', 'd2 w', 'y'),
        ],
        {'x': [1, 8, 4, 4]},
        {'y': [1, 8, 4, 4]},
        {'wq': quantised_weights, 's': scale, 'z': zero},
    )


def test_quantised_files_are_counted_in_8_bit() -> None:
    costs = count(qdq())
    joined = kernels(costs)
    assert [(k.family, k.width) for k in joined] == [
        ('pointwise', 4),
        ('convolution', 1),
        ('convolution', 1),
    ]
    scales = 5  # one scale and one zero point, read by the quantisation that joined
    assert joined[1].moved == 128 + 128 + 64 + scales  # 8-bit in and out, 8-bit weights
    assert joined[2].moved == 128 + 4 * 128 + 64
    assert costs.parameters == 64


def test_types_are_those_of_the_graph() -> None:
    nodes = [node('Relu', 'x', 'a'), node('Cast', 'a', 'y', to=HALF)]
    model = graph(nodes, {'x': [1, 64]}, {'y': [1, 64]}, {}, kind=HALF)
    assert [k.moved for k in kernels(count(model))] == [2 * 128]


def test_what_can_not_be_counted_is_said() -> None:
    relu = node('Relu', 'x', 'y')
    with pytest.raises(GraphError, match=r"'x' has no static shape; export with static"):
        count(graph([relu], {'x': ['n', 4]}, {'y': ['n', 4]}, {}))
    with pytest.raises(GraphError, match='can not be inferred'):
        count(graph([node('Add', 'x w', 'y')], {'x': [2]}, {'y': [2]}, {'w': ones(3)}))
    odd = count(graph([node('Det', 'x', 'y')], {'x': [2, 4, 4]}, {'y': [2]}, {}))
    assert odd.unknown == {'Det': 1}


# ---- against torch


@pytest.fixture(scope='module')
def narrow(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[int, int]]:
    """A narrow configuration of PAIF, and a size."""
    path = tmp_path_factory.mktemp('config') / 'narrow.json'
    shipped = SHIPPED.parents[1] / 'configs' / 'paif_small.json'
    path.write_text(json.dumps(json.loads(shipped.read_text()) | {'channels': 4}))
    return path, (96, 128)


@dataclass(frozen=True)
class Projection:
    """What the command was called with, and the folder of its graphs.

    Attributes:
        arguments: of the command.
        graphs: the folder.
        said: what it printed.
    """

    arguments: list[str]
    graphs: Path
    said: str


@pytest.fixture(scope='module')
def projection(
    narrow: tuple[Path, tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> Projection:
    """The command on the narrow configuration, which it exports."""
    pytest.importorskip('torch', reason='torch is a development dependency')
    graphs = tmp_path_factory.mktemp('graphs') / 'g'
    arguments = ['--config', str(narrow[0]), '--size', '90x128', '--graphs', str(graphs)]
    with redirect_stdout(io.StringIO()) as said:
        assert main(arguments) == 0
    return Projection(arguments, graphs, said.getvalue())


@pytest.fixture(scope='module')
def counted(projection: Projection) -> dict[str, Costs]:
    """Costs of the graphs that the command has exported."""
    return {
        precision: count(
            onnx.load(projection.graphs / f'narrow_96x128_{precision}.onnx'), paif_parts
        )
        for precision in ('fp32', 'mixed')
    }


def test_operations_are_those_that_torch_counts(
    narrow: tuple[Path, tuple[int, int]], counted: dict[str, Costs]
) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from models.deploy import deploy
    from models.paif import PAIF, load_config

    path, (height, width) = narrow
    network = deploy(PAIF(load_config(path)).eval())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, height, width, 3).byte(), torch.zeros(1, height, width).byte())
    costs = counted['fp32']
    assert costs.operations == counter.get_total_flops()
    by_operator = counter.get_flop_counts()['Global']
    convolutions = sum(n.operations for n in costs.nodes if 'convolution' in n.family)
    assert convolutions == by_operator[torch.ops.aten.convolution]
    # Layer 1 of the encoder has a named part in torch too.
    in_encoder = sum(n.operations for n in costs.nodes if n.part == 'encoder')
    modules = counter.get_flop_counts()
    (name,) = [name for name in modules if name.endswith('segmenter')]
    in_segmenter = sum(modules[name].values())
    in_decoder = sum(n.operations for n in costs.nodes if n.part == 'decoder')
    assert in_encoder + in_decoder == in_segmenter
    values = [v for v in network.state_dict().values() if v.numel() > 1]
    # The exporter stores scalars and small tables of its own; weights are all else.
    assert costs.parameters == pytest.approx(sum(v.numel() for v in values), rel=2e-3)


def test_mixed_graph_has_the_same_operations_and_moves_less(counted: dict[str, Costs]) -> None:
    full, mixed = counted['fp32'], counted['mixed']
    assert mixed.operations == full.operations
    half = sum(k.moved for k in kernels(mixed)) / sum(k.moved for k in kernels(full))
    assert 0.5 < half < 0.8
    islands = {k.part for k in kernels(mixed) if k.family == 'pooling' and k.width == 4}
    assert islands == {GUIDED}
    wide = {k.part for k in kernels(mixed) if k.padded and k.width == 4}
    assert wide == {RESULTS}  # only the conversion of colours stays in FP32


def test_parts_of_the_network(counted: dict[str, Costs]) -> None:
    nodes = counted['fp32'].nodes
    pools = [n.part for n in nodes if n.family == 'pooling']
    assert len(pools) == 18
    assert set(pools) == {GUIDED}
    assert {n.part for n in nodes if n.family in ('normalisation', 'softmax')} == {'encoder'}
    assert {n.part for n in nodes if n.kind == 'ArgMax'} == {RESULTS}
    assert sum(n.kind == 'Resize' and n.part == 'decoder' for n in nodes) == 3


def test_rule_for_int8_takes_what_is_fp16(counted: dict[str, Costs]) -> None:
    mixed = counted['mixed']
    parts = ['fusion cells', 'encoder', 'decoder']
    eight = quantised(mixed, parts)
    assert eight.operations == mixed.operations
    found = {k.part for k in kernels(eight) if k.width == 1 and k.padded}
    assert found == set(parts)
    assert all(k.width >= 2 for k in kernels(eight) if k.family == 'attention product')
    assert sum(k.moved for k in kernels(eight)) < sum(k.moved for k in kernels(mixed))


# ---- the model


def test_constants_are_the_medians_of_the_fits() -> None:
    anchors = load_anchors()
    for case in CASES.values():
        fits = calibrate(anchors[case.anchor], case)
        assert list(fits) == [board.name for board in BOARDS if board.fits]
        assert case.tensor == pytest.approx(median(fits), abs=2e-3)


def test_the_model_gives_back_what_peers_publish() -> None:
    anchors = load_anchors()
    for board in (board for board in BOARDS if board.fits):
        assert board.published is not None
        for case in CASES.values():
            fps = 1 / seconds(anchors[case.anchor], board, case)
            assert 0.85 < fps / max(board.published.fps) < 1.2


def test_anchors_are_segformer() -> None:
    """Operations as the paper's table for 512x512, two for each of its multiply-adds."""
    anchors = load_anchors()
    billions = {name: sum(k.operations for k in work) / 2e9 for name, work in anchors.items()}
    # Xie et al. 2021, table 1 (ADE20K, 150 classes): 79.0, 95.7; B5 at 640x640.
    assert billions['mit_b3'] == pytest.approx(79.0, rel=0.03)
    assert billions['mit_b4'] == pytest.approx(95.7, rel=0.03)
    assert billions['mit_b5'] > billions['mit_b4']


def test_anchors_survive_the_file(tmp_path: Path) -> None:
    costs = count(qdq())
    save_anchors(tmp_path / 'a.json', {'q': costs, 'half': costs})
    found = load_anchors(tmp_path / 'a.json')
    assert sorted(found['q'], key=repr) == sorted(kernels(halved(costs)), key=repr)
    assert halved(costs).operations == costs.operations


def test_a_kernel_takes_the_longer_of_arithmetic_and_memory() -> None:
    board = replace(BOARDS[0], launch=0.0, cache=0.0)
    case = Efficiency(0.5, 0.5, 0.5, '')
    (conv,) = kernels(count(graph(*conv_graph(64))))
    by_memory = conv.moved / (board.bandwidth * 0.5)
    by_arithmetic = conv.operations / (board.fp32 * 0.5)
    assert kernel_seconds(conv, board, case) == pytest.approx(max(by_memory, by_arithmetic))
    assert by_arithmetic > by_memory  # FP32 runs on CUDA cores
    half = replace(conv, width=2)
    by_tensor = conv.padded / (board.fp16 * 0.5)
    assert kernel_seconds(half, board, case) == pytest.approx(max(by_memory, by_tensor))
    eighth = kernel_seconds(replace(half, width=1, tensors=(1,)), board, case)
    assert eighth == pytest.approx(conv.padded / (board.int8 * 0.5))
    cached = replace(board, cache=1e9, cache_bandwidth=1e15)
    assert kernel_seconds(half, cached, case) == pytest.approx(by_tensor, rel=1e-3)
    assert floor_seconds([half], board) < kernel_seconds(half, board, case)


def conv_graph(channels: int) -> tuple:
    shape = [1, channels, 32, 32]
    made = node('Conv', 'x w', 'y', pads=[1] * 4)
    return [made], {'x': shape}, {'y': shape}, {'w': ones(channels, channels, 3, 3)}


def test_fit_finds_what_made_the_time_and_refuses_the_impossible() -> None:
    work = load_anchors()['mit_b3']
    board = BOARDS[3]
    case = replace(CASES['expected'], tensor=0.3)
    target = seconds(work, board, case)
    assert fit_tensor(work, board, CASES['slow'], seconds(work, board, CASES['slow'])) > 0
    assert fit_tensor(work, board, case, target) == pytest.approx(0.3, rel=1e-6)
    with pytest.raises(ValueError, match='outside'):
        fit_tensor(work, board, case, 1e-4)


def test_verdicts() -> None:
    budget = 1e3 / 30 - HOST_MS
    for count_of_cases, word in ((3, 'yes'), (2, 'likely'), (1, 'unlikely'), (0, 'no')):
        cases = ('fast', 'expected', 'slow')
        latency = {
            name: budget * (0.99 if place < count_of_cases else 1.01)
            for place, name in enumerate(cases)
        }
        assert verdict(latency, 30) == word


def test_sizes_are_rounded_up_to_what_can_be_exported() -> None:
    assert exported_size((720, 1280)) == (736, 1280)
    assert exported_size((480, 640)) == (480, 640)
    assert exported_size((481, 1)) == (512, 32)


def test_weights_can_be_left_out() -> None:
    model = graph(*conv_graph(8))
    before = count(model)
    small = without_weights(model)
    assert small.ByteSize() < 1000
    assert count(small) == before


# ---- the command


def test_command_on_the_shipped_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'r.json'
    arguments = ['--onnx', str(SHIPPED), '--detail', '--markdown', '--json', str(out)]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert text.count('*projected*') >= 2
    assert '| guided filter |' in text
    assert '7.9 / 10.1' in text
    written = json.loads(out.read_text())
    assert written['status'] == 'projected, not measured'
    (row,) = written['rows']
    assert row['size'] == [480, 640]
    assert row['precision'] == 'fp32'
    assert row['parameters'] == pytest.approx(3.40e6, rel=0.01)
    assert row['gflop'] == pytest.approx(18.53, abs=0.01)
    assert row['unknown_operators'] == {}
    assert sum(part['gflop'] for part in row['parts'].values()) == pytest.approx(row['gflop'])
    assert sum(c['moved_mb'] for c in row['classes'].values()) == pytest.approx(row['moved_mb'])
    for board in row['boards'].values():
        assert board['floor_ms'] < board['fast_ms'] < board['expected_ms'] < board['slow_ms']
        assert board['status'] == 'projected'


def test_command_refuses_what_it_can_not_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / 'broken.onnx'
    broken.write_bytes(b'\x08\x01 not a model')
    assert main(['--onnx', str(broken)]) == 2
    assert 'error:' in capsys.readouterr().err
    assert main(['--onnx', str(tmp_path / 'none.onnx')]) == 2
    assert 'none.onnx' in capsys.readouterr().err
    for wrong in (['--size', '480'], ['--fps', '0'], ['--fps', '400']):
        with pytest.raises(SystemExit) as stopped:
            main(wrong)
        assert stopped.value.code == 2


def test_precision_is_what_the_file_says_else_what_it_computes_in(tmp_path: Path) -> None:
    model = qdq()
    onnx.save(model, tmp_path / 'm.onnx')
    assert of_file(tmp_path / 'm.onnx', 30)['precision'] == 'int8'
    helper.set_model_props(model, {'precision': 'safe'})
    onnx.save(model, tmp_path / 'm.onnx')
    assert of_file(tmp_path / 'm.onnx', 30)['precision'] == 'safe'
    onnx.save(graph(*conv_graph(8)), tmp_path / 'm.onnx')
    assert of_file(tmp_path / 'm.onnx', 30)['precision'] == 'fp32'
    half = conv_graph(8)
    half[3]['w'] = half[3]['w'].astype(np.float16)
    onnx.save(graph(*half, kind=HALF), tmp_path / 'm.onnx')
    found = of_file(tmp_path / 'm.onnx', 30)
    assert (found['precision'], found['size']) == ('mixed', [32, 32])


def test_command_keeps_exported_graphs(
    projection: Projection, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert projection.said.count('96x128  ') >= 6  # three precisions in two tables
    kept = sorted(found.name for found in projection.graphs.iterdir())
    assert kept == ['narrow_96x128_fp32.onnx', 'narrow_96x128_mixed.onnx']
    monkeypatch.delattr('benchmarks.roofline.paif_graph')  # nothing is exported again
    assert main(projection.arguments) == 0
    assert capsys.readouterr().out == projection.said
