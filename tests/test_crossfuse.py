"""CrossFuse against the official code, its checkpoints, losses, patches and training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')

from torch import nn

from models import evaluate, parity
from models.checkpoint import CheckpointError, save_paif
from models.crossfuse import checkpoint, train, train_segmenter
from models.crossfuse.checkpoint import PARTS, load_crossfuse, save_crossfuse
from models.crossfuse.losses import correlation, fusion, reconstruction, ssim_loss
from models.crossfuse.network import CrossFuse, CrossFuseConfig, Features, load_config
from models.crossfuse.patches import Patches, patches_of
from models.crossfuse.trainer import Schedule, Trainer
from models.crossfuse.upsampling import guided_upsampling
from models.datasets.pair import LabelledPair
from models.paif import PAIF
from models.paif import load_config as load_paif_config

SHARED = Path(__file__).resolve().parents[2] / 'shared' / 'parity' / 'crossfuse_seed0.npz'
OFFICIAL_SIZE = {
    'encoder': 599_144,
    'decoder': 207_936,
    'base_fuse': 363_016,
    'detail_fuse': 18_176,
}


def tiny(**changes: object) -> CrossFuseConfig:
    values = {'channels': 4, 'heads': 2, 'blocks': 1, 'decoder_blocks': 1, 'scale': 1}
    values |= {'backbone': 'mit_nano', 'embedding': 8}
    return replace(load_config('small'), **(values | changes))


def pictures(size: tuple[int, int] = (32, 48)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    thermal = torch.rand(1, 1, *size, generator=generator)
    return thermal, torch.rand(1, 3, *size, generator=generator)


@pytest.mark.skipif(not SHARED.is_file(), reason='../shared/parity is not there')
def test_the_network_and_its_losses_are_the_official_ones() -> None:
    rows = parity.compare_file(SHARED)
    names = {row.name for row in rows}
    assert names >= {'out/fused_sigmoid_f64', 'out/recon_vis', 'mid/dec_reduce__ch64'}
    assert names >= {'out/cc_detail', 'out/loss_total', 'mean/fuse_base'}
    assert len(rows) == 28
    assert not [str(row) for row in rows if not row.passed]


def test_official_size() -> None:
    network = CrossFuse(load_config('official'))
    found = {
        name: sum(p.numel() for p in getattr(network, name).parameters()) for name in OFFICIAL_SIZE
    }
    assert found == OFFICIAL_SIZE


def test_configuration_travels_and_names_what_is_wrong() -> None:
    config = tiny(scale=2)
    assert CrossFuseConfig.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match="network 'paif'"):
        CrossFuseConfig.from_json('{"network": "paif"}')
    with pytest.raises(ValueError, match="lacks 'channels'"):
        CrossFuseConfig.from_json('{"network": "crossfuse", "variant": "x"}')
    with pytest.raises(ValueError, match="'channels': 6"):
        tiny(channels=6, heads=4)
    with pytest.raises(FileNotFoundError, match='official'):
        load_config('nothing')


def official_file(network: CrossFuse, path: Path) -> dict[str, dict[str, torch.Tensor]]:
    """Write an official checkpoint, as DataParallel names its keys."""
    state = {
        name: {f'module.{k}': v for k, v in getattr(network, ours).state_dict().items()}
        for name, ours in PARTS.items()
    }
    torch.save(state, path)
    return state


def test_checkpoints_of_both_kinds(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = CrossFuse(tiny()).eval()
    save_crossfuse(tmp_path / 'ours.safetensors', network)
    again = load_crossfuse(tmp_path / 'ours.safetensors')
    assert again.config == network.config
    assert not again.training
    state = official_file(network, tmp_path / 'official.pth')
    loaded = load_crossfuse(tmp_path / 'official.pth', network.config, fusion_only=True)
    for key, value in network.state_dict().items():
        if not key.startswith('denoise_net.'):
            assert torch.equal(loaded.state_dict()[key], value), key
    with pytest.raises(ValueError, match='no segmenter'):
        load_crossfuse(tmp_path / 'official.pth', network.config)
    with pytest.raises(ValueError, match='--config'):
        load_crossfuse(tmp_path / 'official.pth')
    del state['DIDF_Encoder']['module.patch_embed.proj.weight']
    torch.save(state, tmp_path / 'short.pth')
    with pytest.raises(CheckpointError) as caught:
        load_crossfuse(tmp_path / 'short.pth', network.config, fusion_only=True)
    assert caught.value.report.missing == ('encoder.patch_embed.proj.weight',)
    del state['BaseFuseLayer']
    torch.save(state, tmp_path / 'part.pth')
    with pytest.raises(ValueError, match="'BaseFuseLayer'"):
        load_crossfuse(tmp_path / 'part.pth', network.config, fusion_only=True)


def test_a_segmenter_of_paif_is_put_behind_official_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    network = CrossFuse(tiny()).eval()
    official_file(network, tmp_path / 'official.pth')
    (tmp_path / 'tiny.json').write_text(network.config.to_json())
    lender = PAIF(replace(load_paif_config('paif_nano'), colour=False, pool=2))
    save_paif(tmp_path / 'paif.safetensors', lender)
    out = tmp_path / 'whole.safetensors'
    given = [str(tmp_path / 'official.pth'), '--config', str(tmp_path / 'tiny.json')]
    given += ['--segmenter', str(tmp_path / 'paif.safetensors'), '--out', str(out)]
    assert checkpoint.main([*given, '--scale', '2']) == 0
    whole = load_crossfuse(out)
    assert (whole.config.colour, whole.config.pool, whole.config.scale) == (False, 2, 2)
    logits = whole(*pictures((64, 96)))[1]
    assert logits.shape == (1, 4, 8, 12)
    lent = lender.denoise_net.decoder.linear_pred.weight.half().float()  # as files keep it
    assert torch.equal(whole.denoise_net.decoder.linear_pred.weight, lent)
    assert checkpoint.main([*given[:-2], '--out', str(out), '--config', 'nothing']) == 2
    assert 'configuration of CrossFuse' in capsys.readouterr().err


@torch.no_grad()
def test_fused_picture_spans_all_levels_in_the_visible_colours() -> None:
    torch.manual_seed(0)
    network = CrossFuse(tiny()).eval()
    thermal, visible = pictures()
    fused, rgb = network.fuse(thermal, visible)
    assert (float(fused.min()), float(fused.max())) == (0, 1)
    assert rgb.shape == (1, 3, 32, 48)
    nn.init.zeros_(network.decoder.output[2].weight)  # no change: the luma, between 0.50 and 0.73
    same = network.fuse_luma(thermal, visible[:, :1])
    torch.testing.assert_close(same, torch.sigmoid(visible[:, :1]))


@torch.no_grad()
def test_guided_upsampling_follows_both_pictures() -> None:
    """A map that is linear in both comes back at full size, edges and all."""
    thermal, visible = pictures((48, 64))
    luma = visible[:, :1]
    large = 0.7 * thermal - 0.4 * luma + 0.2
    small = [nn.functional.avg_pool2d(x, 2) for x in (large, thermal, luma)]
    found = guided_upsampling(small[0], (small[1], small[2]), (thermal, luma))
    enlarged = nn.functional.interpolate(small[0], (48, 64), mode='bilinear')
    assert (found - large).abs().mean() < 0.1 * (enlarged - large).abs().mean()
    flat = torch.full_like(small[1], 0.5)
    whole = torch.full_like(thermal, 0.5)
    torch.testing.assert_close(
        guided_upsampling(flat, (flat, flat), (whole, whole)), whole, atol=1e-5, rtol=0
    )


def test_losses_by_hand() -> None:
    """What the fixture does not hold: of phase 1 the pictures and the gradient."""
    ramp = torch.linspace(0, 1, 16).expand(1, 1, 16, 16).contiguous()
    assert float(ssim_loss(ramp, ramp)) == pytest.approx(0, abs=1e-6)
    assert 0.4 < float(ssim_loss(ramp, 1 - ramp)) <= 1
    features = Features(torch.rand(1, 2, 4, 4), torch.rand(1, 2, 4, 4), ramp)
    assert float(correlation(features.base, 3 * features.base + 1)) == pytest.approx(1, abs=1e-5)
    assert float(correlation(features.base, -features.base)) == pytest.approx(-1, abs=1e-5)
    found = reconstruction((ramp, ramp, features), (ramp, ramp, features))
    assert float(found.pictures) == pytest.approx(0, abs=1e-5)
    assert float(found.decomposition) == pytest.approx(1 / 2.01, abs=1e-4)
    moved = reconstruction((ramp, ramp, features), (ramp, ramp + 0.5 * ramp, features))
    # A ramp of 1 in 15 pixels: the normalised Sobel sees its slope, zero along the other axis.
    slope = (14 * 1 / 15 + 2 * 0.5 / 15) / 16
    assert float(moved.gradient) == pytest.approx(0.5 * slope / 2, abs=1e-4)
    total = moved.pictures + 2 * moved.decomposition + 5 * moved.gradient
    assert float(moved.total) == pytest.approx(float(total))
    assert float(fusion(ramp, ramp, 0 * ramp).total) == pytest.approx(0, abs=1e-5)


def test_schedule() -> None:
    schedule = Schedule()
    rates = [schedule.learning_rate('encoder', epoch) for epoch in (0, 19, 20, 159)]
    assert rates == [1e-4, 1e-4, 5e-5, 1e-6]
    assert schedule.learning_rate('base_fuse', 40) == 1e-4
    assert schedule.learning_rate('base_fuse', 60) == 5e-5
    official = replace(schedule, official=True)
    # Falls to epoch 120 and rises again.
    betas = [official.beta(epoch) for epoch in (40, 120, 159)]
    assert betas == pytest.approx([0.075, 0, 0.024], abs=1e-3)
    assert official.views.kernel == (9, 21)
    falling = [schedule.beta(epoch) for epoch in range(40, 160)]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] == 0.1
    with pytest.raises(ValueError, match='batch 0'):
        Schedule(batch=0)
    with pytest.raises(ValueError, match='200 epochs of phase 1'):
        Schedule(first=200)


def pair(size: tuple[int, int], seed: int = 0) -> LabelledPair:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, size, np.uint8)
    visible = rng.integers(0, 256, (*size, 3), np.uint8)
    return LabelledPair('drawn', visible, rng.integers(0, 256, size, np.uint8), label)


def test_patches() -> None:
    patches = patches_of([pair((70, 140)), pair((64, 64))], 64, 70)
    assert len(patches) == 2 + 1
    thermal, luma = patches.batch(np.array([2, 0]), torch.device('cpu'))
    assert thermal.shape == luma.shape == (2, 1, 64, 64)
    np.testing.assert_array_equal(patches.thermal[1], pair((70, 140)).thermal[:64, 70:134])
    # A network at half resolution learns on what it will compute on.
    half = patches_of([pair((70, 140))], 32, 32, scale=2)
    assert half.thermal.shape == (2, 32, 32)
    means = pair((70, 140)).thermal[:64, :64].reshape(32, 2, 32, 2).mean((1, 3))
    assert np.abs(half.thermal[0] - means).max() <= 0.5
    with pytest.raises(ValueError, match='64 pixels high'):
        patches_of([pair((32, 200))])


def test_training_learns_and_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    patches = patches_of([pair((24, 96))], 24, 24)
    schedule = Schedule(epochs=2, first=1, batch=2, rate=3e-3, clip=1.0)

    def trainer(folder: str, schedule: Schedule = schedule, of: Patches = patches) -> Trainer:
        torch.manual_seed(0)
        (tmp_path / folder).mkdir(exist_ok=True)
        network = CrossFuse(tiny()).train()
        out = tmp_path / folder
        return Trainer(network, schedule, of, out=out, device=torch.device('cpu'))

    whole = trainer('whole')
    fresh = {k: v.clone() for k, v in whole.network.state_dict().items()}
    found = [whole.step(epoch, step) for epoch, step in ((0, 0), (0, 1))]
    state = whole.network.state_dict()
    assert torch.equal(state['base_fuse.norm1.body.weight'], fresh['base_fuse.norm1.body.weight'])
    assert not torch.equal(state['decoder.output.2.weight'], fresh['decoder.output.2.weight'])
    found.append(whole.step(1, 0))
    whole._save(3)
    (tmp_path / 'whole').rename(tmp_path / 'stopped')
    found.append(whole.step(1, 1))
    assert found[1][0] < found[0][0]
    assert found[0][4] == 0 < found[2][4]  # the self-supervised loss is phase 2's
    segmenter = [k for k in fresh if k.startswith('denoise_net.')]
    assert all(torch.equal(fresh[k], whole.network.state_dict()[k]) for k in segmenter)
    resumed = trainer('stopped')
    resumed.run()
    for key, value in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[key], value), key
    rows = (tmp_path / 'stopped' / 'log.csv').read_text().splitlines()
    assert [row.split(',')[:4] for row in rows] == [
        ['epoch', 'step', 'phase', 'loss'],
        ['1', '2', '2', rows[1].split(',')[3]],
    ]
    assert float(rows[1].split(',')[3]) == pytest.approx(found[-1][0], abs=1e-5)
    with pytest.raises(ValueError, match='another schedule'):
        trainer('stopped', replace(schedule, official=True)).run()


def test_gradients_are_clipped_in_each_part() -> None:
    patches = patches_of([pair((24, 24))], 24, 24)
    network = CrossFuse(tiny()).train()
    schedule = Schedule(epochs=1, first=0, batch=1, official=True)
    Trainer(network, schedule, patches, out=Path(), device=torch.device('cpu')).step(0, 0)
    for name in OFFICIAL_SIZE:
        norms = [p.grad.norm() for p in getattr(network, name).parameters()]
        assert torch.stack(norms).norm() <= 0.01 * 1.001, name


def test_train_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fusion on pairs in a folder, then the segmenter behind it by PAIF's tools."""
    import cv2

    for kind, picture in (('vi', 'visible'), ('ir', 'thermal'), ('label', 'label')):
        (tmp_path / 'train' / kind).mkdir(parents=True)
        drawn = getattr(pair((32, 32)), picture)
        cv2.imwrite(str(tmp_path / 'train' / kind / 'a.png'), drawn)
    (tmp_path / 'tiny.json').write_text(tiny().to_json())
    out = tmp_path / 'run'
    one = ['--threads', '1', '--out', str(out)]  # torch keeps the number
    given = ['--config', str(tmp_path / 'tiny.json'), *one]
    assert train.main(given) == 2
    assert '--scenes' in capsys.readouterr().err
    data = ['--data', str(tmp_path / 'train'), '--patch', '24', '--stride', '8', '--epochs', '1']
    assert train.main([*given, *data, '--first-epochs', '0', '--self-supervised', '0']) == 0
    assert '4 patches of 24x24 from 1 pairs' in capsys.readouterr().out
    fused = load_crossfuse(out / 'weights.safetensors')
    recipe = tmp_path / 'segmenter.json'
    stage = '{"kind": "segment", "steps": 2, "batch": 1, "size": [32, 32], "rate": 0.01,'
    stage += ' "warmup": 1, "fused": true}'
    recipe.write_text(
        f'{{"stages": [{stage}], "shares": [["pairs", 1]], "unlabelled": [], "average": 0}}'
    )
    masked = tmp_path / 'mask'
    command = [str(out / 'weights.safetensors'), '--data', str(tmp_path), '--workers', '0']
    command += ['--threads', '1', '--out', str(masked)]
    assert train_segmenter.main([*command, '--recipe', 'standard']) == 2
    assert "here 'segment' alone" in capsys.readouterr().err
    assert train_segmenter.main([*command, '--recipe', str(recipe)]) == 0
    trained = load_crossfuse(masked / 'weights.safetensors')
    scored = ['--network', 'crossfuse', '--weights', str(masked / 'weights.safetensors')]
    scored += ['--data', str(tmp_path / 'train'), '--inputs', 'fused,visible,thermal']
    assert evaluate.main([*scored, '--json', str(tmp_path / 'scores.json'), '--threads', '1']) == 0
    found = json.loads((tmp_path / 'scores.json').read_text())['inputs']
    assert set(found) == {'fused', 'visible', 'thermal'}
    for part, same in (('encoder', True), ('denoise_net', False)):
        before, after = (getattr(net, part).state_dict() for net in (fused, trained))
        assert all(torch.equal(before[k], after[k]) for k in before) == same
