"""Attacks: the official one to the pixel, the papers' weights by hand, what no attack may do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')

from torch import Tensor, nn

from models import parity
from models.attacks import (
    EPS,
    LOSSES,
    MODALITIES,
    Attack,
    Situation,
    cospgd,
    cospgd_weights,
    parse_attack,
    perturb,
    segpgd,
    segpgd_weights,
)

PARITY = Path(__file__).parent / 'data' / 'parity'
SIZE = (16, 24)


class Tiny(nn.Module):
    """Mean fusion and one convolution with everything an attack must leave alone."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout2d(0.5)
        self.head = nn.Conv2d(3, 2, 4, 4)

    def forward(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        fused = (thermal + visible.mean(1, keepdim=True)) / 2
        return fused, self.head(self.drop(self.norm(fused + visible)))


def pictures(count: int = 2, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs whose second class is brighter, with noise that leaves little between them."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.zeros(count, *SIZE, dtype=torch.int64)
    label[:, 4:12, 8:16] = 1
    base = 0.47 + 0.05 * label[:, None]
    noise = torch.rand(count, 4, *SIZE, generator=generator) * 0.2 - 0.1
    moved = (base + noise).clamp(0, 1)
    label[:, :2, :2] = 255
    return moved[:, :1], moved[:, 1:], label


@pytest.fixture(scope='module')
def trained() -> Tiny:
    torch.manual_seed(0)
    network = Tiny()
    optimiser = torch.optim.Adam(network.parameters(), 0.05)
    for step in range(60):
        thermal, visible, label = pictures(4, step + 10)
        logits = nn.functional.interpolate(network(thermal, visible)[1], SIZE, mode='bilinear')
        loss = nn.functional.cross_entropy(logits, label, ignore_index=255)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    optimiser.zero_grad()
    return network


def accuracy(network: nn.Module, thermal: Tensor, visible: Tensor, label: Tensor) -> float:
    network.eval()
    with torch.no_grad():
        logits = nn.functional.interpolate(network(thermal, visible)[1], SIZE, mode='bilinear')
    known = label != 255
    return float((logits.argmax(1) == label)[known].double().mean())


@pytest.mark.parametrize('name', ['paif_attackgrad', 'paif_pgd'])
def test_official_attack_to_the_pixel(name: str) -> None:
    rows = parity.compare_file(PARITY / f'{name}_seed0.npz')
    assert len(rows) >= 4
    assert not [str(row) for row in rows if not row.passed]


def test_the_fixture_tells_accumulated_from_fresh_gradients() -> None:
    with np.load(PARITY / 'paif_pgd_seed0.npz') as archive:
        fixture = {key: archive[key] for key in archive.files}
    thermal, visible = parity.inputs(fixture)
    start = torch.from_numpy(fixture['init/ir']), torch.from_numpy(fixture['init/vis'])
    label = torch.from_numpy(fixture['in/label'])
    network = parity.attacked_network(0)
    attack = replace(parse_attack('pgd5'), accumulate=False)
    found, _ = perturb(network, thermal, visible, label, attack, start=start)
    same = (found - thermal - torch.from_numpy(fixture['iters5/delta_ir'])).abs() < 1e-6
    assert same.double().mean() < 0.9


@pytest.mark.parametrize('text', ['pgd5', 'textbook5', 'segpgd5', 'cospgd5', 'fgsm', 'pgd5x2'])
def test_attacks_hurt_more_than_noise(trained: Tiny, text: str) -> None:
    thermal, visible, label = pictures(4)
    scores = {}
    for name in ('none', 'noise', text):
        generator = torch.Generator().manual_seed(1)
        moved = perturb(trained, thermal, visible, label, parse_attack(name), generator)
        scores[name] = accuracy(trained, *moved, label)
    assert scores['none'] > 0.9
    assert scores[text] < scores['noise'] - 0.2


@pytest.mark.parametrize('modality', MODALITIES)
@pytest.mark.parametrize(
    'text', ['noise', 'fgsm', 'pgd3', 'textbook3', 'segpgd3', 'cospgd3', 'pgd2-l_ssim', 'pgd2x2']
)
def test_in_the_ball_and_in_range(trained: Tiny, text: str, modality: str) -> None:
    thermal, visible, label = pictures()
    thermal[:, :, :4] = 0
    visible[:, :, :4] = 1
    attack = replace(parse_attack(text), modality=modality, eps=0.03)
    moved = perturb(trained, thermal, visible, label, attack, torch.Generator().manual_seed(0))
    for name, clean, found in zip(MODALITIES[1:], (thermal, visible), moved, strict=True):
        far = (found - clean).abs()
        assert float(far.max()) <= 0.03 + 1e-6
        assert bool(far.any()) == (modality in ('both', name))
        assert 0 <= float(found.min()) <= float(found.max()) <= 1
        assert not found.requires_grad


def test_the_network_is_left_as_it_was(trained: Tiny) -> None:
    network = trained
    network.train()
    network.norm.eval()  # a mode of its own
    before = {key: value.clone() for key, value in network.state_dict().items()}
    thermal, visible, label = pictures()
    inputs = thermal.clone().requires_grad_(), visible.clone().requires_grad_()
    for text in ('pgd2x2', 'segpgd2', 'pgd2-l_1'):
        perturb(network, *inputs, label, parse_attack(text))
    assert network.training
    assert network.drop.training
    assert not network.norm.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert [x.grad for x in inputs] == [None, None]
    with torch.no_grad():  # whoever attacks during evaluation does so under no_grad
        moved, _ = perturb(network, thermal, visible, label, parse_attack('textbook1'))
    assert not torch.equal(moved, thermal)


def test_the_same_generator_gives_the_same_pictures(trained: Tiny) -> None:
    thermal, visible, label = pictures()
    attack = parse_attack('pgd2')
    found = [
        perturb(trained, thermal, visible, label, attack, torch.Generator().manual_seed(seed))[0]
        for seed in (3, 3, 4)
    ]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_each_picture_keeps_its_worst_restart(trained: Tiny) -> None:
    thermal, visible, label = pictures(3)

    def damage(moved: tuple[Tensor, Tensor]) -> Tensor:
        trained.eval()
        with torch.no_grad():
            logits = nn.functional.interpolate(trained(*moved)[1], SIZE, mode='bilinear')
        return LOSSES['ce'](Situation(logits, label, logits, logits, 1.0))

    one = Attack('random', steps=0, restarts=1)
    generator = torch.Generator().manual_seed(5)
    alone = torch.stack(
        [damage(perturb(trained, thermal, visible, label, one, generator)) for _ in range(6)]
    )
    assert len(set(alone.argmax(0).tolist())) > 1  # or one choice for all would pass too
    six = replace(one, restarts=6)
    generator = torch.Generator().manual_seed(5)
    together = damage(perturb(trained, thermal, visible, label, six, generator))
    torch.testing.assert_close(together, alone.amax(0))


def test_a_batch_is_attacked_picture_by_picture(trained: Tiny) -> None:
    thermal, visible, label = pictures(2)
    attack = replace(parse_attack('textbook3'), start='clean')
    together = perturb(trained, thermal, visible, label, attack)
    for i in range(2):
        part = slice(i, i + 1)
        alone = perturb(trained, thermal[part], visible[part], label[part], attack)
        torch.testing.assert_close(together[0][part], alone[0])
        torch.testing.assert_close(together[1][part], alone[1])


def by_hand(progress: float) -> Situation:
    """2x2 pixels, 2 classes: right, wrong, right by little, unknown."""
    odds = torch.tensor([[2.0, -2.0], [0.5, 9.0]])  # logit of class 1 over that of class 0
    logits = torch.stack((torch.zeros(2, 2), odds))[None]
    label = torch.tensor([[[1, 1], [1, 255]]])
    return Situation(logits, label, logits, logits, progress)


def test_segpgd_weights_by_hand() -> None:
    # Step t of T has lambda = (t - 1) / 2T; progress is (t - 1) / T.
    for t, total in ((1, 4), (3, 4)):
        lam = (t - 1) / (2 * total)
        weights = segpgd_weights(by_hand((t - 1) / total))
        expected = torch.tensor([[1 - lam, lam], [1 - lam, lam]])
        torch.testing.assert_close(weights[0], expected)
        ce = torch.log1p(torch.exp(-torch.tensor([2.0, -2.0, 0.5])))
        loss = ((1 - lam) * (ce[0] + ce[2]) + lam * ce[1]) / 3
        torch.testing.assert_close(segpgd(by_hand((t - 1) / total))[0], loss)


def test_cospgd_weights_by_hand() -> None:
    p = torch.sigmoid(torch.tensor([2.0, -2.0, 0.5]))
    cosine = p / torch.sqrt(p**2 + (1 - p) ** 2)
    found = cospgd_weights(by_hand(0.0))[0].flatten()
    torch.testing.assert_close(found[:3], cosine)
    onehot = torch.tensor([[0.0, 1.0]] * 3)
    torch.testing.assert_close(
        cosine, nn.functional.cosine_similarity(torch.stack((1 - p, p), 1), onehot)
    )
    torch.testing.assert_close(cospgd(by_hand(0.0))[0], (cosine * -p.log()).sum() / 3)


def test_fusion_losses_move_the_fused_picture_without_labels(trained: Tiny) -> None:
    thermal, visible, label = pictures()
    unknown = torch.full_like(label, 255)
    clean = trained.eval()(thermal, visible)[0]
    for loss in ('l_1', 'l_2', 'l_ssim'):
        far = []
        for steps in (0, 5):
            attack = parse_attack(f'textbook{steps}-{loss}')
            generator = torch.Generator().manual_seed(0)
            moved = perturb(trained, thermal, visible, unknown, attack, generator)
            situation = Situation(clean, unknown, trained(*moved)[0], clean, 1.0)
            far.append(float(LOSSES[loss](situation).mean()))
        assert far[1] > 1.5 * far[0] > 0


def test_names() -> None:
    assert parse_attack('pgd5') == Attack('pgd5', accumulate=True)
    assert parse_attack('textbook20') == Attack('textbook20', steps=20)
    assert parse_attack('none').steps == 0
    assert parse_attack('none').start == 'clean'
    assert parse_attack('noise').start == 'sign'
    assert parse_attack('segpgd3').loss == 'segpgd'
    fgsm = parse_attack('fgsm@4/255')
    assert (fgsm.steps, fgsm.start) == (1, 'clean')
    assert fgsm.step == fgsm.eps == pytest.approx(4 / 255)
    full = parse_attack('cospgd10@0.1@1/50:thermalx3')
    assert (full.eps, full.step, full.steps, full.restarts) == (0.1, 0.02, 10, 3)
    assert (full.loss, full.modality) == ('cospgd', 'thermal')
    assert parse_attack('pgd5-l_2@4/255').loss == 'l_2'
    assert parse_attack('pgd5@4/255').step == pytest.approx(1 / 255)
    assert parse_attack('pgd5').eps == EPS


@pytest.mark.parametrize(
    ('text', 'says'),
    [
        ('pdg5', 'segpgd'),
        ('pgd', 'number of steps'),
        ('fgsm5', 'fgsm'),
        ('', 'none'),
        ('pgd5@8', '8/255'),
        ('pgd5@1/0', '8/255'),
        ('pgd5:infrared', 'thermal'),
        ('pgd5x0', 'at least'),
        ('pgd5-l_3', 'l_ssim'),
    ],
)
def test_wrong_names_say_what_is_known(text: str, says: str) -> None:
    with pytest.raises(ValueError, match='attack') as caught:
        parse_attack(text)
    assert says in str(caught.value)
