"""Gradient masking: an honest network passes, one that hides its gradients is found out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')

from torch import Tensor, nn

from models.data import LabelledPair
from models.masking import Bench, Check, FourChannels, checks, independent, main, ordered, transfer


class Bright(nn.Module):
    """Class 1 where a 4x4 patch is bright, by an honest slope."""

    def __init__(self, slope: float = 40.0) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        fused = (thermal + visible.mean(1, keepdim=True)) / 2
        odds = self.slope * (nn.functional.avg_pool2d(fused, 4) - 0.5)
        return fused, torch.cat((-odds, odds), 1)


class Masked(Bright):
    """The same decision behind a step that passes no gradient."""

    def forward(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        fused, logits = super().forward(thermal, visible)
        return fused, logits.sign().detach() + 0 * logits


@pytest.fixture(scope='module')
def pairs() -> list[LabelledPair]:
    """Two pairs whose bright square is 5 grey levels over the middle, the rest as far below."""
    random = np.random.default_rng(0)
    found = []
    for name in 'ab':
        label = np.zeros((32, 48), np.uint8)
        label[8:24, 16:32] = 1
        label[:4, :4] = 255
        level = 122 + 10 * (label == 1)[..., None] + random.integers(-3, 4, (32, 48, 4))
        level = level.astype(np.uint8)
        found.append(LabelledPair(name, level[..., :3].copy(), level[..., 3].copy(), label))
    return found


def by_name(bench: Bench, source: nn.Module | None) -> dict[str, Check]:
    found = checks(bench, source, steps=4, restarts=2, tolerance=0.02)
    return {check.name: check for check in found}


def test_an_honest_network_passes(pairs: list[LabelledPair]) -> None:
    pytest.importorskip('torchattacks', reason='pip install --no-deps torchattacks')
    bench = Bench(Bright(), pairs)
    found = by_name(bench, Bright(20.0))
    assert {check.passed for check in found.values()} == {True}
    assert set(found) == {
        'single_step', 'steps', 'noise', 'restarts', 'strength', 'transfer', 'independent'
    }  # fmt: skip
    assert bench.under('none')['none'] > 0.8
    assert found['strength'].foreground['textbook4@64/255'] < 0.01


def test_masked_gradients_are_found_out(pairs: list[LabelledPair]) -> None:
    found = by_name(Bench(Masked(), pairs), Bright())
    assert found['transfer'].passed is False
    assert found['strength'].passed is False
    white, black = found['transfer'].foreground['textbook4'], found['transfer'].foreground
    assert black['textbook4 on the source'] < white - 0.5


def test_torchattacks_agrees_with_our_pgd(pairs: list[LabelledPair]) -> None:
    pytest.importorskip('torchattacks', reason='pip install --no-deps torchattacks')
    network = Bright()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    bench = Bench(network, pairs)
    found = independent(bench, 4, 0.02)
    ours, theirs = found.foreground['textbook4'], found.foreground['torchattacks PGD']
    assert found.passed
    assert abs(ours - theirs) < 0.05
    assert ours < bench.under('none')['none'] - 0.5
    assert network.slope.grad is None
    assert network.slope.requires_grad
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_four_channels_are_thermal_then_rgb() -> None:
    x = torch.rand(2, 4, 8, 12)
    logits = FourChannels(Bright(), (8, 12))(x)
    small = Bright()(x[:, :1], x[:, 1:])[1]
    assert logits.shape == (2, 2, 8, 12)
    torch.testing.assert_close(logits, nn.functional.interpolate(small, (8, 12), mode='bilinear'))


def test_order() -> None:
    assert ordered('x', {'a': 0.5, 'b': 0.51, 'c': 0.2}, 0.02).passed
    assert not ordered('x', {'a': 0.5, 'b': 0.53, 'c': 0.2}, 0.02).passed
    assert not ordered('x', {'a': 0.5, 'b': 0.2}, 0.02, most=0.01).passed
    assert ordered('x', {'a': 0.5, 'b': 0.0}, 0.02, most=0.01).passed


def test_no_source_is_no_verdict(pairs: list[LabelledPair]) -> None:
    check = transfer(Bench(Bright(), pairs), None, 4, 0.02)
    assert check.passed is None
    assert '--source' in check.says


def test_the_command(
    pairs: list[LabelledPair], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from models.checkpoint import save_paif
    from models.paif import PAIF, load_config

    torch.manual_seed(0)
    config = replace(load_config('paif_small'), channels=2, embedding=8, fusion='mean')
    weights = tmp_path / 'w.safetensors'
    save_paif(weights, PAIF(config))
    for kind in ('vi', 'ir', 'label'):
        (tmp_path / kind).mkdir()
    for pair in pairs:
        for kind, picture in (('vi', pair.visible), ('ir', pair.thermal), ('label', pair.label)):
            cv2.imwrite(str(tmp_path / kind / f'{pair.name}.png'), picture)
    out = tmp_path / 'masking.json'
    arguments = ['--weights', str(weights), '--data', str(tmp_path), '--steps', '2']
    arguments += ['--restarts', '2', '--limit', '1', '--threads', '1', '--json', str(out)]
    code = main(arguments)
    report = json.loads(out.read_text('utf-8'))['checks']
    assert code == int(any(check['passed'] is False for check in report))
    printed = capsys.readouterr().out
    assert printed.startswith('foreground IoU in %, 1 pairs')
    assert all(check['name'] in printed for check in report)
    assert len(report) == 7
    assert main(['--weights', str(tmp_path / 'no'), '--data', str(tmp_path)]) == 2
    assert 'no weights at' in capsys.readouterr().err
