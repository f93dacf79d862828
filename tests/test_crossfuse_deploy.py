"""CrossFuse's exported graph: equal to the plain network, close in FP16, parsed by NVIDIA's."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')
onnx = pytest.importorskip('onnx', reason='onnx is a development dependency')

from export.graph_rules import broken_rules
from export.half import FastHalf
from export.parity_pairs import answer
from export.to_onnx import PICTURES, main, read_pairs
from models.crossfuse.checkpoint import load_crossfuse, save_crossfuse
from models.crossfuse.deploy import deploy
from models.crossfuse.layers import TransposedAttention
from models.crossfuse.network import CrossFuse, load_config
from models.crossfuse.precision import FP32, ISLANDS, MIXED, CrossFusePrecision
from models.segformer import BACKBONES, MiTConfig
from paif_ros.contract import CONFIDENCE, INPUTS, OUTPUTS
from paif_ros.engines.onnxruntime import OnnxRuntimeEngine

SIZE = (64, 96)
CHANNELS = 8
# Convolutions: the first; attention and feed-forward of 2 blocks; both low-frequency layers with
# their feed-forward; 3 couplings of 2 mixes and 3 bottlenecks; the decoder's.
CONVOLUTIONS = 1 + 2 * (6 + 5) + 2 * (3 + 5) + 3 * (2 + 3 * 3) + (2 + 2)
CHANNEL_ATTENTIONS = 2 + 2


@pytest.fixture(autouse=True, scope='module')
def short_backbone() -> Iterator[None]:
    """One layer in each stage of the segmenter: torch's export takes seconds for each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, 'mit_nano', MiTConfig(BACKBONES['mit_nano'].dims, (1, 1, 1, 1)))
        yield


def narrow(**changes: object) -> CrossFuse:
    """Random weights, of norms and temperatures too, so that every fold shows."""
    values = {'channels': CHANNELS, 'heads': 2, 'blocks': 1, 'decoder_blocks': 1, 'nodes': 2}
    values |= {'backbone': 'mit_nano', 'embedding': 8, 'pool': 2}
    torch.manual_seed(3)
    network = CrossFuse(replace(load_config('official'), **(values | changes))).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            spread = 0.3 if parameter.ndim <= 3 else 0.3 * float(parameter.std())
            parameter.add_(torch.randn_like(parameter), alpha=spread)
        network.decoder.output[2].weight.mul_(8)  # so that the pictures change
    return network


@pytest.fixture(scope='module')
def network() -> CrossFuse:
    return narrow()


