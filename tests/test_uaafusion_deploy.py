"""UAAFusion's exported graph: gradients as a forward graph, the contract, NVIDIA's parser."""

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

from torch import nn

from export.checks import NOISE_BOUND
from export.graph_rules import broken_precision, broken_rules
from export.half import FastHalf
from export.moved import MASK_AGREEMENT
from export.parity_pairs import answer
from export.to_onnx import PICTURES, export_onnx, main, read_pairs
from models.parity import recipe_state
from models.uaafusion import segmenter
from models.uaafusion.checkpoint import load_uaafusion, save_uaafusion
from models.uaafusion.deploy import deploy
from models.uaafusion.network import UAAFusion, guidance, load_config
from models.uaafusion.segmenter import resized
from models.uaafusion.vjp import EnlargedConv, resize_matrix, transposed
from paif_ros.contract import CONFIDENCE, INPUTS, OUTPUTS
from paif_ros.engines.onnxruntime import OnnxRuntimeEngine

SIZE = (64, 96)
STAGES = 3  # a first, a middle and a last one
EXPORTED_STAGES = 2  # torch's export takes seconds for each
# One or two blocks of each kind, of 17: all of a kind are alike, and the export takes its time.
FULL, FULL_DILATED = segmenter.INVERTED, segmenter.DILATED
SHORT = tuple((t, c, n if c == 24 else min(n, 1 + (c == 160)), s) for t, c, n, s in FULL)
BLOCKS = sum(repeats for _, _, repeats, _ in SHORT)
# Convolutions of the segmenter's forward, and as many of its gradient.
FEATURES = 1 + 2 + (BLOCKS - 1) * 3
SEGMENTER = FEATURES + len(('shortcut', 'taps', 'low', 'cat', 'classes'))


@pytest.fixture(autouse=True, scope='module')
def short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segmenter, 'INVERTED', SHORT)
        # The first block of 160 channels; its stride becomes a dilation.
        patch.setattr(
            segmenter, 'DILATED', [c for _, c, n, _ in SHORT for _ in range(n)].index(160) + 1
        )
        yield


def narrow(**changes: object) -> UAAFusion:
    """Random weights and BatchNorm statistics, so that every fold shows."""
    values = {'channels': 4, 'decoder': 8, 'stages': STAGES, 'multiplier': 0.35} | changes
    network = UAAFusion(replace(load_config('official'), **values))
    network.load_state_dict(recipe_state(network, 3))
    with torch.no_grad():
        for block in network.fusion.blockflow:  # so that fused pictures have contrast
            block.conv4[0].conv_unit[2].weight.mul_(10)
    return network.eval()


def convolutions(stages: int) -> int:
    """How many a graph has that holds what reaches the outputs, and no more."""
    guided = stages - 1
    segmenter = (2 + guided) * SEGMENTER + guided * SEGMENTER  # forwards, gradients
    units, gates, in_last = 6 * 2, 1, 4 * 2  # of a stage with memory; of the last one
    return segmenter + 2 * 2 + (stages - 1) * (units + gates) + in_last


@pytest.fixture(scope='module')
def network() -> UAAFusion:
    return narrow()


