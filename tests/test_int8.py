"""INT8: ranges, choice by measurement, and the nodes that TensorRT and CPU engines accept."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')
onnx = pytest.importorskip('onnx', reason='onnx is a development dependency')
onnxruntime = pytest.importorskip('onnxruntime')

from onnx import TensorProto, numpy_helper

from export.compact import compact
from export.graph_rules import broken_rules
from export.int8_search import (
    Layer,
    best_scale,
    calibrate,
    choose,
    damage,
    fake,
    group_of,
    layers_of,
    quantised,
    weight_scales,
)
from export.islands import Pair, answers
from export.moved import Moved, compare
from export.qdq import OPSET_INT8, insert, quantise_weight, weighted
from export.score import main as score
from export.to_int8 import Session, main, read_calibration
from export.to_onnx import export_onnx, read_pairs
from models.deploy import DeployedPAIF, deploy
from models.paif import PAIF, load_config
from models.parity import recipe_state
from models.precision import MIXED
from paif_ros.engines.onnxruntime import OnnxRuntimeEngine
from paif_ros.errors import CalibrationError

PICTURES = Path(__file__).parent / 'data' / 'pairs'
SMALL = Path(__file__).resolve().parents[1] / 'models' / 'weights' / 'paif_small.safetensors'
SIZE = (64, 96)


@pytest.fixture(scope='module')
def network() -> PAIF:
    network = PAIF(replace(load_config('paif_small'), channels=4))
    network.load_state_dict(recipe_state(network, 5))
    return network.eval()


@pytest.fixture(scope='module')
def deployed(network: PAIF) -> DeployedPAIF:
    return deploy(network)


@pytest.fixture(scope='module')
def pairs() -> list[Pair]:
    return read_pairs(PICTURES, SIZE)


@pytest.fixture(scope='module')
def layers(deployed: DeployedPAIF, pairs: list[Pair]) -> list[Layer]:
    return calibrate(deployed, pairs)


def test_fake_is_quantize_and_dequantize() -> None:
    values = np.linspace(-3, 3, 1001, dtype=np.float32)
    scale = 0.0123
    graph = onnx.parser.parse_graph(
        'g (float[1001] x) => (float[1001] y) <float s = {0.0123}, int8 z = {0}>'
        '{ q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z) }'
    )
    opsets = [onnx.helper.make_opsetid('', 18)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    expected = session.run(None, {'x': values})[0]
    found = fake(torch.from_numpy(values), scale).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(expected).max() < 2  # it saturates


def test_ranges_leave_lone_outliers_out() -> None:
    values = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    plain = best_scale(values) * 127
    assert 2.5 < plain < float(values.abs().max()) + 1e-6
    with_outlier = torch.cat((values, torch.tensor([8.0])))
    assert plain < best_scale(with_outlier) * 127 < 0.95 * 8
    assert best_scale(torch.zeros(10)) == 1.0  # of nothing, no division by zero


def test_weights_by_channel() -> None:
    weight = np.array([[1.0, -2.0], [0.01, 0.005], [0.0, 0.0]], np.float32)
    data, scale = quantise_weight(weight, 0)
    assert data.dtype == np.int8
    assert data[0].tolist() == [64, -127]  # rounded half to even
    np.testing.assert_allclose(scale[:2] * 127, [2.0, 0.01], rtol=1e-6)
    assert data[2].tolist() == [0, 0]
    np.testing.assert_allclose(scale, weight_scales(torch.from_numpy(weight)).numpy(), rtol=1e-6)
    tiny, scale = quantise_weight(np.full((1, 2), 6e-8, np.float16), 0)
    assert scale.dtype == np.float16
    assert np.isfinite(tiny.astype(np.float32) * scale).all()
    assert scale[0] > 0


@pytest.mark.parametrize(
    ('path', 'group'),
    [
        ('fusion.stem_thermal.0', 'fusion.stem_thermal'),
        ('fusion.chain_thermal.0.conv2.1', 'fusion.chain_thermal.0'),
        ('fusion.out.1', 'fusion.out'),
        ('segmenter.encoder.patch_embed2.proj', 'segmenter.encoder.patch_embed2'),
        ('segmenter.encoder.block3.1.attn.kv', 'segmenter.encoder.block3.attn'),
        ('segmenter.encoder.block3.0.mlp.dwconv.dwconv', 'segmenter.encoder.block3.mlp'),
        ('segmenter.decoder.scales.2', 'segmenter.decoder'),
    ],
)
def test_groups(path: str, group: str) -> None:
    assert group_of(path) == group


def test_calibration_sees_every_layer(layers: list[Layer], deployed: DeployedPAIF) -> None:
    assert [layer.path for layer in layers] == list(layers_of(deployed))
    assert all(layer.scale > 0 and layer.macs > 0 for layer in layers)
    by_path = {layer.path: layer for layer in layers}
    height, width = SIZE
    assert by_path['fusion.chain_thermal.0.conv1'].macs == 4 * 4 * 9 * height * width
    # Two layers that read the same map share one scale, and so one QuantizeLinear.
    same = ('fusion.chain_thermal.0.conv1', 'fusion.chain_thermal.0.conv2.0')
    assert len({by_path[path].scale for path in same}) == 1


def test_quantised_ends_where_it_began(
    deployed: DeployedPAIF, layers: list[Layer], pairs: list[Pair]
) -> None:
    before = answers(deployed, pairs[:1])
    with quantised(deployed, layers):
        inside = answers(deployed, pairs[:1])
    assert compare(inside, before).fused_max > 0
    after = answers(deployed, pairs[:1])
    assert compare(after, before).fused_max == 0
    assert compare(after, before).agreement == 1


def test_choice_keeps_within_the_bounds_and_leaves_the_worst_out(
    deployed: DeployedPAIF, layers: list[Layer], pairs: list[Pair]
) -> None:
    few = [layer for layer in layers if layer.path.startswith('fusion')]
    broken = [replace(few[0], scale=few[0].scale * 200), *few[1:]]  # a stem of one step
    told: list[str] = []
    choice = choose(deployed, broken, pairs[:1], (30.0, 0.0), told.append)
    groups = {layer.group for layer in choice.chosen}
    assert few[0].group not in groups
    assert len(groups) > 3
    assert choice.together is not None
    assert damage(choice.together, 30.0, 1.0) <= 0.5
    assert 0 < choice.macs < 1
    assert sum('alone' in line for line in told) == len(choice.alone)
    nothing = choose(deployed, broken, pairs[:1], (98.0, 1 - 1e-9))
    assert nothing.chosen == ()
    assert nothing.together is None


def test_damage_is_the_part_of_what_is_allowed() -> None:
    moved = Moved(3, 1.0, 48.0, 0.999, 4)
    assert damage(moved, 45.0, 0.01) == pytest.approx(10 ** (-0.3))
    assert damage(replace(moved, agreement=0.98), 45.0, 0.01) == pytest.approx(2)


@pytest.fixture(scope='module')
def raw(network: PAIF) -> bytes:
    return bytes(export_onnx(deploy(network, MIXED), SIZE, 1, {}, small=False).SerializeToString())


def test_graph_for_tensorrt(
    raw: bytes, layers: list[Layer], deployed: DeployedPAIF, pairs: list[Pair]
) -> None:
    model = onnx.load_from_string(raw)
    # Whatever order the search took them in.
    done = insert(model, {layer.path: layer for layer in reversed(layers)})
    compact(model)
    assert done == sorted(layer.path for layer in layers)
    onnx.checker.check_model(model, full_check=True)
    assert broken_rules(model, 30, OPSET_INT8) == []
    held = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = model.graph.node
    quantise = [node for node in nodes if node.op_type == 'QuantizeLinear']
    dequantise = [node for node in nodes if node.op_type == 'DequantizeLinear']
    assert len(quantise) < len(layers)  # shared by those that read the same map
    assert len(dequantise) == len(quantise) + len(layers)
    for node in (*quantise, *dequantise):
        zero = held[node.input[2]]
        assert zero.data_type == TensorProto.INT8
        assert not numpy_helper.to_array(zero).any()
        assert held[node.input[1]].data_type == TensorProto.FLOAT16
        assert not any(
            held[name].data_type == TensorProto.INT32 for name in node.input[:1] if name in held
        )  # no quantised bias
    makers = {name: node.op_type for node in nodes for name in node.output}
    for node in nodes:
        if node.op_type == 'Conv' and len(node.input) == 3:
            assert node.input[2] in held
    fed = [
        n
        for n in nodes
        if n.op_type in ('Conv', 'MatMul') and makers.get(n.input[1]) == 'DequantizeLinear'
    ]
    assert len(fed) == len(layers)
    assert all(makers[node.input[0]] == 'DequantizeLinear' for node in fed)


def test_file_computes_what_the_search_measured(
    network: PAIF, layers: list[Layer], deployed: DeployedPAIF, pairs: list[Pair]
) -> None:
    """In FP32, for INT8 turns the rounding of FP16 into whole steps here and there."""
    model = export_onnx(deploy(network), SIZE, 1, {}, small=False)
    insert(model, {layer.path: layer for layer in layers})
    assert broken_rules(model, 30) == []  # FP32 needs no newer opset
    found, _ = Session.of(model.SerializeToString()).answers(pairs)
    with quantised(deployed, layers):
        expected = answers(deployed, pairs)
    plain = compare(expected, answers(deployed, pairs))
    assert plain.fused_psnr < 50
    assert compare(found, expected).fused_psnr > plain.fused_psnr + 10


def test_a_layer_that_is_not_in_the_graph_is_named(raw: bytes) -> None:
    model = onnx.load_from_string(raw)
    with pytest.raises(ValueError, match=r'fusion\.nothing'):
        insert(model, {'fusion.nothing': Layer('fusion.nothing', 'g', 1, 0.1)})
    compact(model)
    assert len(weighted(model)) <= 1  # without the exporter's notes no module is known


def test_calibration_set_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match='4 or more'):
        read_calibration(PICTURES, SIZE, 3)
    assert len(read_calibration(PICTURES, SIZE, 8)) == 4
    with pytest.raises(CalibrationError):
        read_calibration(tmp_path, SIZE, 8)


def test_calibration_from_a_bag(tmp_path: Path) -> None:
    pytest.importorskip('rosbags', reason='rosbags reads bags without ROS')
    from scenes.bag import write_bag
    from scenes.clips import drawn_clip

    bag = write_bag(tmp_path / 'bag', drawn_clip(['day'], 1.0, 10.0, (96, 128), 3)).path
    found = read_calibration(bag, SIZE, 6)
    assert len(found) == 6
    for visible, thermal in found:
        assert (visible.shape, thermal.shape) == ((*SIZE, 3), SIZE)
        assert visible.dtype == thermal.dtype == np.uint8
        assert thermal.std() > 1


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the shipped weights: the masks of random ones flip at every rounding."""
    weights = tmp_path / 'w.safetensors'
    shutil.copy(SMALL, weights)
    report = tmp_path / 'report.json'
    arguments = [str(weights), '--calibration', str(PICTURES), '--size', '128x160']
    code = main([*arguments, '--for', 'both', '--json', str(report)])
    found = json.loads(report.read_text())
    assert found['groups']
    assert set(found['files']) == {'tensorrt', 'cpu'}
    passed = {}
    for ending, target in (('_int8', 'tensorrt'), ('_int8_cpu', 'cpu')):
        path = tmp_path / f'w{ending}.onnx'
        moved = found['files'][target]['moved']
        passed[target] = moved['agreement'] >= 0.99 and moved['fused_psnr'] >= 45
        assert path.exists() == passed[target]  # what the gate would refuse is not written
        if not passed[target]:
            continue
        engine = OnnxRuntimeEngine(path, threads=1)
        assert engine.load().card.precision == 'int8'
        engine.close()
        props = {prop.key: prop.value for prop in onnx.load(path).metadata_props}
        assert props['int8_for'] == target
        assert json.loads(props['int8_left_out']) == found['left_out']
    assert passed['tensorrt']
    assert code == (0 if all(passed.values()) else 1)
    capsys.readouterr()

    assert main([str(weights), '--calibration', str(tmp_path / 'nowhere')]) == 2
    assert 'error' in capsys.readouterr().err
    assert score(['nothing.safetensors', '--data', str(PICTURES)]) == 2
