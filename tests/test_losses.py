"""Losses and scores: against the official code's numbers, and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')

from models.losses import fusion_loss, saliency, segmentation_loss, ssim, thermal_weight
from models.metrics import confusion, scores
from models.paif import rgb_to_ycrcb, ycrcb_to_rgb

FIXTURE = Path(__file__).resolve().parents[2] / 'shared' / 'parity' / 'paif_losses_seed0.npz'


@pytest.fixture(scope='module')
def official() -> dict[str, np.ndarray]:
    if not FIXTURE.exists():
        pytest.skip('../shared/parity is not there')
    with np.load(FIXTURE) as archive:
        return {key: archive[key] for key in archive.files}


def test_losses_equal_the_official_ones(official: dict[str, np.ndarray]) -> None:
    fused, target = (torch.from_numpy(official[f'in/{key}']) for key in ('fused', 'mask'))
    assert abs(fusion_loss(fused, target).item() - official['out/Fusionloss_grad2']) < 1e-5
    assert abs(ssim(fused, target).item() - official['out/ssim_fused_mask']) < 1e-5
    logits = torch.from_numpy(official['in/logits'])
    label = torch.from_numpy(official['in/label255'])
    assert abs(segmentation_loss(logits, label).item() - official['out/ce_ignore255']) < 1e-5


def test_colours_equal_the_official_ones(official: dict[str, np.ndarray]) -> None:
    ycrcb = rgb_to_ycrcb(torch.from_numpy(official['in/vis']))
    assert np.abs(ycrcb.numpy() - official['mid/ycrcb']).max() < 1e-5
    recoloured = torch.cat((torch.from_numpy(official['in/fused']), ycrcb[:, 1:]), 1)
    assert np.abs(ycrcb_to_rgb(recoloured).numpy() - official['mid/rgb_back']).max() < 1e-5


def test_scores_equal_the_official_ones(official: dict[str, np.ndarray]) -> None:
    found = scores(official['in/conf'])
    for name in ('iou', 'precision', 'recall'):
        np.testing.assert_allclose(getattr(found, name), official[f'out/{name}'], atol=1e-12)


def test_scores_by_hand() -> None:
    label = np.array([[0, 0, 1, 1], [0, 2, 255, 1]], np.uint8)
    mask = np.array([[0, 1, 1, 1], [0, 0, 3, 1]], np.uint8)
    matrix = confusion(label, mask, 4)
    assert matrix.sum() == 7
    found = scores(matrix)
    assert found.iou[:3] == pytest.approx((2 / 4, 3 / 4, 0.0))
    assert np.isnan(found.iou[3])
    assert found.miou == pytest.approx((0.5 + 0.75) / 4)
    assert found.miou_foreground == pytest.approx(0.75 / 3)


def test_a_hot_person_is_salient_and_dominates_the_target() -> None:
    thermal = np.full((40, 40), 60, np.uint8)
    thermal[10:20, 10:15] = 240
    smoke = np.full((40, 40), 180, np.uint8)
    assert saliency(thermal)[15, 12] == 1.0
    assert saliency(thermal)[0, 0] < 0.1
    assert not saliency(smoke).any()
    weight = thermal_weight(thermal, smoke)
    assert weight[15, 12] == 1.0
    assert weight.dtype == np.float32
    assert 0.5 <= weight.min() < 0.6
    led = thermal_weight(thermal, smoke, 0.75)
    assert led[15, 12] == 1.0
    assert 0.75 <= led.min() < 0.8


def test_equal_pictures_cost_nothing() -> None:
    x = torch.rand(1, 1, 24, 24)
    assert fusion_loss(x, x).item() == pytest.approx(0, abs=1e-6)
    assert fusion_loss(x, 1 - x).item() > 0.5
