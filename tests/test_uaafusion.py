"""UAAFusion against the official code, its checkpoints, losses, patches and training."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')

from models import parity
from models.attribution.integrated import Weights
from models.checkpoint import CheckpointError
from models.data import LabelledPair
from models.uaafusion import train
from models.uaafusion.checkpoint import load_uaafusion, save_uaafusion
from models.uaafusion.losses import gradient, losses, score_loss, weight_tensor
from models.uaafusion.network import UAAFusion, UAAFusionConfig, load_config
from models.uaafusion.patches import Crops, cut, is_low_contrast, stack
from models.uaafusion.segmenter import SSNet, narrowed
from models.uaafusion.trainer import Schedule, Trainer, batch_losses

COPY = Path(__file__).parent / 'data' / 'parity' / 'uaafusion_seed0.npz'
SHARED = Path(__file__).resolve().parents[2] / 'shared' / 'parity' / 'uaafusion_seed0.npz'


def small(**changes: object) -> UAAFusionConfig:
    values = {'channels': 4, 'stages': 2, 'steps': 1, 'decoder': 8} | changes
    return replace(load_config('small'), **values)


def pictures(size: tuple[int, int] = (32, 48)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.rand(1, 1, *size, generator=generator),
        torch.rand(1, 3, *size, generator=generator) * 0.6 + 0.2,
    )


def test_the_first_stage_is_the_official_one() -> None:
    rows = parity.compare_file(COPY)
    assert {row.name for row in rows} >= {'onehot/f1', 'onehot/h1__mean', 'onehot/sm1__mean'}
    assert not [str(row) for row in rows if not row.passed]
    assert max(row.largest for row in rows) < 1e-5


@pytest.mark.skipif(not SHARED.is_file(), reason='../shared/parity is not there')
def test_the_whole_network_is_the_official_one(tmp_path: Path) -> None:
    """With given labels in float32; `python -m models.parity` compares all, in float64 too."""
    with np.load(SHARED) as archive:
        kept = {k: archive[k] for k in archive.files if k.split('/')[0] not in ('pred', 'mid')}
    path = tmp_path / SHARED.name
    np.savez(path, **{k: v for k, v in kept.items() if not k.endswith('_f64')})
    rows = parity.compare_file(path)
    names = {row.name for row in rows}
    assert names >= {'onehot/f', 'onehot/att4', 'onehot/c5__mean', 'onehot/map_v_classmax'}
    assert names >= {'onehot/w_i', 'onehot/loss_total', 'onehot/f3'}
    assert len(rows) == 40
    assert not [str(row) for row in rows if not row.passed]
    # Attention is compared with what makes it worth comparing.
    assert np.abs(kept['onehot/att4']).max() > 1e-3


def test_configuration_travels_and_names_what_is_wrong() -> None:
    config = small(data_step=True)
    assert UAAFusionConfig.from_json(config.to_json()) == config
    with pytest.raises(ValueError, match="network 'paif'"):
        UAAFusionConfig.from_json('{"network": "paif"}')
    with pytest.raises(ValueError, match="lacks 'variant'"):
        UAAFusionConfig.from_json('{"network": "uaafusion"}')
    with pytest.raises(ValueError, match='channels 3'):
        small(channels=3)
    with pytest.raises(FileNotFoundError, match='official'):
        load_config('nothing')


def test_a_narrow_segmenter_has_the_same_keys() -> None:
    """Channels of the usual MobileNetV2 of width 0.35; weights from before the option load."""
    assert [narrowed(c, 0.35) for c in (32, 16, 24, 32, 64, 96, 160, 320)] == [
        *(16, 8, 8, 16, 24, 32, 56, 112)
    ]
    assert [narrowed(c, 1.0) for c in (16, 24, 48, 320)] == [16, 24, 48, 320]
    full, narrow = SSNet(4, 8), SSNet(4, 8, 0.35)
    assert full.state_dict().keys() == narrow.state_dict().keys()
    assert sum(p.numel() for p in UAAFusion(load_config('small')).parameters()) < 400_000
    old = json.loads(small(multiplier=1.0).to_json())
    del old['multiplier']
    assert UAAFusionConfig.from_json(json.dumps(old)).multiplier == 1.0
    with pytest.raises(ValueError, match='segmenter channels'):
        small(multiplier=0.0)


def test_official_size() -> None:
    network = UAAFusion(load_config('official'))
    assert sum(p.numel() for p in network.fusion.parameters()) == 1_010_380
    assert sum(p.numel() for p in network.segmenter.parameters()) == 3_255_519


def test_checkpoints_of_both_kinds(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = UAAFusion(small()).eval()
    save_uaafusion(tmp_path / 'ours.safetensors', network)
    again = load_uaafusion(tmp_path / 'ours.safetensors')
    assert again.config == network.config
    assert not again.training
    official = {
        'model_f': network.fusion.state_dict(),
        # As DataParallel names them.
        'model_s': {f'module.{k}': v for k, v in network.segmenter.state_dict().items()},
    }
    torch.save(official, tmp_path / 'official.pth')
    loaded = load_uaafusion(tmp_path / 'official.pth', network.config)
    for key, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    with pytest.raises(ValueError, match='--config'):
        load_uaafusion(tmp_path / 'official.pth')
    del official['model_f']['alpha']
    torch.save(official, tmp_path / 'short.pth')
    with pytest.raises(CheckpointError) as caught:
        load_uaafusion(tmp_path / 'short.pth', network.config)
    assert caught.value.report.missing == ('fusion.alpha',)
    torch.save({'model_f': official['model_f']}, tmp_path / 'half.pth')
    with pytest.raises(ValueError, match='model_s'):
        load_uaafusion(tmp_path / 'half.pth', network.config)


@torch.no_grad()
def test_data_step_moves_towards_the_weighted_mean() -> None:
    torch.manual_seed(0)
    network = UAAFusion(small()).eval()
    thermal, visible = pictures()
    fused, logits = network(thermal, visible)
    assert fused.shape == (1, 1, 32, 48)
    assert logits.shape == (1, 4, 32, 48)
    stepping = network.with_data_step()
    stepping.fusion.alpha.zero_()
    assert torch.equal(stepping(thermal, visible)[0], fused)  # a step of no length
    stepping.fusion.alpha.fill_(0.5)
    assert (stepping(thermal, visible)[0] - fused).abs().max() > 1e-4
    luma = visible[:, :1]
    with pytest.raises(ValueError, match='weigh'):
        list(stepping.stages(thermal, luma, torch.zeros(1, 4, 32, 48)))


def test_data_step_is_trained_and_the_lost_one_is_not() -> None:
    torch.manual_seed(0)
    for data_step in (False, True):
        network = UAAFusion(small(data_step=data_step))
        thermal, luma = pictures()[0], pictures()[1][:, :1]
        mask, weights = network.weigh(thermal, luma, torch.ones(1, 32, 48, dtype=torch.int64))
        *_, last = network.stages(thermal, luma, mask, weights)
        last.fused.sum().backward()
        grad = network.fusion.alpha.grad
        assert (grad is not None and bool(grad.any())) == data_step
        # What leads the stages carries no gradient into the segmenter.
        assert all(p.grad is None for p in network.segmenter.parameters())


def test_losses_by_hand() -> None:
    ramp = torch.arange(8.0).expand(1, 1, 8, 8) / 8
    inner = gradient(ramp)[0, 0, 2:-2, 2:-2]
    torch.testing.assert_close(inner, torch.full_like(inner, 8 / 8))  # (1 + 2 + 1) * 2 steps
    half = torch.full_like(ramp, 0.5)
    scores = torch.zeros(1, 4, 8, 8)
    label = torch.ones(1, 8, 8, dtype=torch.int64)
    found = losses(
        ramp,
        ramp + 0.2,
        ramp - 0.4,
        weights=Weights(half, half, half, half),
        scores=(scores, scores, scores),
        label=label,
    )
    assert float(found.thermal) == pytest.approx(0.1**2)
    assert float(found.visible) == pytest.approx(0.2**2)
    assert float(found.segmentation) == pytest.approx(np.log(4))
    total = found.thermal + found.visible + found.gradient + 0.1 * found.segmentation
    assert float(found.total) == pytest.approx(float(total))
    assert float(score_loss(scores, torch.zeros_like(label))) == 0  # background alone
    assert float(score_loss(scores, torch.zeros_like(label), 255)) == pytest.approx(np.log(4))


def pair(size: tuple[int, int], top: int = 4, flat_left: bool = False) -> LabelledPair:
    rng = np.random.default_rng(0)
    thermal = rng.integers(0, 256, size, np.uint8)
    if flat_left:
        thermal[:, :64] = 200
    label = rng.integers(0, top, size, np.uint8)
    label[:8, :8] = 255
    return LabelledPair('drawn', rng.integers(0, 256, (*size, 3), np.uint8), thermal, label)


def test_patches_touch_and_show_something() -> None:
    patches = cut([pair((130, 200))], 64)
    assert len(patches) == 2 * 3
    assert all(p.thermal.shape == p.luma.shape == p.label.shape == (64, 64) for p in patches)
    assert len(cut([pair((130, 200), flat_left=True)], 64)) == 2 * 2
    empty = pair((64, 64), top=1)  # background, and some pixels that nobody labelled
    assert len(cut([empty], 64)) == 1
    assert cut([empty], 64, labelled=True) == []
    assert len(cut([pair((130, 200))], 64, labelled=True)) == 2 * 3
    assert is_low_contrast(np.zeros((8, 8), np.uint8))
    levels = np.full((10, 10), 200, np.uint8)
    levels[:2] = 181  # a tenth less, just too little
    assert is_low_contrast(levels)
    levels[:2] = 179
    assert not is_low_contrast(levels)


def test_learning_rate_is_halved() -> None:
    schedule = Schedule()
    assert [schedule.learning_rate(e) for e in (0, 9, 10, 39)] == [1e-4, 1e-4, 5e-5, 1.25e-5]
    with pytest.raises(ValueError, match='epochs 0'):
        Schedule(epochs=0)


def test_training_learns_and_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    patches = cut([pair((32, 96), top=2)], 32)
    schedule = Schedule(epochs=2, batch=2, rate=3e-3, ignored=255, on_logits=True)

    def trainer(folder: str, schedule: Schedule = schedule) -> Trainer:
        torch.manual_seed(0)
        (tmp_path / folder).mkdir(exist_ok=True)
        out, device = tmp_path / folder, torch.device('cpu')
        return Trainer(UAAFusion(small()).train(), schedule, patches, out=out, device=device)

    whole = trainer('whole')
    found = [whole._step(epoch, step)[0] for epoch, step in ((0, 0), (0, 1), (1, 0))]
    whole._save(3)
    (tmp_path / 'whole').rename(tmp_path / 'stopped')
    found.append(whole._step(1, 1)[0])
    assert found[-1] < found[0]
    resumed = trainer('stopped')
    resumed.run()
    for key, value in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[key], value), key
    rows = (tmp_path / 'stopped' / 'log.csv').read_text().splitlines()
    assert [row.split(',')[:2] for row in rows] == [['epoch', 'step'], ['1', '2']]
    assert float(rows[1].split(',')[2]) == pytest.approx(found[-1], abs=1e-5)
    with pytest.raises(ValueError, match='another schedule'):
        trainer('stopped', replace(schedule, rate=1e-3)).run()


def test_each_network_alone_leaves_the_other_as_it_is() -> None:
    batch = stack(cut([pair((32, 64), top=2)], 32))
    network = UAAFusion(small()).train()
    batch_losses(network, batch, Schedule(segmenter_only=True)).total.backward()
    assert all(p.grad is None for p in network.fusion.parameters())
    assert any(p.grad is not None and p.grad.any() for p in network.segmenter.parameters())
    network.zero_grad()
    batch_losses(network, batch, Schedule(fusion_only=True)).total.backward()
    assert all(p.grad is None for p in network.segmenter.parameters())
    assert any(p.grad is not None and p.grad.any() for p in network.fusion.parameters())
    batch_losses(network, batch, Schedule()).total.backward()
    assert any(p.grad is not None and p.grad.any() for p in network.segmenter.parameters())
    with pytest.raises(ValueError, match='choose one'):
        Schedule(segmenter_only=True, fusion_only=True)
    views = torch.Generator().manual_seed(0)
    plain, more = (
        batch_losses(network, batch, Schedule(fusion_only=True), beta, views) for beta in (0, 2)
    )
    assert plain.own == 0
    torch.testing.assert_close(more.total - plain.total, more.own)
    assert more.own > 0
    with pytest.raises(ValueError, match='segmenter alone'):
        Schedule(segmenter_only=True, self_supervised=0.1)


def test_class_weights_say_what_a_pixel_counts() -> None:
    scores = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]]).T[None, :, None]
    label = torch.tensor([[[0, 1]]])
    parts = [float(score_loss(scores[..., i : i + 1], label[..., i : i + 1], 255)) for i in (0, 1)]
    found = float(score_loss(scores, label, 255, weight_tensor((1.0, 3.0, 1.0, 1.0), scores)))
    assert found == pytest.approx((parts[0] + 3 * parts[1]) / 4)
    assert weight_tensor((), scores) is None
    with pytest.raises(argparse.ArgumentTypeError, match='over 0'):
        train.parse_weights('1,0')
    with pytest.raises(argparse.ArgumentTypeError, match='over 0'):
        train.parse_weights('one')


def test_crops_and_frozen_norms(tmp_path: Path) -> None:
    """Crops differ between epochs and not between runs; frozen statistics stay what they are."""
    crops = Crops([pair((48, 64), top=2)] * 2, replace(train.CROPS, size=(32, 32)))
    schedule = Schedule(
        *(1, 2), ignored=255, on_logits=True, class_weights=(1.0, 2.0, 1.0, 1.0), frozen_norms=True
    )

    def trainer(schedule: Schedule) -> Trainer:
        torch.manual_seed(0)
        device = torch.device('cpu')
        return Trainer(UAAFusion(small()), schedule, crops, out=tmp_path, device=device)

    with pytest.raises(ValueError, match='1 class weights for 4 classes'):
        trainer(replace(schedule, class_weights=(1.0,)))
    one = trainer(schedule)
    first, again, later = one.batch(0, 0), trainer(schedule).batch(0, 0), one.batch(1, 0)
    assert torch.equal(first.thermal, again.thermal)
    assert not torch.equal(first.thermal, later.thermal)
    before = {k: v.clone() for k, v in one.network.segmenter.state_dict().items()}
    one.run()
    after = one.network.segmenter.state_dict()
    moved = {k.rsplit('.', 1)[1] for k, v in before.items() if not torch.equal(v, after[k])}
    assert moved == {'weight', 'bias'}


@pytest.mark.parametrize('dropout', [True, False])
def test_dropout_may_be_left_out(dropout: bool, tmp_path: Path) -> None:
    crops = Crops([pair((32, 32), top=2)] * 2, replace(train.CROPS, size=(32, 32)))
    schedule = Schedule(epochs=1, batch=2, segmenter_only=True, ignored=255, dropout=dropout)
    network = UAAFusion(small())
    Trainer(network, schedule, crops, out=tmp_path, device=torch.device('cpu')).run()
    layers = [part for part in network.segmenter.modules() if isinstance(part, torch.nn.Dropout)]
    assert layers
    x = torch.ones(1, 1, 8, 8)
    assert all(torch.equal(layer(x), x) is not dropout for layer in layers if layer.p > 0)
    assert network.segmenter.training


def test_a_run_starts_from_the_parts_of_two_files(tmp_path: Path) -> None:
    files = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        files.append(tmp_path / f'{seed}.safetensors')
        save_uaafusion(files[-1], UAAFusion(small()))
    (tmp_path / 'c.json').write_text(small().to_json())
    common = ['--config', str(tmp_path / 'c.json'), '--out', str(tmp_path)]
    both = ['--init', str(files[0]), '--init-segmenter', str(files[1])]
    found = train.initial(train.parser().parse_args([*common, *both]))
    fusion, segmenter = (load_uaafusion(file) for file in files)
    for part in ('fusion.init_conv_ir.conv_unit.0.weight', 'segmenter.cls_conv.weight'):
        source = fusion if part.startswith('fusion') else segmenter
        assert torch.equal(found.state_dict()[part], source.state_dict()[part]), part


def test_train_command_names_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = ['--threads', '1', '--out', str(tmp_path)]  # torch keeps the number
    assert train.main(['--config', 'small', *one]) == 2
    assert '--scenes' in capsys.readouterr().err
    assert train.main(['--config', 'nothing', *one]) == 2
    assert "no configuration of UAAFusion 'nothing'" in capsys.readouterr().err


def test_train_command_on_fmb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = pair((32, 32), top=2)
    for kind, picture in (
        ('Visible', drawn.visible),
        ('Infrared', drawn.thermal),
        ('Label', np.minimum(drawn.label, 14)),
    ):
        (tmp_path / 'FMB' / 'train' / kind).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / 'FMB' / 'train' / kind / '00001.png'), picture)
    tiny = replace(load_config('official'), channels=2, stages=2, steps=1, decoder=8)
    (tmp_path / 'tiny.json').write_text(tiny.to_json())
    data = ['--data', f'fmb:{tmp_path / "FMB"}', '--split', 'train', '--patch', '32']
    out = ['--config', str(tmp_path / 'tiny.json'), '--out', str(tmp_path / 'run')]
    assert train.main([*data, *out, '--epochs', '1', '--threads', '1']) == 0
    assert '1 patches of 32x32 from 1 pairs' in capsys.readouterr().out
    assert load_uaafusion(tmp_path / 'run' / 'weights.safetensors').config == tiny
