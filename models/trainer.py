"""Runs the stages of a recipe, with a checkpoint that it resumes from."""

from __future__ import annotations

import copy
import csv
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from models.attacks import parse_attack
from models.data import TrainingPairs
from models.fused_pairs import fuse_pairs
from models.objective import Objective
from models.paif import PAIF
from models.pretext import Pretext
from models.recipe import Recipe, Stage
from models.run_files import CHECKPOINT, LOG, save_checkpoint
from models.sources import Sources, drawn
from models.weak_aggressive import decaying_beta
from models.workers import Workers

CLIP = 5.0  # largest norm of all gradients together


@dataclass(frozen=True)
class Position:
    """Where a training is: stage and the step in it that comes next."""

    stage: int = 0
    step: int = 0


def parameter_groups(part: nn.Module) -> list[dict[str, Any]]:
    """Return a network's parameters: decayed weights, then norms, biases and slopes."""
    return [
        {'params': [p for p in part.parameters() if p.ndim > 1], 'weight_decay': 0.01},
        {'params': [p for p in part.parameters() if p.ndim <= 1], 'weight_decay': 0.0},
    ]


class Trainer:
    """Runs the stages of a recipe.

    Args:
        network: initial weights; trained in place.
        recipe: what to do.
        sources: pairs by the names of the recipe.
        out: folder of checkpoint and log; it exists.
        workers: processes that train together.
    """

    def __init__(
        self, network: PAIF, recipe: Recipe, sources: Sources, out: Path, workers: Workers
    ) -> None:
        self.recipe, self.sources, self.out, self.workers = recipe, sources, out, workers
        self.network = network.to(workers.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network)
        self.checkpoint = out / CHECKPOINT

    def run(self, loaders: int, save_every: int = 50) -> None:
        """Train what is not trained yet.

        Args:
            loaders: processes that prepare batches.
            save_every: steps between two checkpoints and lines of the log.

        Raises:
            ValueError: the checkpoint in `out` was made by another recipe.
            FloatingPointError: the loss is not a number any more.
        """
        start, state = self._resume()
        for number in range(start.stage, len(self.recipe.stages)):
            stage = self.recipe.stages[number]
            optimiser = torch.optim.AdamW(parameter_groups(self._part(stage)))
            first = start.step if number == start.stage else 0
            if first and state is not None:
                optimiser.load_state_dict(state['optimiser'])
            self._stage(Position(number, first), optimiser, loaders, save_every)

    def averaged(self) -> PAIF:
        """Return the network that is kept: the moving average, or the last one without it."""
        return (self.average if self.recipe.average else self.network).eval()

    def _resume(self) -> tuple[Position, dict[str, Any] | None]:
        if not self.checkpoint.exists():
            return Position(), None
        state = torch.load(self.checkpoint, weights_only=True, map_location=self.workers.device)
        if state['recipe'] != self.recipe.to_json():
            msg = (
                f'{self.checkpoint} was made by another recipe: choose another --out, or remove it'
            )
            raise ValueError(msg)
        self.network.load_state_dict(state['network'])
        self.average.load_state_dict(state['average'])
        return Position(*state['position']), state

    def _part(self, stage: Stage) -> nn.Module:
        """Return what a stage trains."""
        if stage.kind == 'segment':
            return self.network.denoise_net
        return self.network if stage.kind == 'joint' else self.network.enhance_net

    def _batches(self, stage: Stage, start: Position, loaders: int) -> DataLoader[Any]:
        """Return the batches of a stage that are left; each depends on seed, step and rank."""
        shares = self.recipe.shares
        if stage.kind in ('fuse', 'pretext'):
            shares = self.recipe.unlabelled
        sources = self.sources
        if stage.fused:
            sources = {name: fuse_pairs(self.network, sources[name], name) for name, _ in shares}
        pairs, probabilities = drawn(shares, sources)
        seed = (self.recipe.seed * 100 + start.stage) * 1000 + self.workers.rank
        crops = replace(self.recipe.augmentation, size=stage.size)
        if stage.kind == 'segment':  # at the scale of what the segmenter sees
            pool = self.network.config.pool
            crops = replace(crops, scale=(crops.scale[0] / pool, crops.scale[1] / pool))
        share = self.recipe.thermal
        data = TrainingPairs(pairs, probabilities, stage.batch, stage.steps, seed, crops, share)
        return DataLoader(
            data, batch_size=None, sampler=range(start.step, stage.steps), num_workers=loaders
        )

    def _stage(
        self, start: Position, optimiser: torch.optim.Optimizer, loaders: int, every: int
    ) -> None:
        stage = self.recipe.stages[start.stage]
        kind = 'fuse' if stage.kind == 'pretext' else stage.kind
        objectives = [
            Objective(kind, stage.adversarial, parse_attack(name), self.recipe.class_weights)
            for name in stage.attacks
        ]
        losses: list[float] = []
        started = time.monotonic()
        self.network.train()
        bar = tqdm(
            self._batches(stage, start, loaders),
            desc=f'{start.stage + 1}/{len(self.recipe.stages)} {stage.kind}',
            initial=start.step,
            total=stage.steps,
            mininterval=10,
            unit='step',
            disable=self.workers.rank > 0,
        )
        for step, cpu_batch in enumerate(bar, start=start.step):
            batch = cpu_batch.to(self.workers.device)
            generator = self._generator(start.stage, step)
            rate = stage.learning_rate(step)
            drawn_attack = torch.randint(
                len(objectives), (), generator=generator, device=self.workers.device
            )
            objective = replace(
                objectives[int(drawn_attack)],
                self_supervised=decaying_beta(step, stage.steps, stage.self_supervised),
            )
            if stage.kind == 'pretext':
                loss = Pretext(objective).step(self.network, batch, rate, generator, self.workers)
            else:
                loss = self._step(objective, batch, rate, generator, optimiser)
            if not np.isfinite(loss):
                msg = (
                    f'loss is {loss} at step {step} of stage {start.stage + 1} ({stage.kind}): '
                    'lower its rate'
                )
                raise FloatingPointError(msg)
            losses.append(loss)
            self._follow()
            done = step + 1 == stage.steps
            if done or (step + 1) % every == 0:
                bar.set_postfix(loss=f'{np.mean(losses):.3f}')
                position = Position(start.stage + 1) if done else Position(start.stage, step + 1)
                self._save(position, optimiser)
                self._log(start.stage, step + 1, losses, time.monotonic() - started)
                losses.clear()

    def _generator(self, stage: int, step: int) -> torch.Generator:
        """Return the generator of a step's attacks: resumed, the same as unbroken."""
        seed = ((self.recipe.seed * 100 + stage) * 1_000_000 + step) * 1000 + self.workers.rank
        return torch.Generator(self.workers.device).manual_seed(seed)

    def _step(
        self,
        objective: Objective,
        batch: Any,
        rate: float,
        generator: torch.Generator,
        optimiser: torch.optim.Optimizer,
    ) -> float:
        for group in optimiser.param_groups:
            group['lr'] = rate
        loss: Tensor = objective(self.network, batch, generator)
        # All of the network's: gradients left by the stage before would count in the norm.
        self.network.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        trained = [p for p in self.network.parameters() if p.grad is not None]
        self.workers.average(p.grad for p in trained if p.grad is not None)
        nn.utils.clip_grad_norm_(trained, CLIP)
        optimiser.step()
        return loss.item()

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the averaged weights towards the current ones; statistics are taken as they are."""
        decay = self.recipe.average
        for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(now, 1 - decay)
        for kept, newest in zip(self.average.buffers(), self.network.buffers(), strict=True):
            kept.copy_(newest)

    def _log(self, stage: int, step: int, losses: list[float], seconds: float) -> None:
        if self.workers.rank:
            return
        kind = self.recipe.stages[stage].kind
        with (self.out / LOG).open('a', newline='') as file:
            row = [stage + 1, kind, step, f'{np.mean(losses):.4f}', f'{seconds:.0f}']
            csv.writer(file).writerow(row)

    def _save(self, position: Position, optimiser: torch.optim.Optimizer) -> None:
        self.workers.average(b for b in self.network.buffers() if b.is_floating_point())
        if self.workers.rank:
            return
        save_checkpoint(
            self.checkpoint,
            {
                'network': self.network.state_dict(),
                'average': self.average.state_dict(),
                'optimiser': optimiser.state_dict(),
                'position': [position.stage, position.step],
                'recipe': self.recipe.to_json(),
            },
        )
