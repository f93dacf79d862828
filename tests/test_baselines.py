"""Fusion baselines: what each rule computes, and that a segmenter trains behind all of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')

from models.baselines import RULES, SeAFusionStyle, baseline
from models.deploy import deploy
from models.paif import PAIF, PAIFConfig, load_config


def network(fusion: str) -> PAIF:
    torch.manual_seed(0)
    config = load_config('paif_small')
    return PAIF(replace(config, fusion=fusion, channels=2, backbone='mit_nano', embedding=8))


def test_rules_by_hand() -> None:
    thermal, visible = torch.full((1, 1, 32, 32), 0.2), torch.full((1, 3, 32, 32), 0.6)
    expected = {'mean': 0.4, 'max': 0.6, 'visible': 0.6, 'thermal': 0.2}
    assert expected.keys() == RULES.keys()
    for name, value in expected.items():
        fused, rgb = network(name).fuse(thermal, visible)
        assert fused.mean().item() == pytest.approx(value, abs=1e-6), name
        assert rgb.mean().item() == pytest.approx(value, abs=1e-6), name


def test_the_thermal_camera_alone_sees_no_colours() -> None:
    thermal, visible = torch.rand(1, 1, 32, 32), torch.rand(1, 3, 32, 32)
    _, rgb = network('thermal').fuse(thermal, visible)
    assert torch.equal(rgb, thermal.expand(-1, 3, -1, -1))
    _, rgb = network('visible').fuse(thermal, visible)
    torch.testing.assert_close(rgb, visible, atol=2e-3, rtol=0)  # through YCrCb and back


@pytest.mark.parametrize('name', [*RULES, 'seafusion'])
def test_gradients_reach_what_each_fusion_takes(name: str) -> None:
    thermal = torch.rand(1, 1, 64, 64, requires_grad=True)
    visible = torch.rand(1, 3, 64, 64, requires_grad=True)
    fused, logits = network(name).eval()(thermal, visible)
    assert fused.shape == (1, 1, 64, 64)
    assert logits.shape == (1, 4, 16, 16)
    grads = torch.autograd.grad(logits.square().sum(), (thermal, visible), allow_unused=True)
    used = [grad is not None and bool(grad.abs().sum() > 0) for grad in grads]
    assert used == {'visible': [False, True], 'thermal': [True, False]}.get(name, [True, True])


def test_seafusion_sees_edges_of_both() -> None:
    torch.manual_seed(0)
    net = SeAFusionStyle(4)
    flat = torch.full((1, 1, 24, 24), 0.5)
    edge = flat.clone()
    edge[..., 12:] = 1.0
    assert (net(edge, flat) - net(flat, flat)).abs().max() > 1e-3
    assert (net(flat, edge) - net(flat, flat)).abs().max() > 1e-3
    assert 0 <= net(edge, edge).min() <= net(edge, edge).max() <= 1


def test_a_baseline_travels_in_its_configuration_and_is_not_exported() -> None:
    config = network('mean').config
    assert PAIFConfig.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match='only'):
        deploy(network('mean'))
    with pytest.raises(ValueError, match='average'):
        baseline('average', 8)