def pictures(count: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    thermal = torch.rand(count, 1, *SIZE, generator=generator)
    return thermal, torch.rand(count, 3, *SIZE, generator=generator)


@pytest.mark.parametrize(
    'conv',
    [
        nn.Conv2d(3, 5, 1),
        nn.Conv2d(3, 5, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4),
        nn.Conv2d(3, 5, 3, 2, 1),
        nn.Conv2d(4, 4, 3, 2, 1, groups=4),
    ],
    ids=['1x1', '3x3', 'dilated depthwise', 'stride 2', 'depthwise stride 2'],
)
def test_transposed_convolutions_equal_autograd(conv: nn.Conv2d) -> None:
    torch.manual_seed(0)
    x = torch.rand(2, conv.in_channels, 8, 12, requires_grad=True)
    y = conv(x)
    cotangent = torch.rand_like(y)
    (expected,) = torch.autograd.grad(y, x, cotangent)
    torch.testing.assert_close(transposed(conv)(cotangent), expected, atol=1e-5, rtol=1e-5)


def test_other_convolutions_are_refused() -> None:
    for conv in (nn.Conv2d(2, 2, 5, padding=2), nn.Conv2d(2, 2, 3), nn.Conv2d(4, 4, 1, groups=2)):
        with pytest.raises(ValueError, match='no transposed form'):
            transposed(conv)


@torch.no_grad()
def test_resizes_and_what_is_taken_before_them() -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 3, 4, 6)
    by_matrix = resize_matrix(4, 16) @ x @ resize_matrix(6, 24).T
    torch.testing.assert_close(by_matrix, resized(x, (16, 24)), atol=1e-6, rtol=0)
    weight = torch.randn(5, 3, 3, 3)
    early = EnlargedConv(weight, (4, 6), (16, 24))
    late = nn.functional.conv2d(resized(x, (16, 24)), weight, padding=1)
    torch.testing.assert_close(early(x), late, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize('multiplier', [0.35, 1.0])
def test_gradient_equals_autograd(multiplier: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all 17 blocks; in float64, so that no ReLU6 switches by rounding."""
    monkeypatch.setattr(segmenter, 'INVERTED', FULL)
    monkeypatch.setattr(segmenter, 'DILATED', FULL_DILATED)
    exact = narrow(multiplier=multiplier).double()
    deployed = deploy(exact, SIZE).double()
    fused, mask = pictures()[0].double(), torch.rand(1, 15, *SIZE, dtype=torch.float64)
    expected = guidance(exact.segmenter, fused, mask)
    found = deployed.segmenter.guidance(fused, mask)
    assert expected.abs().max() > 1e-5
    assert (found - expected).abs().max() < 1e-6 * expected.abs().max()


@torch.no_grad()
def test_deployed_equals_plain(network: UAAFusion) -> None:
    thermal, visible = pictures()
    fused, logits = network(thermal, visible)
    fused_2, picture, logits_2 = deploy(network, SIZE).compute(thermal, visible)
    assert (fused - fused_2).abs().max() < 1e-4
    assert (logits - logits_2).abs().max() < 1e-4
    assert (picture - network.fuse(thermal, visible)[1]).abs().max() < 1e-3
    assert fused.std() > 0.01
    assert logits.std() > 0.1
    # Attention moves the picture, or equal pictures would prove nothing about it; without it the
    # graph is the plain one with an attention of 0.
    unguided = deploy(network, SIZE, guided=False).compute(thermal, visible)[0]
    assert 1e-6 < (unguided - fused).abs().max() < 0.05


@torch.no_grad()
def test_mixed_form_agrees_in_fp16_arithmetic(network: UAAFusion) -> None:
    visible, thermal = read_pairs(PICTURES, SIZE)[0]
    frame = torch.from_numpy(visible)[None], torch.from_numpy(thermal)[None]
    full, mixed = deploy(network, SIZE), deploy(network, SIZE, half=True)
    assert {p.dtype for p in mixed.segmenter.cat.parameters()} == {torch.float16}
    assert {p.dtype for p in mixed.stages.parameters()} == {torch.float16}
    with FastHalf():
        fused, mask, sure = mixed(*frame)
    assert fused.dtype == mask.dtype == sure.dtype == torch.uint8
    expected = full(*frame)
    noise = (fused.double() - expected[0]).square().mean().sqrt()
    assert 0 < noise < NOISE_BOUND
    assert (mask == expected[1]).double().mean() >= MASK_AGREEMENT
    # The gradient that leads the stages is not lost, though each pixel's is tiny: no ReLU6 of the
    # feature extractor changes sides. Its forward in FP16 leaves a correlation of 0.985.
    picture, share = torch.from_numpy(thermal)[None, None] / 255, torch.rand(1, 15, *SIZE)
    with FastHalf():
        half = mixed.segmenter.guidance(picture, share)
    gradient = full.segmenter.guidance(picture, share)
    assert gradient.abs().max() > 0
    assert torch.corrcoef(torch.stack((half.flatten(), gradient.flatten())))[0, 1] > 0.999


@torch.no_grad()
def test_pictures_of_a_batch_do_not_depend_on_each_other(network: UAAFusion) -> None:
    thermal, visible = pictures(2)
    deployed = deploy(network, SIZE)
    together = deployed.compute(thermal, visible)
    alone = deployed.compute(thermal[:1], visible[:1])
    for both, one in zip(together, alone, strict=True):
        torch.testing.assert_close(both[:1], one, atol=1e-4, rtol=1e-4)


def test_what_is_not_deployed(network: UAAFusion) -> None:
    with pytest.raises(ValueError, match='data_step'):
        deploy(network.with_data_step(), SIZE)
    with pytest.raises(ValueError, match='multiples of 16'):
        deploy(network, (64, 100))
    # Nothing that reaches no output: no memory in the last stage, no forget gate in the first.
    names = [name for name, _ in deploy(network, SIZE).named_parameters()]
    assert not [name for name in names if 'alpha' in name or 'init_conv_f0' in name]
    last = [name for name in names if name.startswith(f'stages.{STAGES - 1}.')]
    assert last
    assert not [n for n in last if 'memory' in n or 'remember' in n or 'recall' in n]
    gates = dict(deploy(network, SIZE).named_parameters())['stages.0.memory.gates.conv.weight']
    assert gates.shape == (3 * 4, 4, 3, 3)


@pytest.fixture(scope='module')
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A narrow network, exported by the command: it compares in ONNX Runtime and fails past it."""
    folder = tmp_path_factory.mktemp('uaafusion')
    save_uaafusion(folder / 'w.safetensors', narrow(stages=EXPORTED_STAGES))
    for kind in ('vi', 'ir'):  # one pair, for time's sake
        (folder / kind).mkdir()
        found = sorted((PICTURES / kind).iterdir())[0]
        shutil.copy(found, folder / kind / found.name)
    arguments = [str(folder / 'w.safetensors'), '--network', 'uaafusion', '--size', '64x96']
    assert main([*arguments, '--pictures', str(folder)]) == 0
    return folder / 'w.onnx'


def test_exported_file_runs_in_the_nodes_engine(exported: Path) -> None:
    engine = OnnxRuntimeEngine(exported, threads=1)
    card = engine.load().card
    assert (card.network, card.variant, card.input_size) == ('uaafusion', 'official', SIZE)
    assert '"stages": 2' in card.genotype
    assert len(card.classes) == 15
    visible, thermal = read_pairs(PICTURES, SIZE)[1]
    prediction = engine.infer(visible, thermal)
    engine.close()
    eager = load_uaafusion(exported.with_suffix('.safetensors'))
    gray = torch.from_numpy(thermal)[None, None].float() / 255
    rgb = torch.from_numpy(visible).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        picture = eager.fuse(gray, rgb)[1][0].permute(1, 2, 0).numpy() * 255
        logits = eager(gray, rgb)[1]
    assert np.abs(prediction.fused - picture).max() < 1.01  # a rounding, and one step of it
    assert np.abs(prediction.fused - picture).mean() < 0.3
    assert (prediction.mask == logits.argmax(1)[0].numpy()).mean() > 0.995
    assert prediction.confidence is not None
    best = 255 * torch.sigmoid(logits.amax(1))[0].numpy()
    assert np.abs(prediction.confidence - best).max() < 1.01


def test_exported_graph_holds_what_reaches_the_outputs(exported: Path) -> None:
    model = onnx.load(exported)
    assert broken_rules(model, 0) == []
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count('Conv') == convolutions(EXPORTED_STAGES)
    assert not {'BatchNormalization', 'PRelu', 'ConvTranspose', 'Dropout'} & set(kinds)
    used = {name for node in model.graph.node for name in node.input}
    outputs = {value.name for value in model.graph.output}
    dead = [n.name for n in model.graph.node if not (set(n.output) & (used | outputs))]
    assert dead == []


def test_pairs_for_the_gate_on_the_device(exported: Path) -> None:
    weights = exported.with_suffix('.safetensors')
    arrays = answer(weights, None, PICTURES, SIZE, 1, network='uaafusion')
    engine = OnnxRuntimeEngine(exported, threads=1)
    engine.load()
    prediction = engine.infer(arrays['visible'][0], arrays['thermal'][0])
    engine.close()
    assert np.abs(prediction.fused.astype(int) - arrays['fused'][0]).max() <= 1
    assert (prediction.mask == arrays['mask'][0]).mean() > 0.999


def build(data: bytes) -> Counter[tuple[str, str]]:
    """Build with TensorRT-RTX, which needs no GPU for it; count layers by kind and type."""
    trt = pytest.importorskip('tensorrt_rtx', reason='tensorrt-rtx is a development extra')
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(data), [str(parser.get_error(i)) for i in range(parser.num_errors)]
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    assert plan is not None
    assert plan.nbytes > 100_000
    ends = [network.get_input(i) for i in range(network.num_inputs)]
    ends += [network.get_output(i) for i in range(network.num_outputs)]
    assert [end.name for end in ends] == [*INPUTS, *OUTPUTS, CONFIDENCE]
    assert all(end.dtype == trt.uint8 for end in ends)
    layers = [network.get_layer(i) for i in range(network.num_layers)]
    return Counter((layer.type.name, layer.get_output(0).dtype.name) for layer in layers)


def test_nvidias_builder_takes_it(exported: Path) -> None:
    kinds = build(exported.read_bytes())
    assert kinds['CONVOLUTION', 'FLOAT'] == convolutions(EXPORTED_STAGES)
    assert {kind for kind, dtype in kinds if dtype == 'HALF'} <= {'CONSTANT'}
    assert 'DECONVOLUTION' not in {kind for kind, _ in kinds}


def test_nvidias_builder_takes_the_mixed_form() -> None:
    """Convolutions in FP32: the feature extractor's forward alone, for mask, attention, result."""
    mixed = deploy(narrow(stages=EXPORTED_STAGES), SIZE, half=True)
    model = export_onnx(mixed, SIZE, 1, {})
    assert broken_precision(model, 'mixed', 'uaafusion') == []
    kinds = build(model.SerializeToString())
    forwards = 2 + EXPORTED_STAGES - 1
    full = kinds['CONVOLUTION', 'FLOAT']
    assert full == forwards * FEATURES
    assert full + kinds['CONVOLUTION', 'HALF'] == convolutions(EXPORTED_STAGES)
    assert kinds['MATRIX_MULTIPLY', 'FLOAT'] == 0 < kinds['MATRIX_MULTIPLY', 'HALF']
    assert kinds['TOPK', 'FLOAT'] == 1
