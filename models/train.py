"""Train a PAIF network on folders of labelled pairs and generated scenes.

    python -m models.train --config paif_small --data ../shared/data --out runs/small

Stages of three kinds, because on a CPU the full-resolution fusion network is the expensive part:

1. `segment`: the segmenter alone, on the target picture that fusion is trained towards;
2. `fuse`: the fusion network alone, towards that target, on small crops;
3. `joint`: both, with PAIF's joint loss 0.1 L_F + 4 CE;

and then the first and the last twice more.

Stopped, the same command goes on where it was. `--out` holds the checkpoint, the log (CSV) and, at
the end, `weights.safetensors`. Search and adversarial training are another matter and not done
here.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from models.checkpoint import save_paif
from models.data import Augmentation, Batch, LabelledPair, TrainingPairs, generate, read_folder
from models.losses import FUSION_WEIGHT, SEGMENTATION_WEIGHT, fusion_loss, segmentation_loss
from models.paif import PAIF, load_config, recolour, rgb_to_ycrcb

SCENE_SEED = (
    1000  # of the first training scene; smaller ones are kept for the demo and for evaluation
)


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Attributes:
        name: 'segment', 'fuse' or 'joint'.
        steps: optimiser steps.
        batch: pairs in a step.
        size: (height, width) of the crops in pixels.
        rate: peak learning rate; warmed up linearly, then decayed linearly to 0 (poly, power 1).
        warmup: steps of the warm-up.
    """

    name: str
    steps: int
    batch: int
    size: tuple[int, int]
    rate: float
    warmup: int


@dataclass(frozen=True)
class Recipe:
    """What decides the weights, beside the data.

    Attributes:
        stages: run in this order.
        class_weights: of the cross-entropy; background is 94 % of the pixels.
        generated: part of the pairs that are generated scenes.
        scenes: number of generated scenes.
        frames: frames of each.
        seed: of the initial weights and of every draw.
    """

    stages: tuple[Stage, ...] = (
        Stage('segment', 2600, 16, (256, 320), 6e-4, 150),
        Stage('fuse', 300, 8, (160, 160), 2e-3, 50),
        Stage('joint', 400, 8, (192, 256), 2e-4, 50),
        Stage('segment', 1500, 16, (256, 320), 4e-4, 50),
        Stage('joint', 350, 8, (192, 256), 2e-4, 30),
        Stage('segment', 900, 16, (256, 320), 3e-4, 30),
        Stage('joint', 150, 8, (192, 256), 1.5e-4, 20),
    )
    class_weights: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    generated: float = 0.4
    scenes: int = 240
    frames: int = 5
    seed: int = 0


def learning_rate(stage: Stage, step: int) -> float:
    """Return the learning rate of a step: linear warm-up, then linear decay to 0."""
    if step < stage.warmup:
        return stage.rate * (step + 1) / stage.warmup
    return stage.rate * (1 - (step - stage.warmup) / (stage.steps - stage.warmup))


def stage_loss(network: PAIF, stage: Stage, batch: Batch, weights: Tensor) -> Tensor:
    """Return the loss of a batch in a stage."""
    visible = batch.visible.contiguous(memory_format=torch.channels_last)
    if stage.name == 'segment':
        rgb = recolour(batch.target, rgb_to_ycrcb(visible))
        loss = torch.zeros(())
    else:
        fused, rgb = network.fuse(batch.thermal, visible)
        loss = fusion_loss(fused, batch.target)
        if stage.name == 'fuse':
            return loss
    # bfloat16 for the segmenter only: it ruins the guided filter's variances.
    with torch.autocast('cpu', torch.bfloat16):
        logits = network.denoise_net(network.segmenter_input(rgb))
    return FUSION_WEIGHT * loss + SEGMENTATION_WEIGHT * segmentation_loss(
        logits.float(), batch.label, weights
    )


def parameters(network: PAIF, stage: Stage) -> list[dict[str, object]]:
    """Return the stage's parameters: decayed weights, then norms, biases and slopes."""
    part = {'segment': network.denoise_net, 'fuse': network.enhance_net, 'joint': network}[
        stage.name
    ]
    return [
        {'params': [p for p in part.parameters() if p.ndim > 1], 'weight_decay': 0.01},
        {'params': [p for p in part.parameters() if p.ndim <= 1], 'weight_decay': 0.0},
    ]


