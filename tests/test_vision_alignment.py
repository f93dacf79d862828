"""Top-k vision alignment, weak-aggressive augmentation, and what PAIF's training makes of both."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage

from models.weak_aggressive import (
    OFFICIAL,
    WeakAggressive,
    decaying_beta,
    gaussian_blur,
    official_beta,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def detail(picture: torch.Tensor) -> float:
    """Return the mean square of what a small blur takes away."""
    return float((picture - gaussian_blur(picture, (9, 9), 1.5)).square().mean())


@pytest.mark.parametrize('kernel', [(9, 21), (21, 9), (1, 5)])
def test_the_blur_is_a_cut_off_gaussian_that_many_pixels_wide_and_high(
    kernel: tuple[int, int],
) -> None:
    picture = np.random.default_rng(0).random((30, 40))
    found = gaussian_blur(torch.from_numpy(picture)[None, None], kernel, 2.5)[0, 0]
    expected = picture
    for axis, side in ((1, kernel[0]), (0, kernel[1])):
        expected = ndimage.gaussian_filter1d(expected, 2.5, axis, mode='mirror', radius=side // 2)
    assert np.abs(found.numpy() - expected).max() < 1e-12


def test_both_views_are_one_crop_for_the_whole_batch() -> None:
    rows, cols = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing='ij')
    batch = torch.stack((100 * rows + cols,) * 3)[:, None]
    corners = set()
    generator = seeded()
    for _ in range(300):
        weak, aggressive = WeakAggressive().views(batch, generator)
        assert weak.shape == aggressive.shape == (3, 1, 32, 32)
        assert (weak == weak[:1]).all()
        corners.add(divmod(int(weak[0, 0, 0, 0]), 100))
    tops, lefts = ({corner[axis] for corner in corners} for axis in (0, 1))
    assert (min(tops), max(tops), min(lefts), max(lefts)) == (0, 48 - 32, 0, 64 - 32)
    small, _ = WeakAggressive(kernel=(3, 3)).views(batch[..., :20, :], generator)
    assert small.shape == (3, 1, 20, 32)


def test_the_official_loss_smooths_and_ours_sharpens() -> None:
    """What the missing stop-gradient means: one step down each loss from the same picture."""
    noise = torch.rand(2, 1, 32, 32, generator=seeded())
    picture = gaussian_blur(noise, (5, 5), 1.0).requires_grad_()
    changes = {}
    for name, views in {'official': OFFICIAL, 'ours': WeakAggressive()}.items():
        loss = views.loss(picture, seeded(1))
        (grad,) = torch.autograd.grad(loss, picture)
        moved = (picture - 0.3 * grad / grad.abs().max()).detach()
        changes[name] = detail(moved) / detail(picture.detach())
        assert loss > 0
    assert changes['official'] < 0.95
    assert changes['ours'] > 1.05
    flat = torch.full((1, 1, 40, 40), 0.4)
    assert float(OFFICIAL.loss(flat, seeded())) < 1e-12


def test_betas_of_both_kinds() -> None:
    found = [official_beta(epoch) for epoch in (0, 40, 120, 159)]
    assert found == pytest.approx([0.1, 0.075, 0.0, 0.0239], abs=1e-4)
    ours = [decaying_beta(step, 120) for step in range(120)]
    assert ours[0] == 0.1
    assert all(first > second for first, second in itertools.pairwise(ours))
    assert ours[-1] < 1e-4
    with pytest.raises(ValueError, match='step 120 of a phase of 120'):
        decaying_beta(120, 120)


@pytest.mark.parametrize(
    ('wrong', 'words'),
    [({'size': 0}, 'crop'), ({'kernel': (8, 9)}, 'odd'), ({'sigma': (2.0, 1.0)}, 'sigma')],
)
def test_views_refuse_what_makes_none(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        WeakAggressive(**wrong)  # type: ignore[arg-type]


def test_a_crop_too_small_for_the_kernel_is_named() -> None:
    with pytest.raises(ValueError, match='12x10 under a kernel of 21x21'):
        WeakAggressive().loss(torch.rand(1, 1, 10, 12), seeded())
