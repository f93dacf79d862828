"""Trains fusion network and segmenter together, with a checkpoint that it resumes from."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from models.datasets.pair import IGNORE
from models.run_files import CHECKPOINT, LOG, append_row, load_checkpoint, save_checkpoint
from models.uaafusion.losses import (
    IGNORED,
    Losses,
    fusion_losses,
    losses,
    score_loss,
    weight_tensor,
)
from models.uaafusion.network import UAAFusion
from models.uaafusion.patches import Crops, Patch, Patches, stack
from models.weak_aggressive import OURS, decaying_beta

COLUMNS = ('loss', 'thermal', 'visible', 'gradient', 'segmentation', 'own')


@dataclass(frozen=True)
class Schedule:
    """What decides the weights, beside the configuration and the patches (spec section 3).

    Attributes:
        epochs: passes over all patches.
        batch: patches in a step; the last of an epoch may be smaller.
        rate: learning rate of both networks.
        halve_every: epochs after which the rate is halved.
        ignored: label that the cross-entropy leaves out: 0 in the official code, so the mask never
            says background; 255 to learn background too.
        on_logits: cross-entropy of logits. The official code takes it of scores in 0..1, where no
            class can win by more than a factor of e.
        seed: of initial weights, order and dropout.
        segmenter_only: leave the fusion network as it is and train the segmenter: where joint
            training starts from (`SS_pretrain.pth` of the authors). Each patch is seen as a mean
            of both pictures whose weights are drawn anew in every step.
        class_weights: of the cross-entropy, one for each class; none for equal ones (official).
        frozen_norms: keep the segmenter's BatchNorm statistics. Else, as in the official code,
            every forward of the attribution moves them, most of them over darkened pictures, and
            the mask at work, which takes the statistics, differs from the one in training.
        fusion_only: leave the segmenter out and train the fusion network without attention and
            with weights of one half: the other start of joint training, for a tenth of its time.
        dropout: of the segmenter's decoder. Half of the values are too many for a narrow one.
        self_supervised: weight of the weak-aggressive loss of the fused picture at the beginning;
            it falls to 0 (`models.weak_aggressive`). CrossFuse's, not official here.
    """

    epochs: int = 40
    batch: int = 8
    rate: float = 1e-4
    halve_every: int = 10
    ignored: int = IGNORED
    on_logits: bool = False
    seed: int = 0
    segmenter_only: bool = False
    class_weights: tuple[float, ...] = ()
    frozen_norms: bool = False
    fusion_only: bool = False
    dropout: bool = True
    self_supervised: float = 0.0

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch, self.halve_every) < 1 or self.rate <= 0:
            msg = (
                f'epochs {self.epochs}, batch {self.batch}, halve_every {self.halve_every}, '
                f'rate {self.rate}: the first three at least 1, the rate over 0'
            )
            raise ValueError(msg)
        if self.self_supervised < 0 or (self.self_supervised and self.segmenter_only):
            msg = (
                f'self-supervised weight {self.self_supervised}: not under 0, and 0 where '
                'the segmenter alone is trained'
            )
            raise ValueError(msg)
        if self.segmenter_only and self.fusion_only:
            msg = 'segmenter_only and fusion_only: choose one, or neither to train both'
            raise ValueError(msg)

    def learning_rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, the first is 0."""
        return float(self.rate * 0.5 ** (epoch // self.halve_every))


def batch_losses(
    network: UAAFusion,
    batch: Patches,
    schedule: Schedule,
    beta: float = 0.0,
    generator: torch.Generator | None = None,
) -> Losses:
    """Compute the losses of a batch; the labels lead the stages and the attribution.

    In training mode every forward of the segmenter moves its BatchNorm statistics, those of the
    attribution too, as in the official code.

    Args:
        network: in training mode.
        batch: patches.
        schedule: says what the cross-entropy takes.
        beta: weight of the weak-aggressive loss in this step; 0 leaves it out.
        generator: of its views, needed where beta is over 0.
    """

    def with_views(found: Losses, fused: Tensor) -> Losses:
        if generator is None or beta <= 0:
            return found
        return replace(found, own=beta * OURS.loss(fused, generator))

    segment = network.segmenter.logits if schedule.on_logits else network.segmenter
    label = batch.label.where(
        batch.label != IGNORE, torch.full_like(batch.label, schedule.ignored)
    )
    if schedule.segmenter_only:
        scored = segment(drawn_mean(batch.thermal, batch.luma))
        nothing = scored.new_zeros(())
        of_classes = weight_tensor(schedule.class_weights, scored)
        segmentation = score_loss(scored, label, schedule.ignored, of_classes)
        return Losses(nothing, nothing, nothing, segmentation, nothing)
    if schedule.fusion_only:
        *_, last = network.stages(batch.thermal, batch.luma, None)
        half = torch.full_like(batch.luma, 0.5)
        found = fusion_losses(
            last.fused, batch.thermal, batch.luma, half, half, last.fused.new_zeros(())
        )
        return with_views(found, last.fused)
    mask, weights = network.weigh(batch.thermal, batch.luma, batch.label)
    *_, last = network.stages(batch.thermal, batch.luma, mask, weights)
    found = losses(
        last.fused,
        batch.thermal,
        batch.luma,
        weights=weights,
        scores=(segment(last.fused), segment(batch.thermal), segment(batch.luma)),
        label=label,
        ignored=schedule.ignored,
        class_weights=schedule.class_weights,
    )
    return with_views(found, last.fused)


def drawn_mean(thermal: Tensor, luma: Tensor) -> Tensor:
    """Return a weighted mean of each pair of pictures [N, 1, H, W]: 0.3 to 0.8 of the thermal one.

    One picture alone is left to joint training: at night there is nobody in the visible one.
    """
    share = 0.3 + 0.5 * torch.rand(len(luma), 1, 1, 1, device=luma.device)
    return torch.lerp(luma, thermal, share)


class Trainer:
    """Runs a schedule.

    Args:
        network: initial weights; trained in place.
        schedule: what to do.
        patches: all of them, or where they are drawn from.
        out: folder of checkpoint and log; it exists.
        device: where to compute.
    """

    def __init__(
        self,
        network: UAAFusion,
        schedule: Schedule,
        patches: Sequence[Patch] | Crops,
        *,
        out: Path,
        device: torch.device,
    ) -> None:
        if not patches:
            msg = 'no patches: the pairs are smaller than --patch, or all of low contrast'
            raise ValueError(msg)
        classes = len(network.config.classes)
        if len(schedule.class_weights) not in {0, classes}:
            msg = (
                f'{len(schedule.class_weights)} class weights for {classes} classes: give as many'
            )
            raise ValueError(msg)
        # channels_last halves the time of depthwise convolutions on CPUs.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network, self.schedule, self.patches = network.to(device), schedule, patches
        self.out, self.device = out, device
        self.checkpoint = out / CHECKPOINT
        # One for each network, as in the official code: Adam keeps no state across parameters, so
        # that changes nothing.
        self.optimisers = [
            torch.optim.Adam(part.parameters(), schedule.rate)
            for part in (network.fusion, network.segmenter)
        ]
        self.steps = -(-len(patches) // schedule.batch)

    def run(self, save_every: int = 50) -> None:
        """Train what is not trained yet.

        Args:
            save_every: steps between two checkpoints and lines of the log.

        Raises:
            ValueError: the checkpoint in `out` is of another schedule, network or set of patches.
            FloatingPointError: the loss is not a number any more.
        """
        done = self._resume()
        bar = tqdm(total=self.schedule.epochs * self.steps, initial=done, unit='step')
        started, found = time.monotonic(), list[list[float]]()
        self.network.train()
        if not self.schedule.dropout:
            for part in self.network.segmenter.modules():
                if isinstance(part, nn.Dropout):
                    part.eval()
        if self.schedule.frozen_norms:
            for part in self.network.segmenter.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.eval()
        while done < bar.total:
            epoch, step = divmod(done, self.steps)
            found.append(self._step(epoch, step))
            done += 1
            bar.update()
            if done % save_every == 0 or done == bar.total:
                mean = np.mean(found, 0)
                bar.set_postfix(loss=f'{mean[0]:.4f}')
                self._save(done)
                self._log(done, mean.tolist(), time.monotonic() - started)
                found.clear()
        bar.close()

    def batch(self, epoch: int, step: int) -> Patches:
        """Return a batch; each epoch has its own order, which depends on the seed alone."""
        order = np.random.default_rng((self.schedule.seed, epoch)).permutation(len(self.patches))
        size = self.schedule.batch
        numbers = [int(i) for i in order[step * size : (step + 1) * size]]
        if isinstance(self.patches, Crops):
            rng = np.random.default_rng((self.schedule.seed, epoch, step))
            chosen = stack(self.patches.draw(numbers, rng))
        else:
            chosen = stack([self.patches[i] for i in numbers])
        return Patches(*(part.to(self.device) for part in vars(chosen).values()))

    def _step(self, epoch: int, step: int) -> list[float]:
        """Take a step; return the loss and its parts."""
        rate = self.schedule.learning_rate(epoch)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group['lr'] = rate
            optimiser.zero_grad(set_to_none=True)
        # A seed for each step's dropout and views: resumed, the same as unbroken.
        seed = (self.schedule.seed * 1000 + epoch) * 1_000_000 + step
        torch.manual_seed(seed)
        views = torch.Generator(self.device).manual_seed(seed)
        weight, total = self.schedule.self_supervised, self.schedule.epochs * self.steps
        beta = decaying_beta(epoch * self.steps + step, total, weight) if weight else 0.0
        batch = self.batch(epoch, step)
        parts = batch_losses(self.network, batch, self.schedule, beta, views)
        if not torch.isfinite(parts.total):
            msg = f'loss is {float(parts.total)} at step {step} of epoch {epoch}: lower --rate'
            raise FloatingPointError(msg)
        parts.total.backward()  # type: ignore[no-untyped-call]
        for optimiser in self.optimisers:
            optimiser.step()
        every: list[Tensor] = [parts.total, *vars(parts).values()]
        return [float(part.detach()) for part in every]

    def _identity(self) -> str:
        """Return what a checkpoint must have been made with, as JSON text."""
        return json.dumps(
            {
                'schedule': asdict(self.schedule),
                'config': self.network.config.to_json(),
                'patches': len(self.patches),
            }
        )

    def _resume(self) -> int:
        state = load_checkpoint(self.checkpoint, self._identity(), self.device)
        if state is None:
            return 0
        self.network.load_state_dict(state['network'])
        for optimiser, stored in zip(self.optimisers, state['optimisers'], strict=True):
            optimiser.load_state_dict(stored)
        return int(state['done'])

    def _save(self, done: int) -> None:
        save_checkpoint(
            self.checkpoint,
            {
                'network': self.network.state_dict(),
                'optimisers': [optimiser.state_dict() for optimiser in self.optimisers],
                'done': done,
                'identity': self._identity(),
            },
        )

    def _log(self, done: int, mean: list[float], seconds: float) -> None:
        epoch, step = divmod(done - 1, self.steps)
        append_row(
            self.out / LOG,
            ('epoch', 'step', *COLUMNS, 'seconds'),
            (epoch, step + 1, *(f'{x:.5f}' for x in mean), f'{seconds:.0f}'),
        )
