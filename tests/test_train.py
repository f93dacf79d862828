"""Readers refuse what is wrong; a stopped run goes on as if it had not stopped."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')

from models.data import Augmentation, LabelledPair, TrainingPairs, augment, generate, read_folder
from models.paif import PAIF, load_config
from models.train import Recipe, Stage, Trainer, learning_rate


def write_pair(folder: Path, name: str, size: tuple[int, int] = (48, 64), top: int = 3) -> None:
    rng = np.random.default_rng(len(name))
    for kind, shape, high in (
        ('vi', (*size, 3), 256),
        ('ir', size, 256),
        ('label', size, top + 1),
    ):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / kind / f'{name}.png'), rng.integers(0, high, shape, np.uint8))


def test_read_folder(tmp_path: Path) -> None:
    write_pair(tmp_path, 'a')
    write_pair(tmp_path, 'bb')
    pairs = read_folder(tmp_path, 4)
    assert [pair.name for pair in pairs] == [f'{tmp_path.name}/a', f'{tmp_path.name}/bb']
    stored = cv2.imread(str(tmp_path / 'vi' / 'a.png'))
    assert np.array_equal(pairs[0].visible, stored[:, :, ::-1])
    assert pairs[0].label.max() == 3


def test_read_folder_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='no pictures'):
        read_folder(tmp_path, 4)
    write_pair(tmp_path, 'a', top=3)
    with pytest.raises(ValueError, match=r'ids \[3\]'):
        read_folder(tmp_path, 3)
    (tmp_path / 'ir' / 'a.png').rename(tmp_path / 'ir' / 'b.png')
    with pytest.raises(FileNotFoundError, match='lack a partner'):
        read_folder(tmp_path, 4)


def test_read_folder_refuses_unequal_sizes(tmp_path: Path) -> None:
    write_pair(tmp_path, 'a')
    cv2.imwrite(str(tmp_path / 'ir' / 'a.png'), np.zeros((10, 10), np.uint8))
    with pytest.raises(ValueError, match='must be equal'):
        read_folder(tmp_path, 4)


def test_both_modalities_and_the_label_move_together() -> None:
    ramp = np.tile(np.arange(128, dtype=np.uint8), (96, 1))
    pair = LabelledPair(
        'ramp', np.repeat(ramp[..., None], 3, 2), ramp, (ramp > 64).astype(np.uint8)
    )
    config = Augmentation((48, 64), tone=0, noise=0, tint=0, saturation=(1.0, 1.0), haze=0)
    for seed in range(8):
        crop = augment(pair, np.random.default_rng(seed), config)
        assert crop.visible.shape == (48, 64, 3)
        assert np.abs(crop.visible[..., 0].astype(int) - crop.thermal).max() <= 1
        inside = (crop.label > 0) == (crop.thermal > 64)
        assert inside.mean() > 0.97


def test_batches_depend_on_seed_and_step_alone() -> None:
    pairs = generate([500], 2, 96, 128)
    data = TrainingPairs([pairs], [1.0], 2, 5, 7, Augmentation(size=(64, 64)))
    again = TrainingPairs([pairs], [1.0], 2, 5, 7, Augmentation(size=(64, 64)))
    assert torch.equal(data[3].visible, again[3].visible)
    assert not torch.equal(data[3].visible, data[4].visible)
    assert data[0].target.shape == (2, 1, 64, 64)
    with pytest.raises(IndexError):
        data[5]


def test_learning_rate_rises_then_falls() -> None:
    stage = Stage('segment', 100, 1, (64, 64), 1.0, 10)
    rates = [learning_rate(stage, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == 1.0
    assert rates[-1] < 0.02
    assert all(a >= b for a, b in pairwise(rates[10:]))


def recipe(**changes: object) -> Recipe:
    stages = (
        Stage('segment', 4, 2, (64, 64), 1e-3, 1),
        Stage('fuse', 4, 2, (64, 64), 1e-3, 1),
        Stage('joint', 4, 2, (64, 64), 1e-3, 1),
    )
    return replace(Recipe(), stages=stages, **changes)


def train(
    out: Path, pairs: list[LabelledPair], stop_after: int | None = None
) -> dict[str, torch.Tensor]:
    """Train, optionally stopped after so many checkpoints, as a kill would."""
    out.mkdir(exist_ok=True)
    torch.manual_seed(0)
    network = PAIF(replace(load_config('paif_small'), channels=2, embedding=8))
    for block in network.modules():
        if hasattr(block, 'drop_path'):
            block.drop_path = 0.0  # its draws are not part of what a checkpoint holds
    network.denoise_net.decoder.dropout.p = 0.0
    trainer = Trainer(network, recipe(), [pairs], out)
    if stop_after is not None:
        saved = trainer._save

        def save(*args: object) -> None:
            nonlocal stop_after
            saved(*args)
            stop_after -= 1
            if stop_after == 0:
                raise KeyboardInterrupt

        trainer._save = save
    trainer.run(workers=0, save_every=2)
    return network.state_dict()


def test_resumed_training_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    pairs = generate([500, 501], 1, 96, 128)
    whole = train(tmp_path / 'whole', pairs)
    for stop_after in (1, 2, 5):  # in the first stage, between two, in the last
        out = tmp_path / f'stopped{stop_after}'
        with pytest.raises(KeyboardInterrupt):
            train(out, pairs, stop_after)
        resumed = train(out, pairs)
        for key, value in whole.items():
            torch.testing.assert_close(resumed[key], value, atol=1e-6, rtol=1e-5, msg=key)
    rows = (tmp_path / 'whole' / 'log.csv').read_text().split()
    assert len(rows) == 6
    assert [row.split(',')[0] for row in rows[::2]] == ['segment', 'fuse', 'joint']


def test_training_learns(tmp_path: Path) -> None:
    pairs = generate([500], 1, 96, 128)
    torch.manual_seed(0)
    network = PAIF(replace(load_config('paif_small'), channels=2, embedding=8))
    stages = (Stage('segment', 120, 2, (64, 64), 3e-3, 5),)
    Trainer(network, replace(recipe(), stages=stages), [pairs], tmp_path).run(0, save_every=30)
    losses = [float(row.split(',')[2]) for row in (tmp_path / 'log.csv').read_text().split()]
    assert losses[-1] < 0.7 * losses[0]


def test_another_recipe_does_not_go_on_silently(tmp_path: Path) -> None:
    pairs = generate([500], 1, 96, 128)
    train(tmp_path, pairs)
    network = PAIF(replace(load_config('paif_small'), channels=2, embedding=8))
    with pytest.raises(ValueError, match='another recipe'):
        Trainer(network, recipe(seed=1), [pairs], tmp_path).run(0)
