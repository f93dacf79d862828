"""Recipes, sources and the trainer: a stopped run goes on as if it had not stopped."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='torch is a development dependency')

from models.attacks import parse_attack
from models.data import Augmentation, LabelledPair, TrainingPairs, augment, generate, read_folder
from models.evaluation.masks import Tensors
from models.fused_pairs import fuse_pairs
from models.objective import Objective, TargetCascade
from models.paif import PAIF, load_config
from models.recipe import FOLDER, Recipe, Stage, load_recipe
from models.sources import read_sources
from models.train import main
from models.trainer import Position, Trainer
from models.workers import Workers


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
    rates = [stage.learning_rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == 1.0
    assert rates[-1] < 0.02
    assert all(a >= b for a, b in pairwise(rates[10:]))


ATTACKS = ('textbook1@8/255', 'fgsm@4/255')
STAGES = (
    Stage('segment', 4, 2, (64, 64), 1e-3, 1, 1.0, ATTACKS),
    Stage('fuse', 4, 2, (64, 64), 1e-3, 1),
    Stage('pretext', 4, 2, (64, 64), 1e-3, 1, 1.0, ATTACKS),
    Stage('joint', 4, 2, (64, 64), 1e-3, 1, 1.0, ATTACKS),
)
RECIPE = Recipe(STAGES, (('pairs', 1.0),), (('pairs', 1.0),), average=0.5)
ALONE = Workers(0, 1, torch.device('cpu'))


def tiny() -> PAIF:
    torch.manual_seed(0)
    config = replace(load_config('paif_small'), channels=2, backbone='mit_nano', embedding=8)
    network = PAIF(config)
    for block in network.modules():
        if hasattr(block, 'drop_path'):
            block.drop_path = 0.0  # its draws are not part of what a checkpoint holds
    network.denoise_net.decoder.dropout.p = 0.0
    return network


@pytest.fixture(scope='module')
def pairs() -> list[LabelledPair]:
    return generate([500, 501], 1, 96, 128)


def train(
    out: Path,
    pairs: list[LabelledPair],
    recipe: Recipe = RECIPE,
    copies: dict[int, Path] | None = None,
) -> dict[str, torch.Tensor]:
    """Train, and copy the folder after some of the checkpoints: what a kill then leaves.

    Args:
        out: folder of the run.
        pairs: what it learns from.
        recipe: how.
        copies: by the number of the checkpoint, where the folder is copied to.
    """
    out.mkdir(exist_ok=True)
    trainer = Trainer(tiny(), recipe, {'pairs': pairs}, out, ALONE)
    if copies is not None:
        saved, count = trainer._save, 0

        def save(*args: object) -> None:
            nonlocal count
            saved(*args)
            count += 1
            if count in copies:
                shutil.copytree(out, copies[count])

        trainer._save = save
    trainer.run(loaders=0, save_every=2)
    return trainer.averaged().state_dict()


@pytest.mark.parametrize(('number', 'scale'), [(0, (0.3, 0.8)), (3, (0.6, 1.6))])
def test_a_pooled_segmenter_learns_at_its_own_scale(
    tmp_path: Path, pairs: list[LabelledPair], number: int, scale: tuple[float, float]
) -> None:
    """Alone it gets pairs of that scale and pools nothing; the whole cascade pools."""
    config = replace(tiny().config, pool=2)
    trainer = Trainer(PAIF(config), RECIPE, {'pairs': pairs}, tmp_path, ALONE)
    stage = STAGES[number]
    batch = next(iter(trainer._batches(stage, Position(number, 0), 0)))
    crops = Augmentation(size=stage.size, scale=scale)
    expected = TrainingPairs([pairs], [1.0], 2, 4, number * 1000, crops)[0]
    assert torch.equal(batch.visible, expected.visible)
    objective = Objective(stage.kind, 0.0, parse_attack('none'), (1.0, 1.0, 1.0, 1.0))
    _, logits = objective.cascade(trainer.network, batch)(batch.thermal, batch.visible)
    assert logits.shape[2:] == ((16, 16) if stage.kind == 'segment' else (8, 8))


def test_a_recipe_leads_the_fusion_target_to_the_thermal_picture(
    tmp_path: Path, pairs: list[LabelledPair]
) -> None:
    weights = []
    for share in (0.5, 0.75):
        recipe = replace(RECIPE, thermal=share)
        trainer = Trainer(tiny(), recipe, {'pairs': pairs}, tmp_path, ALONE)
        weights.append(next(iter(trainer._batches(STAGES[0], Position(0, 0), 0))).weight)
    assert torch.allclose(weights[1], 0.75 + (weights[0] - 0.5) / 2, atol=1e-6)
    with pytest.raises(ValueError, match=r'thermal share 0.4 .*0.5 to 1'):
        replace(RECIPE, thermal=0.4)


def test_the_segmenter_can_learn_on_what_fusion_makes(
    tmp_path: Path, pairs: list[LabelledPair]
) -> None:
    """On real cascades' pictures, at its own scale; fusion stays as it is."""
    network = PAIF(replace(tiny().config, pool=2, colour=False)).train()
    fused = fuse_pairs(network, pairs, 'test')
    assert network.training
    network.eval()
    with torch.no_grad():
        tensors = Tensors.of(pairs[:1])
        expected = network.segmenter_input(network.fuse(tensors.thermal, tensors.visible)[1])
        tensors = Tensors.of(fused[:1])
        seen = TargetCascade(network, torch.rand(1, 1, 96, 128))
        found = network.segmenter_input(tensors.visible)
        logits = seen(tensors.thermal, tensors.visible)[1]
    # Within the rounding to 8 bit, which the stretch enlarges.
    assert (found - expected).abs().mean() < 0.1 * expected.std()
    assert logits.shape[2:] == (96 // 4, 128 // 4)
    assert fused[0].label is pairs[0].label
    assert (fused[0].visible == fused[0].thermal[..., None]).all()
    coloured = fuse_pairs(tiny(), pairs[:1], 'test')[0].visible
    assert (coloured != coloured[..., :1]).any()

    stage = replace(STAGES[0], fused=True)
    recipe = replace(RECIPE, stages=(stage,))
    before = {key: value.clone() for key, value in tiny().state_dict().items()}
    trained = train(tmp_path / 'run', pairs, recipe)
    moved = {k.split('.')[0] for k, v in trained.items() if not torch.equal(v, before[k])}
    assert moved == {'denoise_net'}
    assert any(
        not torch.equal(value, trained[key])
        for key, value in train(
            tmp_path / 'target', pairs, replace(recipe, stages=STAGES[:1])
        ).items()
    )
    with pytest.raises(ValueError, match='fused pictures'):
        replace(STAGES[3], fused=True)


@pytest.mark.parametrize('training', [True, False])
def test_decoder_with_resizing_last_equals_the_plain_one(training: bool) -> None:
    segmenter = tiny().denoise_net.train(training)
    x = torch.rand(2, 3, 64, 96, requires_grad=True)
    found = []
    for decode in (segmenter.decoder, segmenter.decoder.commuted):
        logits = decode(segmenter.encoder(x))
        wanted = [x, *segmenter.decoder.parameters()]
        found.append([logits, *torch.autograd.grad(logits.square().sum(), wanted)])
    assert found[0][0].std() > 0.01
    for plain, commuted in zip(*found, strict=True):
        torch.testing.assert_close(commuted, plain, rtol=1e-3, atol=1e-3)


def test_resumed_training_ends_where_an_unbroken_one_does(
    tmp_path: Path, pairs: list[LabelledPair]
) -> None:
    # Between two stages, in pretext, in the last.
    stopped = {count: tmp_path / f'stopped{count}' for count in (2, 5, 7)}
    whole = train(tmp_path / 'whole', pairs, copies=stopped)
    for count, out in stopped.items():
        assert len((out / 'log.csv').read_text().split()) == count - 1  # its line comes after it
        resumed = train(out, pairs)
        for key, value in whole.items():
            torch.testing.assert_close(resumed[key], value, atol=1e-6, rtol=1e-5, msg=key)
    rows = [row.split(',') for row in (tmp_path / 'whole' / 'log.csv').read_text().split()]
    assert len(rows) == 8
    assert [row[1] for row in rows[::2]] == ['segment', 'fuse', 'pretext', 'joint']


@pytest.mark.parametrize('adversarial', [0.0, 1.0])
def test_training_learns(tmp_path: Path, pairs: list[LabelledPair], adversarial: float) -> None:
    stage = Stage('segment', 60, 4, (64, 64), 3e-3, 5, adversarial, ATTACKS)
    trainer = Trainer(tiny(), replace(RECIPE, stages=(stage,)), {'pairs': pairs}, tmp_path, ALONE)
    trainer.run(0, save_every=10)
    losses = [float(row.split(',')[3]) for row in (tmp_path / 'log.csv').read_text().split()]
    assert losses[-1] < 0.7 * losses[0]


def test_each_stage_moves_its_own_part(tmp_path: Path, pairs: list[LabelledPair]) -> None:
    fresh = tiny().state_dict()
    for stage in STAGES:
        out = tmp_path / stage.kind
        short = replace(stage, steps=2)
        moved = train(out, pairs, replace(RECIPE, stages=(short,), average=0.0))
        parts = {key.split('.')[0] for key, value in moved.items() if not value.equal(fresh[key])}
        expected = {
            'segment': {'denoise_net'},
            'fuse': {'enhance_net'},
            'pretext': {'enhance_net'},
            'joint': {'enhance_net', 'denoise_net'},
        }
        assert parts == expected[stage.kind], stage.kind


def test_the_average_lies_between_start_and_end(tmp_path: Path, pairs: list[LabelledPair]) -> None:
    stage = (STAGES[0],)
    key = 'denoise_net.decoder.linear_pred.weight'
    start = tiny().state_dict()[key]
    last = train(tmp_path / 'last', pairs, replace(RECIPE, stages=stage, average=0.0))[key]
    mean = train(tmp_path / 'mean', pairs, replace(RECIPE, stages=stage, average=0.9))[key]
    assert 0 < (mean - start).norm() < 0.6 * (last - start).norm()


def test_another_recipe_does_not_go_on_silently(tmp_path: Path, pairs: list[LabelledPair]) -> None:
    recipe = replace(RECIPE, stages=STAGES[1:2])
    train(tmp_path, pairs, recipe)
    with pytest.raises(ValueError, match='another recipe'):
        train(tmp_path, pairs, replace(recipe, seed=1))


def test_recipes_travel_as_json_and_refuse_what_is_wrong() -> None:
    assert Recipe.from_json(RECIPE.to_json()) == RECIPE
    for path in FOLDER.glob('*.json'):
        assert load_recipe(path.stem).stages
    with pytest.raises(FileNotFoundError, match='standard'):
        load_recipe('no_such')
    data = json.loads(RECIPE.to_json())
    with pytest.raises(ValueError, match='sauce'):
        Recipe.from_json(json.dumps(data | {'sauce': 1}))
    with pytest.raises(ValueError, match='stages'):
        Recipe.from_json('{}')
    varied = Recipe.from_json(json.dumps(data | {'augmentation': {'scale': [0.8, 1.2]}}))
    assert varied.augmentation == Augmentation(scale=(0.8, 1.2))
    with pytest.raises(ValueError, match='spice'):
        Recipe.from_json(json.dumps(data | {'augmentation': {'spice': 1}}))
    for changes, message in (
        ({'kind': 'boil'}, 'boil'),
        ({'steps': 1}, 'warm-up'),
        ({'rate': 0.0}, 'rate 0'),
        ({'adversarial': -1.0}, 'adversarial -1'),
        ({'attacks': ('magic7',)}, 'magic7'),
        ({'attacks': ()}, 'no attacks'),
    ):
        with pytest.raises(ValueError, match=message):
            replace(STAGES[0], **changes)
    scaled = RECIPE.scaled(0.01)
    assert [stage.steps for stage in scaled.stages] == [2, 2, 2, 2]
    assert [stage.warmup for stage in scaled.stages] == [1, 1, 1, 1]


def test_a_recipe_weighs_every_class_of_its_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'two.json'
    path.write_text(replace(RECIPE, class_weights=(0.5, 1.0)).to_json())
    assert main(['--recipe', str(path), '--out', str(tmp_path / 'run')]) == 2
    said = capsys.readouterr().err
    assert "two.json' has 2 class_weights" in said
    assert "'paif_small' has 4 classes" in said
    assert not (tmp_path / 'run').exists()


def test_sources_are_named_by_the_recipe(tmp_path: Path) -> None:
    write_pair(tmp_path / 'train', 'a')
    recipe = replace(RECIPE, unlabelled=(('scenes', 1.0),), scenes=1, frames=1)
    found = read_sources(recipe, tmp_path, 4)
    assert {name: len(pairs) for name, pairs in found.items()} == {'pairs': 1, 'scenes': 1}
    with pytest.raises(ValueError, match='--data'):
        read_sources(recipe, None, 4)
    with pytest.raises(ValueError, match='attic'):
        read_sources(replace(recipe, shares=(('attic', 1.0),)), tmp_path, 4)


TOGETHER = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from models.data import generate
from models.workers import Workers
from models.trainer import Trainer
from tests.test_train import RECIPE, tiny
torch.set_num_threads(1)
out = Path(sys.argv[1])
workers = Workers.from_environment('cpu')
recipe = replace(RECIPE, stages=RECIPE.stages[::2])  # one of each kind of step
trainer = Trainer(tiny(), recipe, {'pairs': generate([500, 501], 1, 96, 128)}, out, workers)
trainer.run(0, 2)
torch.save(trainer.network.state_dict(), out / f'rank{workers.rank}.pt')
workers.close()
"""


def test_processes_under_torchrun_train_one_network(tmp_path: Path) -> None:
    script = tmp_path / 'together.py'
    script.write_text(TOGETHER)
    command = f'-m torch.distributed.run --standalone --nproc-per-node 2 {script} {tmp_path}'
    subprocess.run(
        [sys.executable, *command.split()],
        check=True,
        timeout=300,
        cwd=Path(__file__).resolve().parents[1],
        env={**os.environ, 'PYTHONPATH': str(Path(__file__).resolve().parents[1])},
    )
    first, second = (torch.load(tmp_path / f'rank{rank}.pt') for rank in range(2))
    moved = tiny().state_dict()
    for key, value in first.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, second[key], atol=1e-6, rtol=1e-5, msg=key)
    assert any(not value.equal(moved[key]) for key, value in first.items())