def pictures(count: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    thermal = torch.rand(count, 1, *SIZE, generator=generator)
    return thermal, torch.rand(count, 3, *SIZE, generator=generator)


@torch.no_grad()
@pytest.mark.parametrize('changes', [{}, {'scale': 2, 'colour': False, 'pool': 1}], ids=str)
def test_deployed_equals_plain(changes: dict[str, object]) -> None:
    thermal, visible = pictures()
    plain = narrow(**changes)
    fused, logits = plain(thermal, visible)
    fused_2, picture, logits_2 = deploy(plain).compute(thermal, visible)
    assert (fused - fused_2).abs().max() < 1e-5
    assert (logits - logits_2).abs().max() < 1e-4
    assert (picture - plain.fuse(thermal, visible)[1]).abs().max() < 1e-3
    # Equal pictures would prove nothing if they did not show what the network does.
    change = plain.fuse_luma(thermal, visible[:, :1]) - torch.sigmoid(visible[:, :1])
    assert change.std() > 0.01
    assert logits.std() > 0.1


@torch.no_grad()
def test_pictures_of_a_batch_do_not_depend_on_each_other(network: CrossFuse) -> None:
    thermal, visible = pictures(2)
    deployed = deploy(network)
    together = deployed.compute(thermal, visible)
    for i in range(2):
        alone = deployed.compute(thermal[i : i + 1], visible[i : i + 1])
        for both, one in zip(together, alone, strict=True):
            torch.testing.assert_close(both[i : i + 1], one, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_mixed_precision_is_close_where_fp16_alone_breaks(network: CrossFuse) -> None:
    """Norms over a whole picture may be over FP16's largest number, 65504."""
    loud = narrow()
    for module in loud.modules():
        if isinstance(module, TransposedAttention):
            module.qkv.weight[: 2 * CHANNELS].mul_(3000)  # queries and keys, which are normalised
    for net in (network, loud):
        thermal, visible = pictures()
        expected, _, logits = deploy(net).compute(thermal, visible)
        with FastHalf():
            found, _, logits_2 = deploy(net, MIXED).compute(thermal, visible)
        assert found.dtype == torch.float32
        assert (found - expected).abs().max() < 0.01
        assert (logits_2 - logits).abs().max() < 0.01 * logits.abs().max()
    with FastHalf():
        broken = deploy(loud, MIXED.moved(to_half=['norms'])).compute(thermal, visible)[0]
    assert not (broken - expected).abs().max() < 0.02  # not a number counts too


def test_parts_of_a_precision() -> None:
    assert FP32.moved(to_half=['base']).dtype('base') == torch.float16
    assert not MIXED.half & ISLANDS.keys()
    with pytest.raises(ValueError, match='box_statistics'):
        CrossFusePrecision(frozenset({'box_statistics'}))  # a part of PAIF


@pytest.fixture(scope='module', params=['fp32', 'mixed'])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A narrow network, exported by the command: it compares in ONNX Runtime and fails past it."""
    folder = tmp_path_factory.mktemp('crossfuse')
    save_crossfuse(folder / 'w.safetensors', narrow())
    for kind in ('vi', 'ir'):  # one pair, for time's sake
        (folder / kind).mkdir()
        found = sorted((PICTURES / kind).iterdir())[0]
        shutil.copy(found, folder / kind / found.name)
    arguments = [str(folder / 'w.safetensors'), '--network', 'crossfuse', '--size', '64x96']
    arguments += ['--precision', request.param, '--out', str(folder / 'w.onnx')]
    assert main([*arguments, '--pictures', str(folder)]) == 0
    return folder / 'w.onnx'


def test_exported_file_runs_in_the_nodes_engine(exported: Path) -> None:
    engine = OnnxRuntimeEngine(exported, threads=1)
    card = engine.load().card
    assert (card.network, card.variant, card.input_size) == ('crossfuse', 'official', SIZE)
    assert '"channels": 8' in card.genotype
    visible, thermal = read_pairs(PICTURES, SIZE)[1]
    prediction = engine.infer(visible, thermal)
    weights = exported.with_suffix('.safetensors')
    arrays = answer(weights, None, PICTURES, SIZE, 1, network='crossfuse')
    again = engine.infer(arrays['visible'][0], arrays['thermal'][0])
    engine.close()
    eager = load_crossfuse(weights)
    gray = torch.from_numpy(thermal)[None, None].float() / 255
    rgb = torch.from_numpy(visible).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        picture = eager.fuse(gray, rgb)[1][0].permute(1, 2, 0).numpy() * 255
        logits = torch.nn.functional.interpolate(eager(gray, rgb)[1], SIZE, mode='bilinear')
    half = card.precision == 'mixed'
    assert np.abs(prediction.fused - picture).max() < (4 if half else 1.01)  # grey levels
    assert np.abs(prediction.fused - picture).mean() < (0.5 if half else 0.3)
    same = prediction.mask == logits.argmax(1)[0].numpy()
    assert same.mean() > (0.97 if half else 0.995)
    # What the gate on a robot compares with.
    assert np.abs(again.fused.astype(int) - arrays['fused'][0]).max() <= (4 if half else 1)


def test_graph_keeps_the_rules_and_holds_no_more_than_it_must(exported: Path) -> None:
    model = onnx.load(exported)
    kinds = Counter(node.op_type for node in model.graph.node)
    segmenter = deploy(narrow()).segmenter
    layers = Counter(type(module) for module in segmenter.modules())
    norms = layers[torch.nn.LayerNorm]
    assert broken_rules(model, norms) == []
    # Beside the network's own, two of colours.
    assert kinds['Conv'] == CONVOLUTIONS + 2 + layers[torch.nn.Conv2d]
    attentions = sum(len(getattr(segmenter.encoder, f'block{i}')) for i in range(1, 5))
    assert kinds['Softmax'] == CHANNEL_ATTENTIONS + attentions
    assert not {'BatchNormalization', 'Split', 'PRelu'} & set(kinds)
    used = {name for node in model.graph.node for name in node.input}
    outputs = {value.name for value in model.graph.output}
    assert [n.name for n in model.graph.node if not (set(n.output) & (used | outputs))] == []


def test_gelu_is_one_node_in_onnx_runtime(exported: Path, tmp_path: Path) -> None:
    """Written in another order of products, each is five passes over the widest maps."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / 'optimised.onnx')
    options.log_severity_level = 3
    onnxruntime.InferenceSession(exported, options, providers=['CPUExecutionProvider'])
    kinds = Counter(n.op_type for n in onnx.load(tmp_path / 'optimised.onnx').graph.node)
    if 'mixed' in str(onnx.load(exported).metadata_props):
        pytest.skip('in FP16 it is fused on a GPU, not here')
    assert kinds['Gelu'] >= CHANNEL_ATTENTIONS


def test_nvidias_parser_takes_it(exported: Path) -> None:
    """TensorRT-RTX parses and builds without a GPU."""
    trt = pytest.importorskip('tensorrt_rtx', reason='tensorrt-rtx is a development extra')
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, logger)
    parsed = parser.parse(exported.read_bytes())
    assert parsed, [str(parser.get_error(i)) for i in range(parser.num_errors)]
    ends = [network.get_input(i) for i in range(network.num_inputs)]
    ends += [network.get_output(i) for i in range(network.num_outputs)]
    assert [end.name for end in ends] == [*INPUTS, *OUTPUTS, CONFIDENCE]
    assert all(end.dtype == trt.uint8 for end in ends)
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    assert plan is not None
    assert plan.nbytes > 0
