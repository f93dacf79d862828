"""Weak-aggressive augmentation, its loss, and what recipes make of it and of aligned patches."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')
ndimage = pytest.importorskip('scipy.ndimage', reason='scipy is a development dependency')

from models.attacks import parse_attack
from models.data import to_tensors
from models.datasets.pair import LabelledPair
from models.losses import FUSION_WEIGHT
from models.objective import Objective
from models.paif import PAIF, load_config
from models.recipe import Recipe, Stage
from models.sources import read_sources
from models.trainer import Trainer
from models.vision_alignment import Card
from models.vision_alignment.storage import writer_for
from models.weak_aggressive import (
    OFFICIAL,
    OURS,
    WeakAggressive,
    decaying_beta,
    gaussian_blur,
    official_beta,
)
from models.workers import Workers


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


def tiny() -> PAIF:
    torch.manual_seed(0)
    config = replace(load_config('paif_small'), channels=2, backbone='mit_nano', embedding=8)
    return PAIF(config)


@pytest.fixture(scope='module')
def patches() -> list[LabelledPair]:
    """Three pairs of 64x64."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, 5, 64, 64), np.uint8)
    return [
        LabelledPair(
            f'aligned_{n}', np.ascontiguousarray(p[:3].transpose(1, 2, 0)), p[3], p[4] % 4
        )
        for n, p in enumerate(pictures)
    ]


@pytest.mark.parametrize('kind', ['fuse', 'joint'])
@pytest.mark.parametrize('adversarial', [0.0, 1.0])
def test_it_stands_beside_the_fusion_loss(
    patches: list[LabelledPair], kind: str, adversarial: float
) -> None:
    network, batch = tiny().eval(), to_tensors(patches[:2])
    plain = Objective(kind, adversarial, parse_attack('none'), (1.0,) * 4)
    helped = replace(plain, self_supervised=3000.0)
    with torch.no_grad():
        without, with_it = (objective(network, batch, seeded()) for objective in (plain, helped))
        fused, _ = network.fuse(batch.thermal, batch.visible)
        draws = seeded()
        halves = (fused[:1], fused[1:]) if adversarial else (fused,)
        expected = 3000.0 * sum(OURS.loss(half, draws) for half in halves) / len(halves)
    scale = FUSION_WEIGHT if kind == 'joint' else 1.0
    assert float(with_it - without) == pytest.approx(float(scale * expected), rel=1e-3)


def test_a_recipe_weighs_it_less_and_less_and_reads_aligned_patches(
    patches: list[LabelledPair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = writer_for(tmp_path / 'mine')
    for number, pair in enumerate(patches):
        writer.add(number, pair)
    numbers = dict.fromkeys(
        ('target_patches', 'external_patches', 'external_score', 'distance_before',
         'distance_after', 'score_before', 'score_after', 'restarts', 'written'), 1,
    )  # fmt: skip
    writer.close(Card({}, target_means=(), gammas=(), converged=True, **numbers))
    stage = Stage('fuse', 3, 2, (64, 64), 1e-3, 1, self_supervised=0.2)
    share = (('aligned', 1.0),)
    recipe = Recipe((stage,), share, share, average=0.0, aligned='mine')
    sources = read_sources(recipe, tmp_path, 4)
    assert [len(pairs) for pairs in sources.values()] == [3]
    with pytest.raises(ValueError, match='holds no aligned patches'):
        read_sources(replace(recipe, aligned='other'), tmp_path, 4)
    seen = []
    call = Objective.__call__

    def watched(self: Objective, *rest: object) -> torch.Tensor:
        seen.append(self.self_supervised)
        return call(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Objective, '__call__', watched)
    Trainer(tiny(), recipe, sources, tmp_path, Workers(0, 1, torch.device('cpu'))).run(0)
    assert seen == pytest.approx([0.2, 0.15, 0.05])


def test_recipes_and_checkpoints_from_before_are_still_the_same() -> None:
    stage = Stage('fuse', 4, 2, (64, 64), 1e-3, 1)
    recipe = Recipe((stage,), (('pairs', 1.0),), (('pairs', 1.0),))
    data = json.loads(recipe.to_json())
    assert 'aligned' not in data
    assert 'self_supervised' not in data['stages'][0]
    assert Recipe.from_json(json.dumps(data)) == recipe
    helped = replace(recipe, stages=(replace(stage, self_supervised=0.1),), aligned='x.h5')
    assert Recipe.from_json(helped.to_json()) == helped


@pytest.mark.parametrize(
    ('kind', 'weight', 'words'), [('segment', 0.1, 'only'), ('fuse', -0.1, 'not under 0')]
)
def test_stages_refuse_weights_that_mean_nothing(kind: str, weight: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Stage(kind, 4, 2, (64, 64), 1e-3, 1, self_supervised=weight)
