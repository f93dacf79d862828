"""The deployment graph computes what the plain network does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')

from export.to_onnx import read_pairs
from models.deploy import best_probability, deploy, fold_operator, gelu, in_blocks
from models.operators import Operator
from models.paif import PAIF, PAIFConfig, load_config, rgb_to_ycrcb
from models.parity import recipe_state

PAIRS = Path(__file__).parent / 'data' / 'pairs'
BOUND = 1e-4


def with_recipe(network: torch.nn.Module) -> torch.nn.Module:
    """Random weights and BatchNorm statistics, so that every fold shows."""
    network.load_state_dict(recipe_state(network, 3))
    return network.eval()


def real_pair(size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    visible, thermal = read_pairs(PAIRS, size)[0]
    return torch.from_numpy(thermal)[None], torch.from_numpy(visible)[None]


@pytest.mark.parametrize('config', ['paif_small', 'paif_official_b0'])
@torch.no_grad()
def test_deployed_equals_plain(config: str) -> None:
    plain = with_recipe(PAIF(load_config(config)))
    thermal, visible = real_pair((192, 256))
    gray, rgb = thermal[:, None].float() / 255, visible.permute(0, 3, 1, 2).float() / 255
    fused, logits = plain(gray, rgb)
    deployed = deploy(plain)
    fused_2, picture, logits_2 = deployed.compute(gray, rgb)
    assert (fused - fused_2).abs().max() < BOUND
    assert (logits - logits_2).abs().max() < BOUND
    assert (picture - plain.fuse(gray, rgb)[1]).abs().max() < BOUND
    assert logits.std() > 0.1  # two constant maps would be equal too

    out, mask, confidence = deployed(visible, thermal)
    assert out.dtype == mask.dtype == confidence.dtype == torch.uint8
    assert out.shape == visible.shape
    assert mask.shape == confidence.shape == thermal.shape
    expected = torch.nn.functional.interpolate(logits, (192, 256), mode='bilinear')
    assert (expected.argmax(1) == mask).float().mean() > 0.999
    best = 255 * torch.softmax(expected, 1).amax(1)
    assert (confidence - best).abs().max() < 0.51
    assert best.std() > 5


@pytest.mark.parametrize(
    'name',
    [
        'Denseblocks_3_2',
        'Residualblocks_5_1',
        'DilConv_5_2',
        'SepConv_3_1',
        'ECAattention_3',
        'SPAattention_5',
        'SelAttention_2_1',
    ],
)
@torch.no_grad()
def test_folded_operator_equals_plain(name: str) -> None:
    operator = with_recipe(Operator(name, 8))
    x = torch.randn(2, 8, 20, 24, generator=torch.Generator().manual_seed(0))
    folded = fold_operator(operator)
    torch.testing.assert_close(folded(x), operator(x), atol=1e-5, rtol=1e-5)
    assert not [m for m in folded.modules() if isinstance(m, torch.nn.BatchNorm2d)]


@torch.no_grad()
def test_batch_and_flat_frames() -> None:
    deployed = deploy(with_recipe(PAIF(replace(load_config('paif_small'), channels=4))))
    rng = np.random.default_rng(0)
    visible = torch.from_numpy(rng.integers(0, 256, (2, 64, 96, 3), np.uint8))
    thermal = torch.from_numpy(rng.integers(0, 256, (2, 64, 96), np.uint8))
    visible[1], thermal[1] = 0, 0
    fused, mask, confidence = deployed(visible, thermal)
    first = deployed(visible[:1], thermal[:1])
    assert (fused[:1].int() - first[0].int()).abs().max() <= 1
    assert (mask[:1] == first[1]).float().mean() > 0.999
    assert (confidence[:1].int() - first[2].int()).abs().max() <= 1
    # Four classes: the best of them has a quarter of the probability at least.
    assert confidence.min() >= 63


def test_confidence_of_large_and_of_equal_logits() -> None:
    """No overflow where a softmax without its largest logit taken out would have one."""
    logits = torch.tensor([[1e4, 0.0, -1e4], [2.0, 2.0, 2.0], [0.0, np.log(3), -1e9]])
    found = best_probability(logits.float()[:, :, None, None])
    torch.testing.assert_close(found[:, 0, 0], torch.tensor([1.0, 1 / 3, 0.75]))


def test_only_the_image_stretch_is_deployed() -> None:
    with pytest.raises(ValueError, match='neighbours'):
        deploy(PAIF(replace(load_config('paif_small'), channels=4, stretch='batch')))


def test_deploy_leaves_the_network_alone() -> None:
    plain = PAIF(replace(load_config('paif_small'), channels=4)).train()
    before = {key: value.clone() for key, value in plain.state_dict().items()}
    deploy(plain)
    assert plain.training
    assert all(torch.equal(before[key], value) for key, value in plain.state_dict().items())
    assert all(p.requires_grad for p in plain.parameters())


def test_a_segmenter_without_colours_is_deployed_as_it_is() -> None:
    torch.manual_seed(0)
    config = replace(load_config('paif_small'), channels=2, backbone='mit_nano', embedding=8)
    network = PAIF(replace(config, colour=False)).eval()
    thermal, visible = torch.rand(1, 1, 64, 96), torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        fused, logits = network(thermal, visible)
        other, _, deployed = deploy(network).compute(thermal, visible)
        colours = visible.roll(1, 1)  # other colours, and the luma put back
        colours = colours + (rgb_to_ycrcb(visible) - rgb_to_ycrcb(colours))[:, :1]
        rgb = network.segmenter_input(visible.clamp(0.3, 0.6))
    torch.testing.assert_close(fused, other, atol=1e-5, rtol=0)
    torch.testing.assert_close(logits, deployed, atol=1e-4, rtol=0)
    grey = rgb * network.std + network.mean
    assert (grey[:, 0] - grey[:, 1]).abs().max() < 1e-3
    with torch.no_grad():
        again = network.segmenter_input(colours)
        before = network.segmenter_input(visible)
    torch.testing.assert_close(again, before, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_segmenter_of_pooled_pictures_is_deployed_as_it_is() -> None:
    config = replace(load_config('paif_small'), channels=2, backbone='mit_nano', embedding=8)
    network = with_recipe(PAIF(replace(config, pool=2)))
    whole = PAIF(config).eval()
    whole.load_state_dict(network.state_dict())
    thermal, visible = torch.rand(1, 1, 64, 96), torch.rand(1, 3, 64, 96)
    _, logits = network(thermal, visible)
    _, picture, deployed = deploy(network).compute(thermal, visible)
    torch.testing.assert_close(deployed, logits, atol=1e-4, rtol=0)
    assert logits.shape[2:] == (64 // 8, 96 // 8)
    blocks = picture.unflatten(2, (32, 2)).unflatten(4, (48, 2)).mean((3, 5))
    by_hand = whole.denoise_net(whole.segmenter_input(blocks))
    torch.testing.assert_close(logits, by_hand, atol=1e-4, rtol=0)
    gray, rgb = torch.zeros(1, 64, 96, dtype=torch.uint8), torch.zeros(1, 64, 96, 3).byte()
    assert deploy(network)(rgb, gray)[1].shape == gray.shape
    assert PAIFConfig.from_json(network.config.to_json()).pool == 2
    with pytest.raises(ValueError, match='pool 0'):
        PAIF(replace(config, pool=0))


@pytest.mark.parametrize(('maps', 'kernel', 'bias'), [(4, 5, False), (2, 3, True), (3, 1, False)])
def test_blocks_of_a_convolution_to_one_map(maps: int, kernel: int, bias: bool) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(maps, 1, kernel, padding=kernel // 2, bias=bias)
    x = torch.randn(2, maps, 12, 20)
    blocks = in_blocks(layer)
    torch.testing.assert_close(blocks(x), layer(x), rtol=0, atol=1e-6)
    assert blocks[0].out_channels == 16


def test_gelu_is_what_torch_computes() -> None:
    x = torch.linspace(-6, 6, 1001)
    torch.testing.assert_close(gelu(x), torch.nn.functional.gelu(x), rtol=0, atol=1e-6)


def test_onnx_runtime_fuses_every_gelu_of_the_shipped_network(tmp_path: Path) -> None:
    onnx, ort = pytest.importorskip('onnx'), pytest.importorskip('onnxruntime')
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / 'optimized.onnx')
    shipped = Path(__file__).parents[1] / 'models' / 'weights' / 'paif_nano.onnx'
    ort.InferenceSession(str(shipped), options, providers=['CPUExecutionProvider'])
    kinds = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    assert kinds.count('Gelu') == 8  # two blocks in each of four stages
    assert 'Erf' not in kinds
