"""Trains the fusion of each system on the same patches for the same number of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from models.crossfuse.network import CrossFuse
from models.crossfuse.network import load_config as crossfuse_config
from models.crossfuse.patches import patches_of
from models.crossfuse.trainer import Schedule as CrossFuseSchedule
from models.crossfuse.trainer import Trainer as CrossFuseTrainer
from models.data import Augmentation
from models.datasets.pair import LabelledPair
from models.evaluation.sets import spread
from models.paif import PAIF, load_config
from models.recipe import Recipe, Stage
from models.trainer import Trainer
from models.uaafusion.network import UAAFusion
from models.uaafusion.network import load_config as uaafusion_config
from models.uaafusion.patches import Crops
from models.uaafusion.trainer import Schedule as UAAFusionSchedule
from models.uaafusion.trainer import Trainer as UAAFusionTrainer
from models.workers import Workers

EPOCHS = 4  # of UAAFusion and CrossFuse; the rate is halved after each
# How PAIF's and UAAFusion's crops vary. CrossFuse's official patches do not.
CROPS = Augmentation(scale=(0.8, 1.3), tone=0.15, noise=5.0, tint=0.1, haze=0.12)


@dataclass(frozen=True)
class Budget:
    """What every training gets.

    Attributes:
        steps: of the optimiser.
        batch: patches in a step.
        side: of a crop in pixels, at most that of the patches; CrossFuse takes whole patches.
        rate: learning rate at the beginning.
        self_supervised: weight of the weak-aggressive loss, 0 for none.
        seed: of initial weights and of every draw.
        official: whether CrossFuse takes that loss with the official code's quirks.
    """

    steps: int
    batch: int
    side: int
    rate: float
    self_supervised: float
    seed: int
    official: bool = False


def train_paif(pairs: Sequence[LabelledPair], budget: Budget, out: Path) -> nn.Module:
    """Train `paif_nano`'s fusion network towards its target (a stage 'fuse')."""
    stage = Stage(
        kind='fuse',
        steps=budget.steps,
        batch=budget.batch,
        size=(budget.side, budget.side),
        rate=budget.rate,
        warmup=min(20, budget.steps // 2),
        self_supervised=budget.self_supervised,
    )
    recipe = Recipe(
        (stage,), (), (('patches', 1.0),), average=0.0, seed=budget.seed, augmentation=CROPS
    )
    network = PAIF(load_config('paif_nano'))
    workers = Workers.from_environment('cpu')
    trainer = Trainer(network, recipe, {'patches': list(pairs)}, out, workers)
    trainer.run(0)
    return trainer.averaged()


def train_uaafusion(pairs: Sequence[LabelledPair], budget: Budget, out: Path) -> nn.Module:
    """Train UAAFusion's `small` fusion network alone, without attention."""
    schedule = UAAFusionSchedule(
        epochs=EPOCHS,
        batch=budget.batch,
        rate=budget.rate,
        halve_every=1,
        seed=budget.seed,
        fusion_only=True,
        self_supervised=budget.self_supervised,
    )
    network = UAAFusion(uaafusion_config('small'))
    crops = Crops(_epoch(pairs, budget), replace(CROPS, size=(budget.side, budget.side)))
    UAAFusionTrainer(network, schedule, crops, out=out, device=torch.device('cpu')).run()
    return network.eval()


def train_crossfuse(pairs: Sequence[LabelledPair], budget: Budget, out: Path) -> nn.Module:
    """Train CrossFuse's `small` fusion in both phases."""
    schedule = CrossFuseSchedule(
        epochs=EPOCHS,
        first=1,
        batch=budget.batch,
        rate=budget.rate,
        halve_every=1,
        seed=budget.seed,
        self_supervised=budget.self_supervised,
        official=budget.official,
    )
    network = CrossFuse(crossfuse_config('small'))
    scale = network.config.scale
    side = min(min(pair.thermal.shape) for pair in pairs) // scale
    patches = patches_of(_epoch(pairs, budget), side, side, scale)
    CrossFuseTrainer(network, schedule, patches, out=out, device=torch.device('cpu')).run()
    return network.eval()


def _epoch(pairs: Sequence[LabelledPair], budget: Budget) -> list[LabelledPair]:
    """Return as many pairs, spread evenly, as EPOCHS passes over them take the steps."""
    return spread(pairs, max(1, budget.steps * budget.batch // EPOCHS))


TRAININGS: dict[str, Callable[[Sequence[LabelledPair], Budget, Path], nn.Module]] = {
    'paif': train_paif,
    'uaafusion': train_uaafusion,
    'crossfuse': train_crossfuse,
}


def train(name: str, pairs: Sequence[LabelledPair], budget: Budget, out: Path) -> nn.Module:
    """Train a fusion; stopped, the same call goes on where it was.

    Args:
        name: of TRAININGS.
        pairs: patches of one size.
        budget: what it gets.
        out: folder of checkpoint and log; it is made.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(budget.seed)
    return TRAININGS[name](pairs, budget, out)
