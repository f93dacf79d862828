"""NVIDIA's parser and builder take every export: types of inputs, outputs and layers as asked.

TensorRT-RTX parses and builds without a GPU. It is not the TensorRT of a Jetson, and it loads no
engine without a GPU, so what the built engine computes in is read from the network that the
strongly typed builder must follow; the inspector needs a loaded engine and is not asked here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')
onnx = pytest.importorskip('onnx', reason='onnx is a development dependency')
trt = pytest.importorskip('tensorrt_rtx', reason='tensorrt-rtx is a development extra')

from export.compact import compact
from export.int8_search import Layer, group_of, layers_of
from export.qdq import insert
from export.to_onnx import export_onnx
from models.deploy import deploy
from models.paif import PAIF, load_config
from models.parity import recipe_state
from models.precision import FP32, MIXED, SAFE, Precision
from models.segformer import BACKBONES, MiTConfig
from paif_ros.contract import CONFIDENCE, INPUTS, OUTPUTS

SIZE = (64, 96)
# Their widths, one or two layers of each stage: all layers of a stage are alike, and torch's
# export takes half a minute for B3's 28 of them. The shipped files have all of theirs.
SHORT = {name: MiTConfig(BACKBONES[name].dims, (1, 1, 2, 1)) for name in ('mit_b0', 'mit_b3')}
WEIGHTS = Path(__file__).resolve().parents[1] / 'models' / 'weights'
CONFIGS = ('paif_small', 'paif_official_b0', 'paif_official_b3')
PRECISIONS = {'fp32': FP32, 'safe': SAFE, 'mixed': MIXED, 'int8': MIXED}


@pytest.fixture(autouse=True, scope='module')
def short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, config in SHORT.items():
            patch.setitem(BACKBONES, name, config)
        yield


def build(data: bytes) -> tuple[dict[str, Counter[str]], dict[str, tuple[Any, tuple[int, ...]]]]:
    """Parse and build; return the types of each kind of layer, and the inputs and outputs."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    networks = [builder.create_network(flags) for _ in range(2)]  # must outlive their parsers
    asking, parser = (trt.OnnxParser(network, logger) for network in networks)
    assert asking.supports_model_v2(data)
    assert parser.parse(data), [str(parser.get_error(i)) for i in range(parser.num_errors)]
    network = networks[1]
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    assert plan is not None
    assert plan.nbytes > 1_000_000
    kinds: dict[str, Counter[str]] = {}
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        kind, dtype = layer.type.name, layer.get_output(0).dtype.name
        kinds.setdefault(kind, Counter())[dtype] += 1
    ends = [network.get_input(i) for i in range(network.num_inputs)]
    ends += [network.get_output(i) for i in range(network.num_outputs)]
    return kinds, {end.name: (end.dtype, tuple(end.shape)) for end in ends}


def check_ends(ends: dict[str, tuple[Any, tuple[int, ...]]], size: tuple[int, int]) -> None:
    assert list(ends) == [*INPUTS, *OUTPUTS, CONFIDENCE]
    for name, (dtype, shape) in ends.items():
        assert dtype == trt.uint8
        assert shape == ((1, *size, 3) if name in ('visible', 'fused') else (1, *size))


@cache
def raw(config: str, precision: Precision) -> bytes:
    """Export a narrow network with the exporter's notes."""
    network = PAIF(replace(load_config(config), channels=4))
    network.load_state_dict(recipe_state(network, 5))
    model = export_onnx(deploy(network, precision), SIZE, 1, {}, small=False)
    return bytes(model.SerializeToString())


def layers(config: str) -> list[str]:
    return list(layers_of(deploy(PAIF(replace(load_config(config), channels=4)))))


def exported(config: str, precision: str) -> bytes:
    """Export a narrow network; for INT8 every layer with a range of 4, nothing is calibrated."""
    model = onnx.load_from_string(raw(config, PRECISIONS[precision]))
    if precision == 'int8':
        insert(model, {p: Layer(p, group_of(p), scale=4 / 127) for p in layers(config)})
    compact(model)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize('precision', PRECISIONS)
@pytest.mark.parametrize('config', CONFIGS)  # the outer loop: exports are made once
def test_every_network_builds_in_every_precision(config: str, precision: str) -> None:
    kinds, ends = build(exported(config, precision))
    check_ends(ends, SIZE)
    modules = deploy(PAIF(replace(load_config(config), channels=4))).modules()
    norms = sum(isinstance(module, torch.nn.LayerNorm) for module in modules)
    assert sum(kinds['NORMALIZATION'].values()) == norms
    pools, products = kinds['POOLING'], kinds['MATRIX_MULTIPLY']
    assert kinds['CONVOLUTION']['FLOAT'] >= 2  # both colour conversions
    assert kinds['TOPK'] == {'FLOAT': 1}  # argmax
    if precision == 'fp32':
        assert pools == {'FLOAT': 18}
        assert all('HALF' not in dtypes for kind, dtypes in kinds.items() if kind != 'CONSTANT')
        return
    assert pools == {'FLOAT': 10, 'HALF': 8}
    if precision == 'safe':
        assert set(products) == set(kinds['NORMALIZATION']) == {'FLOAT'}
        assert kinds['CONVOLUTION']['HALF'] > 20
        return
    assert set(products) == set(kinds['NORMALIZATION']) == set(kinds['SOFTMAX']) == {'HALF'}
    assert kinds['CONVOLUTION']['FLOAT'] == 2
    if precision == 'int8':
        assert set(kinds['QUANTIZE']) == {'INT8'}
        assert set(kinds['DEQUANTIZE']) == {'HALF'}
        # One for each weight, one for each distinct input.
        count = len(layers(config))
        assert kinds['DEQUANTIZE']['HALF'] == count + kinds['QUANTIZE']['INT8']
        assert count / 2 < kinds['QUANTIZE']['INT8'] <= count


@pytest.mark.parametrize('path', sorted(WEIGHTS.glob('*.onnx')), ids=lambda path: path.stem)
def test_every_shipped_file_builds(path: Path) -> None:
    kinds, ends = build(path.read_bytes())
    check_ends(ends, (480, 640))
    assert ('HALF' in kinds['CONVOLUTION']) == path.stem.endswith('_mixed')