class Trainer:
    """Runs the stages of a recipe, with a checkpoint that it resumes from."""

    def __init__(
        self, network: PAIF, recipe: Recipe, sources: list[list[LabelledPair]], out: Path
    ) -> None:
        self.network, self.recipe, self.sources, self.out = network, recipe, sources, out
        self.checkpoint = out / 'checkpoint.pt'
        real = 1.0 - recipe.generated
        self.shares = [real, recipe.generated] if len(sources) == 2 else [1.0]

    def run(self, workers: int, save_every: int = 100) -> None:
        """Train what is not trained yet."""
        position = (0, 0)
        state = None
        if self.checkpoint.exists():
            state = torch.load(self.checkpoint, weights_only=True)
            if state['recipe'] != json.dumps(asdict(self.recipe)):
                msg = (
                    f'{self.checkpoint} was made with another recipe: '
                    'choose another --out, or remove it'
                )
                raise ValueError(msg)
            self.network.load_state_dict(state['network'])
            position = tuple(state['position'])
        for number in range(position[0], len(self.recipe.stages)):
            first = position[1] if number == position[0] else 0
            optimiser = torch.optim.AdamW(
                parameters(self.network, self.recipe.stages[number]), betas=(0.9, 0.999)
            )
            if state is not None and first:
                optimiser.load_state_dict(state['optimiser'])
            self._stage(number, first, optimiser, workers, save_every)

    def _stage(
        self, number: int, first: int, optimiser: torch.optim.Optimizer, workers: int, every: int
    ) -> None:
        stage = self.recipe.stages[number]
        crops = Augmentation(size=stage.size)
        data = TrainingPairs(
            self.sources,
            self.shares,
            stage.batch,
            stage.steps,
            self.recipe.seed * 10 + number,
            crops,
        )
        loader = DataLoader(
            data, batch_size=None, sampler=range(first, stage.steps), num_workers=workers
        )
        weights = torch.tensor(self.recipe.class_weights)
        self.network.train()
        started, losses = time.monotonic(), []
        bar = tqdm(
            loader, desc=stage.name, initial=first, total=stage.steps, mininterval=10, unit='step'
        )
        for step, batch in enumerate(bar, start=first):
            for group in optimiser.param_groups:
                group['lr'] = learning_rate(stage, step)
            loss = stage_loss(self.network, stage, batch, weights)
            if not torch.isfinite(loss):
                msg = (
                    f'loss is {loss.item()} at step {step} of stage {stage.name!r}: lower its rate'
                )
                raise FloatingPointError(msg)
            # All of the network's: gradients left by the stage before would count in the norm.
            self.network.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            optimiser.step()
            losses.append(loss.item())
            if (step + 1) % every == 0 or step + 1 == stage.steps:
                done = step + 1 == stage.steps
                self._log(stage, step + 1, float(np.mean(losses)), time.monotonic() - started)
                self._save(optimiser, (number + 1, 0) if done else (number, step + 1))
                losses.clear()

    def _log(self, stage: Stage, step: int, loss: float, seconds: float) -> None:
        with (self.out / 'log.csv').open('a', newline='') as file:
            csv.writer(file).writerow([stage.name, step, f'{loss:.4f}', f'{seconds:.0f}'])

    def _save(self, optimiser: torch.optim.Optimizer, position: tuple[int, int]) -> None:
        """Write the checkpoint beside the old one and swap: a kill never leaves half a file."""
        temporary = self.checkpoint.with_suffix('.tmp')
        torch.save(
            {
                'network': self.network.state_dict(),
                'optimiser': optimiser.state_dict(),
                'position': list(position),
                'recipe': json.dumps(asdict(self.recipe)),
            },
            temporary,
        )
        temporary.replace(self.checkpoint)


def main(argv: list[str] | None = None) -> int:
    """Train, resume or finish a network; return 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--config', default='paif_small', help='name in models/configs, or a path')
    parser.add_argument(
        '--data', type=Path, help='folder with train/ and val/, each {vi,ir,label}/NAME'
    )
    parser.add_argument('--out', type=Path, required=True, help='folder of the run')
    parser.add_argument(
        '--scenes', type=int, default=Recipe.scenes, help='generated scenes to train on'
    )
    parser.add_argument(
        '--scale-steps', type=float, default=1.0, help='multiplies the steps of every stage'
    )
    parser.add_argument('--workers', type=int, default=1, help='processes that prepare batches')
    parser.add_argument('--threads', type=int, default=2, help='threads of torch')
    args = parser.parse_args(argv)

    torch.set_num_threads(args.threads)
    stages = tuple(
        replace(
            s,
            steps=max(2, round(s.steps * args.scale_steps)),
            warmup=max(1, round(s.warmup * args.scale_steps)),
        )
        for s in Recipe.stages
    )
    recipe = replace(Recipe(), stages=stages, scenes=args.scenes)
    config = load_config(args.config)
    sources = []
    if args.data:
        sources.append(read_folder(args.data / 'train', len(config.classes)))
    if recipe.scenes:
        sources.append(generate(range(SCENE_SEED, SCENE_SEED + recipe.scenes), recipe.frames))
    if not sources:
        parser.error('nothing to train on: name --data, or let --scenes be over 0')
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    network = PAIF(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    Trainer(network, recipe, sources, args.out).run(args.workers)
    save_paif(args.out / 'weights.safetensors', network)
    print(f'wrote {args.out / "weights.safetensors"}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
